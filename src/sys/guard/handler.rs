//! The handler for SIGBUS, and the one before it.

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

use super::slot::find;
use crate::sys::call::{Result, check};
use crate::sys::copy;

/// What was done about SIGBUS before us; null for the default.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(null_mut());

/// Installs the handler unless that is done. It is done once: if the program installs another one that calls ours,
/// installing ours again would make them call each other for ever.
pub(super) fn handle() -> Result<()> {
    static HANDLED: AtomicBool = AtomicBool::new(false);
    if HANDLED.load(SeqCst) {
        return Ok(());
    }
    // Threads that come here at the same time do the same, none waits for another.
    let current = action(null())?;
    let mut ours = current;
    ours.sa_sigaction = on_fault as *const () as usize;
    // System calls that the signal interrupts go on if they would without us.
    let restarts = current.sa_sigaction == libc::SIG_IGN || current.sa_flags & libc::SA_RESTART != 0;
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | if restarts { libc::SA_RESTART } else { 0 };
    // A handler that interrupts ours and meets a lost page would end the process, because SIGBUS is blocked.
    // SAFETY: a writable set.
    unsafe { libc::sigfillset(&mut ours.sa_mask) };

    // Before the handler can run, and again if somebody has changed it meanwhile.
    remember(&current);
    let replaced = action(&ours)?;
    if replaced.sa_sigaction != current.sa_sigaction {
        remember(&replaced);
    }
    HANDLED.store(true, SeqCst);
    Ok(())
}

/// Whether a SIGBUS of this thread would come to the handler now: the program has put no other in its place, and the thread does
/// not block it.
pub(super) fn is_in_place() -> bool {
    // SAFETY: all-zero is a valid set, and writable.
    let is_blocked = unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, null(), &mut mask) != 0 || libc::sigismember(&mask, libc::SIGBUS) != 0
    };
    !is_blocked && action(null()).is_ok_and(|current| is_ours(&current))
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == on_fault as *const () as usize
}

fn remember(action: &libc::sigaction) {
    if !is_ours(action) {
        PREVIOUS.store(Box::into_raw(Box::new(*action)), SeqCst);
    }
}

/// sigaction(2) for SIGBUS: sets, unless null, and returns what was.
fn action(new: *const libc::sigaction) -> Result<libc::sigaction> {
    // SAFETY: all-zero is a valid struct.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: null or valid, and writable; the handler does only what handlers may.
    check(unsafe { libc::sigaction(libc::SIGBUS, new, &mut old) })?;
    Ok(old)
}

// Of BUS_*, sigaction(2); not in the libc crate for every C library.
const BUS_ADRERR: c_int = 2;
const BUS_OBJERR: c_int = 3;
const BUS_MCEERR_AO: c_int = 5;

unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a siginfo_t and a ucontext_t; errno is this thread's.
    unsafe {
        let errno = *libc::__errno_location();
        if !is_survived(&*info, context) {
            pass_on(signal, info, context);
        }
        *libc::__errno_location() = errno;
    }
}

/// # Safety
/// `context` is the ucontext_t of the signal.
unsafe fn is_survived(info: &libc::siginfo_t, context: *mut c_void) -> bool {
    // Broken hardware (BUS_MCEERR_*) is not for us to hide.
    if !matches!(info.si_code, BUS_ADRERR | BUS_OBJERR) {
        return false;
    }
    // What is copied into a guarded range may be lost itself, wherever it lies.
    // SAFETY: the caller vouches for it.
    if unsafe { copy::stop(context) } {
        return true;
    }
    // SAFETY: signals with these codes have an address.
    let address = unsafe { info.si_addr() }.addr();
    find(address).is_some_and(|(slot, range)| slot.replace(&range, address))
}

/// What would have happened without us.
///
/// # Safety
/// The arguments are those of the handler.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let previous = PREVIOUS.load(SeqCst);
    // SAFETY: null or leaked by `remember`.
    let Some(action) = (unsafe { previous.as_ref() }) else {
        // SAFETY: the caller's.
        return unsafe { die(info) };
    };
    match action.sa_sigaction {
        // SAFETY: the caller's.
        libc::SIG_IGN if is_sent(unsafe { (*info).si_code }) => return,
        // SAFETY: the caller's.
        libc::SIG_DFL | libc::SIG_IGN => return unsafe { die(info) },
        _ => {}
    }
    static IS_RESET: AtomicBool = AtomicBool::new(false);
    if action.sa_flags & libc::SA_RESETHAND != 0 && IS_RESET.swap(true, SeqCst) {
        // It has become the default.
        // SAFETY: the caller's.
        return unsafe { die(info) };
    }
    // SAFETY: the action was installed for this signal, so it is a function of one of these kinds. It is called with the signals
    // blocked that it asked for; those that are blocked now come back when the kernel takes over again.
    unsafe {
        let own = if action.sa_flags & libc::SA_NODEFER == 0 { 1 << (signal - 1) } else { 0 };
        let interrupted = &raw const (*context.cast::<libc::ucontext_t>()).uc_sigmask;
        set_mask(first_word(interrupted) | first_word(&action.sa_mask) | own);
        if action.sa_flags & libc::SA_SIGINFO != 0 {
            type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            std::mem::transmute::<usize, Handler>(action.sa_sigaction)(signal, info, context);
        } else {
            std::mem::transmute::<usize, unsafe extern "C" fn(c_int)>(action.sa_sigaction)(signal);
        }
    }
}

/// All that the kernel knows of a set: in a ucontext_t it has no more, whatever the C library declares.
///
/// # Safety
/// `set` can be read that far.
unsafe fn first_word(set: *const libc::sigset_t) -> u64 {
    // SAFETY: the caller vouches for it.
    unsafe { set.cast::<u64>().read_unaligned() }
}

fn set_mask(signals: u64) {
    // SAFETY: all-zero is a valid set, and longer than a word; pthread_sigmask may be called in a handler.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        (&raw mut set).cast::<u64>().write_unaligned(signals);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, null_mut());
    }
}

/// Lets the default happen, as soon as the handler has returned: a fault happens again, and a signal that was sent is sent again.
///
/// # Safety
/// `info` is that of the signal.
unsafe fn die(info: *mut libc::siginfo_t) {
    // SAFETY: all-zero is a valid struct, SIG_DFL with no flags; the caller vouches for `info`; the calls may be made in a
    // handler.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, &default, null_mut());
        if is_sent((*info).si_code) {
            let (process, thread) = (libc::getpid(), libc::syscall(libc::SYS_gettid));
            // With all that was known about it, if that is allowed.
            if libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, libc::SIGBUS, info) != 0 {
                libc::raise(libc::SIGBUS);
            }
        }
    }
}

/// Whether it was sent, by a process or by the kernel, and is no fault of this thread. Faults cannot be ignored.
fn is_sent(code: c_int) -> bool {
    code <= 0 || code == BUS_MCEERR_AO
}
