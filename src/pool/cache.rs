//! The cached files of a pool: kept, lent, and what becomes of them in a child.

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::time::Instant;

use super::cached_file::{CachedFile, MakeError, pages};
use super::counts::PoolCounts;
use super::slot::Slot;
use crate::error::{Error, Result};
use crate::sys::file::{self, Stat};
use crate::sys::fork::ForkMark;
use crate::{backend, fill};

/// Files that exist at once, kept or lent, and so the most descriptors that a pool holds: a sixteenth of the 1024 that most
/// processes may have. A scan beyond them gets a file that is not kept.
const SLOTS: usize = 64;
/// Above this many kept files the nearest in size is taken, whatever its size is, so that some stay for scans at the same time.
const KEPT: usize = SLOTS / 2;
/// A kept file this many times larger or smaller than wanted is not taken: it would lose its pages, or gain little from them.
const NEAR: u64 = 4;

/// There is no lock: a scan takes a file out of its slot and puts it back, and what threads share they only read.
#[derive(Debug)]
pub(super) struct Cache {
    /// 0 once the pool is gone.
    max_bytes: AtomicU64,
    /// `None` where the kernel cannot mark memory for children: nothing is kept.
    mark: Option<ForkMark>,
    /// Counts forks: a file of another generation is the parent's.
    generation: AtomicU32,
    /// This host cannot prove who holds a file: nothing is kept.
    is_unusable: AtomicBool,
    slots: [Slot; SLOTS],
    /// No slot from here on was ever used.
    slots_used: AtomicUsize,
    /// Bytes of memory in kept files. Counted before they are kept and until they have been taken, so never less than there are.
    kept_bytes: AtomicU64,
    /// When the pool was made.
    epoch: Instant,
    new_files: AtomicU64,
    dropped: AtomicU64,
}

thread_local! {
    /// The slot of the file that this thread had last: most likely it has the right size, and no other thread looks for it.
    static LAST_SLOT: Cell<usize> = const { Cell::new(0) };
}

