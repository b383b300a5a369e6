//! Which of two ways to a file costs less, learnt from what both took, for each power of two of sizes.
//!
//! Whether a new file costs less than a cached one, or than a memfd, depends on the size, the processor, the kernel and what
//! the callbacks keep; no question to the kernel tells. So both are tried, the dearer one ever more rarely.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How a scan gets its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A new one on the pool's own file system.
    NewFile,
    /// A cached one, or a memfd.
    Other,
}

/// Sizes below are not measured: for them the other way is always cheaper.
const SMALLEST: u32 = 12;
/// This and all larger ones are one class.
const LARGEST: u32 = 32;
const CLASSES: usize = (LARGEST - SMALLEST + 1) as usize;

#[derive(Debug)]
pub(super) struct Cheaper {
    /// Sizes below always go the other way.
    smallest: u64,
    /// New files are not tried before scans took so long: it takes time to make a file system. In nanoseconds.
    patience: u64,
    /// What scans took so far, while that matters.
    spent: AtomicU64,
    classes: [Class; CLASSES],
}

/// Sizes from a power of two to the next.
#[derive(Debug)]
struct Class {
    new: Costs,
    other: Costs,
    is_new_cheaper: AtomicBool,
    /// After so many scans the dearer way is due, [`BURST`] times. 0 until both have been tried.
    due: AtomicU32,
    /// Scans since it was.
    since: AtomicU32,
    /// How often it was, since it is the dearer one.
    tries: AtomicU32,
}

/// What a way took the last times, in nanoseconds, and how often it was gone.
#[derive(Debug)]
struct Costs {
    last: [AtomicU32; 5],
    count: AtomicU32,
}

/// In the end the dearer way takes this part of all time, if it is at most [`MAX_RATIO`] times as dear.
const SHARE_LOG2: u32 = 6;
/// So often in a row, because the first time memory is cold that a way leaves warm for the next time.
const BURST: u32 = 3;
/// So that one disturbed measurement does not keep a way from being tried.
const MAX_RATIO: u32 = 16;
/// Of the scans that go the cheaper way one in so many is measured, once this is settled.
const MEASURED: u32 = 8;

impl Cheaper {
    pub const fn new(smallest: u64, patience: Duration) -> Cheaper {
        Cheaper {
            smallest,
            patience: patience.as_nanos() as u64,
            spent: AtomicU64::new(0),
            classes: [const { Class::new() }; CLASSES],
        }
    }

    fn class(&self, size: u64) -> Option<&Class> {
        if size < self.smallest.max(1 << SMALLEST) {
            return None;
        }
        Some(&self.classes[(size.ilog2().min(LARGEST) - SMALLEST) as usize])
    }

    /// How a scan of this size gets its file, and whether it is going to be measured.
    pub fn choose(&self, size: u64) -> (Way, bool) {
        let Some(class) = self.class(size) else { return (Way::Other, false) };
        let due = class.due.load(Relaxed);
        if due == 0 {
            let is_known = class.other.count.load(Relaxed) > 0 && self.spent.load(Relaxed) >= self.patience;
            return (if is_known { Way::NewFile } else { Way::Other }, true);
        }
        let cheaper = class.cheaper();
        let since = class.since.fetch_add(1, Relaxed);
        if since < due {
            return (cheaper, due < BURST << SHARE_LOG2 || since % MEASURED == 0);
        }
        if since >= due + BURST - 1 {
            class.since.store(0, Relaxed);
            class.tries.fetch_add(1, Relaxed);
        }
        (cheaper.opposite(), true)
    }

    /// The cheaper way, for a scan that cannot be measured. `None` if that is not known.
    pub fn cheaper(&self, size: u64) -> Option<Way> {
        let Some(class) = self.class(size) else { return Some(Way::Other) };
        (class.due.load(Relaxed) > 0).then(|| class.cheaper())
    }

