//! Tests how many bytes are taken, and what is left if there are too many.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::ptr::null;

use super::places::above;
use super::sources::{assert_as_wrapped, pipe, through_a_pipe};
use crate::faults::conditions::*;
use crate::support::abi::{StreamOptions, UNLIMITED, WrapOptions};
use crate::support::fd::{content, metadata, pattern};
use crate::support::hosts::has_memfd;
use crate::support::share::*;

fn at_most(most: u64) -> StreamOptions {
    StreamOptions { max_bytes: most, ..StreamOptions::default() }
}

pub fn a_limit_exactly_met_is_fine_and_one_more_is_efbig() {
    for length in
        [1, 2, 4095, 4096, 4097, 64 << 10, (64 << 10) + 1, 1 << 20, 2 << 20, (2 << 20) + 1]
    {
        let bytes = pattern(length);
        for most in [length as u64, length as u64 + 1, u64::MAX] {
            let fd = through_a_pipe(&bytes, 10_000, &at_most(most)).expect("within the limit");
            assert_as_wrapped(&fd, &bytes);
        }
        let most = length as u64 - 1;
        if most > 0 {
            let failure = through_a_pipe(&bytes, 10_000, &at_most(most)).expect_err("one more");
            assert_eq!(failure.errno, libc::EFBIG, "{failure:?}");
            assert!(failure.message.contains(&most.to_string()), "{failure:?}");
        }
    }
}

/// Makes a pipe that has these bytes, and no writer any more.
fn filled(bytes: &[u8]) -> OwnedFd {
    let (reader, writer) = pipe(0);
    plain_write(&writer, bytes);
    reader
}

pub fn a_refused_stream_leaves_nothing() {
    let bytes = pattern(50_000);
    for (wrap, options) in [
        (WrapOptions::default(), at_most(49_999)),
        (WrapOptions::default(), at_most(1)),
        (above(10_000), at_most(49_999)),
    ] {
        let source = filled(&bytes);
        let failure =
            leaves_nothing(|| wrap_stream_with(&source, &wrap, &options)).expect_err("too long");
        assert_eq!(failure.errno, libc::EFBIG);
        // A byte more than is allowed shows that it is too long; more is not taken.
        assert_eq!(waiting(&source), bytes.len() - options.max_bytes as usize - 1);
    }
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    limit_time(&ours, libc::SO_RCVTIMEO);
    plain_write(&theirs, &bytes);
    let failure = leaves_nothing(|| wrap_stream(&ours, null())).expect_err("no end");
    assert_eq!(failure.errno, libc::EAGAIN);
}

pub fn the_file_size_limit_is_efbig_and_no_signal() {
    file_size_signal_kills();
    let bytes = pattern(50_000);
    let folder = tempfile::tempdir().expect("a folder");
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("TMPDIR", folder.path()) };
    for threshold in [UNLIMITED, 5_000] {
        let options = above(threshold);
        for (limit, length) in [(0, 1), (10_000, 10_001), (10_000, 50_000), (4096, 4097)] {
            let source = filled(&bytes[..length]);
            let outcome = leaves_nothing(|| {
                with_limit(libc::RLIMIT_FSIZE, limit, || {
                    wrap_stream_with(&source, &options, null())
                })
            });
            let failure = outcome.expect_err("too long");
            assert_eq!(failure.errno, libc::EFBIG, "{failure:?}");
            assert!(failure.message.contains(&limit.to_string()), "{failure:?}");
        }
        for (limit, length) in [(0, 0), (5, 5), (10_000, 9_999), (10_000, 10_000), (4096, 4096)] {
            let source = filled(&bytes[..length]);
            let fd = with_limit(libc::RLIMIT_FSIZE, limit, || {
                wrap_stream_with(&source, &options, null())
            });
            let fd = fd.expect("within it");
            assert!(content(&fd) == bytes[..length]);
        }
    }
}

/// A reader that lowers RLIMIT_FSIZE when few bytes are left.
struct Lowering(usize);

impl std::io::Read for Lowering {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        assert!(self.0 > 0, "the limit was passed");
        let was_above = self.0 > 1 << 20;
        self.0 -= buf.len().min(self.0);
        if was_above && self.0 <= 1 << 20 {
            let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        }
        Ok(buf.len())
    }
}

pub fn a_file_size_limit_that_falls_while_a_read_waits_is_efbig_and_no_signal() {
    file_size_signal_kills();
    let usual = || {
        let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a valid limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    };
    for left in ((1 << 20) + 1..6 << 20).step_by(300_000) {
        let wrapped =
            bytefd::WrapOptions::new().wrap_reader(Lowering(left), &bytefd::StreamOptions::new());
        usual();
        assert_eq!(wrapped.expect_err("too long").errno(), libc::EFBIG, "{left} bytes before");
    }
}

pub fn without_descriptors_it_is_emfile_with_nothing_left() {
    for threshold in [UNLIMITED, 3] {
        let options = above(threshold);
        for free in 0..=4 {
            let source = filled(b"hello");
            let outcome = leaves_nothing(|| {
                with_free_descriptors(free, || {
                    wrap_stream_with(&source, &options, null()).map(drop)
                })
            });
            match outcome {
                Ok(()) => assert!(free > 0),
                // Memory, the file, and its read-only description are three.
                Err(failure) => {
                    assert!(failure.errno == libc::EMFILE && free < 3, "{free} free: {failure:?}")
                }
            }
        }
    }
}

/// Returns a number of bytes that the kernel counts for this process.
pub fn counted(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// There is no room for the content in private memory (RLIMIT_DATA), and mapped memory (VmHWM) does
/// not have it twice.
pub fn the_content_is_not_held_twice() {
    const LENGTH: u64 = 64 << 20;
    let (reader, writer) = pipe(0);
    // SAFETY: this process has one thread, so the child may do what it likes.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let piece = [7; 1 << 16];
        crate::pool::leave(|| {
            (0..LENGTH / piece.len() as u64).for_each(|_| plain_write(&writer, &piece))
        });
    }
    drop(writer);
    let (own, most) = (counted("VmData:") + LENGTH / 4, counted("VmHWM:") + LENGTH * 3 / 2);
    let fd =
        with_limit(libc::RLIMIT_DATA, own, || wrap_stream(&reader, null())).expect("a descriptor");
    crate::pool::wait_for(child);
    let peak = counted("VmHWM:");
    assert!(peak < most, "{peak} bytes of memory, {most} allowed");
    let stat = metadata(&fd);
    assert_eq!(stat.len(), LENGTH);
    // File systems on disk count in their own way.
    assert!(!has_memfd() || stat.blocks() * 512 == LENGTH, "{} blocks", stat.blocks());
}
