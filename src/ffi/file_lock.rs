//! Locks bytes of files.

use std::ffi::c_int;
use std::ops::Bound;
use std::time::Duration;

use super::arguments::open_descriptor;
use super::boundary::{boundary, bytefd_error};
use super::flags::BYTEFD_INTERRUPTIBLE;
use super::options::{check_flags, timeout};
use crate::share::{self, FileLockOptions, LockKind};
use crate::{Error, Result};

/// Locks bytes of a file, and waits until no other open file description has a conflicting lock.
/// The range may lie past the end of the file. A `length` of BYTEFD_UNLIMITED locks to the end of
/// the file, wherever that is. The new lock replaces a lock of the same open file description on
/// these bytes.
///
/// `operation` is one of the following, from <sys/file.h>. With LOCK_NB added, the call does not
/// wait.
/// - LOCK_SH: a shared lock, which admits other shared locks. The descriptor must be open for
///   reading.
/// - LOCK_EX: an exclusive lock, which admits no other lock. The descriptor must be open for
///   writing.
///
/// `timeout_ns` limits the whole call: -1 waits without a limit, 0 does not wait. `flags` is
/// BYTEFD_INTERRUPTIBLE or 0. While the call waits, it polls the lock at least every 10 ms.
///
/// The lock is advisory: it conflicts with other locks on these bytes, in any process, but does not
/// stop read(2) or write(2). It belongs to the open file description (F_OFD_SETLK, fcntl(2), Linux
/// 3.15):
/// - All duplicates of the descriptor have it, also in other processes.
/// - It ends with bytefd_file_unlock. Otherwise it ends when the last duplicate is closed and the
///   last mapping that was made through one of them is unmapped. Duplicates and mappings in
///   children and receivers count too. The kernel closes and unmaps those of a process that is
///   killed.
/// - Two open file descriptions conflict even in one process. Threads that share one do not.
/// - A process that received or inherited the descriptor shares the open file description, and its
///   locks do not conflict with the sender's. To get one of its own, it calls open(2) on the
///   descriptor's path (bytefd_path). bytefd_reopen is enough for LOCK_SH, because it opens for
///   reading only.
///
/// Returns 0. On failure, returns one of the following:
/// - -EAGAIN  if another open file description has a conflicting lock, with LOCK_NB or a
///   `timeout_ns` of 0.
/// - -EBADF   if `fd` is not open, or not open for what the lock needs.
/// - -EINTR   if a signal handler ran, with BYTEFD_INTERRUPTIBLE.
/// - -EINVAL  if `length` is 0, the range is more than a file can have, or `operation`,
///   `timeout_ns` or `flags` is invalid.
/// - -ENOLCK  if there are too many locks.
/// - -ETIMEDOUT  if the timeout has passed.
///
/// A deadlock is not detected: two processes that wait for each other wait until their timeouts.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     int fd = bytefd_map_descriptor(map, NULL);
///     if (bytefd_file_lock(fd, 0, 64, LOCK_EX, -1, 0, NULL) == 0)
///         bytefd_file_unlock(fd, 0, 64, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_file_lock(
    fd: c_int,
    offset: u64,
    length: u64,
    operation: c_int,
    timeout_ns: i64,
    flags: u64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let kind = match operation & !libc::LOCK_NB {
            libc::LOCK_SH => LockKind::Shared,
            libc::LOCK_EX => LockKind::Exclusive,
            _ => {
                let message = format!(
                    "operation {operation:#x} is not LOCK_SH or LOCK_EX, with or without LOCK_NB"
                );
                return Err(Error::new("operation", libc::EINVAL, message));
            }
        };
        check_flags(flags, BYTEFD_INTERRUPTIBLE)?;
        let mut options = FileLockOptions::new().interruptible(flags & BYTEFD_INTERRUPTIBLE != 0);
        let limit = timeout(timeout_ns, "timeout_ns")?;
        if let Some(limit) =
            if operation & libc::LOCK_NB != 0 { Some(Duration::ZERO) } else { limit }
        {
            options = options.timeout(limit);
        }
        let (fd, range) = (open_descriptor(fd)?, range(offset, length)?);
        options.lock(fd, range, kind)?.keep();
        Ok(())
    })
}

/// Ends the locks of this open file description on these bytes. A `length` of BYTEFD_UNLIMITED
/// unlocks to the end of the file, wherever that is.
///
/// Returns 0. On failure, returns one of the following:
/// - -EBADF   if `fd` is not open.
/// - -EINVAL  if `length` is 0, or the range is more than a file can have.
///
/// ```c
/// bytefd_file_unlock(STDIN_FILENO, 0, BYTEFD_UNLIMITED, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_file_unlock(
    fd: c_int,
    offset: u64,
    length: u64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || share::file_unlock(open_descriptor(fd)?, range(offset, length)?))
}

fn range(offset: u64, length: u64) -> Result<(Bound<u64>, Bound<u64>)> {
    let end = match length {
        0 => {
            let message = "length is 0, must be at least 1; BYTEFD_UNLIMITED selects everything up \
                           to the end";
            return Err(Error::new("length", libc::EINVAL, message));
        }
        u64::MAX => Bound::Unbounded,
        // If the end overflows, the range exceeds the largest file, and is refused later.
        length => Bound::Excluded(offset.saturating_add(length)),
    };
    Ok((Bound::Included(offset), end))
}
