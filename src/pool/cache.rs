//! Keeps and lends the cached files of a pool, and closes them in a child.
//!
//! There is no lock, so no scan waits for another, and no fork leaves a locked lock behind. A scan
//! swaps a file out of its slot and puts it back afterwards. Meanwhile the other members of the
//! slot are only hints. The masters are noted in atomics of the slots. So a child can close them,
//! whatever the parent's threads did when it was forked. A child learns that it is one from a page
//! that the kernel wipes on fork, because process IDs repeat across namespaces.
//!
//! No scan does the work of another one. A small scan that needs room, or finds idle files, frees
//! about as much memory as it needs itself. It cuts off the end of a cached file, after the proof.
//! Dropping 64 MiB takes milliseconds, and a scan of 1 KiB must not wait for that.

use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

use super::cached_file::{CachedFile, Kind, MakeError, Proof, pages};
use super::new_files::NewFiles;
use super::options::{MAX_FILES, PoolMethod, PoolOptions};
use super::sizes::Sizes;
use super::slot::Slot;
use super::stats::PoolStats;
use crate::backend;
use crate::error::{Errno, Error, Result};
use crate::sys::file::{self, Stat};
use crate::sys::fork::ForkMark;
use crate::sys::kept::Kept;
use crate::sys::source::Sources;

/// A cached file that is more than this many times larger or smaller than needed is not taken. It
/// would lose its pages, or gain little from them. There are two exceptions: a file of at most
/// [`LITTLE`] bytes is never too large. If half of the files are cached, no file is too small.
const NEAR: u64 = 4;

/// Number of bytes of cached memory that any scan may free, even if it needs less. That takes a
/// microsecond or two. A small scan after a large one would wait milliseconds if it had to free
/// more.
const LITTLE: u64 = 64 << 10;

/// The files and counts of a pool, without a lock. A scan takes a file out of its slot and puts it
/// back. All other members that change are atomic.
#[derive(Debug)]
pub(super) struct Cache {
    pub method: PoolMethod,
    /// The limit of cached memory; 0 once the pool is gone.
    max_bytes: AtomicU64,
    /// `None` where the kernel cannot mark memory for children. Then no file is cached.
    pub mark: Option<ForkMark>,
    /// Number of forks. A file of another generation is the parent's.
    generation: AtomicU32,
    /// Whether this host cannot prove that a file is free. Then no file is cached.
    is_unusable: AtomicBool,
    slots: [Slot; MAX_FILES],
    /// Number of slots that may be used.
    max_files: usize,
    /// How long an unused file is kept, in nanoseconds.
    idle: Option<u64>,
    /// No slot from this index on was ever used.
    slots_used: AtomicUsize,
    /// Number of bytes of memory in cached files. A file is counted before it is cached and until
    /// it has been taken, so the number is never too small.
    cached_bytes: AtomicU64,
    /// When the pool was made.
    epoch: Instant,
    misses: AtomicU64,
    dropped: AtomicU64,
    /// Asks the kernel whether the caller's bytes can be lost.
    pub sources: Sources,
    /// Keeps /proc/self/fd open, for opening files of the pool again.
    pub directory: Kept,
    pub new_files: NewFiles,
    /// Learns when a new file is cheaper than the pool's other ways.
    pub sizes: Sizes,
}

/// From this size on a new file may be cheaper than a cached one.
const SMALLEST_OF_AUTO: u64 = 64 << 10;
/// From this size on a new file may be cheaper than a memfd.
const SMALLEST_OF_NEW_FILES: u64 = 4 << 10;
/// Making a file system takes a few milliseconds. So a pool makes one only after its measured scans
/// have taken this time.
const PATIENCE_OF_AUTO: Duration = Duration::from_millis(8);

thread_local! {
    /// The slot of the file that this thread had last. It probably has the right size, and no other
    /// thread looks for it.
    static LAST_SLOT: Cell<usize> = const { Cell::new(0) };
}

impl Cache {
    pub fn new(options: &PoolOptions) -> Cache {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (smallest, patience) = match options.method {
            PoolMethod::Reuse => (u64::MAX, Duration::ZERO),
            PoolMethod::Auto => (SMALLEST_OF_AUTO, PATIENCE_OF_AUTO),
            PoolMethod::NewFiles => (SMALLEST_OF_NEW_FILES, Duration::ZERO),
        };
        Cache {
            method: options.method,
            new_files: NewFiles::new(options.max_bytes, options.method == PoolMethod::NewFiles),
            sizes: Sizes::new(smallest, patience),
            max_bytes: AtomicU64::new(options.max_bytes),
            max_files: options.max_files,
            idle: options.idle.map(nanoseconds),
            mark: ForkMark::new().ok(),
            generation: AtomicU32::new(0),
            is_unusable: AtomicBool::new(false),
            slots: [const { Slot::new() }; MAX_FILES],
            slots_used: AtomicUsize::new(0),
            cached_bytes: AtomicU64::new(0),
            epoch: Instant::now(),
            misses: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            sources: Sources::new(),
            directory: Kept::new(),
        }
    }

