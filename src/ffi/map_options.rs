//! Reads the options of maps.

use std::ops::Bound;

use super::options::{Choice, Extensible, Flag, choose, not_zero, read, set_flags};
use crate::{Access, MapOptions, Result};

/// Maps for reading only, by a private mapping (PROT_READ, MAP_PRIVATE). Changes of the file by
/// others are visible in the map, because without stores no page is copied. Exceptions are file
/// systems that have no shared mappings, such as FUSE with direct_io. The file is opened O_RDONLY.
pub const BYTEFD_MAP_READ: u32 = 0x80000001u32;
/// Maps for reading and writing, shared: stores reach the file and every process that maps it. The
/// file is opened O_RDWR.
pub const BYTEFD_MAP_WRITE: u32 = 0x80000002u32;
/// Maps for reading and writing, copy on write: stores stay in this map and never reach the file.
/// The file is opened O_RDONLY. A page shows changes of the file by others until it is copied: at
/// the first store, or at once with BYTEFD_MAP_POPULATE or BYTEFD_MAP_MLOCK. Linux does so; mmap(2)
/// leaves it unspecified.
pub const BYTEFD_MAP_PRIVATE: u32 = 0x80000003u32;

/// Creates the file if it does not exist. For BYTEFD_MAP_WRITE.
pub const BYTEFD_MAP_CREATE: u64 = 1u64 << 8;
/// Allows the memory to be executed too, PROT_EXEC.
pub const BYTEFD_MAP_EXECUTE: u64 = 1u64 << 9;
/// Reads the pages in before the call returns, MAP_POPULATE. A page that cannot be read in now is
/// read on first use.
pub const BYTEFD_MAP_POPULATE: u64 = 1u64 << 10;
/// Keeps the pages in memory, mlock(2). The call fails with -ENOMEM or -EPERM if RLIMIT_MEMLOCK
/// does not allow it, and with -ENOMEM if pages are past the end of the file. Other errors of
/// mlock(2) are possible.
pub const BYTEFD_MAP_MLOCK: u64 = 1u64 << 11;
/// Uses huge pages that the administrator has reserved (vm.nr_hugepages), hugetlbfs. For
/// bytefd_map_memory. The length must be a multiple of their size, and not 0. It can grow only
/// within `reserve`. The call fails with -ENOMEM if not enough huge pages are free. (Huge pages
/// that are not reserved do not need this flag: with BYTEFD_MAP_POPULATE, bytefd_map_memory uses
/// them where they pay.)
pub const BYTEFD_MAP_HUGE_PAGES: u64 = 1u64 << 12;
/// Reserves no disk space for growing, and no swap space for private pages (MAP_NORESERVE). A file
/// can then be sparse and of any size. A store that finds no space raises SIGBUS, which a map with
/// BYTEFD_MAP_GUARD survives; or it wakes the out-of-memory killer, against which the guard does
/// not help. The flag has nothing to do with the member `reserve`, which keeps address space.
pub const BYTEFD_MAP_NO_RESERVE: u64 = 1u64 << 13;
/// Allows a range past the end of the file. The rest of the file's last page reads zero, and stores
/// there never reach the file. Access to pages entirely past the end raises SIGBUS until the file
/// grows. With BYTEFD_MAP_GUARD such a page is a lost page: the first access to it replaces it by
/// zeros instead.
pub const BYTEFD_MAP_BEYOND_EOF: u64 = 1u64 << 14;
/// Keeps the process alive when pages of the map are lost. A page is lost if any process makes the
/// file shorter, if the storage behind the file fails, or if it has no space for a store. Access to
/// a lost page then finds zeros instead of raising SIGBUS, and bytefd_map_check fails from then on.
/// Until a page is lost, access costs nothing more. Opening a guarded map takes longer. A guarded
/// map of a file keeps a descriptor of the file, for bytefd_map_file_size.
/// - The first access to a lost page replaces it by zeros. The replacement keeps what the program
///   stores there. It never shows the file again and never changes it, even if the file grows. The
///   first access past the end of the file replaces 1 page. The next one replaces an aligned run of
///   2 pages, then 4, and so on. If the storage fails, only the page itself is replaced. Each
///   replacement may need a mapping of its own (vm.max_map_count). If no mapping is left, SIGBUS is
///   raised.
/// - The handler for SIGBUS serves the whole process. Each new guarded map installs the handler in
///   front of the program's own, unless it is in front already. The call fails with -EBUSY if
///   other threads replace the handler again each time.
/// - Every other fault is passed to the handler that was installed before, which must stay loaded.
///   A handler that the program installs later must pass on the faults that are not its own.
///   Otherwise maps are not guarded until the next guarded map is made.
/// - The object that contains the handler stays loaded from the first guarded map on. dlclose(3)
///   does not unload it, even if it is a plugin that was linked with libbytefd.a. The call fails
///   with -ELIBACC if the dynamic linker refuses that.
/// - Loads and stores of threads that block SIGBUS are not protected. bytefd_map_read and
///   bytefd_map_write are safe in such threads too. A system call on a lost page that is not
///   replaced yet fails with EFAULT, as without a guard, and does not replace the page.
pub const BYTEFD_MAP_GUARD: u64 = 1u64 << 15;
/// Removes the map from children made by fork(2), MADV_DONTFORK. A child must call no function with
/// the map, not even bytefd_map_close: other memory of the child may be at these addresses by then.
pub const BYTEFD_MAP_NO_FORK: u64 = 1u64 << 16;

