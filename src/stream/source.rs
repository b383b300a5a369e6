//! The sources of a stream: a descriptor or a reader.

use std::io::{ErrorKind, Read};
use std::os::fd::BorrowedFd;

use super::options::StreamOptions;
use crate::error::{Context, Errno, Error, Result};
use crate::sys::buffer::Spare;
use crate::sys::wait::Wait;
use crate::sys::{self, file, socket};

/// A source of bytes that come one after the other.
pub(super) trait Source {
    /// Reads bytes, and returns their number; 0 at the end.
    fn read(&mut self, spare: &mut Spare<'_>) -> Result<usize>;

    /// Returns the probable number of bytes; 0 if it is unknown.
    fn expected(&self) -> u64 {
        0
    }
}

/// Maximum number of bytes in one read from a descriptor. They fit into the processor's cache until
/// they are in the file.
const PIECE: usize = 256 << 10;
/// Size of the buffer that a reader is given, at first and at most. The buffer is cleared, because
/// a reader may look at it. If the reader has fewer bytes, that work is lost. A reader in Go runs
/// in another thread, which must be woken for each buffer (70 µs).
const STEPS: [usize; 2] = [8 << 10, 1 << 20];

/// A reader whose results are checked.
pub(super) struct Reader<R> {
    reader: R,
    /// Number of bytes that the reader is given at once.
    step: usize,
}

impl<R: Read> Reader<R> {
    pub fn new(reader: R, options: &StreamOptions) -> Result<Reader<R>> {
        if options.timeout.is_some() || options.interruptible {
            let message = "a timeout or interruptible needs a descriptor; only a reader itself can \
                           end its reads";
            return Err(Error::new("options", libc::EINVAL, message));
        }
        Ok(Reader { reader, step: STEPS[0] })
    }
}

impl<R: Read> Source for Reader<R> {
    fn read(&mut self, spare: &mut Spare<'_>) -> Result<usize> {
        let spare = spare.cleared(spare.room().min(self.step));
        loop {
            match self.reader.read(spare) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::new(
                        "read",
                        error.raw_os_error().filter(|errno| *errno > 0).unwrap_or(libc::EIO),
                        error,
                    ));
                }
                Ok(count) if count > spare.len() => {
                    let message = format!(
                        "the reader says that it read {count} bytes into a buffer of {}",
                        spare.len()
                    );
                    return Err(Error::new("read", libc::EINVAL, message));
                }
                Ok(count) => {
                    if count == self.step {
                        self.step = STEPS[1].min(2 * count);
                    }
                    return Ok(count);
                }
            }
        }
    }
}

/// A descriptor that is read to its end.
pub(super) struct Descriptor<'a> {
    fd: BorrowedFd<'a>,
    kind: Kind,
    expected: u64,
    wait: Wait,
    /// Whether a read must not wait longer than the caller wants.
    is_limited: bool,
    /// Whether the time is limited and the call may wait.
    has_deadline: bool,
    has_begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket { blocks: bool },
    Other,
}

impl<'a> Descriptor<'a> {
    pub fn new(fd: BorrowedFd<'a>, options: &StreamOptions) -> Result<Descriptor<'a>> {
        let mut expected = 0;
        let kind = match file::fstat(fd) {
            Ok(stat) if stat.is_pipe() => Kind::Pipe,
            Ok(stat) if stat.is_regular() => {
                if options.size_hint == 0 && stat.size > 0 {
                    expected = stat.size.saturating_sub(file::position(fd).unwrap_or(0));
                }
                Kind::Other
            }
            _ => match socket::kind(fd) {
                Ok(libc::SOCK_STREAM) => Kind::Socket { blocks: file::blocks(fd).unwrap_or(true) },
                Ok(_) => {
                    let message =
                        "the descriptor is a socket for datagrams or packets, not a stream";
                    return Err(Error::new("stream", libc::EPROTOTYPE, message));
                }
                // For other descriptors the read reports the error.
                Err(_) => Kind::Other,
            },
        };
        Ok(Descriptor {
            fd,
            kind,
            expected,
            wait: Wait::new(options.timeout, options.interruptible),
            is_limited: options.timeout.is_some() || options.interruptible,
            has_deadline: options.timeout.is_some_and(|time| !time.is_zero()),
            has_begun: false,
        })
    }

    fn try_read(&self, spare: &mut Spare<'_>) -> sys::Result<usize> {
        if !self.is_limited {
            return file::read(self.fd, spare);
        }
        match self.kind {
            Kind::Socket { .. } => socket::read_now(self.fd, spare),
            Kind::Pipe => match file::read_now(self.fd, spare) {
                // Kernels before 6.5 cannot read a pipe without waiting, so the pipe is polled
                // first. Another reader can then take the bytes between poll and read.
                Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) => {
                    self.read_when_ready(spare)
                }
                read => read,
            },
            Kind::Other => self.read_when_ready(spare),
        }
    }

    fn read_when_ready(&self, spare: &mut Spare<'_>) -> sys::Result<usize> {
        self.wait.until_ready(self.fd, libc::POLLIN)?;
        file::read(self.fd, spare)
    }
}

impl Source for Descriptor<'_> {
    fn read(&mut self, spare: &mut Spare<'_>) -> Result<usize> {
        spare.limit(PIECE);
        loop {
            if self.has_deadline && self.wait.left().is_some_and(|left| left.is_zero()) {
                return Err(Errno(libc::ETIMEDOUT)).context("read", || "the stream has not ended");
            }
            match self.try_read(spare) {
                Err(Errno(libc::EAGAIN)) => match self.kind {
                    // The limit of the socket itself (SO_RCVTIMEO) has passed.
                    Kind::Socket { blocks: true } if !self.is_limited => {}
                    Kind::Socket { blocks: false } if !self.has_begun => {}
                    _ => {
                        let ready = self.wait.until_ready(self.fd, libc::POLLIN);
                        ready.context("poll", || "the stream has not ended")?;
                        continue;
                    }
                },
                // On the master of a pseudoterminal, EIO means that every program on the other side
                // has closed it. On other terminals, EIO is the error of a background process,
                // which must not read.
                Err(Errno(libc::EIO)) if file::is_terminal_master(self.fd) => return Ok(0),
                read => {
                    self.has_begun |= read.is_ok_and(|count| count > 0);
                    return read.context("read", || "the stream");
                }
            }
            return Err(Errno(libc::EAGAIN)).context("read", || "the stream");
        }
    }

    fn expected(&self) -> u64 {
        self.expected
    }
}
