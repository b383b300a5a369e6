//! Tests what can be required of a foreign descriptor, and what that is worth afterwards.

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr::null;

use bytefd::share;

use crate::faults::conditions::leaves_nothing;
use crate::faults::traced::{Stop, in_traced_child};
use crate::support::abi::{
    AUTO, INTERRUPTIBLE, READ_ONLY, REQUIRE_NO_SEALS, REQUIRE_UID, Requirements, SEAL_CONTENT,
    TRANSFER_SOME, WRITABLE,
};
use crate::support::fd::{pattern, wrap_with};
use crate::support::hosts::has_memfd;
use crate::support::share::*;

const SEAL: c_int = libc::F_SEAL_SEAL;
const SHRINK: c_int = libc::F_SEAL_SHRINK;
const GROW: c_int = libc::F_SEAL_GROW;
const WRITE: c_int = libc::F_SEAL_WRITE;

/// Makes a memory file of the test's own, with these seals.
fn sealed(bytes: &[u8], seals: c_int) -> OwnedFd {
    memory(bytes, seals, 0)
}

fn memory(bytes: &[u8], seals: c_int, flags: u32) -> OwnedFd {
    // SAFETY: a string; the descriptor is new and nobody else's.
    let fd = unsafe {
        let flags = libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC | flags;
        OwnedFd::from_raw_fd(libc::memfd_create(c"test".as_ptr(), flags))
    };
    plain_write(&fd, bytes);
    seal(&fd, seals);
    fd
}

fn seal(fd: &OwnedFd, seals: c_int) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
}

fn said(fd: &impl AsRawFd, asked: Requirements) -> c_int {
    verify(fd.as_raw_fd(), &asked).map_or_else(|failure| failure.errno, |()| 0)
}

fn with_seals(seals: c_int) -> Requirements {
    Requirements { seals: seals as u32, ..Requirements::default() }
}

fn skips() -> bool {
    if !has_memfd() {
        println!("SKIPPED: seals: there are no memory files on this host");
    }
    !has_memfd()
}

pub fn each_requirement_is_looked_at() {
    if skips() {
        return;
    }
    // No seals mean the default ones.
    for (seals, errno) in [
        (0, libc::EPERM),
        (WRITE, libc::EPERM),
        (SHRINK, libc::EPERM),
        (GROW | SEAL, libc::EPERM),
        (WRITE | SHRINK, 0),
        (WRITE | SHRINK | GROW | SEAL, 0),
    ] {
        let fd = sealed(b"hello", seals);
        assert_eq!(said(&fd, Requirements::default()), errno, "seals {seals:#x}");
        assert_eq!(
            verify(fd.as_raw_fd(), null()).map_or_else(|failure| failure.errno, |()| 0),
            errno
        );
    }
    let fd = sealed(b"hello", WRITE | SHRINK);
    for (min_length, errno) in [(0, 0), (4, 0), (5, 0), (6, libc::ENXIO), (u64::MAX, libc::ENXIO)] {
        let asked = Requirements { min_length, ..Requirements::default() };
        assert_eq!(said(&fd, asked), errno, "{min_length} bytes or more");
    }
    for (max_length, errno) in [(1, libc::EFBIG), (4, libc::EFBIG), (5, 0), (6, 0), (u64::MAX, 0)] {
        let asked = Requirements { max_length, ..Requirements::default() };
        assert_eq!(said(&fd, asked), errno, "{max_length} bytes or fewer");
    }
    let asked = Requirements { min_length: 6, ..Requirements::default() };
    let failure = verify(fd.as_raw_fd(), &asked).expect_err("refused");
    assert_eq!(
        (&failure.op[..], &failure.message[..]),
        ("min_length", "length 5 is less than min_length 6")
    );
    let asked = Requirements { max_length: 4, ..Requirements::default() };
    let failure = verify(fd.as_raw_fd(), &asked).expect_err("refused");
    assert_eq!(
        (&failure.op[..], &failure.message[..]),
        ("max_length", "length 5 exceeds max_length 4")
    );
}

