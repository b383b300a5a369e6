//! Huge or small pages for the next extent: those that took less time lately.
//!
//! On one host a huge page makes an extent four times as fast, on another twice as slow, with eight threads or where free memory
//! was given back; and no question to the kernel tells. So every extent is timed:
//!
//! 1. Extents that differ in what they cost are kept apart: whole ones and those with room left, alone and beside other threads.
//! 2. An extent takes the time since it was begun, or since the one before was filled if that was later. So threads that wait
//!    for a processor or for each other are not counted twice, and what threads do to each other is counted once. Beside others
//!    the mean of [`TOGETHER`] extents in a row is one time, for which all threads take the same pages.
//! 3. The last five times in small pages and the last five in huge ones are known. An extent costs their median, so one time of
//!    a hundred times as much changes nothing.
//! 4. Each sort of pages is tried twice first. From then on the cheaper one is taken.
//! 5. The dearer one is tried again for 1/64 of the time, three times in a row, which is a majority of five: what changes is
//!    found out, and trying costs no more than that, whatever an extent takes.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::sys;

/// Times that are kept of each sort of pages.
const KEPT: usize = 5;
/// Each sort of pages is tried so many times before the times decide: a first time may be an outlier, a second one is not.
const FIRST: usize = 2;
/// A majority of [`KEPT`]. The first huge page after small ones is cold, and takes up to twice as long as the next.
const RUN: u32 = 3;
/// One part in so many of the time goes into trying.
const SHARE: u64 = 64;
/// A run is thought to cost at least one part in so many of three times: pages that cost about the same are not tried all the
/// time, because each change finds cold caches.
const CLOSE: u64 = 4;
/// What an extent in small pages takes later, when they are given back, is one part in so many of what it took to fill: 2.5 of 20
/// and 41 of 141 µs for each MiB, where giving back a huge page takes 6.
const GIVING_BACK: u64 = 8;
/// Extents of all threads that make one time beside others: two for each of eight threads.
const TOGETHER: u32 = 16;

/// What is known of one kind of extents. Where threads meet, a time may be lost, which does no harm.
struct Known {
    small: Times,
    huge: Times,
    /// What is taken now.
    is_huge: AtomicBool,
    /// When the last extent was filled.
    last: AtomicU64,
    /// Extents since the last time was noted, and what they took.
    count: AtomicU32,
    sum: AtomicU64,
    /// What trying may cost now.
    credit: AtomicI64,
    /// How often the dearer pages are still to be tried in a row.
    tries: AtomicU32,
}

/// The last times of one sort of pages, in nanoseconds for each MiB.
struct Times {
    last: [AtomicU64; KEPT],
    count: AtomicUsize,
}

impl Times {
    const fn new() -> Times {
        Times { last: [const { AtomicU64::new(0) }; KEPT], count: AtomicUsize::new(0) }
    }

