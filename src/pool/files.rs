//! The files of a pool: kept, lent, and what becomes of them in a child.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::PoolCounts;
use super::file::{File, Unmade, pages};
use crate::error::{Error, Result};
use crate::sys::file::{self, Identity, Stat};
use crate::sys::memory::ForkMark;
use crate::{backend, fill};

/// Files that exist at once, kept or lent, and so the most descriptors that a pool holds: a sixteenth of the 1024 that most
/// processes may have. A scan beyond them gets a file that is not kept.
const FILES: usize = 64;
/// Above this many kept files the nearest in size is taken, whatever its size is, so that some stay for scans at the same time.
const KEPT: usize = FILES / 2;
/// A kept file this many times larger or smaller than wanted is not taken: it would lose its pages, or gain little from them.
const NEAR: u64 = 4;

#[derive(Debug)]
pub(super) struct Files {
    /// 0 once the pool is gone.
    max_bytes: AtomicU64,
    /// `None` where the kernel cannot mark memory for children: nothing is kept.
    mark: Option<ForkMark>,
    /// Counts forks: a file of another generation is the parent's.
    generation: AtomicU32,
    /// This host cannot prove who holds a file: nothing is kept.
    is_unusable: AtomicBool,
    /// The lock was held by another thread of the parent during fork: nobody will ever unlock it here.
    is_orphaned: AtomicBool,
    idle: Mutex<Idle>,
    masters: [Master; FILES],
    lent_again: AtomicU64,
    new_files: AtomicU64,
    dropped: AtomicU64,
}

/// The files that are kept. Locked for moments only.
#[derive(Debug)]
struct Idle {
    files: Vec<File>,
    bytes: u64,
    clock: u64,
}

/// A master that is open, noted where a child finds it whatever its parent was doing during fork.
#[derive(Debug)]
pub(super) struct Master {
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

    fn reserve(&self) -> bool {
        self.fd.compare_exchange(Master::NONE, Master::RESERVED, AcqRel, Relaxed).is_ok()
    }

    /// Only for who reserved it.
    pub fn note(&self, fd: i32, identity: Identity) {
        let (device, inode) = identity.into_parts();
        self.device.store(device, Relaxed);
        self.inode.store(inode, Relaxed);
        self.fd.store(fd, Release);
    }

    /// After the number is closed: a child that is forked in between looks whose it is.
    fn clear(&self) {
        self.fd.store(Master::NONE, Release);
    }

    fn close_inherited(&self) {
        let fd = self.fd.swap(Master::NONE, Acquire);
        if fd >= 0 {
            let identity = Identity::from_parts((self.device.load(Relaxed), self.inode.load(Relaxed)));
            file::close_raw_if(fd, identity);
        }
    }
}

