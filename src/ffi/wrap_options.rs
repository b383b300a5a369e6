//! Reads the options of wraps and scans.

use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

use super::arguments::optional_text;
use super::flags::BYTEFD_INHERIT;
use super::options::{Choice, Extensible, Flag, choose, not_zero, read, set_flags};
use super::pool::bytefd_pool;
use crate::{Backend, Error, Result, WrapOptions};

/// Opens the file for reading and writing, without seals. The default mode is 0600, or 0700 with
/// BYTEFD_EXECUTABLE. Content and size can be changed, and on a memfd seals can be added later.
/// (Where vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
pub const BYTEFD_WRITABLE: u64 = 1u64 << 2;
/// Opens the descriptor for reading only (O_RDONLY), for code that checks the access mode. Without
/// this flag the descriptor of a sealed file can be open for reading and writing (O_RDWR), although
/// the seals make every write fail. The file has the same seals as without this flag. Needs /proc.
pub const BYTEFD_READ_ONLY: u64 = 1u64 << 3;
/// Makes the file executable. The default mode is 0500, or 0700 with BYTEFD_WRITABLE. Without this
/// flag execve(2) of the file is refused. Linux 6.3 and later refuse it permanently, by a seal
/// (F_SEAL_EXEC), unless BYTEFD_WRITABLE or BYTEFD_SEAL_CONTENT is set. Only execve(2) is refused:
/// a PROT_EXEC mapping of any file works.
/// - A script needs BYTEFD_INHERIT too, because its interpreter opens it after close-on-exec has
///   taken effect.
/// - After dlopen(3) of "/proc/self/fd/N", keep the descriptor open for as long as the object may
///   be loaded. The dynamic linker remembers the name. If a later file gets the number N, dlopen
///   returns the first object again.
/// - If a host has no memfd, the file is in /dev/shm or in a directory for temporary files, which
///   can be mounted noexec. Set `backend` to BYTEFD_BACKEND_MEMFD to get an error there.
pub const BYTEFD_EXECUTABLE: u64 = 1u64 << 4;
/// Seals content and size as usual, but leaves out the seal F_SEAL_SEAL, so that the caller can add
/// further seals. The file has exactly F_SEAL_WRITE, F_SEAL_GROW and F_SEAL_SHRINK (0xe). (Where
/// vm.memfd_noexec is 2 the kernel itself adds F_SEAL_EXEC.)
/// - Only a memfd can be sealed. BYTEFD_BACKEND_AUTO therefore means BYTEFD_BACKEND_MEMFD here, and
///   other backends are -EINVAL.
/// - The descriptor is open for reading and writing, because adding seals needs that. With
///   BYTEFD_READ_ONLY no seals can be added through it.
/// - Kernels before 6.7 map the file only privately through a descriptor that is open for writing.
///   A descriptor from bytefd_reopen can be mapped shared there too.
pub const BYTEFD_SEAL_CONTENT: u64 = 1u64 << 5;
/// Lends a cached file of a pool for reading and writing, without the kernel's proof that nobody
/// else has it open. The caller promises that the borrower keeps nothing and changes nothing. See
/// bytefd_pool.
///
/// The flag is for scans with a pool of BYTEFD_POOL_REUSE or BYTEFD_POOL_AUTO. With
/// BYTEFD_POOL_NEW_FILES, without a pool, and in the functions whose names begin with bytefd_wrap_,
/// it is -EINVAL.
///
/// Warning: never use this flag for a borrower in another process, or if the program may end the
/// scan at a deadline while the borrower still runs. Such a borrower can still read the file when
/// the scan has ended, and then reads the next upload. In a trial, 12 of 12 late answers belonged
/// to the next upload.
pub const BYTEFD_TRUST_CALLBACK: u64 = 1u64 << 6;

