//! What is asked of the kernel once, and then remembered.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An answer that is remembered: a number, or 1 and 0 for a feature that is there or missing. There
/// is no lock that a child could inherit from a thread that it does not have: several threads may
/// ask at the same time.
pub(crate) struct Probed(AtomicU64);

impl Probed {
    const UNKNOWN: u64 = u64::MAX;

    pub(super) const fn new() -> Probed {
        Probed(AtomicU64::new(Probed::UNKNOWN))
    }

    pub(super) fn known(&self) -> Option<u64> {
        Some(self.0.load(Relaxed)).filter(|answer| *answer != Probed::UNKNOWN)
    }

    /// The remembered answer, or that of `probe`, which is `None` if it proves nothing.
    pub(super) fn get<A: Into<u64>>(&self, probe: impl FnOnce() -> Option<A>) -> Option<u64> {
        self.known().or_else(|| probe().map(|answer| self.remember(answer)))
    }

    pub fn remember(&self, answer: impl Into<u64>) -> u64 {
        let answer = answer.into();
        self.0.store(answer, Relaxed);
        answer
    }

    /// Whether the feature was tried and is there.
    pub fn is_there(&self) -> bool {
        self.known() == Some(1)
    }

    /// Whether the feature was tried and is not there.
    pub fn is_missing(&self) -> bool {
        self.known() == Some(0)
    }
}
