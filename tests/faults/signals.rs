//! Plays signals that interrupt system calls, and a signal that kills.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

static ALARMS: AtomicUsize = AtomicUsize::new(0);

/// Runs `body` while a handler interrupts it each millisecond, without restarting system calls.
/// Passes it a function that returns the number of interruptions so far.
pub fn under_alarms<R>(body: impl FnOnce(&dyn Fn() -> usize) -> R) -> R {
    extern "C" fn on_alarm(_: c_int) {
        ALARMS.fetch_add(1, SeqCst);
    }
    handle(libc::SIGALRM, on_alarm as *const () as usize, 0);
    set_timer(1000);
    let result = body(&|| ALARMS.load(SeqCst));
    set_timer(0);
    result
}

/// Runs `body` while a handler with SA_RESTART runs each millisecond.
pub fn under_restarting_alarms<R>(body: impl FnOnce() -> R) -> R {
    extern "C" fn nothing(_: c_int) {}
    handle(libc::SIGALRM, nothing as *const () as usize, libc::SA_RESTART);
    set_timer(1000);
    let result = body();
    set_timer(0);
    result
}

fn set_timer(microseconds: libc::suseconds_t) {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: a valid struct.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) }, 0);
}

fn handle(signal: c_int, handler: usize, flags: c_int) {
    // SAFETY: all-zero is a valid struct; the handlers here do only what handlers may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

/// Makes the first pwrite(2) or pwritev(2) from now on the last thing that this process does.
pub fn die_when_writing() {
    extern "C" fn die(_: c_int) {
        // SAFETY: touches no memory.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    trap(&[libc::SYS_pwrite64, libc::SYS_pwritev], die as *const () as usize);
}

/// Turns calls of `numbers` into SIGSYS, whose handler decides what the call answers.
fn trap(numbers: &[c_long], handler: usize) {
    handle(libc::SIGSYS, handler, libc::SA_SIGINFO);
    let filter = SeccompFilter::new(
        numbers.iter().map(|number| (*number, vec![])).collect::<BTreeMap<_, _>>(),
        SeccompAction::Allow,
        SeccompAction::Trap,
        std::env::consts::ARCH.try_into().expect("x86_64 or aarch64"),
    );
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("seccomp");
}
