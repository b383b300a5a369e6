//! Locks on ranges of a file's bytes.

use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use crate::error::{Context, Errno, Error, Result};
use crate::sys::file_lock;
use crate::sys::wait::Wait;

/// Selects which other locks a lock admits.
///
/// ```
/// use bytefd::share::{LockKind, file_lock};
/// let table = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
/// let lock = file_lock(&table, .., LockKind::Exclusive)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Admits other shared locks. The descriptor must be open for reading.
    Shared,
    /// Admits no other lock. The descriptor must be open for writing.
    Exclusive,
}

/// Selects how long [`file_lock()`] waits, and what ends the wait. The default waits until the lock
/// is free.
///
/// ```
/// use std::time::Duration;
/// use bytefd::share::{FileLockOptions, LockKind, file_lock};
/// let ours = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
/// let theirs = std::fs::File::open(bytefd::path(&ours)).unwrap();
/// let lock = file_lock(&ours, 0..4, LockKind::Exclusive)?;
/// let now = FileLockOptions::new().timeout(Duration::ZERO);
/// assert_eq!(now.lock(&theirs, 3..5, LockKind::Shared).unwrap_err().errno(), libc::EAGAIN);
/// drop(lock);
/// now.lock(&theirs, 3..5, LockKind::Shared)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct FileLockOptions {
    timeout: Option<Duration>,
    interruptible: bool,
}

impl FileLockOptions {
    /// Returns the default options.
    ///
    /// ```
    /// let options = bytefd::share::FileLockOptions::new();
    /// ```
    pub fn new() -> FileLockOptions {
        FileLockOptions::default()
    }

    /// Ends the wait with `ETIMEDOUT` after this time. Zero does not wait, and the error is
    /// `EAGAIN`.
    ///
    /// ```
    /// use std::time::Duration;
    /// let options = bytefd::share::FileLockOptions::new().timeout(Duration::from_secs(1));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> FileLockOptions {
        self.timeout = Some(timeout);
        self
    }

    /// Ends the wait with `EINTR` when a signal handler has run in this thread, also one with
    /// SA_RESTART.
    ///
    /// ```
    /// let options = bytefd::share::FileLockOptions::new().interruptible(true);
    /// ```
    pub fn interruptible(mut self, yes: bool) -> FileLockOptions {
        self.interruptible = yes;
        self
    }

    /// Locks as [`file_lock()`] does, within these limits.
    ///
    /// ```
    /// use bytefd::share::{FileLockOptions, LockKind};
    /// let table = bytefd::wrap(b"hello")?;
    /// let lock = FileLockOptions::new().lock(&table, .., LockKind::Shared)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`file_lock()`], and
    /// - `EAGAIN` if the timeout is zero and another open file description has a conflicting lock.
    /// - `ETIMEDOUT` if the timeout has passed.
    /// - `EINTR` if a signal handler has run and the wait is interruptible.
    pub fn lock<F: AsFd>(
        &self,
        fd: F,
        range: impl RangeBounds<u64>,
        kind: LockKind,
    ) -> Result<FileLock<F>> {
        let range = Range::new(range)?;
        let kernel_kind = match kind {
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
        };
        let set = || match range.set(fd.as_fd(), kernel_kind) {
            // POSIX allows either errno.
            Err(Errno(libc::EACCES)) => Err(Errno(libc::EAGAIN)),
            result => result,
        };
        match Wait::new(self.timeout, self.interruptible).until_free(libc::EAGAIN, set) {
            Ok(()) => Ok(FileLock { fd: Some(fd), range }),
            Err(Errno(libc::EAGAIN | libc::ETIMEDOUT)) => {
                // A short timeout can have passed before the first attempt.
                let errno = if self.timeout == Some(Duration::ZERO) {
                    libc::EAGAIN
                } else {
                    libc::ETIMEDOUT
                };
                let range = range.shown(fd.as_fd());
                let message = format!(
                    "another open file description, or a process, has a lock that excludes {range}"
                );
                Err(Error::new("file_lock", errno, message))
            }
            Err(errno) => Err(errno).context("fcntl F_OFD_SETLK", || range.shown(fd.as_fd())),
        }
    }
}

