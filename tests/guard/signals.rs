//! SIGBUS of other kinds, and what else a program does with signals. Each way is tried in a child,
//! which has no guarded map until it makes one: what it did before is what its parent did, which is
//! nothing.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::hosts;
use crate::support::map::{Map, map_with, page_size};

/// What a handler ends the process with, to show that it ran.
const HANDLED: c_int = 42;
const BUS_ADRERR: c_int = 2;

/// A guarded map whose last page is lost, and that has survived this.
fn survived() -> Map {
    let page = page_size();
    let file = file(2);
    let map = guarded(&file, WRITE);
    file.as_file().set_len(page as u64).expect("cut");
    assert!(byte(&map, page) == 0 && is_lost(&map));
    map
}

/// Runs in a child with this done about SIGBUS before the first guarded map.
fn after(before: impl FnOnce(), body: impl FnOnce()) -> End {
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

fn install(handler: usize, flags: c_int, masked: &[c_int]) -> libc::sigaction {
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
fn doing(handler: usize, flags: c_int, masked: &'static [c_int]) -> impl FnOnce() + Copy {
    move || {
        install(handler, flags, masked);
    }
}

fn send() {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0);
}

fn lose_a_page_that_is_not_guarded() {
    Stranger::anywhere().touch();
}

fn blocked(signal: c_int) -> bool {
    // SAFETY: all-zero is a valid set, which is written.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, null(), &mut set);
        libc::sigismember(&set, signal) == 1
    }
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(signal: c_int) {
    assert_eq!(signal, libc::SIGBUS);
    CALLS.fetch_add(1, SeqCst);
}

extern "C" fn exit(_: c_int) {
    // SAFETY: may be called in a handler.
    unsafe { libc::_exit(HANDLED) };
}

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

/// The write end of a pipe.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// Ends a read that signals do not interrupt.
extern "C" fn write_at_the_third(_: c_int) {
    if CALLS.fetch_add(1, SeqCst) == 2 {
        // SAFETY: one byte, which exists.
        unsafe { libc::write(PIPE.load(SeqCst), c"x".as_ptr().cast(), 1) };
    }
}

/// Reads from a pipe while signals come, after this was done about them. The child exits with the
/// errno of read(2), or with HANDLED if it read.
fn read_among_signals(handler: usize, flags: c_int) -> End {
    after(doing(handler, flags, &[]), || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        PIPE.store(writer.as_raw_fd(), SeqCst);
        if handler == libc::SIG_IGN {
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(100));
                (&writer).write_all(b"x").expect("written");
            });
        }
        let every = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        // SAFETY: zeros are a valid sigevent, the timer ends with this process, a byte is read.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_SIGNAL, libc::SIGBUS);
            let mut timer = std::mem::zeroed();
            assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer), 0);
            let times = libc::itimerspec { it_interval: every, it_value: every };
            assert_eq!(libc::timer_settime(timer, 0, &times, null_mut()), 0);
            let read = libc::read(reader.as_raw_fd(), (&mut 0u8 as *mut u8).cast(), 1);
            let errno = std::io::Error::last_os_error().raw_os_error().expect("an errno");
            libc::_exit(if read == -1 { errno } else { HANDLED });
        }
    })
}

