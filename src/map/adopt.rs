//! Turns a buffer into a file.
//!
//! The kernel's list of mappings tells whether the buffer is the caller's own private memory. The
//! buffer is copied into a memory file, whose mapping takes the buffer's place in one step.

use std::fmt::Display;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use crate::backend::{self, Backend, Execution};
use crate::error::{Context, Error, Result};
use crate::fill::Copier;
use crate::sys::maps;
use crate::sys::region::Region;
use crate::{fill, sys};

/// Turns a buffer into a file and returns the file's descriptor. It copies the buffer once into a
/// new memory file, and maps the file in the place of the buffer. Buffer and file are then the same
/// memory: a store into one is visible in the other.
///
/// The buffer consists of whole pages of private anonymous memory, readable and writable, that the
/// caller has mapped. It can be a part of a mapping, or several adjoining mappings. It stays the
/// caller's, at the same address. The library keeps nothing of it: closing the descriptor and
/// unmapping the buffer do not affect each other.
///
/// The file has exactly `length` bytes, offset 0 and mode 0600, and the descriptor is
/// close-on-exec. At first the file has no seals, except against execution (Linux 6.3). The caller
/// can add seals:
/// - `F_SEAL_SHRINK` before giving the descriptor away. Without it, every process that can make the
///   file shorter can make access to the buffer raise SIGBUS.
/// - `F_SEAL_FUTURE_WRITE` (Linux 5.1), after which only the buffer can change the file.
/// - `F_SEAL_WRITE` only after the buffer was unmapped; before that it is `EBUSY`.
///
/// The replacement is one step, so that other threads may read the buffer all the time. The call
/// has these effects:
/// - The whole buffer takes memory from then on, and twice as much during the call.
/// - A large buffer gets huge pages where a wrapped file would get them, whatever pages it had
///   before.
/// - Settings of the old memory are gone: mlock(2), madvise(2), mbind(2), protection keys,
///   userfaultfd(2) and names.
/// - Children that are forked later share the buffer instead of having a copy. Children that were
///   forked before keep their copy.
///
/// ```
/// use std::os::unix::fs::FileExt;
/// use std::ptr::{NonNull, null_mut};
/// let access = libc::PROT_READ | libc::PROT_WRITE;
/// let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
/// // SAFETY: a new mapping.
/// let buffer = unsafe { libc::mmap(null_mut(), 1 << 20, access, kind, -1, 0) };
/// assert_ne!(buffer, libc::MAP_FAILED);
/// let buffer = NonNull::new(buffer).unwrap().cast::<u8>();
/// // SAFETY: nobody else uses the mapping.
/// let file = std::fs::File::from(unsafe { bytefd::adopt(buffer, 1 << 20) }?);
/// // SAFETY: as above.
/// unsafe { buffer.write_volatile(b'J') };
/// let mut first = [0];
/// file.read_exact_at(&mut first, 0)?;
/// assert_eq!(first, *b"J");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The buffer is unchanged, and nothing is left behind.
/// - `EINVAL` if `address` or `length` is not a multiple of the page size, `length` is 0, or the
///   range ends past the last address.
/// - `ENOMEM` if a part of the range is not mapped; or if memory or mappings (vm.max_map_count) run
///   out.
/// - `EACCES` if a part of the range is not readable and writable, or is executable.
/// - `EFAULT` if a part of the range is zeros that replaced a lost page of a guarded map.
/// - `EOPNOTSUPP` if a part of the range is not private anonymous memory of the caller. It is then
///   a mapping of a file, shared memory, hugetlb pages, or memory that the kernel maps into every
///   process.
/// - `EOPNOTSUPP` if a part of the range is a stack or the heap (`[heap]`).
/// - `EOPNOTSUPP` if glibc or Go has named a part of the range as its own ("[anon: glibc: ...]",
///   "[anon: Go: ...]").
/// - `ENOENT` if /proc is not mounted.
/// - `EFBIG` if `length` exceeds RLIMIT_FSIZE.
/// - `EMFILE`, `ENFILE` if descriptors run out.
/// - `EPERM` if the memory is sealed, mseal(2).
/// - `EAGAIN` if mlockall(2) is in effect and RLIMIT_MEMLOCK would be exceeded.
/// - The errors of memfd_create(2), if it is refused; other errors of mmap(2).
///
/// The call detects these stacks: that of this thread, that of the first thread, and every stack
/// that glibc made. Never pass a part of any other stack, such as one of another C library, or one
/// to which the program switches by itself. Of such a stack the call detects only the page that
/// this thread, or a thread that waits in the kernel, uses now.
///
/// # Safety
/// - The range is the caller's, and no thread maps, unmaps or protects a part of it during the
///   call.
/// - No thread stores into the range during the call, because a store to bytes that were already
///   copied is lost. That includes the kernel. A read into the buffer that is in progress
///   (io_uring(7), O_DIRECT) fills the old memory. Later reads into a buffer that was registered
///   before the call fill the old memory too.
/// - No thread waits in the range on a futex of the kind that works between processes, futex(2):
///   one without FUTEX_PRIVATE_FLAG, such as [`share::futex_wait`](crate::share::futex_wait())
///   uses, even if only this process uses it.
/// - The range is not memory of an allocator (`malloc`, [`Vec`], [`Box`]), unless it is never
///   freed. An allocator would reuse it for other data, which the file then shows. It would also
///   expect zeros after `MADV_DONTNEED`.
/// - No Rust reference into the range lives on, because every holder of the descriptor can now
///   change the bytes.
pub unsafe fn adopt(address: NonNull<u8>, length: usize) -> Result<OwnedFd> {
    let range = checked(address.as_ptr().addr(), length)?;
    let regions = maps::regions(&range)
        .context("maps", || format!("/proc/self/maps{}", sys::process::no_proc()))?;
    check_regions(&range, &regions)?;
    check_stacks(&range, &regions)?;

    // SAFETY: the memory was found readable, and a slice can have this length. Only the kernel
    // reads it.
    let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr(), length) };
    let file = backend::create(Backend::Memfd, c"bytefd", Execution::Forbidden)?;
    fill::fill(file.fd.as_fd(), &[IoSlice::new(bytes)], Some(Copier::Kernel))?;
    sys::file::fchmod(file.fd.as_fd(), MODE).context("fchmod", || format!("mode {MODE:04o}"))?;
    // SAFETY: the memory is private, and the caller vouches for every other use of it. The file has
    // the memory's bytes, and all pages of the file exist.
    unsafe { sys::window::replace(address, length, file.fd.as_fd()) }
        .context("mmap", || shown(&range))?;
    Ok(file.fd)
}

