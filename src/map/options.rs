//! Options of a map: which part of a file is mapped, and how.

use std::ops::{Bound, RangeBounds};

use super::name::Name;
use crate::error::{Error, Result};
use crate::sys::mapping::MmapOptions;

/// What the mapped memory may be used for.
///
/// ```
/// use bytefd::{Access, MapOptions};
/// let map = MapOptions::new().access(Access::Private).open("/etc/passwd")?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading only (`PROT_READ`), through a private mapping (`MAP_PRIVATE`); on hugetlbfs through
    /// a shared one where the kernel allows that. What others write to the file shows in the map,
    /// except on file systems that have no shared mappings, such as FUSE with direct_io. The file
    /// is opened `O_RDONLY`.
    #[default]
    Read,
    /// Reading and writing, shared: stores reach the file and every other mapping of it. The file
    /// is opened `O_RDWR`.
    Write,
    /// Reading and writing, copy on write: stores stay in this map and never reach the file, which
    /// is opened `O_RDONLY`. A page shows changes of the file by others until it is copied: at the
    /// first store, or at once with [`MapOptions::populate`] or [`MapOptions::mlock`]. Linux does
    /// so; mmap(2) leaves it unspecified.
    Private,
}

/// Which part of a file is mapped, and how. The default: the whole file, for reading.
///
/// ```
/// use bytefd::MapOptions;
/// let map = MapOptions::new().range(5..15).open("/etc/passwd")?;
/// assert_eq!(map.len(), 10);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until something is mapped with them"]
pub struct MapOptions {
    /// Offset of the first byte in the file.
    pub(super) offset: u64,
    /// Offset behind the last byte; `None` for the end of the file.
    pub(super) end: Option<u64>,
    pub(super) file_size: u64,
    /// `None` for the default: reading for a file, writing for memory.
    pub(super) access: Option<Access>,
    pub(super) mode: u32,
    pub(super) create: bool,
    pub(super) execute: bool,
    pub(super) populate: bool,
    pub(super) mlock: bool,
    pub(super) no_reserve: bool,
    pub(super) beyond_eof: bool,
    pub(super) no_fork: bool,
    pub(super) wipe_on_fork: bool,
    pub(super) huge_pages: bool,
    pub(super) guard: bool,
    pub(super) reserve: usize,
    /// Whether reading uses a shared mapping. The caller cannot set this.
    pub(super) reads_shared: bool,
}

