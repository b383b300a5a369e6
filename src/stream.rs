//! Bytes that come one after the other – from a pipe, a socket, a file, a reader – into a file.

use std::io::{ErrorKind, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::backend::{Backend, EmptyFile};
use crate::error::{Context, Errno, Error, Result};
use crate::fill;
use crate::pool::{Lent, Pool};
use crate::sys::wait::Wait;
use crate::sys::{self, features, file, socket};
use crate::wrap::{LoanOptions, Plan, WrapOptions};

/// How much is read from a stream, and how long that may take. The default: all of it, however long it takes.
///
/// ```
/// use std::time::Duration;
/// let options = bytefd::StreamOptions::new().max_bytes(1 << 30).timeout(Duration::from_secs(10));
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a stream is read with them"]
pub struct StreamOptions {
    max_bytes: Option<u64>,
    size_hint: u64,
    timeout: Option<Duration>,
    interruptible: bool,
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

    /// Maximum number of bytes to read. A longer stream fails with `EFBIG`.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let error = WrapOptions::new().wrap_reader(&b"hello"[..], &StreamOptions::new().max_bytes(4)).unwrap_err();
    /// assert_eq!(error.errno(), libc::EFBIG);
    /// ```
    pub fn max_bytes(mut self, bytes: u64) -> StreamOptions {
        self.max_bytes = Some(bytes).filter(|bytes| *bytes < u64::MAX);
        self
    }

    /// The expected number of bytes, such as a Content-Length; 0 if it is not known. It only chooses the file to begin with:
    /// on disk if it is above [`WrapOptions::spill_threshold`], and one of about this size in a pool. The stream may be longer or
    /// shorter.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let fd = WrapOptions::new().wrap_reader(&b"hello"[..], &StreamOptions::new().size_hint(5))?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn size_hint(mut self, bytes: u64) -> StreamOptions {
        self.size_hint = bytes;
        self
    }

    /// How long the whole call may take; `ETIMEDOUT` afterwards. Zero does not wait at all. The default is no limit. For
    /// [`WrapOptions::wrap_stream`] and the other functions that read a descriptor; with a reader it is `EINVAL`. With a timeout
    /// a limit of the socket (SO_RCVTIMEO) is not looked at. A regular file always counts as ready, so a file system that does not
    /// answer (FUSE, NFS) holds the call longer.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let (reader, _writer) = std::io::pipe()?;
    /// let options = StreamOptions::new().timeout(std::time::Duration::from_millis(1));
    /// let error = WrapOptions::new().wrap_stream(&reader, &options).unwrap_err();
    /// assert_eq!(error.errno(), libc::ETIMEDOUT);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timeout(mut self, time: Duration) -> StreamOptions {
        self.timeout = Some(time);
        self
    }

    /// Lets a signal handler that runs while the call waits end it with `EINTR`, also one that was set with SA_RESTART. By
    /// default the call goes on. With a reader it is `EINVAL`.
    ///
    /// ```
    /// let options = bytefd::StreamOptions::new().interruptible(true);
    /// ```
    pub fn interruptible(mut self, yes: bool) -> StreamOptions {
        self.interruptible = yes;
        self
    }

    /// Reads to the end. `read` puts bytes into the start of what it is given, and says how many; 0 is the end. `store` gets
    /// each piece and its offset. Returns the length.
    fn collect(
        &self,
        read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
        store: &mut dyn FnMut(&[u8], u64) -> Result<()>,
    ) -> Result<u64> {
        let hint = usize::try_from(self.size_hint).unwrap_or(usize::MAX);
        let first = if hint > 0 { hint.saturating_add(1) } else { FIRST };
        let mut buffer = vec![0; first.clamp(PACKET, PIECE)];
        let mut length = 0;
        loop {
            let limit = self.max_bytes.unwrap_or(u64::MAX).min(sys::file_size_limit());
            let left = limit.saturating_sub(length);
            // One byte more than is allowed is asked for, to find out that there is none.
            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1));
            let count = read(&mut buffer[..room])?;
            if count as u64 > left {
                return Err(self.too_long(limit));
            }
            if count == 0 {
                return Ok(length);
            }
            store(&buffer[..count], length)?;
            length += count as u64;
            if count == buffer.len() && count < PIECE {
                buffer.resize(PIECE.min(2 * count), 0);
            }
        }
    }

    fn too_long(&self, limit: u64) -> Error {
        let whose = if self.max_bytes == Some(limit) { "max_bytes allows" } else { "RLIMIT_FSIZE allows" };
        Error::new("stream", libc::EFBIG, format_args!("the stream has more than the {limit} bytes that {whose}"))
    }
}