    fn add(&self, time: u64) {
        self.last[self.count.load(Relaxed) % KEPT].store(time, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    /// The median; of two the smaller one.
    fn typical(&self) -> u64 {
        let mut last: [u64; KEPT] = std::array::from_fn(|index| self.last[index].load(Relaxed));
        let known = &mut last[..self.count.load(Relaxed).clamp(1, KEPT)];
        known.sort_unstable();
        known[(known.len() - 1) / 2]
    }
}

impl Known {
    const fn nothing() -> Known {
        Known {
            small: Times::new(),
            huge: Times::new(),
            is_huge: AtomicBool::new(true),
            last: AtomicU64::new(0),
            count: AtomicU32::new(0),
            sum: AtomicU64::new(0),
            credit: AtomicI64::new(0),
            tries: AtomicU32::new(0),
        }
    }

    /// Notes an extent of this length. `together` of them make a time.
    fn learn(&self, is_huge: bool, length: u64, begun: u64, filled: u64, together: u32) {
        let since = self.last.swap(filled, Relaxed).max(begun);
        if is_huge != self.is_huge.load(Relaxed) {
            // It was begun when the other pages were taken.
            return;
        }
        let time = (filled.saturating_sub(since) << 10) / (length >> 10).max(1);
        let sum = self.sum.fetch_add(time, Relaxed) + time;
        if self.count.fetch_add(1, Relaxed) + 1 == together {
            self.count.store(0, Relaxed);
            self.sum.store(0, Relaxed);
            if is_huge { &self.huge } else { &self.small }.add(sum / u64::from(together));
            self.is_huge.store(self.choose(), Relaxed);
        }
    }

    /// Whether huge pages are taken next.
    fn choose(&self) -> bool {
        let counts = [&self.huge, &self.small].map(|times| times.count.load(Relaxed));
        if counts.iter().any(|count| *count < FIRST) {
            return counts[0] <= counts[1];
        }
        let (small, huge) = (self.small.typical(), self.huge.typical());
        let small = small + small / GIVING_BACK;
        let cheaper = small.min(huge);
        let is_tried = self.tries.fetch_update(Relaxed, Relaxed, |tries| tries.checked_sub(1)).is_ok() || {
            let run = i64::from(RUN) * small.abs_diff(huge).max(cheaper / CLOSE) as i64;
            let begins = self.credit.fetch_add((cheaper / SHARE) as i64, Relaxed) >= run;
            if begins {
                self.credit.fetch_sub(run, Relaxed);
                self.tries.store(RUN - 1, Relaxed);
            }
            begins
        };
        (huge <= small) != is_tried
    }
}

/// Whole extents, and those with room left; alone, and beside other threads.
static KNOWN: [[Known; 2]; 2] = [const { [const { Known::nothing() }; 2] }; 2];

/// How many threads are filling a large file. (A child that is forked meanwhile thinks that they still do.)
static FILLING: AtomicU32 = AtomicU32::new(0);

/// That this thread is one of them.
pub(crate) struct Filling(());

impl Filling {
    pub fn begin() -> Filling {
        FILLING.fetch_add(1, Relaxed);
        Filling(())
    }

    /// The pages for an extent of `length` bytes, which fill it or not. The clock runs.
    pub fn extent(&self, length: u64, is_whole: bool) -> Extent {
        let is_alone = FILLING.load(Relaxed) == 1;
        let known = &KNOWN[usize::from(is_whole)][usize::from(is_alone)];
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
    known: &'static Known,
    together: u32,
    length: u64,
    /// Whether it is to be a huge page. If the kernel gives none, that is what trying takes.
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

    /// The clock runs on.
    pub fn resume(&mut self) {
        self.begun += sys::monotonic_time() - self.paused;
    }

    /// To be called when all bytes are in.
    pub fn filled(self) {
        self.known.learn(self.is_huge, self.length, self.begun, sys::monotonic_time(), self.together);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A host where an extent of a MiB takes a known time: in small pages, in a huge one.
    type Host = fn(u64) -> [u64; 2];

    /// Fills extents one after the other. Returns how many were huge, and what all took with what comes later.
    fn fill(known: &Known, count: u64, host: Host) -> (u64, u64) {
        let (mut huge, mut time) = (0, 0);
        let mut clock = known.last.load(Relaxed);
        for extent in 0..count {
            let is_huge = known.is_huge.load(Relaxed);
            let took = host(extent)[usize::from(is_huge)];
            clock += 50_000;
            known.learn(is_huge, MIB, clock, clock + took, 1);
            clock += took;
            huge += u64::from(is_huge);
            time += took + if is_huge { 0 } else { took / GIVING_BACK };
        }
        (huge, time)
    }

    /// What all would take in small pages, and in huge ones.
    fn extremes(count: u64, host: Host) -> [u64; 2] {
        let sum = |sort: usize| (0..count).map(|extent| host(extent)[sort]).sum::<u64>();
        [sum(0) + sum(0) / GIVING_BACK, sum(1)]
    }

    #[test]
    fn the_faster_pages_are_taken_from_the_fifth_extent_on() {
        let hosts: [Host; 5] = [
            |_| [340_000, 110_000],
            |_| [170_000, 260_000],
            |_| [200_000, 5_000_000],
            |_| [1_200_000, 100_000],
            |_| [300_000, 310_000],
        ];
        for host in hosts {
            let known = Known::nothing();
            let (_, first) = fill(&known, 4, host);
            let (huge, time) = fill(&known, 10_000, host);
            let [small_only, huge_only] = extremes(10_000, host);
            let best = small_only.min(huge_only);
            assert!(time <= best + best / 50, "{time} instead of {best}, {huge} huge pages");
            let [small, large] = host(0);
            assert!(first <= 3 * (small + large), "{first}");
        }
    }

    #[test]
    fn one_time_of_a_hundred_times_as_much_changes_nothing() {
        // Wherever it comes, also as the first time of all, or the first of either sort.
        for outlier in 0..40 {
            let known = Known::nothing();
            let mut wrong = 0;
            for extent in 0..100 {
                let is_huge = known.is_huge.load(Relaxed);
                let took = if is_huge { 100_000 } else { 300_000 } * if extent == outlier { 100 } else { 1 };
                known.learn(is_huge, MIB, extent << 32, (extent << 32) + took, 1);
                wrong += u64::from(!is_huge);
            }
            assert!(wrong <= 2 + u64::from(RUN), "{wrong} in small pages after the outlier {outlier}");
        }
    }

    #[test]
    fn what_changes_is_found_out_either_way() {
        let (faster, slower): (Host, Host) = (|_| [340_000, 110_000], |_| [340_000, 700_000]);
        let known = Known::nothing();
        assert!(fill(&known, 1_000, slower).0 < 60, "they are slower at first");
        fill(&known, 1_000, faster);
        assert!(fill(&known, 1_000, faster).0 > 940, "then faster");
        assert!(fill(&known, 1_000, slower).0 < 60, "then slower again, which shows at once");
        // Memory that was given back takes a hundred times as long until it is there.
        let known = Known::nothing();
        fill(&known, 20, |_| [340_000, 11_000_000]);
        fill(&known, 10_000, faster);
        assert!(fill(&known, 1_000, faster).0 > 940);
    }

    #[test]
    fn threads_and_sizes_that_take_turns_do_not_mix() {
        let kinds: [(Known, Host); 4] = [
            (Known::nothing(), |_| [340_000, 110_000]),
            (Known::nothing(), |_| [340_000, 900_000]),
            (Known::nothing(), |_| [100_000, 5_000_000]),
            (Known::nothing(), |_| [2_000_000, 100_000]),
        ];
        for _ in 0..1_000 {
            for (known, host) in &kinds {
                fill(known, 1, *host);
            }
        }
        for (known, host) in &kinds {
            let [small, huge] = extremes(1_000, *host);
            let (count, _) = fill(known, 1_000, *host);
            assert_eq!(count > 500, huge < small, "{count} huge pages");
            assert!(count.min(1_000 - count) <= 60, "{count} huge pages");
        }
    }

    /// Eight threads at once. On one processor, so that seven wait: each extent seems to take eight times as long. `huge`
    /// pages also interrupt the seven others, for which nobody but the clock of all speaks.
    fn beside_others(small: u64, huge: u64, interrupting: u64) -> u64 {
        let known = Known::nothing();
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
        assert!(beside_others(300_000, 100_000, 400_000) < 1_000, "each looks faster, and all are slower");
        assert!(beside_others(100_000, 5_000_000, 0) < 1_000);
    }

    #[test]
    fn what_others_do_between_is_not_counted() {
        let known = Known::nothing();
        let times = [(100, 300), (1_000_000, 1_000_200), (1_000_100, 1_000_350)];
        for (begun, filled) in times {
            known.learn(true, MIB, begun, filled, 3);
        }
        assert_eq!(known.huge.typical(), (200 + 200 + 150) / 3);
    }
}
