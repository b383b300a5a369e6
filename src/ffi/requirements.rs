//! Verifies descriptors that another process has made.

use std::ffi::c_int;

use super::arguments::open_descriptor;
use super::boundary::{boundary, bytefd_error};
use super::options::{Extensible, check_flags, not_zero, read};
use crate::share::{Requirements, Unsealed};
use crate::{Error, Result};

/// In bytefd_requirements: requires that the file's owner is the member `uid`.
pub const BYTEFD_REQUIRE_UID: u64 = 1u64 << 20;
/// In bytefd_requirements: does not require seals. A file is accepted with and without them. The
/// member `seals` must be 0. Other processes can then change or shorten the file at any time.
/// Checking such a descriptor asks its file system, which may never answer (FUSE, NFS).
pub const BYTEFD_REQUIRE_NO_SEALS: u64 = 1u64 << 21;

/// Requirements for a descriptor that another process has made. With any requirements, the
/// descriptor must refer to a regular file that is open for reading. Start from
/// BYTEFD_REQUIREMENTS_INIT, which requires seals against writing and shrinking. For bytefd_verify
/// a NULL pointer means the same; for bytefd_receive it means no requirements. `size` works as in
/// bytefd_wrap_options.
///
/// ```c
/// bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
/// requirements.min_length = 4096;
/// int status = bytefd_verify(STDIN_FILENO, &requirements, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_requirements {
    /// sizeof(bytefd_requirements).
    pub size: usize,
    /// Minimum number of bytes. 0 (the default) accepts any number.
    pub min_length: u64,
    /// Maximum number of bytes. A sealed file can be far longer than its memory, because it may
    /// consist of holes. BYTEFD_UNLIMITED (the default) sets no limit; 0 is -EINVAL.
    pub max_length: u64,
    /// BYTEFD_REQUIRE_UID and BYTEFD_REQUIRE_NO_SEALS, or-ed. 0 (the default) sets none.
    pub flags: u64,
    /// The seals that the file must have, F_SEAL_* of fcntl(2); it may have more. 0 (the default)
    /// means F_SEAL_WRITE | F_SEAL_SHRINK.
    pub seals: u32,
    /// The required owner of the file, with BYTEFD_REQUIRE_UID. Otherwise it must be 0.
    pub uid: libc::uid_t,
}

// SAFETY: integers without padding, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_requirements {
    const INIT: Self = bytefd_requirements {
        size: 0,
        min_length: 0,
        max_length: u64::MAX,
        flags: 0,
        seals: 0,
        uid: 0,
    };
    const FIRST_SIZE: usize = 40;
}

/// # Safety
/// As [`read`].
pub(super) unsafe fn requirements(
    from: *const bytefd_requirements,
) -> Result<Requirements<Unsealed>> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    let bytefd_requirements { flags, seals, uid, .. } = given;
    check_flags(flags, BYTEFD_REQUIRE_UID | BYTEFD_REQUIRE_NO_SEALS)?;
    let refused = |member, message| Err(Error::new(member, libc::EINVAL, message));
    let seals = match (flags & BYTEFD_REQUIRE_NO_SEALS != 0, seals) {
        (true, 0) => 0,
        (true, _) => {
            return refused(
                "seals",
                format!("seals is {seals:#x}, must be 0 with BYTEFD_REQUIRE_NO_SEALS"),
            );
        }
        (false, 0) => crate::share::FOR_READING,
        (false, _) => seals as i32,
    };
    let most = not_zero(given.max_length, "max_length", "BYTEFD_REQUIREMENTS_INIT")?;
    let wanted =
        Requirements::new().no_seals().seals(seals).min_length(given.min_length).max_length(most);
    let wanted = match (flags & BYTEFD_REQUIRE_UID != 0, uid) {
        (true, _) => wanted.uid(uid),
        (false, 0) => wanted,
        (false, _) => {
            return refused("uid", format!("uid is {uid}, must be 0 without BYTEFD_REQUIRE_UID"));
        }
    };
    wanted.check_self()?;
    Ok(wanted)
}

/// Checks that a descriptor meets `requirements`. NULL means BYTEFD_REQUIREMENTS_INIT, which
/// requires F_SEAL_WRITE and F_SEAL_SHRINK. The bytes that the file has can then never change or
/// go, but without F_SEAL_GROW the file can become longer.
///
/// The result about seals stays true, because seals cannot be removed. The file can get another
/// owner afterwards, and another length unless it has both F_SEAL_SHRINK and F_SEAL_GROW. Seals are
/// checked before everything that asks a file system, which may never answer (FUSE, NFS).
///
/// Returns 0. On failure, returns one of the following:
/// - -EPERM   if seals are missing, or the file cannot have any. That includes every file that is
///   not a regular file, without BYTEFD_REQUIRE_NO_SEALS.
/// - -EISDIR  if it is a directory, with BYTEFD_REQUIRE_NO_SEALS.
/// - -ENODEV  if it is another file that is not regular, with BYTEFD_REQUIRE_NO_SEALS.
/// - -ENXIO   if it is shorter than `min_length`.
/// - -EFBIG   if it is longer than `max_length`.
/// - -EACCES  if its owner is not `uid`, with BYTEFD_REQUIRE_UID; or if it is not open for reading.
/// - -EBADF   if `fd` is not an open descriptor.
/// - -EINVAL, -E2BIG  if a requirement is unknown, or requirements contradict each other.
///
/// ```c
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (bytefd_verify(fd, NULL, NULL) == 0)
///     puts("nobody can change or remove its bytes");
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_verify(
    fd: c_int,
    requirements: *const bytefd_requirements,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid requirements.
    boundary(error, || unsafe { self::requirements(requirements)?.check(open_descriptor(fd)?) })
}
