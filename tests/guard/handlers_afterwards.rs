//! Handlers that a program installs after the first guarded map: each is called once, and the guard
//! is in front again at the next map.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use super::disposition::*;
use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::hosts;
use crate::support::map::{map_with, page_size};

/// What was installed before each handler of the test's that passes on.
static BEFORE: [AtomicPtr<libc::sigaction>; 2] = [const { AtomicPtr::new(null_mut()) }; 2];

extern "C" fn pass_on<const N: usize>(
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    CALLS.fetch_add(1, SeqCst);
    // SAFETY: set before this handler can run; it has SA_SIGINFO.
    unsafe {
        let handler = (*BEFORE[N].load(SeqCst)).sa_sigaction;
        std::mem::transmute::<usize, extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void)>(
            handler,
        )(signal, info, context);
    }
}

/// Installs a `pass_on` in front of what is in place.
fn install_in_front<const N: usize>() {
    let before = Box::new(install(libc::SIG_DFL, 0, &[]));
    assert_ne!(before.sa_flags & libc::SA_SIGINFO, 0);
    BEFORE[N].store(Box::into_raw(before), SeqCst);
    install(pass_on::<N> as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK, &[]);
}

pub fn a_handler_from_afterwards_that_passes_on_changes_nothing() {
    let lose = || {
        let file = file(2);
        let map = guarded(&file, WRITE);
        install_in_front::<0>();
        file.as_file().set_len(0).expect("cut");
        assert!(byte(&map, 0) == 0 && is_lost(&map));
        assert_eq!(CALLS.load(SeqCst), 1);
        // The next map puts the guard in front again.
        drop(survived());
        assert_eq!(CALLS.load(SeqCst), 1);
    };
    let killed = || {
        install_in_front::<0>();
        lose_a_page_that_is_not_guarded();
    };
    let handled = |before: extern "C" fn(c_int)| doing(before as *const () as usize, 0, &[]);
    assert_eq!(after(doing(libc::SIG_DFL, 0, &[]), lose), End::Exited(0));
    assert_eq!(after(doing(libc::SIG_DFL, 0, &[]), killed), End::Killed(libc::SIGBUS));
    assert_eq!(after(handled(exit), killed), End::Exited(HANDLED));
}

/// Whatever the program has done about the signal since, and each time.
pub fn the_guard_is_back_in_place_at_the_next_map() {
    let page = page_size();
    for (since, then) in [
        (libc::SIG_DFL, End::Killed(libc::SIGBUS)),
        (libc::SIG_IGN, End::Killed(libc::SIGBUS)),
        (exit as *const () as usize, End::Exited(HANDLED)),
        (report as *const () as usize, End::Killed(libc::SIGBUS)),
    ] {
        let again = || {
            let file = file(3);
            let older = guarded(&file, WRITE);
            for _ in 0..3 {
                install(since, libc::SA_SIGINFO | libc::SA_NODEFER, &[]);
                drop(survived());
            }
            file.as_file().set_len(0).expect("cut");
            assert!(byte(&older, page) == 0 && is_lost(&older));
        };
        let lost = || {
            again();
            lose_a_page_that_is_not_guarded();
        };
        assert_eq!(after(doing(count as *const () as usize, 0, &[]), again), End::Exited(0));
        assert_eq!(after(doing(count as *const () as usize, 0, &[]), lost), then);
    }
}

/// Ours in front of theirs, which pass on to ours: each of them and what was there before is called
/// once, in whatever order they were installed again.
pub fn handlers_that_pass_on_to_each_other_come_to_an_end() {
    for sequence in 0..16usize {
        let installed = || {
            for place in 0..4 {
                [install_in_front::<0>, install_in_front::<1>][sequence >> place & 1]();
                drop(survived());
            }
        };
        let lost = || {
            installed();
            lose_a_page_that_is_not_guarded();
        };
        let sent = || {
            installed();
            send();
            assert_eq!(CALLS.load(SeqCst), if [0, 15].contains(&sequence) { 1 } else { 2 });
        };
        // In front of ours, theirs is called by the kernel and by ours.
        let in_front = || {
            installed();
            install_in_front::<0>();
            send();
            assert!(CALLS.load(SeqCst) <= 3);
        };
        let ignored = doing(libc::SIG_IGN, 0, &[]);
        assert_eq!(after(ignored, sent), End::Exited(0), "sequence {sequence}");
        assert_eq!(after(ignored, in_front), End::Exited(0), "sequence {sequence}");
        assert_eq!(after(ignored, lost), End::Killed(libc::SIGBUS), "sequence {sequence}");
        assert_eq!(after(doing(exit as *const () as usize, 0, &[]), lost), End::Exited(HANDLED));
    }
}

