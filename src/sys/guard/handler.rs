//! The handler for SIGBUS.
//!
//! The kernel tells no library that a program changes the disposition of SIGBUS. So the library
//! reads it before it copies from or to a guarded map (`is_in_place`), and after the handler has
//! called another one (`put_back`). It also reads it when a guarded map is made:
//! - SIG_DFL or SIG_IGN: the library pins the object (`pin`), notes what was there, and installs
//!   the handler.
//! - Ours: the library does nothing.
//! - Another handler: the same as for SIG_DFL. Ours is in front then.
//! - Not ours, three times in a row: the map fails with EBUSY.

use std::ffi::{c_int, c_void};
use std::ptr::null;

use super::chain::{action, is_none, pass_on, remember};
use super::pin::pin;
use super::slot::find;
use crate::error::Errno;
use crate::sys::call::Result;
use crate::sys::copy;

/// Puts the handler in front of the present action for SIGBUS, unless it is there already. EBUSY if
/// it does not stay there, ELIBACC if the code might be unloaded.
pub(super) fn handle() -> Result<()> {
    // Another thread may install a handler of its own meanwhile.
    for _ in 0..3 {
        let current = action(null())?;
        if is_ours(&current) {
            return Ok(());
        }
        pin(address())?;
        install(&current)?;
    }
    Err(Errno(libc::EBUSY))
}

/// Puts the handler in front of `current`.
fn install(current: &libc::sigaction) -> Result<()> {
    let mut ours = *current;
    ours.sa_sigaction = address();
    // System calls that the signal interrupts are restarted if they would be without our handler.
    let restarts =
        current.sa_sigaction == libc::SIG_IGN || current.sa_flags & libc::SA_RESTART != 0;
    ours.sa_flags =
        libc::SA_SIGINFO | libc::SA_ONSTACK | if restarts { libc::SA_RESTART } else { 0 };
    // SAFETY: the set is writable.
    unsafe { libc::sigfillset(&mut ours.sa_mask) };

    // The action must be noted before the handler can run, and again if another thread has changed
    // it.
    remember(current);
    let replaced = action(&ours)?;
    if replaced.sa_sigaction != current.sa_sigaction && !is_ours(&replaced) {
        remember(&replaced);
    }
    Ok(())
}

/// Returns whether a SIGBUS of this thread would reach the handler now. It would if the program has
/// put no other handler in its place, and the thread does not block the signal.
pub(super) fn is_in_place() -> bool {
    // SAFETY: all-zero is a valid set, and writable.
    let is_blocked = unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, null(), &mut mask) != 0
            || libc::sigismember(&mask, libc::SIGBUS) != 0
    };
    !is_blocked && action(null()).is_ok_and(|current| is_ours(&current))
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == address()
}

fn address() -> usize {
    on_fault as *const () as usize
}

// From BUS_*, sigaction(2); the libc crate does not have them for every C library.
const BUS_ADRERR: c_int = 2;
const BUS_OBJERR: c_int = 3;

unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a siginfo_t and a ucontext_t; errno is this thread's.
    unsafe {
        let errno = *libc::__errno_location();
        if !is_survived(&*info, context) && pass_on(signal, info, context) {
            put_back();
        }
        *libc::__errno_location() = errno;
    }
}

/// Installs the handler again after another handler has reset the signal, as Rust's own does. That
/// handler wants the fault to happen again and end the process, which it does with ours in front of
/// the default. If the signal was no fault, guarded maps are still guarded.
fn put_back() {
    if let Some(current) = action(null()).ok().filter(is_none) {
        let _ = install(&current);
    }
}

/// Returns whether the access can go on: the page was replaced, or the copy was ended.
///
/// # Safety
/// `context` is the ucontext_t of the signal.
unsafe fn is_survived(info: &libc::siginfo_t, context: *mut c_void) -> bool {
    // Broken hardware (BUS_MCEERR_*) must not be hidden.
    if !matches!(info.si_code, BUS_ADRERR | BUS_OBJERR) {
        return false;
    }
    // A copy into a guarded range may have lost its source, wherever that lies.
    // SAFETY: the caller guarantees that `context` is that of the signal.
    if unsafe { copy::stop(context) } {
        return true;
    }
    // SAFETY: signals with these codes have an address.
    let address = unsafe { info.si_addr() }.addr();
    find(address).is_some_and(|slot| slot.replace(address))
}
