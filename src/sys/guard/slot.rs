//! Holds what the handler knows of the guards, in slots. A slot is never freed, and serves one
//! guard after the other. It has one of these states:
//!
//! - Free, or suspended while the map moves: no range is published, so the handler passes on a
//!   fault.
//! - Published: the handler replaces the page. A new range is written beside the old one, so one of
//!   the two is whole at any moment.
//! - Not in this process: a child does not have the map, so the handler passes on the fault.

use std::ffi::c_int;
use std::ops;
use std::ptr::null_mut;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering::SeqCst,
};

use super::file::File;
use super::process::Process;

#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) protection: c_int,
    /// The size of a page, as a power of two.
    pub(super) shift: usize,
}

impl Range {
    /// A range that contains no address.
    pub(super) const NONE: Range = Range { start: 0, length: 0, protection: 0, shift: 0 };

    pub(super) fn pages(&self) -> usize {
        self.length >> self.shift
    }

    /// Returns the index of the page that an address is in.
    pub(super) fn page(&self, address: usize) -> usize {
        address.wrapping_sub(self.start) >> self.shift
    }
}

/// The handler's record of one guard. A slot is never freed and serves one guard after the other.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) taken: AtomicBool,
    /// How often a range was published. The last bit is the index of the latest one.
    version: AtomicUsize,
    /// The next range is written beside the latest, which stays whole. If another thread forks
    /// while a range is being written, the child still finds a whole one.
    ranges: [SharedRange; 2],
    /// The file behind the range. Like the notes, it is read and changed under the slot's lock.
    pub(super) file: File,
    /// The only process that has the range, [`Process::number`]; 0 if children have it too.
    pub(super) process: AtomicU32,
    pub(super) lost: AtomicBool,
    /// How many runs of pages past the end of the file were replaced.
    pub(super) runs: AtomicU32,
    /// Whether there may be a note.
    noted: AtomicBool,
    /// A byte for each page: [`DENIED`], [`REPLACED`], [`RELEASED`], [`LOST`]. Each level has room
    /// for twice as many pages as the one before, so that more room needs no moving. Levels are
    /// never unmapped, because the handler may still read them for a fault in a released page while
    /// the guard ends.
    pub(super) notes: [AtomicPtr<AtomicU8>; LEVELS],
}

#[derive(Debug)]
struct SharedRange {
    start: AtomicUsize,
    length: AtomicUsize,
    protection: AtomicI32,
    shift: AtomicUsize,
}

impl SharedRange {
    const fn none() -> SharedRange {
        let [start, length, shift] = [const { AtomicUsize::new(0) }; 3];
        SharedRange { start, length, protection: AtomicI32::new(0), shift }
    }
}

/// The bits of the protection that the page does not have, PROT_READ and so on.
pub(super) const DENIED: u8 = 7;
/// The page has been replaced.
pub(super) const REPLACED: u8 = 8;
/// The page is not the guard's any more.
pub(super) const RELEASED: u8 = 16;
/// The page is being replaced, or has been.
pub(super) const LOST: u8 = 32;

/// Number of pages in the first level, with a byte for each.
pub(super) const PAGES_IN_FIRST_LEVEL: usize = 4096;
/// Enough levels for more pages than an address space has.
pub(super) const LEVELS: usize = 40;

