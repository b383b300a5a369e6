//! Option structs that can grow: the first member says how much of the struct the caller knows.

use std::ffi::{CStr, c_char};

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

/// An option struct whose first member is its size.
///
/// # Safety
/// All-zero bytes are a valid value.
pub(super) unsafe trait Extensible: Copy {
    /// The size of the first version that was released. It never changes. Some structs end on padding, whose bytes can be
    /// anything: a member that is added later must begin after it, with 8 bytes' alignment.
    const FIRST_SIZE: usize;
}

/// Copies the caller's struct, as openat2(2) does: what the caller does not know is 0, what we do not know must be.
///
/// # Safety
/// `from` is NULL or points to as many readable bytes as its first member says.
pub(super) unsafe fn read<T: Extensible>(from: *const T) -> Result<Option<T>> {
    /// No version will ever be larger: a size above it is rubbish, and the bytes must not be looked at.
    const LARGEST: usize = 4096;
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for at least the first member.
    let size = unsafe { from.cast::<usize>().read_unaligned() };
    let known = size_of::<T>();
    if size < T::FIRST_SIZE {
        let message = format_args!("the struct's size is {size}, the smallest there ever was is {}", T::FIRST_SIZE);
        return Err(Error::new("options", libc::EINVAL, message));
    }
    // SAFETY: the caller vouches for `size` bytes.
    let beyond = |at| unsafe { from.cast::<u8>().add(at).read() };
    if size > LARGEST || (known..size).any(|at| beyond(at) != 0) {
        let message =
            format_args!("the struct's size is {size}; only {known} bytes are known, and the rest is not all 0");
        return Err(Error::new("options", libc::E2BIG, message));
    }
    // SAFETY: zero is valid, see `Extensible`; and the caller vouches for `size` bytes.
    Ok(Some(unsafe {
        let mut value: T = std::mem::zeroed();
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut value).cast::<u8>(), size.min(known));
        value
    }))
}

pub(super) fn check_flags(flags: u32, known: u32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(Error::new("flags", libc::EINVAL, format_args!("unknown bits {unknown:#x} in {flags:#x}"))),
    }
}

/// # Safety
/// As [`read`]; and `name` is NULL or a string.
pub(super) unsafe fn wrap_options(from: *const bytefd_wrap_options) -> Result<(WrapOptions, *mut bytefd_pool)> {
    // SAFETY: the caller vouches for it.
    let Some(given) = (unsafe { read(from)? }) else { return Ok((WrapOptions::new(), std::ptr::null_mut())) };
    let known = BYTEFD_WRITABLE
        | BYTEFD_READ_ONLY
        | BYTEFD_EXECUTABLE
        | BYTEFD_INHERIT
        | BYTEFD_SEAL_CONTENT
        | BYTEFD_TRUST_CALLBACK;
    check_flags(given.flags, known)?;
    let has = |flag| given.flags & flag != 0;
    let backend = match given.backend {
        BYTEFD_BACKEND_AUTO => Backend::Auto,
        BYTEFD_BACKEND_MEMFD => Backend::Memfd,
        BYTEFD_BACKEND_SHM => Backend::Shm,
        BYTEFD_BACKEND_TMPFILE => Backend::TmpFile,
        other => return Err(Error::new("backend", libc::EINVAL, format_args!("there is no backend {other}"))),
    };
    let mut options = WrapOptions::new()
        .backend(backend)
        .mode(given.mode)
        .writable(has(BYTEFD_WRITABLE))
        .read_only(has(BYTEFD_READ_ONLY))
        .executable(has(BYTEFD_EXECUTABLE))
        .inherit(has(BYTEFD_INHERIT))
        .seal_content(has(BYTEFD_SEAL_CONTENT))
        .trust_callback(has(BYTEFD_TRUST_CALLBACK));
    if !given.name.is_null() {
        // SAFETY: the caller vouches for a string.
        options = options.name(unsafe { CStr::from_ptr(given.name) }.to_bytes());
    }
    Ok((options, given.pool))
}
