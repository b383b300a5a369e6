//! Tests scan_bytes and its two-step form: a descriptor on loan, closed exactly once.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};

use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::support::hosts::has_memfd;
use crate::tests;

tests![
    the_callback_sees_what_a_wrapped_descriptor_promises,
    the_descriptor_is_closed_after_any_answer,
    an_answer_other_than_0_is_ecanceled_and_named,
    a_descriptor_the_callback_closed_is_not_closed_again,
    a_number_the_callback_gave_to_another_file_is_left_alone,
    what_the_callback_keeps_stays_valid,
    scans_nest,
    threads_scan_at_the_same_time_and_never_mix,
    every_scan_has_a_file_of_its_own,
    begin_and_end_lend_and_close,
    end_may_come_from_another_thread,
    options_apply_to_scans,
    bad_arguments_are_refused_without_calling_back,
];

/// Calls scan_bytes with a closure. A panic must not cross C, so it is resumed after the call.
pub fn scan(
    bytes: &[u8],
    options: Option<&WrapOptions>,
    callback: impl FnMut(c_int) -> c_int,
) -> Result<c_int, Failure> {
    struct Context<F> {
        callback: F,
        panic: Option<Box<dyn std::any::Any + Send>>,
    }
    unsafe extern "C" fn call<F: FnMut(c_int) -> c_int>(fd: c_int, context: *mut c_void) -> c_int {
        // SAFETY: the context given below.
        let context = unsafe { &mut *context.cast::<Context<F>>() };
        let run = std::panic::AssertUnwindSafe(|| (context.callback)(fd));
        std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            context.panic = Some(panic);
            0
        })
    }
    fn pointer_to<F: FnMut(c_int) -> c_int>(_: &Context<F>) -> ScanFn {
        Some(call::<F>)
    }
    let mut context = Context { callback, panic: None };
    let function = pointer_to(&context);
    let mut error = Error::untouched();
    // SAFETY: valid arguments.
    let value = unsafe {
        let options = options.map_or(null(), |options| options as *const _);
        let context = (&raw mut context).cast();
        (abi::load().scan_bytes)(
            bytes.as_ptr().cast(),
            bytes.len(),
            function,
            context,
            options,
            &mut error,
        )
    };
    if let Some(panic) = context.panic {
        std::panic::resume_unwind(panic);
    }
    result(value, &error)
}

pub fn duplicate(fd: c_int) -> OwnedFd {
    // SAFETY: touches no memory; the result is ours.
    unsafe { OwnedFd::from_raw_fd(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0)) }
}

fn is_open(fd: c_int) -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Keeps tests apart in which a closed number must stay closed.
static NUMBERS: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Moves a descriptor so high that no other test gets its number by chance.
fn move_high(fd: OwnedFd) -> OwnedFd {
    // SAFETY: touches no memory; the result is ours.
    unsafe { OwnedFd::from_raw_fd(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 700)) }
}

fn the_callback_sees_what_a_wrapped_descriptor_promises() {
    let bytes = pattern(70_000);
    let mut calls = 0;
    scan(&bytes, None, |fd| {
        calls += 1;
        let fd = duplicate(fd);
        assert_eq!((metadata(&fd).len(), offset(&fd), mode(&fd)), (70_000, 0, 0o400));
        assert_eq!(read_through(&fd), bytes);
        0
    })
    .unwrap();
    assert_eq!(calls, 1);
    assert_eq!(scan(b"", None, |fd| metadata(&duplicate(fd)).len() as c_int).unwrap(), 0);
}

/// Returns the inode of a number, if it is open.
pub fn inode(fd: c_int) -> Option<u64> {
    let metadata = std::fs::metadata(format!("/proc/self/fd/{fd}")).ok()?;
    Some(std::os::unix::fs::MetadataExt::ino(&metadata))
}

fn the_descriptor_is_closed_after_any_answer() {
    for answer in [0, 1, -1, c_int::MAX, c_int::MIN] {
        let mut lent = (0, None);
        let outcome = scan(b"hello", None, |fd| {
            lent = (fd, inode(fd));
            answer
        });
        assert_eq!(outcome.is_ok(), answer == 0);
        assert!(lent.1.is_some());
        // Another test may have the number by now, but not the file.
        assert_ne!(inode(lent.0), lent.1);
    }
}

fn an_answer_other_than_0_is_ecanceled_and_named() {
    for answer in [1, -1, 42, -libc::ENOSPC, c_int::MIN] {
        let failure = scan(b"hello", None, |_| answer).unwrap_err();
        assert_eq!((failure.errno, failure.op.as_str()), (libc::ECANCELED, "callback"));
        assert!(failure.message.contains(&answer.to_string()), "{}", failure.message);
    }
}

fn a_descriptor_the_callback_closed_is_not_closed_again() {
    let _alone = NUMBERS.lock().unwrap();
    scan(b"hello", None, |fd| {
        // SAFETY: on loan, and the header allows it.
        unsafe { libc::close(fd) }
    })
    .unwrap();
}

fn a_number_the_callback_gave_to_another_file_is_left_alone() {
    let _alone = NUMBERS.lock().unwrap();
    let other = wrap_with(b"other", 0, AUTO).unwrap();
    let mut number = -1;
    scan(b"hello", None, |fd| {
        number = fd;
        // SAFETY: closes the one on loan and puts another file in its place, as a client that takes
        // over may.
        assert_eq!(unsafe { libc::dup2(other.as_raw_fd(), fd) }, fd);
        0
    })
    .unwrap();
    assert!(is_open(number));
    // SAFETY: made by dup2 above.
    assert_eq!(content(&unsafe { OwnedFd::from_raw_fd(number) }), b"other");
}

