//! Sends a message with descriptors.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::connection::Connection;
use crate::error::{Context, Errno, Error, Result};
use crate::sys::file;
use crate::sys::socket::{self, MOST_DESCRIPTORS};

pub(super) struct Outgoing<'a> {
    pub connection: Connection<'a>,
    pub message: &'a [u8],
    pub descriptors: &'a [BorrowedFd<'a>],
}

impl Outgoing<'_> {
    pub fn send(self) -> Result<()> {
        let parts = self.descriptors.len().div_ceil(MOST_DESCRIPTORS);
        if self.message.is_empty() || parts > 1 {
            self.check_parts(parts)?;
        }
        let Connection { socket, .. } = self.connection;
        let (mut bytes, mut rest) = (self.message, self.descriptors);
        // A datagram goes in one call, and may be empty.
        loop {
            let (now, later) = rest.split_at(rest.len().min(MOST_DESCRIPTORS));
            // Each further part of the descriptors needs a byte of its own.
            let most = if later.is_empty() { bytes.len() } else { 1 };
            match socket::send(socket, &bytes[..most], now, self.connection.flags()) {
                Ok(sent) => (bytes, rest) = (&bytes[sent..], later),
                Err(Errno(libc::EAGAIN)) => {
                    let has_begun = bytes.len() < self.message.len();
                    self.connection
                        .wait(libc::POLLOUT, has_begun)
                        .or_else(|errno| self.failed(errno, bytes.len()))?;
                }
                Err(errno) => self.failed(errno, bytes.len())?,
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Fails if there are more descriptors than the bytes can carry.
    fn check_parts(&self, parts: usize) -> Result<()> {
        let (bytes, count) = (self.message.len(), self.descriptors.len());
        let is_stream = self.connection.is_stream()?;
        if parts > 1 && !is_stream {
            let message =
                format!("{count} descriptors exceed the {MOST_DESCRIPTORS} of one message");
            return Err(Error::new("count", libc::E2BIG, message));
        }
        // Datagrams can be empty, with or without descriptors.
        let least = if is_stream { parts.max(1) } else { 0 };
        if bytes < least {
            let message = format!(
                "the message has {bytes} bytes, must have at least {least} for {count} descriptors"
            );
            return Err(Error::new("length", libc::EINVAL, message));
        }
        Ok(())
    }

    fn failed(&self, errno: Errno, left: usize) -> Result<()> {
        let (bytes, count) = (self.message.len(), self.descriptors.len());
        let closed = self.descriptors.iter().map(AsRawFd::as_raw_fd).find(|fd| !file::is_open(*fd));
        let closed = closed.map(|fd| format!("; descriptor {fd} is not open")).unwrap_or_default();
        let sent = bytes - left;
        Err(errno).context("sendmsg", || {
            format!("sent {sent} of {bytes} bytes, with {count} descriptors{closed}")
        })
    }
}
