//! A Unix socket, and how long a call may wait for it.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::error::{Context, Errno, Error, Result};
use crate::sys::{self, socket, wait::Wait};

/// A Unix socket during one call, and how long the call may wait for it.
pub(super) struct Connection<'a> {
    pub socket: BorrowedFd<'a>,
    pub wait: Wait,
    /// Whether the call has a limit of its own. Otherwise the kernel waits, up to the socket's time
    /// limit.
    is_limited: bool,
}

impl<'a> Connection<'a> {
    pub fn new(
        socket: BorrowedFd<'a>,
        timeout: Option<Duration>,
        is_interruptible: bool,
    ) -> Result<Connection<'a>> {
        check_family(socket)?;
        let wait = Wait::new(timeout, is_interruptible);
        Ok(Connection { socket, wait, is_limited: timeout.is_some() || is_interruptible })
    }

    /// Returns `MSG_DONTWAIT` if the call waits by itself.
    pub fn flags(&self) -> i32 {
        if self.is_limited { libc::MSG_DONTWAIT } else { 0 }
    }

    /// Waits after an EAGAIN. Fails if the caller is to see the EAGAIN instead.
    pub fn wait(&self, events: i16, has_begun: bool) -> sys::Result<()> {
        let blocks = socket::is_blocking(self.socket)?;
        if !blocks && !has_begun || blocks && !self.is_limited {
            return Err(Errno(libc::EAGAIN));
        }
        self.wait.until_ready(self.socket, events)
    }

    /// Returns whether this is a stream socket, not one for datagrams or packets.
    pub fn is_stream(&self) -> Result<bool> {
        socket::kind(self.socket)
            .map(|kind| kind == libc::SOCK_STREAM)
            .context("socket", || "SO_TYPE")
    }
}

/// Fails unless the socket's family is AF_UNIX. Sockets of other families lose descriptors and
/// report success. Every call asks the socket, because its number may refer to another one by now.
pub(super) fn check_family(socket: BorrowedFd<'_>) -> Result<()> {
    let number = socket.as_raw_fd();
    let family = socket::family(socket).context("socket", || format!("descriptor {number}"))?;
    if family == libc::AF_UNIX {
        return Ok(());
    }
    let message =
        format!("descriptor {number} has family {family}, not AF_UNIX ({})", libc::AF_UNIX);
    Err(Error::new("socket", libc::EPROTOTYPE, message))
}
