//! The work of a child process between fork(2) and execve(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::call::{Result, check};
use super::file::{self, Identity};
use crate::error::Errno;

/// Makes `fd` the descriptor `number` of every child that the command starts.
pub(crate) fn pass(command: &mut Command, fd: OwnedFd, number: RawFd) {
    let placed = Placed::new(&fd, number);
    drop(fd);
    let give = move || {
        let given = placed.as_ref().map_err(|errno| *errno).and_then(Placed::give);
        given.map_err(|errno| io::Error::from_raw_os_error(errno.0))
    };
    // SAFETY: the closure calls fstat(2), dup2(2) and fcntl(2), which a child may call. It
    // allocates nothing and holds no lock.
    unsafe { command.pre_exec(give) };
}

/// A descriptor that is kept for children, and the number that they get.
struct Placed {
    fd: OwnedFd,
    identity: Identity,
    number: RawFd,
}

impl Placed {
    /// Moves the descriptor to its number in this process already, if the number is free. Otherwise
    /// std could get that number for its pipe, which reports a failed execve(2), and the child
    /// would overwrite the pipe. If the number is in use, the descriptor goes far above the numbers
    /// that programs pass, where it is in the way of none.
    fn new(fd: &OwnedFd, number: RawFd) -> Result<Placed> {
        if number < 0 {
            return Err(Errno(libc::EBADF));
        }
        let identity = file::fstat(fd.as_fd())?.identity;
        let placed = duplicate(fd, number)?;
        let fd = match placed.as_raw_fd() {
            taken if taken == number => placed,
            _ => duplicate(fd, number.saturating_add(ASIDE)).unwrap_or(placed),
        };
        Ok(Placed { fd, identity, number })
    }

    /// Gives the descriptor its number. Runs in the child.
    fn give(&self) -> Result<()> {
        if self.fd.as_raw_fd() == self.number {
            return file::clear_close_on_exec(self.fd.as_fd());
        }
        // Another descriptor that was passed may have taken the place nevertheless.
        file::stat_if(self.fd.as_raw_fd(), self.identity).ok_or(Errno(libc::EBADF))?;
        // SAFETY: touches no memory. The number is in use in the parent too, so std has not opened
        // it since.
        check(unsafe { libc::dup2(self.fd.as_raw_fd(), self.number) }).map(drop)
    }
}

/// Distance that is far above the numbers that programs ask for.
const ASIDE: RawFd = 200;

/// Duplicates a descriptor to the lowest free number that is not below `from`.
fn duplicate(fd: &OwnedFd, from: RawFd) -> Result<OwnedFd> {
    // SAFETY: makes a new descriptor and touches no memory.
    match check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, from) }) {
        // RLIMIT_NOFILE allows no number that high.
        Err(Errno(libc::EINVAL)) => Err(Errno(libc::EBADF)),
        duplicate => duplicate.map(file::own),
    }
}