pub fn missing_seals_are_named() {
    if skips() {
        return;
    }
    for (seals, asked, says) in [
        (WRITE, 0, "sealed with F_SEAL_WRITE only (missing F_SEAL_SHRINK)"),
        (0, 0, "not sealed (missing F_SEAL_SHRINK, F_SEAL_WRITE)"),
        (SEAL, GROW, "sealed with F_SEAL_SEAL only (missing F_SEAL_GROW)"),
        (
            0,
            0x3f,
            "F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_FUTURE_WRITE, \
             F_SEAL_EXEC)",
        ),
    ] {
        let failure =
            verify(sealed(b"hello", seals).as_raw_fd(), &with_seals(asked)).expect_err("refused");
        assert!(failure.op == "seals" && failure.message.ends_with(says), "{failure:?}");
    }
    let failure =
        verify(sealed(b"hello", WRITE).as_raw_fd(), &with_seals(0x40)).expect_err("refused");
    assert!(failure.errno == libc::EINVAL && failure.message.contains("0x40"), "{failure:?}");
}

/// Such a file costs its maker nothing, and the reader an address space.
pub fn a_huge_file_of_holes_can_be_refused() {
    if skips() {
        return;
    }
    let fd = memory(b"", 0, 0);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 1 << 40) }, 0);
    seal(&fd, WRITE | SHRINK | GROW);
    assert_eq!(said(&fd, Requirements::default()), 0);
    assert_eq!(
        said(&fd, Requirements { max_length: 1 << 30, ..Requirements::default() }),
        libc::EFBIG
    );
    let error = share::Requirements::new().max_length(1 << 30).accept(fd).expect_err("too long");
    assert_eq!(error.errno(), libc::EFBIG);
}

/// A file system in user space need not answer.
pub fn files_without_seals_are_refused_before_their_file_system_is_asked() {
    let file = tempfile::tempfile().expect("a file");
    let (ours, theirs) = pair(libc::SOCK_SEQPACKET);
    let file = OwnedFd::from(file);
    let mut calls = Vec::new();
    let body = || {
        assert_eq!(said(&file, Requirements::default()), libc::EPERM);
        send(&ours, b"!", &[&file]).expect("sent");
        let asked = Requirements::default();
        assert_eq!(
            receive_what(theirs.as_raw_fd(), 1, 1, &asked).expect_err("refused").errno,
            libc::EPERM
        );
    };
    in_traced_child(body, |stop| {
        if let Stop::Before(call) = stop {
            calls.push(call.number);
        }
    });
    let asks = [
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_fstatfs,
        libc::SYS_lseek,
        libc::SYS_flock,
    ];
    assert!(!calls.iter().any(|call| asks.contains(call)), "{calls:?}");
    let last = |number| calls.iter().rposition(|call| *call == number).expect("called");
    assert!(last(libc::SYS_close) > last(libc::SYS_fcntl), "closed when the answer is decided");
}

pub fn more_seals_than_asked_for_are_fine() {
    if skips() {
        return;
    }
    for asked in 1..16 {
        for there in 0..16 {
            let fd = sealed(b"", there);
            let errno = if there & asked == asked { 0 } else { libc::EPERM };
            assert_eq!(
                said(&fd, with_seals(asked)),
                errno,
                "asked for {asked:#x}, {there:#x} there"
            );
        }
    }
    for flags in [0, READ_ONLY] {
        let fd = wrap_with(b"hello", flags, AUTO).expect("a descriptor");
        assert_eq!(said(&fd, with_seals(0xf)), 0, "what this library makes");
    }
    let fd = wrap_with(b"hello", SEAL_CONTENT, AUTO).expect("a descriptor");
    assert_eq!((said(&fd, with_seals(0xe)), said(&fd, with_seals(0xf))), (0, libc::EPERM));
}

pub fn what_is_no_regular_file_is_refused() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (socket, _other) = pair(libc::SOCK_STREAM);
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").expect("a device");
    let nothing = Requirements { flags: REQUIRE_NO_SEALS, ..Requirements::default() };
    // Only a regular file has seals. If none are required, the error says what it is instead.
    for (asked, folder, other) in
        [(Requirements::default(), libc::EPERM, libc::EPERM), (nothing, libc::EISDIR, libc::ENODEV)]
    {
        assert_eq!(said(&File::open("/").expect("a folder"), asked), folder);
        assert_eq!(said(&reader, asked), other);
        assert_eq!(said(&socket, asked), other);
        assert_eq!(said(&null, asked), other);
        assert_eq!(said(&writer, asked), libc::EACCES);
    }
    let failure = verify(reader.as_raw_fd(), &nothing).expect_err("refused");
    assert!(failure.message.contains("pipe"), "{failure:?}");
}

