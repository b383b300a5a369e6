//! Finds out what memory lies under bytes that a caller gave to be copied. If this program copied a
//! lost page, it would get a signal. So it copies only from anonymous memory, which cannot be lost.
//! The kernel copies from all other memory, and from memory of unknown kind: a lost page is EFAULT
//! then.

use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::call::{Result, retry};
use super::features::PROCMAP_QUERY;
use super::kept::Kept;
use super::{file, guard};
use crate::error::Errno;

/// Asks the kernel, through a descriptor that is kept for the next question.
#[derive(Debug)]
pub(crate) struct Sources {
    /// A descriptor of /proc/self/maps. In a child made by fork it answers for the parent.
    pub maps: Kept,
}

impl Sources {
    pub const fn new() -> Sources {
        Sources { maps: Kept::new() }
    }

    /// Returns whether all of these bytes are known to be anonymous memory of this process.
    pub fn are_anonymous(&self, segments: &[IoSlice<'_>]) -> bool {
        if PROCMAP_QUERY.is_missing() {
            return false;
        }
        let Ok(maps) = self.maps.take_or(|| file::open(c"/proc/self/maps", libc::O_RDONLY, 0))
        else {
            return false;
        };
        match are_anonymous(maps.as_fd(), segments) {
            Ok(answer) => {
                self.maps.put_back(maps);
                answer
            }
            // Older kernels and filters of system calls refuse the request with these.
            Err(Errno(libc::ENOTTY | libc::ENOSYS | libc::EPERM | libc::EACCES)) => {
                PROCMAP_QUERY.remember(false);
                false
            }
            Err(_) => false,
        }
    }
}

/// Fails with EFAULT if some of these bytes were lost in a guarded map and are the guard's zeros.
/// The caller copies first and checks afterwards, so that no page is replaced unnoticed.
pub(crate) fn check_kept(segments: &[IoSlice<'_>]) -> Result<()> {
    let is_lost = segments.iter().any(|segment| guard::lost_among(addresses(segment)));
    if is_lost { Err(Errno(libc::EFAULT)) } else { Ok(()) }
}

/// Returns whether [`check_kept`] is necessary: there is or was a guard.
#[inline]
pub(crate) fn is_any_guarded() -> bool {
    guard::is_any()
}

fn addresses(bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().addr();
    start..start + bytes.len()
}

fn are_anonymous(maps: BorrowedFd<'_>, segments: &[IoSlice<'_>]) -> Result<bool> {
    // The last answer is kept, because most segments lie in the same mapping.
    let mut known = 0..0;
    for segment in segments {
        let Range { start: mut at, end } = addresses(segment);
        while at < end {
            if !known.contains(&at) {
                let Some(mapping) = anonymous_mapping(maps, at)? else { return Ok(false) };
                known = mapping;
            }
            at = known.end;
        }
    }
    Ok(true)
}

/// `struct procmap_query` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    mapping_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device_major: u32,
    device_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`
const QUERY: libc::c_ulong =
    3 << 30 | (size_of::<Query>() as libc::c_ulong) << 16 | (b'f' as libc::c_ulong) << 8 | 17;
const READABLE: u64 = 1;
const WRITABLE: u64 = 2;
const SHARED: u64 = 8;

/// Returns the mapping that an address is in, if it is private anonymous memory for reading and
/// writing. The kernel's own mappings in every process (`[vvar]` and the like) have no file either,
/// but are never for writing.
fn anonymous_mapping(maps: BorrowedFd<'_>, address: usize) -> Result<Option<Range<usize>>> {
    let mut query =
        Query { size: size_of::<Query>() as u64, address: address as u64, ..Query::default() };
    // SAFETY: the request reads and writes this struct.
    match retry(|| unsafe { libc::ioctl(maps.as_raw_fd(), QUERY as _, &raw mut query) }) {
        Ok(_) => {}
        // Nothing is mapped there.
        Err(Errno(libc::ENOENT)) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    let has_file = (query.inode, query.device_major, query.device_minor) != (0, 0, 0);
    let is_private = query.mapping_flags & (READABLE | WRITABLE | SHARED) == READABLE | WRITABLE;
    Ok((!has_file && is_private).then_some(query.start as usize..query.end as usize))
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;
    use crate::sys::process::page_size;

    /// Returns whether the kernel answers at all, Linux 6.11.
    fn answers() -> bool {
        Sources::new().are_anonymous(&[IoSlice::new(&std::hint::black_box(vec![1; 100_000]))])
    }

    #[test]
    fn only_anonymous_memory_cannot_be_lost() {
        let sources = Sources::new();
        let page = page_size();
        let ask = |bytes: &[u8]| sources.are_anonymous(&[IoSlice::new(bytes)]);
        let mapped = |flags, fd, protection| {
            // SAFETY: a new mapping, at an address that the kernel chooses.
            let at = unsafe { libc::mmap(null_mut(), 3 * page, protection, flags, fd, 0) };
            assert_ne!(at, libc::MAP_FAILED);
            // SAFETY: readable pages that do not change, or pages that are not accessed.
            unsafe { std::slice::from_raw_parts_mut(at.cast::<u8>(), 3 * page) }
        };
        let (read, write) = (libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE);
        let (private, shared) = (libc::MAP_PRIVATE, libc::MAP_SHARED);
        let memory = file::memfd_create(c"source", 0).expect("a file");
        file::ftruncate(memory.as_fd(), 3 * page as u64).expect("a length");
        let fd = memory.as_raw_fd();
        let anonymous = mapped(private | libc::MAP_ANONYMOUS, -1, write);
        assert_eq!(ask(anonymous), answers());
        assert_eq!(ask(&std::hint::black_box([0; 64])), answers(), "a stack");
        assert_eq!(ask(&std::hint::black_box(vec![0; 64])), answers(), "the heap");
        assert!(!ask(b"constants of the program"));
        for (what, bytes) in [
            ("shared", mapped(shared | libc::MAP_ANONYMOUS, -1, write)),
            ("a file", mapped(shared, fd, read)),
            ("a file, privately", mapped(private, fd, write)),
            ("not readable", mapped(private | libc::MAP_ANONYMOUS, -1, libc::PROT_NONE)),
        ] {
            assert!(!ask(bytes), "{what}");
            // SAFETY: the pages were mapped above, and are not used again.
            assert_eq!(unsafe { libc::munmap(bytes.as_mut_ptr().cast(), bytes.len()) }, 0);
        }
        // SAFETY: all of this memory is ours.
        unsafe {
            let middle = anonymous.as_mut_ptr().add(page).cast();
            let placed = libc::mmap(middle, page, read, private | libc::MAP_FIXED, fd, 0);
            assert_eq!(placed, middle);
        }
        assert!(!ask(anonymous), "a file in its middle");
        assert_eq!(ask(&anonymous[..page]), answers());
        let around = [&anonymous[..page], &[], &anonymous[2 * page..]].map(IoSlice::new);
        assert_eq!(sources.are_anonymous(&around), answers());
        // SAFETY: the pages were mapped above, and are not used again.
        assert_eq!(unsafe { libc::munmap(anonymous.as_mut_ptr().cast(), 3 * page) }, 0);
        // SAFETY: the slice is not read. Nothing is mapped there.
        assert!(!ask(unsafe { std::slice::from_raw_parts(anonymous.as_ptr(), 1) }));
    }

    #[test]
    fn what_the_kernel_maps_into_every_process_is_not_anonymous() {
        let sources = Sources::new();
        for line in std::fs::read_to_string("/proc/self/maps").expect("/proc").lines() {
            let Some((range, name)) = line.split_once(' ') else { continue };
            if ["[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]"]
                .iter()
                .any(|special| name.ends_with(special))
            {
                let start = usize::from_str_radix(range.split('-').next().expect("a start"), 16)
                    .expect("a number");
                // SAFETY: the slice is not read.
                let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, 1) };
                assert!(!sources.are_anonymous(&[IoSlice::new(bytes)]), "{line}");
            }
        }
    }
}
