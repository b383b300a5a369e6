//! Directories by descriptor, so that no path is resolved twice.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;

use super::call::{Result, check, last_errno, retry};
use super::file::{self, Stat, own};
use crate::error::Errno;

/// Opens a directory in another one. EXDEV if something is mounted there; ELOOP or ENOTDIR for a
/// symbolic link.
pub(crate) fn open_in(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: all-zero is a valid open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    (how.flags, how.resolve) = (flags as u64, libc::RESOLVE_NO_XDEV);
    let size = size_of::<libc::open_how>();
    // SAFETY: a NUL-terminated name, and a struct of this size.
    match retry(|| unsafe {
        libc::syscall(libc::SYS_openat2, parent.as_raw_fd(), name.as_ptr(), &how, size)
    }) {
        // Linux before 5.6, or a filter that does not know the call.
        Err(Errno(libc::ENOSYS | libc::EPERM)) => {}
        opened => return opened.map(|fd| own(fd as libc::c_int)),
    }
    // SAFETY: a NUL-terminated name.
    let directory =
        own(retry(|| unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags) })?);
    // This does not detect a bind mount of a directory of the same file system.
    let (inner, outer) = (file::fstat(directory.as_fd())?, file::fstat(parent)?);
    if inner.identity.is_on_device_of(outer.identity) {
        Ok(directory)
    } else {
        Err(Errno(libc::EXDEV))
    }
}

/// Opens a directory by its path, following symbolic links.
pub(crate) fn open(path: &CStr) -> Result<OwnedFd> {
    file::open(path, libc::O_RDONLY | libc::O_DIRECTORY, 0)
}

/// Opens a file in a directory, for a lock. Does not wait for the other end of a FIFO, and follows
/// no symbolic link.
pub(crate) fn open_file_in(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let open = |access| {
        let flags = access | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
        // SAFETY: a NUL-terminated name.
        retry(|| unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags) }).map(own)
    };
    match open(libc::O_RDONLY) {
        Err(Errno(libc::EACCES)) => open(libc::O_WRONLY),
        opened => opened,
    }
}

/// Creates a file in a directory, for writing. EEXIST if the name is taken.
pub(crate) fn create_in(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<OwnedFd> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: a NUL-terminated name; openat takes the mode as a variadic argument of this type.
    retry(|| unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags, mode) }).map(own)
}

/// Opens a file in a directory, for reading.
pub(crate) fn read_in(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    // SAFETY: a NUL-terminated name.
    retry(|| unsafe {
        libc::openat(parent.as_raw_fd(), name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
    })
    .map(own)
}

/// Properties of a file system, fstatvfs(3).
pub(crate) struct FileSystem {
    pub is_read_only: bool,
    /// Number of free bytes.
    pub free: u64,
}

pub(crate) fn file_system(directory: BorrowedFd<'_>) -> Result<FileSystem> {
    // SAFETY: all-zero is a valid `struct statvfs`.
    let mut raw: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `raw` is writable.
    retry(|| unsafe { libc::fstatvfs(directory.as_raw_fd(), &mut raw) })?;
    let free = (raw.f_bavail as u64).saturating_mul(raw.f_frsize as u64);
    Ok(FileSystem { is_read_only: raw.f_flag & libc::ST_RDONLY != 0, free })
}

/// Returns the status of a file in a directory, fstatat(2). Does not follow a symbolic link.
pub(crate) fn stat_in(parent: BorrowedFd<'_>, name: &CStr) -> Result<Stat> {
    // SAFETY: all-zero is a valid `struct stat`.
    let mut raw: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a NUL-terminated name, and `raw` is writable.
    check(unsafe {
        libc::fstatat(parent.as_raw_fd(), name.as_ptr(), &mut raw, libc::AT_SYMLINK_NOFOLLOW)
    })?;
    Ok(Stat::from_raw(&raw))
}

/// Returns the names in a directory that stays open, without "." and "..".
pub(crate) fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>> {
    all_names(file::duplicate(directory)?)
}

/// Returns the names in a directory that is read once, without "." and "..".
pub(crate) fn all_names(directory: OwnedFd) -> Result<Vec<CString>> {
    // SAFETY: an open descriptor, which belongs to the stream from here on if there is one.
    let stream =
        NonNull::new(unsafe { libc::fdopendir(directory.as_raw_fd()) }).ok_or_else(last_errno)?;
    let _ = directory.into_raw_fd();
    let mut names = Vec::new();
    let result = loop {
        // SAFETY: errno is this thread's; the stream is open.
        let entry = unsafe {
            *libc::__errno_location() = 0;
            libc::readdir(stream.as_ptr())
        };
        if entry.is_null() {
            let errno = last_errno();
            break if errno.0 == 0 { Ok(names) } else { Err(errno) };
        }
        // SAFETY: the name is NUL-terminated, and valid until the next call.
        let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) };
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    };
    // SAFETY: the stream was opened above, and is not used again.
    unsafe { libc::closedir(stream.as_ptr()) };
    result
}

/// Changes the mode of a file in a directory, fchmodat(2). Follows a symbolic link.
pub(crate) fn chmod_in(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: a NUL-terminated name.
    check(unsafe { libc::fchmodat(parent.as_raw_fd(), name.as_ptr(), mode, 0) }).map(drop)
}

/// Removes a name from a directory, unlinkat(2).
pub(crate) fn unlink_in(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: a NUL-terminated name.
    check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// Removes a directory from another one, unlinkat(2) with AT_REMOVEDIR.
pub(crate) fn rmdir_in(parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: a NUL-terminated name.
    check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) })
        .map(drop)
}
