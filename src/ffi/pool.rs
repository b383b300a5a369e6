//! Files used again.

use std::ffi::c_int;

use super::arguments::required;
use super::boundary::{boundary, bytefd_error, end};
use super::options::Extensible;
use super::results::{fill, give};
use crate::{Pool, PoolCounts};

/// Files for one trust domain, kept and lent again to scan_bytes and bytefd_scan_begin (options->pool). Writing into pages that
/// exist is many times faster than getting new ones. Made by the caller; nothing is shared between pools. Any number of threads
/// may use one pool at the same time, and a scan never waits for another scan's callback.
///
/// Three levels, and what each protects against:
/// - No pool: every scan has a new, sealed file. Nothing of one scan can ever show in another, whatever the callback keeps.
/// - A pool: the callback is lent a read-only description of a file of mode 0400 that is not sealed. Before the file is used again
///   the kernel is asked to prove that nobody holds it; who kept a duplicate, a mapping, a child that has it, or a description of
///   their own keeps that file, and it is not used again. Content of an earlier scan is never visible, also not past the end.
///   What the proof cannot see are pages in flight, to which a pipe, socket or device refers without a descriptor: vmsplice(2) from
///   a mapping, zero-copy sends (MSG_ZEROCOPY), anything else that pins pages (io_uring's registered buffers, RDMA), and splice(2)
///   and sendfile(2) from a descriptor without O_DIRECT. Who reads them later may read bytes of a later scan. The descriptor that
///   is lent has O_DIRECT, with which splice and sendfile copy (Linux 6.6), unless the callback clears it or opens one of its own.
///   Nor does the proof see an O_PATH descriptor, which can be opened during a later scan.
/// - A pool and BYTEFD_TRUST_CALLBACK: the kept file itself is lent, read-write, and nothing is proved. The callback promises to
///   keep nothing and to change nothing. If it breaks the promise it sees and changes later scans of trusted callbacks.
///
/// Of the options a pool takes BYTEFD_BACKEND_MEMFD, BYTEFD_INHERIT and BYTEFD_READ_ONLY (which it is anyway), or
/// BYTEFD_TRUST_CALLBACK alone; others are -EINVAL.
/// `buf` must be readable: what is copied into kept pages is copied as memcpy does, so there is no -EFAULT.
///
/// A kept file keeps its inode number, and two scans may have the same size and time: a client that remembers files by these
/// (and marks nothing on them) is better given new files.
///
/// A pool holds at most 64 descriptors; bytefd_pool_trim to 0 closes those that are not lent.
///
/// After fork(2) the pool is empty in the child, and the files it kept, and one that is lent to a trusted callback, are closed at
/// the pool's first use there. Until then, and unless it executes another program, the child can read and change what the parent
/// scans later: make pools after forking workers, or call bytefd_pool_trim in the child. What other threads were making or
/// lending at that moment stays open in the child, as every descriptor of theirs does. Where the host has no memfd or
/// no /proc, or refuses leases, every scan has a new file.
///
/// ```c
/// static int look(int fd, void *context)
/// {
///     (void)context;
///     return lseek(fd, 0, SEEK_END) == 5 ? 0 : 1;
/// }
///
/// int example(void)
/// {
///     bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
///     int status = bytefd_pool_create(64 << 20, &options.pool, NULL);
///     if (status < 0)
///         return status;
///     status = scan_bytes("hello", 5, look, NULL, &options, NULL);
///     bytefd_pool_destroy(options.pool);
///     return status;
/// }
/// ```
pub struct bytefd_pool(pub(super) Pool);

/// What a pool has done since it was made, and what it holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_pool_counts {
    /// sizeof(bytefd_pool_counts), as BYTEFD_POOL_COUNTS_INIT sets it. The struct may grow at its end; no more than this is written.
    pub size: usize,
    /// Scans that were lent a kept file.
    pub lent_again: u64,
    /// Scans that got a new file.
    pub new_files: u64,
    /// Files that were not used again because somebody still held them. Those that are held now are dropped by asking.
    pub dropped: u64,
    /// Bytes of memory in the files that are kept now.
    pub kept_bytes: u64,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_pool_counts {
    const FIRST_SIZE: usize = 40;
}

/// Makes an empty pool that keeps at most `max_bytes` of memory in files that nobody uses at the moment, and writes it to `*pool`.
/// The caller ends it with bytefd_pool_destroy.
///
/// Returns 0, or -EINVAL if `pool` is NULL.
///
/// ```c
/// bytefd_pool *pool;
/// if (bytefd_pool_create(64 << 20, &pool, NULL) == 0)
///     bytefd_pool_destroy(pool);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_pool_create(
    max_bytes: usize,
    pool: *mut *mut bytefd_pool,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a writable pointer.
    boundary(error, || unsafe { give(pool, "pool", || Ok(bytefd_pool(Pool::new(max_bytes)))) })
}

/// Frees the pool and the files it keeps. NULL is fine. Scans that were begun with it may end afterwards.
///
/// ```c
/// bytefd_pool_destroy(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_pool_destroy(pool: Option<Box<bytefd_pool>>) {
    end(pool, |_| Ok(()));
}

/// Drops kept files, the longest unused first, until at most `bytes` are kept; with 0 all of them, also empty ones. For the moment
/// in which memory or descriptors are short.
///
/// Returns 0, or -EINVAL if `pool` is NULL.
///
/// ```c
/// bytefd_pool *pool;
/// if (bytefd_pool_create(64 << 20, &pool, NULL) == 0) {
///     bytefd_pool_trim(pool, 0, NULL);
///     bytefd_pool_destroy(pool);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_pool_trim(pool: Option<&bytefd_pool>, bytes: usize, error: *mut bytefd_error) -> c_int {
    boundary(error, || {
        required(pool, "pool")?.0.trim(bytes);
        Ok(())
    })
}

/// Writes what the pool has done so far, and what it holds, to `*counts`, whose `size` is set.
///
/// Returns 0, or -EINVAL if `pool` or `counts` is NULL, or `size` is below that of the first version, 40.
///
/// ```c
/// bytefd_pool *pool;
/// if (bytefd_pool_create(64 << 20, &pool, NULL) == 0) {
///     bytefd_pool_counts counts = BYTEFD_POOL_COUNTS_INIT;
///     bytefd_pool_stats(pool, &counts, NULL);
///     printf("%llu bytes kept\n", (unsigned long long)counts.kept_bytes);
///     bytefd_pool_destroy(pool);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_pool_stats(
    pool: Option<&bytefd_pool>,
    counts: *mut bytefd_pool_counts,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a writable struct whose size is set.
    boundary(error, || unsafe {
        let pool = required(pool, "pool")?;
        fill(counts, "counts", || {
            let PoolCounts { lent_again, new_files, dropped, kept_bytes } = pool.0.stats();
            Ok(bytefd_pool_counts { size: 0, lent_again, new_files, dropped, kept_bytes })
        })
    })
}
