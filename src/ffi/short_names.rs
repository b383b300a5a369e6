//! Exports the three short names, for dlsym(3) and other languages. The header defines them as
//! inline functions, so that a program with its own `map_file` calls its own. The library does not
//! call them.

use std::ffi::{c_char, c_int, c_void};

use super::boundary::bytefd_error;
use super::map::{bytefd_map, bytefd_map_file};
use super::map_options::bytefd_map_options;
use super::scan::{bytefd_scan_bytes, bytefd_scan_fn};
use super::wrap::bytefd_wrap_buffer;
use super::wrap_options::bytefd_wrap_options;

/// [`bytefd_wrap_buffer`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shm_wrap_buffer(
    buf: *const c_void,
    len: usize,
    options: *const bytefd_wrap_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the same arguments.
    unsafe { bytefd_wrap_buffer(buf, len, options, error) }
}

/// [`bytefd_scan_bytes`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn scan_bytes(
    buf: *const c_void,
    len: usize,
    scan: bytefd_scan_fn,
    context: *mut c_void,
    options: *const bytefd_wrap_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the same arguments.
    unsafe { bytefd_scan_bytes(buf, len, scan, context, options, error) }
}

/// [`bytefd_map_file`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn map_file(
    path: *const c_char,
    options: *const bytefd_map_options,
    map: *mut *mut bytefd_map,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the same arguments.
    unsafe { bytefd_map_file(path, options, map, error) }
}
