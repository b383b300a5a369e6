//! Lends a descriptor to C code.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd};

use super::arguments::{bytes, open_descriptor, required, segments};
use super::boundary::{boundary, bytefd_error, end, fail};
use super::cancellation::with_cleanup;
use super::results::give;
use super::stream::{bytefd_stream_options, stream_options};
use super::wrap_options::{bytefd_wrap_options, scan_options};
use crate::{Error, Result, Scan};

/// The callback of scan_bytes. `fd` is lent for the duration of the call, and `context` is the
/// pointer that the caller gave. A return value of 0 means success; any other value makes
/// scan_bytes return -ECANCELED.
///
/// The callback may close the descriptor. It may duplicate, map and reopen it, and keep the
/// results; with BYTEFD_TRUST_CALLBACK it must keep nothing.
///
/// In C++ the callback may throw: the exception passes through scan_bytes, and the scan ends as
/// usual. The callback must not leave by longjmp(3) or pthread_exit(3). pthread_cancel(3) may end
/// it; the scan then ends in the same way.
pub type bytefd_scan_fn =
    Option<unsafe extern "C-unwind" fn(fd: c_int, context: *mut c_void) -> c_int>;

/// Lends a descriptor of a file that contains the `len` bytes at `buf` to the callback `scan`, and
/// closes the descriptor afterwards.
///
/// The descriptor is as bytefd_wrap_buffer makes it with the same options. Without a pool, each
/// call uses a new file, so that nothing of one scan can ever be seen in another. With
/// `options->pool` the descriptor belongs to a file of the pool. That is faster, but the file
/// usually has no seals; bytefd_pool describes what protects it.
///
/// The descriptor is closed exactly once, whatever the callback does. (The descriptor of a cached
/// file that was lent with BYTEFD_TRUST_CALLBACK goes back to the pool instead, open.) If the
/// callback has closed the number, and another file has the number by then, the library leaves that
/// file open. Any thread may call this at any time, also from within a callback.
///
/// Returns 0 if `scan` returned 0. Otherwise returns one of the following:
/// - -ECANCELED if `scan` returned another value. `error->op` is then "callback", and
///   `error->callback` is that value.
/// - -EINVAL if `scan` is NULL.
/// - The errors of bytefd_wrap_buffer, if no descriptor can be made. `scan` is not called then.
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
    // Outside the boundary, because a C++ exception or a cancellation can leave the callback.
    // Either drops `lent`. SAFETY: the caller gave the function for this purpose.
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

/// Begins a scan, and gives the caller its handle and its descriptor.
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

/// The handle of a scan, from bytefd_scan_begin or a variant of it to bytefd_scan_end. Any thread
/// may end the scan, once. The handle does not restrict which threads use the descriptor.
pub struct bytefd_scan(#[expect(dead_code, reason = "dropping it ends the loan")] Scan);

/// Begins a scan without a callback, for languages whose callbacks do not cross C well.
/// bytefd_scan_end ends it.
///
/// Returns the descriptor, which stays the library's, and writes a handle for bytefd_scan_end to
/// `*scan`. On failure, returns one of the following and leaves `*scan` unchanged:
/// - -EINVAL if `scan` is NULL.
/// - The errors of bytefd_wrap_buffer.
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

/// Begins a scan as bytefd_scan_begin does, of content that lies in several places, as
/// bytefd_wrap_iov takes it.
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

/// Begins a scan as bytefd_scan_begin does, of the stream behind the descriptor `fd`. It reads the
/// stream to its end as bytefd_wrap_stream does, into a file of `options->pool` if that is set.
/// `fd` stays the caller's.
///
/// Returns the descriptor. On failure, returns what bytefd_wrap_stream returns, or -EINVAL if
/// `scan` is NULL.
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

/// Ends the scan and frees `scan`. It closes the descriptor, unless the borrower has closed it
/// already. (A descriptor that was lent with BYTEFD_TRUST_CALLBACK goes back to the pool instead,
/// open.) NULL is allowed. Always returns 0.
///
/// ```c
/// bytefd_scan_end(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_scan_end(scan: Option<Box<bytefd_scan>>) -> c_int {
    end(scan, |_| Ok(()))
}
