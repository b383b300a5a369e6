//! Stops a child at each of its system calls, so that something else can happen at exactly that
//! moment.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::ptr::{null_mut, without_provenance_mut};

use super::conditions::skip;
use crate::support::hosts::CANNOT_BE_PLAYED;

/// A system call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub number: c_long,
    pub arguments: [u64; 6],
}

/// The moment at which the child is stopped.
pub enum Stop {
    /// The child has made the call, and the kernel has done nothing yet.
    Before(Call),
    /// The kernel has answered; negative is an errno.
    After(Call, i64),
}

/// Runs `body` in a child, and calls `at` at each stop. `body` panics if something does not hold.
/// For tests that run alone.
pub fn in_traced_child(body: impl FnOnce(), mut at: impl FnMut(Stop)) {
    // SAFETY: this process has one thread, so the child may do what it likes.
    let child = match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => be_traced(body),
        child => child,
    };
    let stopped = wait(child);
    if libc::WIFEXITED(stopped) {
        assert_eq!(libc::WEXITSTATUS(stopped), CANNOT_BE_PLAYED);
        skip("no process may trace another here");
    }
    // If this process ends early, the child does too.
    request(
        libc::PTRACE_SETOPTIONS,
        child,
        0,
        (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL) as usize,
    );
    let (mut asked, mut signal) = (None, 0);
    loop {
        request(libc::PTRACE_SYSCALL, child, 0, signal as usize);
        let status = wait(child);
        if !libc::WIFSTOPPED(status) {
            return assert_eq!(status, 0, "the child failed");
        }
        signal = libc::WSTOPSIG(status);
        if signal != libc::SIGTRAP | 0x80 {
            continue;
        }
        signal = 0;
        match look(child, asked) {
            Stop::Before(call) => {
                asked = Some(call);
                at(Stop::Before(call));
            }
            after => at(after),
        }
    }
}

fn be_traced(body: impl FnOnce()) -> ! {
    // SAFETY: touches no memory.
    unsafe {
        if libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<c_void>(), null_mut::<c_void>()) == -1 {
            libc::_exit(CANNOT_BE_PLAYED);
        }
        libc::raise(libc::SIGSTOP);
    }
    crate::pool::leave(body)
}

pub fn wait(child: c_int) -> c_int {
    let mut status = 0;
    // SAFETY: a child of ours, and a writable status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

/// Calls ptrace(2) with numbers only.
pub fn request(request: c_uint, child: c_int, address: usize, data: usize) {
    let (address, data) =
        (without_provenance_mut::<c_void>(address), without_provenance_mut::<c_void>(data));
    // SAFETY: touches no memory of this process.
    let status = unsafe { libc::ptrace(request, child, address, data) };
    assert_eq!(status, 0, "ptrace {request:#x}: {}", std::io::Error::last_os_error());
}

/// Returns where the child is stopped, by PTRACE_GET_SYSCALL_INFO, Linux 5.3. The child's registers
/// contain the call only until it is answered.
pub fn look(child: c_int, asked: Option<Call>) -> Stop {
    // SAFETY: all-zero is a valid struct; the kernel writes no more than its size, and says which
    // member it wrote.
    unsafe {
        let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
        let size = without_provenance_mut::<c_void>(size_of_val(&info));
        if libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, child, size, &raw mut info) <= 0 {
            skip(format_args!("PTRACE_GET_SYSCALL_INFO: {}", std::io::Error::last_os_error()));
        }
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => Stop::Before(Call {
                number: info.u.entry.nr as c_long,
                arguments: info.u.entry.args,
            }),
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                Stop::After(asked.expect("asked before answered"), info.u.exit.sval)
            }
            other => panic!("a stop of kind {other}"),
        }
    }
}