/// What a read must have room for: a packet, pipe(2), whose rest would be lost.
const PACKET: usize = libc::PIPE_BUF;
/// What is read at once at first, as much as a pipe usually holds.
const FIRST: usize = 64 << 10;
/// The most that is read at once. It stays in the processor's cache on its way into the file.
const PIECE: usize = 1 << 20;

impl WrapOptions {
    /// Reads the stream behind a descriptor – a pipe, stream socket, file or terminal – from its present offset to its end into a
    /// new file, and returns that file's descriptor as [`WrapOptions::wrap`] does. No byte is held twice.
    ///
    /// The call blocks until the end of the stream, unless [`StreamOptions::timeout`] or [`StreamOptions::interruptible`] ends it.
    /// A pipe that does not block (O_NONBLOCK) is waited for too. A terminal whose other side is closed (EIO) is at its end.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let (reader, mut writer) = std::io::pipe()?;
    /// std::io::Write::write_all(&mut writer, b"hello")?;
    /// drop(writer);
    /// let fd = WrapOptions::new().wrap_stream(&reader, &StreamOptions::new())?;
    /// assert_eq!(std::fs::read(bytefd::path(&fd))?, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Nothing is kept; what was read is gone from a pipe or socket.
    /// - `EFBIG` if the stream is longer than [`StreamOptions::max_bytes`] or RLIMIT_FSIZE.
    /// - `ETIMEDOUT` after [`StreamOptions::timeout`]; `EINTR` with [`StreamOptions::interruptible`].
    /// - `EAGAIN` if the socket does not block and has nothing to read yet, or if its own limit (SO_RCVTIMEO) has passed.
    /// - `EPROTOTYPE` if the descriptor is a socket for datagrams or packets.
    /// - The errors of [`WrapOptions::wrap`] and of read(2).
    pub fn wrap_stream(&self, source: impl AsFd, options: &StreamOptions) -> Result<OwnedFd> {
        self.collect(options, Source::new(source.as_fd(), options)?.reading())
    }

    /// [`WrapOptions::wrap_stream`] for anything that can be read.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// use std::io::Read;
    /// let fd = WrapOptions::new().wrap_reader(std::io::repeat(b'!').take(10), &StreamOptions::new())?;
    /// assert_eq!(std::fs::metadata(bytefd::path(&fd))?.len(), 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`WrapOptions::wrap_stream`], and:
    /// - The reader's own errors: their errno, or `EIO` with their text.
    /// - `EINVAL` if the reader says that it read more bytes than it had room for, or if the options have a timeout or are
    ///   interruptible: only the reader itself can end its reads.
    pub fn wrap_reader(&self, reader: impl Read, options: &StreamOptions) -> Result<OwnedFd> {
        self.collect(options, reading(reader, options)?)
    }

    fn collect(&self, options: &StreamOptions, mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<OwnedFd> {
        let plan = self.plan()?;
        let mut file = Growing::new(plan.create(options.size_hint)?);
        let length = options.collect(&mut read, &mut |bytes, offset| file.append(&plan, bytes, offset))?;
        plan.finish(file.end(length)?)
    }
}

/// A new file that becomes longer.
struct Growing {
    file: EmptyFile,
    /// It has pages until here, and this is its size. 0 if every write makes its own.
    reserved: u64,
}

impl Growing {
    fn new(file: EmptyFile) -> Growing {
        Growing { file, reserved: 0 }
    }

    /// Adds bytes. The file goes on as a file on disk where it gets longer than memory may hold.
    fn append(&mut self, plan: &Plan<'_>, bytes: &[u8], offset: u64) -> Result<()> {
        let end = offset + bytes.len() as u64;
        if plan.spills(end) && self.file.backend != Backend::TmpFile {
            let disk = plan.create(u64::MAX)?;
            copy(self.file.fd.as_fd(), disk.fd.as_fd(), offset)?;
            *self = Growing::new(disk);
        }
        self.reserve(offset, end)?;
        fill::write_at(self.file.fd.as_fd(), &[IoSlice::new(bytes)], offset)
    }

