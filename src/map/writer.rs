//! Bytes written one after the other, into what becomes a descriptor.
//!
//! Up to 1 MiB is collected in private memory, and copied into the file at the end. So no child can
//! be in the way of sealing.

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

/// Memory that grows as it is written, and becomes a sealed file: for encoders, bodies of requests,
/// whatever writes to an [`io::Write`].
///
/// Content of up to 1 MiB is collected in private memory, and sealing copies it into a file. Larger
/// content moves into a memory file once, which becomes the sealed file without a copy. So a
/// `MapWriter` pays for content that is produced piece by piece; bytes that are in memory already
/// are wrapped by [`wrap`](crate::wrap()).
///
/// Each write begins at the position, which [`Seek`] moves. [`MapWriter::written`] is the length of
/// the content: the end of whatever was written, wherever the position is. [`MapWriter::seal`]
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
    /// Bytes of content.
    written: usize,
    /// Up to here bytes can be appended at once. At least `written`, and more only if the position
    /// is there.
    limit: usize,
}

/// Where the content is; more of it than has been written.
#[derive(Debug)]
enum Memory {
    /// A child that another thread forks has private memory too, but not of the file that is
    /// sealed. What is stored lies in the vector's capacity; its length follows later. So no page
    /// is touched that is not written.
    Private(Vec<u8>),
    File(Map),
}

/// Up to so many bytes copying costs less than pages that are made ahead, and than waiting for a
/// forked child may.
const MOST_PRIVATE: usize = 1 << 20;
/// What the first byte gets.
const FIRST: usize = 16 << 10;
/// Address space that is kept, so that growing moves nothing: more than most will ever write. It
/// costs no memory.
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

    /// Tells the vector how much has been stored.
    fn settle(&mut self, written: usize) {
        if let Memory::Private(bytes) = self {
            if bytes.len() < written {
                // SAFETY: so many bytes were stored, and there was room for them.
                unsafe { bytes.set_len(written) };
            }
        }
    }

    /// How many bytes can be seen, written or not.
    fn length(&self) -> usize {
        match self {
            Memory::Private(bytes) => bytes.len(),
            Memory::File(map) => map.len(),
        }
    }

    /// How many bytes there is memory for.
    fn size(&self) -> usize {
        match self {
            Memory::Private(bytes) => bytes.capacity(),
            Memory::File(map) => map.len(),
        }
    }

    /// Its bytes, at least `end` of them.
    fn bytes_mut(&mut self, end: usize) -> Result<&mut [u8]> {
        match self {
            Memory::Private(bytes) => {
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                Ok(bytes)
            }
            // SAFETY: the map is this object's alone, its descriptor is given to nobody, and
            // nothing writes while it is borrowed.
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
                // SAFETY: as in `bytes_mut`.
                let moved = unsafe { writable(&mut map)? };
                moved[..content].copy_from_slice(&bytes[..content]);
                *self = Memory::File(map);
            }
            Memory::File(map) => grow_map(map, needed)?,
        }
        Ok(())
    }
}

/// # Safety
/// As [`Map::as_mut_slice`].
unsafe fn writable(map: &mut Map) -> Result<&mut [u8]> {
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { map.as_mut_slice() };
    bytes.ok_or_else(|| {
        Error::new(
            "write",
            libc::EACCES,
            "sealing has failed too late: the content is for reading only",
        )
    })
}

fn no_memory(bytes: usize) -> Error {
    Error::new("memory", libc::ENOMEM, format_args!("no memory for {bytes} bytes"))
}

fn empty_map() -> Result<Map> {
    let options = MapOptions::new().populate(true);
    // RLIMIT_AS may forbid so much; then it moves when it must.
    options.clone().reserve(RESERVE).memory(0).or_else(|_| options.memory(0))
}

fn grow_map(map: &mut Map, needed: usize) -> Result<()> {
    // What is only room to grow must not be what RLIMIT_FSIZE refuses.
    let limit = usize::try_from(sys::file_size_limit()).unwrap_or(usize::MAX);
    map.resize(size_for(needed).min(limit).max(needed))
}

