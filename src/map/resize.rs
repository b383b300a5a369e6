//! Makes the file and its map larger or smaller together.
//!
//! Memory that may grow reserves address space instead of moving. The reserved space is mapped
//! without access and costs no memory.

use std::os::fd::{AsFd, BorrowedFd};

use super::map::{Backing, Map};
use super::name::Name;
use super::options::MapOptions;
use crate::error::{Context, Error, Result};
use crate::fill::Growth;
use crate::sys::mapping::{Content, Mapping};
use crate::sys::{self, copy};

impl Map {
    /// Sets the length of the map to `length` bytes. Its offset in the file stays the same.
    ///
    /// - Growing also grows a file that ends before the new end of the map, and reserves the space,
    ///   as [`MapOptions::file_size`](crate::MapOptions::file_size) does. The bytes that the file
    ///   gains read zero, whatever was stored past the old end.
    /// - Shrinking truncates the file at the new end of the map, unless the file extends past the
    ///   old end. Access past the new end by other processes and other maps then raises SIGBUS.
    /// - A file that extends past the end of the map keeps its bytes, and growing the map shows
    ///   them.
    ///
    /// The map keeps its address if neither the new nor any earlier length exceeds
    /// [`MapOptions::reserve`](crate::MapOptions::reserve). Otherwise it may move, and earlier
    /// pointers are invalid.
    ///
    /// ```
    /// let mut map = bytefd::MapOptions::new().memory(5)?;
    /// map.write_at(b"hello", 0)?;
    /// map.resize(10_000)?;
    /// assert_eq!(map.len(), 10_000);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// A failure changes nothing.
    /// - `EINVAL` if the map is of a file without [`Access::Write`](crate::Access::Write), or of a
    ///   System V segment.
    /// - `EINVAL` if parts of it were unmapped.
    /// - `EINVAL` for reserved huge pages if `length` is 0, if the map's end in the file would not
    ///   be a multiple of their size, or if they would have to move.
    /// - `EIO` if a guarded map has replaced lost pages and must grow.
    /// - `EINVAL` if `length` is more than a map or file can have.
    /// - `EFBIG`, `ENOSPC` if the file cannot grow.
    /// - `EPERM` if the file is sealed against it.
    /// - `ENOMEM` if memory or address space runs out.
    /// - `EFAULT` if the map must move, and parts of it have another protection or advice than the
    ///   rest.
    pub fn resize(&mut self, length: usize) -> Result<()> {
        let problem: String = if matches!(self.backing, Backing::None | Backing::Watched(_)) {
            "the length of this map cannot change: it is a System V map, a map of a file for \
             reading or private writing, or sealed memory"
                .into()
        } else if self.mapping.has_holes() {
            "parts of the map were unmapped".into()
        } else if length > isize::MAX as usize
            || self.options.offset.checked_add(length as u64).is_none()
        {
            format!("the length exceeds the maximum {}", isize::MAX)
        } else if self.is_of_huge_pages() && (length == 0 || !self.is_whole_pages(length)) {
            let page = self.mapping.page();
            format!("the length is 0, or the end is not a multiple of the huge page size {page}")
        } else if self.is_of_huge_pages() && self.head + length > self.mapping.reserved() {
            let space = self.mapping.reserved();
            format!("huge pages cannot move, and the map's address space has {space} bytes")
        } else if length < self.length {
            return self.shrink(length);
        } else if length > self.length {
            return self.grow(length);
        } else {
            return Ok(());
        };
        let message = format!("asked for {length} bytes instead of {}: {problem}", self.length);
        Err(Error::new("resize", libc::EINVAL, message))
    }

    fn shrink(&mut self, length: usize) -> Result<()> {
        if let Backing::File(fd) | Backing::Shared(fd) = &self.backing {
            let size = sys::file::fstat(fd.as_fd()).context("fstat", || Name::Kept)?.size;
            let (new_end, old_end) =
                (self.options.offset + length as u64, self.options.offset + self.length as u64);
            if size > new_end && size <= old_end {
                let asked = || format!("{} from {size} to {new_end} bytes", Name::Kept);
                sys::file::ftruncate(fd.as_fd(), new_end).context("ftruncate", asked)?;
            }
        }
        self.length = length;
        if let Some(guard) = &mut self.guard {
            guard.suspend();
        }
        // If the kernel refuses to unmap these pages, they stay, which does no harm.
        if length > 0 || self.options.reserve > 0 {
            let bytes = if length == 0 { 0 } else { self.head + length };
            let _ = self.mapping.shrink(bytes, self.options.reserve > 0);
        } else {
            self.guard = None;
            self.mapping.clear();
        }
        self.settle();
        Ok(())
    }

