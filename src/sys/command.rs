//! Passes descriptors to the children of a command, between fork(2) and execve(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::call::{Result, check};
use super::file::{self, Identity, Stat};
use crate::error::Errno;

/// Makes `fd` the descriptor `number` of every child that the command starts.
pub(crate) fn pass(command: &mut Command, fd: OwnedFd, number: RawFd) {
    let passed = Passed::new(fd, number);
    let give = move || {
        let given = passed.as_ref().map_err(|errno| *errno).and_then(Passed::give);
        given.map_err(|errno| io::Error::from_raw_os_error(errno.0))
    };
    // SAFETY: the closure calls fstat(2), dup2(2) and fcntl(2), which a child may call. It
    // allocates nothing and holds no lock.
    unsafe { command.pre_exec(give) };
}

/// A descriptor that is kept for children, and the number that it gets in them.
struct Passed {
    /// The caller's descriptor. It stays open, because an earlier call of [`pass`] may want its
    /// number. If the number became free, std could get it for its pipe.
    own: OwnedFd,
    /// A duplicate, if the caller's descriptor does not have the number. It has the number already,
    /// or is moved to it in the child.
    placed: Option<OwnedFd>,
    identity: Identity,
    number: RawFd,
    /// The file that had the number when [`Passed::new`] returned.
    replaced: Identity,
}

impl Passed {
    /// Keeps `own` for children. If the number is free in this process, a duplicate takes it now.
    /// If the number stayed free, std could get it for the pipe that reports a failed execve(2),
    /// and the child would overwrite that pipe. If the number is in use, the duplicate gets a
    /// number far above those that programs pass.
    fn new(own: OwnedFd, number: RawFd) -> Result<Passed> {
        if number < 0 {
            return Err(Errno(libc::EBADF));
        }
        let identity = file::fstat(own.as_fd())?.identity;
        file::set_close_on_exec(own.as_fd())?;
        let mut placed = None;
        if own.as_raw_fd() != number {
            let first = duplicate(&own, number)?;
            placed = Some(match first.as_raw_fd() {
                taken if taken == number => first,
                _ => duplicate(&own, number.saturating_add(ASIDE)).unwrap_or(first),
            });
        }
        let replaced = file::fstat_raw(number)?.identity;
        Ok(Passed { own, placed, identity, number, replaced })
    }

    /// Gives the descriptor its number. Runs in the child.
    fn give(&self) -> Result<()> {
        let fd = self.placed.as_ref().unwrap_or(&self.own);
        // The dup2(2) of another `Passed` may have replaced this descriptor.
        file::stat_if(fd.as_raw_fd(), self.identity).ok_or(Errno(libc::EBADF))?;
        if fd.as_raw_fd() == self.number {
            return file::clear_close_on_exec(fd.as_fd());
        }
        if self.is_taken_by_std() {
            return Err(Errno(libc::EBADF));
        }
        // SAFETY: touches no memory. The child does not need the descriptor that dup2(2) closes.
        check(unsafe { libc::dup2(fd.as_raw_fd(), self.number) }).map(drop)
    }

    /// Returns whether std may have opened its pipe (a socket in newer versions) under the number.
    /// In that case the program has closed what had the number, and the number refers to another
    /// pipe or socket, which is close-on-exec.
    fn is_taken_by_std(&self) -> bool {
        // SAFETY: touches no memory.
        let flags = unsafe { libc::fcntl(self.number, libc::F_GETFD) };
        let is_new_pipe =
            |stat: Stat| (stat.is_pipe() || stat.is_socket()) && stat.identity != self.replaced;
        flags == libc::FD_CLOEXEC && file::fstat_raw(self.number).is_ok_and(is_new_pipe)
    }
}

/// Added to a number, it gives one far above those that programs pass.
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
