//! Files used again, and the proof that nobody holds them.
//!
//! Writing into pages that exist is many times faster than getting new ones. The danger is that somebody still holds the
//! file. So its **master** description never leaves this room; what is lent is a fresh read-only one; and when that comes
//! back, the kernel is asked for a write lease on the master, which it grants only if no other description of the file
//! exists anywhere. Whatever else exists – a duplicate, a mapping, a child that has it – the file is dropped and never
//! used again.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use crate::backend::{self, Backend, Execution};
use crate::error::{Context, Errno, Result};
use crate::sys::file::{self, Identity, Stat};
use crate::sys::memory::{ForkMark, Window};
use crate::{fill, sys};

/// Files that exist at once, kept or lent. A scan beyond them gets a new file, and so does one beside which too many are
/// kept already.
const FILES: usize = 64;
/// Files kept at once: above it the nearest in size is taken whatever its size is.
const KEPT: usize = 32;

/// The mode of kept files.
const MODE: u32 = 0o400;

/// Files for one trust domain, kept and lent again. See [`Pool::scan`] for what it protects against and what it cannot see.
/// Clones share the files. May be used from any thread; a scan never waits for another scan's callback.
///
/// ```
/// let pool = bytefd::Pool::new(64 << 20);
/// for page in [b"one", b"two"] {
///     pool.scan(page, |fd| assert_eq!(std::fs::read(bytefd::path(fd)).unwrap(), page))?;
/// }
/// assert_eq!(pool.stats().lent_again, 1);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pool(Arc<Files>);

/// What a pool has done so far, and what it holds.
///
/// ```
/// let counts: bytefd::PoolCounts = bytefd::Pool::new(1 << 20).stats();
/// assert_eq!(counts.kept_bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolCounts {
    /// Scans that were lent a kept file.
    pub lent_again: u64,
    /// Scans that got a new file.
    pub new_files: u64,
    /// Files that were not kept because somebody still held them after the scan.
    pub dropped: u64,
    /// Bytes of memory in the files that are kept now.
    pub kept_bytes: u64,
}

impl Pool {
    /// An empty pool that keeps at most `max_bytes` of memory in files that nobody uses at the moment.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// ```
    pub fn new(max_bytes: usize) -> Pool {
        Pool(Arc::new(Files {
            max_bytes: max_bytes as u64,
            mark: ForkMark::new().ok(),
            generation: AtomicU32::new(0),
            is_unusable: AtomicBool::new(false),
            is_orphaned: AtomicBool::new(false),
            idle: Mutex::new(Idle { files: Vec::with_capacity(FILES), bytes: 0, clock: 0 }),
            masters: [const { Master::none() }; FILES],
            lent_again: AtomicU64::new(0),
            new_files: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Drops kept files, the longest unused first, until at most `bytes` are kept.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// pool.scan(b"hello", |_| ())?;
    /// pool.trim(0);
    /// assert_eq!(pool.stats().kept_bytes, 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn trim(&self, bytes: usize) {
        self.0.after_fork();
        self.0.evict(bytes as u64);
    }

    /// What it has done so far, and what it holds. In a child made by fork(2) what it holds begins at nothing.
    ///
    /// ```
    /// let pool = bytefd::Pool::new(64 << 20);
    /// pool.scan(b"hello", |_| ())?;
    /// assert_eq!(pool.stats().new_files, 1);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn stats(&self) -> PoolCounts {
        self.0.after_fork();
        PoolCounts {
            lent_again: self.0.lent_again.load(Relaxed),
            new_files: self.0.new_files.load(Relaxed),
            dropped: self.0.dropped.load(Relaxed),
            kept_bytes: self.0.idle().map_or(0, |idle| idle.bytes),
        }
    }

    /// A file that holds `bytes`. `None` where this host cannot prove who holds a file, or too many are in use: the caller
    /// makes a new file.
    pub(crate) fn lend(&self, bytes: &[u8], trusted: bool) -> Result<Option<Loan>> {
        let lent = self.0.lend(bytes, trusted)?;
        if lent.is_none() {
            self.0.new_files.fetch_add(1, Relaxed);
        }
        Ok(lent.map(|(file, fd)| Loan { files: self.0.clone(), file: Some(file), fd }))
    }
}

/// A kept file on loan: given back, or dropped if somebody else holds it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    files: Arc<Files>,
    /// `None` only while dropping.
    file: Option<File>,
    /// The read-only description. `None` if the master itself is lent.
    fd: Option<OwnedFd>,
}

impl AsFd for Loan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let file = self.file.as_ref().expect("present until drop");
        self.fd.as_ref().unwrap_or(&file.master).as_fd()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let file = self.file.take().expect("dropped once");
        // How the borrower left it. Through the master, if the lent number is not ours any more.
        let mut stat = None;
        if let Some(fd) = self.fd.take() {
            stat = file::close_if(fd, file.identity);
        }
        self.files.give_back(file, stat);
    }
}

