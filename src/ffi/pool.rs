//! Files that are lent to scans.

use std::ffi::c_int;

use super::arguments::is_null;
use super::boundary::{boundary, bytefd_error, end};
use super::options::{Choice, Extensible, check_flags, choose, read, timeout};
use super::results::{fill, give};
use crate::{Error, Pool, PoolMethod, PoolOptions, PoolStats, Result};

/// For each size the cheaper one of the following methods that the host allows. It promises what
/// BYTEFD_POOL_REUSE promises. 0 means the same.
pub const BYTEFD_POOL_AUTO: u32 = 0x80000020u32;
/// Reuses files, after the kernel has proved that nobody else has them open.
pub const BYTEFD_POOL_REUSE: u32 = 0x80000021u32;
/// Makes a new file for each scan, on a file system in memory that belongs to the pool. See
/// bytefd_pool.
pub const BYTEFD_POOL_NEW_FILES: u32 = 0x80000022u32;

/// Lends files to scan_bytes and the functions that begin with bytefd_scan_begin (options->pool),
/// for a fraction of what a new sealed file costs. Made by the caller for one trust domain; nothing
/// is shared between pools. Any number of threads may use one pool at the same time, and a scan
/// never waits for another scan's callback.
///
/// Where the file comes from, and what each protects against:
/// - No pool: every scan has a new, sealed file. Nothing of one scan can ever show in another,
///   whatever the callback keeps, and nobody can change the file.
/// - BYTEFD_POOL_NEW_FILES: every scan has a new file that nothing is left of afterwards. Nothing
///   of one scan can ever show in another, whatever the callback keeps. The descriptor is not
///   sealed: F_GET_SEALS is F_SEAL_SEAL. Instead it is open through a read-only mount, so that the
///   borrower cannot write to the file, change its mode, open it for writing, map it shared for
///   writing or link it, root included. A receiver that verifies seals refuses it. Sizes for which
///   a memfd is cheaper, and files that do not fit into `max_bytes`, get a sealed memfd.
/// - BYTEFD_POOL_REUSE: the callback is lent a read-only description of a file of mode 0400 that is
///   not sealed. Before the file is used again the kernel is asked to prove that nobody else has it
///   open or mapped, and its length, mode, owner, times and attributes must be what they were. If
///   not, the file is dropped and counted. A callback that keeps a duplicate, a mapping, a child
///   that has it, or a description of its own keeps that file and sees its content unchanged.
///   Content of an earlier scan is never visible, also not past the end.
/// - BYTEFD_POOL_AUTO (the default) reuses files, and from 64 KiB on makes new ones for the sizes
///   for which that costs less on this host. It promises what BYTEFD_POOL_REUSE promises.
/// - BYTEFD_POOL_REUSE or BYTEFD_POOL_AUTO with BYTEFD_TRUST_CALLBACK: the cached file itself is
///   lent, read-write, and nothing is proved. The callback promises to keep nothing and to change
///   nothing. If it breaks the promise it sees and changes later scans of trusted callbacks, and if
///   it cuts the file off during one, that scan can end in a SIGBUS. The pool sets the file offset
///   and the status flags (O_APPEND) back, but not locks, leases and the close-on-exec flag.
///
/// Warning: the proof does not see what this list names. Its holder can read later scans, and with
/// all but the first item change them. For callbacks that do this use BYTEFD_POOL_NEW_FILES, or no
/// pool:
/// - Pages in flight, to which a pipe, socket or device refers without a descriptor: vmsplice(2)
///   from a mapping, zero-copy sends (MSG_ZEROCOPY), RDMA, and splice(2) and sendfile(2) from a
///   descriptor without O_DIRECT. The descriptor that is lent has O_DIRECT, with which both copy
///   (Linux 6.6), unless the callback clears it or opens one of its own.
/// - What can be opened later: an O_PATH descriptor, and for root a file handle
///   (open_by_handle_at(2)) or a mark of fanotify(7). While the library copies, such an open waits.
///   A file that was changed during a scan is dropped after it.
/// - A callback that takes the pool's own descriptors, whose numbers it finds in /proc/self/fd.
///   (Those of BYTEFD_POOL_NEW_FILES are the directory of its file system, in which a file has a
///   name for a moment before its first byte, and the description that a file is filled through.)
/// - io_uring's registered buffers, and whatever else pins pages, of a mapping for writing that a
///   privileged callback made without changing the mode (CAP_DAC_OVERRIDE).
/// - Before Linux 6.13 the kernel's clock for changes stands still for some milliseconds. In that
///   time after a scan begins, the proof does not see a callback that sets the mode, pins pages for
///   writing, and sets the mode back.
///
/// With a pool only these options may be set: `name`, `spill_threshold`, BYTEFD_BACKEND_MEMFD, and
/// either BYTEFD_INHERIT and BYTEFD_READ_ONLY (which it is anyway) or BYTEFD_TRUST_CALLBACK. Others
/// are -EINVAL. A file keeps its name, so it is cached for scans of the same name.
///
/// The file system of new files is a tmpfs that is mounted nowhere: two descriptors are all there
/// is of it. Making it needs Linux 5.12, and the right to mount (CAP_SYS_ADMIN) or to a user
/// namespace. A child process that shares the memory of the calling thread makes it in a few
/// milliseconds. The child has ended when the function returns; the program sees no child, signal,
/// mount or namespace.
/// - BYTEFD_POOL_NEW_FILES makes it in bytefd_pool_create, which fails with -EOPNOTSUPP where the
///   host refuses a step of that: seccomp filters of containers, AppArmor, no user namespaces, a
///   chroot, a process that is not dumpable after setuid(2), Valgrind. Later it is made again after
///   fork(2), bytefd_pool_trim to 0 and a change of the user; if that is refused, scans get memfds.
/// - BYTEFD_POOL_AUTO makes it once scans of 64 KiB and more have taken 8 ms, and does without
///   where it is refused. It does not try in a process with a seccomp filter, which may kill
///   instead of refusing. Then it measures some of the scans, without their callbacks, and tries
///   the dearer way ever more rarely.
///
/// Lost bytes, in a mapping of a file that was truncated, are -EFAULT as without a pool. The
/// library asks the kernel what `buf` is (PROCMAP_QUERY, Linux 6.11): it copies anonymous memory by
/// itself, and lets the kernel copy everything else, which takes longer. Anonymous memory that was
/// made inaccessible without munmap(2) or mprotect(2) raises the signal that any access raises:
/// MADV_GUARD_INSTALL, protection keys, userfaultfd(2).
///
/// A cached file keeps its inode number, and two scans may have the same size and time: a client
/// that remembers files by these (and marks nothing on them) is better given new files.
///
/// No thread may use a pool during or after bytefd_pool_close. A pool holds at most `max_files`
/// descriptors, two of /proc, and two of its file system. bytefd_pool_trim to 0 closes those that
/// are not lent, and a scan with the pool does so before it fails with -EMFILE or -ENFILE.
///
/// In a child of fork(2) the pool is empty. The child's first use of the pool closes the files that
/// it kept, and one that is lent to a trusted callback. Until then the child can read and change
/// what the parent scans later; execve(2) ends that. So make pools after forking workers, or call
/// bytefd_pool_trim in the child. What other threads were making or lending at that moment stays
/// open in the child. Where the host has no memfd or no /proc, or refuses leases, every scan has a
/// new file.
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

