//! Returns values to C, and writes out-parameters.

use std::ffi::{c_char, c_int};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use super::arguments::is_null;
use super::options::{Extensible, check_size};
use crate::{Error, Result};

/// A value that an exported function can return on success.
pub(super) trait Answer {
    fn into_int(self) -> c_int;
}

/// Success without a value is 0.
impl Answer for () {
    fn into_int(self) -> c_int {
        0
    }
}

/// A descriptor that the caller then owns.
impl Answer for OwnedFd {
    fn into_int(self) -> c_int {
        self.into_raw_fd()
    }
}

/// A descriptor that the library still owns.
impl Answer for BorrowedFd<'_> {
    fn into_int(self) -> c_int {
        self.as_raw_fd()
    }
}

/// A number that the function has computed itself.
impl Answer for c_int {
    fn into_int(self) -> c_int {
        self
    }
}

/// A count.
impl Answer for usize {
    fn into_int(self) -> c_int {
        c_int::try_from(self).unwrap_or(c_int::MAX)
    }
}

/// Makes a value and writes it to `to`. If `to` is NULL, it makes nothing.
///
/// # Safety
/// `to` is NULL or writable.
pub(super) unsafe fn put<T>(
    to: *mut T,
    what: &'static str,
    make: impl FnOnce() -> Result<T>,
) -> Result<()> {
    if to.is_null() {
        return Err(is_null(what));
    }
    let value = make()?;
    // SAFETY: the caller vouches for it, and it is not NULL.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes an optional value; NULL is allowed.
///
/// # Safety
/// As [`put`].
pub(super) unsafe fn put_if_wanted<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the caller vouches for it, and it is not NULL.
        unsafe { to.write(value) };
    }
}

/// Makes an object, and gives the caller a handle for it.
///
/// # Safety
/// As [`put`].
pub(super) unsafe fn give<T>(
    to: *mut *mut T,
    what: &'static str,
    make: impl FnOnce() -> Result<T>,
) -> Result<()> {
    // SAFETY: the caller vouches for it.
    unsafe { put(to, what, || Ok(Box::into_raw(Box::new(make()?)))) }
}

/// Gives descriptors to the caller.
///
/// # Safety
/// There is room for all of them at `to`, which may be NULL for none.
pub(super) unsafe fn put_descriptors(to: *mut c_int, descriptors: Vec<OwnedFd>) {
    for (at, fd) in descriptors.into_iter().enumerate() {
        // SAFETY: the caller vouches for it.
        unsafe { to.add(at).write(fd.into_raw_fd()) };
    }
}

/// Fills a struct, and writes at most the `size` bytes that the caller has set. `size` is not
/// changed.
///
/// # Safety
/// `to` is NULL or points to as many writable bytes as its first member says.
pub(super) unsafe fn fill<T: Extensible>(
    to: *mut T,
    what: &'static str,
    make: impl FnOnce() -> Result<T>,
) -> Result<()> {
    if to.is_null() {
        return Err(is_null(what));
    }
    // SAFETY: the caller vouches for at least the first member.
    let size = unsafe { to.cast::<usize>().read_unaligned() };
    check_size::<T>(what, size)?;
    let value = make()?;
    // SAFETY: the caller vouches for `size` bytes at `to`. No more bytes are copied than `value`
    // has.
    unsafe {
        std::ptr::copy_nonoverlapping(
            (&raw const value).cast::<u8>(),
            to.cast(),
            size.min(size_of::<T>()),
        );
        to.cast::<usize>().write_unaligned(size);
    }
    Ok(())
}

/// Writes a text and its NUL, if both fit.
///
/// # Safety
/// `buf` points to `len` writable bytes, or is NULL.
pub(super) unsafe fn put_text(text: &[u8], buf: *mut c_char, len: usize) -> Result<()> {
    if buf.is_null() {
        return Err(is_null("buf"));
    }
    if text.len() >= len {
        let message = format!("the text needs {} bytes, the buffer has {len}", text.len() + 1);
        return Err(Error::new("buf", libc::ERANGE, message));
    }
    // SAFETY: the caller vouches for the buffer, and the text and its NUL fit.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buf.cast::<u8>(), text.len());
        buf.add(text.len()).write(0);
    }
    Ok(())
}