/// The files of a pool.
#[derive(Debug)]
struct Files {
    max_bytes: u64,
    /// `None` where the kernel cannot mark memory for children: nothing is kept.
    mark: Option<ForkMark>,
    /// Counts forks: a file of another generation is the parent's.
    generation: AtomicU32,
    /// This host refuses leases or has no /proc: nothing is kept.
    is_unusable: AtomicBool,
    /// The lock was held by another thread of the parent during fork: nobody will ever unlock it here.
    is_orphaned: AtomicBool,
    idle: Mutex<Idle>,
    masters: [Master; FILES],
    lent_again: AtomicU64,
    new_files: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    files: Vec<File>,
    bytes: u64,
    clock: u64,
}

/// A file that is lent again and again.
#[derive(Debug)]
struct File {
    master: OwnedFd,
    /// Where the master is noted.
    slot: usize,
    identity: Identity,
    /// Mapped when it is lent for the second time.
    window: Option<Window>,
    /// Bytes of the pages that were filled, and so exist.
    present: u64,
    /// Bytes of memory that it had when it was last given back.
    allocated: u64,
    /// The master itself was lent: who kept a duplicate of it would not be seen, so it is not lent to others.
    is_exposed: bool,
    generation: u32,
    used: u64,
}

/// A master that is open, noted where a child finds it whatever its parent was doing during fork.
#[derive(Debug)]
struct Master {
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

impl Master {
    const NONE: i32 = -1;
    const RESERVED: i32 = -2;

    const fn none() -> Master {
        Master { fd: AtomicI32::new(Master::NONE), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
    }

    fn note(&self, fd: i32, identity: Identity) {
        let (device, inode) = identity.into_parts();
        self.device.store(device, Relaxed);
        self.inode.store(inode, Relaxed);
        self.fd.store(fd, Release);
    }

    fn identity(&self) -> Identity {
        Identity::from_parts((self.device.load(Relaxed), self.inode.load(Relaxed)))
    }
}

impl Files {
    /// In a child, before anything else: what was inherited is closed.
    fn after_fork(&self) {
        const CHILD: u32 = 0;
        const READY: u32 = 1;
        const CLEARING: u32 = 2;
        let Some(mark) = self.mark.as_ref().map(ForkMark::value) else { return };
        while mark.load(Acquire) != READY {
            if mark.compare_exchange(CHILD, CLEARING, AcqRel, Relaxed).is_ok() {
                self.close_inherited();
                mark.store(READY, Release);
            } else {
                std::thread::yield_now();
            }
        }
    }

    fn close_inherited(&self) {
        self.generation.fetch_add(1, Relaxed);
        for master in &self.masters {
            let fd = master.fd.swap(Master::NONE, Acquire);
            if fd >= 0 {
                file::close_raw_if(fd, master.identity());
            }
        }
        match self.idle.try_lock() {
            Ok(mut idle) => {
                idle.files.drain(..).for_each(File::forget);
                idle.bytes = 0;
            }
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => self.is_orphaned.store(true, Relaxed),
        }
    }

    fn idle(&self) -> Option<MutexGuard<'_, Idle>> {
        if self.is_orphaned.load(Relaxed) { None } else { self.idle.lock().ok() }
    }

    fn lend(&self, bytes: &[u8], trusted: bool) -> Result<Option<(File, Option<OwnedFd>)>> {
        if self.mark.is_none() || self.is_unusable.load(Relaxed) {
            return Ok(None);
        }
        self.after_fork();
        fill::check_size_limit(bytes.len() as u64)?;
        let file = match self.take(bytes.len() as u64, trusted) {
            Some(mut file) => match file.refill(bytes) {
                Ok(()) => {
                    self.lent_again.fetch_add(1, Relaxed);
                    Some(file)
                }
                // Whatever its last borrower did to it, a new one works.
                Err(_) => {
                    self.discard(file);
                    self.create(bytes, trusted)?
                }
            },
            None => self.create(bytes, trusted)?,
        };
        let Some(file) = file else { return Ok(None) };
        let lent = if trusted {
            file::rewind(file.master.as_fd()).map(|()| None)
        } else {
            reopen_read_only(file.master.as_fd()).map(Some)
        };
        match lent {
            Ok(fd) => Ok(Some((file, fd))),
            Err(errno) => {
                self.discard(file);
                Err(errno).context("reopen", || "a kept file")
            }
        }
    }

