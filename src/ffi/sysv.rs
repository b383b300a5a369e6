//! Maps and removes System V segments.

use std::ffi::c_int;

use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::map_options::is_for_writing;
use super::options::{Extensible, Flag, check_exclusive, read, set_flags};
use super::results::{give, put_if_wanted};
use crate::share::{self, SysvOptions};
use crate::{Error, Map, Result};

/// Creates the segment if none with this key exists. With IPC_PRIVATE it always creates one.
pub const BYTEFD_SYSV_CREATE: u64 = 1u64 << 28;
/// Fails with -EEXIST if a segment with this key exists. For BYTEFD_SYSV_CREATE.
pub const BYTEFD_SYSV_EXCLUSIVE: u64 = 1u64 << 29;
/// Takes `key` as the number of a segment (its shmid).
pub const BYTEFD_SYSV_BY_ID: u64 = 1u64 << 30;
/// Marks the segment for removal (IPC_RMID) as soon as it is attached. The key no longer finds a
/// marked segment; Linux allows other processes to attach it by its number (BYTEFD_SYSV_BY_ID). The
/// kernel removes the segment when its last user detaches it or ends, also by SIGKILL. A process
/// that is killed within the call, between creating and marking, leaves the segment behind.
pub const BYTEFD_SYSV_TRANSIENT: u64 = 1u64 << 32;

/// Selects how a System V segment is created or attached. Start from BYTEFD_SYSV_OPTIONS_INIT, in
/// which every member but `size` is 0. It attaches an existing segment for reading. A NULL pointer
/// means the same. `size` works as in bytefd_wrap_options.
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
    /// With BYTEFD_SYSV_CREATE: the size of the new segment, zero-filled. 0 is -EINVAL if a segment
    /// must be created. If the segment exists: its minimum size; a smaller segment is -ENXIO. 0
    /// accepts any size.
    pub length: usize,
    /// The BYTEFD_SYSV_ flags, or-ed. 0 attaches the existing segment with the key. An unknown bit
    /// is -EINVAL.
    pub flags: u64,
    /// BYTEFD_MAP_READ for reading, or BYTEFD_MAP_WRITE for reading and writing. 0 means
    /// BYTEFD_MAP_READ. A new segment must be attached with BYTEFD_MAP_WRITE.
    pub access: u32,
    /// The permission bits of a new segment, whatever the umask is. 0 means 0600. It has no effect
    /// on a segment that exists.
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

/// Attaches a segment. Returns its map and its number.
fn attach(key: libc::key_t, given: bytefd_sysv_options) -> Result<(Map, c_int)> {
    let wanted = set_flags(given.flags, FLAGS, SysvOptions::new())?
        .length(given.length)
        .mode(given.mode)
        .write(is_for_writing(given.access)?);
    check_exclusive(given.flags, BYTEFD_SYSV_CREATE, BYTEFD_SYSV_EXCLUSIVE)?;
    let has = |flag| given.flags & flag != 0;
    match (has(BYTEFD_SYSV_BY_ID), has(BYTEFD_SYSV_CREATE), has(BYTEFD_SYSV_EXCLUSIVE)) {
        (true, true, _) => Err(Error::new(
            "flags",
            libc::EINVAL,
            "CREATE and BY_ID exclude each other: the kernel chooses the number of a new segment",
        )),
        (true, ..) => Ok((wanted.open_by_id(key)?, key)),
        (_, _, true) => wanted.create(key),
        (_, true, _) => wanted.open_or_create(key),
        _ => wanted.open(key),
    }
}

/// Creates or attaches a System V segment, sysvipc(7), as a map, for programs that still use them.
/// The map is as long as the segment. `key` is IPC_PRIVATE, a key as from ftok(3), or with
/// BYTEFD_SYSV_BY_ID the number of a segment. If `shmid` is not NULL, the segment's number is
/// written there.
///
/// bytefd_map_close detaches the segment. The segment stays until bytefd_sysv_remove, even if no
/// process uses it, unless it was attached with BYTEFD_SYSV_TRANSIENT.
///
/// The functions that take a map work on System V maps, with the following exceptions:
/// - bytefd_map_resize, bytefd_map_seal and bytefd_map_share return -EINVAL.
/// - bytefd_map_descriptor and bytefd_map_file_size return -EBADF. To get a descriptor, call
///   bytefd_wrap_buffer on the bytes of the map; it copies them.
/// - bytefd_map_protect with PROT_EXEC returns -EACCES.
/// - bytefd_map_check always returns 0, because a System V map cannot be guarded.
///
/// Returns 0. On failure, returns one of the following and leaves `*map` and `*shmid` unchanged:
/// - -EACCES  if the mode of the segment does not allow it.
/// - -E2BIG   if the options have members that this version does not know.
/// - -EEXIST  if a segment with this key exists, with BYTEFD_SYSV_EXCLUSIVE.
/// - -EIDRM   if the segment is removed during the call.
/// - -EINVAL  if `map` is NULL, the options are invalid, or there is no segment of this number.
/// - -EINVAL  if a new segment has length 0 or exceeds /proc/sys/kernel/shmmax.
/// - -EINVAL  if `key` is IPC_PRIVATE with neither BYTEFD_SYSV_CREATE nor BYTEFD_SYSV_BY_ID.
/// - -ENOENT  if there is no segment with this key.
/// - -ENOMEM  if memory runs out.
/// - -ENOSPC  if there are too many segments.
/// - -ENOSYS  if the kernel has no System V segments.
/// - -ENXIO   if the segment is smaller than `length`.
/// - -EPERM   if the segment belongs to another user, with BYTEFD_SYSV_TRANSIENT.
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

/// Marks a segment for removal (IPC_RMID). The kernel removes it when the last process has detached
/// it. Its key no longer finds it.
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
