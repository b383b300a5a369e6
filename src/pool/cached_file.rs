//! Lends one file again and again.
//!
//! A file is lent again only after a proof that no borrower can change it:
//! - First, the lease proves that no other open file description of the file exists now.
//! - Second, the unchanged time of change (`st_ctim`) proves that no borrower had write access
//!   before. With that access, a borrower could have left something that writes later, such as a
//!   buffer registered with io_uring. To get it, and to hide it, a borrower has to change the mode
//!   or the content. Each such change moves the time, which no program can set.
//!
//! The pool reads the time after its own last change, while it still holds the lease. So no
//! borrower can open the file before. It compares the time under the next lease. Stores through the
//! window do not move the time, so a file that is filled without a system call keeps it. A store
//! that faults moves it, and the file is dropped although no borrower changed it. Since Linux 6.13
//! each change after the time was read gets a time of its own. On older kernels changes within a
//! tick of the clock have the same time, which the header says.
//!
//! No borrower can truncate a file while the pool fills it. Otherwise a store through the window
//! into a page that is gone would be a SIGBUS. To truncate the file, a borrower opens it for
//! writing, or uses its path. Both wait for the end of the lease. The kernel takes a lease away
//! after `/proc/sys/fs/lease-break-time`, usually 45 seconds. So streams check the lease before
//! each store. If it has ended, they go on without the window. A trusted callback may have a
//! duplicate of the master, which does not wait. It has promised to use none.
//!
//! The pool asks for no huge pages for cached files, because splitting one takes longer than the
//! rest of shrinking a file. Where the host gives huge pages by itself, `shrink` cuts only at their
//! boundaries.

use std::ffi::{CStr, CString};
use std::hash::{Hash, Hasher};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::backend::{self, Backend, Execution};
use crate::error::{Context, Errno, Error, Result};
use crate::sys::features::{self, O_DIRECT_OF_MEMFD, shows_each_change};
use crate::sys::file::{self, Identity, Stat};
use crate::sys::kept::Kept;
use crate::sys::source::{self, Sources};
use crate::sys::window::Window;
use crate::{fill, sys};

/// The mode of cached files.
const MODE: u32 = 0o400;

/// A cached file. Its master is noted in a slot of the cache. The code that drops the file clears
/// the slot afterwards.
#[derive(Debug)]
pub(super) struct CachedFile {
    pub master: OwnedFd,
    pub identity: Identity,
    /// Index of the slot where the master is noted.
    pub slot: usize,
    /// Number of bytes in pages that were filled, and so exist.
    pub present: u64,
    /// Number of bytes of memory that the file had when it was last given back.
    pub allocated: u64,
    /// Whether the master itself was lent. The proof does not see a duplicate of it, so the file is
    /// lent to trusted callbacks only.
    pub is_exposed: bool,
    /// The hash of the name that the kernel shows, and the name.
    pub name: (u64, CString),
    /// Whether the file was never lent before.
    pub is_new: bool,
    /// Number of forks before the file was made. A file of another generation is the parent's.
    pub generation: u32,
    /// When the file was last given back, in nanoseconds since the pool was made.
    pub used: u64,
    /// The present length.
    size: u64,
    /// The status when the file was lent. It must be the same when the file is lent again.
    as_lent: Stat,
    /// Whether a change of the pool's own since then may show in the file's times.
    is_touched: bool,
    /// Number of bytes in names of extended attributes. Security modules give some to every file.
    attributes: usize,
    /// The file status flags of the master.
    status_flags: libc::c_int,
    /// Whether the pool holds the lease. Stores through the window need it, because they would be a
    /// SIGBUS after other code has cut the file off.
    is_leased: bool,
    /// Whether the lease was lost while the file was filled, or the mode was changed.
    is_spoiled: bool,
    /// The pages in memory, mapped when the file is lent for the second time.
    window: Option<Window>,
}

/// The answer to whether a cached file can be lent again.
pub(super) enum Proof {
    /// No other open file description of the file exists, and it was not changed. The lease keeps
    /// others out until the content is complete. A file whose master was lent is granted without a
    /// lease, because a trusted borrower has promised this.
    Granted,
    /// Another open file description of the file exists, or the file was changed.
    Refused,
    /// The kernel does not tell.
    Unknown,
}

/// What a scan requires of a file, apart from its content.
#[derive(Clone, Copy)]
pub(super) struct Kind<'a> {
    /// Whether the master itself is lent.
    pub is_trusted: bool,
    pub name: &'a CStr,
    pub name_hash: u64,
}