    /// The kept file nearest in size: one that is much larger would lose its pages, one much smaller would gain little.
    fn take(&self, size: u64, trusted: bool) -> Option<File> {
        let wanted = pages(size);
        let mut idle = self.idle()?;
        let crowded = idle.files.len() >= KEPT;
        let near = |file: &File| crowded || (file.present <= wanted.saturating_mul(4) && wanted <= file.present * 4);
        let (index, _) = idle
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| file.is_exposed == trusted && near(file))
            .min_by_key(|(_, file)| file.present.abs_diff(wanted))?;
        let file = idle.files.swap_remove(index);
        idle.bytes -= file.allocated;
        Some(file)
    }

    /// A new file that can be kept. `None` where that cannot be.
    fn create(&self, bytes: &[u8], trusted: bool) -> Result<Option<File>> {
        let free =
            |master: &Master| master.fd.compare_exchange(Master::NONE, Master::RESERVED, AcqRel, Relaxed).is_ok();
        let Some(slot) = self.masters.iter().position(free) else { return Ok(None) };
        let made = self.make(slot, bytes, trusted);
        match &made {
            Ok(Some(file)) => {
                self.masters[slot].note(file.master.as_raw_fd(), file.identity);
                self.new_files.fetch_add(1, Relaxed);
            }
            Ok(None) => {
                self.is_unusable.store(true, Relaxed);
                self.masters[slot].fd.store(Master::NONE, Release);
            }
            Err(_) => self.masters[slot].fd.store(Master::NONE, Release),
        }
        made
    }

    fn make(&self, slot: usize, bytes: &[u8], trusted: bool) -> Result<Option<File>> {
        let first = match backend::create(Backend::Memfd, c"bytefd", Execution::Forbidden) {
            Ok(first) => first,
            Err(error) if backend::is_shortage(&error) => return Err(error),
            Err(_) => return Ok(None),
        };
        // A memfd's own first description does not count as a writer, so the kernel would refuse every lease on it.
        let reopened = file::reopen(first.fd.as_fd(), libc::O_RDWR).and_then(file::above_standard_streams);
        let master = match reopened.context("reopen", || "a new file") {
            Ok(master) => master,
            Err(error) if backend::is_shortage(&error) => return Err(error),
            Err(_) => return Ok(None),
        };
        drop(first);
        let identity = file::fstat(master.as_fd()).context("fstat", || "the new file")?.identity;
        // Nobody adds a seal that would keep us from writing.
        let prepared = file::add_seals(master.as_fd(), libc::F_SEAL_SEAL)
            .and_then(|()| file::fchmod(master.as_fd(), MODE))
            .and_then(|()| file::make_lease_signal_harmless(master.as_fd()))
            .and_then(|()| file::is_only_description(master.as_fd()));
        if prepared != Ok(true) {
            return Ok(None);
        }
        fill::append(master.as_fd(), bytes, 0)?;
        let generation = self.generation.load(Relaxed);
        let present = pages(bytes.len() as u64);
        Ok(Some(File {
            master,
            slot,
            identity,
            window: None,
            present,
            allocated: 0,
            is_exposed: trusted,
            generation,
            used: 0,
        }))
    }

    fn give_back(&self, mut file: File, stat: Option<Stat>) {
        self.after_fork();
        if file.generation != self.generation.load(Relaxed) {
            return file.forget();
        }
        let Some(stat) = stat.or_else(|| file::stat_if(file.master.as_raw_fd(), file.identity)) else {
            // Trusted with the master, the borrower closed it, and the number may stand for another file by now.
            self.masters[file.slot].fd.store(Master::NONE, Release);
            let _ = file.master.into_raw_fd();
            return;
        };
        if !file.is_exposed {
            match file::is_only_description(file.master.as_fd()) {
                Ok(true) if stat.mode & 0o7777 == MODE => {}
                Ok(false) => {
                    self.dropped.fetch_add(1, Relaxed);
                    return self.discard(file);
                }
                // The borrower changed the mode, or leases are refused.
                _ => return self.discard(file),
            }
        }
        file.allocated = stat.allocated;
        if file.allocated > self.max_bytes {
            return self.discard(file);
        }
        match self.idle() {
            Some(mut idle) => idle.push(file),
            None => return self.discard(file),
        }
        self.evict(self.max_bytes);
    }

