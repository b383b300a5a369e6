//! The result of a system call: a bare errno on failure. EINTR is handled here and nowhere else.

use crate::error::Errno;

pub(crate) type Result<T> = std::result::Result<T, Errno>;

pub(super) fn last_errno() -> Errno {
    std::io::Error::last_os_error().into()
}

/// Turns the -1 of a failed call into its errno.
pub(super) fn check<T: Copy + PartialEq + From<i8>>(value: T) -> Result<T> {
    if value == T::from(-1) { Err(last_errno()) } else { Ok(value) }
}

/// Calls `check`, again and again while a signal handler interrupts the call.
pub(super) fn retry<T: Copy + PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> Result<T> {
    loop {
        match check(call()) {
            Err(Errno(libc::EINTR)) => {}
            result => return result,
        }
    }
}
