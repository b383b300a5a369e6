//! A file as bytes.

mod file;
mod options;

pub use options::{Access, MapOptions};

use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::ptr::NonNull;

use file::File;

use crate::error::{Context, Errno, Error, Result};
use crate::sys;
use crate::sys::memory::Mapping;

/// How [`Map::flush`] writes back.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("log");
/// use bytefd::{Access, Flush, MapOptions};
/// let map = MapOptions::new().access(Access::Write).create(true).file_size(4096).open(&path)?;
/// map.flush(100..200, Flush::Async)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// Returns when the bytes are on the storage, `MS_SYNC`.
    #[default]
    Sync,
    /// Schedules the writing and returns, `MS_ASYNC`. (On Linux a shared map is written back in time anyway.)
    Async,
}

impl MapOptions {
    /// Maps the file at `path`. No descriptor stays open. A file of 0 bytes gives a map of 0 bytes.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ENXIO` for a range that is not all in the file; `EISDIR` for a directory and `ENODEV` for anything else that
    /// is not a regular file, or whose content cannot be mapped (/proc, /sys); `EFBIG` and `ENOSPC` when it cannot
    /// grow; `EINVAL` for options that contradict each other; open(2)'s and mmap(2)'s own. On failure a file that was
    /// created is gone again, and one that was to grow has its old size.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Map> {
        self.check()?;
        let path = path.as_ref();
        let mut file = File::open(path, self)?;
        let size = file.size.max(self.file_size);
        let length = self.length_in(size, path)?;
        if length == 0 || size > file.size {
            // Before a file is changed, and where there is nothing to map: files of /proc and /sys say they have 0 bytes, and
            // have content all the same; as an empty map they would be a lie.
            self.mapping(&file, 0, 1, 0)?;
        }
        if size > file.size {
            file.grow(size, self.no_reserve)?;
        }
        let map = self.map(&file, length)?;
        file.keep();
        Ok(map)
    }

    /// mmap(2) with the protection and sharing of these options; `offset` is a multiple of the page size.
    fn mapping(&self, file: &File<'_>, offset: u64, length: usize, flags: libc::c_int) -> Result<Mapping> {
        let path = file.path.display();
        match Mapping::of_file(file.fd(), offset, length, self.protection(), self.sharing() | flags) {
            Err(Errno(libc::EIO | libc::ENODEV)) => {
                let message = format_args!("{path} cannot be mapped, only read and written (as in /proc)");
                Err(Error::new("mmap", libc::ENODEV, message))
            }
            result => result.context("mmap", || format!("bytes {offset}..{} of {path}", offset + length as u64)),
        }
    }

    fn protection(&self) -> libc::c_int {
        libc::PROT_READ
            | if self.access == Access::Read { 0 } else { libc::PROT_WRITE }
            | if self.execute { libc::PROT_EXEC } else { 0 }
    }

    fn sharing(&self) -> libc::c_int {
        if self.access == Access::Private { libc::MAP_PRIVATE } else { libc::MAP_SHARED }
    }

    fn map(&self, file: &File<'_>, length: usize) -> Result<Map> {
        let access = self.access;
        if length == 0 {
            // A real address: collectors that look at pointers (Go's) stop at one that cannot be.
            static NOTHING: u8 = 0;
            return Ok(Map { data: NonNull::from(&NOTHING), length, head: 0, mapping: None, access });
        }
        let flags =
            if self.populate { libc::MAP_POPULATE } else { 0 } | if self.no_reserve { libc::MAP_NORESERVE } else { 0 };
        let head = (self.offset % sys::page_size() as u64) as usize;
        let mapping = self.mapping(file, self.offset - head as u64, head + length, flags)?;
        let asked = || format!("bytes {}..{}", self.offset, self.offset + length as u64);
        if self.lock {
            mapping.lock().context("mlock", asked)?;
        }
        if self.no_fork {
            mapping.do_not_fork().context("madvise", asked)?;
        }
        // SAFETY: `head` is less than a page, and the mapping has `head + length` bytes.
        let data = unsafe { mapping.base().add(head) };
        Ok(Map { data, length, head, mapping: Some(mapping), access })
    }
}

