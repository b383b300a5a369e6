//! The handlers that were in place before ours, and what happens to faults that ours does not
//! handle.
//!
//! The chain goes from the newest of the other handlers to the one before it, and so on down to the
//! default. A handler that was installed after ours can pass a fault on to ours, which is in front
//! of it by now. The two would call each other without end. So the siginfo_t that is passed on says
//! which handler comes next when ours is called with it. It says so in the part that the kernel
//! leaves zero.
//!
//! Several copies of the library in one process each know a part of the chain. A copy that has
//! nothing left to call says so in the siginfo_t, and the copy that called it goes on. They call
//! each other on one signal stack, for which a program with several copies provides room,
//! sigaltstack(2).
//!
//! A handler that resets the signal and returns, as Rust's own does, wants the default action. Ours
//! is then installed again, in front of the default.

use std::ffi::{c_int, c_void};
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};

use crate::sys::call::{Result, check};

/// A handler of the program that ours was put in front of. It is never freed, because another
/// thread may be running it.
struct Link {
    action: libc::sigaction,
    /// The handler that ours was in front of until then.
    before: *mut Link,
    /// Whether the handler has been called and has SA_RESETHAND.
    is_spent: AtomicBool,
}

/// What ours is in front of: a link, [`DEFAULT`] or [`IGNORED`]; [`END`] before the first
/// installation.
static PREVIOUS: AtomicPtr<Link> = AtomicPtr::new(END);

const DEFAULT: *mut Link = without_provenance_mut(libc::SIG_DFL);
const IGNORED: *mut Link = without_provenance_mut(libc::SIG_IGN);
/// The end of the chain, behind its oldest handler. That handler itself knows what was before it.
const END: *mut Link = without_provenance_mut(2);

/// Sets the action for SIGBUS unless `new` is null, and returns the one before, sigaction(2).
pub(super) fn action(new: *const libc::sigaction) -> Result<libc::sigaction> {
    // SAFETY: all-zero is a valid struct.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `new` is null or valid, and `old` is writable. Our handler does only what handlers
    // may.
    check(unsafe { libc::sigaction(libc::SIGBUS, new, &mut old) })?;
    Ok(old)
}

pub(super) fn is_none(action: &libc::sigaction) -> bool {
    matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

/// Notes `current`, which is not ours, as the action that ours is in front of. Allocates nothing
/// for SIG_DFL and SIG_IGN.
pub(super) fn remember(current: &libc::sigaction) {
    let newest = PREVIOUS.load(SeqCst);
    let link = match current.sa_sigaction {
        libc::SIG_DFL => DEFAULT,
        libc::SIG_IGN => IGNORED,
        _ if link(newest)
            .is_some_and(|link| is_same(&link.action, current) && !link.is_spent.load(SeqCst)) =>
        {
            newest
        }
        handler => Link::leaked(current, without(newest, handler), false),
    };
    PREVIOUS.store(link, SeqCst);
}

impl Link {
    fn leaked(action: &libc::sigaction, before: *mut Link, is_spent: bool) -> *mut Link {
        Box::into_raw(Box::new(Link {
            action: *action,
            before,
            is_spent: AtomicBool::new(is_spent),
        }))
    }
}

/// Returns the chain without this handler, which is about to be installed anew.
fn without(chain: *mut Link, handler: libc::sighandler_t) -> *mut Link {
    let mut newer = Vec::new();
    let mut at = chain;
    while let Some(link) = link(at) {
        if link.action.sa_sigaction == handler {
            let copied = newer.iter().rev();
            return copied.fold(link.before, |before, newer: &&Link| {
                Link::leaked(&newer.action, before, newer.is_spent.load(SeqCst))
            });
        }
        newer.push(link);
        at = link.before;
    }
    chain
}

fn link(link: *mut Link) -> Option<&'static Link> {
    // SAFETY: `remember` or `without` leaked the link, so it is never freed.
    if [DEFAULT, IGNORED, END].contains(&link) { None } else { Some(unsafe { &*link }) }
}

fn is_same(one: &libc::sigaction, other: &libc::sigaction) -> bool {
    // SAFETY: sets are longer than a word.
    let masks = [one, other].map(|action| unsafe { first_word(&action.sa_mask) });
    (one.sa_sigaction, one.sa_flags, masks[0]) == (other.sa_sigaction, other.sa_flags, masks[1])
}

