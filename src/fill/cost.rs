//! What an extent costs in small pages and as one huge page: learnt by doing, because it depends on more than can be asked.
//!
//! The kernel zeroes a huge page before the bytes go in. That is the faster way where page faults are slow, and where an extent
//! fits the caches; with eight threads, which share the memory's speed and are interrupted for each other's huge pages, it
//! can take twice as long. And a virtual machine that gives free memory back to its host needs 5 ms for a huge page
//! that takes 0.1 elsewhere. So each extent is timed, and the next one gets the pages that cost less.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::sys;

/// What is known of whole extents, and of those with room left, which say little about each other.
static WHOLE: Costs = Costs::nothing();
static PARTIAL: Costs = Costs::nothing();

/// Small pages have a last cost that is not seen here: giving them back, when the file is closed, takes an eighth or
/// more of what writing them took (2.5 and 20 ms for 64 MiB, 41 and 141 µs for 1 MiB), and a huge page nearly nothing (6 µs).
const GIVING_BACK: u64 = 8;

/// The room left takes memory for nothing. So it must pay: a huge page with room left counts for half as much again.
const ROOM: u64 = 2;

/// Nor is it seen that a huge page interrupts the processors of all threads. While others fill large files, making one counts
/// so many times: with eight threads of 1 MiB each, small pages were 1.6 times as fast although they looked no cheaper, and
/// 2 to 3 times at 64 MiB.
const INTERRUPTING: u64 = 2;

/// Of the time of all extents one part in so many goes into trying the pages that cost more, to keep both figures true.
const TRYING: i64 = 128;
/// So many extents are tried in a row, unless they are [`HOPELESS`]: the first huge pages are cold, and later ones those that
/// were given back just now, which the caches still hold.
const RUN: u32 = 16;
/// Pages that cost so many times as much as the others are tried no longer.
const HOPELESS: u64 = 4;

struct Costs {
    /// Making an extent one huge page, whatever will be in it.
    collapse: Cost,
    /// Writing a MiB into a huge page.
    into_huge: Cost,
    /// Writing a MiB into small pages, which the kernel makes meanwhile.
    into_small: Cost,
    /// Nanoseconds that trying may take now; below 0, what it took too many.
    credit: AtomicI64,
    /// Extents that are still to be tried, in small pages and in huge ones.
    tries: [AtomicU32; 2],
}

impl Costs {
    const fn nothing() -> Costs {
        Costs {
            collapse: Cost::unknown(),
            into_huge: Cost::unknown(),
            into_small: Cost::unknown(),
            credit: AtomicI64::new(0),
            tries: [AtomicU32::new(0), AtomicU32::new(0)],
        }
    }

    /// Whether the next extent gets the pages that cost more, which are huge or not.
    fn is_tried(&self, is_huge: bool) -> bool {
        let [tries, others] = [is_huge, !is_huge].map(|kind| &self.tries[usize::from(kind)]);
        // Those cost less by now.
        others.store(0, Relaxed);
        if tries.load(Relaxed) == 0 && self.credit.load(Relaxed) > 0 {
            tries.store(RUN, Relaxed);
        }
        tries.fetch_update(Relaxed, Relaxed, |tries| tries.checked_sub(1)).is_ok()
    }
}

/// Nanoseconds of a thread; 0 as long as nothing is known.
struct Cost(AtomicU64);

impl Cost {
    const fn unknown() -> Cost {
        Cost(AtomicU64::new(0))
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// What is less counts for a quarter. What is more counts for a sixteenth, and for no more than four times what was known:
    /// it may be an interrupt, or an extent after others of the other kind, whose pages are cold.
    fn learn(&self, nanoseconds: u64) {
        let cost = match self.get() {
            0 => nanoseconds,
            known if nanoseconds < known => (3 * known + nanoseconds) / 4,
            known => (15 * known + nanoseconds.min(4 * known)) / 16,
        };
        self.0.store(cost.max(1), Relaxed);
    }
}

/// How many threads are filling a large file. (A child that is forked meanwhile thinks that they still do.)
static FILLING: AtomicU32 = AtomicU32::new(0);

/// That this thread is one of them.
pub(super) struct Filling(());

impl Filling {
    pub(super) fn begin() -> Filling {
        FILLING.fetch_add(1, Relaxed);
        Filling(())
    }

    /// The pages for `length` bytes, which fill an extent or not: those that cost less, or that are to be tried.
    pub(super) fn extent(&self, length: u64, is_whole: bool) -> Extent {
        let known = if is_whole { &WHOLE } else { &PARTIAL };
        let is_alone = FILLING.load(Relaxed) == 1;
        let mut extent = Extent::new(known, Prices { is_whole, is_alone }, length);
        extent.since = sys::thread_time();
        extent
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        FILLING.fetch_sub(1, Relaxed);
    }
}

/// What decides beside the clock.
struct Prices {
    is_whole: bool,
    is_alone: bool,
}

impl Prices {
    fn huge(&self, collapse: u64, write: u64) -> u64 {
        let price = collapse * if self.is_alone { 1 } else { INTERRUPTING } + write;
        if self.is_whole { price } else { price + price / ROOM }
    }

