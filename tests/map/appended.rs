//! Tests growth that is refused while another process appends to the same file: the appended bytes
//! are never cut off. If the other process puts something in the place of a created file, that is
//! never removed.
//!
//! The other process acts before the first system call of map_file, in the next run before the
//! second, and so on. Two things are not promised. Appended bytes may be lost in a range that the
//! library grows into afterwards, because processes that grow one file at the same time must
//! coordinate. So may bytes that are appended after its last look at the size and before it sets
//! the size back.

use std::ffi::c_long;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::faults::conditions::*;
use crate::faults::traced::{Call, Stop, in_traced_child};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::hosts;
use crate::support::map::{map, page_size};

/// One attempt to grow a file, which must be refused.
struct Attempt<'a> {
    path: &'a Path,
    /// The length of the file before.
    old: usize,
    options: MapOptions,
    errno: i32,
    /// RLIMIT_FSIZE of the process that grows the file.
    limit: Option<u64>,
    /// A file that the other process removes before it appends, to have room.
    ballast: Option<&'a Path>,
}

/// The other process's part of one run.
struct Append {
    /// The file right after the append, and the offset in it at which the appended bytes begin.
    file: Vec<u8>,
    start: usize,
    /// Whether the library has looked at the size since.
    is_known: bool,
    /// The length to which it has grown the file since, before it looked.
    covered: u64,
    /// Whether it has done nothing since.
    is_last: bool,
}

/// Counts the runs in which the library looked at the size after the append, and had to leave the
/// file as it was then.
#[derive(Default)]
struct Kept {
    /// The appended bytes began at the old end of the file.
    before_growth: usize,
    /// The appended bytes began at the end to which the library had grown the file.
    beyond_growth: usize,
}

impl Append {
    fn new(path: &Path, bytes: &[u8]) -> Append {
        let start = path.metadata().expect("stat").len() as usize;
        let mut file = OpenOptions::new().append(true).open(path).expect("opened");
        file.write_all(bytes).expect("appended");
        Append {
            file: fs::read(path).expect("read"),
            start,
            is_known: false,
            covered: 0,
            is_last: true,
        }
    }

    /// Notes a system call of the library after the append.
    fn note(&mut self, call: Call, answer: i64) {
        let [_, second, third, fourth, ..] = call.arguments;
        let is_next = std::mem::replace(&mut self.is_last, false);
        if self.is_known || answer < 0 {
            return;
        }
        self.covered = self.covered.max(match call.number {
            libc::SYS_pwrite64 | libc::SYS_pwritev => fourth + answer as u64,
            libc::SYS_fallocate if second == 0 => third + fourth,
            // After the look.
            libc::SYS_ftruncate if is_next => u64::MAX,
            _ => 0,
        });
        self.is_known =
            [libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx].contains(&call.number);
    }

    /// Checks what is in the file at the end.
    fn check(&self, end: &[u8], old: usize, kept: &mut Kept, when: &str) {
        assert!(end.starts_with(&pattern(old)), "the old bytes, {when}");
        if self.covered == 0 {
            assert!(end == self.file, "{} bytes and not {}, {when}", end.len(), self.file.len());
            kept.before_growth += usize::from(self.is_known && self.start == old);
            kept.beyond_growth += usize::from(self.is_known && self.start > old);
        } else if self.covered < self.file.len() as u64 {
            let from = self.start.max(self.covered as usize);
            assert_eq!(end.len(), self.file.len(), "{when}");
            assert!(end[from..] == self.file[from..], "what lies past {from}, {when}");
        }
    }
}

impl Attempt<'_> {
    /// Makes the attempt once for each moment in which another process can append these bytes.
    fn at_each_moment(&self, bytes: &[u8]) -> Kept {
        let mut kept = Kept::default();
        for moment in 0.. {
            fs::write(self.path, pattern(self.old)).expect("written");
            if let Some(path) = self.ballast {
                fs::write(path, [1; 64 << 10]).expect("written");
            }
            let (mut calls, mut append, mut when) = (0, None, String::new());
            let other_process = |stop: Stop| match stop {
                Stop::Before(call) => {
                    if calls == moment {
                        if let Some(path) = self.ballast {
                            fs::remove_file(path).expect("removed");
                        }
                        append = Some(Append::new(self.path, bytes));
                        when = format!("appended before call {moment}, {call:?}");
                    }
                    calls += 1;
                }
                Stop::After(call, answer) => {
                    if let Some(append) = &mut append {
                        append.note(call, answer);
                    }
                }
            };
            in_traced_child(|| self.assert_refused(), other_process);
            let end = fs::read(self.path).expect("read");
            let Some(append) = append else {
                assert!(end == pattern(self.old), "nobody appended: {} bytes", end.len());
                break;
            };
            append.check(&end, self.old, &mut kept, &when);
        }
        kept
    }

    fn assert_refused(&self) {
        let map = || map(self.path, &self.options);
        let outcome = match self.limit {
            Some(limit) => with_limit(libc::RLIMIT_FSIZE, limit, map),
            None => map(),
        };
        let failure = outcome.expect_err("refused");
        assert_eq!(failure.errno, self.errno, "{failure:?}");
    }
}

