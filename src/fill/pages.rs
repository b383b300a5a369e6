//! Chooses huge or small pages for the next extent, by the times that both took lately.
//!
//! On one host a huge page makes an extent four times as fast. On another one the extent is twice
//! as slow, with eight threads or where free memory was given back. So every extent is timed, and
//! [`TwoWays`] decides:
//!
//! - Extents with different costs have measurements of their own. The kinds are: filled to less
//!   than a half, filled to a half or more, whole, and of a stream. Each kind is measured alone and
//!   beside other threads.
//! - The time of an extent starts when the extent is begun, or when the one before was filled if
//!   that was later. So threads that wait for a processor or for each other are not counted twice.
//!   The delay that threads cause each other is counted once.
//! - Beside other threads, the mean of [`TOGETHER`] extents in a row counts as one time. During
//!   these extents all threads take the same pages.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::cheaper::TwoWays;
use crate::sys;

/// Freeing the small pages of an extent later is counted as one part in this many of the time of
/// filling it. Measured for each MiB: 2.5 of 20 µs, and 41 of 141 µs. Freeing a huge page takes 6
/// µs.
const GIVING_BACK: u64 = 8;
/// Number of extents in a row, of all threads, whose mean counts as one time: two for each of eight
/// threads.
const TOGETHER: u32 = 16;

/// The measurements of one kind of extents. A time may be lost when two threads note one at once,
/// which does no harm.
struct Measurements {
    /// The two ways; huge pages are the one way.
    ways: TwoWays,
    /// Whether the next extent gets huge pages.
    is_huge: AtomicBool,
    /// When the last extent was filled.
    last: AtomicU64,
    /// Number of extents since the last time was noted, and their sum in nanoseconds for each MiB.
    count: AtomicU32,
    sum: AtomicU64,
}

