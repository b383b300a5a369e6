//! One file that is lent again and again.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use crate::backend::{self, Backend, Execution};
use crate::error::{Context, Errno, Error, Result};
use crate::sys::features::O_DIRECT_OF_MEMFD;
use crate::sys::file::{self, Identity, Stat};
use crate::sys::window::Window;
use crate::{fill, sys};

/// The mode of kept files.
const MODE: u32 = 0o400;

/// A cached file. Its master is noted in a slot of the cache, which whoever drops the file clears afterwards.
#[derive(Debug)]
pub(super) struct CachedFile {
    pub master: OwnedFd,
    pub identity: Identity,
    /// Number of the slot where the master is noted.
    pub slot: usize,
    /// Bytes of the pages that were filled, and so exist.
    pub present: u64,
    /// Bytes of memory that it had when it was last given back.
    pub allocated: u64,
    /// The master itself was lent: who kept a duplicate of it would not be seen, so it is not lent to others.
    pub is_exposed: bool,
    /// How many forks ago it was made: one of another generation is the parent's.
    pub generation: u32,
    /// When it was last given back, in nanoseconds since the pool was made.
    pub used: u64,
    /// Its length now.
    size: u64,
    owner: u32,
    /// Bytes of the names of extended attributes: security modules give some to every file.
    attributes: usize,
    /// Mapped when it is lent for the second time.
    window: Option<Window>,
}

/// Why there is no file that can be kept.
pub(super) enum MakeError {
    /// This host refuses leases, or has no memfd or no /proc.
    Unsupported,
    /// Another process opened it in that moment.
    Busy,
    /// Something ran out, or the bytes cannot be read.
    Failed(Error),
}

impl From<Error> for MakeError {
    /// What is refused, this host does not have; anything else is an error.
    fn from(error: Error) -> MakeError {
        match error.errno() {
            libc::ENOSYS | libc::EINVAL | libc::EPERM | libc::EACCES | libc::ENOENT | libc::ENOTDIR => {
                MakeError::Unsupported
            }
            _ => MakeError::Failed(error),
        }
    }
}

impl CachedFile {
    /// A new file with this content, for this slot. `note` is told its master as soon as it exists.
    pub fn make(
        slot: usize,
        note: impl Fn(RawFd, Identity),
        bytes: &[u8],
        generation: u32,
        exposed: bool,
    ) -> std::result::Result<CachedFile, MakeError> {
        let first = backend::create(Backend::Memfd, c"bytefd", Execution::Forbidden)?.fd;
        let stat = file::fstat(first.as_fd()).context("fstat", || "a new file")?;
        note(first.as_raw_fd(), stat.identity);
        // A memfd's own first description does not count as a writer, so the kernel would refuse every lease on it.
        let master = file::reopen(first.as_fd(), libc::O_RDWR)
            .and_then(file::above_standard_streams)
            .context("reopen", || "a new file")?;
        note(master.as_raw_fd(), stat.identity);
        drop(first);
        file::add_seals(master.as_fd(), libc::F_SEAL_SEAL).context("seal", || "against seals of others")?;
        file::fchmod(master.as_fd(), MODE).context("fchmod", || "a new file")?;
        let attributes = file::attributes_length(master.as_fd());
        match file::is_only_description(master.as_fd()) {
            Ok(true) => {}
            Ok(false) => return Err(MakeError::Busy),
            // File systems and filters refuse leases in many words.
            Err(_) => return Err(MakeError::Unsupported),
        }
        let size = bytes.len() as u64;
        fill::append(master.as_fd(), bytes, 0)?;
        Ok(CachedFile {
            master,
            identity: stat.identity,
            slot,
            present: pages(size),
            allocated: 0,
            is_exposed: exposed,
            generation,
            used: 0,
            size,
            owner: stat.owner,
            attributes,
            window: None,
        })
    }

