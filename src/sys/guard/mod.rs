//! Guards ranges, so that they survive the loss of their pages. Access to a page of a file that was
//! made shorter, or whose storage fails, raises SIGBUS, mmap(2). In a guarded range the handler
//! maps zeros there instead, and the access goes on.
//!
//! The handler serves the whole process and can interrupt any code. So it allocates nothing, and
//! passes on every fault outside guarded pages. It waits only for the lock of a slot, which another
//! thread holds while it replaces pages or changes its guard. Everything that the handler reads is
//! consistent at any moment, whatever other threads are doing, or were doing when this process was
//! forked.
//!
//! `handler` installs the handler, `chain` has the handlers behind it, and `pin` keeps its code
//! loaded. `slot` is what the handler knows of a guard. `replace` maps zeros, and `file` tells
//! where the file ends. `process` has the lock.
//!
//! The slot keeps a byte of notes for each page, which is in one of these states:
//! - There: access finds the file. The page is lost when the file is cut or its storage fails.
//! - Lost: access raises SIGBUS, and the page is replaced. A copy by `read_at` or `write_at` ends
//!   instead and replaces nothing. If the file grows before any access, the page is there again.
//! - Being replaced (LOST): access waits for the slot's lock. `check` and copies treat the page as
//!   replaced.
//! - Replaced (LOST, REPLACED): access finds zeros and what was stored since, never the file. The
//!   page is there again when the whole map is mapped anew.
//! - Released (RELEASED): faults are passed on. The page is there again with the slot's next guard.
//!
//! A page is replaced once, because a second time would lose what was stored in between. A thread
//! that comes second finds REPLACED and tries again. If it faults there again although no page was
//! replaced meanwhile, the program has mapped something else there. Zeros do not help then, and the
//! fault is passed on.

mod chain;
mod file;
mod handler;
mod pin;
mod process;
mod replace;
mod slot;

use std::ffi::c_int;
use std::ops;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use handler::{handle, is_in_place};
use process::Process;
use slot::{DENIED, LEVELS, PAGES_IN_FIRST_LEVEL, RELEASED, Range, Slot, TABLE, first_page};

use crate::sys::call::Result;
use crate::sys::mapping::{Content, Mapping};
use crate::sys::process::page_size;

/// A range in which lost pages become zeros and raise no signal, while the guard lives. Drop the
/// guard before the range is unmapped, because other code may map something there next. A child
/// made by fork has its parent's guards.
///
/// The guard does not help a thread that blocks SIGBUS. It helps no thread while the program has
/// another handler in place that does not call ours. System calls raise no signal: given lost pages
/// they fail with EFAULT, and the pages stay lost.
#[derive(Debug)]
pub(crate) struct Guard {
    slot: &'static Slot,
    range: Range,
    /// Whether access to some pages was ever forbidden.
    is_restricted: AtomicBool,
}

impl Guard {
    /// Guards the pages of a mapping, which has this content. A page that replaces a lost one gets
    /// this protection. `is_inherited` means that children have the range. Each call installs the
    /// handler if it is not in place. Fails with the errors of `handle`, or of mmap(2) and
    /// madvise(2).
    pub fn new(
        mapping: &Mapping,
        content: Content<'_>,
        protection: c_int,
        is_inherited: bool,
    ) -> Result<Guard> {
        Process::make()?;
        handle()?;
        let shift = mapping.page().trailing_zeros() as usize;
        let range = Range {
            start: mapping.base().addr().get(),
            length: mapping.length(),
            protection,
            shift,
        };
        debug_assert!((range.start | range.length) % mapping.page() == 0);
        let mut guard = Guard { slot: Slot::take(), range, is_restricted: AtomicBool::new(false) };
        guard.make_room(range.length)?;
        if !is_inherited {
            guard.leave_children();
        }
        guard.alone(|| {
            guard.slot.file.set(content);
            guard.slot.publish(range);
        });
        Ok(guard)
    }

    /// Runs `body` while no handler replaces pages of the range. Every change of the range or its
    /// notes runs in here, except in `drop`: by then no range is published. Pages are released
    /// before they are unmapped, because other code may map something there at once.
    fn alone<R>(&self, body: impl FnOnce() -> R) -> R {
        self.slot.alone(|_| body()).expect("there is a guard")
    }

