//! Creates pools, which lend files to scans.

use std::ffi::c_int;

use super::arguments::is_null;
use super::boundary::{boundary, bytefd_error, end};
use super::options::{Choice, Extensible, check_flags, choose, read, timeout};
use super::results::{fill, give};
use crate::{Error, Pool, PoolMethod, PoolOptions, PoolStats, Result};

/// Reuses files. From 64 KiB on it uses, for each size, the cheaper of BYTEFD_POOL_REUSE and
/// BYTEFD_POOL_NEW_FILES, if the host allows both. It protects content as BYTEFD_POOL_REUSE does. 0
/// means the same.
pub const BYTEFD_POOL_AUTO: u32 = 0x80000020u32;
/// Reuses files, after the kernel has proved that nobody else has them open.
pub const BYTEFD_POOL_REUSE: u32 = 0x80000021u32;
/// Creates a new file for each scan, on a file system in memory that belongs to the pool. See
/// bytefd_pool.
pub const BYTEFD_POOL_NEW_FILES: u32 = 0x80000022u32;

/// Lends files to scan_bytes and to the functions whose names begin with bytefd_scan_begin, for a
/// fraction of the cost of a new sealed file. The caller sets `options->pool`. Do not expect seals
/// on a descriptor from a pool; the following list says what protects its content instead.
///
/// Make one pool for each group of code that may read each other's content (a trust domain). Pools
/// share nothing. Any number of threads may use one pool at the same time, and a scan never waits
/// for the end of another scan.
///
/// Where the file comes from, and what protects its content:
/// - No pool: every scan has a new file. Nothing of one scan can ever be seen in another. With
///   default options the file is sealed, and no process can change it; bytefd_wrap_buffer lists the
///   exceptions.
/// - BYTEFD_POOL_NEW_FILES: every scan has a new file, which the pool never lends again. The kernel
///   frees it once the scan has ended and the borrower keeps nothing of it. Nothing of one scan can
///   be seen in another, whatever the borrower keeps. The exception is a borrower that takes the
///   pool's own descriptors from /proc/self/fd; see the warning below. The descriptor is opened
///   through a read-only mount. Through it the borrower, even as root, cannot write to the file or
///   change its mode. Linking it, opening it for writing, and mapping it shared for writing fail
///   too. The descriptor is not sealed (F_GET_SEALS returns F_SEAL_SEAL), so that a receiver that
///   verifies seals refuses it. A scan gets a sealed memfd instead if a memfd is cheaper for its
///   size, or if the file does not fit into `max_bytes`.
/// - BYTEFD_POOL_REUSE: the borrower gets a new read-only open file description of a file of mode
///   0400 that is not sealed. Before the pool lends the file again, the kernel must prove that
///   nobody else has it open or mapped. Its length, mode, owner, times and attributes must also be
///   unchanged. Otherwise the pool drops the file and counts it. A borrower can keep the file by a
///   duplicate, a mapping, a child, or an open file description of its own. It then sees the
///   content unchanged. Content of an earlier scan is never visible, not even past the end.
/// - BYTEFD_POOL_AUTO (the default) reuses files. From 64 KiB on it makes new files for the sizes
///   for which they cost less on this host. It protects content as BYTEFD_POOL_REUSE does.
/// - BYTEFD_POOL_REUSE or BYTEFD_POOL_AUTO with BYTEFD_TRUST_CALLBACK: the borrower gets the cached
///   file for reading and writing, and nothing is proved. The descriptor is the pool's own: at the
///   end of the scan the pool keeps it open, under the same number, for later scans. The caller
///   promises that the borrower keeps nothing and changes nothing. A borrower that breaks the
///   promise sees and changes the content of later trusted scans. If it truncates the file during a
///   later scan, that scan can raise SIGBUS. The pool resets the file offset and the status flags
///   (O_APPEND), but not locks, leases and the close-on-exec flag.
///
/// Warning: never combine BYTEFD_TRUST_CALLBACK with a borrower in another process, or with a
/// deadline at which the program may end the scan while the borrower still runs. An answer that
/// arrives after the deadline can belong to the next upload.
///
/// Warning: the kernel's proof of BYTEFD_POOL_REUSE does not detect the kinds of access to a file
/// that are listed below. A borrower with such access can read the content of later scans, and with
/// every kind but the first can also change it. If a borrower may get such access, use no pool.
/// BYTEFD_POOL_NEW_FILES is also enough, unless the borrower takes the pool's own descriptors. The
/// kinds are:
/// - Pages in flight, to which a pipe, socket or device refers without a descriptor. They come from
///   vmsplice(2) of a mapping, zero-copy sends (MSG_ZEROCOPY), RDMA, and splice(2) and sendfile(2)
///   from a descriptor without O_DIRECT. The descriptor that is lent has O_DIRECT, with which
///   splice and sendfile copy (Linux 6.6); read(2) needs no alignment. A borrower can clear that
///   flag, or open a descriptor without it.
/// - A reference that is not an open file now, but from which the borrower can open the file during
///   a later scan. Such are an O_PATH descriptor, and for root a file handle (open_by_handle_at(2))
///   or a mark of fanotify(7). While the library copies the content of that scan, the open waits,
///   and then succeeds. Reading through it is never detected. A change is detected after the scan
///   in which it was made, and the pool drops the file.
/// - A borrower that takes the pool's own descriptors, whose numbers it finds in /proc/self/fd.
///   BYTEFD_POOL_NEW_FILES does not prevent this, so use no pool for such a borrower. With
///   BYTEFD_POOL_NEW_FILES the pool has descriptors of its file system's directory. While it fills
///   a file, it also has a descriptor for writing to that file. A file has a name in that directory
///   for a moment, before its first byte.
/// - io_uring's registered buffers, and everything else that pins pages, if they belong to a
///   mapping for writing. Only a borrower with CAP_DAC_OVERRIDE can make such a mapping without
///   changing the mode.
/// - Before Linux 6.13, a short change of the mode: the kernel updates the time of the last change
///   only every few milliseconds. Within that time after a scan begins, a borrower can set the
///   mode, pin pages for writing, and set the mode back without being seen.
///
/// Only the following options may be set with a pool; others are -EINVAL:
/// - `name` and `spill_threshold`. A file keeps its name, so that it is cached for scans of the
///   same name only.
/// - BYTEFD_BACKEND_MEMFD. It matters only for a scan that gets no file of the pool: that scan gets
///   a sealed memfd or fails.
/// - BYTEFD_INHERIT, and BYTEFD_READ_ONLY, which has no effect on a file of the pool.
/// - BYTEFD_TRUST_CALLBACK, but not together with BYTEFD_INHERIT or BYTEFD_READ_ONLY.
///
/// The file system of new files is a tmpfs that is mounted nowhere; two descriptors are the only
/// references to it. Making it needs Linux 5.12, and the right to mount (CAP_SYS_ADMIN) or to
/// create a user namespace. A child process makes it in a few milliseconds. The child shares the
/// memory of this process, and the calling thread waits for it, as with vfork(2). The child has
/// ended when the function returns. The program sees no child, signal, mount or namespace.
/// - BYTEFD_POOL_NEW_FILES makes it in bytefd_pool_create, which fails with -EOPNOTSUPP if the host
///   refuses a step. Reasons are a seccomp filter of a container, AppArmor, a lack of user
///   namespaces, a chroot and Valgrind. A process that is not dumpable after setuid(2) is refused
///   too. The next scan makes it again after fork(2), after bytefd_pool_trim with 0 `bytes`, and
///   after a change of the user. If that is refused, scans get memfds.
/// - BYTEFD_POOL_AUTO makes it after scans of 64 KiB and more have taken 8 ms in total, and does
///   without it if the host refuses. It does not try in a process with a seccomp filter, because a
///   filter may kill instead of refusing. Once it is made, the pool measures some scans, without
///   the time of their borrowers, and tries the more expensive way ever more rarely.
///
/// Lost bytes of `buf`, in a mapping of a file that was truncated, are -EFAULT as without a pool.
/// The library asks the kernel what memory `buf` is (PROCMAP_QUERY, Linux 6.11). It copies
/// anonymous memory by itself, and lets the kernel copy all other memory, which takes longer.
///
/// Warning: a scan with a pool can raise SIGSEGV or SIGBUS if `buf` is anonymous memory that is
/// mapped but inaccessible. That concerns MADV_GUARD_INSTALL, protection keys and userfaultfd(2),
/// but not munmap(2) and mprotect(2).
///
/// A cached file keeps its inode number, and two scans may have the same size and time. Use
/// BYTEFD_POOL_NEW_FILES or no pool for a borrower that remembers results by these. A borrower that
/// marks a cached file instead, by an extended attribute, needs no new files: the pool drops the
/// marked file.
///
/// No thread may begin a scan with a pool, or call a function with it, during or after
/// bytefd_pool_close. Scans that have begun may still end. A pool holds at most `max_files`
/// descriptors of files for reuse, two of /proc and two of its file system. While it fills a new
/// file, it holds one more for writing to that file. bytefd_pool_trim with 0 `bytes` closes those
/// that are not lent. A scan with the pool does so too, before it fails with -EMFILE or -ENFILE.
///
/// A child of fork(2) inherits the descriptors of cached files, but lends none of them. The child's
/// first use of the pool closes these descriptors. It also closes the child's descriptor of a file
/// that is lent with BYTEFD_TRUST_CALLBACK. Until then the child can read and change what the
/// parent scans later, unless it calls execve(2). Create pools after forking workers, or call
/// bytefd_pool_trim in the child. Files that another thread is creating or handing out at the
/// moment of the fork stay open in the child.
///
/// Every scan has a new file on a host that has no memfd or no /proc, or that refuses file leases
/// (F_SETLEASE, fcntl(2)), which the kernel's proof needs.
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
///     int status = bytefd_pool_create(NULL, &options.pool, NULL);
///     if (status < 0)
///         return status;
///     status = scan_bytes("hello", 5, look, NULL, &options, NULL);
///     bytefd_pool_close(options.pool);
///     return status;
/// }
/// ```
pub struct bytefd_pool(pub(super) Pool);

