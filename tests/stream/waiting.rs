//! Tests how long a call waits for a stream, and what ends the wait.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use super::sources::pipe;
use crate::faults::conditions::leaves_nothing;
use crate::support::abi::*;
use crate::support::fd::*;
use crate::support::share::*;

fn within(timeout_ns: i64) -> StreamOptions {
    StreamOptions { timeout_ns, ..StreamOptions::default() }
}

const MINUTES: i64 = 600 * 1_000_000_000;

/// Returns pipes and sockets, that block and that do not: the end to read from, and the other.
fn streams() -> Vec<(OwnedFd, OwnedFd)> {
    let unblocked = pair(libc::SOCK_STREAM);
    do_not_block(&unblocked.0);
    vec![pipe(0), pipe(libc::O_NONBLOCK), pair(libc::SOCK_STREAM), unblocked]
}

/// Runs `body` while `other` is called again and again.
fn meanwhile<R>(body: impl FnOnce() -> R, mut other: impl FnMut() + Send) -> R {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(SeqCst) {
                other();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = body();
        is_done.store(true, SeqCst);
        result
    })
}

pub fn a_timeout_ends_the_call_although_the_other_end_goes_on_sending() {
    for (reader, writer) in streams() {
        plain_write(&writer, b"!");
        let outcome = meanwhile(
            || wrap_stream(&reader, &within(30_000_000)),
            || {
                // SAFETY: one byte. If there is no room for it, the write does not wait.
                unsafe {
                    libc::send(writer.as_raw_fd(), c"x".as_ptr().cast(), 1, libc::MSG_DONTWAIT)
                };
                if waiting(&reader) == 0 {
                    // SAFETY: as above; a pipe that is empty has room.
                    unsafe { libc::write(writer.as_raw_fd(), c"x".as_ptr().cast(), 1) };
                }
            },
        );
        assert_eq!(outcome.expect_err("no end").errno, libc::ETIMEDOUT);
    }
}

/// The other end writes all the time, so that there is always something to read.
pub fn a_timeout_ends_the_call_although_the_other_end_never_pauses() {
    let endless = File::open("/dev/zero").expect("/dev/zero");
    let failure =
        leaves_nothing(|| wrap_stream(&endless, &within(20_000_000))).expect_err("no end");
    assert_eq!(failure.errno, libc::ETIMEDOUT, "{failure:?}");
}

pub fn what_comes_in_time_is_taken() {
    for (reader, writer) in streams() {
        plain_write(&writer, b"hello");
        let fd = std::thread::scope(|scope| {
            scope.spawn(move || {
                plain_write(&writer, b" world");
                drop(writer);
            });
            wrap_stream(&reader, &within(MINUTES)).expect("a descriptor")
        });
        assert_eq!(content(&fd), b"hello world");
    }
}

pub fn a_timeout_of_0_takes_what_is_there_and_does_not_wait() {
    for (reader, writer) in streams() {
        plain_write(&writer, b"hello");
        assert_eq!(wrap_stream(&reader, &within(0)).expect_err("no end").errno, libc::ETIMEDOUT);
        plain_write(&writer, b"hello");
        drop(writer);
        assert_eq!(content(&wrap_stream(&reader, &within(0)).expect("all is there")), b"hello");
    }
}

pub fn a_socket_that_does_not_block_and_has_nothing_is_eagain_at_once() {
    let (ours, _theirs) = pair(libc::SOCK_STREAM);
    do_not_block(&ours);
    for options in [within(-1), within(0), within(MINUTES)] {
        let failure = leaves_nothing(|| wrap_stream(&ours, &options)).expect_err("nothing to read");
        assert_eq!(failure.errno, libc::EAGAIN, "{failure:?}");
    }
}

pub fn numbers_that_are_no_limit_are_einval_and_named() {
    let (reader, writer) = pipe(0);
    plain_write(&writer, b"hello");
    drop(writer);
    let options = StreamOptions::default();
    let refused = [
        ("timeout_ns", within(-2)),
        ("timeout_ns", within(i64::MIN)),
        ("max_bytes", StreamOptions { max_bytes: 0, ..options }),
        ("flags", StreamOptions { flags: INHERIT, ..options }),
        ("flags", StreamOptions { flags: READ_ONLY | INTERRUPTIBLE, ..options }),
        ("flags", StreamOptions { flags: 1 << 31, ..options }),
    ];
    for (op, options) in refused {
        let failure = wrap_stream(&reader, &options).expect_err("refused");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, op));
    }
    let threshold = WrapOptions { spill_threshold: 0, ..WrapOptions::default() };
    let failure = wrap_stream_with(&reader, &threshold, null()).expect_err("refused");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "spill_threshold"));
    assert!(failure.message.contains("BYTEFD_WRAP_OPTIONS_INIT"), "{failure:?}");
    assert_eq!(waiting(&reader), 5, "refused before anything is read");
}

