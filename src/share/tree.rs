//! Removes directories with what they contain.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Errno;
use crate::sys::{Result, directory, file};

/// Deepest level. It is deeper than any client's files, and no thread's stack overflows there.
const DEEPEST: u32 = 256;

/// Removes a directory with what it contains.
pub(super) fn remove(directory: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
        return Err(Errno(libc::EINVAL));
    };
    // The parent directory need not be readable.
    let parent =
        file::open(&c_string(parent.as_os_str().as_bytes())?, libc::O_PATH | libc::O_DIRECTORY, 0)?;
    remove_in(parent.as_fd(), &c_string(name.as_bytes())?)
}

/// Removes a directory in another one, with what it contains. Follows no symbolic link, and enters
/// nothing that is mounted in it. If something cannot be removed it stays, and the first reason is
/// the error: EXDEV for a mount.
pub(super) fn remove_in(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    remove_at(parent, name, 0)
}

fn remove_at(parent: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    let emptied = empty(parent, name, depth);
    match directory::rmdir_in(parent, name) {
        Ok(()) | Err(Errno(libc::ENOENT)) => Ok(()),
        Err(errno) => emptied.and(Err(errno)),
    }
}

fn empty(parent: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    if depth == DEEPEST {
        return Err(Errno(libc::ELOOP));
    }
    let opened = match directory::open_in(parent, name) {
        // The directory's mode forbids reading. The kernel has checked before that it is a
        // directory. Since Linux 5.6 it has also checked that nothing is mounted there. On older
        // kernels the mode of a mounted directory changes, too, before the second call detects the
        // mount.
        Err(Errno(libc::EACCES)) => {
            directory::chmod_in(parent, name, 0o700)?;
            directory::open_in(parent, name)?
        }
        opened => opened?,
    };
    // A directory that cannot be written cannot be emptied.
    let _ = file::fchmod(opened.as_fd(), 0o700);
    let mut result = Ok(());
    for name in directory::names(opened.as_fd())? {
        let removed = match directory::unlink_in(opened.as_fd(), &name) {
            Err(Errno(libc::EISDIR | libc::EPERM)) => remove_at(opened.as_fd(), &name, depth + 1),
            Err(Errno(libc::ENOENT)) => Ok(()),
            // Another file is mounted on this one.
            Err(Errno(libc::EBUSY)) => Err(Errno(libc::EXDEV)),
            removed => removed,
        };
        result = result.and(removed);
    }
    result
}

fn c_string(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Errno(libc::EINVAL))
}
