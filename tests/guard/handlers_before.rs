//! Handlers that a program installed before the first guarded map get every SIGBUS that does not
//! concern a guarded map, as if the guard were not there.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use super::disposition::*;
use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::map::map_with;

const BUS_ADRERR: c_int = 2;

pub fn where_nothing_was_done_a_fault_kills() {
    for what in [libc::SIG_DFL, libc::SIG_IGN] {
        let prepare = doing(what, 0, &[]);
        assert_eq!(after(prepare, || {}), End::Exited(0));
        assert_eq!(after(prepare, lose_a_page_that_is_not_guarded), End::Killed(libc::SIGBUS));
    }
    assert_eq!(after(doing(libc::SIG_DFL, 0, &[]), send), End::Killed(libc::SIGBUS));
    assert_eq!(after(doing(libc::SIG_IGN, 0, &[]), send), End::Exited(0), "ignored");
}

pub fn a_map_that_is_not_guarded_kills_as_ever() {
    let file = file(1);
    let map = map_with(&file, READ, 0).expect("mapped");
    file.as_file().set_len(0).expect("cut");
    let lose = || assert_eq!(byte(&map, 0), 0);
    assert_eq!(after(doing(libc::SIG_DFL, 0, &[]), lose), End::Killed(libc::SIGBUS));
}

pub fn a_handler_from_before_gets_what_is_not_guarded() {
    let twice = || {
        send();
        send();
        assert_eq!(CALLS.load(SeqCst), 2);
    };
    for flags in [0, libc::SA_RESTART, libc::SA_NODEFER, libc::SA_ONSTACK] {
        assert_eq!(after(doing(count as *const () as usize, flags, &[]), twice), End::Exited(0));
        let prepare = doing(exit as *const () as usize, flags, &[]);
        assert_eq!(after(prepare, || {}), End::Exited(0), "not for a guarded page");
        assert_eq!(after(prepare, lose_a_page_that_is_not_guarded), End::Exited(HANDLED));
    }
}

static CODE: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicPtr<u8> = AtomicPtr::new(null_mut());

extern "C" fn note(_: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives both; signals with this code have an address, the others a value.
    unsafe {
        assert!(!context.is_null());
        CODE.store((*info).si_code, SeqCst);
        if (*info).si_code == BUS_ADRERR {
            let is_right = (*info).si_addr().cast() == ADDRESS.load(SeqCst);
            libc::_exit(if is_right { HANDLED } else { 1 });
        }
        VALUE.store((*info).si_value().sival_ptr.addr(), SeqCst);
    }
}

pub fn a_handler_from_before_is_told_where_and_why() {
    let prepare = doing(note as *const () as usize, libc::SA_SIGINFO, &[]);
    let fault = || {
        let stranger = Stranger::anywhere();
        ADDRESS.store(stranger.address().wrapping_add(123), SeqCst);
        // SAFETY: what this finds out.
        unsafe { stranger.address().add(123).read_volatile() };
    };
    assert_eq!(after(prepare, fault), End::Exited(HANDLED));
    let queue = || {
        let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(0x1234_5678) };
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::sigqueue(libc::getpid(), libc::SIGBUS, value) }, 0);
        assert_eq!((CODE.load(SeqCst), VALUE.load(SeqCst)), (libc::SI_QUEUE, 0x1234_5678));
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGBUS) }, 0);
        assert_eq!(CODE.load(SeqCst), libc::SI_USER);
    };
    assert_eq!(after(prepare, queue), End::Exited(0));
}

pub fn a_handler_that_is_reset_runs_once() {
    let prepare = doing(count as *const () as usize, libc::SA_RESETHAND, &[]);
    let once = || {
        send();
        assert_eq!(CALLS.load(SeqCst), 1);
    };
    assert_eq!(after(prepare, once), End::Exited(0));
    let twice = || {
        send();
        send();
    };
    assert_eq!(after(prepare, twice), End::Killed(libc::SIGBUS));
    assert_eq!(after(prepare, lose_a_page_that_is_not_guarded), End::Killed(libc::SIGBUS));
}

extern "C" fn look_at_mask(_: c_int) {
    let seen = [libc::SIGBUS, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM].map(blocked);
    CALLS.store(seen.iter().fold(1, |bits, bit| bits << 1 | usize::from(*bit)), SeqCst);
}

/// As with the kernel: those that the handler asked for, its own, and those that the thread had
/// blocked.
pub fn a_handler_from_before_has_the_signals_blocked_that_it_asked_for() {
    let handler = look_at_mask as *const () as usize;
    let check = |expected: usize| {
        move || {
            send();
            assert_eq!(CALLS.load(SeqCst), expected);
            assert!(!blocked(libc::SIGBUS) && !blocked(libc::SIGUSR1), "as before");
        }
    };
    assert_eq!(after(doing(handler, 0, &[libc::SIGUSR1]), check(0b11100)), End::Exited(0));
    assert_eq!(after(doing(handler, libc::SA_NODEFER, &[]), check(0b10000)), End::Exited(0));
    let block = || {
        install(handler, 0, &[]);
        // SAFETY: a valid set.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, null_mut());
        }
    };
    assert_eq!(after(block, check(0b11001)), End::Exited(0));
}

/// Sanitizers and crash reporters do so: their own stack, a report, and then the default.
pub fn a_handler_that_reports_and_dies_does_so_only_for_what_is_not_guarded() {
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    let prepare = doing(report as *const () as usize, flags, &[]);
    assert_eq!(after(prepare, || {}), End::Exited(0));
    assert_eq!(after(prepare, lose_a_page_that_is_not_guarded), End::Killed(libc::SIGBUS));
}

/// With handlers as this program has them from Rust's runtime.
pub fn rusts_own_handlers_see_what_is_theirs() {
    assert_eq!(after(|| {}, lose_a_page_that_is_not_guarded), End::Killed(libc::SIGBUS));
    let wild = || {
        let nowhere: *const u8 = std::ptr::without_provenance(0x10);
        // SAFETY: what this finds out.
        unsafe { nowhere.read_volatile() };
    };
    assert_eq!(after(|| {}, wild), End::Killed(libc::SIGSEGV));
    #[expect(unconditional_recursion, reason = "to the end of the stack")]
    fn deeper(depth: usize) -> usize {
        std::hint::black_box([depth; 100])[depth % 100] + deeper(depth + 1)
    }
    let overflow = || {
        // The runtime's report is for nobody.
        // SAFETY: the child has no other use for it.
        unsafe { libc::close(2) };
        std::hint::black_box(deeper(0));
    };
    assert_eq!(
        after(|| {}, overflow),
        End::Killed(libc::SIGABRT),
        "the runtime says so and aborts"
    );
}
