//! Makes new files on a file system that belongs to the pool. Every scan has a file of its own, and
//! nothing of it is left afterwards.
//!
//! The kernel writes there into pages of any size, and does not clear a page that is written whole.
//! So a large new file costs about as much as one memcpy. The lent description is opened through a
//! read-only mount, which protects the file better than a mode. The name of a file exists for three
//! system calls, before its first byte.
//!
//! With `PoolMethod::Auto` the file system is not tried under a filter of system calls, because the
//! filter may kill the child that mounts it. It is never tried under Valgrind, which ends programs
//! that call clone(2) like this. A first file is written before any scan relies on the file system.

use std::ffi::CStr;
use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};

use crate::error::{Context, Errno, Result};
use crate::sys::directory;
use crate::sys::file::{self, Identity};
use crate::sys::private_tmpfs::{self, Refusal};
use crate::sys::process;
use crate::sys::shared::{Shared, User};
use crate::sys::source;
use crate::{fill, sys};

/// The mode of new files.
const MODE: u32 = 0o400;

/// Largest size of the file system: more than any machine has, and small enough that every kernel
/// accepts it.
const MAX_SIZE: u64 = 1 << 60;

/// From this size on, two more calls cost nothing beside the copy. One asks for the free space,
/// because a full file system would waste the copy. The other sets the size before the copy, so
/// that the file gets huge pages.
const LARGE: u64 = 1 << 20;

/// Number of scans without new files, after the file system could not be made or used. They take
/// longer than it takes to make another one.
const PAUSE: u32 = 1000;

/// Makes the files of a pool that are not lent again.
#[derive(Debug)]
pub(super) struct NewFiles {
    /// The size of the file system in bytes.
    size: u64,
    /// Whether the caller chose `PoolMethod::NewFiles`. The file system is then tried even under a
    /// filter of system calls, which may kill the child.
    is_asked_for: bool,
    /// The root directory, for writing and read-only. Opened when it is needed.
    directories: Shared,
    /// Whether the host refuses the file system, or the pool is closed.
    is_refused: AtomicBool,
    /// Number of scans without new files until the next one makes a file system.
    pause: AtomicU32,
    /// Bits of the 64 names that are in use, each for a moment. The same few names again cost less
    /// than new ones.
    names: AtomicU64,
}

/// A new file. It is filled through one description, and another one is lent.
#[derive(Debug)]
pub(crate) struct NewFile {
    writer: OwnedFd,
    reader: OwnedFd,
    identity: Identity,
}

impl NewFiles {
    /// Sets the limits: at most `max_bytes` of memory at the same time. Makes nothing yet.
    pub fn new(max_bytes: u64, is_asked_for: bool) -> NewFiles {
        let page = sys::page_size() as u64;
        NewFiles {
            // 0 would not be a limit.
            size: max_bytes.min(MAX_SIZE).next_multiple_of(page).max(page),
            is_asked_for,
            directories: Shared::new(),
            is_refused: AtomicBool::new(false),
            pause: AtomicU32::new(0),
            names: AtomicU64::new(0),
        }
    }

    /// Returns whether this process makes no new files.
    pub fn are_refused(&self) -> bool {
        self.is_refused.load(Relaxed)
    }

    /// Returns whether a scan does without a new file, because an earlier one got none. Counts the
    /// scan.
    pub fn are_paused(&self) -> bool {
        let one_less = |pause: u32| pause.checked_sub(1);
        self.pause.load(Relaxed) > 0 && self.pause.fetch_update(Relaxed, Relaxed, one_less).is_ok()
    }

    /// Makes no new files any more.
    pub fn refuse(&self) {
        self.is_refused.store(true, Relaxed);
    }

    /// Makes the file system, if there is none. Fails with the step that the host refuses.
    pub fn prepare(&self) -> std::result::Result<(), Refusal> {
        self.try_enter().map(drop)
    }

    /// Closes the descriptors of the file system. The next scan makes another one.
    pub fn close(&self) {
        self.directories.close();
    }

    /// Closes the file system and pauses, after something was refused or ran out.
    fn lose(&self) {
        self.pause.store(PAUSE, Relaxed);
        self.close();
    }

    /// Closes, in a child made by fork, the parent's file system. The child makes its own.
    pub fn drop_inherited(&self) {
        self.directories.drop_inherited();
        // The names are in use by threads that this process does not have.
        self.names.store(0, Relaxed);
    }

