//! Tests waiting on words in shared memory.

use std::os::fd::AsRawFd;
use std::ptr::null;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::faults::conditions::End;
use crate::faults::signals::{under_alarms, under_restarting_alarms};
use crate::support::abi::*;
use crate::support::map::{Map, map_fd, page_size};
use crate::support::named::*;

const FOR_EVER: i64 = -1;

/// A time that no test waits for.
const LONG: i64 = 60_000_000_000;

pub fn a_word_that_has_changed_is_not_waited_for() {
    let map = shared(page_size());
    for value in [1, u32::MAX] {
        for time in [FOR_EVER, 0, LONG, i64::MAX] {
            wait(word(&map, 3).as_ptr(), value, time).expect("it is 0");
        }
    }
    static OWN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(5);
    wait(OWN.as_ptr(), 4, FOR_EVER).expect("memory of this process too");
    assert_eq!(wake(OWN.as_ptr(), u32::MAX).expect("woken"), 0);
}

pub fn a_word_whose_page_is_gone_is_efault() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(4096).expect("ftruncate");
    let map = map_fd(file.as_raw_fd(), &MapOptions { access: WRITE, ..MapOptions::default() })
        .expect("mapped");
    file.set_len(0).expect("cut");
    for time in [FOR_EVER, LONG] {
        assert_eq!(wait(word(&map, 0).as_ptr(), 0, time).expect_err("gone").errno, libc::EFAULT);
    }
    assert_eq!(wake(word(&map, 0).as_ptr(), 1).expect_err("gone").errno, libc::EFAULT);
    let of_crate = bytefd::share::futex_wait(word(&map, 0), 0);
    assert_eq!(of_crate.expect_err("gone").errno(), libc::EFAULT);
}

pub fn a_wait_ends_with_its_time() {
    let map = shared(page_size());
    for time in [0, 1, 1_000_000, 20_000_000] {
        let before = Instant::now();
        let failure = wait(word(&map, 0).as_ptr(), 0, time).expect_err("nobody wakes it");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::ETIMEDOUT, "futex_wait"));
        assert!(before.elapsed() >= Duration::from_nanos(time as u64), "not before");
    }
}

pub fn a_word_that_is_none_is_refused() {
    let map = shared(page_size());
    let start = word(&map, 0).as_ptr();
    for address in
        [null(), start.wrapping_byte_add(1), start.wrapping_byte_add(2), start.wrapping_byte_add(7)]
    {
        let failure = wait(address, 0, 0).expect_err("no word");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "word"));
        let failure = wake(address, 1).expect_err("no word");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "word"));
    }
    let mut map = shared(2 * page_size());
    let gone = map.data().wrapping_add(page_size());
    map.protect(page_size(), page_size(), 0).expect("without access");
    assert_eq!(wake(gone.cast(), 1).expect_err("not there").errno, libc::EFAULT);
    map.unmap(page_size(), page_size()).expect("unmapped");
}

pub fn arguments_for_a_wait_that_mean_nothing_are_refused() {
    let map = shared(page_size());
    let refused = |timeout: i64, flags: u64| {
        let failure = futex_wait(word(&map, 0).as_ptr(), 1, timeout, flags).expect_err("refused");
        assert_eq!(failure.errno, libc::EINVAL);
        failure.op
    };
    for flags in [1, 4, SHM_CREATE, SYSV_TRANSIENT, 1 << 31, u64::MAX] {
        assert_eq!(refused(-1, flags), "flags");
    }
    for timeout in [-2, i64::MIN] {
        assert_eq!(refused(timeout, 0), "timeout_ns");
    }
}

pub fn a_word_in_a_map_for_reading_can_be_waited_for() {
    let map = shared(page_size());
    let fd = std::os::fd::AsRawFd::as_raw_fd(&map.descriptor().expect("a descriptor"));
    let reading = map_fd(fd, &MapOptions::default()).expect("mapped");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let word = word(&reading, 1);
            while word.load(SeqCst) == 0 {
                wait(word.as_ptr(), 0, FOR_EVER).expect("woken");
            }
        });
        word(&map, 1).store(1, SeqCst);
        wake(word(&map, 1).as_ptr(), u32::MAX).expect("woken");
        waiter.join().expect("it ends");
    });
    // By any map of the memory.
    wake(word(&reading, 1).as_ptr(), 1).expect("woken");
}

