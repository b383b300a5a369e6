//! System calls as safe functions: a bare errno on failure, EINTR handled here and nowhere else.

pub(crate) mod copy;
pub(crate) mod file;
pub(crate) mod guard;
pub(crate) mod lock;
pub(crate) mod mapping;
pub(crate) mod maps;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod sysv;
pub(crate) mod udmabuf;

pub(crate) use process::{
    file_size_limit, huge_page_size, is_privileged_exec, page_size, random, shared_huge_pages, thread_time,
};

use crate::error::Errno;

pub(crate) type Result<T> = std::result::Result<T, Errno>;

fn last_errno() -> Errno {
    std::io::Error::last_os_error().into()
}

/// The result of a call that answers -1 on failure.
fn check<T: Copy + PartialEq + From<i8>>(value: T) -> Result<T> {
    if value == T::from(-1) { Err(last_errno()) } else { Ok(value) }
}

/// `check`, and again for as long as a signal handler interrupts the call.
fn retry<T: Copy + PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> Result<T> {
    loop {
        match check(call()) {
            Err(Errno(libc::EINTR)) => {}
            result => return result,
        }
    }
}
