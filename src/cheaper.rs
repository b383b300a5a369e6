//! Learns which of two ways takes less time, from the times that both have taken. The answer
//! depends on the host, the size and the moment, and the kernel cannot be asked for it.
//!
//! 1. The last five times of each way are kept. The cost of a way is the median of its times. So a
//!    single time that is a hundred times as long changes nothing.
//! 2. At first each way is taken twice. From then on the cheaper way is taken.
//! 3. To notice changes, the dearer way is tried again, three times in a row. Three times are a
//!    majority of five. After each row that changes nothing the next row comes later, until the
//!    rows take 1/64 of the time.
//! 4. When the choice changes, the way that was cheaper before is tried again soon, because a
//!    disturbance may have caused the change.

use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};

/// Number of times that are kept of each way.
const KEPT: usize = 5;
/// How often each way is taken before the times decide. The first time may be an outlier, so one
/// time is not enough.
const FIRST: usize = 2;
/// Number of tries in a row, a majority of [`KEPT`]. The first one may find cold memory, which it
/// leaves warm for the next one.
const RUN: u32 = 3;
/// Tries take one part in `SHARE` of the time at first. `HALVED` is how often that share is halved.
const SHARE: u64 = 16;
const HALVED: u32 = 2;
/// Number of choices after a change of the choice until the former way is tried again.
const SOON: u32 = 8;

/// Two ways, `one` and `other`, and their times. If two threads note a time at once, one of the
/// times may be lost, which does no harm.
#[derive(Debug)]
pub(crate) struct TwoWays {
    one: Times,
    other: Times,
    is_one_cheaper: AtomicBool,
    /// The time that may be spent on tries now.
    credit: AtomicI64,
    /// How many tries of the dearer way are left in this row.
    tries: AtomicU32,
    /// How many rows of tries have changed nothing.
    runs: AtomicU32,
    /// Number of choices until the former way is tried again; 0 if the choice has not changed
    /// recently.
    soon: AtomicU32,
}

/// The last times of one way.
#[derive(Debug)]
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

    fn are_few(&self) -> bool {
        self.count.load(Relaxed) < FIRST
    }

    /// Returns the median. Of an even number of times it returns the lower of the two in the
    /// middle, because a disturbance only makes times longer.
    fn typical(&self) -> u64 {
        let mut last: [u64; KEPT] = std::array::from_fn(|index| self.last[index].load(Relaxed));
        let known = &mut last[..self.count.load(Relaxed).clamp(1, KEPT)];
        known.sort_unstable();
        known[(known.len() - 1) / 2]
    }
}

/// A way, and whether it is a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub is_one: bool,
    /// Whether a time of this way is needed.
    pub is_tried: bool,
}

impl TwoWays {
    pub const fn new() -> TwoWays {
        TwoWays {
            one: Times::new(),
            other: Times::new(),
            is_one_cheaper: AtomicBool::new(true),
            credit: AtomicI64::new(0),
            tries: AtomicU32::new(0),
            runs: AtomicU32::new(0),
            soon: AtomicU32::new(0),
        }
    }

    /// Returns whether both ways were taken often enough.
    pub fn are_known(&self) -> bool {
        !self.one.are_few() && !self.other.are_few()
    }

    /// Returns whether the other way was ever taken.
    pub fn is_other_known(&self) -> bool {
        self.other.count.load(Relaxed) > 0
    }

    /// Returns whether the one way is the cheaper one, which is assumed at first.
    pub fn is_one_cheaper(&self) -> bool {
        self.is_one_cheaper.load(Relaxed)
    }

    /// Returns the way to take next.
    pub fn choose(&self) -> Choice {
        if !self.are_known() {
            let is_one = self.one.count.load(Relaxed) <= self.other.count.load(Relaxed);
            return Choice { is_one, is_tried: true };
        }
        let one_less = |count: u32| count.checked_sub(1);
        let is_soon = self.soon.fetch_update(Relaxed, Relaxed, one_less);
        if is_soon == Ok(1) {
            self.tries.store(RUN, Relaxed);
        }
        let is_tried =
            self.tries.fetch_update(Relaxed, Relaxed, one_less).is_ok() || self.can_afford_a_run();
        Choice { is_one: self.is_one_cheaper() != is_tried, is_tried: is_tried || is_soon.is_ok() }
    }

    /// Saves time for tries. Returns whether a row of tries begins now.
    fn can_afford_a_run(&self) -> bool {
        let (one, other) = (self.one.typical(), self.other.typical());
        let cheaper = one.min(other);
        let runs = self.runs.load(Relaxed);
        // If both ways cost about the same, tries stay rare, because each change of the way finds
        // cold caches.
        let cost = i64::from(RUN) * one.abs_diff(other).max(cheaper) as i64;
        let begins =
            self.credit.fetch_add((cheaper / (SHARE << runs.min(HALVED))) as i64, Relaxed) >= cost;
        if begins {
            self.credit.fetch_sub(cost, Relaxed);
            self.tries.store(RUN - 1, Relaxed);
            self.runs.store(runs + 1, Relaxed);
        }
        begins
    }

