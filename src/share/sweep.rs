//! Removes what processes have left that are gone.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

use super::shm::SHM;
use super::{tempfile, tree};
use crate::error::Result;
use crate::owner::Owner;
use crate::sys::{file, process};

/// What a [`sweep`] did.
///
/// ```
/// let result = bytefd::share::sweep()?;
/// println!("{} removed, {} in use, {} failed", result.removed, result.in_use, result.failed);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepResult {
    /// The number of names that were removed.
    pub removed: u64,
    /// The number of names of this user whose owner lives, or may live: nothing is known of a
    /// process of another container.
    pub in_use: u64,
    /// The number of names that could not be removed, or not entirely, and of directories that
    /// could not be read.
    pub failed: u64,
}

/// Removes what killed processes of this user have left in /dev/shm and /tmp: objects of
/// [`ShmOptions::owned`], the files of [`TempFileOptions`], and the names that some files have for
/// a moment. It goes on after a failure, and counts it.
///
/// It leaves everything else alone: what has no owner, belongs to another user or to a process of
/// another container (pid_namespaces(7)), or whose owner may be alive.
///
/// A killed process cannot clean up. Let the next one do it, or a timer.
///
/// [`ShmOptions::owned`]: super::ShmOptions::owned
/// [`TempFileOptions`]: super::TempFileOptions
///
/// ```
/// let removed = bytefd::share::sweep()?.removed;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `ENOENT` if /proc is not mounted, or is that of another container: no process is known to be
/// gone then.
pub fn sweep() -> Result<SweepResult> {
    let this = Owner::ask()?;
    let user = process::user();
    let mut result = SweepResult::default();
    for directory in [SHM, tempfile::ELSEWHERE] {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => {
                result.failed += 1;
                continue;
            }
        };
        for entry in entries {
            let Ok(entry) = entry else {
                result.failed += 1;
                break;
            };
            let name = entry.file_name();
            // A label can be any bytes, and cut off anywhere.
            let Some(owner) = Owner::parse(&name.to_string_lossy()) else { continue };
            let path = CString::new(entry.path().into_os_string().into_vec()).expect("a name of the kernel's");
            // Others' are left alone even by root: they could be exchanged for a trap meanwhile.
            let Some(stat) = file::lstat(&path).ok().filter(|stat| stat.owner == user) else { continue };
            let kind = stat.mode & libc::S_IFMT;
            if kind != libc::S_IFREG && kind != libc::S_IFDIR {
                continue;
            }
            if !owner.is_dead(&this) {
                result.in_use += 1;
                continue;
            }
            let removed = if kind == libc::S_IFREG { file::unlink(&path) } else { tree::remove(&entry.path()) };
            *(if removed.is_ok() { &mut result.removed } else { &mut result.failed }) += 1;
        }
    }
    Ok(result)
}