fn what_the_callback_keeps_stays_valid() {
    let bytes = pattern(20_000);
    let mut kept = None;
    scan(&bytes, None, |fd| {
        kept = Some(move_high(duplicate(fd)));
        0
    })
    .unwrap();
    assert_eq!(content(&kept.unwrap()), bytes);
}

fn scans_nest() {
    fn nest(depth: usize) -> usize {
        let bytes = vec![depth as u8; depth * 1000];
        let mut reached = 0;
        scan(&bytes, None, |fd| {
            reached = if depth == 20 { depth } else { nest(depth + 1) };
            assert_eq!(content(&duplicate(fd)), bytes, "after the inner scans");
            0
        })
        .unwrap();
        reached
    }
    assert_eq!(nest(0), 20);
}

fn threads_scan_at_the_same_time_and_never_mix() {
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            scope.spawn(move || {
                for round in 1..200usize {
                    let bytes = vec![thread; round * 41];
                    scan(&bytes, None, |fd| {
                        assert_eq!(content(&duplicate(fd)), bytes);
                        0
                    })
                    .unwrap();
                }
            });
        }
    });
}

fn every_scan_has_a_file_of_its_own() {
    let mut first = None;
    scan(&[1; 5000], None, |fd| {
        first = Some(duplicate(fd));
        0
    })
    .unwrap();
    scan(&[2; 100], None, |fd| {
        assert_ne!(inode(fd), inode(first.as_ref().unwrap().as_raw_fd()));
        0
    })
    .unwrap();
    assert_eq!(content(&first.unwrap()), [1; 5000]);
}

pub fn begin(bytes: &[u8], options: *const WrapOptions) -> (Result<c_int, Failure>, *mut c_void) {
    let mut error = Error::untouched();
    let mut handle = std::ptr::dangling_mut();
    // SAFETY: valid arguments.
    let value = unsafe {
        (abi::load().scan_begin)(
            bytes.as_ptr().cast(),
            bytes.len(),
            options,
            &mut handle,
            &mut error,
        )
    };
    (result(value, &error), handle)
}

pub fn end(handle: *mut c_void) -> c_int {
    // SAFETY: NULL, or a handle that is ended once.
    unsafe { (abi::load().scan_end)(handle) }
}

fn begin_and_end_lend_and_close() {
    let bytes = pattern(3000);
    let (fd, handle) = begin(&bytes, null());
    let fd = fd.unwrap();
    let lent = inode(fd);
    assert_eq!(content(&duplicate(fd)), bytes);
    assert_eq!(end(handle), 0);
    assert_ne!(inode(fd), lent);
    assert_eq!(end(null_mut()), 0, "NULL is fine");
}

fn end_may_come_from_another_thread() {
    let (_, handle) = begin(b"hello", null());
    let handle = handle as usize;
    std::thread::spawn(move || assert_eq!(end(handle as *mut c_void), 0)).join().unwrap();
}

fn options_apply_to_scans() {
    let options = WrapOptions {
        flags: WRITABLE | INHERIT,
        name: c"label".as_ptr(),
        ..WrapOptions::default()
    };
    scan(b"hello", Some(&options), |fd| {
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        assert!(link.to_str().unwrap().contains("label") || !has_memfd());
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, 0);
        let fd = duplicate(fd);
        assert_eq!((mode(&fd), access_mode(&fd)), (0o600, libc::O_RDWR));
        0
    })
    .unwrap();
}

fn bad_arguments_are_refused_without_calling_back() {
    let refused = |bytes: &[u8], options: &WrapOptions| {
        let failure = scan(bytes, Some(options), |_| unreachable!("not called")).unwrap_err();
        failure.errno
    };
    assert_eq!(
        refused(b"hello", &WrapOptions { flags: 1 << 20, ..Default::default() }),
        libc::EINVAL
    );
    assert_eq!(
        refused(b"hello", &WrapOptions { flags: TRUST_CALLBACK, ..Default::default() }),
        libc::EINVAL
    );
    assert_eq!(refused(b"hello", &WrapOptions { size: 8, ..Default::default() }), libc::EINVAL);
    assert_eq!(
        refused(b"hello", &WrapOptions { size: 1 << 30, ..Default::default() }),
        libc::E2BIG
    );

    let abi = abi::load();
    unsafe extern "C" fn never(_: c_int, _: *mut c_void) -> c_int {
        unreachable!("not called")
    }
    let mut error = Error::untouched();
    // SAFETY: arguments that are to be refused.
    unsafe {
        let value = (abi.scan_bytes)(c"x".as_ptr().cast(), 1, None, null_mut(), null(), &mut error);
        let failure = result(value, &error).unwrap_err();
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "scan"));
        for (buf, len) in [(null(), 1), (c"x".as_ptr().cast(), usize::MAX)] {
            assert_eq!(
                (abi.scan_bytes)(buf, len, Some(never), null_mut(), null(), null_mut()),
                -libc::EINVAL
            );
            let mut handle = std::ptr::dangling_mut();
            assert_eq!((abi.scan_begin)(buf, len, null(), &mut handle, null_mut()), -libc::EINVAL);
            assert_eq!(handle, std::ptr::dangling_mut(), "untouched");
        }
        assert_eq!(
            (abi.scan_begin)(c"x".as_ptr().cast(), 1, null(), null_mut(), null_mut()),
            -libc::EINVAL
        );
    }
}
