//! Options of a pool.

use std::time::Duration;

/// Largest number of cached files in a pool, lent or not. Each has one descriptor, its master. That
/// is a sixteenth of the 1024 descriptors that most processes may have. A scan beyond that gets a
/// file that is not cached.
pub(super) const MAX_FILES: usize = 64;

/// Selects how a pool gets the files that it lends. [`Pool::scan`](crate::Pool::scan) says what
/// each protects against.
///
/// ```
/// use bytefd::{PoolMethod, PoolOptions};
/// let pool = PoolOptions::new().method(PoolMethod::Reuse).create()?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PoolMethod {
    /// Reuses files. From 64 KiB on it uses, for each size, the cheaper of `Reuse` and `NewFiles`,
    /// if this host allows both. It protects content as `Reuse` does.
    #[default]
    Auto,
    /// Reuses files, after the kernel has proved that nobody else has them open.
    Reuse,
    /// Creates a new file for each scan, on a file system in memory that belongs to the pool. Sizes
    /// for which a memfd is cheaper, and files that do not fit into [`PoolOptions::max_bytes`], get
    /// a sealed memfd.
    NewFiles,
}

/// Selects how much a [`Pool`](crate::Pool) caches, for how long, and how it gets its files.
///
/// ```
/// use std::time::Duration;
/// let minute = Duration::from_secs(60);
/// let pool = bytefd::PoolOptions::new().max_bytes(16 << 20).idle(minute).create()?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a pool is made with them"]
pub struct PoolOptions {
    pub(super) max_bytes: u64,
    pub(super) max_files: usize,
    pub(super) idle: Option<Duration>,
    pub(super) method: PoolMethod,
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions {
            max_bytes: 64 << 20,
            max_files: MAX_FILES,
            idle: None,
            method: PoolMethod::Auto,
        }
    }
}

impl PoolOptions {
    /// Returns the default options: 64 MiB in 64 files, which are kept until their place is needed.
    ///
    /// ```
    /// let pool = bytefd::PoolOptions::new().create()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn new() -> PoolOptions {
        PoolOptions::default()
    }

    /// Sets the maximum number of bytes of memory in cached files that are not lent. 0 caches
    /// nothing. It is also the size of the file system on which the pool creates new files. New
    /// files use its space while they are lent, and as long as a borrower keeps them.
    ///
    /// ```
    /// let pool = bytefd::PoolOptions::new().max_bytes(16 << 20).create()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn max_bytes(mut self, bytes: u64) -> PoolOptions {
        self.max_bytes = bytes;
        self
    }

    /// Sets the maximum number of files for reuse, cached plus lent: 1 to 64, otherwise `EINVAL`.
    /// The pool has one descriptor for each. Set fewer where RLIMIT_NOFILE is small, so that
    /// callbacks can open files. If descriptors run out, the pool closes cached files to begin a
    /// scan, but cannot do that for a callback.
    ///
    /// ```
    /// let pool = bytefd::PoolOptions::new().max_files(8).create()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn max_files(mut self, files: usize) -> PoolOptions {
        self.max_files = files;
        self
    }

    /// Drops a file that was not used for this time. The pool checks the time when it is used,
    /// because it has no thread of its own. Zero drops a file at the next use of the pool, instead
    /// of lending it again. A scan drops about as much memory of such files as it needs itself, so
    /// it can still lend another one. [`Pool::stats`](crate::Pool::stats) and
    /// [`Pool::trim`](crate::Pool::trim) drop all of them.
    ///
    /// ```
    /// let pool = bytefd::PoolOptions::new().idle(std::time::Duration::from_secs(60)).create()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn idle(mut self, time: Duration) -> PoolOptions {
        self.idle = Some(time);
        self
    }

    /// Selects how the pool gets its files. See [`PoolMethod`].
    ///
    /// ```
    /// use bytefd::{PoolMethod, PoolOptions};
    /// // A new file for each scan where the host allows it. Elsewhere, files that are used again.
    /// let pool = match PoolOptions::new().method(PoolMethod::NewFiles).create() {
    ///     Err(error) if error.errno() == libc::EOPNOTSUPP => {
    ///         PoolOptions::new().method(PoolMethod::Reuse).create()
    ///     }
    ///     pool => pool,
    /// }?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn method(mut self, method: PoolMethod) -> PoolOptions {
        self.method = method;
        self
    }
}