    pub fn stats(&self) -> PoolStats {
        self.after_fork();
        self.drop_idle(u64::MAX);
        self.drop_held();
        PoolStats {
            hits: self.used_slots().iter().map(|slot| slot.hits.load(Relaxed)).sum(),
            misses: self.misses.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lent: self.used_slots().iter().filter(|slot| slot.is_lent.load(Relaxed)).count() as u64,
            cached_bytes: self.cached_bytes.load(Relaxed),
        }
    }

    /// Drops the longest unused files until at most `bytes` are cached; at 0 also files without
    /// bytes.
    pub fn trim(&self, bytes: u64) {
        self.after_fork();
        self.drop_idle(u64::MAX);
        if bytes == 0 {
            return self.drop_all();
        }
        while self.cached_bytes.load(Relaxed) > bytes {
            let Some(oldest) = self.take_oldest() else { return };
            self.discard(oldest);
        }
    }

    /// Stops caching, because the pool is gone. A file that is lent now is dropped when it comes
    /// back.
    pub fn close(&self) {
        self.max_bytes.store(0, SeqCst);
        self.after_fork();
        self.new_files.refuse();
        self.drop_all();
    }

    /// Drops all files that are not lent, and closes the other descriptors.
    pub fn drop_all(&self) {
        self.sources.maps.close();
        self.directory.close();
        self.new_files.close();
        self.used_slots()
            .iter()
            .filter_map(|slot| self.claim(slot))
            .for_each(|file| self.discard(file));
    }

    /// Frees about `bytes` bytes of the files that have been idle for longer than the pool keeps
    /// them. Drops such files, or cuts off the end of one.
    fn drop_idle(&self, mut bytes: u64) {
        let Some(idle) = self.idle else { return };
        let now = self.now();
        let is_idle = |used: u64| now.saturating_sub(used) >= idle;
        for slot in self.used_slots().iter().filter(|slot| slot.used().is_some_and(is_idle)) {
            if bytes == 0 {
                return;
            }
            match self.claim(slot) {
                Some(file) if is_idle(file.used) => {
                    let had = file.allocated;
                    match self.give_up(file, bytes) {
                        Some(rest) => return self.keep(rest),
                        None => bytes = bytes.saturating_sub(had),
                    }
                }
                // Another file came here meanwhile.
                Some(file) => self.keep(file),
                None => {}
            }
        }
    }

    /// Drops a file that is not lent, if it has about this number of bytes. A much larger one loses
    /// only its end, and is returned.
    fn give_up(&self, mut file: Box<CachedFile>, bytes: u64) -> Option<Box<CachedFile>> {
        let enough = bytes.max(LITTLE);
        if file.allocated / 2 > enough && self.is_free(&mut file) && file.shrink(enough).is_ok() {
            return Some(file);
        }
        self.discard(file);
        None
    }

    /// Returns nanoseconds since the pool was made.
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Returns a cached or new file of this kind that `prepare` has accepted, for about `size`
    /// bytes if that is known. `None` if the caller has to make a file that is not cached.
    pub fn lend(
        &self,
        size: Option<u64>,
        kind: Kind<'_>,
        prepare: &mut dyn FnMut(&mut CachedFile) -> Result<()>,
    ) -> Result<Option<Box<CachedFile>>> {
        self.after_fork();
        self.drop_idle(size.unwrap_or(0).max(LITTLE));
        if self.method == PoolMethod::NewFiles
            || self.mark.is_none()
            || self.is_unusable.load(Relaxed)
        {
            return Ok(None);
        }
        while let Some(mut file) = self.take(size, kind) {
            if self.is_free(&mut file) {
                match prepare(&mut file) {
                    Ok(()) => return Ok(Some(file)),
                    // No file can have this length, and nothing was changed.
                    Err(error) if error.errno() == libc::EFBIG => {
                        file.end_lease();
                        self.keep(file);
                        return Err(error);
                    }
                    // The bytes are lost, so another file would not help.
                    Err(error) if error.errno() == libc::EFAULT => {
                        self.discard(file);
                        return Err(error);
                    }
                    Err(_) => {}
                }
            }
            // The file is open elsewhere, was changed or cannot be written. Another one is tried.
            self.discard(file);
        }
        let Some(mut file) = self.make(size, kind)? else { return Ok(None) };
        match prepare(&mut file) {
            Ok(()) => Ok(Some(file)),
            Err(error) => {
                self.discard(file);
                Err(error)
            }
        }
    }

