//! Collects bytes that are written one after the other, for a descriptor.
//!
//! Content of up to 1 MiB is collected in private memory, and sealing copies it into a file. So a
//! child cannot prevent the sealing of such content. Larger content moves into a memory file, which
//! a child can have mapped.

use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::map::Map;
use super::options::MapOptions;
use super::seal::PATIENCE;
use super::sealed::{SealError, Sealed};
use crate::backend::Backend;
use crate::error::{Context, Error, Result};
use crate::sys::{self, source};
use crate::wrap::WrapOptions;

/// Collects what is written to it, and turns it into a sealed file: for encoders, bodies of
/// requests, and all code that writes to an [`io::Write`].
///
/// Content of up to 1 MiB is collected in private memory, and sealing copies it into a file. Larger
/// content moves into a memory file once, which becomes the sealed file without a copy. Use a
/// `MapWriter` for content that is produced piece by piece. For bytes that are already in memory,
/// [`wrap`](crate::wrap()) costs less.
///
/// Each write begins at the position, which [`Seek`] moves. [`MapWriter::written`] is the length of
/// the content up to the last byte that was written, wherever the position is. [`MapWriter::seal`]
/// seals all of the content. A gap that seeking leaves reads zero.
///
/// ```
/// use std::io::Write;
/// let mut writer = bytefd::MapWriter::new()?;
/// write!(writer, "{{ \"answer\": {} }}", 42)?;
/// let sealed = writer.seal()?;
/// assert_eq!(std::fs::read(bytefd::path(&sealed))?, b"{ \"answer\": 42 }");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct MapWriter {
    memory: Memory,
    /// Where the next byte goes.
    position: usize,
    /// Number of bytes of content.
    written: usize,
    /// End of the memory into which the fast path appends. It is at least `written`, and larger
    /// only if the position is at the end of the content.
    limit: usize,
}

/// The memory of the content, usually more than has been written.
#[derive(Debug)]
enum Memory {
    /// Private memory, which is not that of the sealed file, so a child forked by another thread
    /// does not prevent sealing. Bytes are stored in the vector's capacity; its length follows
    /// later. So only pages that are written are touched.
    Private(Vec<u8>),
    File(Map),
}

/// Maximum size of private memory. Up to this size, copying takes less time than making pages
/// ahead, and less time than waiting for a forked child can take.
const MOST_PRIVATE: usize = 1 << 20;
/// Number of bytes that the first write reserves.
const FIRST: usize = 16 << 10;
/// Size of the address space that is reserved, so that growing does not move the memory. It is more
/// than most programs write, and costs no memory.
const RESERVE: usize = 64 << 30;

impl Default for Memory {
    fn default() -> Memory {
        Memory::Private(Vec::new())
    }
}

impl Memory {
    #[inline]
    fn start(&self) -> *const u8 {
        match self {
            Memory::Private(bytes) => bytes.as_ptr(),
            Memory::File(map) => map.as_ptr(),
        }
    }

    #[inline]
    fn start_mut(&mut self) -> *mut u8 {
        match self {
            Memory::Private(bytes) => bytes.as_mut_ptr(),
            Memory::File(map) => map.as_ptr(),
        }
    }

    /// Sets the length of the vector to the bytes that have been stored.
    fn settle(&mut self, written: usize) {
        if let Memory::Private(bytes) = self {
            if bytes.len() < written {
                // SAFETY: the vector has capacity for `written` bytes, and that number has been
                // stored.
                unsafe { bytes.set_len(written) };
            }
        }
    }

    /// Returns the number of bytes that are initialised, written or not.
    fn length(&self) -> usize {
        match self {
            Memory::Private(bytes) => bytes.len(),
            Memory::File(map) => map.len(),
        }
    }

    /// Returns the number of bytes for which there is memory.
    fn size(&self) -> usize {
        match self {
            Memory::Private(bytes) => bytes.capacity(),
            Memory::File(map) => map.len(),
        }
    }

    /// Returns the bytes, at least `end` of them.
    fn bytes_mut(&mut self, end: usize) -> Result<&mut [u8]> {
        match self {
            Memory::Private(bytes) => {
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                Ok(bytes)
            }
            // SAFETY: this object alone has the map, no other code has its descriptor, and nothing
            // writes while it is borrowed.
            Memory::File(map) => unsafe { writable(map) },
        }
    }

    /// Makes room for `needed` bytes.
    fn grow(&mut self, needed: usize, content: usize) -> Result<()> {
        match self {
            Memory::Private(bytes) if needed <= MOST_PRIVATE => {
                let size = needed.next_power_of_two().max(FIRST);
                bytes.try_reserve_exact(size - bytes.len()).map_err(|_| no_memory(size))?;
            }
            Memory::Private(bytes) => {
                let mut map = empty_map()?;
                grow_map(&mut map, needed)?;
                // SAFETY: the same as in `bytes_mut`.
                let moved = unsafe { writable(&mut map)? };
                moved[..content].copy_from_slice(&bytes[..content]);
                *self = Memory::File(map);
            }
            Memory::File(map) => grow_map(map, needed)?,
        }
        Ok(())
    }
}

