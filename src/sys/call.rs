//! The result of a system call: a bare errno on failure, EINTR handled here and nowhere else.

use crate::error::Errno;

pub(crate) type Result<T> = std::result::Result<T, Errno>;

pub(super) fn last_errno() -> Errno {
    std::io::Error::last_os_error().into()
}

/// The result of a call that answers -1 on failure.
pub(super) fn check<T: Copy + PartialEq + From<i8>>(value: T) -> Result<T> {
    if value == T::from(-1) { Err(last_errno()) } else { Ok(value) }
}

/// `check`, and again for as long as a signal handler interrupts the call.
pub(super) fn retry<T: Copy + PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> Result<T> {
    loop {
        match check(call()) {
            Err(Errno(libc::EINTR)) => {}
            result => return result,
        }
    }
}