    /// Counts a scan that was lent this file.
    pub fn count(&self, file: &CachedFile) {
        let slot = &self.slots[file.slot];
        slot.is_lent.store(true, Relaxed);
        if file.is_new {
            self.count_miss();
        } else {
            slot.hits.fetch_add(1, Relaxed);
        }
    }

    /// Counts a scan that was lent a new file.
    pub fn count_miss(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    /// Proves that a file is free, right before it is used again. The caller drops a file that is
    /// not.
    fn is_free(&self, file: &mut CachedFile) -> bool {
        let proof = file.prove();
        if matches!(proof, Proof::Refused) {
            self.dropped.fetch_add(1, Relaxed);
        }
        matches!(proof, Proof::Granted)
    }

    /// Drops the cached files that are open elsewhere or were changed.
    fn drop_held(&self) {
        for mut file in self.used_slots().iter().filter_map(|slot| self.claim(slot)) {
            if self.is_free(&mut file) {
                file.end_lease();
                self.keep(file);
            } else {
                self.discard(file);
            }
        }
    }

    /// Takes the cached file of this kind that is nearest in size. If the size is unknown, takes
    /// the one that was used last.
    fn take(&self, size: Option<u64>, kind: Kind<'_>) -> Option<Box<CachedFile>> {
        let wanted = size.map(pages);
        let last = &self.slots[LAST_SLOT.get()];
        if last.offers(kind).is_some_and(|present| wanted.is_none_or(|wanted| wanted == present)) {
            if let Some(file) = self.claim(last) {
                if kind.suits(&file) {
                    return Some(file);
                }
                self.keep(file);
            }
        }
        // If half of the files are cached, no file is too small. So the other slots stay free for
        // scans at the same time.
        let kept = self.used_slots().iter().filter(|slot| slot.used().is_some()).count();
        let crowded = kept >= self.max_files / 2;
        let is_near = |present: u64, wanted: u64| {
            present <= most_for(wanted) && (crowded || wanted <= present.saturating_mul(NEAR))
        };
        let file = self.take_least(|slot| {
            let present = slot.offers(kind)?;
            match wanted {
                Some(wanted) => is_near(present, wanted).then(|| present.abs_diff(wanted)),
                None => slot.used().map(|used| u64::MAX - used),
            }
        })?;
        if !kind.suits(&file) {
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

    /// Takes the cached file with the smallest key. Leaves alone files without a key, and files
    /// that another thread takes meanwhile.
    fn take_least<K: Ord>(&self, key: impl Fn(&Slot) -> Option<K>) -> Option<Box<CachedFile>> {
        let mut gone = 0u64;
        loop {
            let there =
                self.used_slots().iter().enumerate().filter(|(index, _)| gone & (1 << index) == 0);
            let (_, index) =
                there.filter_map(|(index, slot)| key(slot).map(|key| (key, index))).min()?;
            match self.claim(&self.slots[index]) {
                None => gone |= 1 << index,
                file => return file,
            }
        }
    }

    fn make(&self, size: Option<u64>, kind: Kind<'_>) -> Result<Option<Box<CachedFile>>> {
        let Some(index) = self.reserve_slot(size.unwrap_or(0)) else { return Ok(None) };
        let slot = &self.slots[index];
        let made = CachedFile::make(
            index,
            |fd, identity| slot.note(fd, identity),
            kind,
            self.generation.load(Relaxed),
        );
        if made.is_err() {
            slot.clear();
        }
        match made {
            Ok(file) => {
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

    /// Reserves a slot for a new master. If none is free, drops a cached file that is not much
    /// larger than the new one will be.
    fn reserve_slot(&self, size: u64) -> Option<usize> {
        loop {
            if let Some(index) = self.slots[..self.max_files].iter().position(Slot::reserve) {
                self.slots_used.fetch_max(index + 1, Relaxed);
                return Some(index);
            }
            let is_small =
                |slot: &&Slot| slot.present().is_some_and(|present| present <= most_for(size));
            self.discard(self.take_least(|slot| Some(slot).filter(is_small)?.used())?);
        }
    }

    fn used_slots(&self) -> &[Slot] {
        &self.slots[..self.slots_used.load(Relaxed)]
    }

    /// Takes the file that is cached in a slot, unless another thread is faster.
    fn claim(&self, slot: &Slot) -> Option<Box<CachedFile>> {
        let file = slot.take()?;
        self.cached_bytes.fetch_sub(file.allocated, Relaxed);
        Some(file)
    }

    /// Drops a file that could not be lent after all. Fails only if something ran out; otherwise
    /// the caller makes a file that is not cached.
    pub fn without(&self, file: Box<CachedFile>, refusal: Error) -> Result<()> {
        self.discard(file);
        if backend::is_shortage(Errno(refusal.errno())) { Err(refusal) } else { Ok(()) }
    }

    /// Caches a file that comes back. `stat` is the status of its lent description, if that was
    /// still open.
    pub fn give_back(&self, mut file: Box<CachedFile>, stat: Option<Stat>) {
        self.after_fork();
        if file.generation != self.generation.load(Relaxed) {
            return file.forget();
        }
        let Some(stat) = stat.or_else(|| file::stat_if(file.master.as_raw_fd(), file.identity))
        else {
            // A trusted borrower has closed the master, and the number may refer to another file by
            // now.
            let slot = &self.slots[file.slot];
            file.unmap();
            return slot.clear();
        };
        if !file.is_finished() {
            return self.discard(file);
        }
        if file.came_back(stat, self.now()) {
            return self.keep(file);
        }
        self.dropped.fetch_add(1, Relaxed);
        self.discard(file);
    }

    /// Caches an unused file, if the limit allows it. If a large file nearly fits, it gives up its
    /// end, so that all small ones stay. Otherwise the longest unused ones give up the memory that
    /// it needs.
    fn keep(&self, mut file: Box<CachedFile>) {
        let max_bytes = self.max_bytes.load(Relaxed);
        if file.allocated > max_bytes || max_bytes == 0 {
            return self.discard(file);
        }
        let has_room = |wanted: u64| {
            let with_it = |kept: u64| Some(kept + wanted).filter(|bytes| *bytes <= max_bytes);
            self.cached_bytes.fetch_update(Relaxed, Relaxed, with_it).is_ok()
        };
        while !has_room(file.allocated) {
            let missing =
                (self.cached_bytes.load(Relaxed) + file.allocated).saturating_sub(max_bytes);
            if missing.max(LITTLE) <= file.allocated / NEAR {
                let Some(rest) = self.give_up(file, missing) else { return };
                file = rest;
                continue;
            }
            // If no file is cached, other threads are about to cache the counted bytes.
            let Some(oldest) = self.take_oldest() else { return self.discard(file) };
            if let Some(rest) = self.give_up(oldest, file.allocated) {
                if has_room(rest.allocated + file.allocated) {
                    self.slots[rest.slot].keep(rest);
                    break;
                }
                // Other threads were faster.
                self.discard(rest);
            }
        }
        self.slots[file.slot].keep(file);
        // This check comes last. A thread that closes the pool meanwhile either finds the file or
        // has set the limit to 0 before this check.
        if self.max_bytes.load(SeqCst) == 0 {
            self.drop_all();
        }
    }

    fn discard(&self, file: Box<CachedFile>) {
        let slot = &self.slots[file.slot];
        drop(file);
        slot.clear();
    }

    /// Closes, in a child, what was inherited. It is called before any other use of the pool.
    pub fn after_fork(&self) {
        const CHILD: u32 = 0;
        const READY: u32 = 1;
        const CLEARING: u32 = 2;
        let Some(mark) = self.mark.as_ref().map(ForkMark::value) else { return };
        while mark.load(Acquire) != READY {
            if mark.compare_exchange(CHILD, CLEARING, AcqRel, Relaxed).is_ok() {
                self.generation.fetch_add(1, Relaxed);
                self.slots.iter().for_each(Slot::drop_inherited);
                self.sources.maps.drop_inherited();
                self.directory.drop_inherited();
                self.new_files.drop_inherited();
                self.cached_bytes.store(0, Relaxed);
                mark.store(READY, Release);
            } else {
                std::thread::yield_now();
            }
        }
    }
}

/// Returns the size of the largest file that may be cut off to hold `size` bytes, or dropped for a
/// new one.
fn most_for(size: u64) -> u64 {
    size.saturating_mul(NEAR).max(LITTLE)
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.after_fork();
    }
}
