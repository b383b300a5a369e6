//! Turns a buffer into a file.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use super::arguments::required;
use super::boundary::{boundary, bytefd_error};
use super::options::check_flags;

/// Turns the buffer at `address` into a file and returns a descriptor of the file. The caller keeps
/// the buffer, and owns and closes the descriptor. The call copies the `length` bytes once into a
/// new memory file, and maps the file in the place of the buffer. Buffer and file are then the same
/// memory: a store into one is visible in the other. `flags` must be 0.
///
/// The buffer consists of whole pages that the caller has mapped by mmap(2), with PROT_READ |
/// PROT_WRITE and MAP_PRIVATE | MAP_ANONYMOUS. It can be a part of a mapping, or several adjoining
/// mappings. It stays at the same address until the caller calls munmap(2). The library keeps
/// nothing of it: closing the descriptor and unmapping the buffer do not affect each other.
///
/// The file is a memfd of exactly `length` bytes, for reading and writing, with offset 0 and mode
/// 0600, close-on-exec. At first it has no seals, except against execution (Linux 6.3). The caller
/// can add seals:
/// - F_SEAL_SHRINK before giving the descriptor away. Without it, every process that can make the
///   file shorter can make access to the buffer raise SIGBUS.
/// - F_SEAL_FUTURE_WRITE (Linux 5.1), after which only the buffer can change the file.
/// - F_SEAL_WRITE only after the buffer was unmapped; before that it is EBUSY.
///
/// The replacement is one step, so that other threads may read the buffer all the time. The caller
/// must ensure the following:
/// - No thread maps, unmaps or protects a part of the range during the call.
/// - No thread stores into the range during the call, because a store to bytes that were already
///   copied is lost. That includes the kernel. A read into the buffer that is in progress
///   (io_uring, O_DIRECT) fills the old memory. Later reads into a buffer that was registered
///   before the call fill the old memory too.
/// - No thread waits in the range on a futex of the kind that works between processes: one without
///   FUTEX_PRIVATE_FLAG, such as bytefd_futex_wait uses, even if only this process uses it.
/// - The buffer is not memory of malloc(3), unless it is never freed. malloc would reuse it for
///   other data, which the file then shows. Some allocators also expect zeros after MADV_DONTNEED,
///   but a file gives its bytes again.
///
/// The call has these effects on the buffer:
/// - Children that are forked later share the buffer instead of having a copy. Children that were
///   forked before keep their copy.
/// - Settings of the old memory are gone: mlock(2) (lock it again), madvise(2) (also MADV_DONTFORK
///   and MADV_WIPEONFORK), mbind(2), protection keys, userfaultfd(2) and names.
/// - The whole buffer takes memory from then on, and twice as much during the call.
/// - A large buffer gets huge pages where a file of bytefd_wrap_buffer would get them, whatever
///   pages it had before.
///
/// Returns the descriptor. On failure, returns one of the following, leaves the buffer unchanged
/// and nothing behind:
/// - -EINVAL if `flags` is not 0, `address` is NULL, or `length` is 0.
/// - -EINVAL if `address` or `length` is not a multiple of the page size, or the range ends past
///   the last address.
/// - -ENOMEM if a part of the range is not mapped; or if memory or mappings (vm.max_map_count) run
///   out.
/// - -EACCES if a part of the range is not readable and writable, or is executable.
/// - -EFAULT if a part of the range is a lost page that BYTEFD_MAP_GUARD has replaced by zeros.
/// - -EOPNOTSUPP if a part of the range is not private anonymous memory of the caller. It is then a
///   mapping of a file, shared memory, hugetlb pages, or memory that the kernel maps into every
///   process.
/// - -EOPNOTSUPP if a part of the range is a stack or the heap (`[heap]`).
/// - -EOPNOTSUPP if glibc or Go has named a part of the range as its own ("[anon: glibc: ...]",
///   "[anon: Go: ...]").
/// - -ENOENT if /proc is not mounted. The range is looked up in /proc/self/maps.
/// - -EFBIG if `length` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
/// - -EMFILE, -ENFILE if descriptors run out.
/// - -EPERM if the memory is sealed, mseal(2).
/// - -EAGAIN if mlockall(2) is in effect and RLIMIT_MEMLOCK would be exceeded.
/// - The errors of memfd_create(2), if it is refused; other errors of mmap(2).
///
/// The call detects the stack of this thread, the stack of the first thread, and every stack that
/// glibc made. Never pass any part of another stack, which another C library has made or to which
/// the program switches by itself. Of such a stack the call detects only the page that this thread,
/// or a thread that waits in the kernel, uses now.
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
