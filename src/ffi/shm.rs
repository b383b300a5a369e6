//! Objects of shared memory, and the sweep.

use std::ffi::{OsStr, c_char, c_int};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::arguments::text;
use super::boundary::{boundary, bytefd_error};
use super::map_options::is_for_writing;
use super::options::{Extensible, Flag, check_exclusive, read, set_flags};
use super::results::{fill, put_text};
use crate::share::{self, ShmOptions};
use crate::{Error, Result};

/// Creates the object if there is none.
pub const BYTEFD_SHM_CREATE: u64 = 1u64 << 24;
/// With BYTEFD_SHM_CREATE: -EEXIST if there is an object of this name.
pub const BYTEFD_SHM_EXCLUSIVE: u64 = 1u64 << 25;
/// The object is owned by those that open it with this flag: bytefd_sweep removes its name once
/// none of them has it open or mapped. The owners share a lock on the open file description
/// (LOCK_SH, flock(2)). Duplicates, mappings, children and receivers keep it. The kernel ends it
/// with the last of them, also after kill -9. The name begins with "bytefd-owned.", which the
/// library adds. Other processes can open the object by its full name, without this flag; a sweep
/// does not see them. A process that calls flock(2) on this descriptor loses the lock.
pub const BYTEFD_SHM_OWNED: u64 = 1u64 << 26;
/// Opens an object that belongs to any user. Without this flag an object is -EPERM unless its owner
/// is the effective user or root: another owner can change it at any time, and can have created it
/// in expectation of this name.
pub const BYTEFD_SHM_ANY_OWNER: u64 = 1u64 << 27;

/// Size of a buffer for any full name, with its slash and final NUL.
pub const BYTEFD_SHM_NAME_SIZE: u32 = 257u32;

/// How an object of shared memory is created or opened. Start from BYTEFD_SHM_OPTIONS_INIT, which
/// opens for reading, as a NULL pointer does. `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_shm_options options = BYTEFD_SHM_OPTIONS_INIT;
/// options.flags = BYTEFD_SHM_CREATE | BYTEFD_SHM_EXCLUSIVE;
/// options.access = BYTEFD_MAP_WRITE;
/// options.length = 4096;
/// int fd = bytefd_shm_open("table", &options, NULL, 0, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_shm_options {
    /// sizeof(bytefd_shm_options).
    pub size: usize,
    /// With BYTEFD_SHM_CREATE: the size of the new object, zero-filled and preallocated. Otherwise,
    /// and if there is an object already: the minimum size; a smaller object is -ENXIO.
    pub length: u64,
    /// The BYTEFD_SHM_ flags, or-ed. An unknown bit is -EINVAL.
    pub flags: u64,
    /// BYTEFD_MAP_READ (also 0), or BYTEFD_MAP_WRITE for reading and writing.
    pub access: u32,
    /// The permission bits of a new object, whatever the umask says; 0 is 0600. With
    /// BYTEFD_SHM_OWNED its owner must be allowed to read or write it, or a sweep could not open
    /// it.
    pub mode: u32,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_shm_options {
    // SAFETY: as above.
    const INIT: Self = unsafe { std::mem::zeroed() };
    const FIRST_SIZE: usize = 32;
}

const FLAGS: &[Flag<ShmOptions>] = &[
    (BYTEFD_SHM_CREATE, |options, _| options),
    (BYTEFD_SHM_EXCLUSIVE, |options, _| options),
    (BYTEFD_SHM_OWNED, ShmOptions::owned),
    (BYTEFD_SHM_ANY_OWNER, ShmOptions::any_owner),
];

