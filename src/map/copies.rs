//! Copies out of a map and into it, which never raise a signal.

use std::ops::Range;

use super::map::Map;
use super::options::Access;
use crate::error::{Context, Error, Result};
use crate::sys::guard::Guard;
use crate::sys::{self, copy};

impl Map {
    /// Copies bytes from `offset` on into `to`, and returns how many: all, or those that exist up to a page that is lost because
    /// somebody made the file shorter or the storage failed, also one that a guard has replaced. Never a signal, whether the map is
    /// guarded or not, and whatever the program has done about SIGBUS before: the kernel copies, process_vm_readv(2); or a guarded map
    /// is copied under its handler, for many bytes nearly as fast as memcpy (x86-64).
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// let mut line = [0; 4];
    /// assert_eq!(map.read_at(0, &mut line)?, 4);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range that is not all in the map; `EIO` if not even the first byte exists any more.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<usize> {
        // SAFETY: a slice is valid memory.
        unsafe { self.read_to(offset, to.as_mut_ptr(), to.len()) }
    }

    /// [`Map::read_at`] into memory that may turn out not to be valid: `EFAULT` then, and part of it may be written.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// let mut line = [0; 4];
    /// // SAFETY: nobody else uses `line`.
    /// let count = unsafe { map.read_to(0, line.as_mut_ptr(), 4)? };
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Map::read_at`].
    ///
    /// # Safety
    /// What is valid of the `length` bytes at `to` is nobody else's. With a guarded map all of it must be valid.
    pub unsafe fn read_to(&self, offset: usize, to: *mut u8, length: usize) -> Result<usize> {
        let bytes = self.checked_span(offset, length)?;
        if length == 0 {
            return Ok(0);
        }
        let from = self.data.as_ptr().wrapping_add(bytes.start);
        // SAFETY: the range is in the map, and the caller vouches for `to`.
        let copied = unsafe { copy::read(from, to, self.kept(&bytes), self.is_copy_guarded()) };
        self.count_of("read", bytes, copied)
    }

    /// Copies `from` into the map from `offset` on, and returns how many bytes: all, or those before a page that is lost or finds
    /// no room on the storage. Never a signal, as [`Map::read_at`].
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// assert_eq!(map.write_at(0, b"hello")?, 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range that is not all in the map; `EACCES` for a map for reading only; `EIO` if not even the first byte can be
    /// stored.
    pub fn write_at(&self, offset: usize, from: &[u8]) -> Result<usize> {
        // SAFETY: a slice is valid memory.
        unsafe { self.write_from(offset, from.as_ptr(), from.len()) }
    }

    /// [`Map::write_at`] from memory that may turn out not to be valid: `EFAULT` then, and part of it may have been copied.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// // SAFETY: a literal is valid memory.
    /// let count = unsafe { map.write_from(0, b"hello".as_ptr(), 5)? };
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Map::write_at`].
    ///
    /// # Safety
    /// Nobody changes what is valid of the `length` bytes at `from`. With a guarded map all of it must be valid.
    pub unsafe fn write_from(&self, offset: usize, from: *const u8, length: usize) -> Result<usize> {
        let bytes = self.checked_span(offset, length)?;
        if self.options.access == Access::Read {
            return Err(Error::new("write", libc::EACCES, "the map is for reading only"));
        }
        if length == 0 {
            return Ok(0);
        }
        let to = self.data.as_ptr().wrapping_add(bytes.start);
        // SAFETY: the range is in the map, and the caller vouches for `from`.
        let copied = unsafe { copy::write(to, from, self.kept(&bytes), self.is_copy_guarded()) };
        self.count_of("write", bytes, copied)
    }

    /// Whether a copy without the kernel raises no signal.
    pub(super) fn is_copy_guarded(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::ends_copies)
    }

    /// How many of these bytes there are before a page that the guard has replaced: what is there is not the file's.
    fn kept(&self, bytes: &Range<usize>) -> usize {
        let in_mapping = self.head + bytes.start..self.head + bytes.end;
        self.guard.as_ref().map_or(bytes.len(), |guard| guard.kept(in_mapping))
    }

    fn count_of(&self, op: &'static str, bytes: Range<usize>, copied: sys::Result<usize>) -> Result<usize> {
        let copied = copied.context(op, || format!("bytes {}..{}, and the caller's buffer", bytes.start, bytes.end))?;
        // Another thread may have lost a page meanwhile.
        match self.kept(&(bytes.start..bytes.start + copied)) {
            0 => {
                let message = format_args!(
                    "byte {} does not exist: the file is shorter by now, its storage fails, or the page is protected",
                    bytes.start
                );
                Err(Error::new(op, libc::EIO, message))
            }
            count => Ok(count),
        }
    }
}
