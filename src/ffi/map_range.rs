//! What can be done with part of a map.

use std::ffi::c_int;

use super::arguments::{range, required};
use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::options::{Choice, choose, unknown};
use crate::{Advice, Flush, Protection};

/// Returns when the bytes are on the storage, MS_SYNC.
pub const BYTEFD_FLUSH_SYNC: u32 = 0;
/// Schedules the writing and returns, MS_ASYNC. (On Linux a shared map is written back in time anyway.)
pub const BYTEFD_FLUSH_ASYNC: u32 = 1;
/// May be added to either: other maps of the file are told to look again, MS_INVALIDATE. (On Linux they see every store
/// anyway.) -EBUSY if pages are locked.
pub const BYTEFD_FLUSH_INVALIDATE: u32 = 2;

const FLUSHES: &[Choice<Flush>] = &[
    (BYTEFD_FLUSH_SYNC, Flush::Sync),
    (BYTEFD_FLUSH_ASYNC, Flush::Async),
    (BYTEFD_FLUSH_SYNC | BYTEFD_FLUSH_INVALIDATE, Flush::SyncInvalidate),
    (BYTEFD_FLUSH_ASYNC | BYTEFD_FLUSH_INVALIDATE, Flush::AsyncInvalidate),
];

/// Writes changed bytes back to the file, msync(2): any range of bytes of the map, not only whole pages. A `length` of 0
/// is from `offset` to the end of the map. `how` is BYTEFD_FLUSH_SYNC or BYTEFD_FLUSH_ASYNC, and BYTEFD_FLUSH_INVALIDATE.
///
/// Returns 0, or a negative errno: -EINVAL if `map` is NULL, `how` is unknown, the range is not all in the map, or the
/// map is private, whose stores never reach the file; -EIO if writing failed, or a guarded map has lost pages.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// bytefd_map *map;
/// options.access = BYTEFD_MAP_WRITE;
/// if (map_file("table", &options, &map, NULL) == 0) {
///     memset(bytefd_map_data(map), 0, bytefd_map_length(map));
///     bytefd_map_flush(map, 0, 0, BYTEFD_FLUSH_SYNC, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_flush(
    map: Option<&bytefd_map>,
    offset: usize,
    length: usize,
    how: u32,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let how = choose(how, FLUSHES, "how")?;
        required(map, "map")?.0.flush(range(offset, length), how)
    })
}