/// Uses the first of BYTEFD_BACKEND_MEMFD, BYTEFD_BACKEND_SHM and BYTEFD_BACKEND_TMPFILE that this
/// host offers. 0 means the same. If descriptors, memory or space run out, the call fails and does
/// not try the next one.
pub const BYTEFD_BACKEND_AUTO: u32 = 0x80000010u32;
/// Uses memfd_create(2), Linux 3.17. The file has no name, and no limit but memory and
/// RLIMIT_FSIZE. Only this backend can be sealed.
pub const BYTEFD_BACKEND_MEMFD: u32 = 0x80000011u32;
/// Uses a file without a name on the tmpfs at /dev/shm, where shm_open(3) creates its objects. The
/// size of that file system limits it. Where that file system has no O_TMPFILE, the file has an
/// unguessable name until its first byte is written. If the process is killed in that moment,
/// bytefd_sweep removes the name.
pub const BYTEFD_BACKEND_SHM: u32 = 0x80000012u32;
/// Uses open(2) with O_TMPFILE, Linux 3.11: a file without a name in $TMPDIR, /tmp or /var/tmp,
/// usually on disk.
pub const BYTEFD_BACKEND_TMPFILE: u32 = 0x80000013u32;

/// Selects how a descriptor is made. Start from BYTEFD_WRAP_OPTIONS_INIT, which sets all defaults.
/// A NULL pointer means the same.
///
/// `size` tells the library how many bytes the caller's struct has, because later versions add
/// members at its end. If the caller's struct is shorter than the library's, the missing members
/// have their defaults. If it is longer, the further bytes must be 0, and `size` at most 4096;
/// otherwise -E2BIG. A `size` below that of the first version is -EINVAL.
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
    /// A label that is shown in /proc/self/fd and /proc/self/maps: 1 to 200 bytes without '/' and
    /// newline. It need not be unique. BYTEFD_BACKEND_SHM and BYTEFD_BACKEND_TMPFILE do not show
    /// it. NULL means "bytefd".
    pub name: *const c_char,
    /// For scans: the pool that lends the file. NULL means a new file for each scan. The functions
    /// whose names begin with bytefd_wrap_ refuse a pool (-EINVAL).
    pub pool: *mut bytefd_pool,
    /// The maximum number of bytes that are stored in memory. Longer content goes to an unlinked
    /// file on disk instead, in $TMPDIR, /tmp or /var/tmp. That holds for every function that takes
    /// these options.
    /// - The file on disk has no seals and belongs to no pool. Its descriptor is open for reading
    ///   only, unless BYTEFD_WRITABLE is set.
    /// - BYTEFD_UNLIMITED (the default) keeps all content in memory. 0 is -EINVAL.
    /// - With BYTEFD_BACKEND_MEMFD or BYTEFD_SEAL_CONTENT, any value but BYTEFD_UNLIMITED is
    ///   -EINVAL.
    /// - Set it in a process with a memory cgroup. The kernel kills a process whose copies exceed
    ///   the limit of its cgroup, and no function can turn that into an error.
    pub spill_threshold: u64,
    /// BYTEFD_INHERIT and the flags from BYTEFD_WRITABLE to BYTEFD_TRUST_CALLBACK, or-ed. 0 (the
    /// default) sets none. An unknown bit is -EINVAL, and so is BYTEFD_WRITABLE with
    /// BYTEFD_READ_ONLY or BYTEFD_SEAL_CONTENT.
    pub flags: u64,
    /// One of the BYTEFD_BACKEND_ constants. 0 means BYTEFD_BACKEND_AUTO.
    pub backend: u32,
    /// The permission bits, whatever the umask is. 0 means the default: 0400; 0600 with
    /// BYTEFD_WRITABLE, 0500 with BYTEFD_EXECUTABLE, 0700 with both. The owner's read bit must be
    /// set. Execute bits need BYTEFD_EXECUTABLE.
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

/// Returns the options of a file that is lent, and the pool that lends the file.
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

/// Returns the options of a file that is given away, and refuses a pool.
///
/// # Safety
/// As [`scan_options`].
pub(super) unsafe fn wrap_options(from: *const bytefd_wrap_options) -> Result<WrapOptions> {
    // SAFETY: the caller vouches for it.
    match unsafe { scan_options(from)? } {
        (options, None) => Ok(options),
        _ => Err(Error::new("pool", libc::EINVAL, "pool is not NULL, but only scans use a pool")),
    }
}