impl<'a> Kind<'a> {
    pub fn new(name: &'a CStr, is_trusted: bool) -> Kind<'a> {
        let hash = || {
            let mut hasher = std::hash::DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish()
        };
        // Most scans have no name of their own.
        Kind { is_trusted, name, name_hash: if name == c"bytefd" { 0 } else { hash() } }
    }

    pub fn suits(&self, file: &CachedFile) -> bool {
        file.is_exposed == self.is_trusted
            && file.name.0 == self.name_hash
            && *file.name.1 == *self.name
    }
}

/// Why no file can be made for the cache.
pub(super) enum MakeError {
    /// This host refuses leases, or has no memfd or no /proc.
    Unsupported,
    /// The file was opened elsewhere in that moment.
    Busy,
    /// Something ran out, or the bytes cannot be read.
    Failed(Error),
}

impl From<Error> for MakeError {
    /// Treats a refusal as a missing feature of this host, and anything else as an error.
    fn from(error: Error) -> MakeError {
        match error.errno() {
            libc::ENOSYS
            | libc::EINVAL
            | libc::EPERM
            | libc::EACCES
            | libc::ENOENT
            | libc::ENOTDIR => MakeError::Unsupported,
            _ => MakeError::Failed(error),
        }
    }
}

impl CachedFile {
    /// Makes an empty file for this slot. Calls `note` with its first descriptor, and again with
    /// the one that becomes its master, as soon as each exists.
    pub fn make(
        slot: usize,
        note: impl Fn(RawFd, Identity),
        kind: Kind<'_>,
        generation: u32,
    ) -> std::result::Result<CachedFile, MakeError> {
        let first = backend::create(Backend::Memfd, kind.name, Execution::Forbidden)?.fd;
        let stat = file::fstat(first.as_fd()).context("fstat", || "a new file")?;
        note(first.as_raw_fd(), stat.identity);
        // A memfd's own first description does not count as a writer, so the kernel would refuse
        // every lease on it.
        let master = file::reopen(first.as_fd(), libc::O_RDWR)
            .and_then(file::above_standard_streams)
            .context("reopen", || "a new file")?;
        note(master.as_raw_fd(), stat.identity);
        drop(first);
        file::add_seals(master.as_fd(), libc::F_SEAL_SEAL)
            .context("seal", || "F_SEAL_SEAL on a new file")?;
        file::fchmod(master.as_fd(), MODE).context("fchmod", || "a new file")?;
        let attributes = file::attributes_length(master.as_fd());
        let status_flags = file::status_flags(master.as_fd()).context("fcntl", || "a new file")?;
        match file::lease(master.as_fd()) {
            Ok(true) => {}
            Ok(false) => return Err(MakeError::Busy),
            // File systems and filters refuse leases with several errnos.
            Err(_) => return Err(MakeError::Unsupported),
        }
        let mut file = CachedFile {
            master,
            identity: stat.identity,
            slot,
            present: 0,
            allocated: 0,
            is_exposed: kind.is_trusted,
            name: (kind.name_hash, kind.name.into()),
            is_new: true,
            generation,
            used: 0,
            size: 0,
            as_lent: stat,
            is_touched: true,
            attributes,
            status_flags,
            is_leased: true,
            is_spoiled: false,
            window: None,
        };
        if file.is_exposed {
            file.end_lease();
        }
        Ok(file)
    }

