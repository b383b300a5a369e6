//! Lends files at a lower cost than a new sealed file. They are cached files that are used again
//! (`cached_file`), or new files on a file system of the pool's own (`new_files`). `choice` decides
//! by the measurements of `sizes` and `trial`. `cache` keeps the files, one in each `slot`.
//!
//! Writing into existing pages is many times faster than getting new ones. The danger is a borrower
//! that still has the file open. So its **master** description never leaves this room, unless the
//! callback is trusted. A scan with a cached file has these steps:
//!
//! 1. The new content is written, under a write lease on the master.
//! 2. The lease ends when the content is complete. A new read-only description is lent, and closed
//!    afterwards.
//! 3. Before the next use the pool asks the kernel for a write lease again. The kernel grants it
//!    only if no other open file description of the file exists anywhere.
//! 4. The file must have the status that it had when it was lent.
//!
//! If the lease is refused or the status differs, the file is dropped and never used again. The
//! reason can be a duplicate, a mapping or a child.
//!
//! A scan with a new file makes it on the pool's file system, opens it through the read-only mount,
//! unlinks it and fills it. It lends the second description, which is read-only.

mod cache;
mod cached_file;
mod choice;
mod new_files;
mod options;
mod sizes;
mod slot;
mod stats;
mod trial;

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::error::{Errno, Error, Result};
use crate::sys::file::close_if;
use crate::wrap::{LoanOptions, WrapOptions};
use crate::{backend, fill};
use cache::Cache;
use cached_file::{CachedFile, Kind};
pub(crate) use new_files::NewFile;
use options::MAX_FILES;
pub use options::{PoolMethod, PoolOptions};
use sizes::Way;
pub use stats::PoolStats;
pub(crate) use trial::Trial;

/// Caches files and lends them again, to borrowers that may read each other's content (a trust
/// domain). [`Pool::scan`] describes what protects the content, and what the pool does not detect.
/// Any thread may use it, and a scan never waits for the end of another scan.
///
/// ```
/// let pool = bytefd::Pool::new(64 << 20);
/// for page in [b"one", b"two"] {
///     pool.scan(page, |fd| assert_eq!(std::fs::read(bytefd::path(fd)).unwrap(), page))?;
/// }
/// assert_eq!(pool.stats().hits, 1);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a pool that is dropped caches nothing"]
pub struct Pool(Arc<Cache>);

impl Pool {
    /// Returns an empty pool that caches at most `max_bytes` bytes in files that are not lent. The
    /// other options have the defaults of [`PoolOptions`].
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// ```
    pub fn new(max_bytes: u64) -> Pool {
        PoolOptions::new().max_bytes(max_bytes).create().expect("the other defaults are valid")
    }

