//! How a descriptor is made, as C says it.

use std::ffi::c_char;

use super::arguments::optional_text;
use super::options::{Choice, Extensible, Flag, choose, read, set_flags};
use super::pool::bytefd_pool;
use crate::{Backend, Error, Result, WrapOptions};

/// Read-write, without seals, mode 0600: content and size can be changed, and seals added later. (Where
/// vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
pub const BYTEFD_WRITABLE: u32 = 1;
/// A description opened O_RDONLY, for code that looks at the access mode. Sealed all the same. Needs /proc.
pub const BYTEFD_READ_ONLY: u32 = 2;
/// Can be executed and mapped executable; mode 0500. Without it the kernel refuses execution for good where it can
/// (F_SEAL_EXEC, Linux 6.3). A script needs BYTEFD_INHERIT too: its interpreter opens it after close-on-exec. Where there is no
/// memfd, /dev/shm or /tmp may be mounted noexec; who must execute asks for BYTEFD_BACKEND_MEMFD.
pub const BYTEFD_EXECUTABLE: u32 = 4;
/// No close-on-exec: every program that this process executes from now on has the descriptor under the same number.
pub const BYTEFD_INHERIT: u32 = 8;
/// Exactly F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK (0xe), so that the caller can add further seals. Only a memfd
/// can be sealed: with BYTEFD_BACKEND_AUTO this means BYTEFD_BACKEND_MEMFD. Seals are added through read-write
/// descriptions only, so this is one, and kernels before 6.7 map it privately only; bytefd_reopen gives one that maps.
pub const BYTEFD_SEAL_CONTENT: u32 = 16;
/// For scans with a pool only: the callback promises to keep nothing, and is lent the kept file itself. See bytefd_pool.
pub const BYTEFD_TRUST_CALLBACK: u32 = 32;

/// The first of the following that this host offers, in their order. Running out of something (descriptors, memory,
/// space) is an error and does not lead to the next.
pub const BYTEFD_BACKEND_AUTO: u32 = 0;
/// memfd_create(2), Linux 3.17: no name, no limit but memory, and the only one that can be sealed.
pub const BYTEFD_BACKEND_MEMFD: u32 = 1;
/// shm_open(3): on the tmpfs at /dev/shm and limited by its size. The name is unguessable and removed before the
/// first byte is written.
pub const BYTEFD_BACKEND_SHM: u32 = 2;
/// open(2) with O_TMPFILE, Linux 3.11: without a name in $TMPDIR, /tmp or /var/tmp, usually on disk.
pub const BYTEFD_BACKEND_TMPFILE: u32 = 3;

/// How a descriptor is made. Start from BYTEFD_WRAP_OPTIONS_INIT, which is all defaults, as is a NULL pointer.
///
/// `size` lets the struct grow at its end: a library that knows more members takes the missing ones as 0; one that
/// knows fewer accepts what is 0 and answers -E2BIG otherwise, and also above 4096. A size below this version's is -EINVAL.
///
/// ```c
/// bytefd_wrap_options options = BYTEFD_WRAP_OPTIONS_INIT;
/// options.name = "upload";
/// options.flags = BYTEFD_READ_ONLY | BYTEFD_INHERIT;
/// int fd = shm_wrap_buffer("hello", 5, &options, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_wrap_options {
    /// sizeof(bytefd_wrap_options).
    pub size: usize,
    /// A label that shows in /proc/self/fd and /proc/self/maps: 1 to 200 bytes without '/' and newline. Need not be
    /// unique. Files of BYTEFD_BACKEND_SHM show 160 bytes of it at least, those of BYTEFD_BACKEND_TMPFILE none. NULL is "bytefd".
    pub name: *const c_char,
    /// BYTEFD_WRITABLE and the constants after it, or-ed. An unknown bit is -EINVAL, and so is BYTEFD_WRITABLE with
    /// BYTEFD_READ_ONLY or BYTEFD_SEAL_CONTENT.
    pub flags: u32,
    /// One of BYTEFD_BACKEND_AUTO and the constants after it.
    pub backend: u32,
    /// The permission bits; 0 for the default: 0400, or 0600, 0500 or 0700 as the flags ask. The owner's read bit must
    /// be set, execute bits only with BYTEFD_EXECUTABLE.
    pub mode: u32,
    /// For scans: the pool that lends the file, NULL for a new file each time. Otherwise it must be NULL, or -EINVAL.
    pub pool: *mut bytefd_pool,
}

// SAFETY: integers and pointers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_wrap_options {
    const FIRST_SIZE: usize = 40;
}

const FLAGS: &[Flag<WrapOptions>] = &[
    (BYTEFD_WRITABLE, WrapOptions::writable),
    (BYTEFD_READ_ONLY, WrapOptions::read_only),
    (BYTEFD_EXECUTABLE, WrapOptions::executable),
    (BYTEFD_INHERIT, WrapOptions::inherit),
    (BYTEFD_SEAL_CONTENT, WrapOptions::seal_content),
    (BYTEFD_TRUST_CALLBACK, WrapOptions::trust_callback),
];

const BACKENDS: &[Choice<Backend>] = &[
    (BYTEFD_BACKEND_AUTO, Backend::Auto),
    (BYTEFD_BACKEND_MEMFD, Backend::Memfd),
    (BYTEFD_BACKEND_SHM, Backend::Shm),
    (BYTEFD_BACKEND_TMPFILE, Backend::TmpFile),
];

/// The options of a file that is lent, and the pool that lends it.
///
/// # Safety
/// As [`read`]; and its `name` is NULL or a string, its `pool` NULL or a pool that stays during the call.
pub(super) unsafe fn scan_options<'a>(
    from: *const bytefd_wrap_options,
) -> Result<(WrapOptions, Option<&'a bytefd_pool>)> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    let mut options = set_flags(given.flags, FLAGS, WrapOptions::new())?
        .backend(choose(given.backend, BACKENDS, "backend")?)
        .mode(given.mode);
    // SAFETY: the caller vouches for a string.
    if let Some(name) = unsafe { optional_text(given.name) } {
        options = options.name(name.to_bytes());
    }
    // SAFETY: the caller vouches for a pool.
    Ok((options, unsafe { given.pool.as_ref() }))
}

/// The options of a file that is given away.
///
/// # Safety
/// As [`scan_options`].
pub(super) unsafe fn wrap_options(from: *const bytefd_wrap_options) -> Result<WrapOptions> {
    // SAFETY: the caller vouches for it.
    match unsafe { scan_options(from)? } {
        (options, None) => Ok(options),
        _ => Err(Error::new("pool", libc::EINVAL, "a pool is for scans; this file is given away")),
    }
}