    /// Notes what a scan took.
    pub fn note(&self, size: u64, way: Way, took: Duration) {
        let Some(class) = self.class(size) else { return };
        let nanoseconds = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
        match way {
            Way::NewFile => class.new.add(nanoseconds),
            Way::Other => class.other.add(nanoseconds),
        }
        class.decide();
        if self.spent.load(Relaxed) < self.patience {
            self.spent.fetch_add(nanoseconds.into(), Relaxed);
        }
    }
}

impl Class {
    const fn new() -> Class {
        Class {
            new: Costs::new(),
            other: Costs::new(),
            is_new_cheaper: AtomicBool::new(false),
            due: AtomicU32::new(0),
            since: AtomicU32::new(0),
            tries: AtomicU32::new(0),
        }
    }

    fn cheaper(&self) -> Way {
        if self.is_new_cheaper.load(Relaxed) { Way::NewFile } else { Way::Other }
    }

    fn decide(&self) {
        let (Some(new), Some(other)) = (self.new.median(), self.other.median()) else { return };
        let is_new_cheaper = new < other;
        let ratio = if is_new_cheaper { other / new.max(1) } else { new / other.max(1) };
        if self.is_new_cheaper.swap(is_new_cheaper, Relaxed) != is_new_cheaper {
            // What has been cheaper so far may be so again soon: a disturbance takes no longer than it lasts.
            self.tries.store(0, Relaxed);
            self.since.store(0, Relaxed);
        }
        let tries = self.tries.load(Relaxed).min(SHARE_LOG2);
        self.due.store((ratio.clamp(1, MAX_RATIO) * BURST) << tries, Relaxed);
    }
}

impl Way {
    fn opposite(self) -> Way {
        match self {
            Way::NewFile => Way::Other,
            Way::Other => Way::NewFile,
        }
    }
}

impl Costs {
    const fn new() -> Costs {
        Costs { last: [const { AtomicU32::new(0) }; 5], count: AtomicU32::new(0) }
    }

    fn add(&self, nanoseconds: u32) {
        let count = self.count.fetch_add(1, Relaxed) as usize;
        self.last[count % self.last.len()].store(nanoseconds, Relaxed);
    }

