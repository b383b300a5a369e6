//! System V segments.

use std::ffi::c_int;

use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::map_options::is_for_writing;
use super::options::{Extensible, Flag, check_exclusive, read, set_flags};
use super::results::{give, put_if_wanted};
use crate::share::{self, SysvOptions};
use crate::{Error, Map, Result};

/// Creates the segment if there is none with this key; with IPC_PRIVATE always.
pub const BYTEFD_SYSV_CREATE: u64 = 1u64 << 28;
/// With BYTEFD_SYSV_CREATE: -EEXIST if there is a segment with this key.
pub const BYTEFD_SYSV_EXCLUSIVE: u64 = 1u64 << 29;
/// `key` is a segment's number.
pub const BYTEFD_SYSV_BY_ID: u64 = 1u64 << 30;
/// Marks the segment for removal (IPC_RMID) as soon as it is attached. The kernel removes it when
/// its last user detaches it or ends, also by SIGKILL. From then on other processes attach it by
/// its number, which Linux allows, not by its key. A process that is killed within the call,
/// between creating and marking, leaves the segment behind.
pub const BYTEFD_SYSV_TRANSIENT: u64 = 1u64 << 32;

/// How a System V segment is created or attached. Start from BYTEFD_SYSV_OPTIONS_INIT, which
/// attaches for reading, as a NULL pointer does. `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
/// options.flags = BYTEFD_SYSV_CREATE | BYTEFD_SYSV_TRANSIENT;
/// options.access = BYTEFD_MAP_WRITE;
/// options.length = 4096;
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_sysv_options {
    /// sizeof(bytefd_sysv_options).
    pub size: usize,
    /// With BYTEFD_SYSV_CREATE: the size of the new segment, zero-filled. Otherwise, and if there
    /// is a segment already: the minimum size; a smaller segment is -ENXIO.
    pub length: usize,
    /// The BYTEFD_SYSV_ flags, or-ed. An unknown bit is -EINVAL.
    pub flags: u64,
    /// BYTEFD_MAP_READ (also 0), or BYTEFD_MAP_WRITE for reading and writing. A new segment must be
    /// attached for writing.
    pub access: u32,
    /// The permission bits of a new segment; 0 is 0600.
    pub mode: u32,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_sysv_options {
    // SAFETY: as above.
    const INIT: Self = unsafe { std::mem::zeroed() };
    const FIRST_SIZE: usize = 32;
}

const FLAGS: &[Flag<SysvOptions>] = &[
    (BYTEFD_SYSV_CREATE, |options, _| options),
    (BYTEFD_SYSV_EXCLUSIVE, |options, _| options),
    (BYTEFD_SYSV_BY_ID, |options, _| options),
    (BYTEFD_SYSV_TRANSIENT, SysvOptions::transient),
];

/// The segment and its number.
fn attach(key: libc::key_t, given: bytefd_sysv_options) -> Result<(Map, c_int)> {
    let wanted = set_flags(given.flags, FLAGS, SysvOptions::new())?
        .length(given.length)
        .mode(given.mode)
        .write(is_for_writing(given.access)?);
    check_exclusive(given.flags, BYTEFD_SYSV_CREATE, BYTEFD_SYSV_EXCLUSIVE)?;
    let has = |flag| given.flags & flag != 0;
    match (has(BYTEFD_SYSV_BY_ID), has(BYTEFD_SYSV_CREATE), has(BYTEFD_SYSV_EXCLUSIVE)) {
        (true, true, _) => {
            Err(Error::new("flags", libc::EINVAL, "a new segment has no number to be created by"))
        }
        (true, ..) => Ok((wanted.open_by_id(key)?, key)),
        (_, _, true) => wanted.create(key),
        (_, true, _) => wanted.open_or_create(key),
        _ => wanted.open(key),
    }
}

/// Creates or attaches a System V segment, sysvipc(7), as a map, for programs that still use them.
/// The map is as long as the segment. `key` is IPC_PRIVATE, a key as from ftok(3), or with
/// BYTEFD_SYSV_BY_ID a number. If `shmid` is not NULL, the segment's number is written there.
///
/// bytefd_map_close detaches the segment. It stays until bytefd_sysv_remove, also when all
/// processes are gone, unless it was attached with BYTEFD_SYSV_TRANSIENT. A System V map has no
/// descriptor; bytefd_wrap_buffer copies its bytes into one.
///
/// Returns 0. On failure, returns one of the following and leaves `*map` and `*shmid` alone:
/// - -EACCES  if the mode of the segment does not allow it.
/// - -E2BIG   if the options have members that this version does not know.
/// - -EEXIST  if there is a segment with this key, with BYTEFD_SYSV_EXCLUSIVE.
/// - -EIDRM   if the segment is being removed.
/// - -EINVAL  if `map` is NULL; the options are invalid; a new segment has length 0 or exceeds
///   /proc/sys/kernel/shmmax; there is no segment of this number; or `key` is IPC_PRIVATE without
///   BYTEFD_SYSV_CREATE.
/// - -ENOENT  if there is no segment with this key.
/// - -ENOSPC  if there are too many segments.
/// - -ENOSYS  if the kernel has no System V segments.
/// - -ENXIO   if the segment is smaller than `length`.
/// - -EPERM   if the segment belongs to another user, with BYTEFD_SYSV_TRANSIENT.
/// - -ENOMEM.
///
/// ```c
/// bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
/// bytefd_map *map;
/// int shmid;
/// options.flags = BYTEFD_SYSV_CREATE | BYTEFD_SYSV_TRANSIENT;
/// options.access = BYTEFD_MAP_WRITE;
/// options.length = 4096;
/// if (bytefd_map_sysv(IPC_PRIVATE, &options, &map, &shmid, NULL) == 0) {
///     strcpy(bytefd_map_data(map), "goes with its last user");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_map_sysv(
    key: libc::key_t,
    options: *const bytefd_sysv_options,
    map: *mut *mut bytefd_map,
    shmid: *mut c_int,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and writable pointers.
    boundary(error, || unsafe {
        give(map, "map", || {
            let (attached, found) = attach(key, read(options)?)?;
            put_if_wanted(shmid, found);
            Ok(bytefd_map(attached))
        })
    })
}

/// Marks a segment for removal (IPC_RMID). It is removed when the last process has detached it. Its
/// key finds it no more.
///
/// Returns 0. On failure, returns one of the following:
/// - -EINVAL  if there is no segment of this number.
/// - -EPERM   if it belongs to another user.
///
/// ```c
/// bytefd_sysv_remove(-1, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_sysv_remove(shmid: c_int, error: *mut bytefd_error) -> c_int {
    boundary(error, || share::remove_sysv(shmid))
}
