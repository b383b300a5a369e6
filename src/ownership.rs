//! Ownership of names. A process that owns an object, a temporary file or a hidden name holds a
//! shared flock(2) on it. The lock belongs to the open file description: duplicates, mappings,
//! children and receivers keep it, and the kernel ends it with the last of them.
//!
//! So a sweep asks only the kernel: a file that the sweep can lock exclusively has no owner.
//! Process IDs, start times and namespaces play no part, and neither does /proc.
//!
//! An object is locked before it gets its name. A hidden file or a temporary directory is locked
//! just after it is created. So a process that has taken a lock checks that the name still refers
//! to the file, because a sweep may have removed it.
//!
//! An object gets its name when it is ready (`O_TMPFILE`, `linkat`), so no process opens an object
//! that is incomplete. If the file system does not support `O_TMPFILE`, or /proc is not mounted,
//! the object first has a hidden name, and `link` gives it its final name.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::error::{Errno, Error, Result};
use crate::sys::{self, file, file_lock};

/// The directory of named shared memory, shm_overview(7).
pub(crate) const SHM: &CStr = c"/dev/shm";

/// The prefix of the names that a sweep examines.
pub(crate) const PREFIX: &str = "bytefd-owned.";

/// Largest number of bytes in a file name, NAME_MAX.
pub(crate) const MAX_NAME: usize = 255;

/// Number of attempts to take a name or a lock, with which other processes can interfere. A sweep
/// holds the lock while it removes the name. [`PAUSE`] is the time before a lock is tried again.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Calls `attempt` until it returns a value, at most [`TRIES`] times. Returns `None` if other
/// processes interfered with every attempt.
pub(crate) fn race<T, E>(
    mut attempt: impl FnMut() -> std::result::Result<Option<T>, E>,
) -> std::result::Result<Option<T>, E> {
    for _ in 0..TRIES {
        if let won @ Some(_) = attempt()? {
            return Ok(won);
        }
    }
    Ok(None)
}

/// Returns the error of a lost [`race`].
pub(crate) fn lost(op: &'static str, name: impl Display) -> Error {
    let message =
        format!("other processes created or removed {name} during each of {TRIES} attempts");
    Error::new(op, libc::EBUSY, message)
}

/// Returns the full name of an owned object, temporary directory or hidden file.
pub(crate) fn name(rest: &OsStr) -> Result<OsString> {
    let mut name = OsString::from(PREFIX);
    name.push(rest);
    if name.len() > MAX_NAME {
        let message = format!(
            "{PREFIX}{} has {} bytes, the maximum is {MAX_NAME}",
            rest.to_string_lossy(),
            name.len()
        );
        return Err(Error::new("name", libc::ENAMETOOLONG, message));
    }
    Ok(name)
}

/// Returns an unguessable name for an owned file or directory.
pub(crate) fn unguessable_name() -> sys::Result<String> {
    Ok(format!("{PREFIX}{:032x}", sys::random()?))
}

/// Locks a file or directory shared, until every copy of this open file description is closed.
/// Returns false if the name no longer refers to the file, because a sweep has removed it. EBUSY if
/// another process has locked the file exclusively, and keeps the lock.
pub(crate) fn hold(fd: BorrowedFd<'_>, path: &CStr) -> sys::Result<bool> {
    for _ in 0..TRIES {
        if file_lock::lock_whole(fd, libc::LOCK_SH)? {
            return match file::lstat(path) {
                Ok(found) => Ok(found.identity == file::fstat(fd)?.identity),
                Err(Errno(libc::ENOENT)) => Ok(false),
                Err(errno) => Err(errno),
            };
        }
        std::thread::sleep(PAUSE);
    }
    Err(Errno(libc::EBUSY))
}

/// Locks a file or directory exclusively, until this open file description is closed. Returns false
/// if another open file description has a lock on it.
pub(crate) fn claim(fd: BorrowedFd<'_>) -> sys::Result<bool> {
    file_lock::lock_whole(fd, libc::LOCK_EX)
}

/// Creates a file without a name. If the file system does not support O_TMPFILE, the file has a
/// name for a moment.
pub(crate) fn unnamed_file(directory: &CStr) -> sys::Result<OwnedFd> {
    // With O_EXCL no later linkat(2) can give it a name, open(2).
    if let Some(fd) = tmpfile(directory, libc::O_EXCL)? {
        return Ok(fd);
    }
    let HiddenFile { fd, name } = HiddenFile::create(directory)?;
    // The name is removed before any content is written, so a crash from here on leaves nothing.
    name.remove()?;
    file_lock::unlock_whole(fd.as_fd())?;
    Ok(fd)
}

/// Creates a file without a name, open(2) with O_TMPFILE. `None` if O_TMPFILE is not supported.
pub(crate) fn tmpfile(directory: &CStr, flags: libc::c_int) -> sys::Result<Option<OwnedFd>> {
    match file::open(directory, libc::O_TMPFILE | libc::O_RDWR | flags, 0o600) {
        // EOPNOTSUPP: the file system does not support O_TMPFILE. EISDIR: the kernel does not
        // (before 3.11), and sees only O_DIRECTORY.
        Err(Errno(libc::EOPNOTSUPP | libc::EISDIR)) => Ok(None),
        opened => opened.map(Some),
    }
}

/// A new file that this process has locked, with an unguessable name.
pub(crate) struct HiddenFile {
    pub fd: OwnedFd,
    pub name: HiddenName,
}

impl HiddenFile {
    pub fn create(directory: &CStr) -> sys::Result<HiddenFile> {
        let made = race(|| -> sys::Result<_> {
            let path = [directory.to_bytes(), b"/", unguessable_name()?.as_bytes()].concat();
            let path = CString::new(path).map_err(|_| Errno(libc::EINVAL))?;
            let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
            let fd = match file::open(&path, flags, 0o600) {
                Err(Errno(libc::EEXIST)) => return Ok(None),
                opened => opened?,
            };
            let name = HiddenName(path);
            Ok(hold(fd.as_fd(), &name.0)?.then_some(HiddenFile { fd, name }))
        })?;
        made.ok_or(Errno(libc::EBUSY))
    }
}

/// An unguessable name of a new file. Removed on drop.
pub(crate) struct HiddenName(CString);

impl HiddenName {
    /// Opens the file again.
    pub fn open(&self, flags: libc::c_int) -> sys::Result<OwnedFd> {
        file::open(&self.0, flags | libc::O_NOFOLLOW, 0)
    }

    /// Gives the file a name. Fails if another file has that name.
    pub fn give(&self, path: &CStr) -> sys::Result<()> {
        match file::link_path(&self.0, path) {
            // The file system has no hard links.
            Err(Errno(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS | libc::EMLINK)) => {
                file::rename_new(&self.0, path)
            }
            linked => linked,
        }
    }

    fn remove(self) -> sys::Result<()> {
        match file::unlink(&self.0) {
            Err(Errno(libc::ENOENT)) => Ok(()),
            removed => removed,
        }
    }
}

impl Drop for HiddenName {
    fn drop(&mut self) {
        // After a rename the hidden name does not exist any more.
        let _ = file::unlink(&self.0);
    }
}
