//! What a pool has done.

/// What a pool has done so far, and what it holds.
///
/// ```
/// let counts: bytefd::PoolCounts = bytefd::Pool::new(1 << 20).stats();
/// assert_eq!(counts.kept_bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolCounts {
    /// Scans that were lent a kept file.
    pub lent_again: u64,
    /// Scans that got a new file.
    pub new_files: u64,
    /// Cache that were not used again because somebody still held them.
    pub dropped: u64,
    /// Bytes of memory in the files that are kept now.
    pub kept_bytes: u64,
}