const MODE: u32 = 0o600;

/// Returns the range, if it consists of whole pages.
fn checked(address: usize, length: usize) -> Result<Range<usize>> {
    let page = sys::page_size();
    let refuse = |op, message: &dyn Display| Err(Error::new(op, libc::EINVAL, message));
    if address % page != 0 {
        return refuse(
            "address",
            &format_args!("address {address:#x} is not a multiple of the page size {page}"),
        );
    }
    if length == 0 || length % page != 0 {
        return refuse(
            "length",
            &format_args!("length {length} is 0 or not a multiple of the page size {page}"),
        );
    }
    match address.checked_add(length) {
        Some(end) if length <= isize::MAX as usize => Ok(address..end),
        _ => refuse(
            "length",
            &format_args!("{length} bytes from {address:#x} end past the last address"),
        ),
    }
}

/// Fails unless these regions cover the whole range, and all of them can be replaced.
fn check_regions(range: &Range<usize>, regions: &[Region]) -> Result<()> {
    let mut end = range.start;
    for region in regions {
        // Regions can overlap: the kernel has joined two, or grown one, while the list was read.
        if region.addresses.start > end {
            break;
        }
        end = end.max(region.addresses.end);
        if let Some((errno, why)) = obstacle(region) {
            let Region { addresses, permissions, name } = region;
            let found = format!("{permissions} {name}");
            let found = found.trim_end();
            return refuse(range, errno, format_args!("{found} at {}, {why}", shown(addresses)));
        }
    }
    if end < range.end {
        return refuse(range, libc::ENOMEM, format_args!("nothing mapped at {end:#x}"));
    }
    Ok(())
}