    /// Drops the longest unused files until at most `bytes` are kept.
    fn evict(&self, bytes: u64) {
        while let Some(file) = self.idle().and_then(|mut idle| idle.pop_oldest_above(bytes)) {
            self.discard(file);
        }
    }

    fn discard(&self, file: File) {
        self.masters[file.slot].fd.store(Master::NONE, Release);
        drop(file);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.after_fork();
        if *self.is_orphaned.get_mut() {
            // Whatever the parent's thread was doing to the list: the files are closed already.
            let idle = self.idle.get_mut().unwrap_or_else(|poison| poison.into_inner());
            std::mem::forget(std::mem::take(&mut idle.files));
        }
    }
}

impl Idle {
    fn push(&mut self, mut file: File) {
        self.clock += 1;
        file.used = self.clock;
        self.bytes += file.allocated;
        self.files.push(file);
    }

    fn pop_oldest_above(&mut self, bytes: u64) -> Option<File> {
        if self.bytes <= bytes {
            return None;
        }
        let (oldest, _) = self.files.iter().enumerate().min_by_key(|(_, file)| file.used)?;
        let file = self.files.swap_remove(oldest);
        self.bytes -= file.allocated;
        Some(file)
    }
}

impl File {
    /// Gives it new content, of which nothing of the old is left: not in it, and not past its end.
    fn refill(&mut self, bytes: &[u8]) -> Result<()> {
        let size = bytes.len() as u64;
        // Always: a borrower may have changed the size through a description of its own.
        file::ftruncate(self.master.as_fd(), size).context("ftruncate", || format!("{size} bytes"))?;
        let mut stored = bytes.len().min(self.present as usize);
        match self.window() {
            Some(window) => {
                // The rest of the last page: content never reaches there, but a borrower's stores may have.
                let is_all = stored == bytes.len();
                let zeros = if is_all { stored.next_multiple_of(sys::page_size()) - stored } else { 0 };
                window.store(&bytes[..stored], zeros);
            }
            None => stored = 0,
        }
        if stored < bytes.len() {
            fill::append(self.master.as_fd(), &bytes[stored..], stored as u64)?;
        }
        self.present = pages(size);
        Ok(())
    }

    /// The pages that exist, mapped; `None` if there are none, or no address space for them.
    fn window(&mut self) -> Option<&mut Window> {
        let present = self.present as usize;
        if self.window.as_ref().is_none_or(|window| window.length() < present) {
            self.window = None;
            if present > 0 {
                // With room to grow, so that a file that grows a little each time is not mapped each time.
                self.window = Window::new(self.master.as_fd(), present.next_power_of_two()).ok();
            }
        }
        self.window.as_mut()
    }

    /// Lets go of a file that is the parent's: its number is closed already, and its mapping never was in this process.
    fn forget(self) {
        let _ = self.master.into_raw_fd();
        std::mem::forget(self.window);
    }
}

/// Asked once, then remembered.
static NO_DIRECT: AtomicBool = AtomicBool::new(false);

/// Whether kept files are lent with O_DIRECT. Right once one has been lent.
pub(crate) fn lends_direct() -> bool {
    !NO_DIRECT.load(Relaxed)
}

/// With O_DIRECT, where the kernel takes it on memory files (6.6): then splice(2) and sendfile(2) copy, and no page that is
/// written again later is left in a pipe or socket.
fn reopen_read_only(master: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
    if !NO_DIRECT.load(Relaxed) {
        match file::reopen(master, libc::O_RDONLY | libc::O_DIRECT) {
            Err(Errno(libc::EINVAL)) => NO_DIRECT.store(true, Relaxed),
            result => return result.and_then(file::above_standard_streams),
        }
    }
    file::reopen(master, libc::O_RDONLY).and_then(file::above_standard_streams)
}

/// Bytes of the whole pages that hold `size` bytes.
fn pages(size: u64) -> u64 {
    size.next_multiple_of(sys::page_size() as u64)
}
