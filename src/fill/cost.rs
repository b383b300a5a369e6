//! What an extent costs in small pages and as one huge page: learnt by doing, because it depends on more than can be asked.
//!
//! The kernel zeroes a huge page before the bytes go in. That is the faster way where page faults are slow, and where an extent
//! fits the caches; with eight threads, which share the memory's speed and are interrupted for each other's huge pages, it
//! can take half as long again. And a virtual machine that gives free memory back to its host needs 5 ms for a huge page
//! that takes 0.1 elsewhere. So each extent is timed, and the next one gets the pages that cost less.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::sys;

/// Making an extent one huge page, whatever will be in it.
static COLLAPSE: Cost = Cost::new();
/// Writing a MiB into a huge page.
static INTO_HUGE: Cost = Cost::new();
/// Writing a MiB into small pages, which the kernel makes meanwhile.
static INTO_SMALL: Cost = Cost::new();

/// Small pages have a last cost that is not seen here: giving them back, when the file is closed, takes an eighth or
/// more of what writing them took (2.5 and 20 ms for 64 MiB, 41 and 141 µs for 1 MiB), and a huge page nearly nothing (6 µs).
const GIVING_BACK: u64 = 8;

/// Of so many extents [`RUN`] get the pages that cost more, to keep both figures true. Four huge pages in 512 MiB are little
/// even where each takes 5 ms.
const TURN: u32 = 256;
/// In a row: the first huge pages are cold, and later ones those that were given back just now, which the caches still hold.
const RUN: u32 = 4;
/// Extents so far: with room left, and whole.
static TURNS: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

/// As long as nothing is known about small pages, a huge page that takes this many times as long as the writing is no good.
const SLOW: u64 = 8;

/// Nanoseconds of this thread; 0 as long as nothing is known.
struct Cost(AtomicU64);

impl Cost {
    const fn new() -> Cost {
        Cost(AtomicU64::new(0))
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// The latest figure counts, but doubles nothing in one step: that may be an interrupt.
    fn learn(&self, nanoseconds: u64) {
        let bound = match self.get() {
            0 => u64::MAX,
            known => 2 * known,
        };
        self.0.store(nanoseconds.clamp(1, bound), Relaxed);
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

    /// The pages that cost less for `length` bytes; huge ones as long as that is not known. `is_whole`: they fill an extent.
    pub(super) fn extent(&self, length: u64, is_whole: bool) -> Extent {
        let of_length = |cost: u64| (cost * (length >> 10)) >> 10;
        let huge = COLLAPSE.get() + of_length(INTO_HUGE.get());
        let small = of_length(INTO_SMALL.get());
        // Nor is it seen that a huge page interrupts other threads. Where there are any, one makes up for the other.
        let is_alone = FILLING.load(Relaxed) == 1;
        let is_cheaper = match small {
            0 => COLLAPSE.get() <= SLOW * of_length(INTO_HUGE.get()),
            small => huge <= small + if is_alone { small / GIVING_BACK } else { 0 },
        };
        // Extents with room left, for which the two are close, are the first to find out what small pages cost.
        let first = if is_whole { TURN - RUN } else { RUN };
        let is_turn = (first..first + RUN).contains(&(TURNS[usize::from(is_whole)].fetch_add(1, Relaxed) % TURN));
        Extent { length, is_huge: is_cheaper != is_turn, since: sys::thread_time() }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        FILLING.fetch_sub(1, Relaxed);
    }
}

/// An extent that is being filled, and the clock that runs.
pub(super) struct Extent {
    length: u64,
    is_huge: bool,
    since: u64,
}

impl Extent {
    pub(super) fn is_huge(&self) -> bool {
        self.is_huge
    }

    /// To be called when it is a huge page, or cannot be one.
    pub(super) fn collapsed(&mut self, is_huge: bool) {
        let lap = self.lap();
        if is_huge {
            COLLAPSE.learn(lap);
        }
        self.is_huge = is_huge;
    }

    /// To be called when all bytes are in.
    pub(super) fn filled(mut self) {
        let cost = if self.is_huge { &INTO_HUGE } else { &INTO_SMALL };
        cost.learn((self.lap() << 10) / (self.length >> 10));
    }

    fn lap(&mut self) -> u64 {
        let now = sys::thread_time();
        now.saturating_sub(std::mem::replace(&mut self.since, now))
    }
}
