//! Counts of what a pool has done.

/// Counts what a pool has done since it was created, and what it holds.
///
/// ```
/// let stats: bytefd::PoolStats = bytefd::Pool::new(1 << 20).stats();
/// assert_eq!(stats.cached_bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PoolStats {
    /// Number of scans that were lent a cached file.
    pub hits: u64,
    /// Number of scans that got a new file, with any method.
    pub misses: u64,
    /// Number of files that were dropped because they were held or changed. A file is held if
    /// another open file description or mapping of it exists.
    pub dropped: u64,
    /// Number of cached files that are lent now. If that is
    /// [`PoolOptions::max_files`](crate::PoolOptions::max_files), every further scan gets a new
    /// file that is not cached. Look for scans that were never ended.
    pub lent: u64,
    /// Number of bytes of memory in cached files that are not lent.
    pub cached_bytes: u64,
}
