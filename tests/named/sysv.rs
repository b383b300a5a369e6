//! Tests System V segments as maps.

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::SeqCst;

use crate::faults::conditions::*;
use crate::faults::traced::{Stop, in_traced_child};
use crate::support::abi::*;
use crate::support::fd::{content, pattern, wrap};
use crate::support::map::{Map, page_size};
use crate::support::named::*;

const LENGTH: usize = 100_000;

fn making() -> SysvOptions {
    SysvOptions { flags: SYSV_NEW, access: WRITE, length: LENGTH, ..SysvOptions::default() }
}

fn attaching(access: u32) -> SysvOptions {
    SysvOptions { flags: SYSV_BY_ID, access, ..SysvOptions::default() }
}

/// Returns a key that no other test has.
fn key(label: u8) -> c_int {
    (u32::from(label) << 24 | std::process::id() & 0xff_ffff) as c_int
}

/// A segment that is removed with the test.
struct Segment(c_int);

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: touches no memory. It may be removed already.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, null_mut()) };
    }
}

fn made(key: c_int) -> (Map, Segment) {
    let (map, number) = map_sysv(key, &making()).expect("made");
    (map, Segment(number))
}

/// Returns what the kernel lists of a segment: key, mode with its flags, size, how many have it
/// attached.
pub fn listed(number: c_int) -> Option<[i64; 4]> {
    let list = std::fs::read_to_string("/proc/sysvipc/shm").expect("/proc is mounted");
    list.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let value = |index: usize| fields[index].parse::<i64>().expect("a number");
        let mode = i64::from_str_radix(fields[2], 8).expect("an octal number");
        (value(1) == i64::from(number)).then(|| [value(0), mode, value(3), value(6)])
    })
}

pub fn a_segment_is_made_and_found_by_its_key() {
    let key = key(1);
    for (mode, expected) in [(0, 0o600), (0o640, 0o640), (0o777, 0o777)] {
        let (map, number) = map_sysv(key, &SysvOptions { mode, ..making() }).expect("made");
        let segment = Segment(number);
        assert_eq!(map.bytes(), [0; LENGTH]);
        assert_eq!(listed(number), Some([i64::from(key), expected, LENGTH as i64, 1]));
        let failure = map_sysv(key, &making()).expect_err("there");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EEXIST, "shmget"));
        for length in [0, 1, LENGTH] {
            let (other, found) =
                map_sysv(key, &SysvOptions { length, ..SysvOptions::default() }).expect("opened");
            assert_eq!((found, other.length()), (number, LENGTH), "as many bytes as the segment");
            map.store(9990, b"hello");
            assert_eq!(other.part(9990, 5), b"hello");
        }
        let failure = map_sysv(key, &SysvOptions { length: LENGTH + 1, ..SysvOptions::default() })
            .expect_err("short");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::ENXIO, "length"));
        let (short, long) = (format!("has {LENGTH}"), format!("for {} bytes", LENGTH + 1));
        assert!(
            failure.message.contains(&short) && failure.message.contains(&long),
            "{}",
            failure.message
        );
        assert_eq!(listed(number).expect("there")[3], 1, "the others are detached");
        drop(map);
        assert_eq!(listed(number).expect("it stays")[3], 0);
        drop(segment);
        assert_eq!(listed(number), None);
        assert_eq!(map_sysv(key, &SysvOptions::default()).expect_err("gone").errno, libc::ENOENT);
    }
}

pub fn a_segment_without_a_key_is_found_by_its_number() {
    let ((one, first), (_two, second)) = (made(0), made(0));
    assert_ne!(first.0, second.0);
    assert_eq!(listed(first.0).expect("there")[0], 0);
    one.store(0, b"hello");
    for access in [READ, WRITE] {
        let (other, number) = map_sysv(first.0, &attaching(access)).expect("attached");
        assert_eq!((number, other.part(0, 5)), (first.0, b"hello".to_vec()));
        assert_eq!(other.region().permissions(), if access == READ { "r--s" } else { "rw-s" });
    }
    // NULL where the number is not wanted.
    let mut map = null_mut();
    // SAFETY: options and a writable pointer.
    unsafe {
        assert_eq!(
            (load().map_sysv)(first.0, &attaching(READ), &mut map, null_mut(), null_mut()),
            0
        );
        assert_eq!((load().map_close)(map), 0);
    }
}

