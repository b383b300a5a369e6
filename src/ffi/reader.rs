//! Wraps content that a function of the caller reads.

use std::ffi::{c_int, c_void};
use std::io::{self, Read};

use super::arguments::required;
use super::boundary::{boundary, bytefd_error};
use super::scan::{bytefd_scan, lend};
use super::stream::{bytefd_stream_options, stream_options};
use super::wrap_options::{bytefd_wrap_options, scan_options, wrap_options};
use crate::{Error, Result};

/// The callback of bytefd_wrap_reader, which delivers the next bytes. It stores at most `size`
/// bytes at `buf`, and returns how many it stored. 0 means the end, and a negative errno an error.
/// After -EINTR the library calls it again. `context` is the pointer that the caller gave.
///
/// The callback runs in the thread that called the library. It must return: it must not throw, call
/// longjmp(3) or end the thread. It must not keep `buf`.
pub type bytefd_read_fn = Option<
    unsafe extern "C" fn(context: *mut c_void, buf: *mut c_void, size: usize) -> libc::ssize_t,
>;

/// Reads by calling the caller's function.
struct Reader {
    read: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> libc::ssize_t,
    context: *mut c_void,
    /// The errno with which the function has failed.
    errno: Option<c_int>,
}

impl Reader {
    fn new(read: bytefd_read_fn, context: *mut c_void) -> Result<Reader> {
        Ok(Reader { read: required(read, "read")?, context, errno: None })
    }

    /// Returns `result`. If it is an error and the caller's function has failed, the error gets the
    /// errno of the function.
    fn blame<T>(&self, result: Result<T>) -> Result<T> {
        match self.errno {
            Some(errno) if result.is_err() => {
                Err(Error::new("read", errno, "the caller's read function has failed"))
            }
            _ => result,
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the caller gave the function for this purpose, and `buf` is writable.
        let count = unsafe { (self.read)(self.context, buf.as_mut_ptr().cast(), buf.len()) };
        if count == -(libc::EINTR as isize) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        usize::try_from(count).map_err(|_| {
            let errno = count
                .checked_neg()
                .and_then(|errno| c_int::try_from(errno).ok())
                .unwrap_or(libc::EIO);
            self.errno = Some(errno);
            io::Error::from_raw_os_error(errno)
        })
    }
}

/// Creates a file as bytefd_wrap_stream does, from content that the callback `read` delivers. The
/// library calls `read` until it returns 0. Meanwhile the library holds no lock, and `read` may
/// call any function of the library.
///
/// Returns the descriptor. On failure, returns what bytefd_wrap_stream returns with these `options`
/// and `stream`, or one of the following, and keeps nothing:
/// - The negative errno that `read` returned, with `error->op` "read".
/// - -EINVAL if `read` is NULL, or returned more than `size`.
/// - -EINVAL if `stream` has a timeout or BYTEFD_INTERRUPTIBLE, because only `read` itself can end
///   its wait.
///
/// ```c
/// static ssize_t next(void *file, void *buf, size_t size)
/// {
///     size_t count = fread(buf, 1, size, file);
///     return count == 0 && ferror(file) ? -EIO : (ssize_t)count;
/// }
///
/// int example(void)
/// {
///     return bytefd_wrap_reader(next, stdin, NULL, NULL, NULL);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_wrap_reader(
    read: bytefd_read_fn,
    context: *mut c_void,
    options: *const bytefd_wrap_options,
    stream: *const bytefd_stream_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options.
    boundary(error, || unsafe {
        let (wrap, stream) = (wrap_options(options)?, stream_options(stream)?);
        let mut reader = Reader::new(read, context)?;
        let wrapped = wrap.wrap_reader(&mut reader, &stream);
        reader.blame(wrapped)
    })
}

/// Begins a scan as bytefd_scan_begin does, of content that the callback `read` delivers. The
/// content goes into a file of `options->pool` if that is set.
///
/// Returns the descriptor. On failure, returns what bytefd_wrap_reader returns, or -EINVAL if
/// `scan` is NULL.
///
/// ```c
/// static ssize_t nothing(void *context, void *buf, size_t size)
/// {
///     (void)context, (void)buf, (void)size;
///     return 0;
/// }
///
/// int example(void)
/// {
///     bytefd_scan *scan;
///     int fd = bytefd_scan_begin_reader(nothing, NULL, NULL, NULL, &scan, NULL);
///     return fd < 0 ? fd : bytefd_scan_end(scan);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_scan_begin_reader(
    read: bytefd_read_fn,
    context: *mut c_void,
    options: *const bytefd_wrap_options,
    stream: *const bytefd_stream_options,
    scan: *mut *mut bytefd_scan,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and a writable pointer.
    boundary(error, || unsafe {
        lend(scan, || {
            let ((options, pool), stream) = (scan_options(options)?, stream_options(stream)?);
            let mut reader = Reader::new(read, context)?;
            let begun = match pool {
                Some(pool) => pool.0.scan_begin_reader(&mut reader, &options, &stream),
                None => options.scan_begin_reader(&mut reader, &stream),
            };
            reader.blame(begun)
        })
    })
}