impl Files {
    pub fn new(max_bytes: u64) -> Files {
        Files {
            max_bytes: AtomicU64::new(max_bytes),
            mark: ForkMark::new().ok(),
            generation: AtomicU32::new(0),
            is_unusable: AtomicBool::new(false),
            is_orphaned: AtomicBool::new(false),
            idle: Mutex::new(Idle { files: Vec::with_capacity(FILES), bytes: 0, clock: 0 }),
            masters: [const { Master::none() }; FILES],
            lent_again: AtomicU64::new(0),
            new_files: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub fn counts(&self) -> PoolCounts {
        self.after_fork();
        self.drop_held();
        PoolCounts {
            lent_again: self.lent_again.load(Relaxed),
            new_files: self.new_files.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            kept_bytes: self.idle().map_or(0, |idle| idle.bytes),
        }
    }

    /// Drops the longest unused files until at most `bytes` are kept; at 0 also those that have none.
    pub fn trim(&self, bytes: u64) {
        self.after_fork();
        if bytes == 0 {
            return self.drop_all();
        }
        while let Some(file) = self.idle().and_then(|mut idle| idle.pop_oldest_above(bytes)) {
            self.discard(file);
        }
    }

    /// The pool is gone: nothing is kept any more, also not what is lent at the moment.
    pub fn close(&self) {
        self.max_bytes.store(0, Relaxed);
        self.after_fork();
        self.drop_all();
    }

    fn drop_all(&self) {
        while let Some(file) = self.idle().and_then(|mut idle| idle.pop_oldest()) {
            self.discard(file);
        }
    }

    /// A file that holds `bytes`, kept or new. `None`: the caller makes one that is not kept.
    pub fn lend(&self, bytes: &[u8], trusted: bool) -> Result<Option<File>> {
        self.after_fork();
        let lent =
            if self.mark.is_none() || self.is_unusable.load(Relaxed) { None } else { self.find(bytes, trusted)? };
        if lent.is_none() {
            self.new_files.fetch_add(1, Relaxed);
        }
        Ok(lent)
    }

    fn find(&self, bytes: &[u8], trusted: bool) -> Result<Option<File>> {
        fill::check_size_limit(bytes.len() as u64)?;
        while let Some(mut file) = self.take(bytes.len() as u64, trusted) {
            if self.is_free(&file) && file.is_as_it_was() && file.refill(bytes).is_ok() {
                self.lent_again.fetch_add(1, Relaxed);
                return Ok(Some(file));
            }
            // Held, changed, or not to be written: another one works.
            self.discard(file);
        }
        self.make(bytes, trusted)
    }

    /// The proof, right before the file is used again. One that is held by somebody now is never used again.
    fn is_free(&self, file: &File) -> bool {
        if file.is_exposed {
            return true;
        }
        let is_held = file.is_held();
        if is_held == Some(true) {
            self.dropped.fetch_add(1, Relaxed);
        }
        is_held == Some(false)
    }

    /// Drops the kept files that somebody holds. None is locked meanwhile, so that no scan waits.
    fn drop_held(&self) {
        let mut files = match self.idle() {
            Some(mut idle) => idle.take_all(),
            None => return,
        };
        files.sort_by_key(|file| file.used);
        for file in files {
            if self.is_free(&file) { self.keep(file) } else { self.discard(file) }
        }
    }

    /// The kept file nearest in size.
    fn take(&self, size: u64, trusted: bool) -> Option<File> {
        let wanted = pages(size);
        let mut idle = self.idle()?;
        let crowded = idle.files.len() >= KEPT;
        let near =
            |file: &File| crowded || (file.present <= wanted.saturating_mul(NEAR) && wanted <= file.present * NEAR);
        let candidates = idle.files.iter().enumerate().filter(|(_, file)| file.is_exposed == trusted && near(file));
        let (index, _) = candidates.min_by_key(|(_, file)| file.present.abs_diff(wanted))?;
        Some(idle.remove(index))
    }

    fn make(&self, bytes: &[u8], trusted: bool) -> Result<Option<File>> {
        let Some(slot) = self.free_slot() else { return Ok(None) };
        let note = &self.masters[slot];
        let made = File::make(note, slot, bytes, self.generation.load(Relaxed), trusted);
        if made.is_err() {
            note.clear();
        }
        match made {
            Ok(file) => {
                self.new_files.fetch_add(1, Relaxed);
                Ok(Some(file))
            }
            Err(Unmade::NotNow) => Ok(None),
            Err(Unmade::Never) => {
                self.is_unusable.store(true, Relaxed);
                self.drop_all();
                Ok(None)
            }
            Err(Unmade::Failed(error)) => Err(error),
        }
    }

    /// Where a new master can be noted. Kept files give way.
    fn free_slot(&self) -> Option<usize> {
        loop {
            if let Some(slot) = self.masters.iter().position(Master::reserve) {
                return Some(slot);
            }
            let oldest = self.idle().and_then(|mut idle| idle.pop_oldest())?;
            self.discard(oldest);
        }
    }

    /// A file that could not be lent after all: only running out is an error, otherwise one that is not kept will do.
    pub fn without(&self, file: File, refusal: Error) -> Result<()> {
        self.discard(file);
        if backend::is_shortage(&refusal) { Err(refusal) } else { Ok(()) }
    }

    /// Keeps a file that comes back. `stat` is how its lent description was, if there still was one.
    pub fn give_back(&self, mut file: File, stat: Option<Stat>) {
        self.after_fork();
        if file.generation != self.generation.load(Relaxed) {
            return file.forget();
        }
        let slot = &self.masters[file.slot];
        let Some(stat) = stat.or_else(|| file::stat_if(file.master.as_raw_fd(), file.identity)) else {
            // Trusted with the master, the borrower closed it, and the number may stand for another file by now.
            file.unmap();
            return slot.clear();
        };
        file.allocated = stat.allocated;
        self.keep(file);
    }

    fn keep(&self, file: File) {
        let max_bytes = self.max_bytes.load(Relaxed);
        if file.allocated > max_bytes || max_bytes == 0 {
            return self.discard(file);
        }
        loop {
            let Some(mut idle) = self.idle() else { return self.discard(file) };
            let Some(oldest) = idle.pop_oldest_above(max_bytes - file.allocated) else { return idle.push(file) };
            drop(idle);
            self.discard(oldest);
        }
    }

    fn discard(&self, file: File) {
        let slot = &self.masters[file.slot];
        drop(file);
        slot.clear();
    }

    fn idle(&self) -> Option<MutexGuard<'_, Idle>> {
        if self.is_orphaned.load(Relaxed) { None } else { self.idle.lock().ok() }
    }

    /// In a child, before anything else: what was inherited is closed.
    fn after_fork(&self) {
        const CHILD: u32 = 0;
        const READY: u32 = 1;
        const CLEARING: u32 = 2;
        let Some(mark) = self.mark.as_ref().map(ForkMark::value) else { return };
        while mark.load(Acquire) != READY {
            if mark.compare_exchange(CHILD, CLEARING, AcqRel, Relaxed).is_ok() {
                self.generation.fetch_add(1, Relaxed);
                self.masters.iter().for_each(Master::close_inherited);
                self.empty_inherited_list();
                mark.store(READY, Release);
            } else {
                std::thread::yield_now();
            }
        }
    }

    fn empty_inherited_list(&self) {
        match self.idle.try_lock() {
            Ok(mut idle) => {
                idle.files.drain(..).for_each(File::forget);
                idle.bytes = 0;
            }
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => self.is_orphaned.store(true, Relaxed),
        }
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

    fn take_all(&mut self) -> Vec<File> {
        self.bytes = 0;
        self.files.drain(..).collect()
    }

    fn remove(&mut self, index: usize) -> File {
        let file = self.files.swap_remove(index);
        self.bytes -= file.allocated;
        file
    }

    fn pop_oldest(&mut self) -> Option<File> {
        let (oldest, _) = self.files.iter().enumerate().min_by_key(|(_, file)| file.used)?;
        Some(self.remove(oldest))
    }

    fn pop_oldest_above(&mut self, bytes: u64) -> Option<File> {
        if self.bytes > bytes { self.pop_oldest() } else { None }
    }
}
