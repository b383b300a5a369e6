//! Reads a stream into buffers, up to its limits.

use std::io::IoSlice;

use super::options::StreamOptions;
use super::source::Source;
use crate::error::{Context, Error, Result};
use crate::sys;
use crate::sys::buffer::{Buffer, Spare};

/// Minimum room for a read: the size of a packet, pipe(2). If a packet does not fit, the kernel
/// discards its rest.
pub(super) const PACKET: usize = libc::PIPE_BUF;
/// Sizes of the buffers for a stream of unknown length. They are filled one after the other, so
/// that no byte moves when the stream is longer. A buffer takes memory only as far as it is filled.
const SIZES: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, MOST - (336 << 10)];
/// Maximum number of bytes in all buffers together, without the room for packets.
const MOST: usize = 1 << 20;

/// A stream that is being read.
pub(super) struct Incoming<'a> {
    options: &'a StreamOptions,
    source: &'a mut dyn Source,
    buffers: Vec<Buffer>,
    /// Maximum length of the stream.
    limit: u64,
    /// Number of bytes read.
    pub length: u64,
    /// Probable length of the stream; 0 if it is unknown.
    pub expected: u64,
}

impl<'a> Incoming<'a> {
    pub fn new(options: &'a StreamOptions, source: &'a mut dyn Source) -> Incoming<'a> {
        // No file can be longer than this.
        let expected = if options.size_hint > 0 { options.size_hint } else { source.expected() }
            .min(i64::MAX as u64);
        Incoming {
            options,
            source,
            buffers: Vec::new(),
            limit: options.max_bytes.unwrap_or(u64::MAX),
            length: 0,
            expected,
        }
    }

    /// Reads into buffers until they are full. Returns true if the stream has ended.
    pub fn begin(&mut self) -> Result<bool> {
        let mut sizes = SIZES.iter();
        // A buffer has room for one more packet. The read that finds the end needs that room, too.
        let expected = usize::try_from(self.expected).unwrap_or(MOST).min(MOST);
        let mut total = if expected > 0 { expected } else { SIZES[0] };
        self.add_buffer(total)?;
        loop {
            if self.read()? == 0 {
                return Ok(true);
            }
            if self.last().room() < PACKET {
                let next = sizes
                    .by_ref()
                    .find(|size| **size > self.last().filled().len())
                    .copied()
                    .unwrap_or(MOST);
                let size = next.min(MOST - total);
                if size == 0 {
                    return self.ask_limit().map(|()| false);
                }
                total += size;
                self.add_buffer(size)?;
            }
        }
    }

    fn add_buffer(&mut self, size: usize) -> Result<()> {
        let buffer =
            Buffer::new(size + PACKET).context("memory", || format!("a buffer of {size} bytes"))?;
        self.buffers.push(buffer);
        Ok(())
    }

    fn last(&self) -> &Buffer {
        self.buffers.last().expect("the first one is never dropped")
    }

    /// Returns the content of the buffers.
    pub fn segments(&self) -> Vec<IoSlice<'_>> {
        self.buffers.iter().map(|buffer| IoSlice::new(buffer.filled())).collect()
    }

    /// Reads the next bytes into the fullest buffer, whose bytes they replace. Returns `None` at
    /// the end of the stream.
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        if self.buffers.len() > 1 {
            self.buffers.sort_by_key(|buffer| buffer.filled().len());
            self.buffers.drain(..self.buffers.len() - 1);
        }
        self.buffers[0].clear();
        self.ask_limit()?;
        let count = self.read()?;
        // The read may have taken long, so the limit is checked again.
        self.ask_limit()?;
        Ok(if count > 0 { Some(self.last().filled()) } else { None })
    }

    /// Reads into the last buffer.
    fn read(&mut self) -> Result<usize> {
        let left = self.limit.saturating_sub(self.length);
        // One byte more than the limit is requested, to detect a stream that exceeds the limit.
        let room = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1);
        let buffer = self.buffers.last_mut().expect("the first one is never dropped");
        let count = buffer.fill(room, |spare| self.source.read(spare))?;
        self.count(count, left)
    }

    /// Reads the next bytes into the memory of the file.
    pub fn read_into(&mut self, mut spare: Spare<'_>) -> Result<usize> {
        self.ask_limit()?;
        let left = self.limit.saturating_sub(self.length);
        // One byte more than the limit is requested, as in `read`.
        spare.limit(usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1));
        let count = self.source.read(&mut spare)?;
        let count = self.count(count, left)?;
        // The read may have taken long, so the limit is checked again.
        self.ask_limit().map(|()| count)
    }

    fn count(&mut self, count: usize, left: u64) -> Result<usize> {
        if count as u64 > left {
            return Err(self.too_long());
        }
        self.length += count as u64;
        Ok(count)
    }

    fn too_long(&self) -> Error {
        let limit = self.limit;
        let whose = if self.options.max_bytes == Some(limit) {
            "max_bytes allows"
        } else {
            "RLIMIT_FSIZE allows"
        };
        Error::new(
            "stream",
            libc::EFBIG,
            format_args!("the stream has more than the {limit} bytes that {whose}"),
        )
    }

    /// Checks the limit again. RLIMIT_FSIZE may change while a stream is read, so it is read before
    /// each piece goes into a file. Writing beyond it would raise a signal.
    fn ask_limit(&mut self) -> Result<()> {
        self.limit = self.options.max_bytes.unwrap_or(u64::MAX).min(sys::file_size_limit());
        if self.length > self.limit { Err(self.too_long()) } else { Ok(()) }
    }
}
