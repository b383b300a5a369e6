//! Ownership of names. A process that owns an object, a temporary file or a hidden name holds a
//! shared flock(2) on it. The lock is taken before other processes can see the name. It belongs to
//! the open file description: duplicates, mappings, children and receivers keep it, and the kernel
//! ends it with the last of them.
//!
//! So a sweep asks the kernel alone: what it can lock exclusively has no owner. Process IDs, start
//! times and namespaces play no part, and neither does /proc. A process that has taken a lock
//! checks that the name still refers to the file, because a sweep may have been faster.
//!
//! An object gets its name when it is ready (`O_TMPFILE`, `linkat`), so no process opens half of
//! it. Where the file system knows no `O_TMPFILE`, or there is no /proc, it first has a hidden
//! name, and `link` gives it its own.

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

/// How often a name or a lock is tried, because other processes may be faster. A sweep has the lock
/// while it removes the name. [`PAUSE`] is the time before a lock is tried again.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Tries again while other processes are faster, at most [`TRIES`] times. `None` if they always
/// were.
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
    let message = format!("others have created or removed {name} meanwhile, each of {TRIES} times");
    Error::new(op, libc::EBUSY, message)
}

/// Returns the name of something that is owned.
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

/// Returns an unguessable name for something that is owned.
pub(crate) fn unguessable_name() -> sys::Result<String> {
    Ok(format!("{PREFIX}{:032x}", sys::random()?))
}

/// Holds a file or directory until its open file description is closed everywhere. Returns false if
/// the name does not refer to it any more, because a sweep was faster. EBUSY if another process has
/// locked it exclusively, and keeps the lock.
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
/// if another one holds it.
pub(crate) fn claim(fd: BorrowedFd<'_>) -> sys::Result<bool> {
    file_lock::lock_whole(fd, libc::LOCK_EX)
}

/// Creates a file that has no name. It has one for a moment where the file system knows no
/// O_TMPFILE.
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

/// Opens a file without a name, open(2) with O_TMPFILE. `None` if the file system does not know it.
pub(crate) fn tmpfile(directory: &CStr, flags: libc::c_int) -> sys::Result<Option<OwnedFd>> {
    match file::open(directory, libc::O_TMPFILE | libc::O_RDWR | flags, 0o600) {
        // A kernel or file system without O_TMPFILE sees O_DIRECTORY only, and says EISDIR.
        Err(Errno(libc::EOPNOTSUPP | libc::EISDIR)) => Ok(None),
        opened => opened.map(Some),
    }
}

/// A new file that this process holds, under a name that no other process looks for.
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
