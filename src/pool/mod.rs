//! Reuses files after the kernel has proved that nobody else has them open.
//!
//! Writing into pages that exist is many times faster than getting new ones. The danger is that somebody still holds the
//! file. So its **master** description never leaves this room (unless the callback is trusted); what is lent is a fresh
//! read-only one; and before the file is used again, the kernel is asked for a write lease on the master, which it grants only
//! if no other description of the file exists anywhere. Whatever else exists – a duplicate, a mapping, a child that has it –
//! the file is dropped and never used again.

mod cache;
mod cached_file;
mod counts;
mod slot;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::error::Result;
use crate::sys::file::close_if;
use cache::Cache;
use cached_file::CachedFile;
pub use counts::PoolCounts;

/// Files for one trust domain, kept and lent again. See [`Pool::scan`] for what it protects against and what it cannot see.
/// May be used from any thread; a scan never waits for another scan's callback.
///
/// ```
/// let pool = bytefd::Pool::new(64 << 20);
/// for page in [b"one", b"two"] {
///     pool.scan(page, |fd| assert_eq!(std::fs::read(bytefd::path(fd)).unwrap(), page))?;
/// }
/// assert_eq!(pool.stats().lent_again, 1);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Pool(Arc<Cache>);

impl Pool {
    /// An empty pool that keeps at most `max_bytes` of memory in files that nobody uses at the moment.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// ```
    pub fn new(max_bytes: usize) -> Pool {
        Pool(Arc::new(Cache::new(max_bytes as u64)))
    }

    /// Drops kept files, the longest unused first, until at most `bytes` are kept.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// pool.scan(b"hello", |_| ())?;
    /// pool.trim(0);
    /// assert_eq!(pool.stats().kept_bytes, 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn trim(&self, bytes: usize) {
        self.0.trim(bytes as u64);
    }

    /// What it has done so far, and what it holds. In a child made by fork(2) what it holds begins at nothing.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// pool.scan(b"hello", |_| ())?;
    /// assert_eq!(pool.stats().new_files, 1);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn stats(&self) -> PoolCounts {
        self.0.counts()
    }

    /// A file that holds `bytes`. `None` where this host cannot prove who holds a file, or too many are in use: the caller
    /// makes a new file.
    pub(crate) fn lend(&self, bytes: &[u8], trusted: bool) -> Result<Option<Loan>> {
        let Some(file) = self.0.lend(bytes, trusted)? else { return Ok(None) };
        let loan = |file, fd| Loan { cache: self.0.clone(), file: Some(file), fd };
        let opened = if trusted { file.rewind().map(|()| None) } else { file.open_again().map(Some) };
        match opened {
            Ok(fd) => Ok(Some(loan(file, fd))),
            Err(refusal) => self.0.without(file, refusal).map(|()| None),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A kept file on loan. It goes back to the pool when this is dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    cache: Arc<Cache>,
    /// `None` only while dropping.
    file: Option<Box<CachedFile>>,
    /// The read-only description. `None` if the master itself is lent.
    fd: Option<OwnedFd>,
}

impl AsFd for Loan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let file = self.file.as_ref().expect("present until drop");
        self.fd.as_ref().unwrap_or(&file.master).as_fd()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let file = self.file.take().expect("dropped once");
        // How the borrower left it. Through the master, if the lent number is not ours any more.
        let mut stat = None;
        if let Some(fd) = self.fd.take() {
            stat = close_if(fd, file.identity);
        }
        self.cache.give_back(file, stat);
    }
}