pub fn interrupted_calls_are_restarted_if_they_were_without_a_guard() {
    let handler = write_at_the_third as *const () as usize;
    assert_eq!(read_among_signals(handler, 0), End::Exited(libc::EINTR));
    assert_eq!(read_among_signals(handler, libc::SA_RESTART), End::Exited(HANDLED));
    assert_eq!(read_among_signals(libc::SIG_IGN, 0), End::Exited(HANDLED));
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

/// What the program has mapped over a page that was replaced faults for whom it concerns, and not
/// for ever.
pub fn a_fault_that_zeros_do_not_mend_goes_on() {
    let page = page_size();
    let strange = |is_all_lost: bool| {
        move || {
            let file = file(4);
            let map = guarded(&file, WRITE);
            file.as_file().set_len(0).expect("cut");
            assert_eq!(byte(&map, page), 0);
            let empty = tempfile::tempfile().expect("a file");
            let (flags, protection) =
                (libc::MAP_SHARED | libc::MAP_FIXED, libc::PROT_READ | libc::PROT_WRITE);
            let at = map.data().wrapping_add(page);
            // SAFETY: what this finds out.
            let placed =
                unsafe { libc::mmap(at.cast(), page, protection, flags, empty.as_raw_fd(), 0) };
            assert_eq!(placed.cast(), at);
            if is_all_lost {
                (0..4)
                    .filter(|number| *number != 1)
                    .for_each(|number| assert_eq!(byte(&map, number * page), 0));
            }
            byte(&map, page);
        }
    };
    for is_all_lost in [false, true] {
        assert_eq!(
            after(doing(libc::SIG_DFL, 0, &[]), strange(is_all_lost)),
            End::Killed(libc::SIGBUS)
        );
        let prepare = doing(exit as *const () as usize, 0, &[]);
        assert_eq!(after(prepare, strange(is_all_lost)), End::Exited(HANDLED));
    }
}

extern "C" fn report(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: both may be called in a handler.
    unsafe {
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
        libc::raise(libc::SIGBUS);
    }
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

pub fn a_thread_that_blocks_the_signal_is_not_saved() {
    let block = || {
        let map = survived();
        // SAFETY: a valid set; the page is lost, which is the point.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&mut set, libc::SIGBUS);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, null_mut());
        }
        assert_eq!(byte(&map, page_size()), 0, "replaced before");
        survived();
    };
    assert_eq!(after(|| {}, block), End::Killed(libc::SIGBUS));
}

static IS_ON_STACK: AtomicBool = AtomicBool::new(false);

extern "C" fn look_at_stack(_: c_int) {
    // SAFETY: all-zero is a valid struct, which is written.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(null(), &mut stack);
        IS_ON_STACK.store(stack.ss_flags & libc::SS_ONSTACK != 0, SeqCst);
        *libc::__errno_location() = libc::EDOM;
    }
}

pub fn the_handler_runs_on_an_alternate_stack_and_keeps_errno() {
    const STACK: usize = 64 << 10;
    let prepare = doing(look_at_stack as *const () as usize, libc::SA_ONSTACK, &[]);
    let on_its_own = || {
        let mut stack = vec![0u8; STACK];
        let new = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK };
        let disabled =
            libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: STACK };
        // SAFETY: the stack lives until it is no longer used; errno is this thread's.
        unsafe {
            assert_eq!(libc::sigaltstack(&new, null_mut()), 0);
            *libc::__errno_location() = 1234;
            send();
            assert_eq!((IS_ON_STACK.load(SeqCst), *libc::__errno_location()), (true, 1234));
            let (file, page) = (file(2), page_size());
            let map = guarded(&file, WRITE);
            file.as_file().set_len(0).expect("cut");
            *libc::__errno_location() = 1234;
            assert_eq!((byte(&map, page), *libc::__errno_location()), (0, 1234));
            assert_eq!(libc::sigaltstack(&disabled, null_mut()), 0);
        }
        assert!(stack.iter().any(|byte| *byte != 0), "used");
    };
    assert_eq!(after(prepare, on_its_own), End::Exited(0));
}

/// Stores of all widths, in the middle of a page and across two.
pub fn any_access_is_survived() {
    let page = page_size();
    for at in [page - 4, page, 2 * page - 8, 2 * page - 1] {
        let file = file(3);
        let map = guarded(&file, WRITE);
        file.as_file().set_len(0).expect("cut");
        let word = map.data().wrapping_add(at).cast::<u64>();
        // SAFETY: within the map.
        unsafe {
            word.write_unaligned(0x0102_0304_0506_0708);
            assert_eq!(word.read_unaligned(), 0x0102_0304_0506_0708);
        }
        map.store(0, &vec![9; 3 * page]);
        assert!(map.bytes() == vec![9; 3 * page] && is_lost(&map));
    }
}