    /// Guards nothing until [`Guard::moved`]. The range may be unmapped meanwhile, and other code
    /// may map something there at once.
    pub fn suspend(&mut self) {
        self.alone(|| self.slot.publish(Range::NONE));
    }

    /// Sets the new place or length of the range, for which [`Guard::make_room`] has made room.
    /// Replaced pages are assumed to have moved along, and pages past a new end to be gone.
    pub fn moved(&mut self, start: NonNull<u8>, length: usize) {
        let old = self.range;
        let new = Range { start: start.addr().get(), length, ..old };
        debug_assert!(
            (new.start | length) % (1 << old.shift) == 0 && self.slot.has_room(new.pages())
        );
        self.range = new;
        self.alone(|| {
            self.slot.publish(new);
            // A page that is mapped past the new end later is no replacement, and has the
            // protection of the range.
            self.slot.note(new.pages()..old.pages(), !0, 0);
        });
    }

    /// Maps the whole range anew with `map`. No page is a replacement afterwards, even if `map`
    /// fails.
    pub fn renew<R>(&self, map: impl FnOnce() -> R) -> R {
        self.alone(|| {
            let mapped = map();
            self.slot.note(0..self.range.pages(), !0, 0);
            mapped
        })
    }

    /// Stops guarding the whole pages among these bytes, which are about to be unmapped.
    pub fn release(&self, bytes: ops::Range<usize>) {
        let pages = bytes.start.div_ceil(1 << self.range.shift)..bytes.end >> self.range.shift;
        self.alone(|| self.slot.note(pages, 0, RELEASED));
    }

    /// Notes another protection for the pages that hold these bytes. Their replacements get it too.
    pub fn protect(&self, bytes: ops::Range<usize>, protection: c_int) {
        let denied = (self.range.protection & !protection) as u8 & DENIED;
        if denied != 0 {
            self.restrict();
        }
        let pages = bytes.start >> self.range.shift..bytes.end.div_ceil(1 << self.range.shift);
        self.alone(|| self.slot.note(pages, DENIED, denied));
    }

    /// Notes that access to some pages will raise SIGSEGV, which the guard does not prevent.
    pub fn restrict(&self) {
        self.is_restricted.store(true, SeqCst);
    }

    /// Returns whether a lost page would only end a copy that this thread makes now. Returns false
    /// in these cases:
    /// - Some pages are protected, so access may raise SIGSEGV.
    /// - This is a child that does not have the range, so access may raise SIGSEGV.
    /// - The handler would not be called.
    pub fn ends_copies(&self) -> bool {
        !self.is_restricted.load(SeqCst) && self.slot.is_here() && is_in_place()
    }

    /// Stops guarding the range in children that are forked from now on. They do not have all of
    /// it, and may have something else there. (Before Linux 4.14 the handler cannot distinguish
    /// them from this process.)
    pub fn leave_children(&self) {
        self.slot.process.store(Process::number(), SeqCst);
    }

    /// Returns whether pages have been replaced.
    pub fn is_lost(&self) -> bool {
        self.slot.lost.load(SeqCst)
    }

    /// Returns the number of these bytes before the first page that has been replaced.
    pub fn kept(&self, bytes: ops::Range<usize>) -> usize {
        if !self.is_lost() {
            return bytes.len();
        }
        let mut pages = bytes.start >> self.range.shift..bytes.end.div_ceil(1 << self.range.shift);
        let replaced = pages.find(|page| self.slot.is_lost(*page));
        replaced.map_or(bytes.len(), |page| (page << self.range.shift).saturating_sub(bytes.start))
    }

    /// Makes room for notes on the pages that hold this number of bytes.
    pub fn make_room(&mut self, length: usize) -> Result<()> {
        let pages = length.div_ceil(1 << self.range.shift);
        for level in (0..LEVELS).take_while(|level| first_page(*level) < pages) {
            if self.slot.notes[level].load(SeqCst).is_null() {
                let mapping = Mapping::zeros(PAGES_IN_FIRST_LEVEL << level)?;
                self.slot.notes[level].store(mapping.base().cast().as_ptr(), SeqCst);
                std::mem::forget(mapping);
            }
        }
        Ok(())
    }
}