/// Bytes of a file in memory, unmapped on drop. May be used from several threads at once.
///
/// The bytes are not handed out as a safe slice, because whoever can write the file can change them, and whoever can
/// truncate it makes access to them a SIGBUS.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("counter");
/// use bytefd::{Access, Flush, MapOptions};
/// let mut map = MapOptions::new().access(Access::Write).create(true).file_size(8).open(&path)?;
/// // SAFETY: nobody else uses this file.
/// unsafe { map.as_mut_slice() }.unwrap().copy_from_slice(&7u64.to_le_bytes());
/// map.flush(.., Flush::Sync)?;
/// assert_eq!(std::fs::read(&path)?, 7u64.to_le_bytes());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Map {
    data: NonNull<u8>,
    length: usize,
    /// Bytes in the mapping before `data`, because mappings start at page boundaries.
    head: usize,
    /// `None` when the map is empty.
    mapping: Option<Mapping>,
    access: Access,
}

// SAFETY: a map is an address range of the process and belongs to no thread. Its methods that give access to bytes
// give raw pointers or are unsafe.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// The first byte. Never null; with a length of 0 it must not be dereferenced. Stores through it need
    /// [`Access::Write`] or [`Access::Private`].
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// // SAFETY: the file is not empty, and nobody truncates it.
    /// let first = unsafe { *map.as_ptr() };
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn as_ptr(&self) -> *mut u8 {
        self.data.as_ptr()
    }

    /// Bytes in the map.
    ///
    /// ```
    /// assert!(bytefd::MapOptions::new().open("/etc/passwd")?.len() > 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the map has no bytes.
    ///
    /// ```
    /// assert!(!bytefd::MapOptions::new().open("/etc/passwd")?.is_empty());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What the memory may be used for.
    ///
    /// ```
    /// use bytefd::{Access, MapOptions};
    /// assert_eq!(MapOptions::new().open("/etc/passwd")?.access(), Access::Read);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn access(&self) -> Access {
        self.access
    }

    /// The bytes.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// // SAFETY: nobody changes the file while `text` is used.
    /// let text = unsafe { map.as_slice() };
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Safety
    /// While the slice lives nobody may write to these bytes, through the file, another map or a pointer of this one,
    /// and the file must not become shorter than the map's range.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the range is mapped readable; the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }

    /// The bytes for writing; `None` when the map is for reading only.
    ///
    /// ```
    /// use bytefd::{Access, MapOptions};
    /// let mut map = MapOptions::new().access(Access::Private).open("/etc/passwd")?;
    /// // SAFETY: nobody changes the file while the slice is used.
    /// unsafe { map.as_mut_slice() }.unwrap()[0] = b'#';
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Safety
    /// While the slice lives nobody may read or write these bytes by another way, and the file must not become shorter
    /// than the map's range.
    pub unsafe fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        if self.access == Access::Read {
            return None;
        }
        // SAFETY: the range is mapped readable and writable; the caller vouches for the rest.
        Some(unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.length) })
    }

    /// Writes changed bytes of the range (any bytes, not only whole pages) back to the file, msync(2).
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("log");
    /// use bytefd::{Access, Flush, MapOptions};
    /// let map = MapOptions::new().access(Access::Write).create(true).file_size(100).open(&path)?;
    /// map.flush(.., Flush::Sync)?;
    /// assert!(map.flush(90..101, Flush::Sync).is_err());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map, and for a private map, whose stores never reach the file; `EIO` when
    /// writing failed.
    pub fn flush(&self, range: impl RangeBounds<usize>, how: Flush) -> Result<()> {
        let (start, length) = self.checked(range)?;
        if self.access == Access::Private {
            return Err(Error::new("msync", libc::EINVAL, "a private map has nothing to write to its file"));
        }
        let Some(mapping) = &self.mapping else { return Ok(()) };
        let flags = if how == Flush::Sync { libc::MS_SYNC } else { libc::MS_ASYNC };
        mapping.sync(self.head + start, length, flags).context("msync", || format!("bytes {start}..{}", start + length))
    }

    /// Unmaps, and says so if the kernel refuses. Does not flush: the kernel writes shared changes back in its time.
    ///
    /// ```
    /// bytefd::MapOptions::new().open("/etc/passwd")?.close()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// munmap(2)'s own.
    pub fn close(mut self) -> Result<()> {
        let Some(mapping) = self.mapping.take() else { return Ok(()) };
        mapping.unmap().context("munmap", || format!("{} bytes", self.length))
    }

    /// Start and length of a range that lies in the map.
    fn checked(&self, range: impl RangeBounds<usize>) -> Result<(usize, usize)> {
        // A bound that overflows lies outside in any case.
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.length.max(start),
        };
        if start > end || end > self.length {
            let message = format_args!("asked for bytes {start}..{end} of a map of {} bytes", self.length);
            return Err(Error::new("range", libc::EINVAL, message));
        }
        Ok((start, end - start))
    }
}
