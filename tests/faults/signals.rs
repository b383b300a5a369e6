//! Signals that interrupt system calls, and system calls that are made to do less than they are asked.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

static ALARMS: AtomicUsize = AtomicUsize::new(0);

/// Runs `body` while a handler interrupts it each millisecond, with no restarting of system calls. `body` is given the
/// number of interruptions so far.
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

static TRAPPED: AtomicUsize = AtomicUsize::new(0);

/// From now on pwritev(2), by which several segments are written, is interrupted, or writes little of its first segment, by
/// turns. Returns how often it was called since.
pub fn write_little() -> impl Fn() -> usize {
    trap(&[libc::SYS_pwritev], on_little as *const () as usize);
    || TRAPPED.load(SeqCst)
}

/// From now on the first pwrite(2) or pwritev(2) is the last thing that this process does.
pub fn die_when_writing() {
    extern "C" fn die(_: c_int) {
        // SAFETY: touches no memory.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    trap(&[libc::SYS_pwrite64, libc::SYS_pwritev], die as *const () as usize);
}

/// Calls of `numbers` become a SIGSYS, whose handler decides what the call answers.
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

/// Answers of the kernel that a caller rarely sees, in their order; negative is an errno, positive a number of bytes.
const ANSWERS: [i64; 6] = [-(libc::EINTR as i64), 1, 4097, -(libc::EINTR as i64), 100, 70_001];

unsafe extern "C" fn on_little(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let turn = TRAPPED.fetch_add(1, SeqCst);
    let answer = ANSWERS[turn % ANSWERS.len()];
    // SAFETY: the kernel gives a ucontext_t; the arguments are those of pwritev. `pwrite` may be called in a handler;
    // errno must be as it was.
    unsafe {
        let [fd, segments, count, offset] = arguments(context);
        let segments = std::slice::from_raw_parts(segments as *const libc::iovec, count as usize);
        let Some(first) = segments.iter().find(|segment| segment.iov_len > 0).filter(|_| answer > 0) else {
            return set_answer(context, answer.min(0));
        };
        let before = *libc::__errno_location();
        let written = libc::pwrite(fd as c_int, first.iov_base, first.iov_len.min(answer as usize), offset);
        let errno = *libc::__errno_location();
        *libc::__errno_location() = before;
        set_answer(context, if written < 0 { -i64::from(errno) } else { written as i64 });
    }
}

/// # Safety
/// `context` is what the kernel gave to a handler.
#[cfg(target_arch = "x86_64")]
unsafe fn arguments(context: *const c_void) -> [i64; 4] {
    // SAFETY: the caller vouches for it.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10].map(|name| registers[name as usize])
}

/// # Safety
/// As [`arguments`].
#[cfg(target_arch = "x86_64")]
unsafe fn set_answer(context: *mut c_void, value: i64) {
    // SAFETY: the caller vouches for it.
    unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RAX as usize] = value };
}

/// # Safety
/// `context` is what the kernel gave to a handler.
#[cfg(target_arch = "aarch64")]
unsafe fn arguments(context: *const c_void) -> [i64; 4] {
    // SAFETY: the caller vouches for it.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.regs };
    [0, 1, 2, 3].map(|index| registers[index] as i64)
}

/// # Safety
/// As [`arguments`].
#[cfg(target_arch = "aarch64")]
unsafe fn set_answer(context: *mut c_void, value: i64) {
    // SAFETY: the caller vouches for it.
    unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.regs[0] = value as u64 };
}