    /// Returns the file system, and makes it if there is none. `None` if it is refused, or
    /// unavailable now.
    fn enter(&self) -> Option<User<'_>> {
        if self.are_refused() {
            return None;
        }
        self.try_enter().ok().flatten()
    }

    fn try_enter(&self) -> std::result::Result<Option<User<'_>>, Refusal> {
        if let Some(user) = self.directories.enter() {
            return Ok(Some(user));
        }
        if self.pause.load(Relaxed) > 0 {
            return Ok(None);
        }
        let Some(made) = self.directories.open_with(|| self.mount()) else { return Ok(None) };
        made.map(Some)
            .inspect_err(|refusal| if refusal.is_shortage() { self.lose() } else { self.refuse() })
    }

    fn mount(&self) -> std::result::Result<[(OwnedFd, Identity); 2], Refusal> {
        // A filter may kill instead of refusing, and then leaves a note in the log of the host.
        if !self.is_asked_for && process::is_filtered() {
            return Err(Refusal::new("seccomp", Errno(libc::EPERM)));
        }
        let made = private_tmpfs::mount(self.size)?;
        let fstat =
            |fd: &OwnedFd| file::fstat(fd.as_fd()).map_err(|errno| Refusal::new("fstat", errno));
        let identity = fstat(&made.writable)?.identity;
        // In a user namespace without a mapping of the user, mounting succeeds, but the file system
        // takes no files.
        try_out(&made)?;
        Ok([(made.writable, identity), (made.read_only, identity)])
    }

    /// Creates an empty file. Returns `None` in these cases:
    /// - there is no file system;
    /// - it takes no files of this process any more, for example after setuid(2);
    /// - it is full;
    /// - all 64 names are in use.
    pub fn create(&self, name: &CStr) -> Option<NewFile> {
        self.enter().and_then(|user| self.create_for(&user, name))
    }

    fn create_for(&self, user: &User<'_>, name: &CStr) -> Option<NewFile> {
        let lowest = |taken: u64| (taken != u64::MAX).then(|| taken | (taken + 1));
        let number = self.names.fetch_update(Acquire, Relaxed, lowest).ok()?.trailing_ones();
        let created = create_in(user.first(), user.second(), name, number);
        self.names.fetch_and(!(1 << number), Release);
        if created.as_ref().is_err_and(|errno| *errno != Errno(libc::ENOSPC)) {
            self.lose();
        }
        created.ok()
    }

    /// Creates a file that holds these segments. `None` in the cases of [`NewFiles::create`], and
    /// where there is no space for it.
    pub fn create_filled(&self, name: &CStr, segments: &[IoSlice<'_>]) -> Result<Option<NewFile>> {
        let total = fill::total_length(segments)?;
        fill::check_size_limit(total)?;
        let Some(user) = self.enter() else { return Ok(None) };
        if total >= LARGE
            && directory::file_system(user.first()).is_ok_and(|system| system.free < total)
        {
            return Ok(None);
        }
        let Some(file) = self.create_for(&user, name) else { return Ok(None) };
        match file.fill(segments, total) {
            Ok(()) => Ok(Some(file)),
            // Files that are lent, or that a borrower has kept, take the space.
            Err(error) if error.errno() == libc::ENOSPC => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Makes a first file. Checks that it can be written, and that the second mount is read-only.
fn try_out(made: &private_tmpfs::Directories) -> std::result::Result<(), Refusal> {
    let (step, writable, read_only) =
        ("a first file", made.writable.as_fd(), made.read_only.as_fd());
    let file = create_in(writable, read_only, c"bytefd", 0);
    let is_read_only = directory::file_system(read_only).is_ok_and(|system| system.is_read_only);
    // A write beyond the limit would raise a signal.
    let content = if fill::check_size_limit(1).is_ok() { &b"x"[..] } else { b"" };
    match file.and_then(|file| file::pwrite(file.writer.as_fd(), content, 0)) {
        Ok(count) if count == content.len() && is_read_only => Ok(()),
        Ok(_) => Err(Refusal::new(step, Errno(libc::EIO))),
        Err(errno) => Err(Refusal::new(step, errno)),
    }
}

/// Creates a file that has this name and number until it is open through both mounts.
fn create_in(
    writable: BorrowedFd<'_>,
    read_only: BorrowedFd<'_>,
    name: &CStr,
    number: u32,
) -> sys::Result<NewFile> {
    let mut path = [0; 256];
    let name = name.to_bytes();
    path[..name.len()].copy_from_slice(name);
    write!(&mut path[name.len()..], ".{number}\0").expect("a name has at most 200 bytes");
    let name = CStr::from_bytes_until_nul(&path).expect("written above");

    let writer = directory::create_in(writable, name, MODE)?;
    let read = |writer: &OwnedFd| {
        let stat = file::fstat(writer.as_fd())?;
        if stat.mode & 0o7777 != MODE {
            // The umask has cleared bits of the mode.
            file::fchmod(writer.as_fd(), MODE)?;
        }
        directory::read_in(read_only, name).map(|reader| (reader, stat.identity))
    };
    let reader = read(&writer);
    directory::unlink_in(writable, name)?;
    let (reader, identity) = reader?;
    let (writer, reader) =
        (file::above_standard_streams(writer)?, file::above_standard_streams(reader)?);
    Ok(NewFile { writer, reader, identity })
}

impl NewFile {
    fn fill(&self, segments: &[IoSlice<'_>], total: u64) -> Result<()> {
        let writer = self.writer.as_fd();
        if total >= LARGE {
            // Before Linux 6.14 a file gets huge pages only within its size.
            file::ftruncate(writer, total).context("ftruncate", || format!("{total} bytes"))?;
        }
        fill::write_at(writer, segments, 0)?;
        source::check_kept(segments)
            .context("write", || "the bytes are in a guarded map, and their pages were lost")
    }

    /// Writes the next bytes of the content, at `offset`.
    pub fn store(&self, segments: &[IoSlice<'_>], offset: u64) -> Result<()> {
        fill::write_at(self.writer.as_fd(), segments, offset)
    }

    /// Returns the description to lend, and the identity of its file. No code can write to the file
    /// any more.
    pub fn finish(self) -> (OwnedFd, Identity) {
        (self.reader, self.identity)
    }
}

impl AsFd for NewFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