/// Returns the bytes of a map for writing.
///
/// # Safety
/// The same as for [`Map::as_mut_slice`].
unsafe fn writable(map: &mut Map) -> Result<&mut [u8]> {
    // SAFETY: the caller guarantees what `as_mut_slice` requires.
    let bytes = unsafe { map.as_mut_slice() };
    bytes.ok_or_else(|| {
        Error::new(
            "write",
            libc::EACCES,
            "the content is for reading only, because a failed seal could not restore write access",
        )
    })
}

fn no_memory(bytes: usize) -> Error {
    Error::new("memory", libc::ENOMEM, format_args!("no memory for {bytes} bytes"))
}

fn empty_map() -> Result<Map> {
    let options = MapOptions::new().populate(true);
    // RLIMIT_AS may forbid that much address space. Then the memory moves when it grows.
    options.clone().reserve(RESERVE).memory(0).or_else(|_| options.memory(0))
}

fn grow_map(map: &mut Map, needed: usize) -> Result<()> {
    // RLIMIT_FSIZE must not make a write fail because of the extra room to grow.
    let limit = usize::try_from(sys::file_size_limit()).unwrap_or(usize::MAX);
    map.resize(size_for(needed).min(limit).max(needed))
}

/// Returns the size of the memory for this number of bytes: the next power of two, then whole huge
/// pages.
fn size_for(bytes: usize) -> usize {
    let extent = sys::features::huge_page_size() as usize;
    if extent == 0 || bytes <= extent {
        return bytes.checked_next_power_of_two().unwrap_or(bytes);
    }
    bytes.checked_next_multiple_of(extent).unwrap_or(bytes)
}

impl MapWriter {
    /// Returns an empty writer. The first call in a process creates a memory file, to check that
    /// the host supports them. [`MapWriter::default`] does not check: sealing, or a write past 1
    /// MiB, then reports the error.
    ///
    /// ```
    /// assert_eq!(bytefd::MapWriter::new()?.written(), 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`MapOptions::memory`].
    pub fn new() -> Result<MapWriter> {
        if !sys::features::MEMFD.is_there() {
            MapOptions::new().memory(0)?;
            sys::features::MEMFD.remember(true);
        }
        Ok(MapWriter::default())
    }

    /// Returns the length of the content: up to the last byte that was written.
    ///
    /// ```
    /// use std::io::Write;
    /// let mut writer = bytefd::MapWriter::new()?;
    /// writer.write_all(b"hello")?;
    /// assert_eq!(writer.written(), 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn written(&self) -> usize {
        self.written
    }

    /// Returns the content.
    ///
    /// ```
    /// use std::io::Write;
    /// let mut writer = bytefd::MapWriter::new()?;
    /// writer.write_all(b"hello")?;
    /// assert_eq!(writer.as_slice(), b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `written` bytes were stored there. This object alone has the memory, and nothing
        // writes while it is borrowed.
        unsafe { std::slice::from_raw_parts(self.memory.start(), self.written) }
    }

    /// Returns at least `size` bytes of memory from the position on, to be filled in place. Then
    /// call [`MapWriter::advance`] with the number of bytes that were filled. Bytes that were not
    /// written before have any value.
    ///
    /// ```
    /// let mut writer = bytefd::MapWriter::new()?;
    /// writer.spare(5)?[..5].copy_from_slice(b"hello");
    /// writer.advance(5);
    /// assert_eq!(writer.as_slice(), b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Map::resize`] and [`MapOptions::memory`]; `EACCES` after a failed seal that could not
    /// restore write access.
    pub fn spare(&mut self, size: usize) -> Result<&mut [u8]> {
        let needed = self.position.saturating_add(size);
        self.settle();
        if needed > self.memory.size() {
            self.memory.grow(needed, self.written)?;
        }
        let bytes = self.memory.bytes_mut(needed)?;
        // Clears the gap that a seek has left.
        if self.written < self.position {
            bytes[self.written..self.position].fill(0);
        }
        Ok(&mut bytes[self.position..])
    }

    /// Tells the vector the length of the content, and stops the fast path until
    /// [`MapWriter::advance`] allows it.
    fn settle(&mut self) {
        self.memory.settle(self.written);
        self.limit = self.written;
    }

    /// Counts as written the bytes that were stored into the memory of [`MapWriter::spare`], and
    /// moves the position past them.
    ///
    /// ```
    /// let mut writer = bytefd::MapWriter::new()?;
    /// writer.spare(3)?[..3].fill(b'!');
    /// writer.advance(3);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Panics
    /// If `count` exceeds the memory that was spare.
    pub fn advance(&mut self, count: usize) {
        self.settle();
        let spare = self.memory.length().saturating_sub(self.position);
        assert!(
            count <= spare,
            "advance by {count} bytes at position {} exceeds the {spare} spare bytes",
            self.position
        );
        if count > 0 {
            self.position += count;
            self.written = self.written.max(self.position);
        }
    }

    /// Seals the content. Content of more than 1 MiB may wait up to 100 ms for a child that another
    /// thread has just forked; see [`Map::seal`].
    ///
    /// ```
    /// let sealed = bytefd::MapWriter::new()?.seal()?;
    /// assert!(sealed.is_empty());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Map::seal`] and [`wrap`](crate::wrap()). The error returns the writer with all of its
    /// content: [`SealError::into_inner`].
    pub fn seal(self) -> std::result::Result<Sealed, SealError<MapWriter>> {
        self.seal_timeout(Some(PATIENCE))
    }

    /// [`MapWriter::seal`] that waits at most `timeout`; `None` sets no limit, zero does not wait.
    ///
    /// ```
    /// let sealed = bytefd::MapWriter::new()?.seal_timeout(None)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`MapWriter::seal`].
    pub fn seal_timeout(
        mut self,
        timeout: Option<Duration>,
    ) -> std::result::Result<Sealed, SealError<MapWriter>> {
        self.settle();
        let content = self.written;
        match self.memory {
            Memory::Private(mut bytes) => {
                bytes.truncate(content);
                let sealed = wrapped(&mut bytes);
                sealed.map_err(|error| {
                    SealError::new(error, MapWriter { memory: Memory::Private(bytes), ..self })
                })
            }
            Memory::File(mut map) => {
                let sealed = map.resize(content).and_then(|()| map.seal_in_place(timeout));
                match sealed {
                    Ok(fd) => Ok(Sealed::of(map, fd)),
                    Err(error) => {
                        self.memory = Memory::File(map);
                        Err(SealError::new(error, self))
                    }
                }
            }
        }
    }
}