impl Measurements {
    const fn nothing() -> Measurements {
        Measurements {
            ways: TwoWays::new(),
            is_huge: AtomicBool::new(true),
            last: AtomicU64::new(0),
            count: AtomicU32::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Notes an extent of this length. The mean of `together` of them is one time.
    fn learn(&self, is_huge: bool, length: u64, begun: u64, filled: u64, together: u32) {
        let since = self.last.swap(filled, Relaxed).max(begun);
        if is_huge != self.is_huge.load(Relaxed) {
            // The extent was begun before the choice turned.
            return;
        }
        let time = (filled.saturating_sub(since) << 10) / (length >> 10).max(1);
        let sum = self.sum.fetch_add(time, Relaxed) + time;
        if self.count.fetch_add(1, Relaxed) + 1 == together {
            self.count.store(0, Relaxed);
            self.sum.store(0, Relaxed);
            let time = sum / u64::from(together);
            self.ways.note(is_huge, if is_huge { time } else { time + time / GIVING_BACK });
            self.is_huge.store(self.ways.choose().is_one, Relaxed);
        }
    }
}

/// The measurements of each kind of extents: filled to less than a half, to a half or more, whole,
/// and of a stream. Index 0 is for those beside other threads, index 1 for those of a thread alone.
static MEASUREMENTS: [[Measurements; 2]; STREAMED + 1] =
    [const { [const { Measurements::nothing() }; 2] }; STREAMED + 1];
/// Index of the extents of streams, after those that differ in how full they are.
const STREAMED: usize = 3;

/// Number of threads that are filling a large file. (A child that is forked meanwhile keeps
/// counting threads that it does not have.)
static FILLING: AtomicU32 = AtomicU32::new(0);

/// One count in [`FILLING`], for this thread.
pub(crate) struct Filling(());

impl Filling {
    pub fn begin() -> Filling {
        FILLING.fetch_add(1, Relaxed);
        Filling(())
    }

    /// Chooses the pages for `length` bytes of an extent of `size`, and starts the clock.
    pub fn extent(&self, length: u64, size: u64) -> Extent {
        self.begin_extent(usize::from(length >= size / 2) + usize::from(length == size), length)
    }

    /// Chooses the pages for an extent of a stream, like [`Filling::extent`]. The stream may be
    /// read into a huge page while the clock is stopped.
    pub fn streamed_extent(&self, length: u64) -> Extent {
        self.begin_extent(STREAMED, length)
    }

    fn begin_extent(&self, kind: usize, length: u64) -> Extent {
        let is_alone = FILLING.load(Relaxed) == 1;
        let known = &MEASUREMENTS[kind][usize::from(is_alone)];
        let together = if is_alone { 1 } else { TOGETHER };
        let is_huge = known.is_huge.load(Relaxed);
        Extent { known, together, length, is_huge, begun: sys::monotonic_time(), paused: 0 }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        FILLING.fetch_sub(1, Relaxed);
    }
}

/// An extent that is being filled.
pub(crate) struct Extent {
    known: &'static Measurements,
    together: u32,
    length: u64,
    /// Whether it is to be a huge page. If the kernel gives none, the time includes the attempt.
    pub is_huge: bool,
    begun: u64,
    /// When the clock was stopped.
    paused: u64,
}

impl Extent {
    /// Stops the clock.
    pub fn pause(&mut self) {
        self.paused = sys::monotonic_time();
    }

    /// Starts the clock again.
    pub fn resume(&mut self) {
        self.begun += sys::monotonic_time() - self.paused;
    }

    /// Notes the time. Called when all bytes are in the extent.
    pub fn filled(self) {
        self.known.learn(
            self.is_huge,
            self.length,
            self.begun,
            sys::monotonic_time(),
            self.together,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// The time for a MiB, in huge pages and in small ones.
    type Host = [u64; 2];

    /// Fills extents one after the other. Returns the number of huge ones.
    fn fill(known: &Measurements, count: u64, length: u64, [huge, small]: Host) -> u64 {
        let mut clock = known.last.load(Relaxed);
        let mut extent = || {
            let is_huge = known.is_huge.load(Relaxed);
            let took = if is_huge { huge } else { small } * length / MIB;
            known.learn(is_huge, length, clock + 50_000, clock + 50_000 + took, 1);
            clock += 50_000 + took;
            is_huge
        };
        (0..count).filter(|_| extent()).count() as u64
    }

    #[test]
    fn threads_and_sizes_that_take_turns_do_not_mix() {
        let kinds: [(Measurements, u64, Host); 4] = [
            (Measurements::nothing(), 2 * MIB, [110_000, 340_000]),
            (Measurements::nothing(), MIB + 4096, [900_000, 340_000]),
            (Measurements::nothing(), 2 * MIB, [5_000_000, 100_000]),
            (Measurements::nothing(), 3 * MIB / 2, [100_000, 2_000_000]),
        ];
        for _ in 0..1_000 {
            for (known, length, host) in &kinds {
                fill(known, 1, *length, *host);
            }
        }
        for (known, length, host) in &kinds {
            let count = fill(known, 1_000, *length, *host);
            assert_eq!(count > 500, host[0] < host[1], "{count} huge pages");
            assert!(count.min(1_000 - count) <= 60, "{count} huge pages");
        }
    }

    #[test]
    fn what_small_pages_take_later_counts() {
        let known = Measurements::nothing();
        assert!(fill(&known, 1_000, MIB, [105_000, 100_000]) > 900);
        let known = Measurements::nothing();
        assert!(fill(&known, 1_000, MIB, [120_000, 100_000]) < 100);
    }

    /// Simulates eight threads on one processor. Seven of them wait, so each extent seems to take
    /// eight times as long. Huge pages also interrupt the seven others, which only the common clock
    /// shows. Returns the number of huge pages.
    fn beside_others(small: u64, huge: u64, interrupting: u64) -> u64 {
        let known = Measurements::nothing();
        let (mut clock, mut count) = (0, 0);
        let mut begun = [(0, true); 8];
        for extent in 0..10_000 {
            let (since, is_huge) = begun[extent % 8];
            clock += if is_huge { huge + interrupting } else { small };
            known.learn(is_huge, MIB, since, clock, TOGETHER);
            count += u64::from(is_huge);
            begun[extent % 8] = (clock, known.is_huge.load(Relaxed));
        }
        count
    }

    #[test]
    fn beside_others_what_all_of_them_take_decides() {
        assert!(beside_others(300_000, 100_000, 20_000) > 9_000);
        assert!(
            beside_others(300_000, 100_000, 400_000) < 1_000,
            "each looks faster, and all are slower"
        );
        assert!(beside_others(100_000, 5_000_000, 0) < 1_000);
    }

    #[test]
    fn what_others_do_between_is_not_counted() {
        let known = Measurements::nothing();
        // The last extent was begun before the one before it was filled.
        for (begun, filled) in [(100, 300), (1_000_000, 1_000_200), (1_000_100, 1_000_350)] {
            known.learn(true, MIB, begun, filled, 4);
        }
        assert_eq!(known.sum.load(Relaxed), 200 + 200 + 150);
    }
}
