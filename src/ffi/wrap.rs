//! Bytes in, descriptor out.

use std::ffi::{c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use super::arguments::{bytes, open_descriptor, segments};
use super::boundary::{boundary, bytefd_error};
use super::results::put_text;
use super::wrap_options::{bytefd_wrap_options, wrap_options};

/// Copies `len` bytes from `buf` into a new file and returns its descriptor, which the caller owns and closes.
///
/// What is returned with default options: a regular file of exactly `len` bytes (0 is fine), offset 0, link count 0,
/// mode 0400, close-on-exec; sealed against writing, growing, shrinking and further seals, and against execution where
/// the kernel can (Linux 6.3). Every PROT_READ mapping works on it, shared or private. The content lives as long as any
/// duplicate, mapping or receiver of the descriptor. Where there is no memfd the file cannot be sealed: then the
/// description is read-only instead. Descriptors 0, 1 and 2 are never returned.
///
/// Reads `buf` only during the call. Any thread may call it at any time.
///
/// Returns the descriptor, or a negative errno, with nothing left behind:
/// - -EINVAL: `buf` is NULL with a `len` above 0, `len` is above PTRDIFF_MAX, or options that are unknown or contradict
///   each other.
/// - -E2BIG: the options have members that this version does not know.
/// - -EFAULT: `buf` is not all readable memory.
/// - -EFBIG: `len` is above RLIMIT_FSIZE. (No SIGXFSZ is raised.)
/// - -ENOSPC: the file system behind the chosen backend is full.
/// - -EMFILE, -ENFILE, -ENOMEM: no descriptors or memory left.
/// - -ENOENT: /proc is not mounted, and the options or the host need it to open the file read-only.
/// - what the system call in `error->op` answered.
///
/// ```c
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (fd >= 0)
///     close(fd);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_wrap_buffer(
    buf: *const c_void,
    len: usize,
    options: *const bytefd_wrap_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `len` readable bytes at `buf`, and for valid options.
    boundary(error, || unsafe {
        let bytes = bytes(("buf", "len"), buf, len)?;
        wrap_options(options)?.wrap(bytes)
    })
}

/// shm_wrap_buffer for content that lies in several places: the file holds the `count` segments in their order. Any
/// count; a segment of length 0 is skipped. `iov` may be NULL only with `count` 0.
///
/// ```c
/// struct iovec parts[2] = {{"head", 4}, {"body", 4}};
/// int fd = bytefd_wrap_iov(parts, 2, NULL, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_wrap_iov(
    iov: *const libc::iovec,
    count: usize,
    options: *const bytefd_wrap_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `count` valid segments at `iov`, and for valid options.
    boundary(error, || unsafe {
        let segments = segments(iov, count)?;
        wrap_options(options)?.wrap_vectored(&segments)
    })
}

/// Opens the regular file behind `fd` again and returns a new descriptor, which the caller owns: read-only, with an
/// offset of its own at 0, close-on-exec. A dup(2) shares its offset with the original; this does not. `fd` stays open.
///
/// It is no protection by itself: whoever holds it can open the file read-write through /proc again, as far as the
/// file's mode allows. Only seals protect.
///
/// Returns the descriptor, or a negative errno: -EBADF, -EINVAL if it is not a regular file, -ENOENT where /proc is not
/// mounted, -EACCES if the file's mode forbids reading, and open(2)'s own.
///
/// ```c
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// int other = bytefd_reopen(fd, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_reopen(fd: c_int, error: *mut bytefd_error) -> c_int {
    boundary(error, || crate::reopen(open_descriptor(fd)?))
}

/// Writes the text "/proc/self/fd/N" for `fd` with its final NUL to `buf`, for code that takes only a path. 32 bytes
/// are always enough.
///
/// The path names the descriptor for this process and as long as it is open; opening it gives a description with an
/// offset of its own. A child process finds it under the same path if it inherits the descriptor (BYTEFD_INHERIT). Code
/// that resolves the link first (SQLite does) or opens with O_NOFOLLOW finds nothing there. With a backend other than
/// memfd, give it to no code that resolves the link and opens the result: somebody else can make a file of that name.
///
/// Returns 0, or a negative errno with `buf` untouched: -EBADF, -EINVAL if `buf` is NULL, -ERANGE if `len` is too small.
///
/// ```c
/// char path[32];
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (fd >= 0 && bytefd_path(fd, path, sizeof path, NULL) == 0)
///     puts(path);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_path(fd: c_int, buf: *mut c_char, len: usize, error: *mut bytefd_error) -> c_int {
    // SAFETY: the header asks for `len` writable bytes at `buf`.
    boundary(error, || unsafe { put_text(crate::path(open_descriptor(fd)?).as_os_str().as_bytes(), buf, len) })
}