/// Returns why a region cannot be replaced.
fn obstacle(region: &Region) -> Option<(i32, &'static str)> {
    let other = |why| Some((libc::EOPNOTSUPP, why));
    match region.name.as_str() {
        "[stack]" => other("the stack of the first thread"),
        "[heap]" => other("the heap, which belongs to malloc"),
        // glibc and Go give their memory such names. A name that the caller has chosen is no
        // obstacle.
        name if name.starts_with("[anon: glibc:") => other("memory of the C library"),
        name if name.starts_with("[anon: Go:") => other("memory of Go"),
        name if !name.is_empty() && !name.starts_with("[anon:") => {
            other("not private anonymous memory")
        }
        _ if region.permissions.ends_with('s') => other("not private anonymous memory"),
        _ if region.permissions != "rw-p" => {
            Some((libc::EACCES, "its permissions are not exactly reading and writing (rw-p)"))
        }
        _ => None,
    }
}

/// Fails if a thread has its stack in the range.
fn check_stacks(range: &Range<usize>, regions: &[Region]) -> Result<()> {
    let here = 0u8;
    let (own, here) = (maps::own_stack(), (&raw const here).addr());
    // Code can run on another stack than the one with which its thread was started.
    if own.start < range.end && range.start < own.end || range.contains(&here) {
        return refuse(range, libc::EOPNOTSUPP, "the stack of this thread");
    }
    for thread in maps::other_threads().context("threads", || "/proc/self/task")? {
        // The stack is taken to be everything mapped below the record, down to the guard pages.
        // Above the record, the kernel may have joined the region with any other.
        let stack = thread.record.filter(|_| !thread.is_first()).and_then(|record| {
            let region = regions.iter().find(|region| region.addresses.contains(&record))?;
            Some(region.addresses.start..record)
        });
        let known = [thread.record, thread.stack_pointer].into_iter().flatten();
        if known.into_iter().any(|address| range.contains(&address))
            || stack.is_some_and(|s| s.end > range.start)
        {
            return refuse(
                range,
                libc::EOPNOTSUPP,
                format_args!("the stack of thread {}", thread.id),
            );
        }
    }
    Ok(())
}

fn refuse(range: &Range<usize>, errno: i32, found: impl Display) -> Result<()> {
    let message = format!("asked for {}, {} bytes; found {found}", shown(range), range.len());
    Err(Error::new("range", errno, message))
}

fn shown(range: &Range<usize>) -> String {
    format!("{:#x}-{:#x}", range.start, range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> i32 {
        obstacle(&Region::parse(line).expect("a line")).map_or(0, |(errno, _)| errno)
    }

    #[test]
    fn names_and_permissions_decide() {
        let with = |permissions: &str, name: &str| {
            found(&format!("7f0000-7f1000 {permissions} 00000000 00:00 0 {name}"))
        };
        for name in
            ["", "                         [anon:frames]", "[anon:glibc]", "[anon:Go: heap]"]
        {
            assert_eq!(with("rw-p", name), 0, "{name}");
            for permissions in ["---p", "r--p", "-w-p", "r-xp", "rwxp"] {
                assert_eq!(with(permissions, name), libc::EACCES, "{permissions} {name}");
            }
            assert_eq!(with("rw-s", name), libc::EOPNOTSUPP, "{name}");
        }
        let others = [
            "[stack]",
            "[stack:1234]",
            "[heap]",
            "[vvar]",
            "[anon_shmem:frames]",
            "[anon: glibc: malloc arena]",
            "[anon: glibc: pthread stack: 77]",
            "[anon: Go: heap]",
            "/dev/zero",
            "/anon_hugepage (deleted)",
            "/a path",
            "anon_inode:[io_uring]",
        ];
        for name in others {
            for permissions in ["rw-p", "rw-s", "r--p"] {
                assert_eq!(with(permissions, name), libc::EOPNOTSUPP, "{permissions} {name}");
            }
        }
    }
}