/// Locks bytes of a file, and waits until no other open file description has a conflicting lock.
/// The range may lie past the end of the file. The new lock replaces a lock of the same open file
/// description on these bytes.
///
/// The lock is advisory: it conflicts with other locks on these bytes, in any process, but does not
/// stop reads or writes. It belongs to the open file description (`F_OFD_SETLK`, fcntl(2), Linux
/// 3.15):
/// - All duplicates of the descriptor have it, also in other processes.
/// - It ends when the [`FileLock`] is dropped. Otherwise it ends when the last duplicate is closed
///   and the last mapping that was made through one of them is unmapped. Duplicates and mappings in
///   children and receivers count too. The kernel closes and unmaps those of a process that is
///   killed.
/// - Two open file descriptions conflict even in one process. Threads that share one do not.
/// - A process that received or inherited the descriptor needs an open file description of its own
///   to hold a lock that conflicts: from [`reopen`](crate::reopen) (for reading) or open(2).
///
/// While the call waits, it polls the lock at least every 10 ms.
///
/// ```
/// use bytefd::share::{LockKind, file_lock};
/// let table = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
/// let lock = file_lock(&table, 0..4, LockKind::Exclusive)?;
/// drop(lock);
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// - `EINVAL` if the range is empty, or is more than a file can have.
/// - `EBADF` if the descriptor is not open for what the lock needs.
/// - `ENOLCK` if there are too many locks.
///
/// A deadlock is not detected: two processes that wait for each other wait until one of them
/// reaches a timeout ([`FileLockOptions::timeout`]), or without end.
pub fn file_lock<F: AsFd>(
    fd: F,
    range: impl RangeBounds<u64>,
    kind: LockKind,
) -> Result<FileLock<F>> {
    FileLockOptions::new().lock(fd, range, kind)
}

/// Ends the locks of this open file description on these bytes.
///
/// ```
/// let table = bytefd::wrap(b"hello")?;
/// bytefd::share::file_unlock(&table, ..)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EINVAL` if the range is empty, or is more than a file can have.
pub fn file_unlock(fd: impl AsFd, range: impl RangeBounds<u64>) -> Result<()> {
    let range = Range::new(range)?;
    range.set(fd.as_fd(), libc::F_UNLCK).context("fcntl F_OFD_SETLK", || range.shown(fd.as_fd()))
}

/// A lock on bytes of a file. Unlocks them when it is dropped.
///
/// ```
/// use bytefd::share::{LockKind, file_lock};
/// let table = bytefd::wrap(b"hello")?;
/// let lock = file_lock(table, .., LockKind::Shared)?;
/// let table = lock.keep();
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct FileLock<F: AsFd> {
    /// `None` once it has been taken out.
    fd: Option<F>,
    range: Range,
}

impl<F: AsFd> FileLock<F> {
    /// Leaves the bytes locked, until [`file_unlock`] or until the last duplicate of the descriptor
    /// is closed. Gives the descriptor back.
    ///
    /// ```
    /// use bytefd::share::{LockKind, file_lock};
    /// let table = bytefd::wrap(b"hello")?;
    /// let table = file_lock(table, .., LockKind::Shared)?.keep();
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn keep(mut self) -> F {
        self.fd.take().expect("taken out here only")
    }
}

impl<F: AsFd> AsFd for FileLock<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("taken out by the last method only").as_fd()
    }
}

impl<F: AsFd> AsRawFd for FileLock<F> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<F: AsFd> Drop for FileLock<F> {
    fn drop(&mut self) {
        if let Some(fd) = &self.fd {
            let _ = self.range.set(fd.as_fd(), libc::F_UNLCK);
        }
    }
}

/// A range of bytes in a file, at least one byte.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    /// `None` is the end of the file, even if it grows.
    end: Option<u64>,
}

impl Range {
    fn new(range: impl RangeBounds<u64>) -> Result<Range> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => Some(last.saturating_add(1)),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        let longest = i64::MAX as u64;
        let range = Range { start, end };
        if end.is_some_and(|end| end <= start) {
            return Err(Error::new(
                "length",
                libc::EINVAL,
                format_args!("the range of {range} is empty"),
            ));
        }
        if start > longest || end.is_some_and(|end| end > longest) {
            return Err(Error::new(
                "range",
                libc::EINVAL,
                format_args!("the range of {range} exceeds the largest file size, {longest} bytes"),
            ));
        }
        Ok(range)
    }

    fn set(&self, fd: BorrowedFd<'_>, kind: libc::c_int) -> std::result::Result<(), Errno> {
        // For the kernel a length of 0 means up to the end.
        file_lock::set(fd, kind, self.start, self.end.map_or(0, |end| end - self.start))
    }

    fn shown(&self, fd: BorrowedFd<'_>) -> String {
        format!("{self} of descriptor {}", fd.as_raw_fd())
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.end {
            Some(end) => write!(f, "bytes {}..{end}", self.start),
            None => write!(f, "bytes {}..", self.start),
        }
    }
}
