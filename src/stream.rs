//! Bytes that come one after the other – from a pipe, a socket, a file, a reader – into a descriptor.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};

use crate::backend::{self, Backend, Execution};
use crate::error::{Context, Errno, Error, Result};
use crate::fill;
use crate::map::MapWriter;
use crate::sys::{self, file, socket};
use crate::wrap::reopen;

/// How much is taken from a stream, and where it goes. The default: all of it, in memory.
///
/// ```
/// use bytefd::StreamOptions;
/// let options = StreamOptions::new().most(1 << 30).spill_above(64 << 20);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StreamOptions {
    most: Option<u64>,
    spill_above: Option<u64>,
}

impl StreamOptions {
    /// The defaults.
    ///
    /// ```
    /// let options = bytefd::StreamOptions::new();
    /// ```
    pub fn new() -> StreamOptions {
        StreamOptions::default()
    }

    /// A stream of more bytes is an error, `EFBIG`.
    ///
    /// ```
    /// let error = bytefd::StreamOptions::new().most(4).wrap_reader(&b"hello"[..]).unwrap_err();
    /// assert_eq!(error.errno(), libc::EFBIG);
    /// ```
    pub fn most(mut self, bytes: u64) -> StreamOptions {
        self.most = Some(bytes);
        self
    }

    /// Above so many bytes the content is in an unlinked file in `$TMPDIR`, /tmp or /var/tmp instead of memory, which cannot be sealed: the
    /// descriptor is read-only then.
    ///
    /// ```
    /// let fd = bytefd::StreamOptions::new().spill_above(4).wrap_reader(&b"hello"[..])?;
    /// assert_eq!(std::fs::read(bytefd::path(&fd)).unwrap(), b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn spill_above(mut self, bytes: u64) -> StreamOptions {
        self.spill_above = Some(bytes);
        self
    }

    /// Reads what is behind a descriptor – a pipe, stream socket, file, terminal – from where it is to its end, into a descriptor as
    /// [`wrap`](crate::wrap()) gives. The bytes go where they stay, and are never held twice. Blocks until the end has come: interrupted
    /// reads go on, and a descriptor that does not block is waited for.
    ///
    /// ```
    /// let (reader, mut writer) = std::io::pipe().unwrap();
    /// std::io::Write::write_all(&mut writer, b"hello").unwrap();
    /// drop(writer);
    /// let fd = bytefd::StreamOptions::new().wrap_stream(&reader)?;
    /// assert_eq!(std::fs::read(bytefd::path(&fd)).unwrap(), b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Nothing is kept; what was read is gone from a pipe or socket. `EFBIG`: more than [`StreamOptions::most`], or RLIMIT_FSIZE; `EAGAIN`:
    /// a time limit of the socket has passed; `EPROTOTYPE`: a socket of datagrams or packets; `ENOSPC`, `ENOMEM`, `EMFILE`: as
    /// [`wrap`](crate::wrap()); read(2)'s own.
    pub fn wrap_stream(&self, source: impl AsFd) -> Result<OwnedFd> {
        let source = source.as_fd();
        if socket::kind(source).is_ok_and(|kind| kind != libc::SOCK_STREAM) {
            return Err(Error::new("stream", libc::EPROTOTYPE, "a socket of datagrams or packets is none"));
        }
        self.collect(|room| {
            loop {
                match file::read(source, room) {
                    Err(Errno(libc::EAGAIN))
                        if socket::wait(source, libc::POLLIN).context("poll", || "the stream")? => {}
                    read => return read.context("read", || "the stream"),
                }
            }
        })
    }

    /// [`StreamOptions::wrap_stream`] of anything that can be read.
    ///
    /// ```
    /// let fd = bytefd::StreamOptions::new().wrap_reader(std::io::repeat(b'!').take(10))?;
    /// # use std::io::Read;
    /// assert_eq!(std::fs::metadata(bytefd::path(&fd)).unwrap().len(), 10);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`StreamOptions::wrap_stream`], and the reader's own: their errno, or `EIO` with their text.
    pub fn wrap_reader(&self, mut reader: impl Read) -> Result<OwnedFd> {
        self.collect(|room| {
            loop {
                match reader.read(room) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(Error::new("read", error.raw_os_error().unwrap_or(libc::EIO), error)),
                    Ok(count) => return Ok(count.min(room.len())),
                }
            }
        })
    }

    /// `read` puts bytes into the start of what it is given, and says how many; 0 is the end.
    fn collect(&self, mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<OwnedFd> {
        let mut sink = Sink::new(self)?;
        loop {
            let limit = self.most.unwrap_or(u64::MAX).min(sys::file_size_limit());
            let left = limit.saturating_sub(sink.length());
            let count = if left >= PACKET as u64 {
                sink.take(left, &mut read)?
            } else {
                // One byte more is asked for, to find out that there is none.
                let mut last = [0; PACKET];
                let count = read(&mut last[..=left as usize])?;
                if count as u64 > left {
                    return Err(self.too_long(limit));
                }
                sink.take(count as u64, &mut |room: &mut [u8]| {
                    room.copy_from_slice(&last[..count]);
                    Ok(count)
                })?
            };
            if count == 0 {
                return sink.finish();
            }
            if self.spill_above.is_some_and(|most| sink.length() > most) {
                sink.spill()?;
            }
        }
    }

    fn too_long(&self, limit: u64) -> Error {
        let whose = if self.most == Some(limit) { "that are allowed" } else { "of RLIMIT_FSIZE" };
        Error::new("stream", libc::EFBIG, format_args!("it has more than the {limit} bytes {whose}"))
    }
}

