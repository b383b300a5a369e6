//! Lend a descriptor to a closure, clean up whatever happens.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Context, Result};
use crate::sys;
use crate::wrap::WrapOptions;

/// Lends a descriptor that holds `bytes` to `scan` and returns what it returns, with all defaults of
/// [`WrapOptions`]. The descriptor is closed when `scan` returns or panics.
///
/// ```
/// use std::os::fd::AsRawFd;
/// let length = bytefd::scan(b"hello", |fd| std::fs::metadata(bytefd::path(fd)).map(|m| m.len()))??;
/// assert_eq!(length, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`WrapOptions::wrap`]; then `scan` has not been called.
pub fn scan<R>(bytes: &[u8], scan: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R> {
    WrapOptions::new().scan(bytes, scan)
}

impl WrapOptions {
    /// [`scan`] with options.
    ///
    /// ```
    /// use bytefd::WrapOptions;
    /// use std::process::Command;
    /// let out = WrapOptions::new().inherit(true).scan(b"hello", |fd| {
    ///     Command::new("wc").arg("-c").arg(bytefd::path(fd)).output()
    /// })??;
    /// assert!(out.stdout.starts_with(b"5 "));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`]; then `scan` has not been called.
    pub fn scan<R>(&self, bytes: &[u8], scan: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R> {
        let lent = self.scan_begin(bytes)?;
        Ok(scan(lent.as_fd()))
    }

    /// The same in two steps: the descriptor is lent until the [`Scan`] is dropped.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// let lent = bytefd::WrapOptions::new().scan_begin(b"hello")?;
    /// assert_eq!(std::fs::read(bytefd::path(&lent))?, b"hello");
    /// drop(lent);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`].
    pub fn scan_begin(&self, bytes: &[u8]) -> Result<Scan> {
        let fd = self.wrap(bytes)?;
        let identity = sys::file::fstat(fd.as_fd()).context("fstat", || "the new file")?.identity;
        Ok(Scan { fd: Some(fd), identity })
    }
}

/// A descriptor on loan. Dropping it closes the descriptor exactly once, unless the borrower has closed it already:
/// a number that stands for another file by then is left alone.
///
/// ```
/// use std::os::fd::AsFd;
/// let lent: bytefd::Scan = bytefd::WrapOptions::new().scan_begin(b"hello")?;
/// let fd = lent.as_fd();
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Scan {
    /// `None` only while dropping.
    fd: Option<OwnedFd>,
    identity: sys::file::Identity,
}

impl AsFd for Scan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("present until drop").as_fd()
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            sys::file::close_if(fd, self.identity);
        }
    }
}
