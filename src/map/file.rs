//! From a path to an open file that can be mapped: the right kind, created and grown as asked.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::options::{Access, MapOptions};
use crate::error::{Context, Errno, Error, Result};
use crate::sys::file::{self, Stat};
use crate::{fill, sys};

/// An open file, made ready. Dropped without [`File::keep`] it undoes what was done to the file system.
pub(super) struct File<'a> {
    pub path: &'a Path,
    /// Bytes in the file.
    pub size: u64,
    c_path: CString,
    fd: OwnedFd,
    undo: Undo,
    /// The size that growing has given the file so far.
    reached: u64,
}

/// What failure makes undone.
#[derive(Clone, Copy)]
enum Undo {
    Nothing,
    Creating,
    GrowingFrom(u64),
}

impl<'a> File<'a> {
    /// Opens, or creates if the options say so, a regular file.
    pub fn open(path: &'a Path, options: &MapOptions) -> Result<File<'a>> {
        let c_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::new("path", libc::EINVAL, format_args!("{path:?} holds a NUL byte")))?;
        let (fd, undo) = open(&c_path, path, options)?;
        let mut file = File { path, size: 0, c_path, fd, undo, reached: 0 };
        // Again, now on what was really opened.
        let stat = file::fstat(file.fd()).context("fstat", || path.display())?;
        check_kind(&stat, path)?;
        file.size = stat.size;
        Ok(file)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// All went well: what was done stays.
    pub fn keep(mut self) {
        self.undo = Undo::Nothing;
    }

    /// Makes the file larger, with zeros, and reserves the space unless told otherwise.
    pub fn grow(&mut self, size: u64, no_reserve: bool) -> Result<()> {
        fill::check_size_limit(size)?;
        let old = self.size;
        if let Undo::Nothing = self.undo {
            self.undo = Undo::GrowingFrom(old);
        }
        self.reached = old;
        self.size = size;
        let asked = || format!("{} from {old} to {size} bytes", self.path.display());
        let fd = self.fd.as_fd();
        if !no_reserve {
            reserve(fd, old, size, &mut self.reached).context("fallocate", asked)?;
        }
        // What somebody stored past the end in the last page would become content by growing. Writing zeros there grows and
        // clears in one step.
        let page_end = size.min(old.next_multiple_of(sys::page_size() as u64));
        write_zeros(fd, old, page_end, &mut self.reached).context("write", asked)?;
        extend(fd, size, &mut self.reached).context("extend", asked)?;
        Ok(())
    }
}

impl Drop for File<'_> {
    fn drop(&mut self) {
        match self.undo {
            Undo::Nothing => {}
            Undo::Creating => {
                // Only if the name still stands for the file that was created here.
                let ours = file::fstat(self.fd()).map(|stat| stat.identity);
                if ours.is_ok() && file::stat(&self.c_path).map(|stat| stat.identity) == ours {
                    let _ = file::unlink(&self.c_path);
                }
            }
            Undo::GrowingFrom(old) => {
                // Also gives back what was reserved past the end; a full disk would stay full otherwise. A file whose size
                // somebody else has changed meanwhile is theirs.
                if file::fstat(self.fd()).is_ok_and(|stat| stat.size == self.reached) {
                    let _ = file::ftruncate(self.fd(), old);
                }
            }
        }
    }
}

/// The descriptor, and how to undo it.
fn open(c_path: &CString, path: &Path, options: &MapOptions) -> Result<(OwnedFd, Undo)> {
    let access = if options.access == Access::Write { libc::O_RDWR } else { libc::O_RDONLY };
    // A FIFO does not block, whatever happens between stat and open.
    let flags = access | libc::O_NONBLOCK;
    if options.create {
        let mode = if options.mode == 0 { 0o600 } else { options.mode };
        match file::open(c_path, flags | libc::O_CREAT | libc::O_EXCL, mode) {
            Err(Errno(libc::EEXIST)) => {}
            created => return created.map(|fd| (fd, Undo::Creating)).context("create", || path.display()),
        }
    }
    // Opening a FIFO would wake its writers and opening a device may move it: look before.
    check_kind(&file::stat(c_path).context("stat", || path.display())?, path)?;
    let opened = match file::open(c_path, flags, 0) {
        // Somebody has a lease on the file, and not to block means not to wait for it: wait, on what surely is no FIFO.
        Err(Errno(libc::EAGAIN)) => open_and_wait(c_path, access, path)?,
        opened => opened.context("open", || path.display())?,
    };
    Ok((opened, Undo::Nothing))
}

fn open_and_wait(c_path: &CString, access: libc::c_int, path: &Path) -> Result<OwnedFd> {
    let place = file::open(c_path, libc::O_PATH, 0).context("open", || path.display())?;
    check_kind(&file::fstat(place.as_fd()).context("fstat", || path.display())?, path)?;
    file::reopen(place.as_fd(), access).context("open", || path.display())
}

fn check_kind(stat: &Stat, path: &Path) -> Result<()> {
    if stat.is_regular() {
        return Ok(());
    }
    let errno = if stat.mode & libc::S_IFMT == libc::S_IFDIR { libc::EISDIR } else { libc::ENODEV };
    let message = format_args!("{} is {}; only regular files can be mapped", path.display(), stat.kind());
    Err(Error::new("file type", errno, message))
}

/// Makes sure that `old..new` has space. `fallocate` where the file system knows it, zeros elsewhere, which grow the file.
fn reserve(fd: BorrowedFd<'_>, old: u64, new: u64, reached: &mut u64) -> sys::Result<()> {
    let mut step = new - old;
    let mut offset = old;
    while offset < new {
        match file::fallocate(fd, libc::FALLOC_FL_KEEP_SIZE, offset, step.min(new - offset)) {
            Ok(()) => offset += step.min(new - offset),
            // On tmpfs a signal interrupts the call and undoes its work: less at a time, until it comes through.
            Err(Errno(libc::EINTR)) => step = (step / 2).max(sys::page_size() as u64),
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)) => return write_zeros(fd, offset, new, reached),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sets the size to at least `size`. ftruncate could cut off what somebody else has added by now; fallocate and pwrite never
/// shrink.
fn extend(fd: BorrowedFd<'_>, size: u64, reached: &mut u64) -> sys::Result<()> {
    loop {
        match file::fallocate(fd, 0, size - 1, 1) {
            Ok(()) => *reached = size,
            Err(Errno(libc::EINTR)) => continue,
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)) => return write_zeros(fd, size - 1, size, reached),
            Err(errno) => return Err(errno),
        }
        return Ok(());
    }
}

fn write_zeros(fd: BorrowedFd<'_>, mut offset: u64, end: u64, reached: &mut u64) -> sys::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while offset < end {
        let length = (end - offset).min(ZEROS.len() as u64) as usize;
        match file::pwrite(fd, &ZEROS[..length], offset)? {
            0 => return Err(Errno(libc::EIO)),
            written => offset += written as u64,
        }
        *reached = offset.max(*reached);
    }
    Ok(())
}
