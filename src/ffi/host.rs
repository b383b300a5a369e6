//! What this host offers.

use std::ffi::{c_char, c_int};

use super::boundary::{boundary, bytefd_error};
use super::results::put_text;

/// Writes one line for each choice the library makes on this host, what it uses and why, with a final NUL to `buf`: for people
/// and logs; the words may change. 1024 bytes are enough in this version. It finds out by doing.
///
/// Returns 0, or a negative errno with `buf` untouched: -EINVAL if `buf` is NULL, -ERANGE if `len` is too small, or
/// shm_wrap_buffer's.
///
/// ```c
/// char report[1024];
/// if (bytefd_host_report(report, sizeof report, NULL) == 0)
///     fputs(report, stderr);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_host_report(buf: *mut c_char, len: usize, error: *mut bytefd_error) -> c_int {
    // SAFETY: the header asks for `len` writable bytes at `buf`.
    boundary(error, || unsafe { put_text(crate::host::report()?.as_bytes(), buf, len) })
}