/// Opens or creates an object of shared memory, shm_overview(7), for all processes that know its
/// name and have the permission. bytefd_map_fd maps it. Opening changes neither length nor mode nor
/// content. Other processes see a new object when it has its length and mode.
///
/// A slash before the name is added if there is none. If `full_name` is not NULL, the full name is
/// written there, with its slash and a final NUL. `size` is its capacity, at least
/// BYTEFD_SHM_NAME_SIZE.
///
/// Returns a descriptor, close-on-exec, which the caller owns. On failure, returns one of the
/// following, leaves `full_name` alone and nothing behind:
/// - -EACCES   if the mode does not allow it.
/// - -E2BIG    if the options have members that this version does not know.
/// - -EBUSY    if another process has locked the object exclusively, with BYTEFD_SHM_OWNED.
/// - -EEXIST   if there is an object of this name, with BYTEFD_SHM_EXCLUSIVE.
/// - -EFBIG    if `length` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
/// - -EINVAL   if `name` is NULL, empty, "." or "..", or has a slash that is not its first byte; or
///   if the options are invalid.
/// - -ELOOP    if the name is that of a symbolic link; -ENODEV if it is not that of a regular file.
/// - -ENAMETOOLONG  if the name has more than 255 bytes, with "bytefd-owned." if it is owned.
/// - -ENOENT   if there is no such object, or no /dev/shm.
/// - -ENOSPC   if the file system is full.
/// - -ENXIO    if the object is smaller than `length`.
/// - -EPERM    if the object belongs to another user than the effective one and root, without
///   BYTEFD_SHM_ANY_OWNER.
/// - -ERANGE   if `size` is less than BYTEFD_SHM_NAME_SIZE.
/// - -EMFILE, -ENFILE, -ENOMEM  if a limit is reached; see open(2).
///
/// ```c
/// int fd = bytefd_shm_open("table", NULL, NULL, 0, NULL);
/// bytefd_map *map;
/// if (fd >= 0 && bytefd_map_fd(fd, NULL, &map, NULL) == 0)
///     bytefd_map_close(map);
/// ```
///
/// cbindgen:postfix=BYTEFD_WRITES(3, 4)
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_shm_open(
    name: *const c_char,
    options: *const bytefd_shm_options,
    full_name: *mut c_char,
    size: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a string, valid options, and `size` writable bytes at
    // `full_name`.
    boundary(error, || unsafe {
        let (name, given) = (name_of(name)?, read(options)?);
        if !full_name.is_null() && size < BYTEFD_SHM_NAME_SIZE as usize {
            let message = format!("size is {size}, must be at least {BYTEFD_SHM_NAME_SIZE}");
            return Err(Error::new("full_name", libc::ERANGE, message));
        }
        let wanted = set_flags(given.flags, FLAGS, ShmOptions::new())?
            .length(given.length)
            .mode(given.mode)
            .write(is_for_writing(given.access)?);
        check_exclusive(given.flags, BYTEFD_SHM_CREATE, BYTEFD_SHM_EXCLUSIVE)?;
        let shm = if given.flags & BYTEFD_SHM_EXCLUSIVE != 0 {
            wanted.create(name)?
        } else if given.flags & BYTEFD_SHM_CREATE != 0 {
            wanted.open_or_create(name)?.0
        } else {
            wanted.open(name)?
        };
        if !full_name.is_null() {
            put_text(shm.name().as_bytes(), full_name, size)?;
        }
        Ok(OwnedFd::from(shm))
    })
}

/// Removes a name. The object lives as long as a process has it open or mapped. For an object that
/// was opened with BYTEFD_SHM_OWNED, `name` is the full name that bytefd_shm_open gave.
///
/// Returns 0. On failure, returns one of the following:
/// - -ENOENT  if there is no object of this name.
/// - -EINVAL, -ENAMETOOLONG  as bytefd_shm_open.
/// - -EACCES, -EPERM and other errors of unlink(2).
///
/// ```c
/// bytefd_shm_unlink("table", NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_shm_unlink(name: *const c_char, error: *mut bytefd_error) -> c_int {
    // SAFETY: the header asks for a string.
    boundary(error, || unsafe { share::unlink_shm(name_of(name)?) })
}

/// # Safety
/// As [`text`].
unsafe fn name_of<'a>(name: *const c_char) -> Result<&'a OsStr> {
    // SAFETY: the caller vouches for it.
    unsafe { text(name, "name") }.map(|name| OsStr::from_bytes(name.to_bytes()))
}

/// What bytefd_sweep did. Start from BYTEFD_SWEEP_RESULT_INIT.
///
/// ```c
/// bytefd_sweep_result result = BYTEFD_SWEEP_RESULT_INIT;
/// if (bytefd_sweep(&result, NULL) >= 0 && result.failed > 0)
///     fprintf(stderr, "%llu were left behind\n", (unsigned long long)result.failed);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_sweep_result {
    /// sizeof(bytefd_sweep_result).
    pub size: usize,
    /// The number of names that were removed.
    pub removed: u64,
    /// The number of names of this user that a process holds.
    pub in_use: u64,
    /// The number of names that could not be removed, or not entirely, and of directories that
    /// could not be read.
    pub failed: u64,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_sweep_result {
    // SAFETY: as above.
    const INIT: Self = unsafe { std::mem::zeroed() };
    const FIRST_SIZE: usize = 32;
}

/// Removes what killed processes of this user have left: objects with BYTEFD_SHM_OWNED, the files
/// of bytefd_tempfile_create, and the names that some files have for a moment. It looks into
/// /dev/shm, $TMPDIR, /tmp and /var/tmp, goes on after a failure, and counts it. Fills `*result`
/// if that is not NULL.
///
/// A process holds a shared lock, flock(2), on what it owns; the kernel ends that lock with the
/// process. The sweep removes what it can lock exclusively: names that begin with "bytefd-owned.",
/// belong to this user, and have no process that holds them, in any container. It leaves everything
/// else alone, and enters nothing that is mounted in a directory that it removes.
///
/// Returns the number of names that were removed. On failure, returns the following and removes
/// nothing:
/// - -EINVAL  if the size of `*result` is below the first version's.
///
/// ```c
/// bytefd_sweep(NULL, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_sweep(
    result: *mut bytefd_sweep_result,
    error: *mut bytefd_error,
) -> c_int {
    boundary(error, || {
        if result.is_null() {
            return Ok(count(share::sweep().removed));
        }
        let mut removed = 0;
        let sweep = || {
            let share::SweepResult { removed: names, in_use, failed, .. } = share::sweep();
            removed = count(names);
            Ok(bytefd_sweep_result { size: 0, removed: names, in_use, failed })
        };
        // SAFETY: the header asks for a writable struct that says its size.
        unsafe { fill(result, "result", sweep)? };
        Ok(removed)
    })
}

fn count(names: u64) -> usize {
    usize::try_from(names).unwrap_or(usize::MAX)
}
