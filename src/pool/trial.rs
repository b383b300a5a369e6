//! Measures scans.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::sizes::Way;

/// Measures the time of a scan without its callback. The pool learns it when the file has been
/// given back.
#[derive(Debug)]
pub(crate) struct Trial {
    cache: Arc<Cache>,
    size: u64,
    way: Way,
    since: Instant,
    took: Duration,
    /// Whether the scan has begun, in the way that was chosen.
    has_begun: bool,
}

impl Trial {
    pub(super) fn new(cache: Arc<Cache>, size: u64, way: Way) -> Trial {
        Trial { cache, size, way, since: Instant::now(), took: Duration::ZERO, has_begun: false }
    }

    /// Stops the clock: the descriptor is ready. The borrower's time is not measured.
    pub fn pause(&mut self) {
        self.took += self.since.elapsed();
        self.has_begun = true;
    }

    /// Starts the clock again: the descriptor comes back.
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