pub fn segments_that_are_not_there_are_refused() {
    let errno =
        |key: c_int, options: &SysvOptions| map_sysv(key, options).expect_err("refused").errno;
    assert_eq!(errno(key(2), &SysvOptions::default()), libc::ENOENT);
    assert_eq!(errno(0, &SysvOptions::default()), libc::EINVAL);
    for access in [READ, WRITE] {
        for number in [-1, c_int::MIN, c_int::MAX] {
            assert_eq!(errno(number, &attaching(access)), libc::EINVAL);
            assert_eq!(sysv_remove(number).expect_err("refused").errno, libc::EINVAL);
        }
    }
    let (map, segment) = made(0);
    drop(map);
    sysv_remove(segment.0).expect("removed");
    assert_eq!(errno(segment.0, &attaching(READ)), libc::EINVAL);
    assert_eq!(sysv_remove(segment.0).expect_err("gone").errno, libc::EINVAL);
}

pub fn options_for_segments_that_mean_nothing_are_refused() {
    let refused = |options: SysvOptions| {
        let failure = map_sysv(key(3), &options).expect_err("refused");
        assert_eq!(
            map_sysv(key(3), &SysvOptions::default()).expect_err("not made").errno,
            libc::ENOENT
        );
        (failure.errno, failure.op)
    };
    let einval = |op: &str| (libc::EINVAL, op.to_string());
    // Unknown, other families', and those that do not go together.
    for flags in [1, INTERRUPTIBLE, SHM_CREATE, SHM_EXCLUSIVE, 1 << 31, 1 << 33, u64::MAX] {
        assert_eq!(refused(SysvOptions { flags, ..making() }), einval("flags"));
        assert_eq!(refused(SysvOptions { flags: flags | SYSV_NEW, ..making() }), einval("flags"));
    }
    for flags in [
        SYSV_EXCLUSIVE,
        SYSV_EXCLUSIVE | SYSV_BY_ID,
        SYSV_CREATE | SYSV_BY_ID,
        SYSV_NEW | SYSV_BY_ID,
    ] {
        assert_eq!(refused(SysvOptions { flags, ..making() }), einval("flags"));
    }
    for access in [READ, PRIVATE, 3] {
        assert_eq!(refused(SysvOptions { access, ..making() }), einval("access"));
    }
    for mode in [0o1000, 0o2600, u32::MAX] {
        assert_eq!(refused(SysvOptions { mode, ..making() }), einval("mode"));
    }
    assert_eq!(refused(SysvOptions { length: 0, ..making() }), einval("length"));
    let length = usize::MAX;
    assert!(
        [libc::EINVAL, libc::ENOMEM, libc::ENOSPC]
            .contains(&refused(SysvOptions { length, ..making() }).0)
    );
    let mut map = null_mut();
    // SAFETY: NULL is all defaults, and a writable pointer.
    let status = unsafe { (load().map_sysv)(key(3), null(), &mut map, null_mut(), null_mut()) };
    assert_eq!(status, -libc::ENOENT);
}

pub fn a_segment_is_made_only_if_there_is_none() {
    let key = key(9);
    let either = SysvOptions { flags: SYSV_CREATE, ..making() };
    let (map, number) = map_sysv(key, &either).expect("made");
    let _segment = Segment(number);
    map.store(0, b"hello");
    let (same, found) = map_sysv(key, &either).expect("opened");
    assert_eq!((found, same.part(0, 5)), (number, b"hello".to_vec()));
    let failure = map_sysv(key, &SysvOptions { length: LENGTH + 1, ..either }).expect_err("short");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::ENXIO, "length"));
    // Without a key each is a new one.
    let (_other, other) = map_sysv(0, &either).expect("made");
    let _other_segment = Segment(other);
    assert_ne!(other, number);
}

