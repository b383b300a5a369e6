//! Messages with descriptors over Unix sockets.
//!
//! The library adds nothing to what goes over a socket, so the other end can be any code. The
//! receiver sets the largest number of descriptors. A refused message on a stream is read to its
//! end and discarded. If it does not end, the socket is shut down for receiving. Seals are checked
//! before anything that asks a file system, and descriptors are closed last.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::connection::Connection;
use super::receive::Incoming;
use super::send::Outgoing;
use crate::error::{Error, Result};

/// How [`send`] and [`receive`] wait, and where a message on a stream ends.
///
/// ```
/// use std::{os::unix::net::UnixStream, time::Duration};
/// use bytefd::share::TransferOptions;
/// let (ours, _theirs) = UnixStream::pair().unwrap();
/// let soon = TransferOptions::new().timeout(Duration::from_millis(1));
/// let error = soon.receive(&ours, &mut [0; 5], 1).unwrap_err();
/// assert_eq!(error.errno(), libc::ETIMEDOUT);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until something is sent or received with them"]
pub struct TransferOptions {
    timeout: Option<Duration>,
    interruptible: bool,
    some: bool,
}

impl TransferOptions {
    /// Returns the default options: a call waits without a limit, or until the time limit of the
    /// socket (`SO_RCVTIMEO`, `SO_SNDTIMEO`) has passed.
    ///
    /// ```
    /// let options = bytefd::share::TransferOptions::new();
    /// ```
    pub fn new() -> TransferOptions {
        TransferOptions::default()
    }

    /// Ends the whole call after this time, with `ETIMEDOUT`. Zero does not wait. The time limits
    /// of the socket have no meaning then.
    ///
    /// ```
    /// use std::time::Duration;
    /// let options = bytefd::share::TransferOptions::new().timeout(Duration::from_secs(5));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> TransferOptions {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call fail with `EINTR` if a signal handler runs while the call waits, even if the
    /// handler was installed with `SA_RESTART`. The time limits of the socket have no meaning then.
    ///
    /// ```
    /// let options = bytefd::share::TransferOptions::new().interruptible(true);
    /// ```
    pub fn interruptible(mut self, interruptible: bool) -> TransferOptions {
        self.interruptible = interruptible;
        self
    }

    /// For receiving from a stream: takes what has arrived, one byte at least, instead of waiting
    /// until the buffer is full. Protocols whose messages say their length inside, such as D-Bus,
    /// Wayland and varlink, are read this way.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// let (ours, theirs) = UnixStream::pair().unwrap();
    /// bytefd::share::send(&ours, b"hello", &[])?;
    ///
    /// let some = bytefd::share::TransferOptions::new().some(true);
    /// let (length, _) = some.receive(&theirs, &mut [0; 100], 1)?;
    /// assert_eq!(length, 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn some(mut self, some: bool) -> TransferOptions {
        self.some = some;
        self
    }

    /// Sends as [`send`] does, with these options.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytefd::share::TransferOptions;
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// TransferOptions::new().timeout(Duration::from_secs(5)).send(&ours, b"hello", &[])?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`send`]; `ETIMEDOUT` after [`timeout`](Self::timeout); `EINTR` with
    /// [`interruptible`](Self::interruptible). `EINVAL` if [`some`](Self::some) is set.
    pub fn send(
        &self,
        socket: impl AsFd,
        message: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<()> {
        if self.some {
            let message = "a part of a message can be received, not sent";
            return Err(Error::new("flags", libc::EINVAL, message));
        }
        Outgoing { connection: self.connection(socket.as_fd())?, message, descriptors }.send()
    }

    /// Receives as [`receive`] does, with these options.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytefd::share::{TransferOptions, send};
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// send(&ours, b"hello", &[])?;
    /// let mut text = [0; 5];
    /// TransferOptions::new().timeout(Duration::from_secs(5)).receive(&theirs, &mut text, 0)?;
    /// assert_eq!(&text, b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`receive`]; `ETIMEDOUT` after [`timeout`](Self::timeout); `EINTR` with
    /// [`interruptible`](Self::interruptible).
    pub fn receive(
        &self,
        socket: impl AsFd,
        message: &mut [u8],
        capacity: usize,
    ) -> Result<(usize, Vec<OwnedFd>)> {
        self.receive_checked(socket, message, capacity, |_| Ok(()))
    }

    /// Receives like [`receive`](Self::receive), if all descriptors pass a check. Moving a
    /// descriptor away from a standard stream's number closes that number, which comes last.
    pub(crate) fn receive_checked(
        &self,
        socket: impl AsFd,
        message: &mut [u8],
        capacity: usize,
        check: impl Fn(&OwnedFd) -> Result<()>,
    ) -> Result<(usize, Vec<OwnedFd>)> {
        Incoming::new(self.connection(socket.as_fd())?, message, capacity, self.some).receive(check)
    }

    fn connection<'a>(&self, socket: BorrowedFd<'a>) -> Result<Connection<'a>> {
        Connection::new(socket, self.timeout, self.interruptible)
    }
}