    /// Makes huge pages for memory that is longer than one of them.
    fn reserve(&mut self, from: u64, to: u64) -> Result<()> {
        let extent = features::huge_page_size();
        if self.file.backend != Backend::Memfd || extent == 0 || to <= self.reserved.max(extent) {
            return Ok(());
        }
        let end = to.next_multiple_of(extent).min(sys::file_size_limit());
        file::ftruncate(self.file.fd.as_fd(), end).context("ftruncate", || format!("{end} bytes"))?;
        // If there is no room for all of it, the writes tell.
        let _ = fill::allocate(self.file.fd.as_fd(), from.max(self.reserved), end);
        self.reserved = end;
        Ok(())
    }

    /// The file, with this length.
    fn end(self, length: u64) -> Result<EmptyFile> {
        if self.reserved > length {
            let fd = self.file.fd.as_fd();
            file::ftruncate(fd, length).context("ftruncate", || format!("{length} bytes"))?;
        }
        Ok(self.file)
    }
}

/// Copies the first `length` bytes of one file to the other.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: u64) -> Result<()> {
    let mut buffer = vec![0; PIECE.min(length as usize)];
    let mut copied = 0;
    while copied < length {
        let room = buffer.len().min((length - copied) as usize);
        let count = file::pread(from, &mut buffer[..room], copied).context("pread", || "content that goes to disk")?;
        if count == 0 {
            return Err(Error::new("pread", libc::EIO, format_args!("{copied} of {length} bytes are there")));
        }
        fill::write_at(to, &[IoSlice::new(&buffer[..count])], copied)?;
        copied += count as u64;
    }
    Ok(())
}

/// A file of a pool that holds a stream, or a new one.
pub(crate) enum Collected {
    New(OwnedFd),
    Lent(Lent),
}

/// [`WrapOptions::wrap_stream`] into a file of a pool.
pub(crate) fn collect_from_descriptor(
    source: BorrowedFd<'_>,
    pool: &Pool,
    wrap: &WrapOptions,
    options: &StreamOptions,
) -> Result<Collected> {
    collect_into_pool(pool, wrap, options, Source::new(source, options)?.reading())
}

/// [`WrapOptions::wrap_reader`] into a file of a pool.
pub(crate) fn collect_from_reader(
    reader: impl Read,
    pool: &Pool,
    wrap: &WrapOptions,
    options: &StreamOptions,
) -> Result<Collected> {
    collect_into_pool(pool, wrap, options, reading(reader, options)?)
}

fn collect_into_pool(
    pool: &Pool,
    wrap: &WrapOptions,
    options: &StreamOptions,
    mut read: impl FnMut(&mut [u8]) -> Result<usize>,
) -> Result<Collected> {
    let loan: LoanOptions<'_> = pool.loan(wrap)?;
    let wrap = wrap.clone().trust_callback(false);
    let plan = wrap.plan()?;
    let hint = Some(options.size_hint).filter(|hint| *hint > 0);
    let lent = if plan.spills(options.size_hint) { None } else { pool.lend_unfilled(hint, &loan)? };
    let mut target = match lent {
        Some(lent) => Target::Lent(lent),
        None => {
            pool.count_miss();
            Target::New(Growing::new(pool.make_way(|| plan.create(options.size_hint))?))
        }
    };
    let length = options.collect(&mut read, &mut |bytes, offset| {
        if let Target::Lent(lent) = &mut target {
            let end = offset + bytes.len() as u64;
            let stored = if plan.spills(end) { None } else { Some(lent.store(bytes, offset)) };
            match stored {
                // Goes on as a file of its own, on disk or where there is space.
                None => {}
                Some(Err(error)) if error.errno() == libc::ENOSPC => {}
                Some(stored) => return stored,
            }
            let other = pool.make_way(|| plan.create(end))?;
            copy(lent.as_fd(), other.fd.as_fd(), offset)?;
            target = Target::New(Growing::new(other));
        }
        match &mut target {
            Target::New(file) => file.append(&plan, bytes, offset),
            Target::Lent(_) => unreachable!("replaced above"),
        }
    })?;
    match target {
        Target::New(file) => plan.finish(file.end(length)?).map(Collected::New),
        Target::Lent(mut lent) => lent.finish(length).map(|()| Collected::Lent(lent)),
    }
}