/// Returns the first page that is noted in this level.
pub(super) fn first_page(level: usize) -> usize {
    ((1 << level) - 1) * PAGES_IN_FIRST_LEVEL
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            taken: AtomicBool::new(false),
            version: AtomicUsize::new(0),
            ranges: [const { SharedRange::none() }; 2],
            file: File::none(),
            process: AtomicU32::new(0),
            lost: AtomicBool::new(false),
            runs: AtomicU32::new(0),
            noted: AtomicBool::new(false),
            notes: [const { AtomicPtr::new(null_mut()) }; LEVELS],
        }
    }

    /// Takes a slot that has no guard.
    pub(super) fn take() -> &'static Slot {
        let mut table = &TABLE;
        loop {
            let free = table.slots.iter().find(|slot| !slot.taken.swap(true, SeqCst));
            match free {
                Some(slot) => return slot,
                None => table = table.next_or_new(),
            }
        }
    }

    /// Sets the range. Only the guard that has the slot calls this.
    pub(super) fn publish(&self, range: Range) {
        let next = self.version.load(SeqCst).wrapping_add(1);
        let shared = &self.ranges[next % 2];
        shared.start.store(range.start, SeqCst);
        shared.length.store(range.length, SeqCst);
        shared.protection.store(range.protection, SeqCst);
        shared.shift.store(range.shift, SeqCst);
        self.version.store(next, SeqCst);
    }

    /// Returns the range that was published last, if it is guarded at this address in this process.
    pub(super) fn range_at(&self, address: usize) -> Option<Range> {
        loop {
            let version = self.version.load(SeqCst);
            let shared = &self.ranges[version % 2];
            let range = Range {
                start: shared.start.load(SeqCst),
                length: shared.length.load(SeqCst),
                protection: shared.protection.load(SeqCst),
                shift: shared.shift.load(SeqCst),
            };
            let is_guarded = address.wrapping_sub(range.start) < range.length
                && self.is_here()
                && self
                    .noted_on(range.page(address))
                    .is_some_and(|note| note.load(SeqCst) & RELEASED == 0);
            // A new range changes the version before this one can be overwritten, and before the
            // notes on pages that it does not have are cleared. So an unchanged version proves that
            // all values belong together.
            if self.version.load(SeqCst) == version {
                return is_guarded.then_some(range);
            }
        }
    }

    /// Returns whether this process has the range: it is inherited, or this is the process that
    /// made it.
    pub(super) fn is_here(&self) -> bool {
        let process = self.process.load(SeqCst);
        process == 0 || process == Process::number()
    }

    /// Returns the notes on a page, if there is room for them.
    pub(super) fn noted_on(&self, page: usize) -> Option<&AtomicU8> {
        let level = (page / PAGES_IN_FIRST_LEVEL + 1).ilog2() as usize;
        let notes = self.notes.get(level)?.load(SeqCst);
        // SAFETY: a level has room for all of its pages, and is never unmapped.
        (!notes.is_null()).then(|| unsafe { &*notes.add(page - first_page(level)) })
    }

    /// Runs `body` while no handler replaces pages. `None` before there is a guard.
    pub(super) fn alone<R>(&self, body: impl FnOnce(&Process) -> R) -> Option<R> {
        Process::alone_with(self.number(), body)
    }

    /// Returns a number that differs from those of the neighbours.
    fn number(&self) -> usize {
        (&raw const *self).addr() / size_of::<Slot>()
    }

    pub(super) fn is_lost(&self, page: usize) -> bool {
        self.noted_on(page).is_some_and(|note| note.load(SeqCst) & LOST != 0)
    }

    pub(super) fn has_room(&self, pages: usize) -> bool {
        pages == 0 || self.noted_on(pages - 1).is_some()
    }

    /// Removes bits from the notes on these pages, then adds others.
    pub(super) fn note(&self, pages: ops::Range<usize>, removed: u8, added: u8) {
        if added != 0 {
            self.noted.store(true, SeqCst);
        } else if !self.noted.load(SeqCst) {
            return;
        }
        for notes in pages.filter_map(|page| self.noted_on(page)) {
            // A page whose bits are right is only read, so that its notes take no memory.
            if notes.load(SeqCst) & removed != 0 {
                notes.fetch_and(!removed, SeqCst);
            }
            if added != 0 {
                notes.fetch_or(added, SeqCst);
            }
        }
    }

    pub(super) fn forget_all(&self) {
        if !self.noted.swap(false, SeqCst) {
            return;
        }
        let levels =
            self.notes.iter().map(|level| level.load(SeqCst)).take_while(|notes| !notes.is_null());
        for (level, notes) in levels.enumerate() {
            let length = PAGES_IN_FIRST_LEVEL << level;
            // SAFETY: private memory of this slot becomes zeros. A thread that reads it meanwhile
            // sees the old notes or zeros.
            unsafe {
                if libc::madvise(notes.cast(), length, libc::MADV_DONTNEED) != 0 {
                    // The memory is locked, so madvise(2) refuses.
                    (0..length).for_each(|page| (*notes.add(page)).store(0, SeqCst));
                }
            }
        }
    }
}

/// All slots. When all of them are taken, another table is made. Tables are never freed.
pub(super) static TABLE: Table = Table::new();

pub(super) struct Table {
    pub(super) slots: [Slot; 64],
    next: AtomicPtr<Table>,
}

impl Table {
    const fn new() -> Table {
        Table { slots: [const { Slot::new() }; 64], next: AtomicPtr::new(null_mut()) }
    }

    pub(super) fn next(&self) -> Option<&'static Table> {
        // SAFETY: the pointer is null, or a table that `next_or_new` leaked.
        unsafe { self.next.load(SeqCst).as_ref() }
    }

    fn next_or_new(&self) -> &'static Table {
        if let Some(next) = self.next() {
            return next;
        }
        let new = Box::into_raw(Box::new(Table::new()));
        match self.next.compare_exchange(null_mut(), new, SeqCst, SeqCst) {
            // SAFETY: the table was leaked just now.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: no other thread has seen `new`. The thread that was faster has leaked
                // `other`.
                unsafe {
                    drop(Box::from_raw(new));
                    &*other
                }
            }
        }
    }
}

/// Returns the slot of the guard that has this address in its range.
pub(super) fn find(address: usize) -> Option<&'static Slot> {
    let tables = std::iter::successors(Some(&TABLE), |table| table.next());
    { tables }.flat_map(|table| &table.slots).find(|slot| slot.range_at(address).is_some())
}
