//! Opens objects of shared memory, and sweeps.

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

/// Creates the object if it does not exist.
pub const BYTEFD_SHM_CREATE: u64 = 1u64 << 24;
/// Fails with -EEXIST if an object of this name exists. For BYTEFD_SHM_CREATE.
pub const BYTEFD_SHM_EXCLUSIVE: u64 = 1u64 << 25;
/// Ties the object's name to the processes that open the object with this flag, its owning
/// processes. bytefd_sweep removes the name once nobody holds a descriptor or mapping that comes
/// from such an open. (The user who owns the object is something else: BYTEFD_SHM_ANY_OWNER is
/// about that.)
/// - Each owning process has a shared lock on its open file description (LOCK_SH, flock(2)).
///   Duplicates, mappings, children and receivers keep the lock. The kernel ends it with the last
///   of them, also after kill -9.
/// - The library adds the prefix "bytefd-owned." to the name, even if the name begins so already.
///   With this flag, always pass the name without that prefix.
/// - Other processes can open the object by its full name, without this flag. A sweep does not
///   count them: it removes the name even while they have the object open.
/// - A process that calls flock(2) on this descriptor loses the lock.
pub const BYTEFD_SHM_OWNED: u64 = 1u64 << 26;
/// Opens an object whatever user ID owns it. Without this flag the call fails with -EPERM unless
/// the object belongs to the effective user or root. Any other user who owns it can change it at
/// any time, and may have created it because the name could be guessed.
pub const BYTEFD_SHM_ANY_OWNER: u64 = 1u64 << 27;

/// Size in bytes of a buffer for any full name, with its slash and final NUL.
pub const BYTEFD_SHM_NAME_SIZE: u32 = 257u32;

/// Selects how an object of shared memory is created or opened. Start from BYTEFD_SHM_OPTIONS_INIT,
/// in which every member but `size` is 0. It opens an existing object for reading. A NULL pointer
/// means the same. `size` works as in bytefd_wrap_options.
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
    /// With BYTEFD_SHM_CREATE: the size of the new object, zero-filled and preallocated. 0 creates
    /// an empty object. If the object exists: its minimum size; a smaller object is -ENXIO. 0
    /// accepts any size.
    pub length: u64,
    /// The BYTEFD_SHM_ flags, or-ed. 0 opens an existing object, and this process does not become
    /// an owning process. An unknown bit is -EINVAL.
    pub flags: u64,
    /// BYTEFD_MAP_READ for reading, or BYTEFD_MAP_WRITE for reading and writing. 0 means
    /// BYTEFD_MAP_READ.
    pub access: u32,
    /// The permission bits of a new object, whatever the umask is. 0 means 0600. It has no effect
    /// on an object that exists. With BYTEFD_SHM_OWNED it must have the read or the write bit of
    /// the user (0400, 0200), so that a sweep can open the object.
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
/// name and have the permission. bytefd_map_fd maps the object. Opening changes neither its length
/// nor its mode nor its content. Other processes see a new object only when it has its length and
/// mode.
///
/// A name without a slash at its beginning gets one. If `full_name` is not NULL, the full name is
/// written there, with its slash and a final NUL. `size` is the capacity of `full_name`, at least
/// BYTEFD_SHM_NAME_SIZE.
///
/// Returns a descriptor, close-on-exec, which the caller owns. On failure, returns one of the
/// following, leaves `full_name` unchanged and nothing behind:
/// - -EACCES   if the mode does not allow it.
/// - -E2BIG    if the options have members that this version does not know.
/// - -EBUSY    with BYTEFD_SHM_OWNED, if another process has locked the object exclusively.
/// - -EEXIST   if an object of this name exists, with BYTEFD_SHM_EXCLUSIVE.
/// - -EFBIG    if `length` exceeds RLIMIT_FSIZE. SIGXFSZ is not raised.
/// - -EINVAL   if `name` is NULL, empty, "." or "..", or has a slash that is not its first byte; or
///   if the options are invalid.
/// - -ELOOP    if the name is that of a symbolic link.
/// - -ENODEV   if the name is that of another file that is not regular.
/// - -ENAMETOOLONG if the name, without its slash, has more than 255 bytes, including
///   "bytefd-owned." if the object is owned.
/// - -ENOENT   if there is no such object, or no /dev/shm.
/// - -ENOSPC   if the file system is full.
/// - -ENXIO    if the object is smaller than `length`.
/// - -EPERM    if the object belongs to neither the effective user nor root, without
///   BYTEFD_SHM_ANY_OWNER.
/// - -ERANGE   if `full_name` is not NULL and `size` is less than BYTEFD_SHM_NAME_SIZE.
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

/// Removes the name of an object. The object exists as long as a process has it open or mapped. For
/// an object that was opened with BYTEFD_SHM_OWNED, `name` is the full name that bytefd_shm_open
/// wrote.
///
/// Returns 0. On failure, returns one of the following:
/// - -ENOENT  if there is no object of this name.
/// - -EINVAL, -ENAMETOOLONG  as for bytefd_shm_open.
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

/// Counts what bytefd_sweep did. Start from BYTEFD_SWEEP_RESULT_INIT.
///
/// ```c
/// bytefd_sweep_result result = BYTEFD_SWEEP_RESULT_INIT;
/// if (bytefd_sweep(&result, NULL) >= 0 && result.failed > 0)
///     fprintf(stderr, "%llu were left behind\n", (unsigned long long)result.failed);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_sweep_result {
    /// sizeof(bytefd_sweep_result), set by the caller.
    pub size: usize,
    /// Number of names that were removed.
    pub removed: u64,
    /// Number of names of this user that a process still holds.
    pub in_use: u64,
    /// Number of names that could not be removed entirely, and of directories that could not be
    /// read.
    pub failed: u64,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_sweep_result {
    // SAFETY: as above.
    const INIT: Self = unsafe { std::mem::zeroed() };
    const FIRST_SIZE: usize = 32;
}

/// Removes names of this user that no process holds any more, such as those that killed processes
/// have left behind. Writes counts to `*result` if `result` is not NULL. It removes objects with
/// BYTEFD_SHM_OWNED, files of bytefd_tempfile_create, and the names that some new files have for a
/// moment. It searches /dev/shm, $TMPDIR, /tmp and /var/tmp. After a failure it continues, and
/// counts the failure.
///
/// A process holds a shared lock, flock(2), on each object and file that it owns. The kernel ends
/// that lock with the last duplicate, mapping, child or receiver. The sweep removes a name only if
/// all of the following hold:
/// - It begins with "bytefd-owned.".
/// - It belongs to this user.
/// - No process holds it, in any container, so that the sweep can lock it exclusively.
///
/// If a directory that it removes contains a mount, it does not enter the mount.
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
        // SAFETY: the header asks for a writable struct whose size is set.
        unsafe { fill(result, "result", sweep)? };
        Ok(removed)
    })
}

fn count(names: u64) -> usize {
    usize::try_from(names).unwrap_or(usize::MAX)
}
