//! Tests programs without standard streams, programs that start others, and programs that are
//! killed.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::Command;
use std::ptr::null_mut;

use super::conditions::*;
use super::every_way::{backends, options};
use super::signals::die_when_writing;
use crate::support::abi::{self, *};
use crate::support::fd::{pattern, wrap, wrap_with};
use crate::support::map::memory;
use crate::support::{hosts, rounds};

/// Returns the numbers that are returned, or lent, while 0, 1 and 2 are free, and whether those are
/// free afterwards.
fn numbers_without_streams(flags: u64, backend: u32) -> (Vec<c_int>, bool) {
    let abi = abi::load();
    let options = options(flags, backend);
    // SAFETY: valid arguments; the streams come back.
    unsafe {
        let kept = [0, 1, 2].map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100));
        assert!(kept.iter().all(|fd| *fd >= 100));
        for fd in [0, 1, 2] {
            libc::close(fd);
        }
        let wrapped =
            wrap(b"hello", &options).map_or_else(|failure| -failure.errno, IntoRawFd::into_raw_fd);
        let reopened = (abi.reopen)(wrapped, 0, null_mut());
        let mut scan = null_mut();
        let lent = (abi.scan_begin)(b"hello".as_ptr().cast(), 5, &options, &mut scan, null_mut());
        let free = [0, 1, 2].iter().all(|fd| libc::fcntl(*fd, libc::F_GETFD) == -1);
        if lent >= 0 {
            (abi.scan_end)(scan);
        }
        libc::close(wrapped);
        libc::close(reopened);
        for (fd, kept) in kept.iter().enumerate() {
            libc::dup2(*kept, fd as c_int);
            libc::close(*kept);
        }
        (vec![wrapped, reopened, lent], free)
    }
}

pub fn standard_streams_that_are_closed_stay_closed() {
    for backend in backends().into_iter().chain([AUTO]) {
        for flags in [0, READ_ONLY, WRITABLE, INHERIT, EXECUTABLE] {
            let (numbers, free) = leaves_nothing(|| numbers_without_streams(flags, backend));
            assert!(
                numbers.iter().all(|fd| *fd > 2),
                "backend {backend}, flags {flags}: {numbers:?}"
            );
            assert!(free, "backend {backend}, flags {flags}: something is left at 0, 1 or 2");
        }
    }
}

/// Returns the signals that this thread blocks, and that the process ignores and handles.
fn signals() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("/proc is mounted");
    status
        .lines()
        .filter(|line| ["SigBlk", "SigIgn", "SigCgt"].contains(&&line[..6]))
        .map(String::from)
        .collect()
}

pub fn no_call_blocks_or_handles_a_signal() {
    let before = signals();
    assert_eq!(before.len(), 3);
    for backend in backends().into_iter().chain([AUTO]) {
        numbers_without_streams(READ_ONLY, backend);
        assert!(wrap_with(&pattern(5 << 20), 1 << 31, backend).is_err());
    }
    let mut map =
        memory(5, &MapOptions { access: WRITE, ..MapOptions::default() }).expect("memory");
    map.write(0, b"hello").expect("written");
    map.resize(10_000).expect("grown");
    map.seal().expect("sealed");
    assert_eq!(signals(), before);
}

pub fn scans_nested_ten_deep_close_all_they_opened() {
    struct Level {
        depth: usize,
        open: Vec<c_int>,
    }
    unsafe extern "C" fn deeper(fd: c_int, context: *mut c_void) -> c_int {
        // SAFETY: the context given below.
        let level = unsafe { &mut *context.cast::<Level>() };
        level.open.push(fd);
        if level.depth == 10 {
            return 0;
        }
        level.depth += 1;
        scan_at(level)
    }
    fn scan_at(level: &mut Level) -> c_int {
        let bytes = pattern(level.depth * 1000);
        let (start, length) = (bytes.as_ptr().cast(), bytes.len());
        let context = (&raw mut *level).cast();
        // SAFETY: valid arguments.
        unsafe {
            (abi::load().scan_bytes)(
                start,
                length,
                Some(deeper),
                context,
                std::ptr::null(),
                null_mut(),
            )
        }
    }
    let mut level = Level { depth: 1, open: Vec::new() };
    leaves_nothing(|| assert_eq!(scan_at(&mut level), 0));
    let numbers: std::collections::BTreeSet<c_int> = level.open.iter().copied().collect();
    assert_eq!((level.open.len(), numbers.len()), (10, 10), "ten descriptors at the same time");
}

/// With BYTEFD_INHERIT the program has it, which shows that the test looks at the right place.
pub fn a_program_started_in_a_scan_does_not_have_the_descriptor() {
    unsafe extern "C" fn start(fd: c_int, found: *mut c_void) -> c_int {
        let look = format!("test -e /proc/self/fd/{fd}");
        let status = Command::new("sh").args(["-c", &look]).status().expect("a shell");
        // SAFETY: the context given below.
        unsafe { *found.cast::<Option<bool>>() = status.code().map(|code| code == 0) };
        0
    }
    for backend in backends() {
        for flags in [0, READ_ONLY, WRITABLE, EXECUTABLE, INHERIT, INHERIT | READ_ONLY] {
            let mut found: Option<bool> = None;
            let (options, context) = (options(flags, backend), (&raw mut found).cast());
            // SAFETY: valid arguments.
            let status = unsafe {
                (abi::load().scan_bytes)(
                    b"hello".as_ptr().cast(),
                    5,
                    Some(start),
                    context,
                    &options,
                    null_mut(),
                )
            };
            assert_eq!(status, 0);
            assert_eq!(found, Some(flags & INHERIT != 0), "backend {backend}, flags {flags}");
        }
    }
}

fn need_shm() {
    if !hosts::has_shm() {
        skip("this host has no /dev/shm");
    }
}

/// Tests this statement of the header: the name is "removed before the first byte is written".
pub fn a_process_killed_at_the_first_byte_leaves_no_name() {
    need_shm();
    for backend in backends() {
        let end = leaves_nothing(|| {
            in_child(|| {
                die_when_writing();
                i32::from(wrap_with(b"secret", 0, backend).is_ok())
            })
        });
        assert_eq!(end, End::Killed(libc::SIGKILL), "the bytes go another way now: die there");
    }
}

/// Without O_TMPFILE the name exists for a moment, so that a kill then leaves it. The file has no
/// bytes, and never gets any.
pub fn a_process_killed_at_any_moment_leaves_no_content_in_shm() {
    need_shm();
    let _shm = hide("/dev/shm", "");
    let bytes = pattern(64 << 10);
    for moment in 0..rounds(100) as u64 {
        // SAFETY: the child only wraps; this process has one thread.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                while wrap_with(&bytes, 0, SHM).is_ok() {}
                libc::_exit(1);
            }
            std::thread::sleep(std::time::Duration::from_micros(moment * 7919 % 5003));
            assert_eq!(libc::kill(child, libc::SIGKILL), 0);
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(libc::WTERMSIG(status), libc::SIGKILL, "it wrapped until it was killed");
        }
    }
    for entry in std::fs::read_dir("/dev/shm").expect("/dev/shm").flatten() {
        assert_eq!(entry.metadata().expect("stat").len(), 0, "{:?} has content", entry.file_name());
    }
    // All memory is free again but for the names themselves.
    let fd = wrap_with(&bytes, 0, SHM).expect("wrapped");
    assert!(fd.as_raw_fd() > 2);
}