/// How a pool is made. Start from BYTEFD_POOL_OPTIONS_INIT, which is all defaults, as is a NULL
/// pointer. `size` works as in bytefd_wrap_options.
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
    /// Maximum number of bytes of memory in cached files that are not lent. The default is 64 MiB;
    /// 0 caches nothing. It is also the size of the file system for new files, which holds those
    /// that are lent or that a borrower has kept; what does not fit there is a memfd.
    pub max_bytes: u64,
    /// After this many nanoseconds without a scan a file is dropped. The pool looks at the time
    /// when it is used; it has no thread of its own. -1 (the default) keeps files until their place
    /// is needed; other negative numbers are -EINVAL.
    pub idle_ns: i64,
    /// Must be 0.
    pub flags: u64,
    /// Maximum number of files that are used again, cached and lent together: 1 to 64. The pool has
    /// one descriptor for each. The default is 64.
    pub max_files: u32,
    /// BYTEFD_POOL_AUTO, BYTEFD_POOL_REUSE or BYTEFD_POOL_NEW_FILES; 0 is BYTEFD_POOL_AUTO.
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
        let message =
            "max_files is 0, must be 1 to 64; BYTEFD_POOL_OPTIONS_INIT sets it to its default";
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

/// What a pool has done since it was made, and what it holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_pool_stats {
    /// sizeof(bytefd_pool_stats), as BYTEFD_POOL_STATS_INIT sets it. The struct may grow at its
    /// end; no more than this is written.
    pub size: usize,
    /// Scans that were lent a cached file.
    pub hits: u64,
    /// Scans that got a new file, whatever its method.
    pub misses: u64,
    /// Files that were dropped because another open file description or mapping of them existed, or
    /// because they were changed while they were lent or cached. bytefd_pool_get_stats first drops
    /// those that are held now.
    pub dropped: u64,
    /// Files of the cache that are lent now. When they are `max_files`, every further scan gets a
    /// new file that is not cached: look for scans that were never ended.
    pub lent: u64,
    /// Bytes of memory in cached files that are not lent.
    pub cached_bytes: u64,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_pool_stats {
    const INIT: Self =
        bytefd_pool_stats { size: 0, hits: 0, misses: 0, dropped: 0, lent: 0, cached_bytes: 0 };
    const FIRST_SIZE: usize = 48;
}

/// # Safety
/// NULL, or a pool that stays during the call.
unsafe fn required<'a>(pool: *mut bytefd_pool) -> Result<&'a Pool> {
    // SAFETY: the caller vouches for it.
    unsafe { pool.as_ref() }.map(|pool| &pool.0).ok_or_else(|| is_null("pool"))
}

/// Makes an empty pool and writes it to `*pool`. The caller ends it with bytefd_pool_close.
///
/// Returns 0, or one of:
/// - -EINVAL if `pool` is NULL, or a member of the options has no such value; the message names it.
/// - -E2BIG if the options have members that this version does not know.
/// - -EOPNOTSUPP if `method` is BYTEFD_POOL_NEW_FILES and the host refuses a step. `error->op` is
///   the step: "clone", "unshare", "write uid_map", "fsopen", "mount_setattr" and so on.
/// - -EMFILE, -ENFILE or -ENOMEM with BYTEFD_POOL_NEW_FILES.
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
/// may end afterwards. Always returns 0.
///
/// ```c
/// bytefd_pool_close(NULL);
/// ```
#[unsafe(no_mangle)]
pub extern "C" fn bytefd_pool_close(pool: Option<Box<bytefd_pool>>) -> c_int {
    end(pool, |_| Ok(()))
}

/// Drops cached files, the longest unused first, until at most `bytes` are cached; with 0 all of
/// them, also empty ones, and the file system for new files, which a later scan makes again. For
/// the moment in which memory or descriptors are short.
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
/// Returns 0, or -EINVAL if `pool` or `stats` is NULL, or `size` is below that of the first
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
