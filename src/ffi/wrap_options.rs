//! How a descriptor is made, as C says it.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

use super::arguments::optional_text;
use super::flags::BYTEFD_INHERIT;
use super::options::{Choice, Extensible, Flag, choose, not_zero, read, set_flags};
use super::pool::bytefd_pool;
use crate::{Backend, Error, Result, WrapOptions};

/// The file is open for reading and writing, has no seals, and mode 0600: content and size can be
/// changed, and seals added later. (Where vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
pub const BYTEFD_WRITABLE: u64 = 1u64 << 2;
/// The descriptor is open for reading only (O_RDONLY), for code that looks at the access mode. The
/// file is sealed all the same. Needs /proc.
pub const BYTEFD_READ_ONLY: u64 = 1u64 << 3;
/// The file can be executed; mode 0500. Without this flag execve(2) of the file is refused, for
/// good where the kernel can seal it (F_SEAL_EXEC, Linux 6.3). BYTEFD_WRITABLE and
/// BYTEFD_SEAL_CONTENT leave that seal out. That is all that is refused: a PROT_EXEC mapping of any
/// file still works.
/// - A script needs BYTEFD_INHERIT too: its interpreter opens it after close-on-exec has taken
///   effect.
/// - dlopen(3) of "/proc/self/fd/N" remembers that name. If the descriptor is closed, and a later
///   file gets the number N, dlopen of it returns the first object again. Keep the descriptor open
///   for as long as the object may be loaded: then no other file gets its number.
/// - Where there is no memfd, /dev/shm or /tmp may be mounted noexec: ask for BYTEFD_BACKEND_MEMFD.
pub const BYTEFD_EXECUTABLE: u64 = 1u64 << 4;
/// Exactly F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK (0xe), so that the caller can add further
/// seals. Only a memfd can be sealed: with BYTEFD_BACKEND_AUTO this means BYTEFD_BACKEND_MEMFD. The
/// descriptor is open for reading and writing, because adding seals needs that; with
/// BYTEFD_READ_ONLY it cannot add any. Kernels before 6.7 map it privately only; bytefd_reopen
/// gives one that maps.
pub const BYTEFD_SEAL_CONTENT: u64 = 1u64 << 5;
/// For scans with a pool only: the callback promises to keep nothing and to change nothing, and is
/// lent the cached file itself. See bytefd_pool. For BYTEFD_POOL_REUSE and BYTEFD_POOL_AUTO;
/// -EINVAL with BYTEFD_POOL_NEW_FILES.
pub const BYTEFD_TRUST_CALLBACK: u64 = 1u64 << 6;

/// The first of the following that this host offers, in their order. 0 means the same. Running out
/// of something (descriptors, memory, space) is an error and does not lead to the next.
pub const BYTEFD_BACKEND_AUTO: u32 = 0x80000010u32;
/// memfd_create(2), Linux 3.17: no name, no limit but memory, and the only one that can be sealed.
pub const BYTEFD_BACKEND_MEMFD: u32 = 0x80000011u32;
/// A file without a name on the tmpfs at /dev/shm, where shm_open(3) makes its own, limited by that
/// file system's size. Where that knows no O_TMPFILE the file has an unguessable name until the
/// first byte is written, which bytefd_sweep removes if the process is killed just then.
pub const BYTEFD_BACKEND_SHM: u32 = 0x80000012u32;
/// open(2) with O_TMPFILE, Linux 3.11: without a name in $TMPDIR, /tmp or /var/tmp, usually on
/// disk.
pub const BYTEFD_BACKEND_TMPFILE: u32 = 0x80000013u32;