    fn small(&self, write: u64) -> u64 {
        write + write / GIVING_BACK
    }
}

/// An extent that is being filled, and the clock that runs.
pub(super) struct Extent {
    known: &'static Costs,
    prices: Prices,
    length: u64,
    is_huge: bool,
    /// If it is tried: what the others would have cost.
    instead: Option<u64>,
    since: u64,
    /// What it took to make it a huge page.
    collapse: u64,
}

impl Extent {
    fn new(known: &'static Costs, prices: Prices, length: u64) -> Extent {
        let of_length = |cost: &Cost| (cost.get() * (length >> 10)) >> 10;
        let huge = prices.huge(known.collapse.get(), of_length(&known.into_huge));
        let small = prices.small(of_length(&known.into_small));
        let (is_huge, instead) = if small == 0 {
            // The first extent of all is a huge page, and the second is not.
            (huge == 0, None)
        } else if known.is_tried(huge > small) {
            (huge > small, Some(huge.min(small)))
        } else {
            (huge <= small, None)
        };
        Extent { known, prices, length, is_huge, instead, since: 0, collapse: 0 }
    }

    pub(super) fn is_huge(&self) -> bool {
        self.is_huge
    }

    /// To be called when it is a huge page, or cannot be one.
    pub(super) fn collapsed(&mut self, is_huge: bool) {
        let lap = self.lap();
        self.learn_collapse(lap, is_huge);
    }

    /// To be called when all bytes are in.
    pub(super) fn filled(mut self) {
        let lap = self.lap();
        self.learn_write(lap);
    }

    fn learn_collapse(&mut self, lap: u64, is_huge: bool) {
        self.collapse = lap;
        self.is_huge = is_huge;
        if is_huge {
            self.known.collapse.learn(lap);
        }
    }

    fn learn_write(&self, lap: u64) {
        let (cost, price) = if self.is_huge {
            (&self.known.into_huge, self.prices.huge(self.collapse, lap))
        } else {
            (&self.known.into_small, self.prices.small(lap))
        };
        cost.learn((lap << 10) / (self.length >> 10));
        let credit = match self.instead {
            Some(instead) => {
                if price > HOPELESS * instead {
                    self.known.tries[usize::from(self.is_huge)].store(0, Relaxed);
                }
                (instead as i64 - price as i64).min(0)
            }
            None => price as i64 / TRYING,
        };
        self.known.credit.fetch_add(credit, Relaxed);
    }

    fn lap(&mut self) -> u64 {
        let now = sys::thread_time();
        now.saturating_sub(std::mem::replace(&mut self.since, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const ALONE: Prices = Prices { is_whole: true, is_alone: true };

    /// Extents on a host where everything takes a known time: what they took, and how many were huge.
    fn fill(known: &'static Costs, count: u32, collapse: u64, into_huge: u64, into_small: u64) -> (u64, u32) {
        let (mut time, mut huge) = (0, 0);
        for _ in 0..count {
            let mut extent = Extent::new(known, ALONE, 2 * MIB);
            if extent.is_huge() {
                huge += 1;
                time += collapse;
                extent.learn_collapse(collapse, true);
            }
            let lap = if extent.is_huge() { into_huge } else { into_small };
            time += lap;
            extent.learn_write(lap);
        }
        (time, huge)
    }

    fn known() -> &'static Costs {
        Box::leak(Box::new(Costs::nothing()))
    }

    #[test]
    fn extents_get_the_pages_that_cost_less_and_trying_the_others_is_no_great_part_of_the_time() {
        for (collapse, into_huge, into_small) in [
            (100_000, 160_000, 340_000),
            (300_000, 350_000, 340_000),
            (5_000_000, 200_000, 400_000),
            (20_000, 100_000, 1_200_000),
        ] {
            let (time, huge) = fill(known(), 10_000, collapse, into_huge, into_small);
            let best = 10_000 * (collapse + into_huge).min(into_small);
            assert_eq!(huge > 5_000, collapse + into_huge < into_small, "{huge} huge pages for {collapse}");
            // What the first extents cost is not known before.
            let first = 2 * (collapse + into_huge).max(into_small);
            assert!(time <= best + best / 100 + first, "{time} instead of {best}, {huge} huge pages");
        }
    }

    #[test]
    fn what_changes_is_found_out_either_way() {
        let known = known();
        assert!(fill(known, 1_000, 100_000, 160_000, 340_000).1 > 900);
        assert!(fill(known, 1_000, 400_000, 350_000, 340_000).1 < 100, "huge pages cost more now");
        fill(known, 5_000, 100_000, 160_000, 340_000);
        assert!(fill(known, 1_000, 100_000, 160_000, 340_000).1 > 900, "they cost less again");
    }

    #[test]
    fn a_huge_page_that_others_pay_for_or_that_stays_half_empty_must_be_cheaper() {
        let price = |is_whole, is_alone| Prices { is_whole, is_alone }.huge(100, 100);
        assert_eq!(
            [price(true, true), price(false, true), price(true, false), price(false, false)],
            [200, 300, 300, 450]
        );
    }
}