/// Shows zeros to children made by fork(2), MADV_WIPEONFORK (Linux 4.14). For private memory:
/// bytefd_map_memory with BYTEFD_MAP_PRIVATE.
pub const BYTEFD_MAP_WIPE_ON_FORK: u64 = 1u64 << 17;

/// Selects what is mapped, and how. Start from BYTEFD_MAP_OPTIONS_INIT, which maps the whole file
/// for reading. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
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
    /// Offset of the first byte of the file that is mapped. It need not be at the beginning of a
    /// page.
    pub offset: u64,
    /// Number of bytes to map, at most PTRDIFF_MAX. BYTEFD_TO_END (the default) maps from the
    /// offset to the end of the file; the offset must not be past the end. 0 is -EINVAL.
    pub length: usize,
    /// Minimum size of the file, for BYTEFD_MAP_WRITE. A smaller file is first grown to this many
    /// bytes, with zeros; a larger file keeps its size. 0 (the default) never grows the file.
    /// - Space for the added bytes is reserved, so that a store there cannot hit a full disk.
    ///   BYTEFD_MAP_NO_RESERVE skips that. Holes that the file had before stay holes.
    /// - Processes that grow one file at the same time must coordinate.
    pub file_size: u64,
    /// Number of bytes of address space to keep for the map, for BYTEFD_MAP_WRITE and for memory.
    /// While the length of the map stays within it, bytefd_map_resize never moves the map. It costs
    /// no memory. 0 (the default) keeps none.
    pub reserve: usize,
    /// The flags from BYTEFD_MAP_CREATE to BYTEFD_MAP_WIPE_ON_FORK, or-ed. 0 (the default) sets
    /// none. An unknown bit is -EINVAL.
    pub flags: u64,
    /// BYTEFD_MAP_READ, BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE. 0 (the default) means
    /// BYTEFD_MAP_READ for files, and BYTEFD_MAP_WRITE for bytefd_map_memory, which refuses
    /// BYTEFD_MAP_READ (-EINVAL).
    pub access: u32,
    /// The permission bits of a file that BYTEFD_MAP_CREATE creates, less the umask. 0 means 0600.
    /// bytefd_map_file ignores it without BYTEFD_MAP_CREATE. bytefd_map_fd and bytefd_map_memory
    /// refuse any other value than 0 (-EINVAL).
    pub mode: u32,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_map_options {
    const INIT: Self = bytefd_map_options {
        size: size_of::<Self>(),
        offset: 0,
        length: usize::MAX,
        file_size: 0,
        reserve: 0,
        flags: 0,
        access: 0,
        mode: 0,
    };
    const FIRST_SIZE: usize = 56;
}

const FLAGS: &[Flag<MapOptions>] = &[
    (BYTEFD_MAP_CREATE, MapOptions::create),
    (BYTEFD_MAP_EXECUTE, MapOptions::execute),
    (BYTEFD_MAP_POPULATE, MapOptions::populate),
    (BYTEFD_MAP_MLOCK, MapOptions::mlock),
    (BYTEFD_MAP_HUGE_PAGES, MapOptions::huge_pages),
    (BYTEFD_MAP_NO_RESERVE, MapOptions::no_reserve),
    (BYTEFD_MAP_BEYOND_EOF, MapOptions::beyond_eof),
    (BYTEFD_MAP_GUARD, MapOptions::guard),
    (BYTEFD_MAP_NO_FORK, MapOptions::no_fork),
    (BYTEFD_MAP_WIPE_ON_FORK, MapOptions::wipe_on_fork),
];

const ACCESSES: &[Choice<Option<Access>>] = &[
    (0, None),
    (BYTEFD_MAP_READ, Some(Access::Read)),
    (BYTEFD_MAP_WRITE, Some(Access::Write)),
    (BYTEFD_MAP_PRIVATE, Some(Access::Private)),
];

/// # Safety
/// As [`read`].
pub(super) unsafe fn map_options(from: *const bytefd_map_options) -> Result<MapOptions> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    let start = Bound::Included(given.offset);
    let range = match not_zero(given.length, "length", "BYTEFD_MAP_OPTIONS_INIT")? {
        usize::MAX => (start, Bound::Unbounded),
        // An end that overflows is past the maximum size of a file.
        length => (start, Bound::Excluded(given.offset.saturating_add(length as u64))),
    };
    let options = set_flags(given.flags, FLAGS, MapOptions::new())?
        .range(range)
        .file_size(given.file_size)
        .mode(given.mode)
        .reserve(given.reserve);
    let access = choose(given.access, ACCESSES, "access")?;
    Ok(access.into_iter().fold(options, MapOptions::access))
}

/// Returns whether the access is for writing, for memory that cannot be private.
pub(super) fn is_for_writing(access: u32) -> Result<bool> {
    choose(access, &[(0, false), (BYTEFD_MAP_READ, false), (BYTEFD_MAP_WRITE, true)], "access")
}
