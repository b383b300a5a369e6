//! A real file with a path, for code that insists on one.

use std::ffi::CString;
use std::fs::Permissions;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::named::SHM;
use crate::error::{Context, Errno, Error, Result};
use crate::sys::file;
use crate::{fill, owner, sys};

/// Where there is no /dev/shm.
pub(super) const ELSEWHERE: &str = "/tmp";

/// A file with a path: bytes for code that resolves links, or looks at the end of a name. Removed on drop.
///
/// ```
/// let link = bytefd::share::link(b"hello", ".txt")?;
/// assert_eq!(std::fs::read(link.path()).unwrap(), b"hello");
/// let path = link.path().to_owned();
/// drop(link);
/// assert!(!path.exists());
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Link {
    directory: PathBuf,
    path: PathBuf,
}

/// Puts bytes into a real file of mode 0600, whose name ends with `suffix`, alone in a directory of mode 0700 that nobody else can enter: on
/// the tmpfs at /dev/shm, or in /tmp where there is none. The path is absolute and has no symbolic links.
///
/// Such a file cannot be sealed: whoever runs as the same user can change it. Code that can take a descriptor, or `/proc/self/fd/N`, should
/// be given that instead ([`wrap`](crate::wrap()), [`path`](crate::path)).
///
/// A process that is killed leaves it behind; [`sweep`](super::sweep()) removes it then.
///
/// ```
/// let link = bytefd::share::link(b"EICAR:0:*:6869", ".ndb")?;
/// assert!(link.path().to_str().unwrap().ends_with(".ndb"));
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EINVAL`: the suffix has a slash or a NUL; `ENAMETOOLONG`: more than 200 bytes; `ENOSPC`, `EFBIG`; `ENOENT` where /proc is not mounted;
/// mkdir(2)'s and open(2)'s own.
pub fn link(bytes: &[u8], suffix: &str) -> Result<Link> {
    if suffix.contains(['/', '\0']) {
        return Err(Error::new("suffix", libc::EINVAL, format_args!("{suffix:?} has a slash or a NUL byte")));
    }
    if suffix.len() > LONGEST_SUFFIX {
        let message = format_args!("the suffix has {} bytes, and {LONGEST_SUFFIX} are the most", suffix.len());
        return Err(Error::new("suffix", libc::ENAMETOOLONG, message));
    }
    let link = Link::in_new_directory(suffix)?;
    let shown = || link.path.display();
    // Whatever the umask says.
    std::fs::set_permissions(&link.directory, Permissions::from_mode(0o700))
        .map_err(Errno::from)
        .context("chmod", || link.directory.display())?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let fd = file::open(&c_path(&link.path), flags, 0o600).and_then(file::above_standard_streams);
    let fd = fd.context("open", shown)?;
    file::fchmod(fd.as_fd(), 0o600).context("fchmod", shown)?;
    fill::fill(fd.as_fd(), &[IoSlice::new(bytes)], false)?;
    Ok(link)
}

const LONGEST_SUFFIX: usize = 200;

impl Link {
    fn in_new_directory(suffix: &str) -> Result<Link> {
        let unique = sys::random().context("getrandom", || "an unguessable name")?;
        let name = owner::name(&format!("{unique:032x}"))?;
        let made_in = |parent: &str| {
            // Where /dev/shm is a symbolic link.
            let directory = std::fs::canonicalize(parent)?.join(&name);
            file::mkdir(&c_path(&directory), 0o700).map(|()| directory)
        };
        let directory = match made_in(SHM) {
            Err(Errno(libc::ENOENT | libc::EACCES | libc::EROFS | libc::EPERM)) => {
                made_in(ELSEWHERE).context("mkdir", || format!("{ELSEWHERE}/{name}"))?
            }
            made => made.context("mkdir", || format!("{SHM}/{name}"))?,
        };
        let path = directory.join(format!("data{suffix}"));
        Ok(Link { directory, path })
    }

    /// Where the file is.
    ///
    /// ```
    /// assert!(bytefd::share::link(b"", "")?.path().is_absolute());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // To look for more a descriptor is needed, and there may be none.
        let _ = file::unlink(&c_path(&self.path));
        if file::rmdir(&c_path(&self.directory)).is_err() {
            remove(&self.directory);
        }
    }
}

/// Removes a link's directory with what is in it: the client may have put something beside the file (SQLite does).
pub(super) fn remove(directory: &Path) -> bool {
    // No link is followed.
    std::fs::remove_dir_all(directory).is_ok() || {
        open_up(directory);
        std::fs::remove_dir_all(directory).is_ok()
    }
}

/// Gives folders a mode in which what they hold can be removed.
fn open_up(directory: &Path) {
    let _ = std::fs::set_permissions(directory, Permissions::from_mode(0o700));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    // A link to a folder is none.
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| open_up(&entry.path()));
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL, as looked at")
}