pub fn a_transient_segment_goes_with_its_last_user() {
    const IS_REMOVED: i64 = 0o1000;
    for flags in [SYSV_CREATE, SYSV_NEW] {
        let transient = SysvOptions { flags: flags | SYSV_TRANSIENT, ..making() };
        let (map, number) = map_sysv(0, &transient).expect("made");
        assert_eq!(listed(number).expect("there")[1..], [IS_REMOVED | 0o600, LENGTH as i64, 1]);
        map.store(0, b"hello");
        let (other, _) = map_sysv(number, &attaching(WRITE)).expect("attached by its number");
        drop(map);
        assert_eq!(other.part(0, 5), b"hello");
        drop(other);
        assert_eq!(listed(number), None);
    }
    // One that is there already.
    let (map, segment) = made(0);
    drop(map);
    let marking = SysvOptions { flags: SYSV_BY_ID | SYSV_TRANSIENT, ..SysvOptions::default() };
    drop(map_sysv(segment.0, &marking).expect("attached"));
    assert_eq!(listed(segment.0), None);
    let short = SysvOptions { length: LENGTH + 1, ..marking };
    let (_map, segment) = made(0);
    assert_eq!(map_sysv(segment.0, &short).expect_err("short").errno, libc::ENXIO);
    assert_eq!(listed(segment.0).expect("there")[1], 0o600, "a refusal marks nothing");
}

/// Calls shmat(2).
fn c_attach(number: c_int) -> *mut u8 {
    // SAFETY: where the kernel likes.
    let at: *mut c_void = unsafe { libc::shmat(number, null(), 0) };
    assert!(at.addr() != usize::MAX, "{}", std::io::Error::last_os_error());
    at.cast()
}

pub fn the_c_library_and_the_library_see_one_segment() {
    let key = key(4);
    let (map, segment) = made(key);
    // SAFETY: the segment is attached, and detached at the end.
    unsafe {
        assert_eq!(libc::shmget(key, LENGTH, 0), segment.0);
        let at = c_attach(segment.0);
        at.add(LENGTH - 1).write(7);
        assert_eq!(map.part(LENGTH - 1, 1), [7]);
        assert_eq!(libc::shmdt(at.cast()), 0);
    }
    sysv_remove(segment.0).expect("removed");
    drop(map);

    // SAFETY: as above.
    unsafe {
        let theirs = Segment(libc::shmget(key, 5, libc::IPC_CREAT | libc::IPC_EXCL | 0o600));
        let at = c_attach(theirs.0);
        std::ptr::copy(b"hello".as_ptr(), at, 5);
        let (map, number) = map_sysv(key, &SysvOptions::default()).expect("opened");
        assert_eq!((number, map.bytes()), (theirs.0, b"hello".to_vec()));
        let copy = wrap(&map.bytes(), &WrapOptions::default()).expect("wrapped");
        assert_eq!(content(&copy), b"hello");
        assert_eq!(libc::shmdt(at.cast()), 0);
    }
}

pub fn a_removed_segment_lives_until_the_last_has_closed_it() {
    const IS_REMOVED: i64 = 0o1000;
    let key = key(5);
    let (map, segment) = made(key);
    let (other, _) = map_sysv(segment.0, &attaching(WRITE)).expect("attached");
    sysv_remove(segment.0).expect("removed");
    assert_eq!(listed(segment.0).expect("it lives")[1..], [IS_REMOVED | 0o600, LENGTH as i64, 2]);
    assert_eq!(
        map_sysv(key, &SysvOptions::default()).expect_err("not by its key").errno,
        libc::ENOENT
    );
    let (_next, _segment) = made(key);
    map.store(0, b"hello");
    assert_eq!(other.part(0, 5), b"hello");
    drop(map);
    assert_eq!(listed(segment.0).expect("it lives")[3], 1);
    drop(other);
    assert_eq!(listed(segment.0), None);
}

