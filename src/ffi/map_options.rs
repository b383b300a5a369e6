//! How something is mapped.

use std::ops::Bound;

use super::options::{Choice, Extensible, Flag, choose, not_zero, read, set_flags};
use crate::{Access, MapOptions, Result};

/// Maps for reading only, through a private mapping (PROT_READ, MAP_PRIVATE). What others write to
/// the file shows in the map, except on file systems that have no shared mappings, such as FUSE
/// with direct_io. The file is opened O_RDONLY.
pub const BYTEFD_MAP_READ: u32 = 0x80000001u32;
/// Maps for reading and writing, shared: stores reach the file and every process that maps it. The
/// file is opened O_RDWR.
pub const BYTEFD_MAP_WRITE: u32 = 0x80000002u32;
/// Maps for reading and writing, copy on write: stores stay in this map and never reach the file,
/// which is opened O_RDONLY. Whether later changes of the file show is unspecified, mmap(2).
pub const BYTEFD_MAP_PRIVATE: u32 = 0x80000003u32;

/// With BYTEFD_MAP_WRITE: makes the file if there is none.
pub const BYTEFD_MAP_CREATE: u64 = 1u64 << 8;
/// The memory may be executed too, PROT_EXEC.
pub const BYTEFD_MAP_EXECUTE: u64 = 1u64 << 9;
/// Reads the pages in before returning, MAP_POPULATE; what cannot be read in now is read on first
/// use.
pub const BYTEFD_MAP_POPULATE: u64 = 1u64 << 10;
/// Keeps the pages in memory, mlock(2): -ENOMEM or -EPERM where RLIMIT_MEMLOCK does not allow it,
/// -ENOMEM where pages are past the end of the file.
pub const BYTEFD_MAP_MLOCK: u64 = 1u64 << 11;
/// For bytefd_map_memory: pages from the huge pages that the administrator has reserved
/// (vm.nr_hugepages), hugetlbfs. The length must be a multiple of their size, and not 0, and grows
/// within `reserve` only; -ENOMEM where not enough are free. (Other huge pages need no asking: with
/// BYTEFD_MAP_POPULATE, memory is made of them where that pays.)
pub const BYTEFD_MAP_HUGE_PAGES: u64 = 1u64 << 12;
/// Reserves neither disk space for growing nor swap space for private pages (MAP_NORESERVE): a
/// sparse file of any size, and a store that finds no room is a SIGBUS or the out-of-memory killer.
pub const BYTEFD_MAP_NO_RESERVE: u64 = 1u64 << 13;
/// Allows a range past the end of the file. The rest of the last page reads zero, and what is
/// stored there never reaches the file; pages wholly past the end are SIGBUS until the file grows.
pub const BYTEFD_MAP_BEYOND_EOF: u64 = 1u64 << 14;
/// Survives the loss of pages. If another process makes the file shorter, or the storage behind it
/// fails, access finds zeros instead of raising SIGBUS, and bytefd_map_check fails from then on. It
/// costs nothing until then. The map keeps a descriptor of the file, for bytefd_map_file_size.
/// - A lost page stays zeros, also when the file grows again. If the page is past the end of the
///   file, other pages past the end are replaced with it, 1, 2, 4 and so on, so that they need few
///   mappings. If the storage fails, only the page itself is replaced. Each replacement may need a
///   mapping of its own (vm.max_map_count). If none is left, SIGBUS is raised.
/// - The handler for SIGBUS serves the whole process. Each new guarded map installs it in front of
///   what the program has done about SIGBUS, unless it is in front already. The call fails with
///   -EBUSY if the handler does not stay in place.
/// - Every fault that is not a lost page of a guarded map goes on to the handler that was there
///   before, which must stay loaded. A handler that the program installs afterwards must pass on
///   what it does not want. Otherwise maps are not guarded until the next guarded map is made.
/// - The object that has the handler stays loaded from the first guarded map on, also a plugin that
///   was linked with libbytefd.a: dlclose(3) does not unload it. The call fails with -ELIBACC if
///   the dynamic linker refuses that.
/// - Threads that block SIGBUS are not saved. System calls that are given lost pages fail with
///   EFAULT, as without a guard, and the pages stay lost.
pub const BYTEFD_MAP_GUARD: u64 = 1u64 << 15;
/// Children made by fork(2) do not have the map, MADV_DONTFORK.
pub const BYTEFD_MAP_NO_FORK: u64 = 1u64 << 16;

/// For private memory, bytefd_map_memory with BYTEFD_MAP_PRIVATE: children made by fork(2) find
/// zeros there, MADV_WIPEONFORK (Linux 4.14).
pub const BYTEFD_MAP_WIPE_ON_FORK: u64 = 1u64 << 17;

/// Selects what is mapped, and how. Start from BYTEFD_MAP_OPTIONS_INIT: the whole file, for
/// reading. A NULL pointer means the same. `size` works as in bytefd_wrap_options.
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
    /// The first byte of the file that the map shows. Any byte; it need not begin a page.
    pub offset: u64,
    /// The number of bytes to map, at most PTRDIFF_MAX. BYTEFD_TO_END (the default) is from the
    /// offset to the end of the file; the offset must not be past it. 0 is -EINVAL.
    pub length: usize,
    /// With BYTEFD_MAP_WRITE, a smaller file is first grown to this many bytes, with zeros. The
    /// added space is reserved, so that a store there cannot hit a full disk. BYTEFD_MAP_NO_RESERVE
    /// skips that. Holes that the file had stay holes. A larger file stays as it is. Processes that
    /// grow one file at the same time must agree among themselves.
    pub file_size: u64,
    /// Address space that is kept for the map: as long as its length stays within this many bytes,
    /// bytefd_map_resize never moves it. It costs no memory. 0 for none. With BYTEFD_MAP_WRITE, or
    /// for memory.
    pub reserve: usize,
    /// The flags from BYTEFD_MAP_CREATE to BYTEFD_MAP_WIPE_ON_FORK, or-ed. An unknown bit is
    /// -EINVAL.
    pub flags: u64,
    /// BYTEFD_MAP_READ, BYTEFD_MAP_WRITE or BYTEFD_MAP_PRIVATE. 0 (the default) is BYTEFD_MAP_READ
    /// for files and BYTEFD_MAP_WRITE for bytefd_map_memory, where BYTEFD_MAP_READ is -EINVAL.
    pub access: u32,
    /// The permission bits of a file that BYTEFD_MAP_CREATE makes, less the umask; 0 is 0600.
    /// bytefd_map_file ignores it without BYTEFD_MAP_CREATE. bytefd_map_fd and bytefd_map_memory
    /// refuse it (-EINVAL).
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
        // An end beyond all numbers is past what a file can have.
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

/// Whether memory that only knows reading and writing is for writing.
pub(super) fn is_for_writing(access: u32) -> Result<bool> {
    choose(access, &[(0, false), (BYTEFD_MAP_READ, false), (BYTEFD_MAP_WRITE, true)], "access")
}
