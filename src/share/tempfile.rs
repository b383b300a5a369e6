//! A real file with a path, for code that does not take a descriptor.

use std::ffi::{CString, OsStr, OsString};
use std::fs::Permissions;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{shm, tree};
use crate::error::{Context, Errno, Error, Result};
use crate::sys::fork::MadeHere;
use crate::sys::{self, directory, file};
use crate::{fill, ownership};

/// The directory for files that cannot be in memory.
const ELSEWHERE: &str = "/tmp";

const LONGEST_SUFFIX: usize = 200;

/// Selects how a temporary file is created. The default: no suffix, in /dev/shm, mode 0600.
///
/// ```
/// let file = bytefd::share::TempFileOptions::new().suffix(".txt").create(b"hello")?;
/// assert_eq!(std::fs::read(&file).unwrap(), b"hello");
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TempFileOptions {
    suffix: OsString,
    directory: Option<PathBuf>,
    mode: u32,
}

impl TempFileOptions {
    /// The defaults.
    ///
    /// ```
    /// let options = bytefd::share::TempFileOptions::new();
    /// ```
    pub fn new() -> TempFileOptions {
        TempFileOptions::default()
    }

    /// Sets the end of the file's name, for code that checks it.
    ///
    /// ```
    /// let file = bytefd::share::TempFileOptions::new().suffix(".ndb").create(b"EICAR:0:*:6869")?;
    /// assert!(file.path().to_str().unwrap().ends_with(".ndb"));
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn suffix(mut self, suffix: impl AsRef<OsStr>) -> TempFileOptions {
        self.suffix = suffix.as_ref().into();
        self
    }

    /// Sets an existing directory for the file. The default is the tmpfs at /dev/shm, or /tmp if
    /// that cannot be used. [`sweep`](super::sweep()) searches only /dev/shm, `$TMPDIR`, /tmp and
    /// /var/tmp. In any other directory, a killed process leaves the file behind.
    ///
    /// ```
    /// let file = bytefd::share::TempFileOptions::new().directory("/var/tmp").create(b"on disk")?;
    /// assert!(file.path().starts_with("/var/tmp"));
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn directory(mut self, directory: impl AsRef<Path>) -> TempFileOptions {
        self.directory = Some(directory.as_ref().into());
        self
    }

    /// Sets the permission bits of the file, whatever the umask is; 0 means 0600. The directory
    /// around the file admits no other user.
    ///
    /// ```
    /// let file = bytefd::share::TempFileOptions::new().mode(0o400).create(b"hello")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn mode(mut self, mode: u32) -> TempFileOptions {
        self.mode = mode;
        self
    }

    /// Creates a real file with these bytes, alone in a directory of mode 0700. Its path is
    /// absolute and has no symbolic links.
    ///
    /// Such a file cannot be sealed: any process of the same user can change it. If the code
    /// accepts a descriptor ([`wrap`](crate::wrap())), or its path in /proc
    /// ([`path`](crate::path)), pass that instead.
    ///
    /// The value holds a descriptor of the directory, locked with flock(2). If the process is
    /// killed, the file stays. [`sweep`](super::sweep()) removes the file once no process holds the
    /// directory, which children of fork(2) inherit.
    ///
    /// ```
    /// let file = bytefd::share::TempFileOptions::new().create(b"hello")?;
    /// let path = file.path().to_owned();
    /// drop(file);
    /// assert!(!path.exists());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the suffix has a slash or a NUL byte, or the mode has bits other than the nine
    ///   permission bits.
    /// - `ENAMETOOLONG` if the suffix has more than 200 bytes.
    /// - `ENOSPC` if the file system is full, `EFBIG` above RLIMIT_FSIZE.
    /// - `ENOENT` if there is no such directory.
    /// - Other errors of mkdir(2) and open(2).
    pub fn create(&self, bytes: &[u8]) -> Result<TempFile> {
        let suffix = self.suffix.as_bytes();
        if suffix.contains(&b'/') || suffix.contains(&0) {
            return Err(Error::new(
                "suffix",
                libc::EINVAL,
                format_args!("{:?} has a slash or a NUL byte", self.suffix),
            ));
        }
        if suffix.len() > LONGEST_SUFFIX {
            let message =
                format!("the suffix has {} bytes, the maximum is {LONGEST_SUFFIX}", suffix.len());
            return Err(Error::new("suffix", libc::ENAMETOOLONG, message));
        }
        let mode = shm::checked_mode(self.mode)?;
        let file = self.in_new_directory()?;
        let shown = || file.path.display();
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let fd =
            file::open(&c_path(&file.path), flags, 0o600).and_then(file::above_standard_streams);
        let fd = fd.context("open", shown)?;
        file::fchmod(fd.as_fd(), mode).context("fchmod", shown)?;
        fill::fill(fd.as_fd(), &[IoSlice::new(bytes)], None)?;
        Ok(file)
    }

    fn in_new_directory(&self) -> Result<TempFile> {
        let parent = self
            .directory
            .as_deref()
            .unwrap_or(Path::new(OsStr::from_bytes(ownership::SHM.to_bytes())));
        if parent.as_os_str().as_bytes().contains(&0) {
            return Err(Error::new(
                "directory",
                libc::EINVAL,
                format_args!("{parent:?} has a NUL byte"),
            ));
        }
        let (directory, held) = match made_in(parent) {
            Err(Errno(libc::ENOENT | libc::EACCES | libc::EROFS | libc::EPERM))
                if self.directory.is_none() =>
            {
                made_in(Path::new(ELSEWHERE))
                    .context("mkdir", || format!("a directory in {ELSEWHERE}"))?
            }
            made => made.context("mkdir", || format!("a directory in {}", parent.display()))?,
        };
        let mut name = OsString::from("data");
        name.push(&self.suffix);
        Ok(TempFile { path: directory.join(name), directory, _held: held, made: MadeHere::new() })
    }
}