/// No special treatment: undoes RANDOM and SEQUENTIAL. This and the following are for bytefd_map_advise; their numbers are the
/// kernel's.
pub const BYTEFD_ADVICE_NORMAL: u32 = 0;
/// Pages will be used in no order: reading ahead is of no use.
pub const BYTEFD_ADVICE_RANDOM: u32 = 1;
/// Pages will be used in order: reading far ahead is of use.
pub const BYTEFD_ADVICE_SEQUENTIAL: u32 = 2;
/// Pages will be used soon: reading them in begins.
pub const BYTEFD_ADVICE_WILL_NEED: u32 = 3;
/// Pages will not be used soon, and may leave this process; a shared map has them again when they are used. Private maps
/// lose what was stored in them.
pub const BYTEFD_ADVICE_DONT_NEED: u32 = 4;
/// The content may be lost, at any time from now on, when memory is short (Linux 4.5). Private memory only.
pub const BYTEFD_ADVICE_FREE: u32 = 8;
/// The content is lost, also in the file: a hole is punched into it.
pub const BYTEFD_ADVICE_REMOVE: u32 = 9;
/// Children made by fork(2) do not have the pages.
pub const BYTEFD_ADVICE_DONT_FORK: u32 = 10;
/// Undoes DONT_FORK.
pub const BYTEFD_ADVICE_DO_FORK: u32 = 11;
/// The kernel may merge pages with equal ones, KSM. Private memory only.
pub const BYTEFD_ADVICE_MERGEABLE: u32 = 12;
/// Undoes MERGEABLE.
pub const BYTEFD_ADVICE_UNMERGEABLE: u32 = 13;
/// Huge pages are welcome.
pub const BYTEFD_ADVICE_HUGE_PAGE: u32 = 14;
/// No huge pages.
pub const BYTEFD_ADVICE_NO_HUGE_PAGE: u32 = 15;
/// Left out of core dumps (Linux 3.4).
pub const BYTEFD_ADVICE_DONT_DUMP: u32 = 16;
/// Undoes DONT_DUMP.
pub const BYTEFD_ADVICE_DO_DUMP: u32 = 17;
/// Children made by fork(2) find zeros (Linux 4.14). Private memory only.
pub const BYTEFD_ADVICE_WIPE_ON_FORK: u32 = 18;
/// Undoes WIPE_ON_FORK.
pub const BYTEFD_ADVICE_KEEP_ON_FORK: u32 = 19;
/// Pages may leave memory before others (Linux 5.4).
pub const BYTEFD_ADVICE_COLD: u32 = 20;
/// Pages leave memory now (Linux 5.4).
pub const BYTEFD_ADVICE_PAGE_OUT: u32 = 21;
/// Pages are made ready for reading, now (Linux 5.14).
pub const BYTEFD_ADVICE_POPULATE_READ: u32 = 22;
/// Pages are made ready for writing, now (Linux 5.14).
pub const BYTEFD_ADVICE_POPULATE_WRITE: u32 = 23;
/// DONT_NEED, also for locked pages (Linux 5.18).
pub const BYTEFD_ADVICE_DONT_NEED_LOCKED: u32 = 24;
/// Pages are made huge ones, now (Linux 6.1).
pub const BYTEFD_ADVICE_COLLAPSE: u32 = 25;
/// The content is lost: the pages are treated as broken memory. Administrators only, for tests.
pub const BYTEFD_ADVICE_HARDWARE_POISON: u32 = 100;
/// Pages move to other memory. Administrators only, for tests.
pub const BYTEFD_ADVICE_SOFT_OFFLINE: u32 = 101;
/// The content is lost: access raises SIGSEGV from now on (Linux 6.13).
pub const BYTEFD_ADVICE_GUARD_INSTALL: u32 = 102;
/// Undoes GUARD_INSTALL; the pages read zero, or what the file has.
pub const BYTEFD_ADVICE_GUARD_REMOVE: u32 = 103;
/// Must be added to advice that loses content: FREE, REMOVE, HARDWARE_POISON, GUARD_INSTALL, and for private maps
/// DONT_NEED and DONT_NEED_LOCKED. It is given only to pages of which all bytes are in the range.
pub const BYTEFD_ADVICE_LOSE_DATA: u32 = 0x10000;

/// Tells the kernel how the pages of a range will be used, madvise(2). `advice` is BYTEFD_ADVICE_NORMAL or one of those after
/// it. A `length` of 0 is from `offset` to the end of the map.
///
/// Returns 0, or a negative errno:
/// - -EINVAL: `map` is NULL, there is no such advice, the range is not all in the map, the advice would lose content and
///   BYTEFD_ADVICE_LOSE_DATA is not given, or the kernel does not do this with this kind of memory.
/// - -EOPNOTSUPP: this kernel does not know the advice.
/// - madvise(2)'s own.
///
/// ```c
/// bytefd_map *map;
/// if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
///     bytefd_map_advise(map, 0, 0, BYTEFD_ADVICE_SEQUENTIAL, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_advise(
    map: Option<&bytefd_map>,
    offset: usize,
    length: usize,
    advice: u32,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let (map, range) = (&required(map, "map")?.0, range(offset, length));
        let number = advice & !BYTEFD_ADVICE_LOSE_DATA;
        let known = Advice::from_number(number).ok_or_else(|| unknown("advice", number))?;
        if advice == number { map.advise(range, known) } else { map.advise_losing(range, known) }
    })
}

