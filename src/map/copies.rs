//! Copies out of a map and into it. The copies never raise a signal, with or without a guard.
//! `sys::copy` does the work.

use std::io::IoSlice;
use std::ops::Range;

use super::map::Map;
use super::options::Access;
use crate::error::{Context, Errno, Error, Result};
use crate::sys::guard::Guard;
use crate::sys::{self, copy, source};

impl Map {
    /// Copies bytes from `offset` on into `buf` and returns their number. It copies as many as fit,
    /// fewer at the end of the map, and none past the end.
    ///
    /// Never raises a signal. The copy ends before a page that is lost, because the file became
    /// shorter or its storage failed. It also ends before a page that is protected against reading.
    /// In a guarded map ([`MapOptions::guard`](crate::MapOptions::guard)) it ends exactly where the
    /// file ends now; in other maps the rest of the file's last page reads zero.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().range(..10).open("/etc/passwd")?;
    /// let mut line = [0; 4];
    /// assert_eq!(map.read_at(&mut line, 0)?, 4);
    /// assert_eq!(map.read_at(&mut line, 9)?, 1);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EIO` if not even the first byte can be read: it no longer exists, or its page is
    ///   protected.
    /// - `EINVAL` if any of the bytes that would be copied were unmapped.
    pub fn read_at(&self, buf: &mut [u8], offset: usize) -> Result<usize> {
        let offset = offset.min(self.length);
        let length = buf.len().min(self.length - offset);
        // SAFETY: a slice is valid memory.
        unsafe { self.read_to(buf.as_mut_ptr(), length, offset) }
    }

    /// Fills `buf` with bytes from `offset` on. See [`Map::read_at`].
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
    /// let mut line = [0; 4];
    /// map.read_exact_at(&mut line, 0)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the range is not in the map, or bytes of it were unmapped.
    /// - `EIO` if bytes do not exist any more; those before them are in `buf`.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: usize) -> Result<()> {
        // SAFETY: a slice is valid memory.
        let count = unsafe { self.read_to(buf.as_mut_ptr(), buf.len(), offset)? };
        if count < buf.len() { Err(lost("read", offset + count)) } else { Ok(()) }
    }

    /// Copies `length` bytes from `offset` on to `to`, which need not be valid memory; `EFAULT` if
    /// it is not. All of the bytes must be in the map.
    ///
    /// # Safety
    /// No other code uses the valid part of the `length` bytes at `to`. With a guarded map all of
    /// these bytes must be mapped.
    pub(crate) unsafe fn read_to(
        &self,
        to: *mut u8,
        length: usize,
        offset: usize,
    ) -> Result<usize> {
        let bytes = self.checked_span(offset, length)?;
        if length == 0 {
            return Ok(0);
        }
        let from = self.data.as_ptr().wrapping_add(bytes.start);
        // SAFETY: the range lies in the map, and the caller guarantees `to`.
        let copied = unsafe { copy::read(from, to, self.kept(&bytes), self.is_copy_guarded()) };
        self.count_of("read", bytes, copied)
    }

    /// Copies `buf` into the map from `offset` on and returns the number of bytes copied. Never
    /// raises a signal.
    ///
    /// The copy ends before the first page that is lost, that is protected against writing, or for
    /// which the storage has no space. In a guarded map it also ends at the end of the file.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// assert_eq!(map.write_at(b"hello", 0)?, 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the range is not in the map, or bytes of it were unmapped. Nothing is written.
    /// - `EACCES` if the map is for reading only.
    /// - `EFAULT` if bytes of `buf` are in a map and were lost.
    /// - `EIO` if not even the first byte can be stored.
    pub fn write_at(&self, buf: &[u8], offset: usize) -> Result<usize> {
        // SAFETY: a slice is valid memory.
        unsafe { self.write_from(buf.as_ptr(), buf.len(), offset) }
    }

    /// Copies like [`Map::write_at`], from memory that need not be valid. If it is not, the error
    /// is `EFAULT`, and some of the bytes may have been copied.
    ///
    /// # Safety
    /// No other code changes the valid part of the `length` bytes at `from`. With a guarded map all
    /// of these bytes must be mapped.
    pub(crate) unsafe fn write_from(
        &self,
        from: *const u8,
        length: usize,
        offset: usize,
    ) -> Result<usize> {
        let bytes = self.checked_span(offset, length)?;
        if self.access() == Access::Read {
            return Err(Error::new("write", libc::EACCES, "the map is for reading only"));
        }
        if length == 0 {
            return Ok(0);
        }
        let to = self.data.as_ptr().wrapping_add(bytes.start);
        // SAFETY: the range lies in the map, and the caller guarantees `from`.
        let copied = unsafe { copy::write(to, from, self.kept(&bytes), self.is_copy_guarded()) };
        let kept = copied.and_then(|count| {
            // SAFETY: the slice is not read; only its address is used.
            let given = unsafe { std::slice::from_raw_parts(from, count) };
            source::check_kept(&[IoSlice::new(given)]).map(|()| count)
        });
        self.count_of("write", bytes, kept)
    }

    /// Returns whether the guard ends copies that the process makes itself. They then raise no
    /// signal. Otherwise the kernel must copy.
    pub(super) fn is_copy_guarded(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::ends_copies)
    }

    /// Returns how many of these bytes lie before the first page that the guard has replaced and
    /// before the end of the file. Without a guard the number is unknown, and all of them count.
    fn kept(&self, bytes: &Range<usize>) -> usize {
        let Some(guard) = &self.guard else { return bytes.len() };
        let in_mapping = self.head + bytes.start..self.head + bytes.end;
        let kept = guard.kept(in_mapping);
        let Ok(size) = self.file_size() else { return kept };
        let start = self.options.offset + bytes.start as u64;
        kept.min(usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX))
    }

    fn count_of(
        &self,
        op: &'static str,
        bytes: Range<usize>,
        copied: sys::Result<usize>,
    ) -> Result<usize> {
        let is_buffer = copied == Err(Errno(libc::EFAULT));
        let problem = if is_buffer { ": the caller's buffer is not accessible" } else { "" };
        let copied =
            copied.context(op, || format!("bytes {}..{}{problem}", bytes.start, bytes.end))?;
        // The file may have become shorter meanwhile.
        match self.kept(&(bytes.start..bytes.start + copied)) {
            0 => Err(lost(op, bytes.start)),
            count => Ok(count),
        }
    }
}

fn lost(op: &'static str, at: usize) -> Error {
    let storage = if op == "write" { "is full or fails" } else { "fails" };
    let message = format!(
        "byte {at} is not accessible: the file is shorter now, its storage {storage}, or the page \
         is protected"
    );
    Error::new(op, libc::EIO, message)
}
