//! File and map made larger or smaller together.

use std::os::fd::AsFd;

use super::file::Name;
use super::growth::Growth;
use super::{Backing, Map};
use crate::error::{Context, Errno, Error, Result};
use crate::sys::mapping::{Content, Mapping};
use crate::sys::{self, copy};

impl Map {
    /// Makes the map, and what is behind it, `length` bytes long.
    ///
    /// Growing: the file grows too, unless it goes on behind the map, and its space is reserved as with
    /// [`MapOptions::file_size`](crate::MapOptions::file_size). What is new reads zero, whatever was stored behind the old end
    /// before. Shrinking: the file is cut off at the new end, unless it goes on behind the map.
    ///
    /// With [`MapOptions::reserve`](crate::MapOptions::reserve) the map stays where it is up to that length. Otherwise it may move:
    /// pointers from before are invalid. Other processes and other maps of the file see its new length; what was cut off is SIGBUS
    /// for them.
    ///
    /// ```
    /// let mut map = bytefd::MapOptions::new().memory(5)?;
    /// map.write_at(0, b"hello")?;
    /// map.resize(10_000)?;
    /// assert_eq!(map.len(), 10_000);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Nothing has changed then. `EINVAL` for a map that is not for writing, one of which parts were unmapped, or more than a map or
    /// file can have; `EFBIG` and `ENOSPC` when the file cannot grow; `EPERM` if it is sealed against it; `ENOMEM` without memory or
    /// address space; `EFAULT` if the map must move and parts have another protection or treatment than the rest.
    pub fn resize(&mut self, length: usize) -> Result<()> {
        let problem = if matches!(self.backing, Backing::None) {
            "its file is not the map's to change, because it was not mapped for writing, or was sealed"
        } else if self.mapping.as_ref().is_some_and(Mapping::has_holes) {
            "parts of it were unmapped"
        } else if length > isize::MAX as usize || self.options.offset.checked_add(length as u64).is_none() {
            "that is more than one map can have"
        } else if self.mapping.as_ref().is_some_and(|mapping| !length.is_multiple_of(mapping.page().max(1)))
            && self.options.huge_pages
        {
            "that is not a multiple of the size of its huge pages"
        } else if length < self.length {
            return self.shrink(length);
        } else if length > self.length {
            return self.grow(length);
        } else {
            return Ok(());
        };
        let message = format_args!("asked for {length} bytes instead of {}: {problem}", self.length);
        Err(Error::new("resize", libc::EINVAL, message))
    }

    fn shrink(&mut self, length: usize) -> Result<()> {
        if let Backing::File(fd) | Backing::Shared(fd) = &self.backing {
            let size = sys::file::fstat(fd.as_fd()).context("fstat", || Name::Kept)?.size;
            let (new_end, old_end) = (self.options.offset + length as u64, self.options.offset + self.length as u64);
            if size > new_end && size <= old_end {
                let asked = || format!("{} from {size} to {new_end} bytes", Name::Kept);
                sys::file::ftruncate(fd.as_fd(), new_end).context("ftruncate", asked)?;
            }
        }
        self.length = length;
        if let Some(mapping) = &mut self.mapping {
            if length == 0 && self.options.reserve == 0 {
                self.guard = None;
                self.mapping = None;
            } else {
                // If these pages cannot go they stay, which does no harm.
                let bytes = if length == 0 { 0 } else { self.head + length };
                let _ = mapping.shrink(bytes, self.options.reserve > 0);
            }
        }
        self.settle()
    }

    fn grow(&mut self, length: usize) -> Result<()> {
        let offset = self.options.offset;
        let (file, growth) = match &self.backing {
            Backing::File(fd) | Backing::Shared(fd) => {
                let size = sys::file::fstat(fd.as_fd()).context("fstat", || Name::Kept)?.size;
                let end = offset + length as u64;
                let is_memory = matches!(self.backing, Backing::Shared(_));
                let no_reserve = self.options.no_reserve || is_memory;
                let growth = match size < end {
                    true => Some(Growth::of(fd.as_fd(), size, end, no_reserve, Name::Kept)?),
                    false => None,
                };
                if growth.is_some() && is_memory {
                    self.options.allocate(fd.as_fd(), size, end)?;
                }
                (Some(fd), growth)
            }
            Backing::Private | Backing::None => (None, None),
        };
        if let (None, Some(mapping)) = (file, &self.mapping) {
            clear_end(mapping, self.length)?;
        }
        let start = offset - self.head as u64;
        let content = |at: usize| match file {
            Some(fd) => Content::File(fd.as_fd(), start + at as u64),
            None => Content::Nothing,
        };
        let bytes = self.head + length;
        let old = match &mut self.mapping {
            Some(mapping) => {
                let old = mapping.length();
                let grown = if bytes <= mapping.reserved() {
                    mapping.extend(bytes, content(old), self.options.manner())
                } else {
                    mapping.grow(bytes)
                };
                grown.context("mremap", || format!("from {} to {length} bytes", self.length))?;
                if self.options.reserve > 0 && old < mapping.length() {
                    self.options.treat(mapping, old..bytes)?;
                }
                old
            }
            None => {
                let name = if file.is_some() { Name::Kept } else { Name::Memory };
                self.mapping = self.options.mapping(content(0), sys::page_size(), bytes, &name)?;
                0
            }
        };
        if let (Backing::Private, Some(mapping)) = (&self.backing, &self.mapping) {
            self.options.populate_private(mapping, old.min(bytes)..bytes);
        }
        growth.map(Growth::keep);
        self.length = length;
        self.settle()
    }
}

/// Zeros behind the end of private memory, in its last page: it becomes content.
fn clear_end(mapping: &Mapping, length: usize) -> Result<()> {
    static ZEROS: [u8; 4096] = [0; 4096];
    let mut at = length;
    while at < mapping.length() {
        let count = (mapping.length() - at).min(ZEROS.len());
        // SAFETY: the pages are the map's.
        let copied = unsafe { copy::write(mapping.base().as_ptr().wrapping_add(at), ZEROS.as_ptr(), count, false) };
        match copied.context("write", || "zeros behind the end")? {
            0 => return Err(Errno(libc::EFAULT)).context("write", || "zeros behind the end, in a protected page"),
            copied => at += copied,
        }
    }
    Ok(())
}
