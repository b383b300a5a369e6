//! Waits on words in shared memory, futex(2).

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::error::{Context, Errno, Error, Result};
use crate::sys::futex;
use crate::sys::wait::Wait;

/// Selects how long [`futex_wait`] waits, and what ends the wait. The default waits until it is
/// woken.
///
/// ```
/// use std::sync::atomic::AtomicU32;
/// use std::time::Duration;
/// use bytefd::share::FutexWaitOptions;
/// let word = AtomicU32::new(0);
/// let soon = FutexWaitOptions::new().timeout(Duration::from_millis(1));
/// let error = soon.wait(&word, 0).unwrap_err();
/// assert_eq!(error.errno(), libc::ETIMEDOUT);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct FutexWaitOptions {
    timeout: Option<Duration>,
    interruptible: bool,
}

impl FutexWaitOptions {
    /// Returns the default options.
    ///
    /// ```
    /// let options = bytefd::share::FutexWaitOptions::new();
    /// ```
    pub fn new() -> FutexWaitOptions {
        FutexWaitOptions::default()
    }

    /// Ends the wait with `ETIMEDOUT` after this time. Zero does not wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// let options = bytefd::share::FutexWaitOptions::new().timeout(Duration::from_secs(1));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> FutexWaitOptions {
        self.timeout = Some(timeout);
        self
    }

    /// Ends the wait with `EINTR` when a signal handler has run in this thread, also one with
    /// SA_RESTART.
    ///
    /// ```
    /// let options = bytefd::share::FutexWaitOptions::new().interruptible(true);
    /// ```
    pub fn interruptible(mut self, yes: bool) -> FutexWaitOptions {
        self.interruptible = yes;
        self
    }

    /// Waits as [`futex_wait`] does, within these limits.
    ///
    /// ```
    /// let word = std::sync::atomic::AtomicU32::new(1);
    /// bytefd::share::FutexWaitOptions::new().wait(&word, 0)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `ETIMEDOUT` if the timeout has passed.
    /// - `EINTR` if a signal handler has run and the wait is interruptible.
    /// - `EFAULT` if the page of the word is lost.
    pub fn wait(&self, word: &AtomicU32, value: u32) -> Result<()> {
        // The kernel reads the word, so a lost page is an error and not a signal.
        match futex::wait(word, value, &Wait::new(self.timeout, self.interruptible)) {
            Err(Errno(libc::EAGAIN)) | Ok(()) => Ok(()),
            Err(Errno(libc::ETIMEDOUT)) => {
                let message =
                    format!("no wake came before the timeout ended; the word was {value} at first");
                Err(Error::new("futex_wait", libc::ETIMEDOUT, message))
            }
            failed => failed.context("futex", || "FUTEX_WAIT"),
        }
    }
}

/// Waits until another thread or process calls [`futex_wake`] on `word`. It returns immediately if
/// the word is not `value`. It can also return without a reason. After each return, read the word
/// and wait again if necessary.
///
/// The word lies in a map that the processes share, or in memory of this process. Each process can
/// map it at a different address. A writer changes the word first, then calls [`futex_wake`]. If
/// the writer dies between the two, no waiter wakes. Set a [timeout](FutexWaitOptions::timeout), or
/// use a [`file_lock`](super::file_lock()), which ends with its holder.
///
/// ```
/// use std::sync::atomic::Ordering::SeqCst;
/// use bytefd::share::{futex_wait, futex_wake};
/// let map = bytefd::MapOptions::new().memory(4096)?;
/// let word = map.atomic_u32(0)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         word.store(1, SeqCst);
///         futex_wake(word, u32::MAX)
///     });
///     while word.load(SeqCst) == 0 {
///         futex_wait(word, 0)?;
///     }
///     Ok::<(), bytefd::Error>(())
/// })?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EFAULT` if the page of the word is lost.
pub fn futex_wait(word: &AtomicU32, value: u32) -> Result<()> {
    FutexWaitOptions::new().wait(word, value)
}

/// Wakes at most `count` waiters of `word`, in any process. Returns the number of waiters woken.
///
/// ```
/// use std::sync::atomic::Ordering::SeqCst;
/// let map = bytefd::MapOptions::new().memory(4096)?;
/// let word = map.atomic_u32(0)?;
/// word.store(1, SeqCst);
/// assert_eq!(bytefd::share::futex_wake(word, u32::MAX)?, 0);
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EFAULT` if the page of the word is lost.
pub fn futex_wake(word: &AtomicU32, count: u32) -> Result<usize> {
    // The kernel treats 0 like 1.
    if count == 0 {
        return Ok(0);
    }
    futex::wake(word, count).context("futex", || "FUTEX_WAKE")
}
