//! What a pool has done.

/// What a pool has done since it was made, and what it holds.
///
/// ```
/// let stats: bytefd::PoolStats = bytefd::Pool::new(1 << 20).stats();
/// assert_eq!(stats.cached_bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PoolStats {
    /// Scans that were lent a cached file.
    pub hits: u64,
    /// Scans that got a new file, whatever its method.
    pub misses: u64,
    /// Files that were dropped because another open file description or mapping of them existed, or
    /// because they were changed while they were lent or cached.
    pub dropped: u64,
    /// Files of the cache that are lent now. When they are as many as
    /// [`PoolOptions::max_files`](crate::PoolOptions::max_files), every further scan gets a new
    /// file that is not cached: look for scans that were never ended.
    pub lent: u64,
    /// Bytes of memory in cached files that are not lent.
    pub cached_bytes: u64,
}