pub fn what_cannot_be_read_is_eacces() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let nothing = Requirements { flags: REQUIRE_NO_SEALS, ..Requirements::default() };
    let writing = OpenOptions::new().write(true).open(file.path()).expect("opened");
    let path_only =
        OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(file.path()).expect("opened");
    for fd in [writing, path_only] {
        assert_eq!(said(&fd, nothing), libc::EACCES);
    }
    if has_memfd() {
        let fd = sealed(b"hello", WRITE | SHRINK);
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let path_only =
            OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).expect("opened");
        assert_eq!(said(&path_only, Requirements::default()), libc::EACCES);
    }
}

pub fn files_without_seals_pass_only_if_none_are_asked_for() {
    let mut file = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut file, b"hello").expect("written");
    assert_eq!(said(&file, Requirements::default()), libc::EPERM);
    let nothing = |min_length| Requirements {
        flags: REQUIRE_NO_SEALS,
        min_length,
        ..Requirements::default()
    };
    assert_eq!((said(&file, nothing(5)), said(&file, nothing(6))), (0, libc::ENXIO));
    let open = wrap_with(b"hello", WRITABLE, AUTO).expect("a descriptor");
    assert_eq!((said(&open, nothing(5)), said(&open, Requirements::default())), (0, libc::EPERM));
}

/// As root, the test can give a file to another user.
pub fn an_owner_can_be_required() {
    // SAFETY: touches no memory.
    let us = unsafe { libc::geteuid() };
    let fd = wrap_with(b"hello", WRITABLE, AUTO).expect("a descriptor");
    let of = |uid, flags| Requirements {
        uid,
        flags: flags | REQUIRE_NO_SEALS,
        ..Requirements::default()
    };
    assert_eq!(said(&fd, of(us, REQUIRE_UID)), 0);
    assert_eq!(said(&fd, of(us + 1, REQUIRE_UID)), libc::EACCES);
    assert_eq!(
        said(&fd, of(us + 1, 0)),
        libc::EINVAL,
        "without its flag it would not be looked at"
    );
    let failure = verify(fd.as_raw_fd(), &of(us + 1, REQUIRE_UID)).expect_err("refused");
    assert!(failure.op == "uid" && failure.message.contains(&(us + 1).to_string()), "{failure:?}");
    // SAFETY: touches no memory.
    if unsafe { libc::fchown(fd.as_raw_fd(), us + 1, u32::MAX) } == 0 {
        assert_eq!(
            (said(&fd, of(us, REQUIRE_UID)), said(&fd, of(us + 1, REQUIRE_UID))),
            (libc::EACCES, 0)
        );
    }
}

pub fn unknown_and_contradicting_requirements_are_refused() {
    let file = tempfile::tempfile().expect("a file");
    for flags in [1, INTERRUPTIBLE, TRANSFER_SOME, 1 << 31, 1 << 63, REQUIRE_NO_SEALS | 8] {
        assert_eq!(
            said(&file, Requirements { flags, ..Requirements::default() }),
            libc::EINVAL,
            "flags {flags:#x}"
        );
    }
    let contradiction =
        Requirements { flags: REQUIRE_NO_SEALS, seals: WRITE as u32, ..Requirements::default() };
    assert_eq!(said(&file, contradiction), libc::EINVAL);
    let refused = |asked| verify(file.as_raw_fd(), &asked).expect_err("refused");
    let failure = refused(Requirements { min_length: 2, max_length: 1, ..Requirements::default() });
    assert_eq!((failure.errno, &failure.op[..]), (libc::EINVAL, "min_length"));
    let failure = refused(Requirements { max_length: 0, ..Requirements::default() });
    assert_eq!((failure.errno, &failure.op[..]), (libc::EINVAL, "max_length"));
    assert!(failure.message.contains("BYTEFD_REQUIREMENTS_INIT"), "{failure:?}");
    let failure = refused(Requirements { uid: 7, ..Requirements::default() });
    assert_eq!((failure.errno, &failure.op[..]), (libc::EINVAL, "uid"));
}

pub fn a_file_of_reserved_huge_pages_is_one_like_any_other() {
    let name = c"huge".as_ptr();
    // SAFETY: a string.
    let fd = unsafe {
        libc::memfd_create(name, libc::MFD_HUGETLB | libc::MFD_ALLOW_SEALING | libc::MFD_CLOEXEC)
    };
    if fd < 0 {
        return println!(
            "SKIPPED: a file of reserved huge pages: {}",
            std::io::Error::last_os_error()
        );
    }
    // SAFETY: new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    assert_eq!(said(&fd, Requirements::default()), libc::EPERM);
    seal(&fd, WRITE | SHRINK);
    assert_eq!(said(&fd, Requirements::default()), 0);
}