    /// Notes the time that a way took.
    pub fn note(&self, is_one: bool, time: u64) {
        if is_one { &self.one } else { &self.other }.add(time);
        if !self.are_known() {
            return;
        }
        let is_one_cheaper = self.one.typical() <= self.other.typical();
        if self.is_one_cheaper.swap(is_one_cheaper, Relaxed) != is_one_cheaper {
            self.tries.store(0, Relaxed);
            self.runs.store(0, Relaxed);
            self.soon.store(SOON, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host where the time of each way is given.
    type Host = fn(u64) -> [u64; 2];

    /// Takes ways by the rules. Returns how often the one way was taken, and the sum of all times.
    fn go(ways: &TwoWays, count: u64, host: Host) -> (u64, u64) {
        let (mut ones, mut time) = (0, 0);
        for round in 0..count {
            let is_one = ways.choose().is_one;
            let took = host(round)[usize::from(!is_one)];
            ways.note(is_one, took);
            ones += u64::from(is_one);
            time += took;
        }
        (ones, time)
    }

    #[test]
    fn the_cheaper_way_is_taken_from_the_fifth_time_on() {
        let hosts: [Host; 6] = [
            |_| [110_000, 340_000],
            |_| [260_000, 170_000],
            |_| [5_000_000, 200_000],
            |_| [100_000, 1_200_000],
            |_| [310_000, 300_000],
            |_| [44, 40],
        ];
        for host in hosts {
            let ways = TwoWays::new();
            let (_, first) = go(&ways, 4, host);
            let [one, other] = host(0);
            assert!(first == 2 * (one + other), "{first}");
            let (ones, time) = go(&ways, 10_000, host);
            let best = 10_000 * one.min(other);
            assert!(time <= best + best / 25, "{time} instead of {best}, {ones} times the one way");
            let dearer = if one < other { 10_000 - ones } else { ones };
            assert!((u64::from(RUN)..300).contains(&dearer), "the dearer one {dearer} times");
        }
    }

    #[test]
    fn one_time_of_a_hundred_times_as_much_changes_nothing() {
        // The outlier may be anywhere, also the first time of all, or the first of either way.
        for outlier in 0..40 {
            let ways = TwoWays::new();
            let mut wrong = 0;
            for round in 0..100 {
                let is_one = ways.choose().is_one;
                let took = if is_one { 100 } else { 300 } * if round == outlier { 100 } else { 1 };
                ways.note(is_one, took);
                wrong += u32::from(!is_one);
            }
            assert!(wrong <= 2 + RUN, "{wrong} times the dearer way after the outlier {outlier}");
        }
    }

    #[test]
    fn what_changes_is_found_out_either_way() {
        let (faster, slower): (Host, Host) = (|_| [110, 340], |_| [700, 340]);
        let ways = TwoWays::new();
        assert!(go(&ways, 1_000, slower).0 < 60, "slower at first");
        go(&ways, 1_000, faster);
        assert!(go(&ways, 1_000, faster).0 > 940, "then faster");
        assert!(go(&ways, 1_000, slower).0 < 60, "then slower again, which shows at once");
        // The one way is a hundred times as slow at first.
        let ways = TwoWays::new();
        go(&ways, 20, |_| [11_000, 340]);
        go(&ways, 2_000, faster);
        assert!(go(&ways, 1_000, faster).0 > 940);
    }

    #[test]
    fn what_disturbs_a_settled_choice_is_forgotten_soon() {
        for disturbed in 3..40 {
            let ways = TwoWays::new();
            let settled: Host = |_| [10, 36];
            go(&ways, 5_000, settled);
            go(&ways, disturbed, |_| [5_000, 5_000]);
            let ones = go(&ways, 300, settled).0;
            assert!(ones > 200, "{ones} of 300 after {disturbed}");
        }
    }

    #[test]
    fn a_way_that_is_dearer_the_first_time_only_is_taken() {
        for is_cold_one in [true, false] {
            let ways = TwoWays::new();
            let mut last = None;
            for _ in 0..1_000 {
                let is_one = ways.choose().is_one;
                let is_cold = last.replace(is_one) != Some(is_one);
                ways.note(
                    is_one,
                    if is_one != is_cold_one {
                        200
                    } else if is_cold {
                        400
                    } else {
                        100
                    },
                );
            }
            assert_eq!(ways.is_one_cheaper(), is_cold_one);
        }
    }
}
