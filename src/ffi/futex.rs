//! Waits for words in shared memory, and wakes the waiters.

use std::ffi::c_int;

use super::arguments::{shared_word, volatile_void};
use super::boundary::{boundary, bytefd_error};
use super::flags::BYTEFD_INTERRUPTIBLE;
use super::options::{check_flags, timeout};
use crate::share::{self, FutexWaitOptions};

/// Waits until another thread or process calls bytefd_futex_wake on `word`, futex(2). It returns
/// immediately if the word is not `value`, and may return without a reason. After each return, read
/// the word and wait again if necessary.
///
/// The word is 4 bytes at a multiple of 4. It lies in a map that the processes share, which each
/// may have at another address, or in memory of this process. Change it by atomic operations. A
/// writer changes the word first, and then calls bytefd_futex_wake. If the writer dies between the
/// two, no waiter wakes. Set a timeout, or use bytefd_file_lock, whose locks end with their holder.
///
/// `timeout_ns` limits the whole call: -1 waits without a limit, 0 does not wait. `flags` is
/// BYTEFD_INTERRUPTIBLE or 0.
///
/// Returns 0. On failure, returns one of the following:
/// - -EFAULT  if the page of the word is lost or not mapped.
/// - -EINTR   if a signal handler ran, with BYTEFD_INTERRUPTIBLE.
/// - -EINVAL  if `word` is NULL or not at a multiple of 4, or `timeout_ns` or `flags` is invalid.
/// - -ETIMEDOUT  if the timeout has passed.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     const volatile uint32_t *word = bytefd_map_data(map);
///     int status = bytefd_futex_wait(word, 0, 1000000, 0, NULL);
///     printf("%s\n", status == -ETIMEDOUT ? "not woken" : "woken");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_futex_wait(
    word: *const volatile_void,
    value: u32,
    timeout_ns: i64,
    flags: u64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        check_flags(flags, BYTEFD_INTERRUPTIBLE)?;
        let mut options = FutexWaitOptions::new().interruptible(flags & BYTEFD_INTERRUPTIBLE != 0);
        if let Some(limit) = timeout(timeout_ns, "timeout_ns")? {
            options = options.timeout(limit);
        }
        // SAFETY: the header asks for a word that stays during the call.
        options.wait(unsafe { shared_word(word)? }, value)
    })
}

/// Wakes at most `count` waiters of `word`, in any process.
///
/// Returns the number of waiters woken. On failure, returns one of the following:
/// - -EFAULT  if the page of the word is lost or not mapped.
/// - -EINVAL  if `word` is NULL or not at a multiple of 4.
///
/// ```c
/// static uint32_t word;
/// bytefd_futex_wake(&word, UINT32_MAX, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_futex_wake(
    word: *const volatile_void,
    count: u32,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a word that stays during the call.
    boundary(error, || unsafe { share::futex_wake(shared_word(word)?, count) })
}
