//! What a program has done about SIGBUS before the first guarded map. Each way is tried in a child
//! process. The parent has no guarded map, so the guard's handler is installed in the child.

use std::ffi::{c_int, c_void};
use std::ptr::null;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::map::{Map, page_size};

/// What a handler ends the process with, to show that it ran.
pub const HANDLED: c_int = 42;

/// A guarded map whose last page is lost, and that has survived this.
pub fn survived() -> Map {
    let page = page_size();
    let file = file(2);
    let map = guarded(&file, WRITE);
    file.as_file().set_len(page as u64).expect("cut");
    assert!(byte(&map, page) == 0 && is_lost(&map));
    map
}

/// Runs in a child with this done about SIGBUS before the first guarded map.
pub fn after(before: impl FnOnce(), body: impl FnOnce()) -> End {
    in_child(|| {
        before();
        let map = survived();
        body();
        drop(map);
        // Still guarded, whatever the handler before has done.
        drop(survived());
        0
    })
}

pub fn install(handler: usize, flags: c_int, masked: &[c_int]) -> libc::sigaction {
    // SAFETY: all-zero is a valid struct; the handlers here do only what handlers may.
    unsafe {
        let [mut action, mut old]: [libc::sigaction; 2] = std::mem::zeroed();
        (action.sa_sigaction, action.sa_flags) = (handler, flags);
        masked
            .iter()
            .for_each(|signal| assert_eq!(libc::sigaddset(&mut action.sa_mask, *signal), 0));
        assert_eq!(libc::sigaction(libc::SIGBUS, &action, &mut old), 0);
        old
    }
}

/// Installs that when called.
pub fn doing(handler: usize, flags: c_int, masked: &'static [c_int]) -> impl FnOnce() + Copy {
    move || {
        install(handler, flags, masked);
    }
}

pub fn send() {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0);
}

pub fn lose_a_page_that_is_not_guarded() {
    Stranger::anywhere().touch();
}

pub fn blocked(signal: c_int) -> bool {
    // SAFETY: all-zero is a valid set, which is written.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, null(), &mut set);
        libc::sigismember(&set, signal) == 1
    }
}

pub static CALLS: AtomicUsize = AtomicUsize::new(0);

pub extern "C" fn count(signal: c_int) {
    assert_eq!(signal, libc::SIGBUS);
    CALLS.fetch_add(1, SeqCst);
}

pub extern "C" fn exit(_: c_int) {
    // SAFETY: may be called in a handler.
    unsafe { libc::_exit(HANDLED) };
}

pub extern "C" fn report(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: both may be called in a handler.
    unsafe {
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
        libc::raise(libc::SIGBUS);
    }
}