/// The length must be the one at the time when it could not change any more.
pub fn a_file_made_shorter_just_before_it_is_sealed_is_too_short() {
    if skips() {
        return;
    }
    let fd = sealed(&pattern(4096), WRITE);
    let asked = Requirements { min_length: 4096, ..Requirements::default() };
    let mut is_done = false;
    let body = || assert_eq!(said(&fd, asked), libc::ENXIO);
    in_traced_child(body, |stop| {
        let Stop::Before(call) = stop else { return };
        if call.number == libc::SYS_fcntl
            && call.arguments[1] as c_int == libc::F_GET_SEALS
            && !is_done
        {
            is_done = true;
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 0) }, 0);
            seal(&fd, SHRINK);
        }
    });
    assert!(is_done);
}

pub fn verified_bytes_stay_whatever_others_try() {
    if skips() {
        return;
    }
    for length in [0, 1, 4096, 100_000] {
        let bytes = pattern(length);
        let fd = sealed(&bytes, WRITE | SHRINK);
        let theirs = fd.try_clone().expect("dup");
        let verified =
            share::Requirements::new().min_length(length as u64).accept(fd).expect("accepted");
        assert!(verified[..] == bytes);
        // SAFETY: touches no memory but the byte that is to be written.
        unsafe {
            let number = theirs.as_raw_fd();
            assert!(length == 0 || libc::ftruncate(number, 0) == -1);
            assert_eq!(libc::pwrite(number, b"!".as_ptr().cast(), 1, 0), -1);
            assert_eq!(
                libc::fallocate(
                    number,
                    libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                    0,
                    4096
                ),
                -1
            );
            // It may grow, which does not show.
            assert_eq!(libc::ftruncate(number, 200_000), 0);
        }
        assert!(verified[..] == bytes);
        assert_eq!(said(&verified.as_fd(), Requirements::default()), 0);
        drop(theirs);
        drop(OwnedFd::from(verified));
    }
    // Files of this library are accepted too, and over a socket.
    let (ours, theirs) = pair(libc::SOCK_SEQPACKET);
    share::send(&ours, b"!", &[wrap_with(b"hello", 0, AUTO).expect("a descriptor").as_fd()])
        .expect("sent");
    let (_, mut received) = share::receive(&theirs, &mut [0], 1).expect("received");
    let verified = share::Requirements::new().accept(received.remove(0)).expect("accepted");
    assert_eq!(&verified[..], b"hello");
}

pub fn rust_accepts_only_what_nobody_can_change() {
    if skips() {
        return;
    }
    for seals in [0, WRITE, SHRINK, GROW] {
        // However little is asked for: its bytes are handed out as a slice.
        let asked = share::Requirements::new().seals(0);
        asked.check(sealed(b"hello", seals)).expect_err("refused");
        let error = asked.accept(sealed(b"hello", seals)).expect_err("refused");
        assert_eq!(error.errno(), libc::EPERM);
        // Without seals it is another type, which has no slice.
        let nothing = asked.no_seals();
        nothing.check(sealed(b"hello", seals)).expect("nothing is asked for");
        let unsealed: share::Unsealed = nothing.accept(sealed(b"hello", seals)).expect("accepted");
        assert_eq!(crate::support::fd::content(&OwnedFd::from(unsealed)), b"hello");
    }
    let asked = share::Requirements::new().no_seals().seals(GROW);
    assert_eq!(asked.accept(sealed(b"hello", SHRINK)).expect_err("refused").errno(), libc::EPERM);
    asked.accept(sealed(b"hello", GROW)).expect("accepted");
    let asked = share::Requirements::new().seals(GROW);
    assert_eq!(
        asked.accept(sealed(b"hello", WRITE | SHRINK)).expect_err("refused").errno(),
        libc::EPERM
    );
    assert_eq!(
        &asked.accept(sealed(b"hello", WRITE | SHRINK | GROW)).expect("accepted")[..],
        b"hello"
    );
}

pub fn rust_closes_what_it_does_not_accept() {
    leaves_nothing(|| {
        let asked = share::Requirements::new().min_length(6);
        asked.accept(wrap_with(b"hello", 0, AUTO).expect("a descriptor")).expect_err("too short");
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        asked.accept(OwnedFd::from(reader)).expect_err("a pipe");
        if has_memfd() {
            drop(
                asked
                    .accept(wrap_with(b"hello!", 0, AUTO).expect("a descriptor"))
                    .expect("accepted"),
            );
        }
    });
}
