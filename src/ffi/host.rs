//! Reports what the library uses on this host.

use std::ffi::{c_char, c_int};

use super::boundary::{boundary, bytefd_error};
use super::results::put_text;

/// Writes a report to `buf`, with a final NUL: one line for each choice that the library makes on
/// this host, with the reason. The report is for people and logs, and its words may change. `size`
/// is the capacity of `buf`; 1024 is enough in this version. The function tries each choice on this
/// host.
///
/// Returns 0. On failure, returns one of the following and leaves `buf` unchanged:
/// - -EINVAL  if `buf` is NULL.
/// - -ERANGE  if `size` is too small.
/// - Errors of bytefd_wrap_buffer.
///
/// ```c
/// char report[1024];
/// if (bytefd_host_report(report, sizeof report, NULL) == 0)
///     fputs(report, stderr);
/// ```
///
/// cbindgen:postfix=BYTEFD_WRITES(1, 2)
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_host_report(
    buf: *mut c_char,
    size: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `size` writable bytes at `buf`.
    boundary(error, || unsafe { put_text(crate::host::report()?.as_bytes(), buf, size) })
}