    /// Gives it new content, of which nothing of the old is left: not in it, and not past its end.
    pub fn refill(&mut self, bytes: &[u8]) -> Result<()> {
        let size = bytes.len() as u64;
        if size > self.size {
            fill::check_size_limit(size)?;
        }
        if size != self.size || pages(size) != self.present {
            file::ftruncate(self.master.as_fd(), size).context("ftruncate", || format!("{size} bytes"))?;
        }
        let stored = bytes.len().min(self.present as usize);
        if stored > 0 {
            // The rest of the last page: content never reaches there, but a borrower's stores may have.
            let is_all = stored == bytes.len();
            let zeros = if is_all { stored.next_multiple_of(sys::page_size()) - stored } else { 0 };
            self.window()?.store(&bytes[..stored], zeros);
        }
        if stored < bytes.len() {
            fill::append(self.master.as_fd(), &bytes[stored..], stored as u64)?;
        }
        self.present = pages(size);
        self.size = size;
        Ok(())
    }

    /// The pages that exist, mapped.
    fn window(&mut self) -> Result<&mut Window> {
        let present = self.present as usize;
        if self.window.as_ref().is_none_or(|window| window.length() < present) {
            self.window = None;
            // With room to grow, so that a file that grows a little each time is not mapped each time.
            let window = Window::new(self.master.as_fd(), present.next_power_of_two());
            self.window = Some(window.context("mmap", || format!("{present} bytes of a kept file"))?);
        }
        Ok(self.window.as_mut().expect("made above"))
    }

    /// A read-only description of its own.
    pub fn open_again(&self) -> Result<OwnedFd> {
        reopen_read_only(self.master.as_fd()).and_then(file::above_standard_streams).context("reopen", || "a kept file")
    }

    /// Notes how it came back, and when.
    pub fn came_back(&mut self, stat: Stat, now: u64) {
        self.allocated = stat.allocated;
        self.used = now;
        if self.is_exposed {
            // Who is trusted may have cut off something, or added. If anybody else did, it shows in `is_as_it_was`.
            self.size = stat.size;
            self.present = self.present.min(pages(stat.size));
        }
    }

    /// Makes the master itself ready to be lent.
    pub fn rewind(&self) -> Result<()> {
        file::rewind(self.master.as_fd()).context("lseek", || "a kept file")
    }

    /// Whether the kernel grants that nobody else has a description of it.
    pub fn is_held(&self) -> Option<bool> {
        file::is_only_description(self.master.as_fd()).ok().map(|is_only| !is_only)
    }

    /// Whether it is as it was when it came back, asked once nobody else has it. A scanner that marks files as clean must not find
    /// its mark on other content. Who is trusted promised to change nothing.
    pub fn is_as_it_was(&self) -> bool {
        let is_same = || {
            let stat = file::fstat(self.master.as_fd()).ok()?;
            let attributes = file::attributes_length(self.master.as_fd());
            let now = (stat.mode & 0o7777, stat.owner, stat.size, stat.allocated, attributes);
            Some(now == (MODE, self.owner, self.size, self.allocated, self.attributes))
        };
        self.is_exposed || is_same() == Some(true)
    }

    /// Lets go of a file that is the parent's: its number is closed already, and its mapping never was in this process.
    pub fn forget(self) {
        let _ = self.master.into_raw_fd();
        std::mem::forget(self.window);
    }

    /// Lets go of a file whose number a trusted borrower closed.
    pub fn unmap(self) {
        let _ = self.master.into_raw_fd();
    }
}

/// With O_DIRECT, where the kernel takes it on memory files (6.6): then splice(2) and sendfile(2) copy, and no page that is
/// written again later is left in a pipe or socket.
fn reopen_read_only(master: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
    if !O_DIRECT_OF_MEMFD.is_missing() {
        match file::reopen(master, libc::O_RDONLY | libc::O_DIRECT) {
            Ok(fd) => return Ok(fd),
            Err(Errno(libc::EINVAL)) => _ = O_DIRECT_OF_MEMFD.remember(false),
            // Some filters refuse it in other words: without, then.
            Err(_) => {}
        }
    }
    file::reopen(master, libc::O_RDONLY)
}

/// Bytes of the whole pages that hold `size` bytes.
pub(super) fn pages(size: u64) -> u64 {
    size.next_multiple_of(sys::page_size() as u64)
}
