//! Tests RLIMIT_FSIZE and RLIMIT_NOFILE.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::conditions::*;
use super::every_way::{backends, options, refused};
use crate::support::abi::{self, *};
use crate::support::fd::{Failure, content, pattern, result, seals, wrap, wrap_with};
use crate::support::hosts;
use crate::support::map::page_size;

pub fn a_size_above_the_limit_is_efbig_and_no_signal() {
    file_size_signal_kills();
    let bytes = pattern(100_000);
    for backend in backends().into_iter().chain([AUTO]) {
        for flags in [0, WRITABLE, READ_ONLY] {
            for (limit, length) in [(0, 1), (10_000, 10_001), (10_000, 100_000)] {
                let options = options(flags, backend);
                let failure =
                    with_limit(libc::RLIMIT_FSIZE, limit, || refused(&bytes[..length], &options));
                assert_eq!(failure.errno, libc::EFBIG, "backend {backend}: {failure:?}");
                let says = |number: &dyn ToString| failure.message.contains(&number.to_string());
                assert!(says(&limit) && says(&length), "{}", failure.message);
            }
            for (limit, length) in [(0, 0), (10_000, 9_999), (10_000, 10_000)] {
                let wrapped = with_limit(libc::RLIMIT_FSIZE, limit, || {
                    wrap_with(&bytes[..length], flags, backend)
                });
                assert!(content(&wrapped.expect("within the limit")) == bytes[..length]);
            }
        }
    }
    // Segments count together.
    let half = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: 5_001 };
    let mut error = Error::untouched();
    let status = leaves_nothing(|| {
        with_limit(libc::RLIMIT_FSIZE, 10_000, || {
            // SAFETY: two valid segments.
            unsafe {
                (abi::load().wrap_iov)([half, half].as_ptr(), 2, std::ptr::null(), &mut error)
            }
        })
    });
    assert_eq!(result(status, &error).expect_err("refused").errno, libc::EFBIG);
}

const FLAGS: [u64; 5] = [0, READ_ONLY, WRITABLE, INHERIT, EXECUTABLE];

pub fn without_descriptors_every_backend_is_emfile() {
    for backend in backends().into_iter().chain([AUTO]) {
        for flags in FLAGS {
            let failure = with_free_descriptors(0, || refused(b"hello", &options(flags, backend)));
            assert_eq!(
                failure.errno,
                libc::EMFILE,
                "backend {backend}, flags {flags}: {failure:?}"
            );
        }
    }
}

/// A descriptor that is opened again needs two numbers for a moment.
pub fn with_few_descriptors_it_works_or_is_emfile() {
    for backend in backends().into_iter().chain([AUTO]) {
        for flags in FLAGS {
            for free in 1..=3 {
                let options = options(flags, backend);
                let outcome = leaves_nothing(|| {
                    with_free_descriptors(free, || wrap(b"hello", &options).map(drop))
                });
                match outcome {
                    Ok(()) => {}
                    Err(failure) if free < 2 => {
                        assert_eq!(failure.errno, libc::EMFILE, "backend {backend}: {failure:?}")
                    }
                    Err(failure) => {
                        panic!("backend {backend}, flags {flags}, {free} free: {failure:?}")
                    }
                }
            }
        }
    }
}

fn reopen(fd: c_int) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: any number is allowed.
    let status = unsafe { (abi::load().reopen)(fd, 0, &mut error) };
    // SAFETY: the caller owns what is returned.
    result(status, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn without_descriptors_reopen_is_emfile() {
    for backend in backends() {
        let fd = wrap_with(b"hello", 0, backend).expect("wrapped");
        let failure = leaves_nothing(|| with_free_descriptors(0, || reopen(fd.as_raw_fd())))
            .expect_err("refused");
        assert_eq!(failure.errno, libc::EMFILE);
        assert_eq!(content(&reopen(fd.as_raw_fd()).expect("opened")), b"hello");
    }
}

/// There is no memory to go through the list of segments. The process must go on.
pub fn a_list_of_segments_without_memory_is_enomem() {
    let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let segments = vec![nothing; 8 << 20];
    let used = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let used: u64 = used.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
    let limit = libc::rlimit {
        rlim_cur: used * page_size() as u64 + (32 << 20),
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: a valid limit; valid segments.
    let status = unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
        (crate::support::abi::load().wrap_iov)(
            segments.as_ptr(),
            segments.len(),
            std::ptr::null(),
            std::ptr::null_mut(),
        )
    };
    assert_eq!(status, -libc::ENOMEM);
}

/// Asserts EMFILE while descriptor 0 is closed and `limited` leaves no number above 2: the library
/// must move away from 0 and cannot. By then a name may exist.
fn assert_no_number_above_two_is_emfile(limited: impl Fn(&mut dyn FnMut())) {
    let exec_seal = if hosts::can_forbid_execution() { 0x20 } else { 0 };
    let there = backends();
    // Anything that is left there by mistake goes away with it.
    let _shm = there.contains(&SHM).then(|| hide("/dev/shm", ""));
    for backend in there.into_iter().chain([AUTO]) {
        for flags in [0, WRITABLE] {
            let mut failure = None;
            leaves_nothing(|| {
                without_standard_input(|| {
                    limited(&mut || failure = wrap_with(b"hello", flags, backend).err())
                });
            });
            let failure = failure.expect("refused");
            assert_eq!(
                failure.errno,
                libc::EMFILE,
                "backend {backend}, flags {flags}: {failure:?}"
            );
        }
        if backend == MEMFD {
            let sealed = wrap_with(b"hello", 0, backend).expect("wrapped");
            assert_eq!(seals(&sealed), 0xf | exec_seal, "nothing wrong is remembered");
        }
    }
}

pub fn no_descriptor_above_the_standard_streams_leaves_no_name() {
    assert_no_number_above_two_is_emfile(|body| with_free_descriptors(1, body));
}

/// F_DUPFD of fcntl(2) answers EINVAL then, although the caller's arguments are right.
pub fn a_limit_of_three_descriptors_is_emfile_and_leaves_no_name() {
    assert_no_number_above_two_is_emfile(|body| with_limit(libc::RLIMIT_NOFILE, 3, body));
}
