//! Works on a range of a map.

use std::ffi::c_int;

use super::arguments::{part, required, shared};
use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::options::check_flags;
use crate::{Error, Flush, Protection, Result};

/// Returns the error for a number of the kernel that the function does not know.
fn unknown(what: &'static str, value: c_int, kind: &str) -> Error {
    Error::new(what, libc::EINVAL, format_args!("unknown {kind} {value:#x}"))
}

fn flush(flags: c_int) -> Result<Flush> {
    const SYNC: c_int = libc::MS_SYNC;
    const ASYNC: c_int = libc::MS_ASYNC;
    match (flags & !libc::MS_INVALIDATE, flags & libc::MS_INVALIDATE != 0) {
        (SYNC, false) => Ok(Flush::Sync),
        (SYNC, true) => Ok(Flush::SyncInvalidate),
        (ASYNC, false) => Ok(Flush::Async),
        (ASYNC, true) => Ok(Flush::AsyncInvalidate),
        _ => Err(unknown("flags", flags, "flush flags")),
    }
}

/// Writes the changed bytes of a range back to the file, msync(2). The range is any bytes of the
/// map, not only whole pages. `length` may be BYTEFD_TO_END; 0 writes nothing.
///
/// `flags` is an int, as in msync(2), because it takes the kernel's MS_ constants and no flag of
/// this library. It is one of:
/// - MS_SYNC: returns when the bytes are on the storage.
/// - MS_ASYNC: schedules the writing and returns. (Linux writes a shared map back later even
///   without this call.)
///
/// MS_INVALIDATE may be added, so that other maps of the file show its new content. (On Linux they
/// always do.)
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL, `flags` has another value, or the range is not in the map.
/// - -EINVAL if the map is a BYTEFD_MAP_PRIVATE one, whose stores never reach the file.
/// - -EBUSY if pages are locked, with MS_INVALIDATE.
/// - -EIO if writing failed, or a guarded map has replaced lost pages.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// bytefd_map *map;
/// options.access = BYTEFD_MAP_WRITE;
/// if (map_file("table", &options, &map, NULL) == 0) {
///     memset(bytefd_map_data(map), 0, bytefd_map_length(map));
///     if (bytefd_map_flush(map, 0, BYTEFD_TO_END, MS_SYNC, NULL) != 0)
///         fprintf(stderr, "not on the storage\n");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_flush(
    map: *mut bytefd_map,
    offset: usize,
    length: usize,
    flags: c_int,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let how = flush(flags)?;
        // SAFETY: the header asks for a map.
        unsafe { shared(map, "map")? }.0.flush(part(offset, length), how)
    })
}

/// Allows bytefd_map_advise to lose the content of pages.
pub const BYTEFD_LOSE_CONTENT: u64 = 1u64 << 18;

/// Tells the kernel how the pages of a range will be used, madvise(2). `advice` is a MADV_
/// constant. `length` may be BYTEFD_TO_END; 0 does nothing.
///
/// `flags` must be BYTEFD_LOSE_CONTENT for advice that loses content, and may be 0 for other
/// advice. The following advice loses content:
/// - MADV_FREE, MADV_REMOVE, MADV_HWPOISON and MADV_GUARD_INSTALL.
/// - MADV_DONTNEED and MADV_DONTNEED_LOCKED in maps with BYTEFD_MAP_PRIVATE.
///
/// After MADV_DONTFORK, children must call no function with the map, as with BYTEFD_MAP_NO_FORK.
///
/// Advice that loses content is given only to pages that lie entirely within the range; a last page
/// that the map does not fill is left alone. Other advice is given to every page that contains
/// bytes of the range.
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL, `advice` or `flags` is unknown, or the range is not in the map.
/// - -EINVAL if the advice would lose content and BYTEFD_LOSE_CONTENT is missing.
/// - -EINVAL if the kernel does not support the advice for this kind of memory.
/// - -EOPNOTSUPP if this kernel does not know the advice.
/// - -EPERM for MADV_REMOVE if the memory was shared (bytefd_map_share).
/// - Other errors of madvise(2).
///
/// ```c
/// bytefd_map *map;
/// if (map_file("/etc/passwd", NULL, &map, NULL) == 0) {
///     bytefd_map_advise(map, 0, BYTEFD_TO_END, MADV_SEQUENTIAL, 0, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_advise(
    map: *mut bytefd_map,
    offset: usize,
    length: usize,
    advice: c_int,
    flags: u64,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        check_flags(flags, BYTEFD_LOSE_CONTENT)?;
        // SAFETY: the header asks for a map.
        let map = unsafe { shared(map, "map")? };
        map.0.give_advice(part(offset, length), advice, flags == BYTEFD_LOSE_CONTENT)
    })
}

