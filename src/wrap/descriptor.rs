//! Opens the file behind a descriptor again, and returns its path.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::error::{Context, Error, Result};
use crate::sys::{self, features};

/// Opens the regular file behind `fd` again and returns a read-only descriptor with an offset of
/// its own, at 0, that is close-on-exec. (A descriptor from `dup` would share its offset with
/// `fd`.)
///
/// This protects nothing by itself. Code that has the descriptor can open the file for writing
/// through /proc, if the file's mode allows that. Only seals protect the content.
///
/// ```
/// let fd = bytefd::wrap(b"hello")?;
/// let other = bytefd::reopen(&fd)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// - `EINVAL` if `fd` is not a regular file.
/// - `ENOENT` if /proc is not mounted.
/// - `EACCES` if the file's mode forbids reading.
/// - Other errors of open(2).
pub fn reopen(fd: impl AsFd) -> Result<OwnedFd> {
    let fd = fd.as_fd();
    let stat =
        sys::file::fstat(fd).context("fstat", || format!("descriptor {}", fd.as_raw_fd()))?;
    if !stat.is_regular() {
        let message =
            format!("descriptor {} is {}, not a regular file", fd.as_raw_fd(), stat.kind());
        return Err(Error::new("reopen", libc::EINVAL, message));
    }
    sys::file::reopen(fd, libc::O_RDONLY)
        .and_then(sys::file::above_standard_streams)
        .context("reopen", || format!("{}{}", proc_path(fd), sys::process::no_proc()))
}

/// Opens a file again as [`reopen`] does, but every program that this process executes from now on
/// has the descriptor, under the same number. All such children share its offset.
/// [`PassFd`](crate::PassFd) gives a descriptor to one child only.
///
/// ```
/// let fd = bytefd::reopen_inherited(&bytefd::wrap(b"hello")?)?;
/// let seen = std::process::Command::new("cat").arg(bytefd::path(&fd)).output()?;
/// assert_eq!(seen.stdout, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`reopen`].
pub fn reopen_inherited(fd: impl AsFd) -> Result<OwnedFd> {
    let fd = reopen(fd)?;
    inherit(fd.as_fd())?;
    Ok(fd)
}

/// Clears close-on-exec.
pub(crate) fn inherit(fd: BorrowedFd<'_>) -> Result<()> {
    sys::file::clear_close_on_exec(fd).context("fcntl F_SETFD", || "descriptor for inheritance")
}

/// Returns the path `/proc/self/fd/N`, for code that takes only a path. The path names the
/// descriptor only in this process or in a child that inherits the descriptor, and only while it is
/// open. A child inherits it with [`WrapOptions::inherit`](crate::WrapOptions::inherit) or
/// [`PassFd`](crate::PassFd). Opening the path gives an open file description with an offset of its
/// own. A child with another user cannot open the path (EACCES), unless
/// [`WrapOptions::mode`](crate::WrapOptions::mode) lets others read the file. The descriptor itself
/// can be read in any case.
///
/// Code that resolves the link first (SQLite does), or that opens it with `O_NOFOLLOW`, finds no
/// file.
///
/// ```
/// let fd = bytefd::wrap(b"hello")?;
/// assert_eq!(std::fs::read(bytefd::path(&fd))?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The argument is a reference or a [`BorrowedFd`]. An [`OwnedFd`] would be closed when `path`
/// returns:
///
/// ```compile_fail,E0277
/// let fd = bytefd::wrap(b"hello")?;
/// assert_eq!(std::fs::read(bytefd::path(fd))?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn path(fd: impl AsFd + Copy) -> PathBuf {
    proc_path(fd.as_fd()).into()
}

fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens a read-only description of a file that is about to be sealed. Returns `None` on kernels
/// that can map a sealed file through the original description. The file is opened before it is
/// sealed, because seals cannot be removed if opening fails.
pub(crate) fn before_sealing(file: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let needs_none = features::maps_sealed_files_shared();
    let needs_none = needs_none.context("probe", || "how the kernel maps a sealed memory file")?;
    if needs_none { Ok(None) } else { reopen(file).map(Some) }
}

/// Fails if a number is not an open descriptor.
#[cfg(feature = "capi")]
pub(crate) fn check_open(fd: std::os::fd::RawFd) -> Result<()> {
    if !sys::file::is_open(fd) {
        return Err(Error::new("fd", libc::EBADF, format_args!("{fd} is not an open descriptor")));
    }
    Ok(())
}