// With other processes
// -----------------------------------------------------------------------------------------------

/// The processes have maps at different addresses.
pub fn two_processes_play_ping_pong() {
    const ROUNDS: u32 = 10_000;
    let map = shared(page_size());
    let fd = std::os::fd::AsRawFd::as_raw_fd(&map.descriptor().expect("a descriptor"));
    /// Stores every second number, and waits for the numbers between.
    fn play(map: &Map, first: u32) {
        let word = word(map, 0);
        for number in (first..2 * ROUNDS).step_by(2) {
            while word.load(SeqCst) != number {
                wait(word.as_ptr(), number.wrapping_sub(1), FOR_EVER).expect("woken");
            }
            word.store(number + 1, SeqCst);
            wake(word.as_ptr(), 1).expect("woken");
        }
    }
    let child = Child::new(|_| {
        let own =
            map_fd(fd, &MapOptions { access: WRITE, ..MapOptions::default() }).expect("mapped");
        assert_ne!(own.data(), map.data());
        play(&own, 1);
        0
    });
    play(&map, 0);
    assert_eq!(child.end(), End::Exited(0));
    assert_eq!(word(&map, 0).load(SeqCst), 2 * ROUNDS);
}

pub fn as_many_are_woken_as_asked() {
    let map = shared(page_size());
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let mut child = Child::new(|to| {
                say(to, 1);
                wait(word(&map, 0).as_ptr(), 0, FOR_EVER).expect("woken");
                0
            });
            child.hear();
            child.wait_until_asleep();
            child
        })
        .collect();
    let wake = |index: usize, count: u32| wake(word(&map, index).as_ptr(), count).expect("woken");
    assert_eq!(wake(1, u32::MAX), 0, "nobody waits on the next word");
    assert_eq!(wake(0, 0), 0);
    assert_eq!(wake(0, 1), 1);
    assert_eq!(wake(0, 2), 2);
    assert_eq!(wake(0, u32::MAX), 2);
    assert_eq!(wake(0, u32::MAX), 0);
    waiters.into_iter().for_each(|child| assert_eq!(child.end(), End::Exited(0)));
}

pub fn a_wait_lasts_its_time_though_signals_interrupt() {
    let map = shared(page_size());
    under_alarms(|interruptions| {
        let before = Instant::now();
        let failure = wait(word(&map, 0).as_ptr(), 0, 50_000_000).expect_err("nobody wakes it");
        assert_eq!(failure.errno, libc::ETIMEDOUT);
        assert!(before.elapsed() >= Duration::from_millis(50) && interruptions() > 0);
    });
}

pub fn a_waiter_whose_waker_is_killed_comes_back() {
    let map = shared(page_size());
    let mut waker = Child::new(|to| {
        word(&map, 1).store(1, SeqCst);
        say(to, 1);
        // Here it would change word 0 and wake the others.
        sleep_for_ever()
    });
    waker.hear();
    let mut waiter = Child::new(|to| {
        say(to, 1);
        let failure = wait(word(&map, 0).as_ptr(), 0, 100_000_000).expect_err("nobody wakes it");
        i32::from(failure.errno == libc::ETIMEDOUT)
    });
    waiter.hear();
    waker.kill();
    assert_eq!(waiter.end(), End::Exited(1));
}

/// futex(2) without a timeout goes on under SA_RESTART.
pub fn a_signal_ends_an_interruptible_wait_for_a_word() {
    let map = shared(page_size());
    let wait = |timeout, flags| {
        futex_wait(word(&map, 0).as_ptr(), 0, timeout, flags).expect_err("nobody wakes it").errno
    };
    for timeout in [FOR_EVER, LONG] {
        assert_eq!(under_restarting_alarms(|| wait(timeout, INTERRUPTIBLE)), libc::EINTR);
        assert_eq!(under_alarms(|_| wait(timeout, INTERRUPTIBLE)), libc::EINTR);
    }
    assert_eq!(under_restarting_alarms(|| wait(50_000_000, 0)), libc::ETIMEDOUT);
    assert_eq!(wait(0, INTERRUPTIBLE), libc::ETIMEDOUT);
}