/// Keeps the pages of a range in memory, mlock(2). Locks do not add up. A `length` of 0 is from `offset` to the end of the map.
///
/// Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map; -ENOMEM or -EPERM where
/// RLIMIT_MEMLOCK does not allow it, -ENOMEM where pages are past the end of the file.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     if (bytefd_map_lock(map, 0, 64, NULL) == 0)
///         strcpy(bytefd_map_data(map), "a secret");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_lock(
    map: Option<&bytefd_map>,
    offset: usize,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.lock(range(offset, length)))
}

/// Undoes bytefd_map_lock for the pages of a range, munlock(2). A `length` of 0 is from `offset` to the end of the map.
///
/// Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// bytefd_map *map;
/// options.flags = BYTEFD_MAP_LOCK;
/// if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
///     bytefd_map_unlock(map, 0, 0, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_unlock(
    map: Option<&bytefd_map>,
    offset: usize,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.unlock(range(offset, length)))
}

/// Any access raises SIGSEGV. This and the following, or-ed, are for bytefd_map_protect. Linux lets nobody write or execute what
/// cannot be read, so BYTEFD_PROTECTION_READ must be among them unless there are none.
pub const BYTEFD_PROTECTION_NONE: u32 = 0;
/// Reading.
pub const BYTEFD_PROTECTION_READ: u32 = 1;
/// Writing, which the map must be for: BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE.
pub const BYTEFD_PROTECTION_WRITE: u32 = 2;
/// Executing, which must have been asked for when the map was made: BYTEFD_MAP_EXECUTE.
pub const BYTEFD_PROTECTION_EXECUTE: u32 = 4;

const PROTECTIONS: &[Choice<Protection>] = &[
    (BYTEFD_PROTECTION_NONE, Protection::None),
    (BYTEFD_PROTECTION_READ, Protection::Read),
    (BYTEFD_PROTECTION_READ | BYTEFD_PROTECTION_WRITE, Protection::ReadWrite),
    (BYTEFD_PROTECTION_READ | BYTEFD_PROTECTION_EXECUTE, Protection::ReadExecute),
    (BYTEFD_PROTECTION_READ | BYTEFD_PROTECTION_WRITE | BYTEFD_PROTECTION_EXECUTE, Protection::ReadWriteExecute),
];

/// Allows or forbids access to the pages that hold bytes of a range, mprotect(2). A `length` of 0 is from `offset` to the end of
/// the map.
///
/// Returns 0, or a negative errno: -EINVAL if `map` is NULL, there is no such protection, or the range is not all in the map;
/// -EACCES for what the map was not made for; mprotect(2)'s own.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     strcpy(bytefd_map_data(map), "constant from now on");
///     bytefd_map_protect(map, 0, 0, BYTEFD_PROTECTION_READ, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_protect(
    map: Option<&bytefd_map>,
    offset: usize,
    length: usize,
    protection: u32,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let protection = choose(protection, PROTECTIONS, "protection")?;
        required(map, "map")?.0.protect(range(offset, length), protection)
    })
}

/// Reads the pages of a range in before it returns, so that reading them later waits for nothing. A `length` of 0 is from
/// `offset` to the end of the map.
///
/// Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map; -EIO if bytes do not exist any
/// more or cannot be read.
///
/// ```c
/// bytefd_map *map;
/// if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
///     bytefd_map_prefetch(map, 0, 100, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_prefetch(
    map: Option<&bytefd_map>,
    offset: usize,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.prefetch(range(offset, length)))
}

/// Lets the pages go of which all bytes are in a range, munmap(2). A `length` of 0 is from `offset` to the end of the map.
/// Access there raises SIGSEGV from now on, other memory of the process may come to lie there, and operations on those bytes
/// are -EINVAL. The map keeps its length, but cannot be resized or sealed any more. No other thread may use the map during the
/// call.
///
/// Returns 0, or a negative errno: -EINVAL if `map` is NULL or the range is not all in the map; munmap(2)'s own.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(1 << 20, NULL, &map, NULL) == 0) {
///     bytefd_map_unmap(map, 1 << 19, 0, NULL);
///     strcpy(bytefd_map_data(map), "the first half is still there");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_unmap(
    map: Option<&mut bytefd_map>,
    offset: usize,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || required(map, "map")?.0.unmap(range(offset, length)))
}