/// What a read must have room for: a packet, pipe(2), whose rest would be lost.
const PACKET: usize = libc::PIPE_BUF;

/// Where the bytes go.
enum Sink {
    /// Memory that they are read into.
    Memory(MapWriter),
    /// A file that they are copied to.
    File { fd: OwnedFd, length: u64, buffer: Vec<u8> },
}

/// The most that is read at once.
const PIECE: usize = 1 << 20;

impl Sink {
    fn new(options: &StreamOptions) -> Result<Sink> {
        // What others there are can be memory too, which is not spilled.
        let other = if options.spill_above.is_some() { Backend::TmpFile } else { Backend::Auto };
        match MapWriter::new() {
            // No memory files on this host.
            Err(error) if !backend::is_shortage(&error) => Sink::file(other),
            writer => writer.map(Sink::Memory),
        }
    }

    fn file(backend: Backend) -> Result<Sink> {
        let fd = backend::create(backend, c"bytefd", Execution::Forbidden)?.fd;
        Ok(Sink::File { fd, length: 0, buffer: vec![0; PIECE] })
    }

    fn length(&self) -> u64 {
        match self {
            Sink::Memory(writer) => writer.written() as u64,
            Sink::File { length, .. } => *length,
        }
    }

    /// Reads once, at most so many bytes, with room for a [`PACKET`] if they are as many.
    fn take(&mut self, most: u64, read: &mut impl FnMut(&mut [u8]) -> Result<usize>) -> Result<usize> {
        let most = most.min(PIECE as u64) as usize;
        match self {
            Sink::Memory(writer) => {
                let room = writer.spare(most.min(PACKET))?;
                let most = room.len().min(most);
                let count = read(&mut room[..most])?;
                writer.advance(count);
                Ok(count)
            }
            Sink::File { fd, length, buffer } => {
                let count = read(&mut buffer[..most])?;
                fill::append(fd.as_fd(), &buffer[..count], *length)?;
                *length += count as u64;
                Ok(count)
            }
        }
    }

    /// Goes on in a file on disk.
    fn spill(&mut self) -> Result<()> {
        let Sink::Memory(writer) = self else { return Ok(()) };
        let mut disk = Sink::file(Backend::TmpFile)?;
        let Sink::File { fd, length, .. } = &mut disk else { unreachable!("made so") };
        fill::append(fd.as_fd(), writer.as_slice(), 0)?;
        *length = writer.written() as u64;
        *self = disk;
        Ok(())
    }

    fn finish(self) -> Result<OwnedFd> {
        match self {
            Sink::Memory(writer) => writer.seal().map(|(fd, _)| fd),
            Sink::File { fd, .. } => {
                file::fchmod(fd.as_fd(), MODE).context("fchmod", || format!("mode {MODE:04o}"))?;
                reopen(&fd)
            }
        }
    }
}

const MODE: u32 = 0o400;