/// Selects how a pool gets its files, and how many it keeps. Start from BYTEFD_POOL_OPTIONS_INIT,
/// which sets all defaults. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_pool_options options = BYTEFD_POOL_OPTIONS_INIT;
/// options.max_bytes = 16 << 20;
/// options.idle_ns = 60 * 1000000000LL;
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_pool_options {
    /// sizeof(bytefd_pool_options).
    pub size: usize,
    /// Maximum number of bytes of memory in cached files that are not lent. The default is 64 MiB.
    /// - 0 caches nothing.
    /// - This is also the size of the file system for new files, which is at least one page. It
    ///   holds the files that are lent or that a borrower has kept. A file that does not fit is a
    ///   memfd.
    pub max_bytes: u64,
    /// Time in nanoseconds after which an unused file is dropped. The pool checks the time when it
    /// is used, because it has no thread of its own.
    /// - -1 (the default) keeps files until their place is needed. Other negative numbers are
    ///   -EINVAL.
    /// - 0 drops a file at the next use of the pool, instead of lending it again.
    pub idle_ns: i64,
    /// Must be 0.
    pub flags: u64,
    /// Maximum number of files for reuse, lent or not: 1 to 64. The pool has one descriptor for
    /// each. The default is 64; 0 is -EINVAL. Set fewer where RLIMIT_NOFILE is small, so that
    /// callbacks can open files. If descriptors run out, the pool closes cached files to begin a
    /// scan, but cannot do that for a callback.
    pub max_files: u32,
    /// BYTEFD_POOL_AUTO, BYTEFD_POOL_REUSE or BYTEFD_POOL_NEW_FILES. 0 (the default) means
    /// BYTEFD_POOL_AUTO.
    pub method: u32,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_pool_options {
    const INIT: Self = bytefd_pool_options {
        size: 0,
        max_bytes: 64 << 20,
        idle_ns: -1,
        flags: 0,
        max_files: 64,
        method: 0,
    };
    const FIRST_SIZE: usize = 40;
}

const METHODS: &[Choice<PoolMethod>] = &[
    (0, PoolMethod::Auto),
    (BYTEFD_POOL_AUTO, PoolMethod::Auto),
    (BYTEFD_POOL_REUSE, PoolMethod::Reuse),
    (BYTEFD_POOL_NEW_FILES, PoolMethod::NewFiles),
];

/// # Safety
/// As [`read`].
unsafe fn pool_options(from: *const bytefd_pool_options) -> Result<PoolOptions> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    check_flags(given.flags, 0)?;
    if given.max_files == 0 {
        let message = "max_files is 0, must be 1 to 64; BYTEFD_POOL_OPTIONS_INIT sets the default";
        return Err(Error::new("max_files", libc::EINVAL, message));
    }
    let options = PoolOptions::new()
        .max_bytes(given.max_bytes)
        .max_files(given.max_files as usize)
        .method(choose(given.method, METHODS, "method")?);
    Ok(match timeout(given.idle_ns, "idle_ns")? {
        Some(time) => options.idle(time),
        None => options,
    })
}