/// How a descriptor is made. Start from BYTEFD_WRAP_OPTIONS_INIT, which is all defaults, as is a
/// NULL pointer.
///
/// `size` lets the struct grow at its end: a library that knows more members takes the missing ones
/// as their defaults; one that knows fewer accepts what is 0 and returns -E2BIG otherwise, and also
/// above 4096. A size below the first version's is -EINVAL.
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
    /// A label that shows in /proc/self/fd and /proc/self/maps: 1 to 200 bytes without '/' and
    /// newline. It need not be unique. Files of BYTEFD_BACKEND_SHM and BYTEFD_BACKEND_TMPFILE do
    /// not show it. NULL is "bytefd".
    pub name: *const c_char,
    /// For scans: the pool that lends the file, NULL for a new file each time. For functions that
    /// give a file away it must be NULL, or -EINVAL.
    pub pool: *mut bytefd_pool,
    /// Above this number of bytes the content goes to an unlinked file on disk, in $TMPDIR, /tmp or
    /// /var/tmp, instead of memory. That holds for buffers, segments, scans and streams. Such a
    /// file cannot be sealed, and it is never a pool's. Its descriptor is open for reading only,
    /// without BYTEFD_WRITABLE. BYTEFD_UNLIMITED (the default) keeps everything in memory. 0 is
    /// -EINVAL. With BYTEFD_BACKEND_MEMFD or BYTEFD_SEAL_CONTENT any other value is -EINVAL, too.
    pub spill_threshold: u64,
    /// BYTEFD_INHERIT and the flags from BYTEFD_WRITABLE to BYTEFD_TRUST_CALLBACK, or-ed. An
    /// unknown bit is -EINVAL, and so is BYTEFD_WRITABLE with BYTEFD_READ_ONLY or
    /// BYTEFD_SEAL_CONTENT.
    pub flags: u64,
    /// One of the BYTEFD_BACKEND_ constants; 0 is BYTEFD_BACKEND_AUTO.
    pub backend: u32,
    /// The permission bits; 0 for the default: 0400, or 0600, 0500 or 0700 as the flags ask. The
    /// owner's read bit must be set, execute bits only with BYTEFD_EXECUTABLE.
    pub mode: u32,
}

// SAFETY: integers and pointers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_wrap_options {
    const INIT: Self = bytefd_wrap_options {
        size: 0,
        name: std::ptr::null(),
        pool: std::ptr::null_mut(),
        spill_threshold: u64::MAX,
        flags: 0,
        backend: 0,
        mode: 0,
    };
    const FIRST_SIZE: usize = 48;
}

const FLAGS: &[Flag<WrapOptions>] = &[
    (BYTEFD_INHERIT, WrapOptions::inherit),
    (BYTEFD_WRITABLE, WrapOptions::writable),
    (BYTEFD_READ_ONLY, WrapOptions::read_only),
    (BYTEFD_EXECUTABLE, WrapOptions::executable),
    (BYTEFD_SEAL_CONTENT, WrapOptions::seal_content),
    (BYTEFD_TRUST_CALLBACK, WrapOptions::trust_callback),
];

const BACKENDS: &[Choice<Backend>] = &[
    (0, Backend::Auto),
    (BYTEFD_BACKEND_AUTO, Backend::Auto),
    (BYTEFD_BACKEND_MEMFD, Backend::Memfd),
    (BYTEFD_BACKEND_SHM, Backend::Shm),
    (BYTEFD_BACKEND_TMPFILE, Backend::TmpFile),
];

/// The options of a file that is lent, and the pool that lends it.
///
/// # Safety
/// As [`read`]; and its `name` is NULL or a string, its `pool` NULL or a pool that stays during the
/// call.
pub(super) unsafe fn scan_options<'a>(
    from: *const bytefd_wrap_options,
) -> Result<(WrapOptions, Option<&'a bytefd_pool>)> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    let threshold = not_zero(given.spill_threshold, "spill_threshold", "BYTEFD_WRAP_OPTIONS_INIT")?;
    let mut options = set_flags(given.flags, FLAGS, WrapOptions::new())?
        .spill_threshold(threshold)
        .backend(choose(given.backend, BACKENDS, "backend")?)
        .mode(given.mode);
    // SAFETY: the caller vouches for a string.
    if let Some(name) = unsafe { optional_text(given.name) } {
        options = options.name(OsStr::from_bytes(name.to_bytes()));
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
