//! Lend a descriptor to C code.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd};

use super::arguments::{bytes, open_descriptor, required, segments};
use super::boundary::{boundary, bytefd_error, end, fail};
use super::cancellation::with_cleanup;
use super::results::give;
use super::stream::{bytefd_stream_options, stream_options};
use super::wrap_options::{bytefd_wrap_options, scan_options};
use crate::{Error, Result, Scan};

/// What scan_bytes calls: `fd` is lent for the duration of the call, `context` is the caller's own.
/// Returns 0 to say that all went well.
///
/// It may dup, map and reopen the descriptor and keep those; it may even close it. In C++ it may
/// throw: the exception passes through scan_bytes, and the descriptor is closed. It must not leave
/// by longjmp(3) or pthread_exit(3). pthread_cancel(3) may end it: the descriptor is closed.
pub type bytefd_scan_fn =
    Option<unsafe extern "C-unwind" fn(fd: c_int, context: *mut c_void) -> c_int>;

/// Lends a descriptor that holds `len` bytes from `buf` to the function `scan`, and closes it
/// afterwards. The descriptor is as shm_wrap_buffer makes it with these options: a new file for
/// every call, so nothing of one scan can ever show in another. With options->pool it is a cached
/// file: faster, with the protection that bytefd_pool describes.
///
/// The descriptor is closed exactly once, whatever the function does. If `scan` closed the number
/// itself, and another file has it by then, the library leaves that file open. Any thread may call
/// this at any time, also from within `scan`.
///
/// Returns 0 when `scan` returned 0. When it returned anything else: -ECANCELED, with op "callback"
/// and the value in `error->callback`. When there is no descriptor to lend, `scan` is not called,
/// and the answer is shm_wrap_buffer's; -EINVAL if `scan` is NULL.
///
/// ```c
/// static int print_size(int fd, void *context)
/// {
///     struct stat st;
///     (void)context;
///     if (fstat(fd, &st) < 0)
///         return 1;
///     printf("%lld bytes\n", (long long)st.st_size);
///     return 0;
/// }
///
/// int example(void)
/// {
///     return scan_bytes("hello", 5, print_size, NULL, NULL, NULL);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
/// cbindgen:postfix=BYTEFD_READS(1, 2)
pub unsafe extern "C-unwind" fn bytefd_scan_bytes(
    buf: *const c_void,
    len: usize,
    scan: bytefd_scan_fn,
    context: *mut c_void,
    options: *const bytefd_wrap_options,
    error: *mut bytefd_error,
) -> c_int {
    let mut ready = None;
    let status = boundary(error, || {
        let scan = required(scan, "scan")?;
        // SAFETY: the header asks for `len` readable bytes at `buf`, and for valid options.
        ready = Some((scan, unsafe { begin(buf, len, options)? }));
        Ok(())
    });
    let Some((scan, lent)) = ready else { return status };
    // Outside the boundary: a C++ exception or a cancel may leave the callback, and drops `lent` on
    // its way. SAFETY: the caller gave the function for this purpose.
    let (lent, answer) =
        with_cleanup(lent, |lent| unsafe { scan(lent.as_fd().as_raw_fd(), context) });
    boundary(error, || {
        drop(lent);
        Ok(())
    });
    match answer {
        0 => 0,
        value => {
            let failure = Error::new(
                "callback",
                libc::ECANCELED,
                format_args!("the callback returned {value}"),
            );
            fail(error, &failure, value)
        }
    }
}

/// # Safety
/// `buf` points to `len` readable bytes or is NULL, and the options are valid, their pool too.
unsafe fn begin(
    buf: *const c_void,
    len: usize,
    options: *const bytefd_wrap_options,
) -> Result<Scan> {
    // SAFETY: the caller vouches for it.
    let (bytes, (options, pool)) =
        unsafe { (bytes(("buf", "len"), buf, len)?, scan_options(options)?) };
    match pool {
        Some(pool) => pool.0.scan_begin(bytes, &options),
        None => options.scan_begin(bytes),
    }
}

