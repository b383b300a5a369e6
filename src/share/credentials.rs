//! Identifies the process at the other end of a Unix socket.

use std::os::fd::AsFd;

use super::connection::check_family;
use crate::error::{Context, Error, Result};
use crate::sys::socket;

/// Identifies the process, user and group at the other end of a connected socket, as the kernel saw
/// them at connect(2), listen(2) or socketpair(2).
///
/// ```
/// use std::os::unix::net::UnixStream;
/// let (ours, theirs) = UnixStream::pair().unwrap();
/// assert_eq!(bytefd::share::peer_credentials(&ours)?.pid, std::process::id() as i32);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The process ID, as this process sees it; 0 if it cannot see that process. The process may
    /// have ended, and another process may have the number by now.
    pub pid: i32,
    /// The effective user ID.
    pub uid: u32,
    /// The effective group ID.
    pub gid: u32,
}

/// Returns which process called connect(2), listen(2) or socketpair(2) for the other end of a
/// socket: `SO_PEERCRED`, unix(7). The kernel guarantees the result. By now another process may
/// have the other end, because sockets are inherited and sent.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// let (ours, theirs) = UnixStream::pair().unwrap();
/// let peer = bytefd::share::peer_credentials(&ours)?;
/// // SAFETY: touches no memory.
/// assert_eq!(peer.uid, unsafe { libc::geteuid() });
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// - `ENOTCONN` if the socket is not connected, or is a datagram socket that was not made by
///   socketpair(2).
/// - `ENOTSOCK` if it is not a socket; `EPROTOTYPE` if its family is not `AF_UNIX`.
pub fn peer_credentials(socket: impl AsFd) -> Result<Credentials> {
    let socket = socket.as_fd();
    check_family(socket)?;
    let found = socket::credentials(socket).context("SO_PEERCRED", || "the socket's other end")?;
    // A listening socket answers with its own credentials.
    let listens = socket::is_listening(socket).context("SO_ACCEPTCONN", || "the socket")?;
    if listens || found.pid == 0 && found.uid == u32::MAX {
        let message = "the socket is not connected, or is a datagram socket that socketpair(2) did \
                       not make";
        return Err(Error::new("SO_PEERCRED", libc::ENOTCONN, message));
    }
    Ok(Credentials { pid: found.pid, uid: found.uid, gid: found.gid })
}
