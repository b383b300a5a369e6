//! The map: its bytes and its end.

use std::ops::{Bound, Range, RangeBounds};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::name::Name;
use super::options::{Access, MapOptions};
use crate::error::{Context, Error, Result};
use crate::sys::file;
use crate::sys::guard::Guard;
use crate::sys::mapping::Mapping;

/// Maps a file, a memory file without a name, anonymous memory or a System V segment. The map is
/// unmapped on drop. Several threads may use it at once.
///
/// There is no safe slice of the bytes. Every process that can write the file can change them, and
/// a process that truncates it makes access to them raise SIGBUS.
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
    /// The guard is the first member, so that it is dropped before the mapping that it guards.
    pub(super) guard: Option<Guard>,
    pub(super) data: NonNull<u8>,
    pub(super) length: usize,
    /// Number of bytes in the mapping before `data`, because mappings start at page boundaries.
    pub(super) head: usize,
    pub(super) mapping: Mapping,
    pub(super) backing: Backing,
    /// The options of the caller. They apply to pages that are added later, too.
    pub(super) options: MapOptions,
}

/// The file or memory behind a map, with its descriptor if the map keeps one.
#[derive(Debug)]
pub(super) enum Backing {
    /// A file that the map does not change, memory that was sealed, or a System V segment. No
    /// descriptor is kept.
    None,
    /// A file.
    File(OwnedFd),
    /// A file that the map does not change. The descriptor is kept to read the file's length.
    Watched(OwnedFd),
    /// A memory file without a name.
    Shared(OwnedFd),
    /// Memory without a file.
    Private,
}

// SAFETY: a map is an address range of the process and belongs to no thread. Its methods that give
// access to bytes return raw pointers or are unsafe.
unsafe impl Send for Map {}
// SAFETY: the same as for Send.
unsafe impl Sync for Map {}

impl Map {
    /// Makes a map of an attached System V segment.
    pub(crate) fn of_segment(mapping: Mapping, length: usize, access: Access) -> Map {
        let options = MapOptions::new().access(access);
        Map {
            guard: None,
            data: mapping.base(),
            length,
            head: 0,
            mapping,
            backing: Backing::None,
            options,
        }
    }

    /// Updates the address and the guard after the mapping was moved or resized.
    pub(super) fn settle(&mut self) {
        let base = self.mapping.base();
        // The head is less than a page, and a mapping has at least one page. An empty map begins
        // with a page, unless its address must stay.
        let head = if self.length == 0 && self.options.reserve == 0 { 0 } else { self.head };
        self.data = base.map_addr(|base| base.saturating_add(head));
        if let Some(guard) = &mut self.guard {
            guard.moved(base, self.mapping.length());
        }
    }

