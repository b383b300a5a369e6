//! Signals beside a guarded map: interrupted calls, blocked signals, the stack of the handler, and
//! accesses of all kinds.

use std::ffi::c_int;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

use super::disposition::*;
use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::map::page_size;

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
