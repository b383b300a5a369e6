//! Opens a file that can be mapped, from a path or descriptor. Checks its kind, and creates it if
//! the options say so.

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
    /// Number of bytes in the file.
    pub size: u64,
    /// Number of bytes in each of its pages, which are larger than usual on hugetlbfs.
    pub page: usize,
    /// `None` if the file existed before.
    pub created: Option<Created>,
}

/// The descriptor of a file, and whether the map owns it.
pub(super) enum Descriptor<'a> {
    Own(OwnedFd),
    /// The caller's descriptor. It is used only during the call, so no duplicate is made. Closing a
    /// duplicate would end the record locks of this process, fcntl(2).
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

/// A file that was created here. Removed on drop without [`Created::keep`].
pub(super) struct Created {
    /// `None` if the file is to stay.
    path: Option<CString>,
    /// `None` until fstat(2) has returned it. Until then the path is taken to lead to this file.
    identity: Option<Identity>,
}

impl<'a> File<'a> {
    /// Opens a regular file, or creates it if the options say so.
    pub fn open(path: &'a Path, options: &MapOptions) -> Result<File<'a>> {
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| {
            Error::new("path", libc::EINVAL, format_args!("{path:?} has a NUL byte"))
        })?;
        let (fd, is_new) = open(&c_path, path, options)?;
        let mut created = is_new.then(|| Created { path: Some(c_path), identity: None });
        let name = Name::Path(path);
        // The check is repeated on the file that was really opened.
        let stat = file::fstat(fd.as_fd()).context("fstat", || name)?;
        check_kind(&stat, name)?;
        if let Some(created) = &mut created {
            created.identity = Some(stat.identity);
        }
        let fd = file::above_standard_streams(fd).context("fcntl F_DUPFD_CLOEXEC", || name)?;
        let page = page_of(&stat, fd.as_fd());
        Ok(File { name, fd: Descriptor::Own(fd), size: stat.size, page, created })
    }

    /// Takes the file behind a descriptor, which the caller keeps.
    pub fn behind(fd: BorrowedFd<'a>, options: &MapOptions) -> Result<File<'a>> {
        let name = Name::Descriptor(fd.as_raw_fd());
        let stat = file::fstat(fd).context("fstat", || name)?;
        check_kind(&stat, name)?;
        let page = page_of(&stat, fd);
        let is_kept = options.access == Some(Access::Write) || options.guard;
        let fd = if is_kept {
            Descriptor::Own(file::duplicate(fd).context("fcntl F_DUPFD_CLOEXEC", || name)?)
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
    /// Keeps the file.
    pub fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        let Some(path) = &self.path else { return };
        // The name may refer to another file now, which must not be removed.
        if self
            .identity
            .is_none_or(|identity| file::stat(path).is_ok_and(|stat| stat.identity == identity))
        {
            let _ = file::unlink(path);
        }
    }
}

/// Opens the file. Returns its descriptor, and whether the file is new.
fn open(c_path: &CString, path: &Path, options: &MapOptions) -> Result<(OwnedFd, bool)> {
    let access = if options.access == Some(Access::Write) { libc::O_RDWR } else { libc::O_RDONLY };
    // With O_NONBLOCK a FIFO does not block, even if it takes the name between stat and open.
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
        // If the file existed and is missing now, another process has removed it, and the next try
        // can create it. A dangling symbolic link exists and is missing in every try.
        let is_gone = || {
            let is_link = || file::lstat(c_path).is_ok_and(|stat| stat.is_symbolic_link());
            options.create && tries < 100 && !is_link()
        };
        // Opening a FIFO would wake its writers, and opening a device may have effects. So the kind
        // is checked first.
        match file::stat(c_path) {
            Err(Errno(libc::ENOENT)) if is_gone() => continue,
            stat => check_kind(&stat.context("stat", || path.display())?, Name::Path(path))?,
        }
        let opened = match file::open(c_path, flags, 0) {
            Err(Errno(libc::ENOENT)) if is_gone() => continue,
            // Another process has a lease on the file, and O_NONBLOCK does not wait for its end.
            // The file is certainly no FIFO, so it is opened again without that flag.
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
    // On other file systems the block size is usually the page size, which saves fstatfs(2).
    let is_of_huge_pages = stat.block > sys::page_size() as u64 && file::is_on_hugetlbfs(fd);
    if is_of_huge_pages { stat.block as usize } else { sys::page_size() }
}

fn check_kind(stat: &Stat, name: Name<'_>) -> Result<()> {
    if stat.is_regular() {
        return Ok(());
    }
    let errno = if stat.mode & libc::S_IFMT == libc::S_IFDIR { libc::EISDIR } else { libc::ENODEV };
    let message = format!("{name} is {}, not a regular file", stat.kind());
    Err(Error::new("file type", errno, message))
}