/// Gives a scan to the caller, and its descriptor.
///
/// # Safety
/// `to` is NULL or writable.
pub(super) unsafe fn lend(
    to: *mut *mut bytefd_scan,
    begin: impl FnOnce() -> Result<Scan>,
) -> Result<c_int> {
    let mut fd = -1;
    // SAFETY: the caller vouches for it.
    unsafe {
        give(to, "scan", || {
            let lent = begin()?;
            fd = lent.as_fd().as_raw_fd();
            Ok(bytefd_scan(lent))
        })?;
    }
    Ok(fd)
}

/// A descriptor on loan, between bytefd_scan_begin and bytefd_scan_end. One thread at a time may
/// use it.
pub struct bytefd_scan(#[expect(dead_code, reason = "dropping it ends the loan")] Scan);

/// scan_bytes in two steps, for languages whose callbacks do not cross C well.
///
/// Returns the descriptor, which stays the library's, and writes to `*scan` what bytefd_scan_end
/// takes. On failure a negative errno as scan_bytes, with `*scan` untouched; -EINVAL if `scan` is
/// NULL.
///
/// ```c
/// bytefd_scan *scan;
/// int fd = bytefd_scan_begin("hello", 5, NULL, &scan, NULL);
/// if (fd >= 0) {
///     lseek(fd, 0, SEEK_END);
///     bytefd_scan_end(scan);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
/// cbindgen:postfix=BYTEFD_READS(1, 2)
pub unsafe extern "C" fn bytefd_scan_begin(
    buf: *const c_void,
    len: usize,
    options: *const bytefd_wrap_options,
    scan: *mut *mut bytefd_scan,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `len` readable bytes at `buf`, valid options and a writable
    // pointer.
    boundary(error, || unsafe { lend(scan, || begin(buf, len, options)) })
}

/// bytefd_scan_begin for content that lies in several places, as bytefd_wrap_iov takes it.
///
/// ```c
/// struct iovec parts[2] = {{"head", 4}, {"body", 4}};
/// bytefd_scan *scan;
/// if (bytefd_scan_begin_iov(parts, 2, NULL, &scan, NULL) >= 0)
///     bytefd_scan_end(scan);
/// ```
#[unsafe(no_mangle)]
#[must_use]
/// cbindgen:postfix=BYTEFD_READS(1, 2)
pub unsafe extern "C" fn bytefd_scan_begin_iov(
    iov: *const libc::iovec,
    count: usize,
    options: *const bytefd_wrap_options,
    scan: *mut *mut bytefd_scan,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `count` valid segments at `iov`, valid options and a writable
    // pointer.
    boundary(error, || unsafe {
        lend(scan, || {
            let (segments, (options, pool)) = (segments(iov, count)?, scan_options(options)?);
            match pool {
                Some(pool) => pool.0.scan_begin_vectored(&segments, &options),
                None => options.scan_begin_vectored(&segments),
            }
        })
    })
}

/// bytefd_scan_begin for the stream behind the descriptor `fd`, which is read to its end as
/// bytefd_wrap_stream does, into a file of options->pool if there is one. `fd` stays the caller's.
/// On failure returns what bytefd_wrap_stream returns, or -EINVAL if `scan` is NULL.
///
/// ```c
/// bytefd_scan *scan;
/// if (bytefd_scan_begin_stream(STDIN_FILENO, NULL, NULL, &scan, NULL) >= 0)
///     bytefd_scan_end(scan);
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_scan_begin_stream(
    fd: c_int,
    options: *const bytefd_wrap_options,
    stream: *const bytefd_stream_options,
    scan: *mut *mut bytefd_scan,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and a writable pointer.
    boundary(error, || unsafe {
        lend(scan, || {
            let ((options, pool), stream) = (scan_options(options)?, stream_options(stream)?);
            let source = open_descriptor(fd)?;
            match pool {
                Some(pool) => pool.0.scan_begin_stream(source, &options, &stream),
                None => options.scan_begin_stream(source, &stream),
            }
        })
    })
}

/// Ends the loan and frees `scan`: the descriptor is closed, unless the borrower has closed it
/// already. NULL is fine. Always returns 0.
///
/// ```c
/// bytefd_scan_end(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_scan_end(scan: Option<Box<bytefd_scan>>) -> c_int {
    end(scan, |_| Ok(()))
}
