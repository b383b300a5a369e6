//! Tests that files that are wrapped as executable run, and that others are refused.

use std::ffi::{CStr, c_int};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null;

use crate::support::abi::{AUTO, EXECUTABLE, INHERIT};
use crate::support::{fd, hosts, tools};
use crate::tests;

// Each in a process of its own: a child that another test forks meanwhile could hold a file open
// for writing.
tests![;
    alone:
    an_executable_binary_runs_by_its_path,
    an_executable_binary_runs_by_fexecve,
    a_binary_that_is_not_executable_is_refused,
    an_executable_script_runs_if_its_interpreter_inherits_it,
];

/// Makes an executable file, in a memfd only: /dev/shm and /tmp are often mounted noexec, which the
/// library cannot change.
fn executable(content: &[u8], flags: u64) -> Option<OwnedFd> {
    if !hosts::has_memfd() {
        println!("SKIPPED: whether a file can be executed on this host is not ours to say");
        return None;
    }
    Some(fd::wrap_with(content, EXECUTABLE | flags, AUTO).expect("a descriptor"))
}

fn path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn shell() -> Vec<u8> {
    std::fs::read("/bin/sh").expect("/bin/sh")
}

fn an_executable_binary_runs_by_its_path() {
    let Some(fd) = executable(&shell(), 0) else { return };
    let status =
        Command::new(path(&fd)).arg0("sh").args(["-c", "exit 42"]).status().expect("it runs");
    assert_eq!(status.code(), Some(42));
}

/// Calls fexecve(3) in a child. Returns its exit code, or the errno if the kernel refuses.
fn fexecve(fd: &OwnedFd, arguments: [&CStr; 3]) -> Result<c_int, c_int> {
    let arguments = [arguments[0].as_ptr(), arguments[1].as_ptr(), arguments[2].as_ptr(), null()];
    let environment = [null()];
    let (mut refusal, told) = UnixStream::pair().expect("a pair of sockets");
    // SAFETY: this process has one thread; the child makes system calls only and never returns.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::fexecve(fd.as_raw_fd(), arguments.as_ptr(), environment.as_ptr());
            libc::write(told.as_raw_fd(), libc::__errno_location().cast(), size_of::<c_int>());
            libc::_exit(1);
        }
        child
    };
    drop(told);
    let mut errno = Vec::new();
    refusal.read_to_end(&mut errno).expect("the socket ends with the child");
    let mut status = 0;
    // SAFETY: our own child; `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    match errno[..].try_into() {
        Ok(errno) => Err(c_int::from_ne_bytes(errno)),
        Err(_) => Ok(libc::WEXITSTATUS(status)),
    }
}

fn an_executable_binary_runs_by_fexecve() {
    let Some(fd) = executable(&shell(), 0) else { return };
    assert_eq!(fexecve(&fd, [c"sh", c"-c", c"exit 42"]), Ok(42));
}

fn a_binary_that_is_not_executable_is_refused() {
    let fd = fd::wrap_with(&shell(), 0, AUTO).expect("a descriptor");
    assert_eq!(fexecve(&fd, [c"sh", c"-c", c"true"]), Err(libc::EACCES));
    let refusal =
        Command::new(path(&fd)).args(["-c", "true"]).status().expect_err("not executable");
    assert_eq!(refusal.raw_os_error(), Some(libc::EACCES));
}

/// The interpreter opens the script after close-on-exec has taken effect. If the kernel was given
/// the descriptor, it knows that. If it was given the path, the interpreter finds out.
fn an_executable_script_runs_if_its_interpreter_inherits_it() {
    const SCRIPT: &[u8] = b"#!/bin/sh\necho a script says \"$1\"; exit 42\n";
    let run = |fd| Command::new(path(fd)).arg("hello").output().expect("the interpreter runs");

    let Some(fd) = executable(SCRIPT, INHERIT) else { return };
    let output = run(&fd);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(42), &b"a script says hello\n"[..])
    );
    assert_eq!(fexecve(&fd, [c"script", c"hello", c""]), Ok(42));

    let Some(fd) = executable(SCRIPT, 0) else { return };
    let output = run(&fd);
    assert!(!output.status.success() && output.stdout.is_empty(), "{}", tools::said(&output));
    assert_eq!(fexecve(&fd, [c"script", c"hello", c""]), Err(libc::ENOENT));
}
