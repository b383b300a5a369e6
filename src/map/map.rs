//! The map: its bytes, copies out of it and into it, and its end.

use std::ops::{Bound, Range, RangeBounds};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use super::options::{Access, MapOptions};
use crate::error::{Context, Error, Result};
use crate::sys::guard::Guard;
use crate::sys::mapping::Mapping;

/// Bytes of a file, or memory without one; unmapped on drop. May be used from several threads at once.
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
    /// First, so that it ends before what it guards.
    pub(super) guard: Option<Guard>,
    pub(super) data: NonNull<u8>,
    pub(super) length: usize,
    /// Bytes in the mapping before `data`, because mappings start at page boundaries.
    pub(super) head: usize,
    /// `None` when the map is empty and no address space is kept for it.
    pub(super) mapping: Option<Mapping>,
    pub(super) backing: Backing,
    /// As it was asked for; what grows is treated the same.
    pub(super) options: MapOptions,
}

/// What lies behind a map, as far as it is kept.
#[derive(Debug)]
pub(super) enum Backing {
    /// A file that the map does not change, or memory that was sealed.
    None,
    /// A file.
    File(OwnedFd),
    /// A memory file without a name.
    Shared(OwnedFd),
    /// Memory without a file.
    Private,
}

// SAFETY: a map is an address range of the process and belongs to no thread. Its methods that give access to bytes
// give raw pointers or are unsafe.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// An attached System V segment.
    pub(crate) fn of_segment(mapping: Mapping, length: usize, access: Access) -> Map {
        let options = MapOptions::new().access(access);
        let mut map = Map {
            guard: None,
            data: NOWHERE,
            length,
            head: 0,
            mapping: Some(mapping),
            backing: Backing::None,
            options,
        };
        map.settle();
        map
    }

    /// What has moved, or is of another length, and whoever must know it.
    pub(super) fn settle(&mut self) {
        self.data = NOWHERE;
        if let Some(mapping) = &self.mapping {
            // Less than a page, of which a mapping has one at least.
            self.data = mapping.base().map_addr(|base| base.saturating_add(self.head));
            if let Some(guard) = &mut self.guard {
                guard.moved(mapping.base(), mapping.length());
            }
        }
    }

    /// The first byte. Never null; with a length of 0 it must not be dereferenced. Stores through it need
    /// [`Access::Write`] or [`Access::Private`]. [`Map::resize`] may change it.
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
        self.options.access
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
        if self.options.access == Access::Read {
            return None;
        }
        // SAFETY: the range is mapped readable and writable; the caller vouches for the rest.
        Some(unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.length) })
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
        self.guard = None;
        let Some(mapping) = self.mapping.take() else { return Ok(()) };
        mapping.unmap().context("munmap", || format!("{} bytes", self.length))
    }

    /// The descriptor of the file behind the map, read-write, while the map has one: with [`Access::Write`], and for shared memory
    /// until it is sealed. Given to another process, by inheritance or through a socket, it gives that process the memory.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// let fd = map.descriptor()?;
    /// assert_eq!(std::fs::read(bytefd::path(fd)).unwrap(), [0; 5]);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EBADF` where there is none.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        match &self.backing {
            Backing::File(fd) | Backing::Shared(fd) => Ok(fd.as_fd()),
            Backing::None | Backing::Private => {
                let message = "only maps for writing and shared memory keep a descriptor, until they are sealed";
                Err(Error::new("descriptor", libc::EBADF, message))
            }
        }
    }

    /// Whether all pages of a guarded map are what they were. Without [`MapOptions::guard`] always `Ok`.
    ///
    /// ```
    /// bytefd::MapOptions::new().guard(true).open("/etc/passwd")?.check()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EIO` from the moment on in which a lost page was replaced by zeros.
    pub fn check(&self) -> Result<()> {
        match &self.guard {
            Some(guard) if guard.is_lost() => {
                Err(Error::new("check", libc::EIO, "pages of the map were lost and are zeros now"))
            }
            _ => Ok(()),
        }
    }

    /// Where a range lies in the mapping; `None` if it has no bytes.
    pub(super) fn part(&self, range: impl RangeBounds<usize>) -> Result<Option<(&Mapping, Range<usize>)>> {
        let range = self.checked(range)?;
        let Some(mapping) = self.mapping.as_ref().filter(|_| !range.is_empty()) else { return Ok(None) };
        let bytes = self.head + range.start..self.head + range.end;
        if mapping.is_missing(&bytes) {
            let message = format_args!("bytes of {}..{} were unmapped", range.start, range.end);
            return Err(Error::new("range", libc::EINVAL, message));
        }
        Ok(Some((mapping, bytes)))
    }

    /// A range that lies in the map and is all there.
    pub(super) fn checked_span(&self, offset: usize, length: usize) -> Result<Range<usize>> {
        let Some(end) = offset.checked_add(length) else {
            let message = format_args!("asked for {length} bytes from {offset} of a map of {} bytes", self.length);
            return Err(Error::new("range", libc::EINVAL, message));
        };
        self.part(offset..end)?;
        Ok(offset..end)
    }

    /// A range that lies in the map.
    pub(super) fn checked(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
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
        Ok(start..end)
    }
}

/// A real address for what is empty: collectors that look at pointers (Go's) stop at one that cannot be.
pub(super) const NOWHERE: NonNull<u8> = {
    static NOTHING: u8 = 0;
    // SAFETY: the address of a static is not null. (NonNull::from_ref would be a later Rust's.)
    unsafe { NonNull::new_unchecked((&raw const NOTHING).cast_mut()) }
};
