//! How something is mapped.

use super::options::{Choice, Extensible, Flag, choose, read, set_flags};
use crate::{Access, MapOptions, Result};

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
/// For bytefd_map_memory: pages from the huge pages that the administrator has reserved (vm.nr_hugepages), hugetlbfs. The
/// length must be a multiple of their size, and not 0, and grows within `reserve` only; -ENOMEM where not enough are free. (Other huge pages need no asking:
/// with BYTEFD_MAP_POPULATE, memory is made of them where that pays.)
pub const BYTEFD_MAP_HUGE_PAGES: u32 = 16;
/// Reserves neither disk space for growing nor swap space for private pages (MAP_NORESERVE): a sparse file of any
/// size, and a store that finds no room is a SIGBUS or the out-of-memory killer.
pub const BYTEFD_MAP_NO_RESERVE: u32 = 32;
/// Allows a range past the end of the file. The rest of the last page reads zero, and what is stored there never
/// reaches the file; pages wholly past the end are SIGBUS until the file grows.
pub const BYTEFD_MAP_BEYOND_EOF: u32 = 64;
/// Survives the loss of pages: where somebody has made the file shorter, or the storage behind it fails, access finds zeros
/// instead of raising SIGBUS, and bytefd_map_check says so. It costs nothing until then. System calls that are given lost
/// pages answer -EFAULT, as without it, and the pages stay lost. A handler for SIGBUS is installed at
/// the first such map and stays; every fault that is not in such a map goes on to the handler that was there before. A
/// handler that the program installs afterwards must pass on what is not its own. Threads that block SIGBUS are not saved,
/// and nobody is where the process can have no more mappings (vm.max_map_count): each lost page may need one.
pub const BYTEFD_MAP_GUARD: u32 = 128;
/// Children made by fork(2) do not have the map, MADV_DONTFORK.
pub const BYTEFD_MAP_NO_FORK: u32 = 256;

/// For private memory, bytefd_map_memory with BYTEFD_MAP_PRIVATE: children made by fork(2) find zeros there,
/// MADV_WIPEONFORK (Linux 4.14).
pub const BYTEFD_MAP_WIPE_ON_FORK: u32 = 512;

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
    /// Address space that is kept for the map: as long as its length stays within this many bytes, bytefd_map_resize never
    /// moves it. It costs no memory. 0 for none. With BYTEFD_MAP_WRITE, or for memory. The first version had no such member.
    pub reserve: usize,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_map_options {
    const FIRST_SIZE: usize = 48;
}

const FLAGS: &[Flag<MapOptions>] = &[
    (BYTEFD_MAP_CREATE, MapOptions::create),
    (BYTEFD_MAP_EXECUTE, MapOptions::execute),
    (BYTEFD_MAP_POPULATE, MapOptions::populate),
    (BYTEFD_MAP_LOCK, MapOptions::lock),
    (BYTEFD_MAP_HUGE_PAGES, MapOptions::huge_pages),
    (BYTEFD_MAP_NO_RESERVE, MapOptions::no_reserve),
    (BYTEFD_MAP_BEYOND_EOF, MapOptions::beyond_eof),
    (BYTEFD_MAP_GUARD, MapOptions::guard),
    (BYTEFD_MAP_NO_FORK, MapOptions::no_fork),
    (BYTEFD_MAP_WIPE_ON_FORK, MapOptions::wipe_on_fork),
];

const ACCESSES: &[Choice<Access>] =
    &[(BYTEFD_MAP_READ, Access::Read), (BYTEFD_MAP_WRITE, Access::Write), (BYTEFD_MAP_PRIVATE, Access::Private)];

/// # Safety
/// As [`read`].
pub(super) unsafe fn map_options(from: *const bytefd_map_options) -> Result<MapOptions> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    Ok(set_flags(given.flags, FLAGS, MapOptions::new())?
        .offset(given.offset)
        .length(given.length)
        .file_size(given.file_size)
        .access(choose(given.access, ACCESSES, "access")?)
        .mode(given.mode)
        .reserve(given.reserve))
}

/// Whether memory that only knows reading and writing is for writing.
pub(super) fn is_for_writing(access: u32) -> Result<bool> {
    choose(access, &[(BYTEFD_MAP_READ, false), (BYTEFD_MAP_WRITE, true)], "access")
}
