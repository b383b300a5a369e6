//! System V segments, and memory for devices.

use std::ffi::c_int;

use super::arguments::open_descriptor;
use super::boundary::{boundary, bytefd_error};
use super::map::bytefd_map;
use super::map_options::is_for_writing;
use super::options::{Extensible, Flag, read, set_flags, unknown};
use super::results::{give, put_if_wanted};
use crate::share::{self, SysvOptions};
use crate::{Error, Map, Result};

/// Attaches the segment with this key.
pub const BYTEFD_SYSV_OPEN: u32 = 0;
/// Makes a segment with this key, which there must not be yet, or without one (IPC_PRIVATE), and attaches it.
pub const BYTEFD_SYSV_CREATE: u32 = 1;
/// Attaches the segment with this number.
pub const BYTEFD_SYSV_ATTACH: u32 = 2;

/// With BYTEFD_SYSV_CREATE and the key 0: what is made belongs to this process, and bytefd_shm_sweep removes it when the process is gone
/// and nobody has it attached. It has a key by which the sweep knows it, of which a process has 256.
pub const BYTEFD_SYSV_OWNER: u32 = 1;

/// How a System V segment is made or attached. Start from BYTEFD_SYSV_OPTIONS_INIT, which opens what there is for reading, as a NULL
/// pointer does. `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
/// options.how = BYTEFD_SYSV_CREATE;
/// options.access = BYTEFD_MAP_WRITE;
/// options.length = 4096;
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_sysv_options {
    /// sizeof(bytefd_sysv_options).
    pub size: usize,
    /// How many bytes what is made has, zeros at first; and how many what is attached must have at least.
    pub length: usize,
    /// BYTEFD_SYSV_OPEN or one of those after it.
    pub how: u32,
    /// BYTEFD_MAP_READ, or BYTEFD_MAP_WRITE for reading and writing. What is made must be for writing.
    pub access: u32,
    /// The permission bits of what is made; 0 is 0600.
    pub mode: u32,
    /// BYTEFD_SYSV_OWNER, or 0. An unknown bit is -EINVAL.
    pub flags: u32,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_sysv_options {
    const FIRST_SIZE: usize = 32;
}

const FLAGS: &[Flag<SysvOptions>] = &[(BYTEFD_SYSV_OWNER, SysvOptions::owned)];

/// The segment and its number.
fn attach(key: c_int, given: bytefd_sysv_options) -> Result<(Map, c_int)> {
    let wanted = set_flags(given.flags, FLAGS, SysvOptions::new())?;
    if given.flags != 0 && given.how != BYTEFD_SYSV_CREATE {
        return Err(Error::new("flags", libc::EINVAL, "only what is made can have an owner"));
    }
    let is_writable = is_for_writing(given.access)?;
    let wanted = wanted.length(given.length).mode(given.mode).read_only(!is_writable);
    match given.how {
        BYTEFD_SYSV_OPEN => wanted.open(key),
        BYTEFD_SYSV_CREATE if !is_writable => {
            Err(Error::new("access", libc::EINVAL, "a new segment is of no use without writing"))
        }
        BYTEFD_SYSV_CREATE => wanted.create(key),
        BYTEFD_SYSV_ATTACH => Ok((wanted.attach(key)?, key)),
        other => Err(unknown("how", other)),
    }
}

/// Makes or attaches a System V segment, sysvipc(7), as a map, for programs that still speak it; the map has as many bytes as the segment.
/// `key` is a key of ftok(3) or the like, or with BYTEFD_SYSV_ATTACH a number. bytefd_map_close detaches it; it stays until
/// bytefd_sysv_remove, also when all processes are gone (BYTEFD_SYSV_OWNER aside). If `number` is not NULL the segment's number is written
/// there. Such a map has no descriptor; shm_wrap_buffer copies its bytes into one.
///
/// Returns 0, or a negative errno with `*map` and `*number` untouched:
/// - -EINVAL: `map` is NULL; options that are unknown; a new segment without length, or above /proc/sys/kernel/shmmax; no such number;
///   0, which is no key, with BYTEFD_SYSV_OPEN; any other key with BYTEFD_SYSV_OWNER.
/// - -EEXIST, -ENOENT: there is one with this key already, or none. -ENXIO: it has fewer bytes than asked.
/// - -EACCES: its mode does not allow it. -EIDRM: it is being removed. -ENOSPC: too many segments. -ENOMEM. -ENOSYS: the kernel has none.
/// - -ENOENT, -EMFILE with BYTEFD_SYSV_OWNER: /proc is not mounted, is that of another container, or cannot be read.
///
/// ```c
/// bytefd_sysv_options options = BYTEFD_SYSV_OPTIONS_INIT;
/// bytefd_map *map;
/// int number;
/// options.how = BYTEFD_SYSV_CREATE;
/// options.access = BYTEFD_MAP_WRITE;
/// options.length = 4096;
/// if (bytefd_map_sysv(0, &options, &map, &number, NULL) == 0) {
///     bytefd_sysv_remove(number, NULL);
///     strcpy(bytefd_map_data(map), "goes with the last who has it");
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_map_sysv(
    key: c_int,
    options: *const bytefd_sysv_options,
    map: *mut *mut bytefd_map,
    number: *mut c_int,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options and writable pointers.
    boundary(error, || unsafe {
        give(map, "map", || {
            let (attached, found) = attach(key, read(options)?)?;
            put_if_wanted(number, found);
            Ok(bytefd_map(attached))
        })
    })
}

/// Marks a segment for removal: it goes when the last process has detached it, and nobody finds it by its key any more.
///
/// Returns 0, or a negative errno: -EINVAL: there is none of that number; -EPERM: it is somebody else's.
///
/// ```c
/// bytefd_sysv_remove(-1, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_sysv_remove(number: c_int, error: *mut bytefd_error) -> c_int {
    boundary(error, || share::remove_sysv(number))
}

/// Makes a dma-buf, which drivers of graphics cards, cameras and the like take, of all pages of a memory file: /dev/udmabuf, Linux 4.20.
/// Both show the same memory, and the dma-buf lives on without `fd`, which stays the caller's. `fd` must be a memfd of whole pages, sealed
/// against shrinking (F_SEAL_SHRINK) and not against writing, because devices write.
///
/// Returns the descriptor of the dma-buf, the caller's, close-on-exec, or a negative errno:
/// - -ENODEV: this kernel has no such driver, or it is not loaded. -EACCES: this user may not open it.
/// - -EINVAL: not a memfd, not whole pages or none, not sealed against shrinking, or sealed against writing; or more than the driver
///   allows (its parameter size_limit_mb).
/// - -EBADF, -EMFILE, -ENFILE; the driver's own.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     int fd = bytefd_map_descriptor(map, NULL);
///     fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
///     int buffer = bytefd_export_dmabuf(fd, NULL);
///     if (buffer >= 0)
///         close(buffer);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_export_dmabuf(fd: c_int, error: *mut bytefd_error) -> c_int {
    boundary(error, || share::export_dmabuf(open_descriptor(fd)?))
}
