//! Ownership of names. A process that owns an object, a temporary file or a hidden name holds a
//! shared flock(2) on it. The lock is taken before others can see the name. It belongs to the open
//! file description: duplicates, mappings, children and receivers keep it, and the kernel ends it
//! with the last of them.
//!
//! So a sweep asks the kernel alone: nobody owns what it can lock exclusively. Process numbers,
//! start times and namespaces play no part, and neither does /proc. A process that has taken a lock
//! looks whether the name still refers to the file, because a sweep may have been faster.
//!
//! An object gets its name when it is ready (`O_TMPFILE`, `linkat`), so nobody opens half of it.
//! Where the file system knows no `O_TMPFILE`, or there is no /proc, it has a hidden name first,
//! and `link` gives it its own.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::error::{Errno, Error, Result};
use crate::sys::{self, file, file_lock};

/// Where shared memory has names, shm_overview(7).
pub(crate) const SHM: &CStr = c"/dev/shm";

/// What the names begin with that a sweep looks at.
pub(crate) const PREFIX: &str = "bytefd-owned.";

/// Bytes in a file name, NAME_MAX.
pub(crate) const MAX_NAME: usize = 255;

/// How often something is tried that others may be faster with: a lock, which a sweep has while it
/// removes the name; a name. And how long the pauses are before a lock is tried again.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Tries again for as long as others are faster, but not for ever. `None`: they always were.
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

/// The error of who has lost a [`race`].
pub(crate) fn lost(op: &'static str, name: impl Display) -> Error {
    let message = format!("others have created or removed {name} meanwhile, each of {TRIES} times");
    Error::new(op, libc::EBUSY, message)
}

/// A name for what is owned.
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

/// An unguessable name for what is owned.
pub(crate) fn unguessable_name() -> sys::Result<String> {
    Ok(format!("{PREFIX}{:032x}", sys::random()?))
}

/// Holds a file or directory until its description is closed everywhere. False if the name does not
/// stand for it any more, because a sweep was faster. EBUSY if somebody else has locked it
/// exclusively, and keeps it so.
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

/// Locks a file or directory exclusively, until this description is closed. False if somebody holds
/// it.
pub(crate) fn claim(fd: BorrowedFd<'_>) -> sys::Result<bool> {
    file_lock::lock_whole(fd, libc::LOCK_EX)
}

/// A new file that has no name. It has one for a moment where the file system knows no O_TMPFILE.
pub(crate) fn unnamed_file(directory: &CStr) -> sys::Result<OwnedFd> {
    // O_EXCL: no later linkat(2) can give it a name, open(2).
    if let Some(fd) = tmpfile(directory, libc::O_EXCL)? {
        return Ok(fd);
    }
    let HiddenFile { fd, name } = HiddenFile::create(directory)?;
    // Before any content, so that a crash from here on leaves nothing.
    name.remove()?;
    file_lock::unlock_whole(fd.as_fd())?;
    Ok(fd)
}

/// open(2) with O_TMPFILE; `None` if the file system does not know it.
pub(crate) fn tmpfile(directory: &CStr, flags: libc::c_int) -> sys::Result<Option<OwnedFd>> {
    match file::open(directory, libc::O_TMPFILE | libc::O_RDWR | flags, 0o600) {
        // EISDIR: a kernel or file system that sees O_DIRECTORY only.
        Err(Errno(libc::EOPNOTSUPP | libc::EISDIR)) => Ok(None),
        opened => opened.map(Some),
    }
}

/// A new file that this process holds, with a name that nobody looks for.
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
    /// Opens the file once more.
    pub fn open(&self, flags: libc::c_int) -> sys::Result<OwnedFd> {
        file::open(&self.0, flags | libc::O_NOFOLLOW, 0)
    }

    /// Gives the file a name that no other file has.
    pub fn give(&self, path: &CStr) -> sys::Result<()> {
        match file::link_path(&self.0, path) {
            // A file system without hard links.
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
        // After a rename there is none.
        let _ = file::unlink(&self.0);
    }
}
