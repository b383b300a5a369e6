//! Waiting for each other on a word in shared memory.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use crate::error::{Context, Errno, Error, Result};
use crate::sys::lock;

/// Waits until a word in shared memory has another value than `value`, or somebody calls [`wake`] on it: futex(2). Returns at once if
/// it has another value already. May return without a reason; look at the word, and wait again.
///
/// The word lies in a map that all processes share (at whatever address), or in memory of this process. Who changes it must call
/// [`wake`] afterwards. One who is killed in between wakes nobody: wait with a time limit, or for a lock ([`lock`](super::lock)) that the
/// kernel ends with its holder.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
/// use std::time::Duration;
/// let map = bytefd::MapOptions::new().memory(4096)?;
/// // SAFETY: aligned, in the map, and only used as an atomic.
/// let word = unsafe { AtomicU32::from_ptr(map.as_ptr().cast()) };
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         word.store(1, SeqCst);
///         bytefd::share::wake(word, u32::MAX)
///     });
///     while word.load(SeqCst) == 0 {
///         bytefd::share::wait(word, 0, Some(Duration::from_secs(10)))?;
///     }
///     Ok::<(), bytefd::Error>(())
/// })?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `ETIMEDOUT`: the time has passed; `EFAULT`: the page of the word is gone.
pub fn wait(word: &AtomicU32, value: u32, time: Option<Duration>) -> Result<()> {
    // A time too long to be counted is for ever.
    let end = time.and_then(|time| Instant::now().checked_add(time));
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        // The kernel looks at the word: to it a page that is lost is an error, and no signal.
        match lock::wait(word, value, left) {
            Err(Errno(libc::EINTR)) => {}
            Err(Errno(libc::EAGAIN)) | Ok(()) => return Ok(()),
            Err(Errno(libc::ETIMEDOUT)) => {
                let message = format_args!("the word was {value} for {:?}", time.unwrap_or_default());
                return Err(Error::new("wait", libc::ETIMEDOUT, message));
            }
            failed => return failed.context("futex", || "FUTEX_WAIT"),
        }
    }
}

/// Wakes at most `count` of those that [`wait`] on this word, in any process. Returns how many it were.
///
/// # Errors
/// `EFAULT`: the page of the word is gone.
pub fn wake(word: &AtomicU32, count: u32) -> Result<usize> {
    // The kernel would take none for one.
    if count == 0 {
        return Ok(0);
    }
    lock::wake(word, count).context("futex", || "FUTEX_WAKE")
}
