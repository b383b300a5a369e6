//! Receives a message with descriptors, completely or not at all.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::connection::Connection;
use crate::error::{Context, Errno, Error, Result};
use crate::sys::socket::{self, MOST_DESCRIPTORS, Received};
use crate::sys::{self, file};

/// How long the rest of a refused message may pause before the socket is shut down.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Incoming<'a> {
    connection: Connection<'a>,
    message: &'a mut [u8],
    /// Number of bytes received.
    done: usize,
    /// The descriptors received, and the largest number that the caller takes.
    found: Vec<OwnedFd>,
    capacity: usize,
    /// Whether the message ends where the first transfer ends.
    takes_some: bool,
}

impl<'a> Incoming<'a> {
    pub fn new(
        connection: Connection<'a>,
        message: &'a mut [u8],
        capacity: usize,
        takes_some: bool,
    ) -> Incoming<'a> {
        let found = Vec::with_capacity(capacity.min(MOST_DESCRIPTORS));
        Incoming { connection, message, done: 0, found, capacity, takes_some }
    }

    /// Receives the message. `check` examines each descriptor before any is closed.
    pub fn receive(
        mut self,
        check: impl Fn(&OwnedFd) -> Result<()>,
    ) -> Result<(usize, Vec<OwnedFd>)> {
        if self.message.is_empty() && self.connection.is_stream()? {
            return Err(Error::new(
                "length",
                libc::EINVAL,
                "length is 0, must be at least 1 on a stream",
            ));
        }
        if let Err(refusal) = self.take() {
            // Descriptors are closed last, because on some file systems that takes long, or never
            // ends.
            return Err(if self.skip_rest(refusal.errno()) {
                refusal
            } else {
                shut_down(&refusal)
            });
        }
        let mut found = self.found;
        found.iter().try_for_each(check)?;
        if found.iter().any(|fd| fd.as_raw_fd() <= libc::STDERR_FILENO) {
            let moved =
                found.into_iter().map(file::above_standard_streams).collect::<sys::Result<_>>();
            found = moved.context("fcntl F_DUPFD_CLOEXEC", || "a descriptor above 2")?;
        }
        Ok((self.done, found))
    }

    /// Takes transfers until the message is complete.
    fn take(&mut self) -> Result<()> {
        let Connection { socket, .. } = self.connection;
        let wanted = self.message.len();
        loop {
            let to = &mut self.message[self.done..];
            // Without a place for descriptors the kernel drops them, so none has to be closed here.
            let place = if self.capacity > 0 { Some(&mut self.found) } else { None };
            let part = match socket::receive(socket, to, place, self.connection.flags()) {
                Err(Errno(libc::EAGAIN)) => match self.connection.wait(libc::POLLIN, self.done > 0)
                {
                    Ok(()) => continue,
                    Err(errno) => Err(errno),
                },
                part => part,
            };
            let Received { bytes, is_cut, has_lost_control } =
                part.context("recvmsg", || format!("received {} of {wanted} bytes", self.done))?;
            self.done += bytes;
            if has_lost_control {
                self.lost_control()?;
            }
            if is_cut {
                let message = format!("the message is longer than {wanted} bytes");
                return Err(Error::new("length", libc::EMSGSIZE, message));
            }
            let count = self.found.len();
            if count > self.capacity {
                let message =
                    format!("received {count} descriptors, capacity is {}", self.capacity);
                return Err(Error::new("count", libc::EBADMSG, message));
            }
            if bytes > 0 && (self.done == wanted || self.takes_some) {
                return Ok(());
            }
            let is_stream = self.connection.is_stream()?;
            // A packet can be empty.
            if bytes == 0 && (is_stream || count == 0 && socket::is_hung_up(socket)) {
                let errno = if self.done == 0 { libc::ENODATA } else { libc::ECONNRESET };
                let message = format!("the connection ended after {} of {wanted} bytes", self.done);
                return Err(Error::new("message", errno, message));
            }
            if !is_stream {
                return Ok(());
            }
        }
    }

    /// Handles lost control data. Descriptors were lost, unless the caller takes none and the
    /// program has asked for other data on this socket.
    fn lost_control(&self) -> Result<()> {
        if self.capacity > 0 {
            let message = format!(
                "the kernel delivered {} descriptors and lost others: no descriptor number was \
                 free (RLIMIT_NOFILE), a security module refused them, or the socket brings too \
                 much other control data",
                self.found.len()
            );
            return Err(Error::new("recvmsg", libc::EMFILE, message));
        }
        if socket::wants_control(self.connection.socket) {
            return Ok(());
        }
        Err(Error::new("count", libc::EBADMSG, "received descriptors, capacity is 0"))
    }

    /// Reads and discards the rest of a refused message. Returns false if the socket had to be shut
    /// down for receiving instead.
    fn skip_rest(&mut self, errno: i32) -> bool {
        let has_rest = (1..self.message.len()).contains(&self.done) && !self.takes_some;
        if !has_rest
            || errno == libc::ECONNRESET
            || self.connection.is_stream().is_ok_and(|is_stream| !is_stream)
        {
            return true;
        }
        // A wait that has ended must not begin again.
        let has_waited = [libc::ETIMEDOUT, libc::EINTR, libc::EAGAIN].contains(&errno);
        let patience = if has_waited { Duration::ZERO } else { PATIENCE };
        let Connection { socket, wait, .. } = &self.connection;
        while self.done < self.message.len() {
            match socket::receive(*socket, &mut self.message[self.done..], None, libc::MSG_DONTWAIT)
            {
                // The other end is closed.
                Ok(Received { bytes: 0, .. }) => return true,
                Ok(Received { bytes, .. }) => self.done += bytes,
                Err(Errno(libc::EAGAIN))
                    if wait.at_most(patience).until_ready(*socket, libc::POLLIN).is_ok() => {}
                Err(_) => {
                    self.shut_down();
                    return false;
                }
            }
        }
        true
    }

    /// Shuts the socket down for receiving. The rest that has arrived would otherwise be taken for
    /// the next message.
    fn shut_down(&mut self) {
        let Connection { socket, .. } = self.connection;
        socket::shut_down_receiving(socket);
        while socket::receive(socket, self.message, None, libc::MSG_DONTWAIT)
            .is_ok_and(|part| part.bytes > 0)
        {}
    }
}

fn shut_down(refusal: &Error) -> Error {
    let message = format!("{}; the socket is shut down for receiving", refusal.message());
    Error::new(refusal.op(), refusal.errno(), message)
}
