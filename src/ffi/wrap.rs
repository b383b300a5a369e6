//! Bytes in, descriptor out.

use std::ffi::{c_char, c_int, c_void};
use std::io::IoSlice;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;

use super::boundary::{boundary, bytefd_error, is_null};
use super::options::{bytefd_wrap_options, wrap_options};
use super::pool::no_pool;
use crate::{Error, Result};

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
    boundary(error, || {
        // SAFETY: the header asks for `len` readable bytes at `buf`, and for valid options.
        let (bytes, options) = unsafe { (bytes(buf, len)?, wrap_options(options)?) };
        Ok(no_pool(options)?.wrap(bytes)?.into_raw_fd())
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
    boundary(error, || {
        // SAFETY: the header asks for `count` valid segments at `iov`, and for valid options.
        let (segments, options) = unsafe { (segments(iov, count)?, wrap_options(options)?) };
        Ok(no_pool(options)?.wrap_vectored(&segments)?.into_raw_fd())
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
    boundary(error, || Ok(crate::reopen(borrow(fd)?)?.into_raw_fd()))
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
    boundary(error, || {
        let path = crate::path(borrow(fd)?);
        // SAFETY: the header asks for `len` writable bytes at `buf`.
        unsafe { write_text(path.as_os_str().as_bytes(), buf, len) }
    })
}

/// Writes a text and its NUL, if both fit.
///
/// # Safety
/// `buf` points to `len` writable bytes, or is NULL.
pub(super) unsafe fn write_text(text: &[u8], buf: *mut c_char, len: usize) -> Result<c_int> {
    if buf.is_null() {
        return Err(is_null("buf"));
    }
    if text.len() >= len {
        let message = format_args!("the text needs {} bytes, the buffer has {len}", text.len() + 1);
        return Err(Error::new("buf", libc::ERANGE, message));
    }
    // SAFETY: the caller vouches for the buffer, and the text and its NUL fit.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buf.cast::<u8>(), text.len());
        buf.add(text.len()).write(0);
    }
    Ok(0)
}

/// A caller's descriptor, which is open.
pub(super) fn borrow<'a>(fd: c_int) -> Result<BorrowedFd<'a>> {
    if crate::sys::file::fstat_raw(fd).is_err() {
        return Err(is_not_open(fd));
    }
    borrow_any(fd)
}

/// A caller's descriptor. One that is not open is found out by the first system call, a negative one here.
pub(super) fn borrow_any<'a>(fd: c_int) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        return Err(is_not_open(fd));
    }
    // SAFETY: the header asks the caller to keep it open during the call.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

fn is_not_open(fd: c_int) -> Error {
    Error::new("fd", libc::EBADF, format_args!("{fd} is not an open descriptor"))
}

/// # Safety
/// `buf` points to `len` readable bytes, or is NULL.
pub(super) unsafe fn bytes<'a>(buf: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len > isize::MAX as usize {
        let message = format_args!("asked for {len} bytes, the most there can be is {}", isize::MAX);
        return Err(Error::new("len", libc::EINVAL, message));
    }
    match (buf.is_null(), len) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(Error::new("buf", libc::EINVAL, format_args!("buf is NULL, but len is {len}"))),
        // SAFETY: not NULL and not too long; the caller vouches for the bytes.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(buf.cast(), len) }),
    }
}

/// # Safety
/// `iov` points to `count` segments, each of readable bytes, or is NULL.
unsafe fn segments<'a>(iov: *const libc::iovec, count: usize) -> Result<Vec<IoSlice<'a>>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if iov.is_null() || count > isize::MAX as usize / size_of::<libc::iovec>() {
        return Err(Error::new("iov", libc::EINVAL, format_args!("iov is {iov:p} with {count} segments")));
    }
    let mut segments = Vec::new();
    segments
        .try_reserve_exact(count)
        .map_err(|_| Error::new("iov", libc::ENOMEM, format_args!("no memory for a list of {count} segments")))?;
    // SAFETY: not NULL and not too many; the caller vouches for the segments.
    for (index, segment) in unsafe { std::slice::from_raw_parts(iov, count) }.iter().enumerate() {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { bytes(segment.iov_base, segment.iov_len) };
        let named =
            |error: Error| Error::new("iov", error.errno(), format_args!("segment {index}: {}", error.message()));
        segments.push(IoSlice::new(bytes.map_err(named)?));
    }
    Ok(segments)
}