pub fn every_operation_of_a_map_holds_for_a_segment() {
    let (mut map, segment) = made(0);
    let bytes = pattern(LENGTH);
    assert_eq!(map.write(0, &bytes).expect("written"), LENGTH);
    let mut copy = vec![0; LENGTH];
    assert_eq!(map.read(0, &mut copy).expect("read"), LENGTH);
    assert!(copy == bytes);
    for how in [libc::MS_SYNC, libc::MS_ASYNC, libc::MS_SYNC | libc::MS_INVALIDATE] {
        map.flush(1, 5000, how).expect("flushed");
    }
    map.check().expect("whole");
    map.prefetch(0, LENGTH).expect("read in");
    for advice in [
        libc::MADV_NORMAL,
        libc::MADV_RANDOM,
        libc::MADV_WILLNEED,
        libc::MADV_DONTNEED,
        libc::MADV_DONTDUMP,
    ] {
        map.advise(0, LENGTH, advice, 0).expect("advised");
    }
    assert!(map.bytes() == bytes, "it is shared");
    map.mlock(0, LENGTH).expect("locked");
    assert!(map.region().has_flag("lo"));
    map.munlock(0, LENGTH).expect("unlocked");
    map.protect(0, 1, 1).expect("for reading");
    assert_eq!(map.write(0, b"x").expect_err("protected").errno, libc::EIO);
    map.protect(0, LENGTH, 3).expect("for both");
    assert_eq!(map.protect(0, LENGTH, 5).expect_err("not executable").errno, libc::EACCES);
    let errno = |failure: crate::support::fd::Failure| failure.errno;
    for length in [1, LENGTH + 1, LENGTH * 10] {
        assert_eq!(map.resize(length).map_err(errno), Err(libc::EINVAL));
    }
    assert_eq!(map.seal().map_err(errno).map(drop), Err(libc::EINVAL));
    assert_eq!(map.share(0).map_err(errno).map(drop), Err(libc::EINVAL));
    assert_eq!(map.descriptor().map_err(errno).map(drop), Err(libc::EBADF));
    assert_eq!(map.file_size().map_err(errno), Err(libc::EBADF));
    assert_eq!(map.read(LENGTH, &mut [0]).map_err(errno), Err(libc::EINVAL));
    assert_eq!(map.flush(0, LENGTH + 1, libc::MS_SYNC).map_err(errno), Err(libc::EINVAL));
    map.advise(0, page_size(), libc::MADV_REMOVE, LOSE_CONTENT).expect("a hole");
    assert_eq!(map.part(0, page_size()), vec![0; page_size()]);
    assert!(map.part(page_size(), LENGTH - page_size()) == bytes[page_size()..]);

    // Parts that are let go leave the rest attached, and all of it goes at the end.
    map.unmap(0, page_size()).expect("unmapped");
    assert_eq!(map.read(0, &mut [0]).map_err(errno), Err(libc::EINVAL));
    assert!(map.part(page_size(), 100) == bytes[page_size()..page_size() + 100]);
    sysv_remove(segment.0).expect("removed");
    drop(map);
    assert_eq!(listed(segment.0), None);

    let (map, segment) = made(0);
    let (reading, _) = map_sysv(segment.0, &attaching(READ)).expect("attached");
    assert_eq!(reading.write(0, b"x").map_err(errno), Err(libc::EACCES));
    assert_eq!(reading.protect(0, 1, 3).map_err(errno), Err(libc::EACCES));
    reading.flush(0, LENGTH, libc::MS_SYNC).expect("flushed");
    map.store(0, b"hello");
    assert_eq!(reading.part(0, 5), b"hello");
}

