//! Lends a descriptor to a closure, and closes it even after an error or panic.

use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::error::{Context, Result};
use crate::pool::{self, Loan, Pool, Trial};
use crate::stream::{self, Collected, StreamOptions};
use crate::sys;
use crate::wrap::{WrapOptions, inherit};

/// Calls the callback `scan` with a descriptor of a file that contains `bytes`, and returns its
/// result. Uses the defaults of [`WrapOptions`]. The descriptor is closed when the callback returns
/// or panics.
///
/// ```
/// use std::os::fd::AsRawFd;
/// let status = bytefd::scan(b"hello", |fd| std::fs::metadata(bytefd::path(fd)))??;
/// assert_eq!(status.len(), 5);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`WrapOptions::wrap`]; then the callback has not been called.
pub fn scan<R>(bytes: &[u8], scan: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R> {
    WrapOptions::new().scan(bytes, scan)
}

impl WrapOptions {
    /// Scans as [`scan`] does, with these options.
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
    /// As [`WrapOptions::wrap`]; then the callback has not been called.
    pub fn scan<R>(&self, bytes: &[u8], scan: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R> {
        let lent = self.scan_begin(bytes)?;
        Ok(scan(lent.as_fd()))
    }

    /// Begins a scan: returns a [`Scan`], which lends the descriptor of a file that contains
    /// `bytes` until the `Scan` is dropped.
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
        self.scan_begin_vectored(&[IoSlice::new(bytes)])
    }

    /// Begins a scan as [`WrapOptions::scan_begin`] does, of content that lies in several places.
    ///
    /// ```
    /// use std::io::IoSlice;
    /// let segments = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    /// let lent = bytefd::WrapOptions::new().scan_begin_vectored(&segments)?;
    /// assert_eq!(std::fs::read(bytefd::path(&lent))?, b"headbody");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`].
    pub fn scan_begin_vectored(&self, segments: &[IoSlice<'_>]) -> Result<Scan> {
        Scan::of_new(self.wrap_vectored(segments)?)
    }

    /// Begins a scan as [`WrapOptions::scan_begin`] does, of a stream: lends the descriptor that
    /// [`WrapOptions::wrap_stream`] makes.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let file = std::fs::File::open("/proc/self/status")?;
    /// let lent = WrapOptions::new().scan_begin_stream(&file, &StreamOptions::new())?;
    /// assert!(std::fs::metadata(bytefd::path(&lent))?.len() > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap_stream`].
    pub fn scan_begin_stream(&self, source: impl AsFd, options: &StreamOptions) -> Result<Scan> {
        Scan::of_new(self.wrap_stream(source, options)?)
    }

    /// Begins a scan as [`WrapOptions::scan_begin`] does, of everything that can be read: lends the
    /// descriptor that [`WrapOptions::wrap_reader`] makes.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let lent = WrapOptions::new().scan_begin_reader(&b"hello"[..], &StreamOptions::new())?;
    /// assert_eq!(std::fs::read(bytefd::path(&lent))?, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap_reader`].
    pub fn scan_begin_reader(&self, reader: impl Read, options: &StreamOptions) -> Result<Scan> {
        Scan::of_new(self.wrap_reader(reader, options)?)
    }
}

impl Pool {
    /// Scans as [`scan`] does, with a file of the pool, which is many times faster than a new file.
    /// The borrower is the code that gets the descriptor: the callback, and all code to which it
    /// passes the descriptor. Use one pool only for borrowers that may read each other's content (a
    /// trust domain). Do not expect seals on the descriptor.
    ///
    /// Where the file comes from, and what protects its content:
    /// - No pool ([`scan`]): every scan has a new file. Nothing of one scan can ever be seen in
    ///   another. With default options the file is sealed; see [`WrapOptions::backend`] for the
    ///   exceptions.
    /// - [`PoolMethod::NewFiles`](crate::PoolMethod::NewFiles): every scan has a new file. Nothing
    ///   of one scan can be seen in another, unless the borrower takes the pool's own descriptors.
    ///   A file on the pool's file system is not sealed, but opened through a read-only mount.
    ///   Through that mount the borrower, even as root, cannot write to the file, change its mode,
    ///   open it for writing or link it. Other files are sealed memfds.
    /// - [`PoolMethod::Reuse`](crate::PoolMethod::Reuse): the borrower gets a new read-only open
    ///   file description of a file of mode 0400 that is not sealed. Before the pool lends the file
    ///   again, the kernel must prove that nobody else has it open or mapped. Its length, mode,
    ///   owner, times and attributes must also be unchanged. Otherwise the pool drops the file.
    /// - [`PoolMethod::Auto`](crate::PoolMethod::Auto), the default, reuses files. From 64 KiB on
    ///   it makes new files where they cost less than reuse on this host. It protects content as
    ///   `Reuse` does.
    /// - `Reuse` or `Auto` with [`WrapOptions::trust_callback`]: the borrower gets the cached file
    ///   for reading and writing, and nothing is proved. A borrower that keeps or changes the file
    ///   sees and changes the content of later trusted scans. If it truncates the file during a
    ///   later scan, that scan can raise SIGBUS. The pool resets the file offset and the status
    ///   flags, but not locks, leases and the close-on-exec flag.
    ///
    /// Warning: the kernel's proof of `Reuse` does not detect the following uses of a file. Each
    /// lets its holder read the content of later scans, and each but the first lets it change that
    /// content. If a borrower may use one of them, use `NewFiles` or no pool. Only the latter helps
    /// against the use of the pool's own descriptors.
    /// - Pages in flight, to which a pipe, socket or device refers without a descriptor. They come
    ///   from vmsplice(2) of a mapping, zero-copy sends, RDMA, and splice(2) and sendfile(2) from a
    ///   descriptor without `O_DIRECT`. The descriptor that is lent has `O_DIRECT` (Linux 6.6),
    ///   unless the borrower clears that flag.
    /// - What can be opened later: an `O_PATH` descriptor, and for root a file handle or a mark of
    ///   fanotify(7).
    /// - The pool's own descriptors, whose numbers a borrower finds in /proc/self/fd.
    /// - io_uring's registered buffers, and everything else that pins pages, if they belong to a
    ///   mapping for writing. Only a privileged borrower can make such a mapping without changing
    ///   the mode.
    /// - Before Linux 6.13, a short change of the mode. Within some milliseconds after a scan
    ///   begins, a borrower can set the mode, pin pages for writing, and set the mode back without
    ///   being seen.
    ///
    /// If part of `bytes` lies in a mapping of a file that was truncated, it is lost, and the error
    /// is `EFAULT`. (The library copies `bytes` by itself if they are anonymous memory, and lets
    /// the kernel copy all other memory.)
    ///
    /// In a child made by fork(2) the pool is empty. The child's first use of the pool closes the
    /// files that it inherited. Until then the child can read and change what the parent scans
    /// later. Create pools after forking workers, or call [`Pool::trim`] in the child.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// let length = pool.scan(b"hello", |fd| std::fs::read(bytefd::path(fd)).unwrap().len())?;
    /// assert_eq!(length, 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`]; then the callback has not been called.
    pub fn scan<R>(&self, bytes: &[u8], scan: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R> {
        let lent = self.scan_begin(bytes, &WrapOptions::new())?;
        Ok(scan(lent.as_fd()))
    }

    /// Begins a scan with a file of the pool: returns a [`Scan`], which lends the descriptor until
    /// it is dropped. The `Scan` may outlive the pool.
    ///
    /// A pool accepts these options; any other is `EINVAL`:
    /// - [`WrapOptions::name`]. A cached file is reused only for scans with the same name.
    /// - [`WrapOptions::spill_threshold`].
    /// - [`Backend::Auto`](crate::Backend::Auto) and [`Backend::Memfd`](crate::Backend::Memfd).
    /// - [`WrapOptions::inherit`] and [`WrapOptions::read_only`]. The latter changes nothing for a
    ///   file of the pool, whose descriptor is read-only in any case.
    /// - [`WrapOptions::trust_callback`], but not together with `inherit` or `read_only`.
    ///
    /// ```
    /// use bytefd::{Pool, WrapOptions};
    /// let pool = Pool::new(64 << 20);
    /// let lent = pool.scan_begin(b"hello", &WrapOptions::new().inherit(true))?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap`], except that [`WrapOptions::trust_callback`] is allowed; `EINVAL`
    /// for options that need a file of their own. The pool's cached files are closed before this
    /// fails with `EMFILE` or `ENFILE`.
    pub fn scan_begin(&self, bytes: &[u8], options: &WrapOptions) -> Result<Scan> {
        self.scan_begin_vectored(&[IoSlice::new(bytes)], options)
    }

    /// [`Pool::scan_begin`] for content that lies in several places.
    ///
    /// ```
    /// use bytefd::{Pool, WrapOptions};
    /// use std::io::IoSlice;
    /// let pool = Pool::new(64 << 20);
    /// let segments = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    /// let lent = pool.scan_begin_vectored(&segments, &WrapOptions::new())?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Pool::scan_begin`].
    pub fn scan_begin_vectored(
        &self,
        segments: &[IoSlice<'_>],
        options: &WrapOptions,
    ) -> Result<Scan> {
        let loan = self.loan(options)?;
        let length =
            segments.iter().map(|segment| segment.len() as u64).fold(0, u64::saturating_add);
        let (lent, trial) =
            if options.spills(length) { (None, None) } else { self.lend(segments, &loan)? };
        let mut scan = match lent {
            Some(lent) => Scan::of_pool(lent, options)?,
            None => {
                self.count_miss();
                let new = options.clone().trust_callback(false);
                self.make_way(|| new.scan_begin_vectored(segments))?
            }
        };
        scan.begin(trial);
        Ok(scan)
    }

    /// Begins a scan as [`Pool::scan_begin`] does, of a stream, which is read into a file of the
    /// pool. See [`WrapOptions::wrap_stream`].
    ///
    /// ```
    /// use bytefd::{Pool, StreamOptions, WrapOptions};
    /// let pool = Pool::new(64 << 20);
    /// let file = std::fs::File::open("/proc/self/status")?;
    /// let lent = pool.scan_begin_stream(&file, &WrapOptions::new(), &StreamOptions::new())?;
    /// assert!(std::fs::metadata(bytefd::path(&lent))?.len() > 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Pool::scan_begin`] and [`WrapOptions::wrap_stream`].
    pub fn scan_begin_stream(
        &self,
        source: impl AsFd,
        wrap: &WrapOptions,
        options: &StreamOptions,
    ) -> Result<Scan> {
        Scan::of_collected(
            stream::collect_from_descriptor(source.as_fd(), self, wrap, options)?,
            wrap,
        )
    }

    /// Begins a scan as [`Pool::scan_begin`] does, of everything that can be read. See
    /// [`WrapOptions::wrap_reader`].
    ///
    /// ```
    /// use bytefd::{Pool, StreamOptions, WrapOptions};
    /// let pool = Pool::new(64 << 20);
    /// let (options, stream) = (WrapOptions::new(), StreamOptions::new());
    /// let lent = pool.scan_begin_reader(&b"hello"[..], &options, &stream)?;
    /// assert_eq!(std::fs::read(bytefd::path(&lent))?, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Pool::scan_begin`] and [`WrapOptions::wrap_reader`].
    pub fn scan_begin_reader(
        &self,
        reader: impl Read,
        wrap: &WrapOptions,
        options: &StreamOptions,
    ) -> Result<Scan> {
        Scan::of_collected(stream::collect_from_reader(reader, self, wrap, options)?, wrap)
    }
}

/// Lends a descriptor until it is dropped. Dropping it closes the descriptor exactly once, unless
/// the borrower has closed it already. If the number belongs to another file by then, that file
/// stays open. A pool's file goes back to the pool.
///
/// ```
/// use std::os::fd::AsFd;
/// let lent: bytefd::Scan = bytefd::WrapOptions::new().scan_begin(b"hello")?;
/// let fd = lent.as_fd();
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the loan"]
pub struct Scan {
    lent: Lent,
    /// This member stands after `lent`, so that it is dropped last: the measurement includes the
    /// return of the file to the pool.
    trial: Option<Trial>,
}

impl Scan {
    fn of_new(fd: OwnedFd) -> Result<Scan> {
        let identity = sys::file::fstat(fd.as_fd()).context("fstat", || "the new file")?.identity;
        Ok(Scan { lent: Lent::New { fd: Some(fd), identity }, trial: None })
    }

    fn of_pool(lent: pool::Lent, options: &WrapOptions) -> Result<Scan> {
        let lent = match lent {
            pool::Lent::Cached(loan) => Lent::Cached(loan),
            pool::Lent::New(file) => {
                let (fd, identity) = file.finish();
                Lent::New { fd: Some(fd), identity }
            }
        };
        let scan = Scan { lent, trial: None };
        if options.is_inherited() {
            inherit(scan.as_fd())?;
        }
        Ok(scan)
    }

    fn of_collected(
        (collected, trial): (Collected, Option<Trial>),
        options: &WrapOptions,
    ) -> Result<Scan> {
        let mut scan = match collected {
            Collected::New(fd) => Scan::of_new(fd)?,
            Collected::Lent(lent) => Scan::of_pool(lent, options)?,
        };
        scan.begin(trial);
        Ok(scan)
    }

    /// Stores the measurement and pauses it: the time in which the borrower has the descriptor does
    /// not count.
    fn begin(&mut self, trial: Option<Trial>) {
        self.trial = trial;
        self.trial.iter_mut().for_each(Trial::pause);
    }
}

#[derive(Debug)]
enum Lent {
    New {
        /// `None` only while the scan is dropped.
        fd: Option<OwnedFd>,
        identity: sys::file::Identity,
    },
    Cached(Loan),
}

impl AsFd for Scan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.lent {
            Lent::New { fd, .. } => fd.as_ref().expect("present until drop").as_fd(),
            Lent::Cached(loan) => loan.as_fd(),
        }
    }
}

impl AsRawFd for Scan {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.trial.iter_mut().for_each(Trial::resume);
        // A cached file goes back to its pool by its own drop.
        if let Lent::New { fd, identity } = &mut self.lent {
            fd.take().map(|fd| sys::file::close_if(fd, *identity));
        }
    }
}