/// Tests also a handler that asks for system calls to be restarted.
pub fn a_signal_handler_ends_a_call_that_is_interruptible_and_no_other() {
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: i32) {
        HANDLED.fetch_add(1, SeqCst);
    }
    // SAFETY: all-zero is a valid struct; the handler does only what handlers may. pthread_self
    // touches no memory.
    let thread = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, null_mut()), 0);
        libc::pthread_self()
    };
    // SAFETY: the thread waits for the thread that calls this.
    let interrupt = || assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR2) }, 0);
    for (reader, writer) in streams() {
        plain_write(&writer, b"hello");
        let options = StreamOptions { flags: INTERRUPTIBLE, ..within(MINUTES) };
        let outcome = meanwhile(|| wrap_stream(&reader, &options), interrupt);
        assert_eq!(outcome.expect_err("no end").errno, libc::EINTR);
    }
    for (reader, writer) in streams() {
        plain_write(&writer, b"hello");
        let mut writer = Some(writer);
        let before = HANDLED.load(SeqCst);
        let goes_on = || {
            interrupt();
            if HANDLED.load(SeqCst) > before + 10 {
                drop(writer.take());
            }
        };
        let fd =
            meanwhile(|| wrap_stream(&reader, &within(MINUTES)), goes_on).expect("a descriptor");
        assert_eq!(content(&fd), b"hello");
    }
}

/// The terminal's master answers EIO from then on.
pub fn a_terminal_whose_other_side_is_closed_is_at_its_end() {
    for options in [within(-1), within(MINUTES)] {
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: two writable numbers; the rest may be NULL.
        let status =
            unsafe { libc::openpty(&mut master, &mut slave, null_mut(), null_mut(), null_mut()) };
        if status != 0 {
            return println!("SKIPPED: pseudoterminals: {}", std::io::Error::last_os_error());
        }
        // SAFETY: just opened, so they are ours.
        let (master, slave) =
            unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        File::from(slave).write_all(b"all the output").expect("written");
        assert_eq!(
            content(&wrap_stream(&master, &options).expect("a descriptor")),
            b"all the output"
        );
    }
}

/// Calls bytefd_scan_begin_stream. Returns the content of the lent file, and whether it is a memory
/// file.
fn scan_stream(reader: &OwnedFd, wrap: &WrapOptions) -> Result<(Vec<u8>, bool), Failure> {
    let (mut scan, mut error) = (null_mut(), Error::untouched());
    // SAFETY: valid options and writable objects.
    let fd = unsafe {
        (load().scan_begin_stream)(reader.as_raw_fd(), wrap, null(), &mut scan, &mut error)
    };
    let fd = result(fd, &error)?;
    let lent = crate::scan::duplicate(fd);
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("/proc");
    let seen = read_through(&lent);
    assert!(seen == content(&lent));
    drop(lent);
    assert_eq!(crate::scan::end(scan), 0);
    Ok((seen, link.to_string_lossy().contains("memfd:")))
}

fn filled(bytes: Vec<u8>) -> OwnedFd {
    let (reader, writer) = pipe(0);
    std::thread::spawn(move || File::from(writer).write_all(&bytes));
    reader
}

pub fn streams_are_scanned_with_and_without_a_pool() {
    let pool = crate::pool::Pool::new(1 << 30);
    for wrap in [WrapOptions::default(), pool.options(0), pool.options(TRUST_CALLBACK)] {
        for length in [5, 0, 4096, 100_000, 99_999, 70_000, 1, (3 << 20) + 1, 4097, 200_000] {
            let bytes = pattern(length);
            let (seen, _) = scan_stream(&filled(bytes.clone()), &wrap).expect("a scan");
            assert!(seen == bytes, "{length} bytes");
        }
    }
    let stats = pool.counts();
    assert_eq!((stats.hits + stats.misses, stats.lent, stats.dropped), (20, 0, 0));
    assert!(!crate::support::hosts::has_memfd() || stats.hits > 5, "{stats:?}");
}

pub fn a_stream_above_the_threshold_is_scanned_on_disk_and_not_in_a_pool() {
    let pool = crate::pool::Pool::new(1 << 30);
    for pooled in [false, true] {
        for length in [10_000, 10_001, 300_000] {
            let pool = if pooled { pool.options(0).pool } else { null_mut() };
            let options = WrapOptions { spill_threshold: 10_000, pool, ..WrapOptions::default() };
            let bytes = pattern(length);
            let (seen, is_memory) = scan_stream(&filled(bytes.clone()), &options).expect("a scan");
            assert!(seen == bytes);
            assert!(!is_memory || length <= 10_000, "{length} bytes");
        }
    }
    assert_eq!((pool.counts().lent, pool.counts().hits + pool.counts().misses), (0, 3));
}
