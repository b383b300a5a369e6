//! Locks of open file descriptions: on ranges of files, fcntl(2), and on whole files, flock(2). A
//! lock of one kind does not exclude one of the other.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::call::{Result, retry};
use crate::error::Errno;

/// Sets (F_RDLCK, F_WRLCK) or ends (F_UNLCK) a lock of an open file description, without waiting. A
/// length of 0 locks up to the end, even if the file grows.
pub(crate) fn set(fd: BorrowedFd<'_>, kind: libc::c_int, start: u64, length: u64) -> Result<()> {
    // SAFETY: all-zero is a valid flock. Its l_pid must be 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_whence) = (kind as _, libc::SEEK_SET as _);
    (lock.l_start, lock.l_len) = (start as libc::off_t, length as libc::off_t);
    // SAFETY: a valid flock.
    retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &lock) }).map(drop)
}

/// Locks a whole file or directory, LOCK_SH or LOCK_EX, without waiting. Returns false if the lock
/// of another open file description is in the way.
pub(crate) fn lock_whole(fd: BorrowedFd<'_>, operation: libc::c_int) -> Result<bool> {
    // SAFETY: touches no memory.
    match retry(|| unsafe { libc::flock(fd.as_raw_fd(), operation | libc::LOCK_NB) }) {
        Err(Errno(libc::EWOULDBLOCK)) => Ok(false),
        locked => locked.map(|_| true),
    }
}

/// Ends the lock of [`lock_whole`].
pub(crate) fn unlock_whole(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: touches no memory.
    retry(|| unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_UN) }).map(drop)
}