    /// Gives the file new content. Nothing of the old content is left, not even past the end.
    /// EFAULT if some of the bytes are lost.
    pub fn refill(&mut self, segments: &[IoSlice<'_>], sources: &Sources) -> Result<()> {
        let total = fill::total_length(segments)?;
        let is_copied_here = total > 0 && self.present > 0 && sources.are_anonymous(segments);
        // write(2) enforces the limit even if the file does not grow; a copy by this process does
        // not.
        if total > self.size || !is_copied_here {
            fill::check_size_limit(total)?;
        }
        self.begin()?;
        if is_copied_here {
            let mut length = 0;
            for segment in segments {
                self.put(segment, length)?;
                length += segment.len() as u64;
            }
        } else if total > 0 {
            self.write(segments, 0, total)?;
        }
        source::check_kept(segments)
            .context("write", || "the bytes are in a guarded map, and their pages were lost")?;
        self.finish(total)
    }

    /// Prepares the file for the first [`CachedFile::store`].
    pub fn begin(&mut self) -> Result<()> {
        // A trusted borrower may have added bytes.
        if pages(self.size) != self.present { self.truncate(self.present) } else { Ok(()) }
    }

    /// Writes the next bytes of the new content at `offset`, which is the end of the bytes written
    /// before. The bytes are in private memory of this process, so they cannot be lost.
    pub fn store(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let end = offset + bytes.len() as u64;
        if end > self.size {
            fill::check_size_limit(end)?;
        }
        // A stream may take longer than the kernel lets an open(2) of the file wait.
        if self.is_leased && !file::is_leased(self.master.as_fd()) {
            self.end_lease();
            self.is_spoiled = true;
        }
        self.put(bytes, offset)
    }

    fn put(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let end = offset + bytes.len() as u64;
        let (stored, added) =
            bytes.split_at(bytes.len().min(self.present.saturating_sub(offset) as usize));
        let middle = end - added.len() as u64;
        if !stored.is_empty() {
            match self.window(middle) {
                Some(window) => window.store(offset as usize, stored),
                None => {
                    fill::check_size_limit(middle)?;
                    self.write(&[IoSlice::new(stored)], offset, middle)?;
                }
            }
        }
        if added.is_empty() { Ok(()) } else { self.write(&[IoSlice::new(added)], middle, end) }
    }

    /// Lets the kernel copy the bytes from `offset` to `end`.
    fn write(&mut self, segments: &[IoSlice<'_>], offset: u64, end: u64) -> Result<()> {
        self.is_touched = true;
        fill::write_at(self.master.as_fd(), segments, offset)?;
        self.size = self.size.max(end);
        Ok(())
    }

    /// Ends the file at `length` after the last [`CachedFile::store`]. The file is then ready to be
    /// lent.
    pub fn finish(&mut self, length: u64) -> Result<()> {
        let was_longer = length < self.size;
        if length != self.size {
            self.truncate(length)?;
        }
        let end = pages(length);
        // Clears the rest of the last page. Content never reaches there, but a borrower's stores
        // may have. If the file was longer, truncation has cleared it.
        if length < end && end <= self.present && !was_longer {
            self.clear(length, end)?;
        }
        self.present = end;
        if self.is_exposed {
            return Ok(());
        }
        // The status is read after the pool's own last change, and before any borrower has access.
        if std::mem::take(&mut self.is_touched) {
            self.as_lent = file::fstat(self.master.as_fd()).context("fstat", || "a cached file")?;
            self.is_spoiled |= self.as_lent.mode & 0o7777 != MODE;
        }
        // A file that is still leased cannot be opened: the call waits until the kernel takes the
        // lease away.
        self.try_end_lease().context("fcntl F_SETLEASE", || "a cached file")
    }

    fn clear(&mut self, from: u64, to: u64) -> Result<()> {
        if let Some(window) = self.window(to) {
            window.clear(from as usize, to as usize);
            return Ok(());
        }
        self.is_touched = true;
        file::punch(self.master.as_fd(), from..to)
            .context("fallocate", || format!("zeros at {from}..{to}"))
    }

    fn truncate(&mut self, size: u64) -> Result<()> {
        self.is_touched = true;
        file::ftruncate(self.master.as_fd(), size)
            .context("ftruncate", || format!("{size} bytes"))?;
        self.size = size;
        if let Some(window) = &mut self.window {
            window.cut(pages(size) as usize);
        }
        Ok(())
    }

    /// Returns the existing pages, mapped, for stores before `end`. `None` if other code could cut
    /// them off, or they cannot be mapped.
    fn window(&mut self, end: u64) -> Option<&mut Window> {
        if !self.is_leased && !self.is_exposed {
            return None;
        }
        let present = self.present as usize;
        if self.window.as_ref().is_none_or(|window| window.length() < present) {
            self.window = None;
            // The window has room to grow, so that a file that grows a little each time is not
            // mapped each time.
            self.window =
                Window::new(self.master.as_fd(), present.next_power_of_two(), present).ok();
            self.is_touched = true;
        }
        let window = self.window.as_mut()?;
        self.is_touched |= window.reach(end as usize);
        Some(window)
    }

    /// Ends the lease, so that the file can be opened. If the kernel has ended it before, the file
    /// is spoiled.
    pub fn end_lease(&mut self) {
        if self.try_end_lease().is_err() {
            self.is_spoiled = true;
        }
    }

    fn try_end_lease(&mut self) -> sys::Result<()> {
        if std::mem::take(&mut self.is_leased) && !file::end_lease(self.master.as_fd())? {
            self.is_spoiled = true;
        }
        Ok(())
    }

    /// Keeps a number free for [`CachedFile::open`]: a duplicate of the master, which a lease
    /// permits.
    pub fn reserve(&self) -> Result<Option<OwnedFd>> {
        if self.is_exposed {
            return Ok(None);
        }
        file::duplicate(self.master.as_fd())
            .map(Some)
            .context("fcntl F_DUPFD_CLOEXEC", || "a cached file")
    }

    /// Opens the read-only description to lend. `None` means the master itself, at its start.
    /// `directory` keeps a descriptor of /proc/self/fd.
    pub fn open(&self, directory: &Kept) -> Result<Option<OwnedFd>> {
        let master = self.master.as_fd();
        if self.is_exposed {
            return file::rewind(master).map(|()| None).context("lseek", || "a cached file");
        }
        let opened = match directory.take_or(file::own_descriptors) {
            Ok(descriptors) => {
                let opened =
                    reopen_read_only(|flags| file::reopen_in(descriptors.as_fd(), master, flags));
                directory.put_back(descriptors);
                opened
            }
            Err(_) => reopen_read_only(|flags| file::reopen(master, flags)),
        };
        opened
            .and_then(file::above_standard_streams)
            .map(Some)
            .context("reopen", || "a cached file")
    }

    /// Returns whether the content is complete, so that the file can be lent.
    pub fn is_finished(&self) -> bool {
        self.is_exposed || !(self.is_leased || self.is_touched)
    }

    /// Notes the status and the time when the file came back. Returns false if it was changed
    /// meanwhile, and must not be used again.
    pub fn came_back(&mut self, stat: Stat, now: u64) -> bool {
        self.allocated = stat.allocated;
        self.used = now;
        self.is_new = false;
        if !self.is_exposed {
            return !self.is_spoiled && stat == self.as_lent;
        }
        // A trusted borrower may have cut off bytes, or added some.
        self.size = stat.size;
        self.present = self.present.min(pages(stat.size));
        self.set_back().is_ok()
    }

    /// Restores the master's flags, which a trusted borrower may have set. With O_APPEND the next
    /// content would be written elsewhere.
    fn set_back(&self) -> sys::Result<()> {
        let master = self.master.as_fd();
        if file::status_flags(master)? == self.status_flags {
            return Ok(());
        }
        file::set_status_flags(master, self.status_flags)
    }

    /// Proves that the file can be lent again: the kernel grants a lease, and the status is the one
    /// from when it was lent. The top of this file says why both are needed.
    pub fn prove(&mut self) -> Proof {
        if self.is_exposed {
            // A trusted borrower has promised to keep nothing and to change nothing.
            return Proof::Granted;
        }
        match file::lease(self.master.as_fd()) {
            Ok(true) => self.is_leased = true,
            Ok(false) => return Proof::Refused,
            Err(_) => return Proof::Unknown,
        }
        match file::fstat(self.master.as_fd()) {
            Ok(stat) if !self.is_spoiled && stat == self.as_lent && self.has_its_attributes() => {
                Proof::Granted
            }
            _ => Proof::Refused,
        }
    }

    /// Returns whether the file has no other attributes. A scanner that marks files as clean must
    /// not find its mark on other content. Older kernels do not count a new attribute as a change.
    fn has_its_attributes(&self) -> bool {
        shows_each_change() || file::attributes_length(self.master.as_fd()) == self.attributes
    }

    /// Frees this number of bytes of memory, or a few more, at the end of the file. The caller has
    /// proved that the file is free.
    pub fn shrink(&mut self, bytes: u64) -> Result<()> {
        // Splitting a huge page takes longer than everything else.
        let unit =
            if fill::way() == fill::Way::SizeThenWrite { features::huge_page_size() } else { 0 };
        let rest = self.present.saturating_sub(bytes);
        let rest = rest - rest % unit.max(sys::page_size() as u64);
        self.truncate(rest)?;
        self.finish(rest)?;
        self.allocated =
            file::fstat(self.master.as_fd()).context("fstat", || "a cached file")?.allocated;
        Ok(())
    }

    /// Forgets a file that is the parent's. Its number is closed already, and this process never
    /// had its mapping.
    pub fn forget(self) {
        let _ = self.master.into_raw_fd();
        std::mem::forget(self.window);
    }

    /// Unmaps a file whose number a trusted borrower has closed.
    pub fn unmap(self) {
        let _ = self.master.into_raw_fd();
    }
}

/// Opens a file read-only, with O_DIRECT where the kernel supports it on memory files (6.6). With
/// it, splice(2) and sendfile(2) copy. So no pipe or socket keeps a page that is written again
/// later.
fn reopen_read_only(reopen: impl Fn(libc::c_int) -> sys::Result<OwnedFd>) -> sys::Result<OwnedFd> {
    if !O_DIRECT_OF_MEMFD.is_missing() {
        match reopen(libc::O_RDONLY | libc::O_DIRECT) {
            Ok(fd) => return Ok(fd),
            Err(Errno(libc::EINVAL)) => _ = O_DIRECT_OF_MEMFD.remember(false),
            // Some filters refuse the flag with another errno, so it is left out.
            Err(_) => {}
        }
    }
    reopen(libc::O_RDONLY)
}

/// Returns the number of bytes in the whole pages that hold `size` bytes.
pub(super) fn pages(size: u64) -> u64 {
    size.next_multiple_of(sys::page_size() as u64)
}
