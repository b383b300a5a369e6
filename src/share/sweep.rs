//! What becomes of things when the process they belong to is gone.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

use super::named::SHM;
use super::{link, sysv};
use crate::error::{Context, Errno, Result};
use crate::owner::Owner;
use crate::sys::{file, process};

/// Removes what killed processes have left: named memory ([`NamedOptions::owned`](super::NamedOptions::owned)), links
/// ([`link`](super::link())), System V segments that nobody has attached ([`SysvOptions::owned`](super::SysvOptions::owned)), and the
/// names that files of [`Backend::Shm`](crate::Backend::Shm) have for a moment. Returns how many. Touches nothing else: not what has no
/// owner, belongs to a process of another container (pid_namespaces(7)) or to another user, or whose owner may be alive. (A segment has
/// room for 22 bits that say so: one of 4194304 that other programs of this user have left behind looks like it.)
///
/// A process that was killed cannot clean up; let the next one do it, or a timer.
///
/// ```
/// let removed = bytefd::share::sweep()?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `ENOENT` where /proc is not mounted, or is that of another container, because nobody can be known to be gone then. A host without
/// /dev/shm or System V segments has none to sweep.
pub fn sweep() -> Result<usize> {
    let this = Owner::ask()?;
    let user = process::user();
    let mut removed = 0;
    for directory in [SHM, link::ELSEWHERE] {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries.flatten(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Errno::from(error)).context("opendir", || directory),
        };
        for entry in entries {
            let name = entry.file_name();
            // A label can be any bytes, and cut off anywhere.
            let Some(owner) = Owner::parse(&name.to_string_lossy()) else { continue };
            let path = CString::new(entry.path().into_os_string().into_vec()).expect("a name of the kernel's");
            // Others' are left alone even by root: they could be exchanged for a trap meanwhile.
            let is_ours = |stat: &file::Stat| stat.owner == user;
            let Some(stat) = file::lstat(&path).ok().filter(is_ours).filter(|_| owner.is_dead(&this)) else {
                continue;
            };
            let gone = match stat.mode & libc::S_IFMT {
                libc::S_IFREG => file::unlink(&path).is_ok(),
                libc::S_IFDIR => link::remove(&entry.path()),
                _ => false,
            };
            removed += usize::from(gone);
        }
    }
    Ok(removed + sysv::sweep(&this, user))
}
