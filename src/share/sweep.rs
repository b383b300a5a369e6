//! Removes names that no process holds any more; see `ownership`.
//!
//! The sweep enters nothing that is mounted (`openat2`, RESOLVE_NO_XDEV). Transient System V
//! segments need no sweep, because they are marked for removal as soon as they are attached.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use super::tree;
use crate::error::Errno;
use crate::sys::{Result, directory, file, process};
use crate::{backend, ownership};

/// Counts what a [`sweep`] did.
///
/// ```
/// let result = bytefd::share::sweep();
/// println!("{} removed, {} in use, {} failed", result.removed, result.in_use, result.failed);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepResult {
    /// Number of names that were removed.
    pub removed: u64,
    /// Number of names of this user that a process still holds.
    pub in_use: u64,
    /// Number of names that could not be removed entirely, and of directories that could not be
    /// read.
    pub failed: u64,
}

/// Removes what killed processes of this user have left behind. That is objects of
/// [`ShmOptions::owned`], files of [`TempFileOptions`], and the names that some new files have for
/// a moment. It searches /dev/shm, `$TMPDIR`, /tmp and /var/tmp. After a failure it continues, and
/// counts the failure.
///
/// A process holds a shared lock, flock(2), on each object, and on the directory of each temporary
/// file, that it owns. The kernel ends that lock with the last duplicate, mapping, child or
/// receiver. The sweep removes a name only if all of the following hold:
/// - It begins with `bytefd-owned.`.
/// - It belongs to this user.
/// - No process holds it, in any container, so that the sweep can lock it exclusively.
///
/// If a directory that it removes contains a mount, it does not enter the mount.
///
/// A killed process cannot clean up. Call this in the next process, or from a timer.
///
/// [`ShmOptions::owned`]: super::ShmOptions::owned
/// [`TempFileOptions`]: super::TempFileOptions
///
/// ```
/// let removed = bytefd::share::sweep().removed;
/// ```
pub fn sweep() -> SweepResult {
    let mut result = SweepResult::default();
    let mut swept = Vec::new();
    for path in
        std::iter::once(CString::from(ownership::SHM)).chain(backend::temporary_directories())
    {
        match sweep_directory(&path, &mut swept, &mut result) {
            // If the directory does not exist, there is nothing to sweep.
            Ok(()) | Err(Errno(libc::ENOENT | libc::ENOTDIR)) => {}
            Err(_) => result.failed += 1,
        }
    }
    result
}

fn sweep_directory(
    path: &CStr,
    swept: &mut Vec<file::Identity>,
    result: &mut SweepResult,
) -> Result<()> {
    let directory = directory::open(path)?;
    let identity = file::fstat(directory.as_fd())?.identity;
    if swept.contains(&identity) {
        return Ok(());
    }
    swept.push(identity);
    for name in directory::names(directory.as_fd())? {
        if !name.to_bytes().starts_with(ownership::PREFIX.as_bytes()) {
            continue;
        }
        match sweep_name(directory.as_fd(), &name) {
            Ok(Found::Removed) => result.removed += 1,
            Ok(Found::InUse) => result.in_use += 1,
            Ok(Found::NotOurs) | Err(Errno(libc::ENOENT)) => {}
            Err(_) => result.failed += 1,
        }
    }
    Ok(())
}

enum Found {
    Removed,
    InUse,
    NotOurs,
}

fn sweep_name(parent: BorrowedFd<'_>, name: &CStr) -> Result<Found> {
    let stat = directory::stat_in(parent, name)?;
    // Even root leaves files of other users alone, who could exchange them for a trap meanwhile.
    if stat.owner != process::user() || !(stat.is_regular() || stat.is_directory()) {
        return Ok(Found::NotOurs);
    }
    let opened = if stat.is_regular() {
        directory::open_file_in(parent, name)?
    } else {
        directory::open_in(parent, name)?
    };
    if !ownership::claim(opened.as_fd())? {
        return Ok(Found::InUse);
    }
    // Another sweep may have removed it before the lock, and another process may have taken the
    // name.
    let identity = file::fstat(opened.as_fd())?.identity;
    if directory::stat_in(parent, name)?.identity != identity {
        return Ok(Found::NotOurs);
    }
    let remove = if stat.is_regular() { directory::unlink_in } else { tree::remove_in };
    remove(parent, name).map(|()| Found::Removed)
}