/// Counts what a pool has done since it was created, and what it holds. Start from
/// BYTEFD_POOL_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_pool_stats {
    /// sizeof(bytefd_pool_stats), set by the caller. The struct may grow at its end, and no more
    /// bytes than this are written.
    pub size: usize,
    /// Number of scans that were lent a cached file.
    pub hits: u64,
    /// Number of scans that got a new file, with any method.
    pub misses: u64,
    /// Number of files that were dropped because they were held or changed. A file is held if
    /// another open file description or mapping of it exists. bytefd_pool_get_stats first drops the
    /// files that are held now and are not lent.
    pub dropped: u64,
    /// Number of cached files that are lent now. If that is `max_files`, every further scan gets a
    /// new file that is not cached. Look for scans that were never ended.
    pub lent: u64,
    /// Number of bytes of memory in cached files that are not lent.
    pub cached_bytes: u64,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_pool_stats {
    const INIT: Self =
        bytefd_pool_stats { size: 0, hits: 0, misses: 0, dropped: 0, lent: 0, cached_bytes: 0 };
    const FIRST_SIZE: usize = 48;
}

/// # Safety
/// `pool` is NULL, or a pool that exists until the call returns.
unsafe fn required<'a>(pool: *mut bytefd_pool) -> Result<&'a Pool> {
    // SAFETY: the caller vouches for it.
    unsafe { pool.as_ref() }.map(|pool| &pool.0).ok_or_else(|| is_null("pool"))
}

