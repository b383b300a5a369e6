//! Learns, for each power of two of sizes, whether scans are cheaper with new files or with other
//! ones.
//!
//! The answer depends on the size, the processor, the kernel and what the callbacks keep. So scans
//! are timed, and [`TwoWays`] decides.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::cheaper::TwoWays;

/// How a scan gets its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A new file on the pool's own file system.
    NewFile,
    /// A cached file, or a memfd.
    Other,
}

/// Binary logarithm of the smallest size that is measured. Below, the other way is always cheaper.
const SMALLEST: u32 = 12;
/// Binary logarithm of the sizes in the last class, which also has all larger ones.
const LARGEST: u32 = 32;
const CLASSES: usize = (LARGEST - SMALLEST + 1) as usize;

/// One in this many of the scans that go the cheaper way is measured.
const MEASURED: u32 = 8;

#[derive(Debug)]
pub(super) struct Sizes {
    /// Sizes below this always go the other way.
    smallest: u64,
    /// Time of scans, in nanoseconds, before new files are tried, because it takes time to make a
    /// file system.
    patience: u64,
    /// Time that scans took until now, counted up to `patience`.
    spent: AtomicU64,
    classes: [Class; CLASSES],
}

/// The measurements for sizes from a power of two to the next.
#[derive(Debug)]
struct Class {
    /// The two ways; new files are the one way.
    ways: TwoWays,
    scans: AtomicU32,
}

impl Sizes {
    pub const fn new(smallest: u64, patience: Duration) -> Sizes {
        Sizes {
            smallest,
            patience: patience.as_nanos() as u64,
            spent: AtomicU64::new(0),
            classes: [const { Class { ways: TwoWays::new(), scans: AtomicU32::new(0) } }; CLASSES],
        }
    }

    fn class(&self, size: u64) -> Option<&Class> {
        if size < self.smallest.max(1 << SMALLEST) {
            return None;
        }
        Some(&self.classes[(size.ilog2().min(LARGEST) - SMALLEST) as usize])
    }

    /// Returns how a scan of this size gets its file, and whether it is measured.
    pub fn choose(&self, size: u64) -> (Way, bool) {
        let Some(class) = self.class(size) else { return (Way::Other, false) };
        if !class.ways.is_other_known() || self.spent.load(Relaxed) < self.patience {
            return (Way::Other, true);
        }
        let choice = class.ways.choose();
        let is_measured = choice.is_tried || class.scans.fetch_add(1, Relaxed) % MEASURED == 0;
        (Way::new(choice.is_one), is_measured)
    }

    /// Returns the cheaper way, for a scan that cannot be measured. `None` if it is not known.
    pub fn cheaper(&self, size: u64) -> Option<Way> {
        let Some(class) = self.class(size) else { return Some(Way::Other) };
        class.ways.are_known().then(|| Way::new(class.ways.is_one_cheaper()))
    }

    /// Notes the time of a scan.
    pub fn note(&self, size: u64, way: Way, took: Duration) {
        let Some(class) = self.class(size) else { return };
        let nanoseconds = took.as_nanos() as u64;
        class.ways.note(way == Way::NewFile, nanoseconds);
        if self.spent.load(Relaxed) < self.patience {
            self.spent.fetch_add(nanoseconds, Relaxed);
        }
    }
}

impl Way {
    fn new(is_new_file: bool) -> Way {
        if is_new_file { Way::NewFile } else { Way::Other }
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

    /// Runs scans with invented times. Returns the number of those with a new file.
    fn scans(
        sizes: &Sizes,
        size: u64,
        count: usize,
        took: impl Fn(Way, usize) -> Duration,
    ) -> usize {
        let scan = |round: &usize| {
            let (way, is_measured) = sizes.choose(size);
            if is_measured {
                sizes.note(size, way, took(way, *round));
            }
            way == Way::NewFile
        };
        (0..count).filter(scan).count()
    }

    #[test]
    fn a_disturbance_of_a_settled_choice_is_forgotten_soon() {
        let sizes = Sizes::new(0, AT_ONCE);
        let took = |way, _| micros(if way == Way::NewFile { 10 } else { 36 });
        scans(&sizes, SIZE, 5000, took);
        scans(&sizes, SIZE, 40, |_, _| micros(5000));
        assert!(scans(&sizes, SIZE, 500, took) > 250);
    }

    #[test]
    fn a_host_that_changes_is_followed() {
        let sizes = Sizes::new(0, AT_ONCE);
        let (fast, slow) = (micros(40), micros(200));
        scans(&sizes, SIZE, 1000, |way, _| if way == Way::NewFile { fast } else { slow });
        assert_eq!(sizes.cheaper(SIZE), Some(Way::NewFile));
        // New files become dearer than the other way was, which is noticed soon.
        scans(&sizes, SIZE, 60, |way, _| if way == Way::NewFile { slow * 2 } else { slow });
        assert_eq!(sizes.cheaper(SIZE), Some(Way::Other));
        scans(&sizes, SIZE, 1000, |way, _| if way == Way::NewFile { fast } else { slow });
        assert_eq!(sizes.cheaper(SIZE), Some(Way::NewFile));
        // The other way becomes cheaper, which is noticed when it is tried.
        scans(&sizes, SIZE, 3000, |way, _| if way == Way::NewFile { slow } else { fast });
        assert_eq!(sizes.cheaper(SIZE), Some(Way::Other));
    }

    #[test]
    fn each_power_of_two_learns_for_itself_and_small_sizes_never() {
        let sizes = Sizes::new(64 << 10, AT_ONCE);
        assert_eq!(sizes.choose(0), (Way::Other, false));
        assert_eq!(sizes.choose((64 << 10) - 1), (Way::Other, false));
        scans(&sizes, 64 << 10, 50, |way, _| micros(if way == Way::NewFile { 16 } else { 10 }));
        scans(&sizes, 4 << 20, 50, |way, _| micros(if way == Way::NewFile { 141 } else { 213 }));
        assert_eq!(sizes.cheaper(1), Some(Way::Other));
        assert_eq!(sizes.cheaper((128 << 10) - 1), Some(Way::Other));
        assert_eq!(sizes.cheaper((8 << 20) - 1), Some(Way::NewFile));
        // These sizes have not been measured.
        assert_eq!(sizes.cheaper(1 << 20), None);
        // All of these sizes are one class.
        scans(&sizes, 1 << 33, 50, |way, _| micros(if way == Way::NewFile { 1 } else { 2 }));
        assert_eq!(sizes.cheaper(u64::MAX), Some(Way::NewFile));
    }

    #[test]
    fn few_scans_are_not_worth_a_file_system() {
        let sizes = Sizes::new(0, Duration::from_millis(8));
        let took = |way, _| micros(if way == Way::NewFile { 40 } else { 100 });
        assert_eq!(scans(&sizes, SIZE, 80, took), 0);
        assert!(scans(&sizes, SIZE, 80, took) > 70);
    }
}