    /// Drops cached files, the longest unused first, until at most `bytes` bytes are cached. With 0
    /// it drops all of them, empty ones too, and the file system for new files. A later scan makes
    /// that file system again.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// pool.scan(b"hello", |_| ())?;
    /// pool.trim(0);
    /// assert_eq!(pool.stats().cached_bytes, 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn trim(&self, bytes: u64) {
        self.0.trim(bytes);
    }

    /// Returns what the pool has done so far, and what it holds. In a child made by fork(2) it
    /// holds nothing at first.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// pool.scan(b"hello", |_| ())?;
    /// assert_eq!(pool.stats().misses, 1);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.0.stats()
    }

    /// Checks that this pool supports the options.
    pub(crate) fn loan<'a>(&self, options: &'a WrapOptions) -> Result<LoanOptions<'a>> {
        let loan = options.loan()?;
        if loan.is_trusted && self.0.method == PoolMethod::NewFiles {
            let message =
                "trust_callback is for pools that lend files again; this one makes new files";
            return Err(Error::new("trust_callback", libc::EINVAL, message));
        }
        Ok(loan)
    }

    /// Returns a file that holds these segments, and a measurement of the scan if one is needed.
    /// Returns no file in these cases, and the caller then makes one that is not the pool's:
    /// - this host cannot prove that a file is not open elsewhere, or cannot tell a forked child
    ///   from its parent;
    /// - the method is `PoolMethod::NewFiles`, and there is no new file of the pool;
    /// - too many cached files are in use;
    /// - descriptors ran out, even after the pool closed its cached files;
    /// - other code opened the new cached file before it was leased, or a cached file cannot be
    ///   opened again.
    pub(crate) fn lend(
        &self,
        segments: &[IoSlice<'_>],
        options: &LoanOptions<'_>,
    ) -> Result<(Option<Lent>, Option<Trial>)> {
        let length = fill::total_length(segments)?;
        let (way, is_measured) = self.0.choose(length, options.is_trusted);
        let trial = is_measured.then(|| Trial::new(self.0.clone(), length, way));
        if way == Way::Other {
            return Ok((self.lend_cached(segments, length, options)?, trial));
        }
        if let Some(file) = self.0.new_files.create_filled(&options.name, segments)? {
            self.0.count_miss();
            return Ok((Some(Lent::New(file)), trial));
        }
        // A time of this scan would say nothing about either way.
        Ok((self.lend_cached(segments, length, options)?, None))
    }

    fn lend_cached(
        &self,
        segments: &[IoSlice<'_>],
        length: u64,
        options: &LoanOptions<'_>,
    ) -> Result<Option<Lent>> {
        let refill = &mut |file: &mut CachedFile| file.refill(segments, &self.0.sources);
        self.lend_file(options, &mut |kind| {
            let Some(file) = self.0.lend(Some(length), kind, refill)? else { return Ok(None) };
            match file.open(&self.0.directory) {
                Ok(fd) => Ok(Some(Loan { cache: self.0.clone(), file: Some(file), fd })),
                Err(refusal) => self.0.without(file, refusal).map(|()| None),
            }
        })
    }

    /// Returns a file whose content is written by [`Lent::store`], with about this length if it is
    /// known. Returns `None` in the cases of [`Pool::lend`].
    pub(crate) fn lend_unfilled(
        &self,
        length: Option<u64>,
        options: &LoanOptions<'_>,
    ) -> Result<Option<Lent>> {
        if self.0.choose_unmeasured(length, options.is_trusted) == Way::NewFile {
            if let Some(file) = self.0.new_files.create(&options.name) {
                self.0.count_miss();
                return Ok(Some(Lent::New(file)));
            }
        }
        self.lend_file(options, &mut |kind| {
            let Some(file) = self.0.lend(length, kind, &mut CachedFile::begin)? else {
                return Ok(None);
            };
            match file.reserve() {
                Ok(fd) => Ok(Some(Loan { cache: self.0.clone(), file: Some(file), fd })),
                Err(refusal) => self.0.without(file, refusal).map(|()| None),
            }
        })
    }

    fn lend_file(
        &self,
        options: &LoanOptions<'_>,
        lend: &mut dyn FnMut(Kind<'_>) -> Result<Option<Loan>>,
    ) -> Result<Option<Lent>> {
        let kind = Kind::new(&options.name, options.is_trusted);
        let outcome = make_way(&self.0, || lend(kind));
        let is_out_of_descriptors =
            |error: &Error| [libc::EMFILE, libc::ENFILE].contains(&error.errno());
        let loan = match outcome {
            // A file of the pool needs more descriptors than a new one.
            Err(error) if is_out_of_descriptors(&error) => None,
            outcome => outcome?,
        };
        if let Some(loan) = &loan {
            self.0.count(loan.file());
        }
        Ok(loan.map(Lent::Cached))
    }

    /// Counts a scan that got a file which is not the pool's.
    pub(crate) fn count_miss(&self) {
        self.0.count_miss();
    }

    /// Makes a file that is not the pool's. If descriptors or memory run out, drops the cached
    /// files and tries again.
    pub(crate) fn make_way<T>(&self, make: impl FnMut() -> Result<T>) -> Result<T> {
        make_way(&self.0, make)
    }
}

fn make_way<T>(cache: &Cache, mut make: impl FnMut() -> Result<T>) -> Result<T> {
    match make() {
        Err(error) if backend::is_shortage(Errno(error.errno())) => {
            cache.drop_all();
            make()
        }
        made => made,
    }
}

impl PoolOptions {
    /// Makes an empty pool.
    ///
    /// ```
    /// let error = bytefd::PoolOptions::new().max_files(0).create().unwrap_err();
    /// assert_eq!(error.to_string(), "max_files: max_files is 0, must be 1 to 64");
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if [`PoolOptions::max_files`] is not 1 to 64.
    /// - `EOPNOTSUPP` if the method is [`PoolMethod::NewFiles`] and the host refuses a step;
    ///   [`Error::op`] names it.
    /// - `EMFILE`, `ENFILE` or `ENOMEM` if descriptors or memory run out, with that method.
    pub fn create(&self) -> Result<Pool> {
        if self.max_files == 0 || self.max_files > MAX_FILES {
            let message = format!("max_files is {}, must be 1 to {MAX_FILES}", self.max_files);
            return Err(Error::new("max_files", libc::EINVAL, message));
        }
        let cache = Cache::new(self);
        if self.method == PoolMethod::NewFiles {
            cache.prepare_new_files()?;
        }
        Ok(Pool(cache.into()))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A file of a pool.
pub(crate) enum Lent {
    Cached(Loan),
    New(NewFile),
}

impl Lent {
    /// Writes the next bytes of the content, at `offset`.
    pub fn store(&mut self, segments: &[IoSlice<'_>], offset: u64) -> Result<()> {
        match self {
            Lent::Cached(loan) => loan.store(segments, offset),
            Lent::New(file) => file.store(segments, offset),
        }
    }

    /// Completes the content, which has this length. The file can be lent.
    pub fn finish(&mut self, length: u64) -> Result<()> {
        match self {
            Lent::Cached(loan) => loan.finish(length),
            Lent::New(_) => Ok(()),
        }
    }
}

impl AsFd for Lent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Lent::Cached(loan) => loan.as_fd(),
            Lent::New(file) => file.as_fd(),
        }
    }
}

/// A cached file on loan. It goes back to the pool when the loan is dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    cache: Arc<Cache>,
    /// `None` only while the loan is dropped.
    file: Option<Box<CachedFile>>,
    /// The read-only description. Until the content is complete, it is a descriptor that keeps a
    /// number free. `None` if the master itself is lent.
    fd: Option<OwnedFd>,
}

impl Loan {
    fn file(&self) -> &CachedFile {
        self.file.as_ref().expect("present until drop")
    }

    fn file_mut(&mut self) -> &mut CachedFile {
        self.file.as_mut().expect("present until drop")
    }

    /// Writes the next bytes of the content, at `offset`.
    pub fn store(&mut self, segments: &[IoSlice<'_>], mut offset: u64) -> Result<()> {
        for segment in segments {
            self.file_mut().store(segment, offset)?;
            offset += segment.len() as u64;
        }
        Ok(())
    }

    /// Completes the content, which has this length. The file can be lent.
    pub fn finish(&mut self, length: u64) -> Result<()> {
        self.file_mut().finish(length)?;
        self.fd = None;
        self.fd = make_way(&self.cache, || self.file().open(&self.cache.directory))?;
        Ok(())
    }
}

impl AsFd for Loan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().unwrap_or(&self.file().master).as_fd()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let file = self.file.take().expect("dropped once");
        // The status after the borrower's use. If the lent number is not ours any more, the cache
        // asks the master.
        let stat = self.fd.take().and_then(|fd| close_if(fd, file.identity));
        self.cache.give_back(file, stat);
    }
}