enum Target {
    New(Growing),
    Lent(Lent),
}

/// Reads from a reader, and looks at what it says.
fn reading(mut reader: impl Read, options: &StreamOptions) -> Result<impl FnMut(&mut [u8]) -> Result<usize>> {
    if options.timeout.is_some() || options.interruptible {
        let message = "a timeout or interruptible needs a descriptor; only a reader itself can end its reads";
        return Err(Error::new("options", libc::EINVAL, message));
    }
    Ok(move |room: &mut [u8]| {
        loop {
            match reader.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::new("read", error.raw_os_error().unwrap_or(libc::EIO), error)),
                Ok(count) if count > room.len() => {
                    let message =
                        format_args!("the reader says that it read {count} bytes into a buffer of {}", room.len());
                    return Err(Error::new("read", libc::EINVAL, message));
                }
                Ok(count) => return Ok(count),
            }
        }
    })
}

/// A descriptor that is read to its end.
struct Source<'a> {
    fd: BorrowedFd<'a>,
    kind: Kind,
    wait: Wait,
    /// A read must not wait longer than the caller wants.
    is_limited: bool,
    /// The time is limited, and the call may wait.
    has_deadline: bool,
    has_begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket { blocks: bool },
    Other,
}

impl<'a> Source<'a> {
    fn new(fd: BorrowedFd<'a>, options: &StreamOptions) -> Result<Source<'a>> {
        let kind = match socket::kind(fd) {
            Ok(libc::SOCK_STREAM) => Kind::Socket { blocks: file::blocks(fd).unwrap_or(true) },
            Ok(_) => {
                let message = "the descriptor is a socket for datagrams or packets, not a stream";
                return Err(Error::new("stream", libc::EPROTOTYPE, message));
            }
            Err(_) if file::fstat(fd).is_ok_and(|stat| stat.is_pipe()) => Kind::Pipe,
            Err(_) => Kind::Other,
        };
        Ok(Source {
            fd,
            kind,
            wait: Wait::new(options.timeout, options.interruptible),
            is_limited: options.timeout.is_some() || options.interruptible,
            has_deadline: options.timeout.is_some_and(|time| !time.is_zero()),
            has_begun: false,
        })
    }

    fn reading(mut self) -> impl FnMut(&mut [u8]) -> Result<usize> {
        move |room| {
            let count = self.read(room)?;
            self.has_begun |= count > 0;
            Ok(count)
        }
    }

    fn read(&mut self, room: &mut [u8]) -> Result<usize> {
        loop {
            if self.has_deadline && self.wait.left().is_some_and(|left| left.is_zero()) {
                return Err(Errno(libc::ETIMEDOUT)).context("read", || "the stream has not ended");
            }
            match self.try_read(room) {
                Err(Errno(libc::EAGAIN)) => match self.kind {
                    // Its own limit has passed.
                    Kind::Socket { blocks: true } if !self.is_limited => {}
                    Kind::Socket { blocks: false } if !self.has_begun => {}
                    _ => {
                        let ready = self.wait.until_ready(self.fd, libc::POLLIN);
                        ready.context("poll", || "the stream has not ended")?;
                        continue;
                    }
                },
                // The other side of a pseudoterminal is closed.
                Err(Errno(libc::EIO)) if file::is_terminal(self.fd) => return Ok(0),
                read => return read.context("read", || "the stream"),
            }
            return Err(Errno(libc::EAGAIN)).context("read", || "the stream");
        }
    }

    fn try_read(&self, room: &mut [u8]) -> sys::Result<usize> {
        if !self.is_limited {
            return file::read(self.fd, room);
        }
        match self.kind {
            Kind::Socket { .. } => socket::read_now(self.fd, room),
            // Only where the kernel cannot do better: another reader could take the bytes between poll and read.
            Kind::Pipe => match file::read_now(self.fd, room) {
                Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) => self.read_when_ready(room),
                read => read,
            },
            Kind::Other => self.read_when_ready(room),
        }
    }

    fn read_when_ready(&self, room: &mut [u8]) -> sys::Result<usize> {
        self.wait.until_ready(self.fd, libc::POLLIN)?;
        file::read(self.fd, room)
    }
}