/// Makes a directory that this process holds. If a sweep removes it before it is held, makes
/// another one.
fn made_in(parent: &Path) -> sys::Result<(PathBuf, OwnedFd)> {
    // The path may be a symbolic link, like /dev/shm on older Debian.
    let parent = std::fs::canonicalize(parent)?;
    let made = ownership::race(|| -> sys::Result<_> {
        let directory = parent.join(ownership::unguessable_name()?);
        let path = c_path(&directory);
        match file::mkdir(&path, 0o700) {
            Err(Errno(libc::EEXIST)) => return Ok(None),
            made => made?,
        }
        let held = || {
            // The umask may have taken bits away.
            std::fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
            let opened = directory::open(&path).and_then(file::above_standard_streams)?;
            Ok(ownership::hold(opened.as_fd(), &path)?.then_some(opened))
        };
        match held() {
            Ok(Some(held)) => return Ok(Some((directory, held))),
            Ok(None) | Err(Errno(libc::ENOENT)) => _ = file::rmdir(&path),
            Err(errno) => {
                let _ = file::rmdir(&path);
                return Err(errno);
            }
        }
        Ok(None)
    })?;
    made.ok_or(Errno(libc::EBUSY))
}

/// A real file with a path. Dropping the value removes the file, its directory and everything that
/// other code has put beside the file. In a child made by fork(2) it removes nothing, because the
/// file belongs to the parent.
///
/// ```
/// let file = bytefd::share::TempFileOptions::new().create(b"hello")?;
/// assert_eq!(std::fs::read(&file).unwrap(), b"hello");
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct TempFile {
    /// Empty once the directory has been removed.
    directory: PathBuf,
    path: PathBuf,
    /// The directory, locked so that no sweep removes it.
    _held: OwnedFd,
    made: MadeHere,
}

impl TempFile {
    /// Returns the absolute path of the file.
    ///
    /// ```
    /// assert!(bytefd::share::TempFileOptions::new().create(b"")?.path().is_absolute());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, as dropping does, and returns the first error of the removal.
    ///
    /// ```
    /// bytefd::share::TempFileOptions::new().create(b"hello")?.close()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EXDEV` if something is mounted in the directory. It stays, with what is mounted.
    /// - Errors of unlink(2) and rmdir(2).
    pub fn close(mut self) -> Result<()> {
        let directory = self.directory.clone();
        self.remove()
            .context("remove", || format!("{} was not removed entirely", directory.display()))
    }

    fn remove(&mut self) -> sys::Result<()> {
        let directory = std::mem::take(&mut self.directory);
        if directory.as_os_str().is_empty() || !self.made.is_here() {
            return Ok(());
        }
        // The file is removed by its path first, because the search for other files needs a
        // descriptor, and none may be free.
        let _ = file::unlink(&c_path(&self.path));
        match file::rmdir(&c_path(&directory)) {
            Ok(()) | Err(Errno(libc::ENOENT)) => Ok(()),
            Err(_) => tree::remove(&directory),
        }
    }
}

impl AsRef<Path> for TempFile {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL, as checked")
}
