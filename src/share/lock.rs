//! Locks on ranges of a file's bytes.

use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::error::{Context, Errno, Error, Result};
use crate::sys::lock;

/// Who else may have a lock on the same bytes.
///
/// ```
/// use bytefd::share::{Lock, lock};
/// let table = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
/// lock(&table, .., Lock::Exclusive)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Others that lock shared. The descriptor must be open for reading.
    Shared,
    /// Nobody. The descriptor must be open for writing.
    Exclusive,
}

/// Locks bytes of a file, any range, also past its end, and waits until nobody else has a lock that excludes it. A lock of the same
/// description on these bytes is replaced.
///
/// The lock is advisory: it keeps out who asks for one too, in any process, and says nothing to who just reads or writes. It belongs to
/// the open file description (`F_OFD_SETLKW`, fcntl(2), Linux 3.15): all duplicates of the descriptor have it, also in other processes,
/// and it ends with [`unlock`] or when the last of them is closed, so also when the last holder is killed. Two descriptions exclude each
/// other even in one process; threads that share one do not. Who was sent a descriptor, or has inherited it, needs one of its own from
/// [`reopen`](crate::reopen) (for reading) or open(2) to be excluded.
///
/// ```
/// use bytefd::share::{Lock, lock, try_lock, unlock};
/// let ours = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
/// let theirs = std::fs::File::open(bytefd::path(&ours)).unwrap();
/// lock(&ours, 0..4, Lock::Exclusive)?;
/// assert!(!try_lock(&theirs, 3..5, Lock::Shared)?);
/// unlock(&ours, 3..)?;
/// assert!(try_lock(&theirs, 3..5, Lock::Shared)?);
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EINVAL`: no bytes, or more than a file can have. `EBADF`: not open for what the lock needs. `EDEADLK` is never found: two that
/// wait for each other wait for ever. `ENOLCK`: too many locks.
pub fn lock(fd: impl AsFd, range: impl RangeBounds<u64>, lock: Lock) -> Result<()> {
    set(fd.as_fd(), range, Some(lock), true).map(drop)
}

/// [`lock`] without waiting: false if somebody else has a lock that excludes it.
///
/// # Errors
/// As [`lock`].
pub fn try_lock(fd: impl AsFd, range: impl RangeBounds<u64>, lock: Lock) -> Result<bool> {
    set(fd.as_fd(), range, Some(lock), false)
}

/// Ends the locks of this description on these bytes.
///
/// # Errors
/// As [`lock`].
pub fn unlock(fd: impl AsFd, range: impl RangeBounds<u64>) -> Result<()> {
    set(fd.as_fd(), range, None, false).map(drop)
}

fn set(fd: BorrowedFd<'_>, range: impl RangeBounds<u64>, wanted: Option<Lock>, waits: bool) -> Result<bool> {
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
    let asked =
        || format!("bytes {start}..{} of descriptor {}", end.map_or("".into(), |e| e.to_string()), fd.as_raw_fd());
    let most = i64::MAX as u64;
    if start > most || end.is_some_and(|end| end <= start || end > most) {
        return Err(Error::new("range", libc::EINVAL, format_args!("asked for {}", asked())));
    }
    let kind = match wanted {
        Some(Lock::Shared) => libc::F_RDLCK,
        Some(Lock::Exclusive) => libc::F_WRLCK,
        None => libc::F_UNLCK,
    };
    // Of length 0 it goes to the end, wherever that is.
    let length = end.map_or(0, |end| end - start);
    match lock::set(fd, kind, start, length, waits) {
        Err(Errno(libc::EAGAIN | libc::EACCES)) if !waits => Ok(false),
        set => set.map(|()| true).context("fcntl F_OFD_SETLK", asked),
    }
}
