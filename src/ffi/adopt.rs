//! A buffer that becomes its own file.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use super::arguments::required;
use super::boundary::{boundary, bytefd_error};
use super::options::check_flags;

/// Makes the buffer at `address` its own file: copies its `length` bytes into a new memory file,
/// puts the file in the buffer's place, and returns the file's descriptor, which the caller owns
/// and closes. From then on both are the same memory: stores into the buffer are seen through the
/// descriptor, and the other way round. `flags` must be 0.
///
/// The buffer is whole pages that the caller has mapped, mmap(2) with PROT_READ | PROT_WRITE and
/// MAP_PRIVATE | MAP_ANONYMOUS: any part of a mapping, or several that adjoin. It stays the
/// caller's, at the same address, until munmap(2), and the library keeps nothing of it: descriptor
/// and buffer live on without each other.
///
/// The file is a memfd of exactly `length` bytes, read-write, offset 0, mode 0600, close-on-exec.
/// Seals can be added; at first it has none but that against execution, where the kernel has one
/// (Linux 6.3). Whoever can make the file shorter makes access to the buffer a SIGBUS, so add
/// F_SEAL_SHRINK before giving it away. F_SEAL_WRITE is EBUSY for as long as the buffer is mapped;
/// F_SEAL_FUTURE_WRITE (Linux 5.1) leaves the buffer as the one way to change the file.
///
/// The replacement is one step: other threads may read the buffer all the time. The rest is the
/// caller's part:
/// - Nobody maps, unmaps or protects a part of the range during the call.
/// - Nobody stores into it during the call: what is stored where the copy has been is lost. That
///   includes the kernel: a read into the buffer that is under way (io_uring, O_DIRECT), or a
///   buffer registered for later ones, fills the old memory. Nobody waits in it on a futex that is
///   shared between processes.
/// - It is no memory of malloc's, unless it is never freed: malloc would give it to somebody else,
///   whose bytes the file then shows. Some allocators also expect zeros after MADV_DONTNEED, where
///   a file gives its bytes again.
///
/// Children that are forked later share the buffer instead of having a copy; those that were forked
/// before keep theirs. What was set for the old memory is gone: mlock (lock it again), madvise
/// (also MADV_DONTFORK and MADV_WIPEONFORK), mbind, protection keys, userfaultfd, names. All of the
/// buffer takes memory from then on, and twice as much during the call. Large buffers get huge
/// pages as shm_wrap_buffer's files do, whatever they had before.
///
/// Returns the descriptor, or a negative errno, with the buffer as it was and nothing left behind:
/// - -EINVAL: `flags` is not 0, `address` is NULL, `address` or `length` is not a multiple of the
///   page size, `length` is 0, or the range ends past the last address.
/// - -ENOMEM: the range is not all mapped; or there is no memory left, or no mapping
///   (vm.max_map_count).
/// - -EACCES: a part of it is not readable and writable, or is executable.
/// - -EOPNOTSUPP: a part of it is something else than private anonymous memory of the caller: a
///   mapping of a file, shared memory, memory in hugetlb pages, what the kernel maps into every
///   process, the heap (`[heap]`), memory that the C library or Go says is its own ("[anon: glibc:
///   ...]", "[anon: Go: ...]"), or a stack.
/// - -ENOENT: /proc is not mounted. The range is looked up in /proc/self/maps.
/// - -EFBIG: `length` is above RLIMIT_FSIZE. (No SIGXFSZ is raised.)
/// - -EMFILE, -ENFILE: no descriptors left.
/// - memfd_create(2)'s own where it is refused; mmap(2)'s own: -EPERM for memory that is sealed,
///   mseal(2), and -EAGAIN beyond RLIMIT_MEMLOCK after mlockall(2).
///
/// Stacks are found as far as possible: all of this thread's and of the first thread's, and all
/// that glibc made. Of another stack (another C library's, or one that a program switches to) only
/// the page is found that this thread uses, or a thread that waits in the kernel.
///
/// ```c
/// size_t length = 1 << 20;
/// int protection = PROT_READ | PROT_WRITE;
/// char *buffer = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
/// if (buffer != MAP_FAILED) {
///     int fd = bytefd_adopt(buffer, length, 0, NULL);
///     if (fd >= 0)
///         fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
///     strcpy(buffer, "seen by whoever is given the descriptor");
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_adopt(
    address: *mut c_void,
    length: usize,
    flags: u64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        check_flags(flags, 0)?;
        // SAFETY: the header asks for what `adopt` asks for.
        unsafe { crate::adopt(required(NonNull::new(address.cast()), "address")?, length) }
    })
}
