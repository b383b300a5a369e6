//! Replaces lost pages with zeros.
//!
//! One mapping for each lost page would exceed vm.max_map_count. All pages past the end of the file
//! are lost, and statx(2) tells where it ends. So the first fault past the end replaces 1 page. The
//! next one replaces an aligned run of 2 pages around its own, then 4, and so on. Pages that the
//! file still has, that were replaced before or that were released are left out. A gibibyte takes
//! at most 19 faults, in any order, and about as many mappings. The price: pages that are past the
//! end at that moment become zeros, and stay so, although no thread has touched them.
//!
//! Where the storage fails, or statx(2) is refused, only the fault itself shows the loss, and the
//! page is replaced alone. The kernel merges neighbours; scattered pages take a mapping each.
//!
//! A fault that replaces one page takes about ten times as long as the first touch of a page of
//! anonymous memory. Over 64 MiB a lost page takes no longer than such a touch on average. That
//! holds for pages in order, for every second page, and at random. One page at a time took 4 to 20
//! times as long.

use std::ffi::{c_int, c_void};
use std::ops;
use std::sync::atomic::Ordering::SeqCst;

use super::slot::{DENIED, LOST, RELEASED, REPLACED, Range, Slot};

impl Slot {
    /// Replaces the page at `address` with zeros, unless another thread has done so. Returns false
    /// if that does not help, or the kernel refuses. May replace other lost pages too; see the top
    /// of this file.
    pub(super) fn replace(&self, address: usize) -> bool {
        let is_replaced = self.alone(|process| {
            // The range may have changed between the handler's look and this lock.
            let Some(range) = self.range_at(address) else { return false };
            let page = range.page(address);
            if self.noted(page) & REPLACED != 0 {
                // A second replacement would lose what was stored in between. Repeating the access
                // is enough, unless the program has mapped something else there.
                return process.is_first_fault(address >> range.shift);
            }
            let mut is_replaced = false;
            let run = self.run(&range, page);
            let mut start = run.start;
            while start < run.end {
                // Finds the pages from `start` on that have the same notes.
                let noted = self.noted(start);
                let end =
                    (start..run.end).find(|page| self.noted(*page) != noted).unwrap_or(run.end);
                if noted & (REPLACED | RELEASED) == 0 {
                    is_replaced |=
                        self.make_zeros(&range, start..end) && (start..end).contains(&page);
                }
                start = end;
            }
            // There may be memory for one page where there is none for many.
            is_replaced = is_replaced || self.make_zeros(&range, page..page + 1);
            if is_replaced {
                process.count_replacement();
            }
            is_replaced
        });
        is_replaced == Some(true)
    }

    /// Returns the pages that are replaced together with this one. All of them are lost at this
    /// moment. If only the fault shows a loss, it is this page alone.
    fn run(&self, range: &Range, page: usize) -> ops::Range<usize> {
        let rest = self.file.rest().unwrap_or(u64::MAX);
        let end_of_file = usize::try_from(rest.div_ceil(1 << range.shift)).unwrap_or(usize::MAX);
        if page < end_of_file {
            return page..page + 1;
        }
        let size = 1 << self.runs.fetch_add(1, SeqCst).min(usize::BITS / 2);
        let start = page - page % size;
        start.max(end_of_file)..(start + size).min(range.pages())
    }

    fn make_zeros(&self, range: &Range, pages: ops::Range<usize>) -> bool {
        // This must be set before any thread can see the zeros.
        self.lost.store(true, SeqCst);
        let noted = self.noted(pages.start);
        self.note(pages.clone(), 0, LOST);
        let start = (range.start + (pages.start << range.shift)) as *mut c_void;
        let length = pages.len() << range.shift;
        let protection = range.protection & !c_int::from(noted & DENIED);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the pages lie in a range whose owner asked for this, and their content is lost.
        if unsafe { libc::mmap(start, length, protection, flags, -1, 0) } == libc::MAP_FAILED {
            self.note(pages, LOST, 0);
            return false;
        }
        if self.process.load(SeqCst) != 0 {
            // SAFETY: the pages were mapped just now.
            unsafe { libc::madvise(start, length, libc::MADV_DONTFORK) };
        }
        self.note(pages, 0, REPLACED);
        true
    }

    fn noted(&self, page: usize) -> u8 {
        self.noted_on(page).map_or(RELEASED, |notes| notes.load(SeqCst))
    }
}