/// How large the memory is made for so many bytes: twice as large each time, then whole huge pages.
fn size_for(bytes: usize) -> usize {
    let extent = sys::features::huge_page_size() as usize;
    if extent == 0 || bytes <= extent {
        return bytes.checked_next_power_of_two().unwrap_or(bytes);
    }
    bytes.checked_next_multiple_of(extent).unwrap_or(bytes)
}

impl MapWriter {
    /// Returns an empty writer. The first of them makes a memory file to see that the host has
    /// them. [`MapWriter::default`] leaves that to sealing, and to content that exceeds 1 MiB.
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

    /// Returns the number of bytes of content: the end of whatever was written.
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
        // SAFETY: so many bytes were stored there, the memory is this object's alone, and nothing
        // writes while it is borrowed.
        unsafe { std::slice::from_raw_parts(self.memory.start(), self.written) }
    }

    /// Returns at least `size` bytes of memory from the position on, to be filled in place;
    /// [`MapWriter::advance`] says how many were. What was not written yet may hold anything that
    /// was stored there.
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
    /// As [`Map::resize`].
    pub fn spare(&mut self, size: usize) -> Result<&mut [u8]> {
        let needed = self.position.saturating_add(size);
        self.settle();
        if needed > self.memory.size() {
            self.memory.grow(needed, self.written)?;
        }
        let bytes = self.memory.bytes_mut(needed)?;
        // A gap that seeking left.
        if self.written < self.position {
            bytes[self.written..self.position].fill(0);
        }
        Ok(&mut bytes[self.position..])
    }

    /// What was appended is known everywhere, and no more is until [`MapWriter::advance`] allows
    /// it.
    fn settle(&mut self) {
        self.memory.settle(self.written);
        self.limit = self.written;
    }

    /// Counts bytes that were stored into [`MapWriter::spare`] as written, and moves the position
    /// behind them.
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
            "{count} bytes at {} exceed the {spare} that were spare",
            self.position
        );
        if count > 0 {
            self.position += count;
            self.written = self.written.max(self.position);
        }
    }

    /// Seals the content. A large one may wait up to 100 ms for a child that another thread has
    /// just forked, see [`Map::seal`].
    ///
    /// ```
    /// let sealed = bytefd::MapWriter::new()?.seal()?;
    /// assert!(sealed.is_empty());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error has the writer with all of its content: [`SealError::into_inner`]. As
    /// [`Map::seal`] and [`wrap`](crate::wrap()).
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
    /// A write that needs more memory, or does not begin where the content ends.
    #[cold]
    fn write_anywhere(&mut self, bytes: &[u8]) -> Result<()> {
        self.spare(bytes.len())?[..bytes.len()].copy_from_slice(bytes);
        check_kept(bytes)?;
        self.advance(bytes.len());
        if self.position == self.written {
            // It was written to just now, so it is not for reading only.
            self.limit = self.memory.size();
        }
        Ok(())
    }
}

/// The guard of another map may have replaced the bytes by zeros.
fn check_kept(bytes: &[u8]) -> Result<()> {
    source::check_kept(&[IoSlice::new(bytes)])
        .context("write", || "the bytes are of a map with a guard, and were lost")
}

impl Write for MapWriter {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Encoders write a few bytes at a time, which must cost no more than with a vector.
        let end = self.written;
        if bytes.len() >= self.limit - end {
            self.write_anywhere(bytes)?;
            return Ok(bytes.len());
        }
        // SAFETY: from `end` to `limit` the memory is there and for writing, and no reference to it
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

/// Moves the position, also past the end of the content, which becomes longer only when something
/// is written there.
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
                Error::new(
                    "seek",
                    libc::EINVAL,
                    format_args!("{to:?} is no position in content of {} bytes", self.written),
                )
            })?;
        self.settle();
        self.position = position;
        Ok(position as u64)
    }
}
