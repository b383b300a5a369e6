//! Remembers answers of the kernel.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A remembered answer: a number, or 1 and 0 for a feature that is there or missing. Several
/// threads may ask at the same time. A lock would be a hazard in a child: it could be held by a
/// thread that the child does not have.
pub(crate) struct Probed(AtomicU64);

impl Probed {
    const UNKNOWN: u64 = u64::MAX;

    pub(super) const fn new() -> Probed {
        Probed(AtomicU64::new(Probed::UNKNOWN))
    }

    pub(super) fn known(&self) -> Option<u64> {
        Some(self.0.load(Relaxed)).filter(|answer| *answer != Probed::UNKNOWN)
    }

    /// Returns the remembered answer, or that of `probe`. A `probe` that proves nothing returns
    /// `None`.
    pub(super) fn get<A: Into<u64>>(&self, probe: impl FnOnce() -> Option<A>) -> Option<u64> {
        self.known().or_else(|| probe().map(|answer| self.remember(answer)))
    }

    pub fn remember(&self, answer: impl Into<u64>) -> u64 {
        let answer = answer.into();
        self.0.store(answer, Relaxed);
        answer
    }

    /// Returns whether the feature was tried and is there.
    pub fn is_there(&self) -> bool {
        self.known() == Some(1)
    }

    /// Returns whether the feature was tried and is missing.
    pub fn is_missing(&self) -> bool {
        self.known() == Some(0)
    }
}
