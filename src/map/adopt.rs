//! A buffer that becomes its own file.
//!
//! The kernel's list of mappings says whether the buffer is the caller's own private memory. The
//! buffer is copied into a memory file, whose mapping takes its place in one step.

use std::fmt::Display;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use crate::backend::{self, Backend, Execution};
use crate::error::{Context, Error, Result};
use crate::fill::Copier;
use crate::sys::maps::{self, Region};
use crate::{fill, sys};

/// Makes a buffer its own file: copies it into a new memory file, puts the file in the buffer's
/// place, and returns the file's descriptor. From then on both are the same memory: stores into the
/// buffer are seen through the descriptor, and the other way round.
///
/// The buffer is whole pages of private anonymous memory, readable and writable, that the caller
/// has mapped: any part of a mapping, or several that adjoin. It stays the caller's, at the same
/// address, and nothing of it is kept here: descriptor and buffer live on without each other. The
/// file has exactly `length` bytes, offset 0, mode 0600, and is close-on-exec. Seals can be added;
/// at first it has none but that against execution, where the kernel has one (Linux 6.3).
/// `F_SEAL_SHRINK` keeps others from making it shorter, which makes access to the buffer a SIGBUS;
/// `F_SEAL_WRITE` is EBUSY for as long as the buffer is mapped, and `F_SEAL_FUTURE_WRITE` (Linux
/// 5.1) leaves the buffer as the one way to change the file.
///
/// The replacement is one step: other threads may read the buffer all the time. All of it takes
/// memory from then on, and twice as much during the call. Large buffers get huge pages as wrapped
/// files do, whatever they had before. What was set for the old memory is gone: mlock(2),
/// madvise(2), mbind(2), protection keys, userfaultfd(2), names. Children that are forked later
/// share the buffer instead of having a copy; those that were forked before keep theirs.
///
/// ```
/// use std::os::unix::fs::FileExt;
/// use std::ptr::{NonNull, null_mut};
/// let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
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
/// The buffer is as it was, and nothing is left.
/// - `EINVAL`: `address` or `length` is not a multiple of the page size, `length` is 0, or the
///   range ends past the last address.
/// - `ENOMEM`: the range is not all mapped; or there is no memory left, or no mapping (the kernel
///   has a limit on their number).
/// - `EACCES`: a part of it is not readable and writable, or is executable.
/// - `EFAULT`: a part of it was lost in a map with a guard, and is the guard's zeros.
/// - `EOPNOTSUPP`: a part of it is something else than the caller's private anonymous memory: a
///   mapping of a file, shared memory, memory in hugetlb pages, what the kernel maps into every
///   process, the heap (`[heap]`), memory that the C library or Go says is its own ("[anon: glibc:
///   ...]", "[anon: Go: ...]"), or a stack.
/// - `ENOENT` where /proc is not mounted, `EFBIG` beyond RLIMIT_FSIZE, `EMFILE` and `ENFILE`
///   without free descriptors, memfd_create(2)'s own where it is refused, mmap(2)'s own (`EPERM`
///   for memory that is sealed, mseal(2), and `EAGAIN` beyond RLIMIT_MEMLOCK after mlockall(2)).
///
/// Stacks are found as far as that can be: all of this thread's and of the first one's, and all of
/// those that glibc gave a thread. Of any other (a thread's of another C library, one that a
/// program switches to) the page that is in use, by this thread or one that waits in the kernel.
///
/// # Safety
/// - The range is the caller's, and nobody maps, unmaps or protects a part of it during the call.
/// - Nobody stores into it during the call: what is stored where the copy has been is lost. That
///   includes the kernel: a read into the buffer that is under way (io_uring(7), O_DIRECT), or a
///   buffer registered for later ones, fills the old memory. Nobody waits in it on a futex that is
///   shared between processes, futex(2).
/// - It does not belong to an allocator, not even when that has lent it (`malloc`, [`Vec`],
///   [`Box`]), unless it is never freed. An allocator would give it to somebody else, whose bytes
///   the file then shows, and would take it for zeros after `MADV_DONTNEED`.
/// - No Rust reference into it lives on, for others can now change the bytes: whoever has the
///   descriptor.
pub unsafe fn adopt(address: NonNull<u8>, length: usize) -> Result<OwnedFd> {
    let range = checked(address.as_ptr().addr(), length)?;
    let regions = maps::regions(&range)
        .context("maps", || format!("/proc/self/maps{}", sys::process::no_proc()))?;
    check_regions(&range, &regions)?;
    check_stacks(&range, &regions)?;

    // SAFETY: found readable, and no longer than a slice can be. Only the kernel reads it.
    let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr(), length) };
    let file = backend::create(Backend::Memfd, c"bytefd", Execution::Forbidden)?;
    fill::fill(file.fd.as_fd(), &[IoSlice::new(bytes)], Some(Copier::Kernel))?;
    sys::file::fchmod(file.fd.as_fd(), MODE).context("fchmod", || format!("mode {MODE:04o}"))?;
    // SAFETY: private memory of the caller, who vouches for all other uses; the file has its bytes,
    // and every page.
    unsafe { sys::window::replace(address, length, file.fd.as_fd()) }
        .context("mmap", || shown(&range))?;
    Ok(file.fd)
}

const MODE: u32 = 0o600;

/// The range, if it is whole pages.
fn checked(address: usize, length: usize) -> Result<Range<usize>> {
    let page = sys::page_size();
    let refuse = |op, message: &dyn Display| Err(Error::new(op, libc::EINVAL, message));
    if address % page != 0 {
        return refuse(
            "address",
            &format_args!("{address:#x} is not the start of a page of {page} bytes"),
        );
    }
    if length == 0 || length % page != 0 {
        return refuse(
            "length",
            &format_args!("{length} bytes are not whole pages of {page} bytes, one or more"),
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

/// Whether these regions are the whole range, and all of them what can be replaced.
fn check_regions(range: &Range<usize>, regions: &[Region]) -> Result<()> {
    let mut end = range.start;
    for region in regions {
        // They can overlap: the kernel has joined two, or grown one, while it was read.
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

/// Why a region cannot be replaced.
fn obstacle(region: &Region) -> Option<(i32, &'static str)> {
    let other = |why| Some((libc::EOPNOTSUPP, why));
    match region.name.as_str() {
        "[stack]" => other("the stack of the first thread"),
        "[heap]" => other("the heap, which is malloc's"),
        // As these two name theirs; a caller's own name is no obstacle.
        name if name.starts_with("[anon: glibc:") => other("memory of the C library"),
        name if name.starts_with("[anon: Go:") => other("memory of Go"),
        name if !name.is_empty() && !name.starts_with("[anon:") => {
            other("not private anonymous memory")
        }
        _ if region.permissions.ends_with('s') => other("not private anonymous memory"),
        _ if region.permissions != "rw-p" => {
            Some((libc::EACCES, "not readable and writable and nothing else"))
        }
        _ => None,
    }
}

/// Whether a thread has its stack there.
fn check_stacks(range: &Range<usize>, regions: &[Region]) -> Result<()> {
    let here = 0u8;
    let (own, here) = (maps::own_stack(), (&raw const here).addr());
    // Code can run on another stack than its thread was started with.
    if own.start < range.end && range.start < own.end || range.contains(&here) {
        return refuse(range, libc::EOPNOTSUPP, "the stack of this thread");
    }
    for thread in maps::other_threads().context("threads", || "/proc/self/task")? {
        // Down from the record all that is mapped with it: below are guard pages. Up it can be
        // joined with anything.
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
