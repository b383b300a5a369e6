//! Descriptors over Unix sockets.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread::LocalKey;

use crate::error::{Context, Errno, Error, Result};
use crate::sys::socket::{self, MOST_DESCRIPTORS, Received};
use crate::sys::{self, file};

/// Sends bytes and descriptors over a Unix socket, unix(7): a stream, datagrams or sequenced packets. The receiver gets
/// descriptors of the same descriptions (`SCM_RIGHTS`). Nothing is added to the bytes, so the other end can be anybody's code.
///
/// A message on a stream goes out whole, in parts if need be: interrupted and short transfers go on, also on a socket that does
/// not block, once something was sent. More than 253 descriptors are sent in parts too, each with one byte at least.
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
/// - `EINVAL`: on a stream no bytes, or fewer than parts.
/// - `E2BIG`: more than 253 descriptors in one datagram or packet.
/// - `ENOTSOCK`, `EPROTOTYPE`: it is no socket, or none of the Unix family.
/// - `EPIPE`, `ECONNRESET`, for datagrams `ECONNREFUSED`: nobody receives any more (no SIGPIPE is raised); part of the message
///   may have arrived.
/// - `EAGAIN`: the socket does not block and takes nothing now, or its time limit (SO_SNDTIMEO) has passed.
/// - `ETOOMANYREFS`: too many descriptors are in flight; `EMSGSIZE`: the datagram is too long; sendmsg(2)'s own.
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    let socket = socket.as_fd();
    // Others, of the internet family for instance, lose descriptors and say nothing.
    check_once(socket, &LAST_SENDER)?;
    let parts = descriptors.len().div_ceil(MOST_DESCRIPTORS);
    if message.is_empty() || parts > 1 {
        check_parts(socket, message.len(), descriptors.len())?;
    }
    let (mut bytes, mut rest) = (message, descriptors);
    // A datagram goes at once, and may be empty.
    loop {
        let (now, later) = rest.split_at(rest.len().min(MOST_DESCRIPTORS));
        // What comes later needs a byte for each part.
        let most = if later.is_empty() { bytes.len() } else { 1 };
        match socket::send(socket, &bytes[..most], now) {
            Ok(sent) => (bytes, rest) = (&bytes[sent..], later),
            Err(Errno(libc::EAGAIN)) if bytes.len() < message.len() && waited(socket, libc::POLLOUT)? => {}
            failed => {
                check_family(socket)?;
                let is_closed =
                    |fd: &&BorrowedFd<'_>| file::fstat(**fd).is_err_and(|errno| errno == Errno(libc::EBADF));
                let closed =
                    descriptors.iter().find(is_closed).map(|fd| format!(", of which {} is not open", fd.as_raw_fd()));
                let (bytes, count, closed) = (message.len(), descriptors.len(), closed.unwrap_or_default());
                failed.context("sendmsg", || format!("{bytes} bytes and {count} descriptors{closed}"))?;
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
    }
}

thread_local! {
    /// The socket that this thread sent or received through last, which is not asked again of what family it is: that would be a
    /// tenth of the time. (Who closes it, and takes the next one of its number for a Unix socket without looking, learns it from the
    /// other end only.)
    static LAST_SENDER: Cell<RawFd> = const { Cell::new(-1) };
    static LAST_RECEIVER: Cell<RawFd> = const { Cell::new(-1) };
}

fn check_once(socket: BorrowedFd<'_>, last: &'static LocalKey<Cell<RawFd>>) -> Result<()> {
    if last.get() != socket.as_raw_fd() {
        check_family(socket)?;
        last.set(socket.as_raw_fd());
    }
    Ok(())
}

/// Whether so many bytes can carry so many descriptors.
fn check_parts(socket: BorrowedFd<'_>, bytes: usize, count: usize) -> Result<()> {
    let is_stream = is_stream(socket)?;
    let parts = count.div_ceil(MOST_DESCRIPTORS);
    if parts > 1 && !is_stream {
        let message = format_args!("{count} descriptors are more than the {MOST_DESCRIPTORS} that one message carries");
        return Err(Error::new("descriptors", libc::E2BIG, message));
    }
    // Datagrams can be empty, whatever they carry.
    let least = if is_stream { parts.max(1) } else { 0 };
    if bytes < least {
        let message = format_args!("{count} descriptors need a message of {least} bytes or more, and it has {bytes}");
        return Err(Error::new("message", libc::EINVAL, message));
    }
    Ok(())
}

/// Receives a message with exactly so many descriptors, which are the caller's, and close-on-exec from the start. Returns how
/// many bytes the message has.
///
/// On a stream the message is as long as the buffer, and is waited for: interrupted and short transfers go on, also on a socket
/// that does not block, once something has arrived. Datagrams and packets may be shorter.
///
/// See [`Requirements`](super::Requirements) for what to ask of a descriptor before it is trusted.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// let (ours, theirs) = UnixStream::pair().unwrap();
/// std::io::Write::write_all(&mut &ours, b"hello").unwrap();
/// let mut message = [0; 5];
/// let (length, descriptors) = bytefd::share::receive(&theirs, &mut message, 0)?;
/// assert_eq!((length, &message, descriptors.len()), (5, b"hello", 0));
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// What has arrived is closed.
/// - `EBADMSG`: another number of descriptors has come.
/// - `EMSGSIZE`: the datagram or packet is longer than the buffer.
/// - `EMFILE`: the kernel could not deliver all descriptors: RLIMIT_NOFILE, or a security module forbids it.
/// - `ENODATA`: the other end was closed, and no byte of a message has come (an empty packet of one who has gone looks the
///   same). `ECONNRESET`: it was closed within a message, or before it had read all that was sent to it.
/// - `EAGAIN`: the socket does not block and has nothing now, or its time limit (SO_RCVTIMEO) has passed.
/// - `ENOTSOCK`, `EPROTOTYPE`, `EINVAL` for an empty buffer on a stream, recvmsg(2)'s own.
pub fn receive(socket: impl AsFd, message: &mut [u8], descriptors: usize) -> Result<(usize, Vec<OwnedFd>)> {
    let socket = socket.as_fd();
    check_once(socket, &LAST_RECEIVER)?;
    let (wanted, mut done) = (message.len(), 0);
    let mut found = Vec::with_capacity(descriptors.min(MOST_DESCRIPTORS));
    if wanted == 0 && is_stream(socket)? {
        return Err(Error::new("message", libc::EINVAL, "on a stream the message must have a length"));
    }
    loop {
        let part = match socket::receive(socket, &mut message[done..], &mut found) {
            Err(Errno(libc::EAGAIN)) if done > 0 && waited(socket, libc::POLLIN)? => continue,
            part => part.context("recvmsg", || format!("{done} of {wanted} bytes received"))?,
        };
        let Received { bytes, is_cut, has_lost_control } = part;
        if has_lost_control {
            let message = format_args!("descriptors were lost on their way, {} arrived: RLIMIT_NOFILE?", found.len());
            return Err(Error::new("control data", libc::EMFILE, message));
        }
        if is_cut {
            let message = format_args!("the message is longer than {wanted} bytes");
            return Err(Error::new("message", libc::EMSGSIZE, message));
        }
        // More than asked for ends it early: what a stream brings besides is never needed.
        if found.len() > descriptors {
            break;
        }
        done += bytes;
        if bytes > 0 && done == wanted {
            break;
        }
        let is_stream = is_stream(socket)?;
        // A packet can be empty.
        if bytes == 0 && (is_stream || found.is_empty() && socket::is_hung_up(socket)) {
            let errno = if done == 0 { libc::ENODATA } else { libc::ECONNRESET };
            let message = format_args!("the other end was closed after {done} of {wanted} bytes");
            return Err(Error::new("message", errno, message));
        }
        if !is_stream {
            break;
        }
    }
    if found.len() != descriptors {
        let message = format_args!("asked for {descriptors}, and {} have come", found.len());
        return Err(Error::new("descriptors", libc::EBADMSG, message));
    }
    if found.iter().any(|fd| fd.as_raw_fd() <= libc::STDERR_FILENO) {
        let moved = found.into_iter().map(file::above_standard_streams).collect::<sys::Result<_>>();
        found = moved.context("fcntl F_DUPFD", || "a descriptor above 2")?;
    }
    Ok((done, found))
}

/// Who is at the other end of a connected socket.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// let (ours, theirs) = UnixStream::pair().unwrap();
/// assert_eq!(bytefd::share::peer(&ours)?.process, std::process::id() as i32);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number, as this process sees it; 0 if it cannot. It may have ended, and the number be somebody else's by now.
    pub process: i32,
    /// Its effective user.
    pub user: u32,
    /// Its effective group.
    pub group: u32,
}

