//! A place for one file of a pool, which nobody ever waits for.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering::*};

use super::cached_file::{CachedFile, Kind};
use crate::sys::file::{self, Identity};

/// On cache lines of its own, so that threads which use different files do not slow each other
/// down.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Slot {
    // The master that is open, noted where a child finds it whatever its parent was doing during
    // fork.
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    /// The file, while it is kept: a `Box` that whoever swaps the pointer out owns. NULL while it
    /// is lent or there is none.
    kept: AtomicPtr<CachedFile>,
    // What can be seen of the kept file without taking it. A hint: somebody else may take it at any
    // time.
    present: AtomicU64,
    used: AtomicU64,
    name_hash: AtomicU64,
    /// How often a file from here was lent again.
    pub hits: AtomicU64,
    /// The file from here is lent now.
    pub is_lent: AtomicBool,
}

/// No descriptor: nobody uses the slot, or somebody is about to.
const NONE: i32 = -1;
const RESERVED: i32 = -2;
/// Instead of `present`: nothing is kept here.
const NOTHING: u64 = u64::MAX;
/// In `present`, which counts whole pages: the master has been lent.
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

    /// Makes it the caller's, who notes a master in it.
    pub fn reserve(&self) -> bool {
        self.fd.load(Relaxed) == NONE
            && self.fd.compare_exchange(NONE, RESERVED, AcqRel, Relaxed).is_ok()
    }

    /// Only for who reserved it.
    pub fn note(&self, fd: i32, identity: Identity) {
        let (device, inode) = identity.into_parts();
        self.device.store(device, Relaxed);
        self.inode.store(inode, Relaxed);
        self.fd.store(fd, Release);
    }

    /// After the number is closed: a child that is forked in between looks whose it is.
    pub fn clear(&self) {
        self.is_lent.store(false, Relaxed);
        self.fd.store(NONE, Release);
    }

    /// Keeps the file that was noted here. Only for who has it.
    pub fn keep(&self, file: Box<CachedFile>) {
        self.is_lent.store(false, Relaxed);
        self.name_hash.store(file.name.0, Relaxed);
        self.used.store(file.used, Relaxed);
        self.present.store(file.present | if file.is_exposed { EXPOSED } else { 0 }, Release);
        // Last, because who takes it says that nothing is kept any more.
        self.kept.store(Box::into_raw(file), SeqCst);
    }

    /// The file that is kept here, if nobody else is faster.
    pub fn take(&self) -> Option<Box<CachedFile>> {
        let file = self.kept.swap(null_mut(), SeqCst);
        if file.is_null() {
            return None;
        }
        self.present.store(NOTHING, Relaxed);
        // SAFETY: it came from `Box::into_raw`, and swapping it out made it ours.
        Some(unsafe { Box::from_raw(file) })
    }

    /// The bytes of the pages of the file that is kept here, if it is probably of this kind.
    pub fn offers(&self, kind: Kind<'_>) -> Option<u64> {
        let is_exposed = self.present.load(Acquire) & EXPOSED != 0;
        let suits = is_exposed == kind.is_trusted && self.name_hash.load(Relaxed) == kind.name_hash;
        self.present().filter(|_| suits)
    }

    /// The bytes of the pages of the file that is kept here.
    pub fn present(&self) -> Option<u64> {
        let present = self.present.load(Acquire);
        (present != NOTHING).then_some(present & !EXPOSED)
    }

    /// When the file that is kept here was given back.
    pub fn used(&self) -> Option<u64> {
        self.present().map(|_| self.used.load(Relaxed))
    }

    /// In a child: closes the parent's master, if it is still open here, and forgets its file.
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
        // A thread of the parent may have been about to.
        self.present.store(NOTHING, Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.take();
    }
}