/// Returns whether there is or was a guard in this process.
#[inline]
pub(crate) fn is_any() -> bool {
    Process::is_made()
}

/// Returns whether a page among the bytes at these addresses was lost and has been replaced, in any
/// guarded range.
pub(crate) fn lost_among(addresses: ops::Range<usize>) -> bool {
    if Process::number() == 0 {
        return false;
    }
    let tables = std::iter::successors(Some(&TABLE), |table| table.next());
    let mut lost = { tables }.flat_map(|table| &table.slots).filter(|slot| slot.lost.load(SeqCst));
    lost.any(|slot| {
        let mut address = addresses.start;
        while address < addresses.end {
            let range = slot.range_at(address);
            if range.is_some_and(|range| slot.is_lost(range.page(address))) {
                return true;
            }
            address = (address | (page_size() - 1)).saturating_add(1);
        }
        false
    })
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.suspend();
        self.slot.forget_all();
        self.slot.runs.store(0, SeqCst);
        self.slot.process.store(0, SeqCst);
        self.slot.lost.store(false, SeqCst);
        self.slot.taken.store(false, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    use super::slot::find;
    use super::*;
    use crate::sys::file;
    use crate::sys::mapping::MmapOptions;

    /// Returns the guarded map of a file whose pages hold ones. The guard is dropped first.
    fn mapped(pages: usize) -> (Guard, Mapping, OwnedFd) {
        let (length, protection) = (pages * page_size(), libc::PROT_READ | libc::PROT_WRITE);
        let fd = file::memfd_create(c"guarded", 0).expect("a file");
        file::pwrite(fd.as_fd(), &vec![1; length], 0).expect("written");
        let mapping = Mapping::new(
            length,
            Content::File(fd.as_fd(), 0),
            MmapOptions { protection, flags: libc::MAP_SHARED },
        )
        .expect("a map");
        let guard =
            Guard::new(&mapping, Content::File(fd.as_fd(), 0), protection, true).expect("a guard");
        (guard, mapping, fd)
    }

    fn cut(fd: &OwnedFd, pages: usize) {
        file::ftruncate(fd.as_fd(), (pages * page_size()) as u64).expect("another length");
    }

    /// Returns the first byte of a page.
    fn byte(mapping: &Mapping, page: usize) -> u8 {
        // SAFETY: the page lies within the map, and is guarded.
        unsafe { mapping.base().add(page * page_size()).read_volatile() }
    }

    #[test]
    fn pages_past_a_new_end_are_lost_anew() {
        let (mut guard, mapping, fd) = mapped(3);
        let length = 3 * page_size();
        cut(&fd, 1);
        assert_eq!([0, 1, 2].map(|page| byte(&mapping, page)), [1, 0, 0]);
        assert!(guard.is_lost());

        guard.moved(mapping.base(), page_size());
        cut(&fd, 3);
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED | libc::MAP_FIXED);
        let rest = mapping.base().as_ptr().wrapping_add(page_size()).cast();
        let offset = page_size() as libc::off_t;
        // SAFETY: the rest of the map is ours, and nothing refers to it.
        let placed = unsafe {
            libc::mmap(rest, length - page_size(), protection, flags, fd.as_raw_fd(), offset)
        };
        assert_eq!(placed, rest);
        guard.moved(mapping.base(), length);
        cut(&fd, 2);
        assert_eq!([0, 1, 2].map(|page| byte(&mapping, page)), [1, 0, 0]);
    }

    #[test]
    fn what_is_mapped_anew_is_lost_anew() {
        let (guard, mapping, fd) = mapped(2);
        cut(&fd, 0);
        assert_eq!(byte(&mapping, 1), 0);
        let options = MmapOptions { protection: libc::PROT_READ, flags: libc::MAP_SHARED };
        guard
            .renew(|| mapping.show(0, mapping.length(), Content::File(fd.as_fd(), 0), options))
            .expect("mapped anew");
        assert_eq!([0, 1].map(|page| byte(&mapping, page)), [0, 0]);
        assert!(guard.is_lost(), "for good");
    }

    #[test]
    fn a_suspended_guard_guards_nothing() {
        let (mut guard, mapping, _fd) = mapped(1);
        let address = mapping.base().addr().get();
        let is_found = || find(address).is_some();
        assert!(is_found());
        guard.suspend();
        assert!(!is_found());
        guard.moved(mapping.base(), page_size());
        assert!(is_found());
    }

    #[test]
    fn a_guard_finds_nothing_of_the_one_before_in_its_slot() {
        for _ in 0..3 {
            let guards: Vec<_> = (0..2 * TABLE.slots.len()).map(|_| mapped(2)).collect();
            for (guard, mapping, fd) in &guards {
                let address = mapping.base().addr().get();
                assert!(
                    find(address).is_some()
                        && !guard.is_lost()
                        && !guard.is_restricted.load(SeqCst)
                );
                cut(fd, 1);
                assert_eq!(byte(mapping, 1), 0);
                guard.release(0..page_size());
                assert!(find(address).is_none() && find(address + page_size()).is_some());
            }
        }
    }

    #[test]
    fn there_is_room_for_any_number_of_guards_and_it_is_used_again() {
        let tables = || std::iter::successors(Some(&TABLE), |table| table.next()).count();
        let many = || (0..3 * TABLE.slots.len()).map(|_| mapped(1)).collect::<Vec<_>>();
        let mut first = 0;
        for _ in 0..4 {
            for (guard, mapping, fd) in many() {
                cut(&fd, 0);
                assert_eq!(byte(&mapping, 0), 0);
                assert!(guard.is_lost());
            }
            if first == 0 {
                first = tables();
            }
        }
        // Other tests have guards too, in up to four tables. Slots that are not used again would
        // fill three tables in each round.
        assert!(tables() <= first + 4, "{first} tables at first, {} later", tables());
    }

    /// `make sanitize` runs this test under ThreadSanitizer.
    #[test]
    fn threads_take_lose_and_give_back_slots_beside_each_other() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 25;
        let shared = mapped(THREADS + 1);
        cut(&shared.2, 1);
        let lose = |thread: usize| {
            for round in 0..ROUNDS {
                let guards: Vec<_> = (0..TABLE.slots.len() / THREADS).map(|_| mapped(2)).collect();
                for (guard, mapping, fd) in &guards {
                    let address = mapping.base().addr().get();
                    assert!(find(address).is_some() && !guard.is_lost());
                    cut(fd, 1);
                    assert_eq!([0, 1].map(|page| byte(mapping, page)), [1, 0]);
                    guard.release(0..page_size());
                    assert!(guard.is_lost() && find(address).is_none());
                }
                // A range that all threads use.
                assert_eq!(byte(&shared.1, 1 + (thread + round) % THREADS), 0);
            }
        };
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || lose(thread));
            }
        });
        assert!(shared.0.is_lost());
    }

    #[test]
    fn a_child_does_not_wait_for_a_thread_that_it_does_not_have() {
        let (guard, mapping, fd) = mapped(2);
        cut(&fd, 0);
        let mut status = -1;
        let is_child = guard.alone(|| {
            // SAFETY: the child reads a guarded byte, which allocates nothing, and ends. If it
            // waits without end, the alarm ends it.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    // The forking thread has all signals blocked here; other threads would not.
                    let mut none = std::mem::zeroed();
                    libc::sigemptyset(&mut none);
                    libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
                    libc::alarm(60);
                    libc::_exit(byte(&mapping, 1).into());
                }
                libc::waitpid(child, &mut status, 0) == child
            }
        });
        assert!(is_child && status == 0);
        assert!(!guard.is_lost(), "here");
        assert_eq!(byte(&mapping, 1), 0);
    }

    #[test]
    fn every_page_has_notes_of_its_own() {
        let (length, pages) = (3 * PAGES_IN_FIRST_LEVEL * page_size(), 3 * PAGES_IN_FIRST_LEVEL);
        let options = MmapOptions {
            protection: libc::PROT_NONE,
            flags: libc::MAP_PRIVATE | libc::MAP_NORESERVE,
        };
        let mapping = Mapping::new(length, Content::Anonymous, options).expect("address space");
        let guard =
            Guard::new(&mapping, Content::Anonymous, options.protection, true).expect("a guard");
        let places = (0..pages).map(|page| &raw const *guard.slot.noted_on(page).expect("noted"));
        let places: std::collections::HashSet<_> = places.collect();
        assert_eq!(places.len(), pages);
    }
}