/// Does what would have happened without our handler. Returns whether other handlers were called.
///
/// A handler that was installed after ours may call ours with what it does not handle. Then ours
/// calls the next handler of the chain, which it finds in the siginfo_t that it has passed on. If
/// there is none, and another copy of this library has called, that copy goes on with its own
/// chain.
///
/// # Safety
/// The arguments are those of the handler.
pub(super) unsafe fn pass_on(
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) -> bool {
    // SAFETY: the kernel, or the handler that passes on, gives a complete siginfo_t. No other code
    // uses it.
    let info = unsafe { &mut *info };
    let mut next = next_after(info).unwrap_or_else(|| PREVIOUS.load(SeqCst));
    let mut is_called = false;
    while let Some(Link { action, before, is_spent }) = link(next) {
        let mut passed = *info;
        let is_reset = action.sa_flags & libc::SA_RESETHAND != 0 && is_spent.swap(true, SeqCst);
        if is_reset || !set_next(&mut passed, *before) {
            next = DEFAULT;
            break;
        }
        // SAFETY: the caller guarantees the arguments; the action was installed for this signal.
        unsafe { call(action, signal, &mut passed, context) };
        is_called = true;
        if !is_at_end(&passed) {
            return true;
        }
        next = *before;
    }
    if next == END && is_passed_on(info) {
        set_at_end(info);
    } else if next != IGNORED || !is_sent(info.si_code) {
        // SAFETY: the caller guarantees that `info` is that of the signal.
        unsafe { die(info) };
    }
    is_called
}

/// Calls a handler in the way that the kernel does.
///
/// # Safety
/// The arguments are those of the handler. Its action was installed for this signal, so it is a
/// function of one of two kinds.
unsafe fn call(
    action: &libc::sigaction,
    signal: c_int,
    info: &mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the caller guarantees the arguments. The mask is what the action asks for; the kernel
    // restores the mask from before when the handler returns.
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

/// Number of words of a siginfo_t that the kernel fills. It clears the rest (Linux 4.20), where
/// this library stores its own: first whether a chain is at its end, then pairs. A pair is the mark
/// of a copy of this library, and what comes next for that copy.
const FILLED: usize = 48 / size_of::<usize>();

/// The value is the same in every copy of this library.
const AT_END: usize = u64::from_ne_bytes(*b"bytefd.$") as usize;

type Words = [usize; size_of::<libc::siginfo_t>() / size_of::<usize>()];

fn words(info: &mut libc::siginfo_t) -> &mut [usize] {
    // SAFETY: both types have the same size and alignment, and any bytes are valid words.
    let all = unsafe { &mut *(&raw mut *info).cast::<Words>() };
    &mut all[FILLED..]
}

/// Returns the mark of this copy of the library.
fn mark() -> usize {
    (&raw const PREVIOUS).addr()
}

/// Returns what comes next, if this siginfo_t has come from `pass_on`.
fn next_after(info: &mut libc::siginfo_t) -> Option<*mut Link> {
    let pair = words(info)[1..].chunks_exact(2).find(|pair| pair[0] == mark())?;
    Some(std::ptr::with_exposed_provenance_mut(pair[1]))
}

/// Returns whether this siginfo_t has come from `pass_on` of any copy of this library.
fn is_passed_on(info: &mut libc::siginfo_t) -> bool {
    words(info)[1] != 0
}

/// Stores what comes next. Returns false if there is no room for it, after four copies of this
/// library.
fn set_next(info: &mut libc::siginfo_t, next: *mut Link) -> bool {
    let pair = words(info)[1..].chunks_exact_mut(2).find(|pair| [0, mark()].contains(&pair[0]));
    pair.map(|pair| pair.copy_from_slice(&[mark(), next.expose_provenance()])).is_some()
}

fn is_at_end(info: &libc::siginfo_t) -> bool {
    words(&mut { *info })[0] == AT_END
}

fn set_at_end(info: &mut libc::siginfo_t) {
    words(info)[0] = AT_END;
}

/// Returns the signals of a set. The kernel knows the first word only, and a ucontext_t holds no
/// more, even if the C library declares a larger set.
///
/// # Safety
/// A word can be read at `set`.
unsafe fn first_word(set: *const libc::sigset_t) -> u64 {
    // SAFETY: the caller guarantees that the word can be read.
    unsafe { set.cast::<u64>().read_unaligned() }
}

fn set_mask(signals: u64) {
    // SAFETY: all-zero is a valid set, and longer than a word; pthread_sigmask may be called in a
    // handler.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        (&raw mut set).cast::<u64>().write_unaligned(signals);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, null_mut());
    }
}

/// Makes the default action happen as soon as the handler has returned. A fault then happens again.
/// A signal that was sent is sent again here.
///
/// # Safety
/// `info` is that of the signal.
unsafe fn die(info: *mut libc::siginfo_t) {
    // SAFETY: all-zero is a valid struct, SIG_DFL with no flags. The caller guarantees `info`. The
    // calls may be made in a handler.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, &default, null_mut());
        if is_sent((*info).si_code) {
            let (process, thread) = (libc::getpid(), libc::syscall(libc::SYS_gettid));
            // Sends it with all of its information, if that is allowed.
            if libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, libc::SIGBUS, info) != 0
            {
                libc::raise(libc::SIGBUS);
            }
        }
    }
}

// From BUS_*, sigaction(2); the libc crate does not have it for every C library.
const BUS_MCEERR_AO: c_int = 5;

/// Returns whether a process or the kernel sent the signal, so that it is no fault of this thread.
/// Faults cannot be ignored.
fn is_sent(code: c_int) -> bool {
    code <= 0 || code == BUS_MCEERR_AO
}