    /// The median, of an even number the lower one: what disturbs only makes a way dearer.
    fn median(&self) -> Option<u32> {
        let count = (self.count.load(Relaxed) as usize).min(self.last.len());
        let mut last = [0; 5];
        last[..count].iter_mut().zip(&self.last).for_each(|(to, from)| *to = from.load(Relaxed));
        last[..count].sort_unstable();
        (count > 0).then(|| last[(count - 1) / 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;
    const AT_ONCE: Duration = Duration::ZERO;

    fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    /// Scans by a clock that is made up: how many of them got a new file.
    fn scans(cheaper: &Cheaper, size: u64, count: usize, took: impl Fn(Way, usize) -> Duration) -> usize {
        let scan = |round: &usize| {
            let (way, is_measured) = cheaper.choose(size);
            if is_measured {
                cheaper.note(size, way, took(way, *round));
            }
            way == Way::NewFile
        };
        (0..count).filter(scan).count()
    }

    #[test]
    fn the_cheaper_way_is_taken_and_the_other_one_tried_ever_more_rarely() {
        for (new, other, expected) in [(44, 40, 0), (40, 44, 1), (141, 1756, 1), (5000, 100, 0)] {
            let cheaper = Cheaper::new(0, AT_ONCE);
            let took = |way, _| micros(if way == Way::NewFile { new } else { other });
            let begun = scans(&cheaper, SIZE, 200, took);
            let right = |new_files: usize, all: usize| if expected == 1 { new_files } else { all - new_files };
            assert!(right(begun, 200) > 170, "{new} {other}: {begun}");
            let later = scans(&cheaper, SIZE, 6400, took);
            assert!((6200..6400).contains(&right(later, 6400)), "{new} {other}: {later}");
            assert_eq!(cheaper.cheaper(SIZE) == Some(Way::NewFile), expected == 1);
        }
    }

    #[test]
    fn one_disturbed_measurement_is_forgotten_soon() {
        for disturbed in [Way::NewFile, Way::Other] {
            let cheaper = Cheaper::new(0, AT_ONCE);
            let took = |way, round| {
                micros(if round < 2 && way == disturbed { 90_000 } else { 40 + 100 * (way == Way::Other) as u64 })
            };
            scans(&cheaper, SIZE, 100, took);
            assert_eq!(cheaper.cheaper(SIZE), Some(Way::NewFile), "{disturbed:?}");
        }
    }

    #[test]
    fn a_disturbance_of_a_settled_choice_is_forgotten_soon() {
        let cheaper = Cheaper::new(0, AT_ONCE);
        let took = |way, _| micros(if way == Way::NewFile { 10 } else { 36 });
        scans(&cheaper, SIZE, 5000, took);
        scans(&cheaper, SIZE, 40, |_, _| micros(5000));
        assert!(scans(&cheaper, SIZE, 500, took) > 250);
    }

    #[test]
    fn a_way_that_is_dearer_the_first_time_only_is_taken() {
        for way_with_cold_start in [Way::NewFile, Way::Other] {
            let cheaper = Cheaper::new(0, AT_ONCE);
            let last = std::cell::Cell::new(None);
            let took = |way, _| {
                let is_cold = way == way_with_cold_start && last.replace(Some(way)) != Some(way);
                micros(if way == way_with_cold_start { if is_cold { 400 } else { 100 } } else { 200 })
            };
            scans(&cheaper, SIZE, 200, took);
            assert_eq!(cheaper.cheaper(SIZE), Some(way_with_cold_start));
        }
    }

    #[test]
    fn a_host_that_changes_is_followed() {
        let cheaper = Cheaper::new(0, AT_ONCE);
        let (fast, slow) = (micros(40), micros(200));
        scans(&cheaper, SIZE, 1000, |way, _| if way == Way::NewFile { fast } else { slow });
        assert_eq!(cheaper.cheaper(SIZE), Some(Way::NewFile));
        // New files become dearer than the other way was, which is seen soon.
        scans(&cheaper, SIZE, 40, |_, _| slow * 2);
        assert_eq!(cheaper.cheaper(SIZE), Some(Way::Other));
        scans(&cheaper, SIZE, 1000, |way, _| if way == Way::NewFile { fast } else { slow });
        assert_eq!(cheaper.cheaper(SIZE), Some(Way::NewFile));
        // The other way becomes cheaper, which is seen when it is tried.
        scans(&cheaper, SIZE, 3000, |way, _| if way == Way::NewFile { slow } else { fast });
        assert_eq!(cheaper.cheaper(SIZE), Some(Way::Other));
    }

    #[test]
    fn each_power_of_two_learns_for_itself_and_small_sizes_never() {
        let cheaper = Cheaper::new(64 << 10, AT_ONCE);
        assert_eq!(cheaper.choose(0), (Way::Other, false));
        assert_eq!(cheaper.choose((64 << 10) - 1), (Way::Other, false));
        scans(&cheaper, 64 << 10, 50, |way, _| micros(if way == Way::NewFile { 16 } else { 10 }));
        scans(&cheaper, 4 << 20, 50, |way, _| micros(if way == Way::NewFile { 141 } else { 213 }));
        assert_eq!(cheaper.cheaper(1), Some(Way::Other));
        assert_eq!(cheaper.cheaper((128 << 10) - 1), Some(Way::Other));
        assert_eq!(cheaper.cheaper((8 << 20) - 1), Some(Way::NewFile));
        // Nothing is known of these.
        assert_eq!(cheaper.cheaper(1 << 20), None);
        // All of these are one.
        scans(&cheaper, 1 << 33, 50, |way, _| micros(if way == Way::NewFile { 1 } else { 2 }));
        assert_eq!(cheaper.cheaper(u64::MAX), Some(Way::NewFile));
    }

    #[test]
    fn few_scans_are_not_worth_a_file_system() {
        let cheaper = Cheaper::new(0, Duration::from_millis(8));
        let took = |way, _| micros(if way == Way::NewFile { 40 } else { 100 });
        assert_eq!(scans(&cheaper, SIZE, 80, took), 0);
        assert!(scans(&cheaper, SIZE, 80, took) > 70);
    }
}