    /// Returns the address of the first byte. It is never null. The address of an empty map must
    /// not be dereferenced. It is aligned to a page, unless the map has [`MapOptions::reserve`] and
    /// its offset in the file lies within a page. Stores need [`Access::Write`] or
    /// [`Access::Private`]. [`Map::resize`] may change the address.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// // SAFETY: the file is not empty, and nobody truncates it.
    /// let first = unsafe { *map.as_ptr() };
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.data.as_ptr()
    }

    /// Returns the number of bytes in the map.
    ///
    /// ```
    /// assert!(bytefd::MapOptions::new().open("/etc/passwd")?.len() > 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns whether the map has no bytes.
    ///
    /// ```
    /// assert!(!bytefd::MapOptions::new().open("/etc/passwd")?.is_empty());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the access that the map allows.
    ///
    /// ```
    /// use bytefd::{Access, MapOptions};
    /// assert_eq!(MapOptions::new().open("/etc/passwd")?.access(), Access::Read);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn access(&self) -> Access {
        self.options.access_or_default()
    }

    /// Returns the bytes as a slice.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// // SAFETY: nobody changes the file while `text` is used.
    /// let text = unsafe { map.as_slice() };
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// While the slice lives, the map cannot be resized, unmapped or sealed:
    ///
    /// ```compile_fail,E0502
    /// let mut map = bytefd::MapOptions::new().memory(8192)?;
    /// let bytes = unsafe { map.as_slice() };
    /// map.unmap(4096..)?;
    /// assert_eq!(bytes[5000], 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Safety
    /// While the slice lives, no byte of it changes and every byte of it can be read:
    /// - No process writes to the file, or to another mapping of it.
    /// - Nothing in this process writes to the map: [`Map::write_at`], [`Map::atomic_u32`], a
    ///   pointer of [`Map::as_ptr`].
    /// - No part of the map lies past the end of the file, and the file does not become shorter.
    ///   Otherwise access raises SIGBUS.
    /// - No page of the map was unmapped ([`Map::unmap`]) or protected against reading
    ///   ([`Map::protect`]), and none has the advice
    ///   [`Discard::GuardInstall`](crate::Discard::GuardInstall). Otherwise access raises SIGSEGV.
    ///
    /// [`MapOptions::guard`] does not help: a lost page becomes zeros, which changes the bytes.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the range is mapped readable; the caller guarantees that the bytes neither change
        // nor disappear.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }

    /// Returns the bytes as a slice for writing; `None` if the map is for reading only.
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
    /// As [`Map::as_slice`]. In addition no process reads the bytes in another way while the slice
    /// lives, and no page of the map is protected against writing.
    pub unsafe fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        if self.access() == Access::Read {
            return None;
        }
        // SAFETY: the range is mapped readable and writable; the caller guarantees that nothing
        // else uses it.
        Some(unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.length) })
    }

    /// Returns the 32-bit word at `offset` as an atomic, which processes and threads can change at
    /// the same time. [`share::futex_wait`](crate::share::futex_wait()) waits for such a word.
    ///
    /// Access to the word raises SIGSEGV if its page is protected, and SIGBUS if its page is lost
    /// and the map is not guarded ([`MapOptions::guard`]).
    ///
    /// ```
    /// use std::sync::atomic::Ordering::SeqCst;
    /// let map = bytefd::MapOptions::new().memory(4096)?;
    /// map.atomic_u32(8)?.fetch_add(1, SeqCst);
    /// assert_eq!(map.load_u32(8)?, 1);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EACCES` if the map is for reading only; use [`Map::load_u32`].
    /// - `EINVAL` if the word is not entirely in the map, its address is not a multiple of 4, or it
    ///   was unmapped. The address of offset 0 is a multiple of 4 if the map begins at one in its
    ///   file.
    pub fn atomic_u32(&self, offset: usize) -> Result<&AtomicU32> {
        let word = self.word(offset)?;
        if self.access() == Access::Read {
            return Err(Error::new("word", libc::EACCES, "the map is for reading only"));
        }
        // SAFETY: the word is mapped while the map is borrowed, aligned, and writable. Slices of
        // the map promise that no code writes.
        Ok(unsafe { AtomicU32::from_ptr(word.as_ptr()) })
    }

    /// Loads the 32-bit word at `offset`, which others may change at the same time, with the
    /// ordering [`Acquire`](std::sync::atomic::Ordering::Acquire). Works for every map.
    ///
    /// Raises SIGSEGV if the page of the word is protected, and SIGBUS if the page is lost and the
    /// map is not guarded ([`MapOptions::guard`]).
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// assert_ne!(map.load_u32(0)?, 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` if the word is not entirely in the map, its address is not a multiple of 4, or it
    /// was unmapped.
    pub fn load_u32(&self, offset: usize) -> Result<u32> {
        // SAFETY: the word is mapped and aligned. A relaxed load is the one atomic access that is
        // allowed for read-only memory.
        let value =
            unsafe { AtomicU32::from_ptr(self.word(offset)?.as_ptr()) }.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        Ok(value)
    }

    fn word(&self, offset: usize) -> Result<NonNull<u32>> {
        self.checked_span(offset, size_of::<u32>())?;
        let word = self.data.map_addr(|start| start.saturating_add(offset)).cast::<u32>();
        if word.is_aligned() {
            return Ok(word);
        }
        Err(Error::new(
            "word",
            libc::EINVAL,
            format_args!("the address of offset {offset} is not a multiple of 4"),
        ))
    }

    /// Unmaps the map and returns the kernel's error, which dropping the map ignores. Does not
    /// flush: the kernel writes shared changes back later.
    ///
    /// ```
    /// bytefd::MapOptions::new().open("/etc/passwd")?.close()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of munmap(2).
    pub fn close(self) -> Result<()> {
        let Map { guard, mapping, length, .. } = self;
        drop(guard);
        mapping.unmap().context("munmap", || format!("{length} bytes"))
    }

    /// Returns the descriptor of the file behind the map, which is open for reading and writing.
    /// Maps of files with [`Access::Write`] have one, and shared memory has one. `None` for every
    /// other map, also of a System V segment.
    ///
    /// A process that gets the descriptor, by inheritance or through a socket, can map the memory.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// assert_eq!(std::fs::read(bytefd::path(map.file().unwrap())).unwrap(), [0; 5]);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.backing {
            Backing::File(fd) | Backing::Shared(fd) => Some(fd.as_fd()),
            Backing::None | Backing::Watched(_) | Backing::Private => None,
        }
    }

    /// Returns the present size of the file behind the map. It works for maps with a descriptor
    /// ([`Map::file`]) and for guarded maps of files ([`MapOptions::guard`]).
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().guard(true).open("/etc/passwd")?;
    /// assert_eq!(map.file_size()?, map.len() as u64);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EBADF` if the map keeps no descriptor.
    /// - The errors of fstat(2).
    pub fn file_size(&self) -> Result<u64> {
        let (Backing::File(fd) | Backing::Shared(fd) | Backing::Watched(fd)) = &self.backing else {
            let message = "the map has no descriptor to read the file size from; only maps of \
                           files for writing, guarded maps of files, and shared memory that is \
                           not sealed have one";
            return Err(Error::new("descriptor", libc::EBADF, message));
        };
        file::fstat(fd.as_fd()).map(|stat| stat.size).context("fstat", || Name::Kept)
    }

    /// Returns [`Map::file`], or an error if there is none.
    #[cfg(feature = "capi")]
    pub(crate) fn descriptor(&self) -> Result<BorrowedFd<'_>> {
        self.file().ok_or_else(|| {
            let message = "the map lends no descriptor; only maps of files for writing, and \
                           shared memory that is not sealed, lend one";
            Error::new("descriptor", libc::EBADF, message)
        })
    }

    /// Fails if a page of a guarded map was lost and replaced by zeros. Always `Ok` without
    /// [`MapOptions::guard`].
    ///
    /// Only whole pages are lost. If the file became shorter within a page, the rest of that page
    /// reads zero and is not reported; [`Map::file_size`] tells.
    ///
    /// ```
    /// bytefd::MapOptions::new().guard(true).open("/etc/passwd")?.check()?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EIO` if a page was lost and replaced by zeros.
    pub fn check(&self) -> Result<()> {
        match &self.guard {
            Some(guard) if guard.is_lost() => {
                Err(Error::new("check", libc::EIO, "pages of the map were lost and are zeros now"))
            }
            _ => Ok(()),
        }
    }

    /// Returns where a range lies in the mapping; `None` if it has no bytes.
    pub(super) fn part(
        &self,
        range: impl RangeBounds<usize>,
    ) -> Result<Option<(&Mapping, Range<usize>)>> {
        let range = self.checked(range)?;
        if range.is_empty() {
            return Ok(None);
        }
        let bytes = self.head + range.start..self.head + range.end;
        if self.mapping.is_missing(&bytes) {
            let message = format!("bytes of {}..{} were unmapped", range.start, range.end);
            return Err(Error::new("range", libc::EINVAL, message));
        }
        Ok(Some((&self.mapping, bytes)))
    }

    /// Returns a range that lies in the map and has no unmapped bytes.
    pub(super) fn checked_span(&self, offset: usize, length: usize) -> Result<Range<usize>> {
        let Some(end) = offset.checked_add(length) else {
            let (end, size) = (offset as u128 + length as u128, self.length);
            let message = format!("asked for bytes {offset}..{end} of a map of {size} bytes");
            return Err(Error::new("range", libc::EINVAL, message));
        };
        self.part(offset..end)?;
        Ok(offset..end)
    }

    /// Returns a range that lies in the map.
    pub(super) fn checked(&self, range: impl RangeBounds<usize>) -> Result<Range<usize>> {
        // A bound that overflows lies outside the map in any case.
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
            let message =
                format!("asked for bytes {start}..{end} of a map of {} bytes", self.length);
            return Err(Error::new("range", libc::EINVAL, message));
        }
        Ok(start..end)
    }
}