fn wrapped(content: &mut Vec<u8>) -> Result<Sealed> {
    let fd: OwnedFd = WrapOptions::new().backend(Backend::Memfd).wrap(content)?;
    Sealed::copied(content, fd)
}

/// The content.
impl AsRef<[u8]> for MapWriter {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl MapWriter {
    /// Writes where the fast path cannot: more memory is needed, or the position is not the end of
    /// the content.
    #[cold]
    fn write_anywhere(&mut self, bytes: &[u8]) -> Result<()> {
        self.spare(bytes.len())?[..bytes.len()].copy_from_slice(bytes);
        check_kept(bytes)?;
        self.advance(bytes.len());
        if self.position == self.written {
            // The memory was written to just now, so it is not read-only.
            self.limit = self.memory.size();
        }
        Ok(())
    }
}

/// Fails if the guard of another map has replaced the bytes by zeros.
fn check_kept(bytes: &[u8]) -> Result<()> {
    source::check_kept(&[IoSlice::new(bytes)])
        .context("write", || "the bytes are in a guarded map, and their pages were lost")
}

/// Writes at the position. Writes every byte, or fails and writes none:
/// - `ENOMEM` if memory or address space runs out.
/// - `EFBIG` if the content exceeds RLIMIT_FSIZE, from 1 MiB on.
/// - `EFAULT` if part of the bytes lies in a lost page of a guarded map.
/// - `EACCES` after a failed seal that could not restore write access.
impl Write for MapWriter {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Encoders write a few bytes at a time, which must cost no more than with a vector.
        let end = self.written;
        if bytes.len() >= self.limit - end {
            self.write_anywhere(bytes)?;
            return Ok(bytes.len());
        }
        // SAFETY: the memory from `end` to `limit` exists and is writable, and no reference to it
        // exists.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.memory.start_mut().add(end),
                bytes.len(),
            )
        };
        if source::is_any_guarded() {
            check_kept(bytes)?;
        }
        self.written = end + bytes.len();
        self.position = self.written;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Moves the position, also past the end of the content. The content becomes longer only when bytes
/// are written there. Fails with `EINVAL` if the position is negative or too large.
impl Seek for MapWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => usize::try_from(offset).ok(),
            SeekFrom::End(by) => {
                isize::try_from(by).ok().and_then(|by| self.written.checked_add_signed(by))
            }
            SeekFrom::Current(by) => {
                isize::try_from(by).ok().and_then(|by| self.position.checked_add_signed(by))
            }
        };
        let position =
            position.filter(|position| *position <= isize::MAX as usize).ok_or_else(|| {
                let message = format!(
                    "{to:?} does not lead to a position of 0 to {}; the position is {}, and the \
                     content has {} bytes",
                    isize::MAX,
                    self.position,
                    self.written
                );
                Error::new("seek", libc::EINVAL, message)
            })?;
        self.settle();
        self.position = position;
        Ok(position as u64)
    }
}