/// Who called connect(2), listen(2) or socketpair(2) for the other end, at that time: `SO_PEERCRED`, unix(7). The kernel says
/// so, and nobody can pretend. Who has the other end now may be somebody else, because sockets are inherited and sent.
///
/// # Errors
/// `ENOTCONN` if the socket is not connected, or is one for datagrams that socketpair(2) has not made; `ENOTSOCK`,
/// `EPROTOTYPE`.
pub fn peer(socket: impl AsFd) -> Result<Peer> {
    let socket = socket.as_fd();
    check_family(socket)?;
    let found = socket::credentials(socket).context("SO_PEERCRED", || "the socket's other end")?;
    // A socket that listens answers with its own.
    let listens = socket::is_listening(socket).context("SO_ACCEPTCONN", || "the socket")?;
    if listens || found.pid == 0 && found.uid == u32::MAX {
        return Err(Error::new("SO_PEERCRED", libc::ENOTCONN, "the kernel knows of no other end"));
    }
    Ok(Peer { process: found.pid, user: found.uid, group: found.gid })
}

fn check_family(socket: BorrowedFd<'_>) -> Result<()> {
    let family = socket::family(socket).context("socket", || "SO_DOMAIN")?;
    if family != libc::AF_UNIX {
        LAST_SENDER.set(-1);
        LAST_RECEIVER.set(-1);
        let message = format_args!("its family is {family}, and only Unix sockets carry descriptors");
        return Err(Error::new("socket", libc::EPROTOTYPE, message));
    }
    Ok(())
}

/// And not datagrams or packets.
fn is_stream(socket: BorrowedFd<'_>) -> Result<bool> {
    socket::kind(socket).map(|kind| kind == libc::SOCK_STREAM).context("socket", || "SO_TYPE")
}

fn waited(socket: BorrowedFd<'_>, events: i16) -> Result<bool> {
    socket::wait(socket, events).context("poll", || "the socket")
}
