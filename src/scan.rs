//! Lend a descriptor to a closure, clean up whatever happens.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Context, Result};
use crate::pool::{Loan, Pool};
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
        Ok(Scan { lent: Lent::New { fd: Some(fd), identity } })
    }
}

impl Pool {
    /// [`scan`] with a kept file, if there is one: many times faster, for callbacks that belong to one trust domain.
    ///
    /// Three levels, and what each protects against:
    /// - A new file ([`scan`]): nothing of one scan can ever show in another, whatever the callback keeps.
    /// - A pool: a callback that keeps a duplicate, a mapping, a child or a description of its own makes the kernel refuse the
    ///   proof, and the file is dropped. Not seen are **pages in flight**: vmsplice(2) from a mapping, zero-copy sends, whatever
    ///   else pins pages, and splice(2) and sendfile(2) from a descriptor without `O_DIRECT` (which the one that is lent has, where
    ///   the kernel takes it, 6.6) leave references to pages in a pipe or socket; who reads them later may read a later scan's
    ///   bytes. Nor is an `O_PATH` descriptor seen, which can be opened during a later scan. The file is not sealed: mode 0400 and a read-only description are what keeps a
    ///   callback from changing what it scans.
    /// - A pool and [`WrapOptions::trust_callback`]: the kept file itself is lent, read-write, without proof. A callback that
    ///   breaks its promise sees, and changes, later scans.
    ///
    /// A child made by fork(2) has an empty pool: it closes the files it inherited at its first use. Until then it can read and
    /// change what the parent scans later: make pools after forking workers, or call [`Pool::trim`] in the child.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// let length = pool.scan(b"hello", |fd| std::fs::read(bytefd::path(fd)).unwrap().len())?;
    /// assert_eq!(length, 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`]; then `scan` has not been called.
    pub fn scan<R>(&self, bytes: &[u8], scan: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R> {
        let lent = self.scan_begin(bytes, &WrapOptions::new())?;
        Ok(scan(lent.as_fd()))
    }

    /// The same in two steps and with options: the descriptor is lent until the [`Scan`] is dropped, which may be after the
    /// pool. Of the options a pool takes [`Backend::Memfd`](crate::Backend::Memfd), [`WrapOptions::inherit`] and
    /// [`WrapOptions::read_only`] (it always is), or [`WrapOptions::trust_callback`] alone.
    ///
    /// ```
    /// use bytefd::{Pool, WrapOptions};
    /// let pool = Pool::new(64 << 20);
    /// let lent = pool.scan_begin(b"hello", &WrapOptions::new().inherit(true))?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`]; `EINVAL` for options that need a file of their own.
    pub fn scan_begin(&self, bytes: &[u8], options: &WrapOptions) -> Result<Scan> {
        let loan = options.loan()?;
        let Some(kept) = self.lend(bytes, loan.is_trusted)? else {
            return options.clone().trust_callback(false).scan_begin(bytes);
        };
        if loan.is_inherited {
            sys::file::clear_close_on_exec(kept.as_fd()).context("fcntl F_SETFD", || "descriptor for inheritance")?;
        }
        Ok(Scan { lent: Lent::Kept(kept) })
    }
}

/// A descriptor on loan. Dropping it closes the descriptor exactly once, unless the borrower has closed it already: a number that
/// stands for another file by then is left alone. A pool's file goes back to the pool.
///
/// ```
/// use std::os::fd::AsFd;
/// let lent: bytefd::Scan = bytefd::WrapOptions::new().scan_begin(b"hello")?;
/// let fd = lent.as_fd();
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Scan {
    lent: Lent,
}

#[derive(Debug)]
enum Lent {
    New {
        /// `None` only while dropping.
        fd: Option<OwnedFd>,
        identity: sys::file::Identity,
    },
    Kept(Loan),
}

impl AsFd for Scan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.lent {
            Lent::New { fd, .. } => fd.as_ref().expect("present until drop").as_fd(),
            Lent::Kept(loan) => loan.as_fd(),
        }
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        // A kept file gives itself back.
        if let Lent::New { fd, identity } = &mut self.lent {
            fd.take().map(|fd| sys::file::close_if(fd, *identity));
        }
    }
}
