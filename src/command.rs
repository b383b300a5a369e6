//! Gives a descriptor to one child process.

use std::os::fd::{OwnedFd, RawFd};
use std::process::Command;

use crate::sys;

/// Gives descriptors to the children that one [`Command`] starts, and to no other process.
///
/// [`WrapOptions::inherit`](crate::WrapOptions::inherit) gives a descriptor to every program that
/// the process executes, from any thread. This trait gives it only to the programs that the command
/// executes. A program that wants a path gets `/proc/self/fd/` and the number.
///
/// ```
/// use bytefd::PassFd;
/// use std::process::Command;
/// let mut command = Command::new("cat");
/// command.arg("/proc/self/fd/7").pass_fd(bytefd::wrap(b"hello")?, 7);
/// assert_eq!(command.output()?.stdout, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Standard input needs no number. `File` and `Stdio` take the descriptor itself, also that of a
/// scan, opened again:
///
/// ```
/// use std::process::{Command, Stdio};
/// let lent = bytefd::WrapOptions::new().scan_begin(b"hello")?;
/// let output = Command::new("cat").stdin(Stdio::from(bytefd::reopen(&lent)?)).output()?;
/// assert_eq!(output.stdout, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// For `tokio::process::Command`, call this on its `as_std_mut()`.
pub trait PassFd {
    /// Gives `fd` to the child, under this number. The command owns the descriptor, and gives it to
    /// every child that it starts. These children share its file offset. If each must have an
    /// offset of its own, pass what [`reopen`](crate::reopen()) returns, and start one child with
    /// each command. After this call the command uses fork(2) instead of posix_spawn(3).
    ///
    /// Errors are reported when the command is started:
    /// - `EMFILE` without a free descriptor.
    /// - `EBADF` if `number` is negative or not below RLIMIT_NOFILE.
    /// - `EBADF` if, after this call, a pipe or socket that is close-on-exec took the number
    ///   `number` in this process. std may use it to report that execve(2) failed, so it is not
    ///   overwritten.
    fn pass_fd(&mut self, fd: OwnedFd, number: RawFd) -> &mut Self;
}

impl PassFd for Command {
    fn pass_fd(&mut self, fd: OwnedFd, number: RawFd) -> &mut Command {
        sys::command::pass(self, fd, number);
        self
    }
}
