//! Makes a map from a path, from a descriptor, or of new memory.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::file::{Descriptor, File};
use super::map::{Backing, Map};
use super::name::Name;
use super::options::{Access, MapOptions};
use crate::backend::{self, Backend, Execution};
use crate::error::{Context, Errno, Error, Result};
use crate::fill::{self, Growth};
use crate::sys::guard::Guard;
use crate::sys::mapping::{Content, Mapping, MmapOptions};
use crate::sys::{self, features};

impl MapOptions {
    /// Maps the file at `path`. A file of 0 bytes gives a map of 0 bytes.
    ///
    /// With [`Access::Write`] the map keeps a descriptor of the file, which [`Map::resize`] needs.
    /// With [`MapOptions::guard`] it keeps one too, for [`Map::file_size`]. Otherwise none stays
    /// open.
    ///
    /// Warning: the call opens the file, and closes that descriptor when it returns or when the map
    /// is closed. The kernel then drops all POSIX record locks of this process on the file,
    /// fcntl(2). For a file with such locks, use [`MapOptions::map_fd`] without [`Access::Write`]
    /// and without [`MapOptions::guard`].
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// On failure a file that the call created is removed, and a file that it should grow keeps its
    /// old size.
    /// - `ENXIO` if the range is not entirely in the file.
    /// - `EISDIR` if the path is that of a directory.
    /// - `ENODEV` if it is anything else that is not a regular file, or a file whose content cannot
    ///   be mapped (/proc, /sys).
    /// - `EFBIG`, `ENOSPC` if the file cannot grow; `EFBIG` also if it is larger than a map can be.
    /// - `EINVAL` if options contradict each other.
    /// - Other errors of open(2) and mmap(2).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Map> {
        self.check()?;
        self.map_file(File::open(path.as_ref(), self)?)
    }

    /// Maps the regular file behind a descriptor, which may be closed afterwards. [`Access::Write`]
    /// needs a descriptor that is open for reading and writing; other maps need one that is open
    /// for reading. The file offset is neither used nor changed.
    ///
    /// With [`Access::Write`] or [`MapOptions::guard`] the map keeps a duplicate. When the map is
    /// closed, the kernel drops this process's POSIX record locks on the file, fcntl(2).
    ///
    /// ```
    /// let fd = bytefd::wrap(b"hello")?;
    /// let map = bytefd::MapOptions::new().map_fd(&fd)?;
    /// drop(fd);
    /// assert_eq!(map.len(), 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`MapOptions::open`], and:
    /// - `EACCES` if the descriptor was not opened for the requested access.
    /// - `EPERM` if the file is sealed against the requested access.
    /// - `EINVAL` for [`MapOptions::create`] and a mode.
    pub fn map_fd(&self, fd: impl AsFd) -> Result<Map> {
        self.check_open()?;
        self.map_file(File::behind(fd.as_fd(), self)?)
    }

    /// Maps `length` bytes of new memory, zero-filled, for reading and writing.
    ///
    /// By default the memory is shared ([`Access::Write`]): it belongs to a memory file without a
    /// name, whose descriptor ([`Map::file`]) can be given to other processes. [`Map::seal`] seals
    /// that file. With [`Access::Private`] it is anonymous memory, like that of malloc(3).
    ///
    /// With [`MapOptions::populate`] the kernel provides all memory before the call returns, in
    /// huge pages where they pay. Otherwise it provides each page on first access.
    ///
    /// ```
    /// let mut map = bytefd::MapOptions::new().memory(5)?;
    /// // SAFETY: nobody else has this memory.
    /// unsafe { map.as_mut_slice() }.unwrap().copy_from_slice(b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` for [`Access::Read`], and for options that are for files.
    /// - `EINVAL` if `length` is 0 or not a multiple of the huge page size, with
    ///   [`MapOptions::huge_pages`].
    /// - `ENOMEM` if memory, address space or reserved huge pages run out.
    /// - `EFBIG` if shared memory exceeds RLIMIT_FSIZE.
    /// - The errors of memfd_create(2).
    pub fn memory(&self, length: usize) -> Result<Map> {
        self.check_memory(length)?;
        let mut options = self.clone();
        options.access.get_or_insert(Access::Write);
        let mut page = sys::page_size();
        let huge = if self.huge_pages { Some(huge_file()?) } else { None };
        if let Some(huge) = &huge {
            page = sys::file::fstat(huge.as_fd()).context("fstat", || "a file of huge pages")?.block
                as usize;
            if length == 0 || length % page != 0 {
                let message =
                    format!("length {length} is 0 or not a multiple of the huge page size {page}");
                return Err(Error::new("length", libc::EINVAL, message));
            }
        }
        if options.access == Some(Access::Private) {
            let mapping = options.mapping(Content::Anonymous, page, length, &Name::Memory)?;
            options.populate_private(&mapping, 0..length);
            let guard = options.guard_of(&mapping, Content::Anonymous)?;
            return Ok(options.map_with(guard, Backing::Private, mapping, 0, length));
        }
        let fd = match huge {
            Some(huge) => huge,
            None => {
                let execution = if self.execute { Execution::Wanted } else { Execution::Forbidden };
                backend::create(Backend::Memfd, c"bytefd", execution)?.fd
            }
        };
        let asked = || format!("{length} bytes of memory");
        sys::file::fchmod(fd.as_fd(), if self.execute { 0o700 } else { 0o600 })
            .context("fchmod", asked)?;
        fill::check_size_limit(length as u64)?;
        sys::file::ftruncate(fd.as_fd(), length as u64).context("ftruncate", asked)?;
        options.allocate(fd.as_fd(), 0, length as u64)?;
        let mapping = options.mapping(Content::File(fd.as_fd(), 0), page, length, &Name::Memory)?;
        let guard = options.guard_of(&mapping, Content::File(fd.as_fd(), 0))?;
        Ok(options.map_with(guard, Backing::Shared(fd), mapping, 0, length))
    }

    fn map_file(&self, file: File<'_>) -> Result<Map> {
        let size = file.size.max(self.file_size);
        let length = self.length_in(size, file.name)?;
        if length == 0 || size > file.size {
            // One byte is mapped on trial before the file is changed, and if there is nothing to
            // map. Files of /proc and /sys report 0 bytes although they have content, so an empty
            // map of them would be wrong.
            let (access, execute, reads_shared) =
                (self.access, self.execute, file.is_of_huge_pages());
            let no_reserve = reads_shared;
            let plain =
                MapOptions { access, execute, reads_shared, no_reserve, ..MapOptions::new() };
            plain.mapping(Content::File(file.fd.as_fd(), 0), file.page, 1, &file.name)?;
        }
        if size > file.size && size % file.page as u64 != 0 && file.is_of_huge_pages() {
            let message = format!(
                "file_size {size} is not a multiple of the huge page size {}: {}",
                file.page, file.name
            );
            return Err(Error::new("file_size", libc::EINVAL, message));
        }
        let growth = if size > file.size {
            Some(Growth::of(file.fd.as_fd(), file.size, size, self.no_reserve, file.name)?)
        } else {
            None
        };
        let head = (self.offset % file.page as u64) as usize;
        let content = Content::File(file.fd.as_fd(), self.offset - head as u64);
        let bytes = if length == 0 { 0 } else { head + length };
        let mut options = self.clone();
        // On hugetlbfs a hole that a private mapping has read stays 0, even if bytes are stored
        // there later.
        options.reads_shared = file.is_of_huge_pages();
        let mapping = match options.mapping(content, file.page, bytes, &file.name) {
            Err(_) if file.is_of_huge_pages() && self.access_or_default() == Access::Read => {
                // The file is sealed, on a kernel before 6.7. Without MAP_NORESERVE the kernel
                // would set aside pages for copies, which are never made.
                options.reads_shared = false;
                options.no_reserve = true;
                options.mapping(content, file.page, bytes, &file.name)?
            }
            mapping => mapping?,
        };
        let guard = options.guard_of(&mapping, content)?;
        Growth::keep(growth);
        if let Some(created) = file.created {
            created.keep();
        }
        let backing = match file.fd {
            Descriptor::Own(fd) if self.access == Some(Access::Write) => Backing::File(fd),
            Descriptor::Own(fd) if self.guard => Backing::Watched(fd),
            Descriptor::Own(_) | Descriptor::Lent(_) => Backing::None,
        };
        Ok(options.map_with(guard, backing, mapping, head, length))
    }

    fn map_with(
        &self,
        guard: Option<Guard>,
        backing: Backing,
        mapping: Mapping,
        head: usize,
        length: usize,
    ) -> Map {
        let mut map = Map {
            guard,
            data: mapping.base(),
            length,
            head,
            mapping,
            backing,
            options: self.clone(),
        };
        map.settle();
        map
    }

    /// Returns the guard of a mapping, if the options ask for one. `content` is the content of the
    /// mapping's first page; that of the other pages follows it.
    pub(super) fn guard_of(
        &self,
        mapping: &Mapping,
        content: Content<'_>,
    ) -> Result<Option<Guard>> {
        if !self.guard {
            return Ok(None);
        }
        match Guard::new(mapping, content, self.mmap_options().protection, !self.no_fork) {
            Err(errno @ Errno(libc::EBUSY)) => {
                let message = "the handler for SIGBUS does not stay in place: another handler is \
                               installed again and again, or code in the process intercepts \
                               sigaction(2)";
                Err(Error::new("guard", errno.0, message))
            }
            Err(errno @ Errno(libc::ELIBACC)) => {
                let message = "dlopen(3) cannot keep the library with the SIGBUS handler loaded";
                Err(Error::new("guard", errno.0, message))
            }
            guard => guard
                .map(Some)
                .context("guard", || format!("{} bytes, against SIGBUS", mapping.length())),
        }
    }

    /// Maps `bytes` of content, with the address space and the settings that the options ask for.
    /// An empty map has the address space of one page, so that no other mapping gets its address.
    pub(super) fn mapping(
        &self,
        content: Content<'_>,
        page: usize,
        bytes: usize,
        name: &Name<'_>,
    ) -> Result<Mapping> {
        let reserve =
            if self.reserve == 0 { 0 } else { self.reserve.saturating_add(sys::page_size()) };
        let space = bytes.max(reserve).max(1);
        let asked = || match content {
            Content::File(_, offset) => {
                format!("bytes {offset}..{} of {name}", offset + bytes as u64)
            }
            Content::Anonymous => format!("{bytes} bytes of {name}"),
        };
        // The size of a huge page, if one is possible here.
        let extent = if let Name::Memory = name { features::huge_page_size() as usize } else { 0 };
        let is_huge = extent > 0 && space >= extent;
        let placed = if bytes > 0 && self.reserve == 0 && !is_huge && page == sys::page_size() {
            Mapping::new(bytes, content, self.mmap_options_for(content))
        } else {
            let align = if is_huge { extent.max(page) } else { page };
            Mapping::reservation(space, align, page).and_then(|mut mapping| {
                mapping.extend(bytes, content, self.mmap_options_for(content))?;
                Ok(mapping)
            })
        };
        let is_on_proc = || matches!(content, Content::File(fd, _) if sys::file::is_on_proc(fd));
        let mapping = match placed {
            Err(Errno(libc::ENODEV)) => {
                let message = format!(
                    "{name} cannot be mapped: its file system does not support this mapping"
                );
                return Err(Error::new("mmap", libc::ENODEV, message));
            }
            Err(Errno(libc::EIO)) if is_on_proc() => {
                let message = format!("{name} cannot be mapped: it is a file of /proc");
                return Err(Error::new("mmap", libc::ENODEV, message));
            }
            placed => placed.context("mmap", asked)?,
        };
        self.treat(&mapping, 0..bytes)?;
        Ok(mapping)
    }

    /// Returns the mmap(2) options for new content. Private memory is populated later, when its
    /// pages may be huge.
    pub(super) fn mmap_options_for(&self, content: Content<'_>) -> MmapOptions {
        let options = self.mmap_options();
        match content {
            Content::Anonymous => {
                MmapOptions { flags: options.flags & !libc::MAP_POPULATE, ..options }
            }
            Content::File(..) => options,
        }
    }

    /// Applies the options for pages to new pages.
    pub(super) fn treat(&self, mapping: &Mapping, bytes: Range<usize>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let asked = || format!("bytes {}..{}", bytes.start, bytes.end);
        if self.mlock {
            mapping.lock(bytes.clone()).context("mlock", asked)?;
        }
        if self.no_fork {
            mapping.advise(bytes.clone(), libc::MADV_DONTFORK).context("madvise", asked)?;
        }
        if self.wipe_on_fork {
            mapping.advise(bytes.clone(), libc::MADV_WIPEONFORK).context("madvise", asked)?;
        }
        Ok(())
    }

    /// Populates private memory, if the options ask for it. Pages that cannot be made now are made
    /// on first use.
    pub(super) fn populate_private(&self, mapping: &Mapping, bytes: Range<usize>) {
        if self.populate && !bytes.is_empty() {
            let _ = mapping.advise(bytes.clone(), libc::MADV_HUGEPAGE);
            let _ = mapping.advise(bytes, libc::MADV_POPULATE_WRITE);
        }
    }

    /// Makes the pages of a memory file, if the options ask for it.
    pub(super) fn allocate(&self, fd: BorrowedFd<'_>, from: u64, to: u64) -> Result<()> {
        if !self.populate || self.huge_pages || from >= to {
            return Ok(());
        }
        let asked = || format!("bytes {from}..{to} of {}", Name::Memory);
        // fallocate(2) takes memory until the out-of-memory killer ends a process. So as much
        // memory is mapped first, because mmap(2) fails if there is too little.
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let options = MmapOptions { protection, flags: libc::MAP_PRIVATE };
        Mapping::new((to - from) as usize, Content::Anonymous, options).context("mmap", asked)?;
        match fill::allocate(fd, from, to) {
            // The pages are then made when they are mapped or accessed.
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)) => Ok(()),
            allocated => allocated.context("fallocate", asked),
        }
    }
}

/// Makes a memory file of reserved huge pages. If none are free, mapping it fails.
fn huge_file() -> Result<OwnedFd> {
    let flags = libc::MFD_HUGETLB | libc::MFD_ALLOW_SEALING;
    sys::file::memfd_create(c"bytefd", flags)
        .and_then(sys::file::above_standard_streams)
        .context("memfd_create", || "a file of reserved huge pages")
}
