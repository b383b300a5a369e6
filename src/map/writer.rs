//! Bytes written one after the other, straight into what becomes a descriptor.

use std::io;
use std::os::fd::OwnedFd;

use super::map::Map;
use super::options::MapOptions;
use crate::error::Result;
use crate::sys;

/// Memory that grows as it is written, and becomes a sealed descriptor without being copied: for encoders, bodies of requests,
/// whatever writes to an [`io::Write`].
///
/// ```
/// use std::io::Write;
/// let mut writer = bytefd::MapWriter::new()?;
/// write!(writer, "{{ \"answer\": {} }}", 42)?;
/// let (fd, map) = writer.seal()?;
/// assert_eq!(std::fs::read(bytefd::path(&fd))?, b"{ \"answer\": 42 }");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct MapWriter {
    map: Map,
    written: usize,
}

/// Address space that is kept, so that growing moves nothing: more than most will ever write. It costs no memory.
const RESERVE: usize = 64 << 30;
/// What the first byte gets.
const FIRST: usize = 64 << 10;

impl MapWriter {
    /// An empty one.
    ///
    /// ```
    /// assert_eq!(bytefd::MapWriter::new()?.written(), 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`MapOptions::memory`].
    pub fn new() -> Result<MapWriter> {
        let options = MapOptions::new().populate(true);
        // RLIMIT_AS may forbid so much; then it moves when it must.
        let map = options.clone().reserve(RESERVE).memory(0).or_else(|_| options.memory(0))?;
        Ok(MapWriter { map, written: 0 })
    }

    /// How many bytes have been written.
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

    /// What has been written.
    ///
    /// ```
    /// use std::io::Write;
    /// let mut writer = bytefd::MapWriter::new()?;
    /// writer.write_all(b"hello")?;
    /// assert_eq!(writer.as_slice(), b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the memory is this object's alone, whose descriptor is given to nobody, and `written` bytes of it exist.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.written) }
    }

    /// At least `room` bytes of memory behind what has been written, to be filled in place; [`MapWriter::advance`] says how
    /// many were. What was not written yet may hold anything that was stored there.
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
    pub fn spare(&mut self, room: usize) -> Result<&mut [u8]> {
        let needed = self.written.saturating_add(room);
        if needed > self.map.len() {
            // What is only room to grow must not be what RLIMIT_FSIZE refuses.
            let limit = usize::try_from(sys::file_size_limit()).unwrap_or(usize::MAX);
            self.map.resize(size_for(needed).min(limit).max(needed))?;
        }
        let (start, length) = (self.map.as_ptr(), self.map.len());
        // SAFETY: as in `as_slice`, and nobody else has a reference.
        Ok(unsafe { std::slice::from_raw_parts_mut(start.add(self.written), length - self.written) })
    }

    /// Counts bytes that were stored into [`MapWriter::spare`] as written.
    ///
    /// ```
    /// let mut writer = bytefd::MapWriter::new()?;
    /// writer.spare(3)?[..3].fill(b'!');
    /// writer.advance(3);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Panics
    /// If there is no room for so many.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.map.len() - self.written, "{count} bytes behind {} were never spare", self.written);
        self.written += count;
    }

    /// A sealed descriptor of what has been written, and the map of it. See [`Map::seal`].
    ///
    /// ```
    /// let (fd, map) = bytefd::MapWriter::new()?.seal()?;
    /// assert!(map.is_empty());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Map::seal`].
    pub fn seal(mut self) -> Result<(OwnedFd, Map)> {
        self.map.resize(self.written)?;
        let fd = self.map.seal()?;
        Ok((fd, self.map))
    }
}

/// How large the memory is made for so many bytes: twice as large each time, then whole huge pages.
fn size_for(bytes: usize) -> usize {
    let extent = sys::features::huge_page_size() as usize;
    if extent == 0 || bytes <= extent {
        return bytes.max(FIRST).checked_next_power_of_two().unwrap_or(bytes);
    }
    bytes.checked_next_multiple_of(extent).unwrap_or(bytes)
}

impl io::Write for MapWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spare(bytes.len())?[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
