//! Returns the version of the library.

use std::ffi::c_char;

/// Returns the version of the library that the program runs with, such as "0.1.0". BYTEFD_VERSION
/// is the version of the header that the program was compiled with. The text is static.
///
/// ```c
/// printf("compiled with bytefd %s, running with %s\n", BYTEFD_VERSION, bytefd_version());
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn bytefd_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