/// Returns an attempt with a file that ends within a page, and an attempt with a file that ends
/// with a page.
fn attempts<'a>(
    path: &'a Path,
    file_size: u64,
    flags: u64,
    errno: i32,
) -> impl Iterator<Item = Attempt<'a>> {
    let options =
        MapOptions { access: WRITE, flags: CREATE | flags, file_size, ..MapOptions::default() };
    let olds = [5000, 2 * page_size()].into_iter();
    olds.map(move |old| Attempt { path, old, options, errno, limit: None, ballast: None })
}

pub fn bytes_appended_before_growth_past_the_limit_stay() {
    file_size_signal_kills();
    let folder = tempfile::tempdir().expect("a folder");
    for attempt in attempts(&folder.path().join("file"), 1 << 30, 0, libc::EFBIG) {
        let kept = Attempt { limit: Some(1 << 20), ..attempt }.at_each_moment(b"appended");
        assert!(kept.before_growth > 0 && kept.beyond_growth == 0);
    }
}

pub fn bytes_appended_during_growth_on_a_full_file_system_stay() {
    let (folder, _mounted) = small_file_system(1024);
    let ballast = folder.path().join("ballast");
    for attempt in attempts(&folder.path().join("file"), 2 << 20, 0, libc::ENOSPC) {
        for length in [8, 20_000] {
            let kept =
                Attempt { ballast: Some(&ballast), ..attempt }.at_each_moment(&pattern(length));
            assert!(kept.before_growth > 0);
        }
    }
}

/// The file system is full, so the file has grown by as much as had room when the growth ends.
pub fn bytes_appended_during_growth_by_zeros_on_a_full_file_system_stay() {
    hosts::refuse(libc::SYS_fallocate, libc::EOPNOTSUPP);
    let (folder, _mounted) = small_file_system(1024);
    let ballast = folder.path().join("ballast");
    for attempt in attempts(&folder.path().join("file"), 2 << 20, 0, libc::ENOSPC) {
        for length in [8, 20_000] {
            let kept =
                Attempt { ballast: Some(&ballast), ..attempt }.at_each_moment(&pattern(length));
            assert!(kept.before_growth > 0 && kept.beyond_growth > 0);
        }
    }
}

/// Appends a few bytes, and more bytes than the growth.
fn stay_where_the_lock_is_refused() {
    hosts::refuse(libc::SYS_mlock, libc::ENOMEM);
    let folder = tempfile::tempdir().expect("a folder");
    for flags in [MLOCK, MLOCK | NO_RESERVE] {
        for attempt in attempts(&folder.path().join("file"), 200_000, flags, libc::ENOMEM) {
            for length in [8, 300_000] {
                let kept = attempt.at_each_moment(&pattern(length));
                assert!(kept.before_growth > 0 && kept.beyond_growth > 0);
            }
        }
    }
}

pub fn bytes_appended_during_growth_whose_map_is_refused_stay() {
    stay_where_the_lock_is_refused();
}

pub fn bytes_appended_during_growth_without_fallocate_whose_map_is_refused_stay() {
    hosts::refuse(libc::SYS_fallocate, libc::EOPNOTSUPP);
    stay_where_the_lock_is_refused();
}

/// The system call that unlink(3) makes.
#[cfg(target_arch = "x86_64")]
const UNLINK: c_long = libc::SYS_unlink;
#[cfg(not(target_arch = "x86_64"))]
const UNLINK: c_long = libc::SYS_unlinkat;

/// By then, the name is that of another file than the created one.
pub fn a_name_that_another_process_takes_is_not_removed() {
    hosts::refuse(libc::SYS_mlock, libc::ENOMEM);
    let folder = tempfile::tempdir().expect("a folder");
    let (path, other) = (&folder.path().join("file"), folder.path().join("other"));
    let attempt = attempts(path, 200_000, MLOCK, libc::ENOMEM).next().expect("an attempt");
    for moment in 0.. {
        fs::write(&other, pattern(3000)).expect("written");
        let (mut calls, mut when) = (0, None);
        in_traced_child(
            || attempt.assert_refused(),
            |stop| {
                if let Stop::Before(call) = stop {
                    if calls == moment {
                        fs::rename(&other, path).expect("renamed");
                        when = Some(call);
                    }
                    calls += 1;
                }
            },
        );
        let end = fs::read(path).ok();
        match when {
            None => return assert_eq!(end, None, "a file that was created is gone"),
            // After the last look at the name.
            Some(call) if call.number == UNLINK => {}
            Some(call) => {
                assert!(end == Some(pattern(3000)), "taken before call {moment}, {call:?}")
            }
        }
        let _ = fs::remove_file(path);
    }
}
