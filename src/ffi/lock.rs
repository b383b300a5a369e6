//! Waiting for each other.

use std::ffi::c_int;
use std::time::Duration;

use super::arguments::{open_descriptor, range, shared_word};
use super::boundary::{boundary, bytefd_error};
use super::options::{Choice, choose};
use crate::Error;
use crate::share::{self, Lock};

/// Others may lock the bytes shared, too. The descriptor must be open for reading.
pub const BYTEFD_LOCK_SHARED: u32 = 0;
/// Nobody else may lock the bytes. The descriptor must be open for writing.
pub const BYTEFD_LOCK_EXCLUSIVE: u32 = 1;
/// May be added to either: -EAGAIN instead of waiting.
pub const BYTEFD_LOCK_TRY: u32 = 2;

const LOCKS: &[Choice<Lock>] = &[(BYTEFD_LOCK_SHARED, Lock::Shared), (BYTEFD_LOCK_EXCLUSIVE, Lock::Exclusive)];

/// Locks bytes of a file, any range, also past its end, and waits until nobody else has a lock that excludes it. A `length` of 0 is to the
/// end, wherever that is. `how` is BYTEFD_LOCK_SHARED or BYTEFD_LOCK_EXCLUSIVE, and BYTEFD_LOCK_TRY. A lock of the same description
/// on these bytes is replaced.
///
/// The lock is advisory: it keeps out who asks for one too, in any process, and says nothing to who just reads or writes. It belongs to the
/// open file description (F_OFD_SETLKW, fcntl(2), Linux 3.15): all duplicates of the descriptor have it, also in other processes, and
/// it ends with bytefd_unlock or when the last of them is closed, so also when the last holder is killed. Two descriptions exclude each other
/// even in one process; threads that share one do not. Who was sent a descriptor, or has inherited it, needs one of its own, by open(2)
/// of its path in /proc, to be excluded.
///
/// Returns 0, or a negative errno: -EAGAIN: somebody else has a lock that excludes it; -EINVAL: unknown `how`, or more bytes than a file
/// can have; -EBADF: not open, or not for what the lock needs; -ENOLCK: too many locks. Two that wait for each other wait for ever.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     int fd = bytefd_map_descriptor(map, NULL);
///     if (bytefd_lock(fd, 0, 64, BYTEFD_LOCK_EXCLUSIVE, NULL) == 0)
///         bytefd_unlock(fd, 0, 64, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_lock(fd: c_int, offset: u64, length: u64, how: u32, error: *mut bytefd_error) -> c_int {
    boundary(error, || {
        let lock = choose(how & !BYTEFD_LOCK_TRY, LOCKS, "how")?;
        let (fd, range) = (open_descriptor(fd)?, range(offset, length));
        if how & BYTEFD_LOCK_TRY == 0 {
            share::lock(fd, range, lock)
        } else if share::try_lock(fd, range, lock)? {
            Ok(())
        } else {
            Err(Error::new("lock", libc::EAGAIN, "somebody else has a lock that excludes it"))
        }
    })
}

/// Ends the locks of this description on these bytes. A `length` of 0 is to the end, wherever that is.
///
/// Returns 0, or a negative errno: -EINVAL: more bytes than a file can have; -EBADF.
///
/// ```c
/// bytefd_unlock(STDIN_FILENO, 0, 0, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_unlock(fd: c_int, offset: u64, length: u64, error: *mut bytefd_error) -> c_int {
    boundary(error, || share::unlock(open_descriptor(fd)?, range(offset, length)))
}

/// Waits until a word in shared memory has another value than `value`, or somebody calls bytefd_wake on it: futex(2). Returns at once if it
/// has another value already. May return without a reason; look at the word, and wait again.
///
/// The word, 4 bytes at a multiple of 4, lies in a map that all processes share (at whatever address), or in memory of this process, and
/// is changed by atomic operations. Who changes it must call bytefd_wake afterwards. One who is killed in between wakes nobody: wait with
/// a time limit, or for a lock (bytefd_lock), which the kernel ends with its holder. `nanoseconds` below 0 is for ever.
///
/// Returns 0, or a negative errno: -ETIMEDOUT: the time has passed; -EINVAL: `word` is NULL or not at a multiple of 4; -EFAULT: its page
/// is gone.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     const uint32_t *word = bytefd_map_data(map);
///     int status = bytefd_wait(word, 0, 1000000, NULL);
///     printf("%s\n", status == -ETIMEDOUT ? "nobody came" : "woken");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_wait(
    word: *const u32,
    value: u32,
    nanoseconds: i64,
    error: *mut bytefd_error,
) -> c_int {
    let time = u64::try_from(nanoseconds).ok().map(Duration::from_nanos);
    // SAFETY: the header asks for a word that stays during the call.
    boundary(error, || unsafe { share::wait(shared_word(word)?, value, time) })
}

/// Wakes at most `count` of those that wait on this word, in any process.
///
/// Returns how many it were, or a negative errno: -EINVAL: `word` is NULL or not at a multiple of 4; -EFAULT: it is not there.
///
/// ```c
/// static uint32_t word;
/// bytefd_wake(&word, UINT32_MAX, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_wake(word: *const u32, count: u32, error: *mut bytefd_error) -> c_int {
    // SAFETY: the header asks for a word that stays during the call.
    boundary(error, || unsafe { share::wake(shared_word(word)?, count) })
}
