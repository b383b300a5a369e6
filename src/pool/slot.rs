//! A place for one file of a pool. No thread ever waits for it.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering::*};

use super::cached_file::{CachedFile, Kind};
use crate::sys::file::{self, Identity};

/// A place for one file. It has cache lines of its own, so that threads with different files do not
/// slow each other down.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Slot {
    // The open master. It is noted here, so that a child finds it, whatever the parent's threads
    // did when it was forked.
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    /// The file while it is cached: a `Box`. The thread that swaps the pointer out owns it. NULL
    /// while the file is lent, and if there is none.
    kept: AtomicPtr<CachedFile>,
    // Properties of the cached file, readable without taking it. They are hints: another thread may
    // take the file at any time.
    present: AtomicU64,
    used: AtomicU64,
    name_hash: AtomicU64,
    /// How often a file from here was lent again.
    pub hits: AtomicU64,
    /// Whether the file from here is lent now.
    pub is_lent: AtomicBool,
}

/// Values without a descriptor: the slot is free, or a thread has reserved it.
const NONE: i32 = -1;
const RESERVED: i32 = -2;
/// Value of `present` if no file is cached here.
const NOTHING: u64 = u64::MAX;
/// Bit in `present`, which counts whole pages: the master has been lent.
const EXPOSED: u64 = 1;

impl Slot {
    pub const fn new() -> Slot {
        Slot {
            fd: AtomicI32::new(NONE),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            kept: AtomicPtr::new(null_mut()),
            present: AtomicU64::new(NOTHING),
            used: AtomicU64::new(0),
            name_hash: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            is_lent: AtomicBool::new(false),
        }
    }

    /// Reserves the slot for the caller, which then notes a master in it. Returns false if it is
    /// not free.
    pub fn reserve(&self) -> bool {
        self.fd.load(Relaxed) == NONE
            && self.fd.compare_exchange(NONE, RESERVED, AcqRel, Relaxed).is_ok()
    }

    /// Notes a master. Only the thread that reserved the slot calls this.
    pub fn note(&self, fd: i32, identity: Identity) {
        let (device, inode) = identity.into_parts();
        self.device.store(device, Relaxed);
        self.inode.store(inode, Relaxed);
        self.fd.store(fd, Release);
    }

    /// Frees the slot, after the number is closed. A child that is forked in between compares the
    /// file before it closes the number.
    pub fn clear(&self) {
        self.is_lent.store(false, Relaxed);
        self.fd.store(NONE, Release);
    }

    /// Caches the file that was noted here. Only the thread that has the file calls this.
    pub fn keep(&self, file: Box<CachedFile>) {
        self.is_lent.store(false, Relaxed);
        self.name_hash.store(file.name.0, Relaxed);
        self.used.store(file.used, Relaxed);
        self.present.store(file.present | if file.is_exposed { EXPOSED } else { 0 }, Release);
        // The pointer is stored last. A thread that takes it resets `present`, which must not be
        // set again after that.
        self.kept.store(Box::into_raw(file), SeqCst);
    }

    /// Takes the cached file, unless another thread is faster.
    pub fn take(&self) -> Option<Box<CachedFile>> {
        let file = self.kept.swap(null_mut(), SeqCst);
        if file.is_null() {
            return None;
        }
        self.present.store(NOTHING, Relaxed);
        // SAFETY: `keep` stored the pointer from `Box::into_raw`, and the swap made it ours.
        Some(unsafe { Box::from_raw(file) })
    }

    /// Returns the bytes in the pages of the cached file, if it is probably of this kind.
    pub fn offers(&self, kind: Kind<'_>) -> Option<u64> {
        let is_exposed = self.present.load(Acquire) & EXPOSED != 0;
        let suits = is_exposed == kind.is_trusted && self.name_hash.load(Relaxed) == kind.name_hash;
        self.present().filter(|_| suits)
    }

    /// Returns the bytes in the pages of the cached file.
    pub fn present(&self) -> Option<u64> {
        let present = self.present.load(Acquire);
        (present != NOTHING).then_some(present & !EXPOSED)
    }

    /// Returns when the cached file was given back.
    pub fn used(&self) -> Option<u64> {
        self.present().map(|_| self.used.load(Relaxed))
    }

    /// Closes, in a child, the parent's master, if it is still open here, and forgets its file.
    pub fn drop_inherited(&self) {
        let fd = self.fd.swap(NONE, Acquire);
        if fd >= 0 {
            let identity =
                Identity::from_parts((self.device.load(Relaxed), self.inode.load(Relaxed)));
            file::close_raw_if(fd, identity);
        }
        if let Some(file) = self.take() {
            file.forget();
        }
        self.is_lent.store(false, Relaxed);
        // A thread of the parent may have stopped just before this store.
        self.present.store(NOTHING, Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.take();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Threads take the file in turns and change it without a lock. `make sanitize` runs this test
    /// under ThreadSanitizer.
    #[test]
    fn threads_that_take_a_cached_file_in_turns_own_it_alone() {
        const THREADS: u64 = 4;
        const TURNS: u64 = 500;
        let slot = Arc::new(Slot::new());
        assert!(slot.reserve() && !slot.reserve());
        let note = |fd, identity| slot.note(fd, identity);
        let made = CachedFile::make(0, note, Kind::new(c"turns", false), 0);
        slot.keep(Box::new(made.ok().expect("a file")));
        let take_turns = |slot: Arc<Slot>| {
            for _ in 0..TURNS {
                let mut file = loop {
                    if let Some(file) = slot.take() {
                        break file;
                    }
                    std::thread::yield_now();
                };
                file.used += 1;
                slot.keep(file);
            }
        };
        let threads: Vec<_> = (0..THREADS)
            .map(|_| slot.clone())
            .map(|slot| std::thread::spawn(move || take_turns(slot)))
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let file = slot.take().expect("the file");
        assert_eq!(file.used, THREADS * TURNS);
        assert!(slot.take().is_none());
    }
}
