//! Waits on a word in shared memory, futex(2).

use std::ptr::null;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::call::{Result, check};
use super::wait::{Wait, timespec};
use crate::error::Errno;

/// Longest single wait. FUTEX_WAIT without a timeout is restarted after a handler with SA_RESTART;
/// with a timeout it is not.
const SLICE: Duration = Duration::from_secs(3600);

/// Waits until another thread or process wakes the waiters of this word, if it still has this
/// value. EAGAIN if the word has another value, ETIMEDOUT when the time has passed. EINTR after a
/// signal handler has run, if the caller asked for that.
pub(crate) fn wait(word: &AtomicU32, value: u32, wait: &Wait) -> Result<()> {
    loop {
        let left = wait.left();
        let time = timespec(left.map_or(SLICE, |left| left.min(SLICE)));
        // SAFETY: the word and the time are valid.
        match check(unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT,
                value,
                &time,
                null::<u32>(),
                0,
            )
        }) {
            Err(Errno(libc::ETIMEDOUT)) if left.is_none_or(|left| left > SLICE) => {}
            Err(Errno(libc::EINTR)) => wait.interrupted()?,
            result => return result.map(drop),
        }
    }
}

/// Wakes at most `count` waiters of this word. Returns the number of waiters woken.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> Result<usize> {
    let count = count.min(i32::MAX as u32);
    // SAFETY: the word is valid.
    check(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) })
        .map(|woken| woken as usize)
}