/// Creates an empty pool and writes it to `*pool`. The caller ends it with bytefd_pool_close.
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL if `pool` is NULL, or a member of the options has an unknown value; the message names
///   the member.
/// - -E2BIG if the options have members that this version does not know.
/// - -EOPNOTSUPP if `method` is BYTEFD_POOL_NEW_FILES and the host refuses a step. `error->op` is
///   the step, such as "clone", "unshare", "write uid_map", "fsopen" or "mount_setattr".
/// - -EMFILE, -ENFILE or -ENOMEM with BYTEFD_POOL_NEW_FILES, if a limit is reached.
///
/// ```c
/// bytefd_pool *pool;
/// if (bytefd_pool_create(NULL, &pool, NULL) == 0)
///     bytefd_pool_close(pool);
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_pool_create(
    options: *const bytefd_pool_options,
    pool: *mut *mut bytefd_pool,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and a writable pointer.
    boundary(error, || unsafe {
        give(pool, "pool", || Ok(bytefd_pool(pool_options(options)?.create()?)))
    })
}

/// Frees the pool and the files it has cached. NULL is allowed. Scans that were begun with the pool
/// may end at the same time or later, in any thread. Always returns 0.
///
/// ```c
/// bytefd_pool_close(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_pool_close(pool: Option<Box<bytefd_pool>>) -> c_int {
    end(pool, |_| Ok(()))
}

/// Drops cached files, the longest unused first, until at most `bytes` bytes are cached. With 0 it
/// drops all of them, empty ones too, and the file system for new files. A later scan makes that
/// file system again. Call it when memory or descriptors are short.
///
/// Returns 0, or -EINVAL if `pool` is NULL.
///
/// ```c
/// bytefd_pool *pool;
/// if (bytefd_pool_create(NULL, &pool, NULL) == 0) {
///     bytefd_pool_trim(pool, 0, NULL);
///     bytefd_pool_close(pool);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_pool_trim(
    pool: *mut bytefd_pool,
    bytes: u64,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a pool.
    boundary(error, || unsafe {
        required(pool)?.trim(bytes);
        Ok(())
    })
}

/// Writes what the pool has done so far, and what it holds, to `*stats`. The caller sets
/// `stats->size`.
///
/// Returns 0, or -EINVAL if `pool` or `stats` is NULL, or `stats->size` is below that of the first
/// version, 48.
///
/// ```c
/// bytefd_pool *pool;
/// if (bytefd_pool_create(NULL, &pool, NULL) == 0) {
///     bytefd_pool_stats stats = BYTEFD_POOL_STATS_INIT;
///     if (bytefd_pool_get_stats(pool, &stats, NULL) == 0)
///         printf("%llu bytes cached\n", (unsigned long long)stats.cached_bytes);
///     bytefd_pool_close(pool);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_pool_get_stats(
    pool: *mut bytefd_pool,
    stats: *mut bytefd_pool_stats,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a pool, and for a writable struct whose size is set.
    boundary(error, || unsafe {
        let pool = required(pool)?;
        fill(stats, "stats", || {
            let PoolStats { hits, misses, dropped, lent, cached_bytes } = pool.stats();
            Ok(bytefd_pool_stats { size: 0, hits, misses, dropped, lent, cached_bytes })
        })
    })
}
