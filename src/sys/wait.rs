//! Waits that end when the caller asked for it: after a timeout for the whole call, or after a
//! signal handler has run.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null;
use std::time::{Duration, Instant};

use super::call::{Result, check};
use crate::error::Errno;

/// The limits of a call's wait. They are made when the call begins, because the timeout is for the
/// whole call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// `None` without a limit.
    end: Option<Instant>,
    is_interruptible: bool,
}

impl Wait {
    /// Sets the limits. A `timeout` of `None` is no limit; zero does not wait. With
    /// `is_interruptible` a signal handler that runs during the wait ends it, even with SA_RESTART.
    pub fn new(timeout: Option<Duration>, is_interruptible: bool) -> Wait {
        // A time that is too long for the clock is no limit.
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Wait { end, is_interruptible }
    }

    /// Returns the time that is left; `None` without a limit.
    pub fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Returns the same limits, but at most `time` from now on.
    pub fn at_most(&self, time: Duration) -> Wait {
        Wait::new(Some(self.left().map_or(time, |left| left.min(time))), self.is_interruptible)
    }

    /// Handles EINTR: an error if the caller asked for it. Otherwise the wait goes on.
    pub fn interrupted(&self) -> Result<()> {
        if self.is_interruptible { Err(Errno(libc::EINTR)) } else { Ok(()) }
    }

    /// Waits until poll(2) reports one of `events`, an error or a hang-up. ETIMEDOUT after the
    /// time, or EINTR if the caller asked for it.
    pub fn until_ready(&self, fd: BorrowedFd<'_>, events: libc::c_short) -> Result<()> {
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
        loop {
            let left = self.left().map(timespec);
            let left = left.as_ref().map_or(null(), |left| left as *const libc::timespec);
            // SAFETY: one writable pollfd; the time is null or valid; the signal mask stays.
            match check(unsafe { libc::ppoll(&mut poll, 1, left, null()) }) {
                Ok(0) => return Err(Errno(libc::ETIMEDOUT)),
                Ok(_) => return Ok(()),
                Err(Errno(libc::EINTR)) => self.interrupted()?,
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Calls `attempt` until it returns something other than `busy`, for operations that the kernel
    /// cannot wait for with a timeout. Sleeps in between, longer each time, up to 10 ms. If no time
    /// is left, fails with `busy` after the first attempt, and with ETIMEDOUT after a later one.
    /// EINTR if the caller asked for it.
    pub fn until_free<T>(&self, busy: i32, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut pause = Duration::from_micros(20);
        let mut is_first = true;
        loop {
            match attempt() {
                Err(errno) if errno == Errno(busy) => {}
                result => return result,
            }
            let left = self.left().unwrap_or(pause);
            if left.is_zero() {
                return Err(Errno(if is_first { busy } else { libc::ETIMEDOUT }));
            }
            is_first = false;
            let moment = timespec(left.min(pause));
            // SAFETY: no descriptors; a valid time; the signal mask stays.
            match check(unsafe { libc::ppoll(std::ptr::null_mut(), 0, &moment, null()) }) {
                Err(Errno(libc::EINTR)) => self.interrupted()?,
                Err(errno) => return Err(errno),
                Ok(_) => {}
            }
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

pub(super) fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().min(i64::MAX as u64) as i64,
        tv_nsec: time.subsec_nanos().into(),
    }
}
