//! Option structs that can grow: the first member says how much of the struct the caller knows.

use std::ffi::{CStr, c_char};

use super::pool::bytefd_pool;
use crate::{Access, Backend, Error, MapOptions, Result, WrapOptions};

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
    /// unique. NULL is "bytefd".
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

/// Reading only. What others write to the file shows in the map. The file is opened O_RDONLY.
pub const BYTEFD_MAP_READ: u32 = 0;
/// Reading and writing, shared: stores reach the file and everybody who maps it. The file is opened O_RDWR.
pub const BYTEFD_MAP_WRITE: u32 = 1;
/// Reading and writing, copy on write: stores stay in this map and never reach the file, which is opened O_RDONLY.
/// Whether later changes of the file show is unspecified, mmap(2).
pub const BYTEFD_MAP_PRIVATE: u32 = 2;

/// With BYTEFD_MAP_WRITE: makes the file if there is none.
pub const BYTEFD_MAP_CREATE: u32 = 1;
/// The memory may be executed too, PROT_EXEC.
pub const BYTEFD_MAP_EXECUTE: u32 = 2;
/// Reads the pages in before returning, MAP_POPULATE; what cannot be read in now is read on first use.
pub const BYTEFD_MAP_POPULATE: u32 = 4;
/// Keeps the pages in memory, mlock(2): -ENOMEM or -EPERM where RLIMIT_MEMLOCK does not allow it, -ENOMEM where pages are
/// past the end of the file.
pub const BYTEFD_MAP_LOCK: u32 = 8;
/// Reserves neither disk space for growing nor swap space for private pages (MAP_NORESERVE): a sparse file of any
/// size, and a store that finds no room is a SIGBUS or the out-of-memory killer.
pub const BYTEFD_MAP_NO_RESERVE: u32 = 32;
/// Allows a range past the end of the file. The rest of the last page reads zero, and what is stored there never
/// reaches the file; pages wholly past the end are SIGBUS until the file grows.
pub const BYTEFD_MAP_BEYOND_EOF: u32 = 64;
/// Children made by fork(2) do not have the map, MADV_DONTFORK.
pub const BYTEFD_MAP_NO_FORK: u32 = 256;

/// Returns when the bytes are on the storage, MS_SYNC.
pub const BYTEFD_FLUSH_SYNC: u32 = 0;
/// Schedules the writing and returns, MS_ASYNC. (On Linux a shared map is written back in time anyway.)
pub const BYTEFD_FLUSH_ASYNC: u32 = 1;

/// Which part of a file is mapped, and how. Start from BYTEFD_MAP_OPTIONS_INIT, which is the whole file for reading, as
/// is a NULL pointer. `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_map_options options = BYTEFD_MAP_OPTIONS_INIT;
/// options.access = BYTEFD_MAP_WRITE;
/// options.flags = BYTEFD_MAP_CREATE;
/// options.file_size = 4096;
/// bytefd_map *map;
/// int status = map_file("table", &options, &map, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_map_options {
    /// sizeof(bytefd_map_options).
    pub size: usize,
    /// The first byte of the file that the map shows; any byte, page alignment is not the caller's business.
    pub offset: u64,
    /// How many bytes; 0 is from the offset, which is then not past it, to the end of the file. At most PTRDIFF_MAX.
    pub length: usize,
    /// With BYTEFD_MAP_WRITE: a smaller file is grown to this many bytes first, with zeros, and the space for what is
    /// added is reserved, so that a store there cannot hit a full disk (unless BYTEFD_MAP_NO_RESERVE). Holes that the file
    /// had stay holes. A larger file stays as it is. Processes that grow one file at the same time must agree among
    /// themselves.
    pub file_size: u64,
    /// BYTEFD_MAP_READ, BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE.
    pub access: u32,
    /// BYTEFD_MAP_CREATE and the constants after it, or-ed. An unknown bit is -EINVAL.
    pub flags: u32,
    /// The permission bits of a file that BYTEFD_MAP_CREATE makes, less the umask; 0 is 0600. Unused otherwise, as in open(2).
    pub mode: u32,
}

// SAFETY: integers and pointers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_wrap_options {
    const FIRST_SIZE: usize = 40;
}
// SAFETY: as above.
unsafe impl Extensible for bytefd_map_options {
    const FIRST_SIZE: usize = 48;
}

/// An option struct whose first member is its size.
///
/// # Safety
/// All-zero bytes are a valid value.
unsafe trait Extensible: Copy {
    /// The size of the first version that was released. It never changes. Both structs end on padding, so a member that
    /// is added must begin after it: give it 8 bytes' alignment.
    const FIRST_SIZE: usize;
}

/// Copies the caller's struct, as openat2(2) does: what the caller does not know is 0, what we do not know must be.
///
/// # Safety
/// `from` is NULL or points to as many readable bytes as its first member says.
unsafe fn read<T: Extensible>(from: *const T) -> Result<Option<T>> {
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

fn check_flags(flags: u32, known: u32) -> Result<()> {
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

/// # Safety
/// As [`read`].
pub(super) unsafe fn map_options(from: *const bytefd_map_options) -> Result<MapOptions> {
    // SAFETY: the caller vouches for it.
    let Some(given) = (unsafe { read(from)? }) else { return Ok(MapOptions::new()) };
    let known = BYTEFD_MAP_CREATE
        | BYTEFD_MAP_EXECUTE
        | BYTEFD_MAP_POPULATE
        | BYTEFD_MAP_LOCK
        | BYTEFD_MAP_NO_RESERVE
        | BYTEFD_MAP_BEYOND_EOF
        | BYTEFD_MAP_NO_FORK;
    check_flags(given.flags, known)?;
    let access = match given.access {
        BYTEFD_MAP_READ => Access::Read,
        BYTEFD_MAP_WRITE => Access::Write,
        BYTEFD_MAP_PRIVATE => Access::Private,
        other => return Err(Error::new("access", libc::EINVAL, format_args!("there is no access {other}"))),
    };
    let has = |flag| given.flags & flag != 0;
    Ok(MapOptions::new()
        .offset(given.offset)
        .length(given.length)
        .file_size(given.file_size)
        .access(access)
        .mode(given.mode)
        .create(has(BYTEFD_MAP_CREATE))
        .execute(has(BYTEFD_MAP_EXECUTE))
        .populate(has(BYTEFD_MAP_POPULATE))
        .lock(has(BYTEFD_MAP_LOCK))
        .no_reserve(has(BYTEFD_MAP_NO_RESERVE))
        .beyond_eof(has(BYTEFD_MAP_BEYOND_EOF))
        .no_fork(has(BYTEFD_MAP_NO_FORK)))
}