/// Keeps the pages of a range in memory, mlock(2). Locks do not add up: one bytefd_map_munlock ends
/// all of them. `length` may be BYTEFD_TO_END; 0 locks nothing.
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL or the range is not in the map.
/// - -ENOMEM or -EPERM if RLIMIT_MEMLOCK does not allow it.
/// - -ENOMEM if pages are past the end of the file.
/// - Other errors of mlock(2).
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     if (bytefd_map_mlock(map, 0, 64, NULL) == 0)
///         strcpy(bytefd_map_data(map), "a secret");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_mlock(
    map: *mut bytefd_map,
    offset: usize,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a map.
    boundary(error, || unsafe { shared(map, "map")? }.0.mlock(part(offset, length)))
}

/// Reverts bytefd_map_mlock and BYTEFD_MAP_MLOCK for the pages of a range, munlock(2). `length` may
/// be BYTEFD_TO_END; 0 unlocks nothing.
///
/// Returns 0, or -EINVAL if `map` is NULL or the range is not in the map.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// bytefd_map *map;
/// options.flags = BYTEFD_MAP_MLOCK;
/// if (map_file("/etc/passwd", &options, &map, NULL) == 0) {
///     bytefd_map_munlock(map, 0, BYTEFD_TO_END, NULL);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_munlock(
    map: *mut bytefd_map,
    offset: usize,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a map.
    boundary(error, || unsafe { shared(map, "map")? }.0.munlock(part(offset, length)))
}

fn protection(prot: c_int) -> Result<Protection> {
    const READ: c_int = libc::PROT_READ;
    const READ_WRITE: c_int = READ | libc::PROT_WRITE;
    const READ_EXECUTE: c_int = READ | libc::PROT_EXEC;
    const ALL: c_int = READ_WRITE | libc::PROT_EXEC;
    match prot {
        libc::PROT_NONE => Ok(Protection::None),
        READ => Ok(Protection::Read),
        READ_WRITE => Ok(Protection::ReadWrite),
        READ_EXECUTE => Ok(Protection::ReadExecute),
        ALL => Ok(Protection::ReadWriteExecute),
        _ => Err(unknown("prot", prot, "protection")),
    }
}

/// Allows or forbids access to the pages that contain bytes of a range, mprotect(2). `length` may
/// be BYTEFD_TO_END; 0 does nothing. `prot` is PROT_NONE, or PROT_READ with or without PROT_WRITE
/// and PROT_EXEC. PROT_WRITE and PROT_EXEC need PROT_READ, because Linux does not reliably forbid
/// reading of memory that can be written or executed.
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL, `prot` is another value, or the range is not in the map.
/// - -EACCES for PROT_WRITE without BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE.
/// - -EACCES for PROT_EXEC without BYTEFD_MAP_EXECUTE.
/// - Other errors of mprotect(2).
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     strcpy(bytefd_map_data(map), "constant from now on");
///     if (bytefd_map_protect(map, 0, BYTEFD_TO_END, PROT_READ, NULL) < 0)
///         fprintf(stderr, "it can still be written\n");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_protect(
    map: *mut bytefd_map,
    offset: usize,
    length: usize,
    prot: c_int,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        let protection = protection(prot)?;
        // SAFETY: the header asks for a map.
        unsafe { shared(map, "map")? }.0.set_protection(part(offset, length), protection)
    })
}

/// Reads the pages of a range in before it returns, so that later access does not wait. `length`
/// may be BYTEFD_TO_END; 0 reads nothing.
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL or the range is not in the map.
/// - -EIO if bytes no longer exist or cannot be read.
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
    map: *mut bytefd_map,
    offset: usize,
    length: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a map.
    boundary(error, || unsafe { shared(map, "map")? }.0.prefetch(part(offset, length)))
}

/// Unmaps every page that lies entirely within a range, munmap(2). `length` may be BYTEFD_TO_END.
/// The map can begin or end within a page. The page in which it begins is unmapped too, provided
/// that the range begins at the map's first byte. The page in which it ends is unmapped too,
/// provided that the range ends at the map's last byte.
///
/// Access to these pages then raises SIGSEGV, or finds other memory of the process. Operations on
/// their bytes are -EINVAL. The map keeps its length, but can no longer be resized or sealed. No
/// other thread may use the map during the call.
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL if `map` is NULL, `length` is 0, or the range is not in the map.
/// - Other errors of munmap(2).
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(1 << 20, NULL, &map, NULL) == 0) {
///     bytefd_map_unmap(map, 1 << 19, BYTEFD_TO_END, NULL);
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
    boundary(error, || {
        let map = required(map, "map")?;
        if length == 0 {
            return Err(Error::new(
                "length",
                libc::EINVAL,
                "length is 0, must be at least 1; BYTEFD_TO_END selects everything up to the end",
            ));
        }
        map.0.unmap(part(offset, length))
    })
}