/// Sends bytes and descriptors over a Unix socket, unix(7): a stream, datagrams or sequenced
/// packets. The receiver gets descriptors of the same open file descriptions (`SCM_RIGHTS`).
/// Nothing is added to the bytes, so the peer can be code without bytefd.
///
/// On a stream the call sends the whole message, with several sendmsg(2) calls if necessary. Only
/// one thread or process may send on a stream at a time; otherwise the parts of their messages can
/// be mixed. On a socket that does not block, the call can fail with `EAGAIN` only before the first
/// byte is sent; after that it waits. More than 253 descriptors need several sendmsg(2) calls, each
/// with at least one byte.
///
/// ```
/// use std::os::{fd::AsFd, unix::net::UnixStream};
/// let (ours, theirs) = UnixStream::pair().unwrap();
/// let fd = bytefd::wrap(b"hello")?;
/// bytefd::share::send(&ours, b"!", &[fd.as_fd()])?;
///
/// let mut message = [0; 1];
/// let (_, received) = bytefd::share::receive(&theirs, &mut message, 1)?;
/// assert_eq!(std::fs::read(bytefd::path(&received[0])).unwrap(), b"hello");
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// On a stream part of the message may have gone out; only closing the socket helps then.
/// - `EINVAL` if the message has no bytes on a stream, or fewer bytes than parts (one part for each
///   253 descriptors).
/// - `E2BIG` if there are more than 253 descriptors in one datagram or packet.
/// - `ENOTSOCK` if it is not a socket; `EPROTOTYPE` if its family is not `AF_UNIX`.
/// - `EPIPE`, `ECONNRESET`, for datagrams `ECONNREFUSED`, if the other end is closed. No SIGPIPE is
///   raised.
/// - `EAGAIN` if the socket does not block and takes nothing now, or if its time limit
///   (`SO_SNDTIMEO`) has passed.
/// - `ETOOMANYREFS` if too many descriptors are in flight; `EMSGSIZE` if the datagram is too long;
///   see sendmsg(2).
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    TransferOptions::new().send(socket, message, descriptors)
}

/// Receives a message with at most `capacity` descriptors, which are the caller's, and
/// close-on-exec from the start. Returns the length of the message, and the descriptors.
///
/// On a stream the message is exactly as long as the buffer, and the call waits for all of it. Only
/// one thread or process may receive from a stream at a time; otherwise each can get parts of a
/// message. When one byte has arrived, it waits even on a socket that does not block. Datagrams and
/// packets may be shorter.
///
/// On a stream, every failure after the first byte of a message loses the message:
/// - The call reads and discards the rest, so that the next call never sees a mixture of two
///   messages. With [`TransferOptions::some`] there is no rest.
/// - After `ETIMEDOUT`, `EINTR` or `EAGAIN` the call does not wait for the rest. After other
///   failures it waits for the rest until the timeout has passed, or until nothing has arrived for
///   a second.
/// - If the rest has not arrived then, and the other end is open, the call shuts the socket down
///   for receiving instead.
///
/// A failure before the first byte, such as `ETIMEDOUT` or `EAGAIN`, loses nothing, and the socket
/// stays usable.
///
/// With a `capacity` of 0 the kernel drops descriptors instead of delivering them. The call then
/// fails with `EBADMSG`. If `SO_PASSCRED`, `SO_PASSSEC`, `SO_PASSPIDFD` or one of `SO_TIMESTAMP`,
/// `SO_TIMESTAMPNS` and `SO_TIMESTAMPING` is set on the socket, dropped descriptors cannot be told
/// from other dropped data, and the call succeeds.
///
/// Warning: a failure can block, whatever the timeout. The last step of a failed call closes the
/// received descriptors. On FUSE and NFS, close(2) of a file waits for the server of the file
/// system. Dropping a received descriptor does so too.
///
/// See [`Requirements`](super::Requirements) for what to ask of a descriptor before it is trusted.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// let (ours, theirs) = UnixStream::pair().unwrap();
/// std::io::Write::write_all(&mut &ours, b"hello").unwrap();
/// let mut message = [0; 5];
/// let (length, descriptors) = bytefd::share::receive(&theirs, &mut message, 1)?;
/// assert_eq!((length, &message, descriptors.len()), (5, b"hello", 0));
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// The descriptors that have arrived are closed.
/// - `EBADMSG` if more descriptors came than fit.
/// - `EMSGSIZE` if the datagram or packet is longer than the buffer.
/// - `EMFILE` if the kernel could not deliver all descriptors, because of RLIMIT_NOFILE or a
///   security module.
/// - `ENODATA` if the other end is closed, or the socket was shut down for receiving, before a byte
///   of a message has come. (An empty packet of a peer that has gone looks the same.)
/// - `ECONNRESET` if the other end was closed within a message, or before it had read all that was
///   sent to it.
/// - `EAGAIN` if the socket does not block and has nothing now, or if its time limit
///   (`SO_RCVTIMEO`) has passed.
/// - `EINVAL` if the buffer is empty on a stream; `ENOTSOCK`, `EPROTOTYPE` as for [`send`]; see
///   recvmsg(2).
pub fn receive(
    socket: impl AsFd,
    message: &mut [u8],
    capacity: usize,
) -> Result<(usize, Vec<OwnedFd>)> {
    TransferOptions::new().receive(socket, message, capacity)
}
