//! Locks on ranges of files, fcntl(2), and waiting on a word, futex(2).

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::call::{Result, check, retry};

/// Sets (F_RDLCK, F_WRLCK) or ends (F_UNLCK) a lock of an open file description. A length of 0 is to the end, wherever that is.
pub(crate) fn set(fd: BorrowedFd<'_>, kind: libc::c_int, start: u64, length: u64, waits: bool) -> Result<()> {
    let command = if waits { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    // SAFETY: all-zero is a valid flock; l_pid must be 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_whence) = (kind as _, libc::SEEK_SET as _);
    (lock.l_start, lock.l_len) = (start as libc::off_t, length as libc::off_t);
    // SAFETY: a valid flock.
    retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), command, &lock) }).map(drop)
}

/// Waits until somebody wakes those that wait on this word, if it still has this value: FUTEX_WAIT, for all processes that share
/// the memory. EAGAIN if it has another one, ETIMEDOUT when the time has passed, EINTR after a signal handler has run.
pub(crate) fn wait(word: &AtomicU32, value: u32, time: Option<Duration>) -> Result<()> {
    let time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs().min(i64::MAX as u64) as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(null(), |time| time as *const libc::timespec);
    // SAFETY: the word is valid, and the time is null or valid.
    check(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, time) }).map(drop)
}

/// Wakes so many of those that wait on this word. Returns how many it were.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> Result<usize> {
    let count = count.min(i32::MAX as u32);
    // SAFETY: the word is valid.
    check(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) }).map(|woken| woken as usize)
}
