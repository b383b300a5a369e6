//! Measures scans.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::sizes::Way;

/// Measures what a scan takes without its callback. The pool learns from it when the file has been
/// given back.
#[derive(Debug)]
pub(crate) struct Trial {
    cache: Arc<Cache>,
    size: u64,
    way: Way,
    since: Instant,
    took: Duration,
    /// The scan has begun, in the way that was chosen.
    has_begun: bool,
}

impl Trial {
    pub(super) fn new(cache: Arc<Cache>, size: u64, way: Way) -> Trial {
        Trial { cache, size, way, since: Instant::now(), took: Duration::ZERO, has_begun: false }
    }

    /// The descriptor is ready. What the borrower does with it is not measured.
    pub fn pause(&mut self) {
        self.took += self.since.elapsed();
        self.has_begun = true;
    }

    /// The descriptor comes back.
    pub fn resume(&mut self) {
        self.since = Instant::now();
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if self.has_begun {
            self.took += self.since.elapsed();
            self.cache.sizes.note(self.size, self.way, self.took);
        }
    }
}
