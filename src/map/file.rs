//! From a path or descriptor to an open file that can be mapped: the right kind, created if asked.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::name::Name;
use super::options::{Access, MapOptions};
use crate::error::{Context, Errno, Error, Result};
use crate::sys;
use crate::sys::file::{self, Identity, Stat};

/// An open file that can be mapped.
pub(super) struct File<'a> {
    pub name: Name<'a>,
    pub fd: Descriptor<'a>,
    /// Bytes in the file.
    pub size: u64,
    /// Bytes in each of its pages: more than elsewhere on hugetlbfs.
    pub page: usize,
    /// `None` if it was there before.
    pub created: Option<Created>,
}

/// Where it is known from.
pub(super) enum Descriptor<'a> {
    Own(OwnedFd),
    /// Only read through, so it needs no duplicate, whose closing would end the record locks of
    /// this process, fcntl(2).
    Lent(BorrowedFd<'a>),
}

impl AsFd for Descriptor<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Descriptor::Own(fd) => fd.as_fd(),
            Descriptor::Lent(fd) => *fd,
        }
    }
}

/// A file that was created here. Dropped without [`Created::keep`] it is removed again.
pub(super) struct Created {
    /// `None` if it is to stay.
    path: Option<CString>,
    /// `None` until the kernel has said it. The name was this file's a moment ago.
    identity: Option<Identity>,
}

impl<'a> File<'a> {
    /// Opens, or creates if the options say so, a regular file.
    pub fn open(path: &'a Path, options: &MapOptions) -> Result<File<'a>> {
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| {
            Error::new("path", libc::EINVAL, format_args!("{path:?} holds a NUL byte"))
        })?;
        let (fd, is_new) = open(&c_path, path, options)?;
        let mut created = is_new.then(|| Created { path: Some(c_path), identity: None });
        let name = Name::Path(path);
        // Again, now on what was really opened.
        let stat = file::fstat(fd.as_fd()).context("fstat", || name)?;
        check_kind(&stat, name)?;
        if let Some(created) = &mut created {
            created.identity = Some(stat.identity);
        }
        let fd = file::above_standard_streams(fd).context("fcntl F_DUPFD", || name)?;
        let page = page_of(&stat, fd.as_fd());
        Ok(File { name, fd: Descriptor::Own(fd), size: stat.size, page, created })
    }

    /// The file behind a descriptor, which stays the caller's.
    pub fn behind(fd: BorrowedFd<'a>, options: &MapOptions) -> Result<File<'a>> {
        let name = Name::Descriptor(fd.as_raw_fd());
        let stat = file::fstat(fd).context("fstat", || name)?;
        check_kind(&stat, name)?;
        let page = page_of(&stat, fd);
        let is_kept = options.access == Some(Access::Write) || options.guard;
        let fd = if is_kept {
            Descriptor::Own(file::duplicate(fd).context("fcntl F_DUPFD", || name)?)
        } else {
            Descriptor::Lent(fd)
        };
        Ok(File { name, fd, size: stat.size, page, created: None })
    }

    pub fn is_of_huge_pages(&self) -> bool {
        self.page > sys::page_size()
    }
}

impl Created {
    /// All went well: it stays.
    pub fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        let Some(path) = &self.path else { return };
        // Only if the name still stands for the file that was created here.
        if self
            .identity
            .is_none_or(|identity| file::stat(path).is_ok_and(|stat| stat.identity == identity))
        {
            let _ = file::unlink(path);
        }
    }
}

/// The descriptor, and whether the file is new.
fn open(c_path: &CString, path: &Path, options: &MapOptions) -> Result<(OwnedFd, bool)> {
    let access = if options.access == Some(Access::Write) { libc::O_RDWR } else { libc::O_RDONLY };
    // A FIFO does not block, whatever happens between stat and open.
    let flags = access | libc::O_NONBLOCK;
    let mode = if options.mode == 0 { 0o600 } else { options.mode };
    let mut tries = 0;
    loop {
        tries += 1;
        if options.create {
            match file::open(c_path, flags | libc::O_CREAT | libc::O_EXCL, mode) {
                Err(Errno(libc::EEXIST)) => {}
                created => {
                    return created.map(|fd| (fd, true)).context("create", || path.display());
                }
            }
        }
        // Another process has removed it since. (A symbolic link that leads nowhere stays.)
        let is_gone = || {
            options.create && tries < 100 && matches!(file::lstat(c_path), Err(Errno(libc::ENOENT)))
        };
        // Opening a FIFO would wake its writers and opening a device may move it: look before.
        match file::stat(c_path) {
            Err(Errno(libc::ENOENT)) if is_gone() => continue,
            stat => check_kind(&stat.context("stat", || path.display())?, Name::Path(path))?,
        }
        let opened = match file::open(c_path, flags, 0) {
            Err(Errno(libc::ENOENT)) if is_gone() => continue,
            // Somebody has a lease on the file, and not to block means not to wait for it: wait, on
            // what surely is no FIFO.
            Err(Errno(libc::EAGAIN)) => open_and_wait(c_path, access, path)?,
            opened => opened.context("open", || path.display())?,
        };
        return Ok((opened, false));
    }
}

fn open_and_wait(c_path: &CString, access: libc::c_int, path: &Path) -> Result<OwnedFd> {
    let place = file::open(c_path, libc::O_PATH, 0).context("open", || path.display())?;
    check_kind(&file::fstat(place.as_fd()).context("fstat", || path.display())?, Name::Path(path))?;
    file::reopen(place.as_fd(), access).context("open", || path.display())
}

fn page_of(stat: &Stat, fd: BorrowedFd<'_>) -> usize {
    // Other file systems, whose blocks are mostly pages, are not asked.
    let is_of_huge_pages = stat.block > sys::page_size() as u64 && file::is_on_hugetlbfs(fd);
    if is_of_huge_pages { stat.block as usize } else { sys::page_size() }
}

fn check_kind(stat: &Stat, name: Name<'_>) -> Result<()> {
    if stat.is_regular() {
        return Ok(());
    }
    let errno = if stat.mode & libc::S_IFMT == libc::S_IFDIR { libc::EISDIR } else { libc::ENODEV };
    let message = format!("{name} is {}; only regular files can be mapped", stat.kind());
    Err(Error::new("file type", errno, message))
}