impl MapOptions {
    /// All defaults.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn new() -> MapOptions {
        MapOptions::default()
    }

    /// Selects the bytes of the file: any range, not only whole pages. An open end is the end of
    /// the file. An empty range gives an empty map.
    ///
    /// ```
    /// use bytefd::MapOptions;
    /// assert_eq!(MapOptions::new().range(1..4).open("/etc/passwd")?.len(), 3);
    /// assert!(MapOptions::new().range(1..).open("/etc/passwd")?.len() > 3);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn range(mut self, range: impl RangeBounds<u64>) -> MapOptions {
        // A bound that overflows becomes one that no file reaches, and is refused later.
        self.offset = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        self.end = match range.end_bound() {
            Bound::Included(last) => Some(last.saturating_add(1)),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        self
    }

    /// Sets the minimum size of the file, for [`Access::Write`]. A smaller file is first grown to
    /// this size, with zeros; a larger file keeps its size.
    ///
    /// Space for the added bytes is reserved, so that a store there cannot hit a full disk.
    /// [`MapOptions::no_reserve`] skips that. Holes that the file had before stay holes. Processes
    /// that grow one file at the same time must coordinate.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("table");
    /// use bytefd::{Access, MapOptions};
    /// let map = MapOptions::new().access(Access::Write).create(true).file_size(4096).open(&path)?;
    /// assert_eq!(map.len(), 4096);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn file_size(mut self, size: u64) -> MapOptions {
        self.file_size = size;
        self
    }

    /// Selects the access. The default is [`Access::Read`] for a file and [`Access::Write`] for
    /// memory.
    ///
    /// ```
    /// use bytefd::{Access, MapOptions};
    /// let map = MapOptions::new().access(Access::Private).open("/etc/passwd")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn access(mut self, access: Access) -> MapOptions {
        self.access = Some(access);
        self
    }

    /// Sets the mode of a file that [`MapOptions::create`] creates, less the umask; 0 means 0600.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("public");
    /// use bytefd::{Access, MapOptions};
    /// let map = MapOptions::new().access(Access::Write).create(true).mode(0o644).open(&path)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn mode(mut self, mode: u32) -> MapOptions {
        self.mode = mode;
        self
    }

    /// Creates the file if it does not exist. Only for [`Access::Write`]; otherwise `EINVAL`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("new");
    /// use bytefd::{Access, MapOptions};
    /// let map = MapOptions::new().access(Access::Write).create(true).open(&path)?;
    /// assert!(map.is_empty());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn create(mut self, yes: bool) -> MapOptions {
        self.create = yes;
        self
    }

    /// Allows the memory to be executed too, PROT_EXEC.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().execute(true).open("/bin/true")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn execute(mut self, yes: bool) -> MapOptions {
        self.execute = yes;
        self
    }

    /// Reads the pages in before the call returns, MAP_POPULATE. A page that cannot be read in now
    /// is read on first use.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().populate(true).open("/etc/passwd")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn populate(mut self, yes: bool) -> MapOptions {
        self.populate = yes;
        self
    }

    /// Keeps the pages in memory, mlock(2). The call fails if RLIMIT_MEMLOCK does not allow it.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().range(..10).mlock(true).open("/etc/passwd")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn mlock(mut self, yes: bool) -> MapOptions {
        self.mlock = yes;
        self
    }

    /// Reserves no disk space for growing, and no swap space for private pages (MAP_NORESERVE). A
    /// file can then be sparse and of any size. A store that finds no space raises SIGBUS, or wakes
    /// the out-of-memory killer. This has nothing to do with [`MapOptions::reserve`], which keeps
    /// address space.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("sparse");
    /// use bytefd::{Access, MapOptions};
    /// let options = MapOptions::new().access(Access::Write).create(true).no_reserve(true);
    /// let map = options.file_size(1 << 30).open(&path)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn no_reserve(mut self, yes: bool) -> MapOptions {
        self.no_reserve = yes;
        self
    }

    /// Allows a range past the end of the file. The rest of the file's last page reads zero, and
    /// stores there never reach the file. Access to pages entirely past the end raises SIGBUS until
    /// the file grows. With [`MapOptions::guard`] such an access makes the page a lost page
    /// instead.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().beyond_eof(true).range(..1 << 20).open("/etc/passwd")?;
    /// assert_eq!(map.len(), 1 << 20);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn beyond_eof(mut self, yes: bool) -> MapOptions {
        self.beyond_eof = yes;
        self
    }

    /// Removes the map from children made by fork(2), MADV_DONTFORK. A child must not use the map,
    /// and must not drop it either: other memory of the child may be at these addresses by then.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().no_fork(true).open("/etc/passwd")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn no_fork(mut self, yes: bool) -> MapOptions {
        self.no_fork = yes;
        self
    }

    /// Shows zeros to children made by fork(2), MADV_WIPEONFORK (Linux 4.14). Only for anonymous
    /// memory; otherwise `EINVAL`.
    ///
    /// ```
    /// use bytefd::{Access, MapOptions};
    /// let secret = MapOptions::new().access(Access::Private).wipe_on_fork(true).memory(4096)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn wipe_on_fork(mut self, yes: bool) -> MapOptions {
        self.wipe_on_fork = yes;
        self
    }

    /// Uses huge pages that the administrator has reserved (vm.nr_hugepages), hugetlbfs. Only for
    /// memory; otherwise `EINVAL`. The length must be a multiple of their size. The call fails with
    /// `ENOMEM` if not enough of them are free. (Huge pages that are not reserved do not need this
    /// option: with [`MapOptions::populate`], memory gets them where they pay.)
    ///
    /// ```
    /// let error = bytefd::MapOptions::new().huge_pages(true).memory(1000).unwrap_err();
    /// assert_eq!(error.errno(), libc::EINVAL);
    /// ```
    pub fn huge_pages(mut self, yes: bool) -> MapOptions {
        self.huge_pages = yes;
        self
    }

    /// Keeps the process alive when pages of the map are lost. A page is lost if any process makes
    /// the file shorter, if the storage behind the file fails, or if it has no space for a store.
    /// The first access to a lost page then replaces it by zeros, instead of raising SIGBUS, and
    /// [`Map::check`](crate::Map::check) fails from then on.
    ///
    /// - The replacement keeps what the program stores there. It never shows the file again and
    ///   never changes it, even if the file grows. A lost page that no access has replaced is there
    ///   again when the file grows. The first access past the end of the file replaces 1 page, the
    ///   next one an aligned run of 2 pages, then 4, and so on. If the storage fails, only the page
    ///   itself is replaced. Each replacement may need a mapping of its own (vm.max_map_count). If
    ///   no mapping is left, SIGBUS is raised.
    /// - The handler for SIGBUS serves the whole process. Each new guarded map installs the handler
    ///   in front of the program's own, unless it is in front already. Opening the map fails with
    ///   `EBUSY` if other threads replace the handler again each time.
    /// - Every other fault is passed to the handler that was installed before, which must stay
    ///   loaded. A handler that the program installs later must pass on the faults that are not its
    ///   own. Otherwise maps are not guarded until the next guarded map is made.
    /// - The program or shared library that contains the handler stays loaded from the first
    ///   guarded map on. dlclose(3) does not unload it, even if it is a plugin. Opening the map
    ///   fails with `ELIBACC` if the dynamic linker refuses that.
    /// - Threads that block SIGBUS are not protected. System calls that are given lost pages fail
    ///   with `EFAULT`, and do not replace them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("file");
    /// # std::fs::write(&path, [1; 8192]).unwrap();
    /// let map = bytefd::MapOptions::new().guard(true).open(&path)?;
    /// std::fs::File::options().write(true).open(&path)?.set_len(0)?;
    /// // SAFETY: byte 5000 is in the map.
    /// assert_eq!(unsafe { map.as_ptr().add(5000).read_volatile() }, 0);
    /// assert!(map.check().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn guard(mut self, yes: bool) -> MapOptions {
        self.guard = yes;
        self
    }

    /// Keeps this many bytes of address space for the map. Only for [`Access::Write`] and for
    /// memory. While the length of the map stays within them, [`Map::resize`](crate::Map::resize)
    /// never moves the map. The address space costs no memory.
    ///
    /// ```
    /// use bytefd::MapOptions;
    /// let mut map = MapOptions::new().reserve(1 << 30).memory(0)?;
    /// let start = map.as_ptr();
    /// map.resize(1 << 20)?;
    /// assert_eq!(map.as_ptr(), start);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn reserve(mut self, bytes: usize) -> MapOptions {
        self.reserve = bytes;
        self
    }

    /// Returns the access, once it is known whether there is a file.
    pub(super) fn access_or_default(&self) -> Access {
        self.access.unwrap_or_default()
    }

    fn is_for_writing(&self) -> bool {
        self.access == Some(Access::Write)
    }

    pub(super) fn check(&self) -> Result<()> {
        let (offset, file_size) = (self.offset, self.file_size);
        let problem: String = if !self.is_for_writing() && self.create {
            "create needs write access".into()
        } else if !self.is_for_writing() && self.file_size > 0 {
            "file_size needs write access".into()
        } else if !self.is_for_writing() && self.reserve > 0 {
            "reserve needs write access".into()
        } else if self.wipe_on_fork {
            "wipe_on_fork is for private memory".into()
        } else if self.huge_pages {
            "huge_pages is for memory".into()
        } else if self.mode & !0o777 != 0 {
            format!("mode {:04o} has bits other than the nine permission bits", self.mode)
        } else if self.reserve > isize::MAX as usize {
            format!("reserve {} exceeds the maximum {}", self.reserve, isize::MAX)
        } else if self.end.is_some_and(|end| end < offset) {
            "the range ends before it begins".into()
        } else if self.end.unwrap_or(offset) > i64::MAX as u64 {
            format!("the range ends past the maximum file size {}", i64::MAX)
        } else if file_size > i64::MAX as u64 {
            format!("file_size {file_size} exceeds the maximum {}", i64::MAX)
        } else {
            return Ok(());
        };
        Err(self.refused(&problem))
    }

    /// Checks the options for a file that the caller has opened.
    pub(super) fn check_open(&self) -> Result<()> {
        if self.create || self.mode != 0 {
            return Err(self.refused("create and mode are for a file that is opened by its path"));
        }
        self.check()
    }

    /// Checks the options for memory.
    pub(super) fn check_memory(&self, length: usize) -> Result<()> {
        let problem: String = if self.access == Some(Access::Read) {
            "access is for reading only, but new memory contains only zeros".into()
        } else if self.offset != 0 || self.end.is_some() || self.file_size != 0 {
            "range and file_size are for files".into()
        } else if self.create || self.mode != 0 || self.beyond_eof {
            "create, mode and beyond_eof are for files".into()
        } else if self.wipe_on_fork && self.access != Some(Access::Private) {
            "wipe_on_fork is for private memory".into()
        } else if length > isize::MAX as usize {
            format!("length {length} exceeds the maximum {}", isize::MAX)
        } else if self.reserve > isize::MAX as usize {
            format!("reserve {} exceeds the maximum {}", self.reserve, isize::MAX)
        } else {
            return Ok(());
        };
        Err(Error::new(
            "options",
            libc::EINVAL,
            format_args!("asked for {length} bytes of memory: {problem}"),
        ))
    }

    fn refused(&self, problem: &str) -> Error {
        let (range, size, mode) = (self.range_asked(), self.file_size, self.mode);
        let message = format!("{problem} (bytes {range}, file size {size}, mode {mode:04o})");
        Error::new("options", libc::EINVAL, message)
    }

    /// Returns the range in words, "5..15" or "5..the end".
    fn range_asked(&self) -> String {
        let end = self.end.map_or("the end".into(), |end| end.to_string());
        format!("{}..{end}", self.offset)
    }

    /// Returns the number of bytes to map of a file of `size` bytes.
    pub(super) fn length_in(&self, size: u64, name: Name<'_>) -> Result<usize> {
        let end = self.end.unwrap_or(size);
        if self.offset > end || (end > size && !self.beyond_eof) {
            let message =
                format!("asked for bytes {} of a file of {size} bytes: {name}", self.range_asked());
            return Err(Error::new("range", libc::ENXIO, message));
        }
        let length = end - self.offset;
        usize::try_from(length).ok().filter(|length| *length <= isize::MAX as usize).ok_or_else(
            || {
                let message = format!("length {length} exceeds the maximum {}", isize::MAX);
                Error::new("range", libc::EFBIG, message)
            },
        )
    }

    pub(super) fn mmap_options(&self) -> MmapOptions {
        let protection = libc::PROT_READ
            | if self.access_or_default() == Access::Read { 0 } else { libc::PROT_WRITE }
            | if self.execute { libc::PROT_EXEC } else { 0 };
        // Reading uses a private mapping, because a shared one has three disadvantages. Some file
        // systems do not support it (FUSE with direct_io, /sys/kernel/btf). Kernels before 6.7
        // refuse it for sealed files. It prevents a file from being sealed.
        let is_shared = match self.access_or_default() {
            Access::Read => self.reads_shared,
            Access::Write => true,
            Access::Private => false,
        };
        let sharing = if is_shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        let populate = if self.populate { libc::MAP_POPULATE } else { 0 };
        let no_reserve = if self.no_reserve { libc::MAP_NORESERVE } else { 0 };
        let huge = if self.huge_pages && self.access == Some(Access::Private) {
            libc::MAP_HUGETLB
        } else {
            0
        };
        MmapOptions { protection, flags: sharing | populate | no_reserve | huge }
    }
}