    fn grow(&mut self, length: usize) -> Result<()> {
        // Pages that have replaced lost pages belong to no file, so they cannot grow with the rest.
        self.check()?;
        let bytes = self.head + length;
        if let Some(guard) = &mut self.guard {
            guard.make_room(bytes).context("mmap", || "memory for the guard's page states")?;
        }
        let start = self.options.offset - self.head as u64;
        let end = self.options.offset + length as u64;
        let (file, growth) = match &self.backing {
            Backing::File(fd) => {
                (Some(fd), self.grow_file(fd.as_fd(), end, self.options.no_reserve)?)
            }
            Backing::Shared(fd) => (Some(fd), self.grow_file(fd.as_fd(), end, true)?),
            Backing::Private | Backing::Watched(_) | Backing::None => (None, None),
        };
        let content = |at: usize| match file {
            Some(fd) => Content::File(fd.as_fd(), start + at as u64),
            None => Content::Anonymous,
        };
        if let (Backing::Shared(fd), Some(growth)) = (&self.backing, &growth) {
            self.options.allocate(fd.as_fd(), growth.from(), end)?;
        }
        if self.mapping.length() > 0 || bytes <= self.mapping.reserved() {
            let mapping = &mut self.mapping;
            if let Backing::Private = self.backing {
                clear_end(mapping, self.length)?;
            }
            if let Some(guard) = &mut self.guard {
                guard.suspend();
            }
            let grown = self.options.grow_mapping(mapping, bytes, content(mapping.length()));
            if let (Err(_), Some(guard)) = (&grown, &mut self.guard) {
                guard.moved(mapping.base(), mapping.length());
            }
            grown?;
        } else {
            // If nothing is mapped, there is nothing to move.
            let name = if file.is_some() { Name::Kept } else { Name::Memory };
            let mapping = self.options.mapping(content(0), self.mapping.page(), bytes, &name)?;
            if let Some(guard) = &mut self.guard {
                guard.suspend();
            }
            self.mapping = mapping;
        }
        if self.guard.is_none() {
            self.guard = self.options.guard_of(&self.mapping, content(0))?;
        }
        if let Backing::Private = &self.backing {
            self.options
                .populate_private(&self.mapping, (self.head + self.length).min(bytes)..bytes);
        }
        Growth::keep(growth);
        self.length = length;
        self.settle();
        Ok(())
    }

    fn grow_file<'a>(
        &self,
        fd: BorrowedFd<'a>,
        end: u64,
        no_reserve: bool,
    ) -> Result<Option<Growth<'a>>> {
        let size = sys::file::fstat(fd).context("fstat", || Name::Kept)?.size;
        if size < end {
            Growth::of(fd, size, end, no_reserve, Name::Kept).map(Some)
        } else {
            Ok(None)
        }
    }

    fn is_of_huge_pages(&self) -> bool {
        self.mapping.page() > sys::page_size()
    }

    fn is_whole_pages(&self, length: usize) -> bool {
        (self.options.offset + length as u64) % self.mapping.page() as u64 == 0
    }
}

impl MapOptions {
    /// Adds mapped pages. If that fails, the mapping is unchanged.
    fn grow_mapping(
        &self,
        mapping: &mut Mapping,
        bytes: usize,
        content: Content<'_>,
    ) -> Result<()> {
        let old = mapping.length();
        let asked = || format!("from {old} to {bytes} bytes");
        if bytes > mapping.reserved() {
            // The kernel applies the settings of the old pages (mlock, madvise) to the new ones.
            return mapping.grow(bytes).context("mremap", asked);
        }
        mapping.extend(bytes, content, self.mmap_options_for(content)).context("mmap", asked)?;
        if old < mapping.length() {
            if let Err(error) = self.treat(mapping, old..bytes) {
                let _ = mapping.shrink(old, true);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Clears the last page after the end of the memory. Bytes that were stored there show in mappings,
/// and would become content when the memory grows.
pub(super) fn clear_end(mapping: &Mapping, length: usize) -> Result<()> {
    copy::write_zeros(mapping, length..mapping.length())
        .context("write", || "zeros after the end of the memory, in its last page")
}