/// Three copies of the library, each with a guard, as in plugins that were linked with the archive.
/// Whichever makes a map, and is in front then, what was there before all of them is called once.
pub fn copies_of_the_library_pass_on_to_each_other_and_come_to_an_end() {
    type MapFile = unsafe extern "C" fn(
        *const c_char,
        *const MapOptions,
        *mut *mut c_void,
        *mut Error,
    ) -> c_int;
    const COPIES: usize = 3;
    const MAPS: u32 = 5;
    let folder = tempfile::tempdir().expect("a folder");
    let copies = std::array::from_fn::<_, COPIES, _>(|number| {
        let copy = folder.path().join(format!("{number}.so"));
        std::fs::copy(library_path(), &copy).expect("copied");
        // SAFETY: the library has no initialisers; it stays.
        unsafe { libloading::Library::new(&copy) }.expect("a copy")
    });
    let file = file(1);
    let path = CString::new(file.path().as_os_str().as_bytes()).expect("no NUL");
    let options = MapOptions { access: WRITE, flags: GUARD, ..MapOptions::default() };
    let maps_of = |sequence: usize| {
        for place in 0..MAPS {
            let mut map = null_mut();
            // SAFETY: the type is that of the header.
            unsafe {
                let library = &copies[sequence / COPIES.pow(place) % COPIES];
                let map_file = library.get::<MapFile>(b"map_file").expect("exported");
                assert_eq!(map_file(path.as_ptr(), &options, &mut map, null_mut()), 0);
            }
        }
    };
    for sequence in 0..COPIES.pow(MAPS) {
        let end = |before: usize, then: fn()| {
            in_child(|| {
                // Of the 8 KiB that Rust gives a thread before Linux 5.14, the kernel takes up to
                // half for the registers.
                enlarge_signal_stack();
                install(before, 0, &[]);
                maps_of(sequence);
                then();
                0
            })
        };
        let sent = || {
            send();
            assert_eq!(CALLS.load(SeqCst), 1);
        };
        assert_eq!(end(count as *const () as usize, sent), End::Exited(0), "sequence {sequence}");
        assert_eq!(end(libc::SIG_IGN, send), End::Exited(0), "sequence {sequence}");
        assert_eq!(end(libc::SIG_DFL, send), End::Killed(libc::SIGBUS), "sequence {sequence}");
        assert_eq!(end(libc::SIG_DFL, lose_a_page_that_is_not_guarded), End::Killed(libc::SIGBUS));
        assert_eq!(
            end(exit as *const () as usize, lose_a_page_that_is_not_guarded),
            End::Exited(HANDLED)
        );
    }
    std::mem::forget(copies);
}

/// An alternate signal stack with room for many handlers that call each other, sigaltstack(2).
fn enlarge_signal_stack() {
    const SIZE: usize = 64 << 10;
    let memory = Box::leak(vec![0u8; SIZE].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIZE };
    // SAFETY: memory that stays.
    assert_eq!(unsafe { libc::sigaltstack(&stack, null_mut()) }, 0);
}

extern "C" fn reset(_: c_int) {
    CALLS.fetch_add(1, SeqCst);
    // SAFETY: may be called in a handler.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

/// Rust's own handler does so: the fault is to happen again. Where the signal was sent, nothing
/// happens, and maps stay guarded.
pub fn a_handler_that_resets_the_signal_ends_no_guard() {
    let page = page_size();
    for prepare in [Some(reset as *const () as usize), None] {
        let prepare = move || {
            if let Some(handler) = prepare {
                install(handler, 0, &[]);
            }
        };
        let lose = || {
            let file = file(2);
            let map = guarded(&file, WRITE);
            send();
            file.as_file().set_len(0).expect("cut");
            assert!(byte(&map, page) == 0 && is_lost(&map));
        };
        let twice = || {
            send();
            send();
        };
        assert_eq!(after(prepare, lose), End::Exited(0));
        assert_eq!(after(prepare, twice), End::Killed(libc::SIGBUS));
        assert_eq!(after(prepare, lose_a_page_that_is_not_guarded), End::Killed(libc::SIGBUS));
    }
}

/// Also where sigaction(2) does nothing and says so to nobody, as under a sanitizer that keeps the
/// signal to itself.
pub fn a_guard_that_cannot_be_in_place_is_refused() {
    // The handler that is there can still be asked for. Without an answer glibc would return what
    // happens to be on the stack.
    let pretend: fn() = || hosts::refuse_other_values(libc::SYS_rt_sigaction, 1, 0, 0);
    let refuse: fn() = || hosts::refuse(libc::SYS_rt_sigaction, libc::EPERM);
    for (change, errno) in [(pretend, libc::EBUSY), (refuse, libc::EPERM)] {
        let end = in_child(|| {
            let file = file(1);
            change();
            let failure = map_with(&file, WRITE, GUARD).expect_err("no guard");
            assert_eq!((failure.errno, failure.op.as_str()), (errno, "guard"));
            assert_eq!(
                failure.message.contains("does not stay in place"),
                errno == libc::EBUSY,
                "{}",
                failure.message
            );
            drop(map_with(&file, WRITE, 0).expect("mapped"));
            0
        });
        assert_eq!(end, End::Exited(0));
    }
}