// Tests that affect the whole process
// ------------------------------------------------------------------------------------

pub fn a_store_to_a_segment_for_reading_is_sigsegv() {
    let (map, segment) = made(0);
    let (reading, _) = map_sysv(segment.0, &attaching(READ)).expect("attached");
    assert_eq!(read_in_child(reading.data()), End::Exited(0));
    assert_eq!(store_in_child(reading.data(), 1), End::Killed(libc::SIGSEGV));
    assert_eq!(store_in_child(map.data(), 1), End::Exited(0));
    assert_eq!(reading.part(0, 1), [1]);
}

pub fn a_segment_of_another_user_is_eacces() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
    }
    let key = key(6);
    let (_map, number) = map_sysv(key, &SysvOptions { mode: 0o604, ..making() }).expect("made");
    let segment = Segment(number);
    as_nobody(|| {
        map_sysv(number, &attaching(READ)).expect("the mode lets everybody read");
        for options in [attaching(WRITE), SysvOptions { flags: 0, ..attaching(WRITE) }] {
            let by = if options.flags == SYSV_BY_ID { number } else { key };
            assert_eq!(map_sysv(by, &options).expect_err("and nobody write").errno, libc::EACCES);
        }
        assert_eq!(sysv_remove(number).expect_err("not theirs").errno, libc::EPERM);
        // A segment is not left behind if its maker may not write it.
        let failure = map_sysv(self::key(7), &SysvOptions { mode: 0o400, ..making() })
            .expect_err("not for writing");
        assert_eq!(failure.errno, libc::EACCES);
        assert_eq!(
            map_sysv(self::key(7), &SysvOptions::default()).expect_err("none").errno,
            libc::ENOENT
        );
    });
    assert_eq!(listed(segment.0).expect("there")[3], 1, "who was refused has it not attached");
}

pub fn a_segment_lives_in_a_child_after_its_maker() {
    let (map, segment) = made(0);
    sysv_remove(segment.0).expect("removed");
    map.store(0, b"hello");
    let mut child = Child::new(|to| {
        say(to, map.part(0, 1)[0]);
        sleep_for_ever()
    });
    assert_eq!(child.hear(), b'h');
    assert_eq!(listed(segment.0).expect("there")[3], 2);
    drop(map);
    assert_eq!(listed(segment.0).expect("there")[3], 1);
    child.kill();
    assert_eq!(listed(segment.0), None);
}

/// Another thread may have attached a segment at its address since.
pub fn a_segment_is_detached_once() {
    // The parts around a hole are unmapped.
    for (has_hole, expected) in [(false, 1), (true, 0)] {
        let mut detached = 0;
        let count = |stop| {
            let is_detaching = matches!(stop, Stop::Before(call) if call.number == libc::SYS_shmdt);
            detached += usize::from(is_detaching);
        };
        let body = || {
            let (mut map, _segment) = made(0);
            if has_hole {
                map.unmap(0, page_size()).expect("unmapped");
            }
        };
        in_traced_child(body, count);
        assert_eq!(detached, expected, "with a hole: {has_hole}");
    }
}

pub fn a_transient_segment_of_a_killed_process_is_gone_without_any_sweep() {
    let shared = shared(4096);
    let mut child = Child::new(|to| {
        let transient = SysvOptions { flags: SYSV_NEW | SYSV_TRANSIENT, ..making() };
        let (map, number) = map_sysv(0, &transient).expect("made");
        word(&shared, 0).store(number as u32, SeqCst);
        std::mem::forget(map);
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    let number = word(&shared, 0).load(SeqCst) as c_int;
    let (map, _) = map_sysv(number, &attaching(READ)).expect("attached");
    child.kill();
    assert_eq!(map.bytes(), [0; LENGTH], "it has a user");
    drop(map);
    assert_eq!(listed(number), None);
}