impl Cache {
    pub fn new(max_bytes: u64) -> Cache {
        Cache {
            max_bytes: AtomicU64::new(max_bytes),
            mark: ForkMark::new().ok(),
            generation: AtomicU32::new(0),
            is_unusable: AtomicBool::new(false),
            slots: [const { Slot::new() }; SLOTS],
            slots_used: AtomicUsize::new(0),
            kept_bytes: AtomicU64::new(0),
            epoch: Instant::now(),
            new_files: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub fn counts(&self) -> PoolCounts {
        self.after_fork();
        self.drop_held();
        PoolCounts {
            lent_again: self.used_slots().iter().map(|slot| slot.lent_again.load(Relaxed)).sum(),
            new_files: self.new_files.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            kept_bytes: self.kept_bytes.load(Relaxed),
        }
    }

    /// Drops the longest unused files until at most `bytes` are kept; at 0 also those that have none.
    pub fn trim(&self, bytes: u64) {
        self.after_fork();
        if bytes == 0 {
            return self.drop_all();
        }
        while self.kept_bytes.load(Relaxed) > bytes {
            let Some(oldest) = self.take_oldest() else { return };
            self.discard(oldest);
        }
    }

    /// The pool is gone: nothing is kept any more, also not what is lent at the moment.
    pub fn close(&self) {
        self.max_bytes.store(0, SeqCst);
        self.after_fork();
        self.drop_all();
    }

    fn drop_all(&self) {
        self.used_slots().iter().filter_map(|slot| self.claim(slot)).for_each(|file| self.discard(file));
    }

    /// A file that holds `bytes`, kept or new. `None`: the caller makes one that is not kept.
    pub fn lend(&self, bytes: &[u8], trusted: bool) -> Result<Option<Box<CachedFile>>> {
        self.after_fork();
        let lent =
            if self.mark.is_none() || self.is_unusable.load(Relaxed) { None } else { self.find(bytes, trusted)? };
        if lent.is_none() {
            self.new_files.fetch_add(1, Relaxed);
        }
        Ok(lent)
    }

    fn find(&self, bytes: &[u8], trusted: bool) -> Result<Option<Box<CachedFile>>> {
        while let Some(mut file) = self.take(bytes.len() as u64, trusted) {
            if self.is_free(&file) && file.is_as_it_was() && file.refill(bytes).is_ok() {
                self.slots[file.slot].lent_again.fetch_add(1, Relaxed);
                return Ok(Some(file));
            }
            // Held, changed, or not to be written: another one works.
            self.discard(file);
        }
        self.make(bytes, trusted)
    }

    /// The proof, right before the file is used again. One that is held by somebody now is never used again.
    fn is_free(&self, file: &CachedFile) -> bool {
        if file.is_exposed {
            return true;
        }
        let is_held = file.is_held();
        if is_held == Some(true) {
            self.dropped.fetch_add(1, Relaxed);
        }
        is_held == Some(false)
    }

    /// Drops the kept files that somebody holds.
    fn drop_held(&self) {
        for file in self.used_slots().iter().filter_map(|slot| self.claim(slot)) {
            if self.is_free(&file) { self.keep(file) } else { self.discard(file) }
        }
    }

    /// The kept file nearest in size.
    fn take(&self, size: u64, trusted: bool) -> Option<Box<CachedFile>> {
        let wanted = pages(size);
        let last = &self.slots[LAST_SLOT.get()];
        if last.offers(trusted) == Some(wanted)
            && let Some(file) = self.claim(last)
        {
            if file.is_exposed == trusted {
                return Some(file);
            }
            self.keep(file);
        }
        let crowded = self.used_slots().iter().filter(|slot| slot.used().is_some()).count() >= KEPT;
        let is_near = |present: u64| {
            crowded || (present <= wanted.saturating_mul(NEAR) && wanted <= present.saturating_mul(NEAR))
        };
        let file = self.take_least(|slot| {
            let present = slot.offers(trusted).filter(|present| is_near(*present))?;
            Some(present.abs_diff(wanted))
        })?;
        if file.is_exposed != trusted {
            // Another file came here meanwhile.
            self.keep(file);
            return None;
        }
        LAST_SLOT.set(file.slot);
        Some(file)
    }

    fn take_oldest(&self) -> Option<Box<CachedFile>> {
        self.take_least(|slot| slot.used())
    }

    /// The kept file with the smallest key. Those without a key are left alone, and those that somebody else takes meanwhile.
    fn take_least<K: Ord>(&self, key: impl Fn(&Slot) -> Option<K>) -> Option<Box<CachedFile>> {
        let mut gone = 0u64;
        loop {
            let there = self.used_slots().iter().enumerate().filter(|(index, _)| gone & (1 << index) == 0);
            let (_, index) = there.filter_map(|(index, slot)| key(slot).map(|key| (key, index))).min()?;
            match self.claim(&self.slots[index]) {
                None => gone |= 1 << index,
                file => return file,
            }
        }
    }

    fn make(&self, bytes: &[u8], trusted: bool) -> Result<Option<Box<CachedFile>>> {
        fill::check_size_limit(bytes.len() as u64)?;
        let Some(index) = self.reserve_slot() else { return Ok(None) };
        let slot = &self.slots[index];
        let made = CachedFile::make(
            index,
            |fd, identity| slot.note(fd, identity),
            bytes,
            self.generation.load(Relaxed),
            trusted,
        );
        if made.is_err() {
            slot.clear();
        }
        match made {
            Ok(file) => {
                self.new_files.fetch_add(1, Relaxed);
                LAST_SLOT.set(index);
                Ok(Some(Box::new(file)))
            }
            Err(MakeError::Busy) => Ok(None),
            Err(MakeError::Unsupported) => {
                self.is_unusable.store(true, Relaxed);
                self.drop_all();
                Ok(None)
            }
            Err(MakeError::Failed(error)) => Err(error),
        }
    }

    /// Where a new master can be noted. Kept files give way.
    fn reserve_slot(&self) -> Option<usize> {
        loop {
            if let Some(index) = self.slots.iter().position(Slot::reserve) {
                self.slots_used.fetch_max(index + 1, Relaxed);
                return Some(index);
            }
            self.discard(self.take_oldest()?);
        }
    }

    fn used_slots(&self) -> &[Slot] {
        &self.slots[..self.slots_used.load(Relaxed)]
    }

    /// The file that is kept in a slot, if nobody else is faster.
    fn claim(&self, slot: &Slot) -> Option<Box<CachedFile>> {
        let file = slot.take()?;
        self.kept_bytes.fetch_sub(file.allocated, Relaxed);
        Some(file)
    }

    /// A file that could not be lent after all: only running out is an error, otherwise one that is not kept will do.
    pub fn without(&self, file: Box<CachedFile>, refusal: Error) -> Result<()> {
        self.discard(file);
        if backend::is_shortage(&refusal) { Err(refusal) } else { Ok(()) }
    }

    /// Keeps a file that comes back. `stat` is how its lent description was, if there still was one.
    pub fn give_back(&self, mut file: Box<CachedFile>, stat: Option<Stat>) {
        self.after_fork();
        if file.generation != self.generation.load(Relaxed) {
            return file.forget();
        }
        let Some(stat) = stat.or_else(|| file::stat_if(file.master.as_raw_fd(), file.identity)) else {
            // Trusted with the master, the borrower closed it, and the number may stand for another file by now.
            let slot = &self.slots[file.slot];
            file.unmap();
            return slot.clear();
        };
        file.came_back(stat, self.epoch.elapsed().as_nanos() as u64);
        self.keep(file);
    }

    /// Keeps a file that nobody uses, if the bound allows it; the longest unused ones give way.
    fn keep(&self, file: Box<CachedFile>) {
        let max_bytes = self.max_bytes.load(Relaxed);
        if file.allocated > max_bytes || max_bytes == 0 {
            return self.discard(file);
        }
        let with_it = |kept: u64| Some(kept + file.allocated).filter(|bytes| *bytes <= max_bytes);
        while self.kept_bytes.fetch_update(Relaxed, Relaxed, with_it).is_err() {
            match self.take_oldest() {
                Some(oldest) => self.discard(oldest),
                // Others are about to keep as much.
                None => return self.discard(file),
            }
        }
        self.slots[file.slot].keep(file);
        // Only now, so that who closes the pool meanwhile finds the file, or is noticed here.
        if self.max_bytes.load(SeqCst) == 0 {
            self.drop_all();
        }
    }

    fn discard(&self, file: Box<CachedFile>) {
        let slot = &self.slots[file.slot];
        drop(file);
        slot.clear();
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
                self.slots.iter().for_each(Slot::drop_inherited);
                self.kept_bytes.store(0, Relaxed);
                mark.store(READY, Release);
            } else {
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.after_fork();
    }
}
