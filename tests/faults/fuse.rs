//! Tests file systems that a process serves: they do not answer, support less than others, or fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::conditions::*;
use crate::support::abi::{self, *};
use crate::support::fd::{content, pattern, read_through, result, wrap_with};
use crate::support::fuse::{FALLOCATE, FLUSH, Fuse, GETATTR, LINK, WRITE as STORE};
use crate::support::hosts;
use crate::support::map::{map, map_fd, map_with, page_size};
use crate::support::named;
use crate::support::share::{KINDS, pair, plain_send, receive_what, verify, wrap_stream};

const IS_NOT_SEALED: &str = "is not sealed (missing F_SEAL_SHRINK, F_SEAL_WRITE)";

fn open(path: &Path) -> OwnedFd {
    File::options().read(true).write(true).open(path).expect("opened").into()
}

/// Runs a call while the file system answers neither GETATTR nor FLUSH, until the call ends or
/// waits for one of them. Returns the requests of the call until then, and its result once the file
/// system answers.
fn unanswered<R: Send>(fuse: &Fuse, call: impl FnOnce() -> R + Send) -> (BTreeMap<u32, u32>, R) {
    let before = fuse.requests();
    let held = fuse.hold(&[GETATTR, FLUSH]);
    std::thread::scope(|scope| {
        let call = scope.spawn(call);
        // Dropped here after a failure too, or the thread would never end.
        let held = held;
        let asked = || {
            let new = fuse
                .requests()
                .into_iter()
                .map(|(kind, count)| (kind, count - before.get(&kind).unwrap_or(&0)));
            new.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>()
        };
        while !call.is_finished() && !asked().keys().any(|kind| [GETATTR, FLUSH].contains(kind)) {
            std::thread::yield_now();
        }
        let asked = asked();
        drop(held);
        (asked, call.join().expect("no panic"))
    })
}

pub fn descriptors_are_refused_for_their_seals_before_their_file_system_is_asked() {
    let fuse = Fuse::new();
    let file = open(&fuse.file("file", b"hello"));
    let sealed = hosts::has_memfd().then(|| wrap_with(b"hello", 0, MEMFD).expect("a descriptor"));
    let (bad, good) = (file.as_raw_fd(), sealed.as_ref().unwrap_or(&file).as_raw_fd());

    let (asked, refused) =
        unanswered(&fuse, || verify(bad, &Requirements::default()).expect_err("refused"));
    assert_eq!((refused.errno, asked), (libc::EPERM, BTreeMap::new()));
    assert!(refused.message.ends_with(IS_NOT_SEALED), "{}", refused.message);

    for (kind, fds) in KINDS.into_iter().flat_map(|kind| {
        [&[bad][..], &[bad, good], &[good, bad], &[good, good, bad], &[bad, bad]]
            .map(|fds| (kind, fds.to_vec()))
    }) {
        for capacity in [0, fds.len() - 1, fds.len(), 253] {
            for requirements in [Some(Requirements::default()), None] {
                let is_too_much = capacity < fds.len();
                if requirements.is_none() && !is_too_much {
                    continue;
                }
                let (ours, theirs) = pair(kind);
                plain_send(&ours, b"hello", &fds);
                let (asked, refused) = unanswered(&fuse, || {
                    let requirements =
                        requirements.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
                    receive_what(theirs.as_raw_fd(), 5, capacity, requirements)
                        .expect_err("refused")
                });
                let case = format!("{fds:?}, {bad} is bad, {capacity} fit: {refused:?}");
                assert_eq!(
                    refused.errno,
                    if is_too_much { libc::EBADMSG } else { libc::EPERM },
                    "{case}"
                );
                assert_eq!(refused.message.ends_with(IS_NOT_SEALED), !is_too_much, "{case}");
                // Closing is the last step. Of what is not to be delivered there is nothing to
                // close.
                let closing =
                    if capacity == 0 { BTreeMap::new() } else { BTreeMap::from([(FLUSH, 1)]) };
                assert_eq!(asked, closing, "{case}");
            }
        }
    }
}

/// Moving the descriptor also closes one, and would be useless before the refusal.
pub fn a_descriptor_with_the_number_of_a_standard_stream_is_refused_before_it_is_moved() {
    let fuse = Fuse::new();
    let file = open(&fuse.file("file", b"hello"));
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    plain_send(&ours, b"hello", &[file.as_raw_fd()]);
    let before = fuse.requests().get(&FLUSH).copied().unwrap_or(0);
    let wanted = Requirements::default();
    let received = without_standard_input(|| receive_what(theirs.as_raw_fd(), 5, 1, &wanted));
    let refused = received.expect_err("refused");
    assert_eq!(
        (refused.errno, refused.message.as_str()),
        (libc::EPERM, &*format!("descriptor 0 {IS_NOT_SEALED}"))
    );
    assert_eq!(fuse.requests()[&FLUSH], before + 1, "closed once");
}

pub fn what_asks_a_file_system_ends_once_that_answers() {
    let fuse = Fuse::new();
    let path = fuse.file("file", b"hello");
    let file = open(&path);
    let number = file.as_raw_fd();
    let unsealed = Requirements { flags: REQUIRE_NO_SEALS, ..Requirements::default() };

    let (asked, mapped) =
        unanswered(&fuse, || map_fd(number, &MapOptions::default()).expect("mapped"));
    assert_eq!((asked, &mapped.bytes()[..]), (BTreeMap::from([(GETATTR, 1)]), &b"hello"[..]));
    let (asked, ()) = unanswered(&fuse, || verify(number, &unsealed).expect("a regular file"));
    assert_eq!(asked, BTreeMap::from([(GETATTR, 1)]));
    let (_, reopened) = unanswered(&fuse, || {
        let mut error = Error::untouched();
        // SAFETY: an open descriptor and a writable error.
        result(unsafe { (abi::load().reopen)(number, 0, &mut error) }, &error)
            .expect("opened again")
    });
    // SAFETY: opened just now.
    assert_eq!(read_through(&unsafe { std::os::fd::FromRawFd::from_raw_fd(reopened) }), b"hello");
    let (_, wrapped) = unanswered(&fuse, || wrap_stream(&file, std::ptr::null()).expect("read"));
    assert_eq!(content(&wrapped), b"hello");
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    plain_send(&ours, b"hello", &[number]);
    let (_, (_, received)) =
        unanswered(&fuse, || receive_what(theirs.as_raw_fd(), 5, 1, &unsealed).expect("received"));
    assert_eq!(content(&received[0]), b"hello");
    // The kernel keeps these locks itself.
    let (asked, ()) =
        unanswered(&fuse, || named::lock(&file, 0, 5, libc::LOCK_EX).expect("locked"));
    assert_eq!(asked, BTreeMap::new());
    unanswered(&fuse, || map(&path, &MapOptions::default()).expect("mapped"));
}

pub fn a_file_that_cannot_be_mapped_shared_is_mapped_privately() {
    let fuse = Fuse::new();
    fuse.do_direct_io();
    let bytes = pattern(3 * page_size() + 100);
    let path = fuse.file("file", &bytes);
    let file = open(&path);
    for (access, flags) in [
        (READ, 0),
        (READ, GUARD),
        (READ, POPULATE),
        (READ, EXECUTE),
        (PRIVATE, 0),
        (PRIVATE, GUARD),
    ] {
        let options = MapOptions { access, flags, ..MapOptions::default() };
        for map in [map(&path, &options), map_fd(file.as_raw_fd(), &options)] {
            let map = map.expect("mapped");
            assert!(map.bytes() == bytes, "access {access:x}, flags {flags:x}");
            let mut part = [0; 100];
            assert_eq!(map.read(3 * page_size(), &mut part).expect("read"), 100);
            assert!(part == bytes[3 * page_size()..]);
        }
    }
    for (name, file_size, flags) in
        [("file", 0, 0), ("file", 1 << 20, 0), ("new", 0, CREATE), ("new", 100, CREATE)]
    {
        let options = MapOptions { access: WRITE, file_size, flags, ..MapOptions::default() };
        let refused =
            leaves_nothing(|| map(fuse.path().join(name), &options)).expect_err("refused");
        assert_eq!((refused.errno, refused.op.as_str()), (libc::ENODEV, "mmap"), "{refused:?}");
        assert!(refused.message.ends_with("does not support this mapping"), "{}", refused.message);
    }
    assert_eq!(fuse.names(), ["file"]);
    assert!(std::fs::read(&path).expect("read") == bytes);
}

pub fn a_file_grows_where_the_file_system_cannot_reserve() {
    for errno in [0, libc::ENOSYS, libc::EOPNOTSUPP, libc::EINVAL, libc::EPERM] {
        let fuse = Fuse::new();
        fuse.refuse(FALLOCATE, errno);
        for flags in [0, NO_RESERVE] {
            for (old, new) in
                [(0, 1), (0, 100_000), (100, 101), (100, 100_000), (page_size(), 1_000_000)]
            {
                let path = fuse.path().join("file");
                if old > 0 {
                    fuse.file("file", &pattern(old));
                }
                let (flags, file_size) = (flags | CREATE, new as u64);
                let mut map = map(
                    &path,
                    &MapOptions { access: WRITE, file_size, flags, ..MapOptions::default() },
                )
                .unwrap_or_else(|failure| {
                    panic!("errno {errno}, from {old} to {new}: {failure:?}")
                });
                let mut expected = pattern(old);
                expected.resize(new, 0);
                assert!(map.bytes() == expected, "errno {errno}, from {old} to {new}");
                map.resize(new + 5000).expect("grown");
                map.store(new, b"!");
                expected.extend([0; 5000]);
                expected[new] = b'!';
                map.flush(0, TO_END, libc::MS_SYNC).expect("flushed");
                assert!(
                    std::fs::read(&path).expect("read") == expected,
                    "errno {errno}, from {old} to {new}"
                );
                map.resize(10).expect("shrunk");
                assert!(std::fs::read(&path).expect("read") == expected[..10]);
                drop(map);
                std::fs::remove_file(&path).expect("removed");
            }
            let past = MapOptions {
                access: WRITE,
                flags: flags | CREATE,
                file_size: 10,
                offset: 11,
                ..MapOptions::default()
            };
            assert_eq!(
                map(fuse.path().join("new"), &past).expect_err("refused").errno,
                libc::ENXIO
            );
            assert_eq!(fuse.names().len(), 0, "a file that was created is gone");
        }
    }
}

pub fn a_file_system_that_takes_no_more_is_enospc_and_has_what_it_had() {
    let fuse = Fuse::new();
    let old = fuse.file("old", &pattern(5000));
    for (flags, reserving) in
        [(0, 0), (0, libc::EPERM), (NO_RESERVE, libc::EINVAL), (NO_RESERVE, libc::ENOSPC)]
    {
        fuse.refuse(FALLOCATE, reserving);
        fuse.refuse(STORE, libc::ENOSPC);
        for (name, flags) in [("old", flags), ("new", flags | CREATE)] {
            let options =
                MapOptions { access: WRITE, file_size: 100_000, flags, ..MapOptions::default() };
            let refused = map(fuse.path().join(name), &options).map(drop);
            // Nothing is written if space is reserved in another way or not at all, and there is no
            // page to clear.
            match refused {
                Ok(()) => assert!(
                    name == "new" && (reserving == 0 || flags & NO_RESERVE != 0),
                    "{name}, {flags:x}"
                ),
                Err(refused) => {
                    assert_eq!(refused.errno, libc::ENOSPC, "{name}, flags {flags:x}: {refused:?}")
                }
            }
            let _ = std::fs::remove_file(fuse.path().join("new"));
        }
        fuse.refuse(STORE, 0);
        assert_eq!(fuse.names(), ["old"]);
        assert!(std::fs::read(&old).expect("read") == pattern(5000), "flags {flags:x}");
    }
}

pub fn named_memory_is_made_where_there_is_neither_o_tmpfile_nor_link() {
    for errno in [0, libc::EPERM, libc::ENOSYS] {
        let fuse = Fuse::hiding("/dev/shm".as_ref());
        fuse.refuse(LINK, errno);
        for flags in [SHM_NEW, SHM_CREATE, 0] {
            let options = ShmOptions { length: 5000, flags, ..ShmOptions::default() };
            let object = named::shm_open("object", &options).expect("opened");
            assert_eq!(content(&object), [0; 5000]);
            assert_eq!(fuse.names(), ["object"]);
        }
        let again = ShmOptions { length: 10, flags: SHM_NEW, ..ShmOptions::default() };
        assert_eq!(named::shm_open("object", &again).expect_err("refused").errno, libc::EEXIST);
        named::shm_unlink("object").expect("removed");
        let file = wrap_with(b"hello", 0, SHM).expect("a file without a name");
        assert_eq!((&content(&file)[..], fuse.names().len()), (&b"hello"[..], 0));
    }
}

/// Reads from a served file, whose end can be found only by reading.
pub fn a_stream_is_read_from_any_file_system() {
    let fuse = Fuse::new();
    let bytes = pattern(3_000_000);
    for is_direct in [false, true] {
        if is_direct {
            fuse.do_direct_io();
        }
        let path = fuse.file("file", &bytes);
        for timeout_ns in [-1, 0, i64::MAX] {
            let options = StreamOptions { timeout_ns, ..StreamOptions::default() };
            assert!(content(&wrap_stream(&open(&path), &options).expect("read")) == bytes);
        }
        fuse.lose(2_000_000);
        let source = open(&path);
        let refused =
            leaves_nothing(|| wrap_stream(&source, std::ptr::null())).expect_err("refused");
        assert_eq!((refused.errno, refused.op.as_str()), (libc::EIO, "read"));
        fuse.lose(u64::MAX);
    }
}

pub fn a_file_that_another_machine_cuts_is_lost_pages() {
    let fuse = Fuse::new();
    let page = page_size();
    let bytes = pattern(8 * page);
    let path = fuse.file("file", &bytes);
    for access in [READ, PRIVATE, WRITE] {
        fuse.cut(u64::MAX);
        let map = map_with(&path, access, GUARD).expect("mapped");
        let mut copy = vec![1; 8 * page];
        fuse.cut(2 * page as u64 + 100);
        assert_eq!(map.read(0, &mut copy).expect("read"), 2 * page + 100, "access {access:x}");
        assert!(copy[..2 * page + 100] == bytes[..2 * page + 100]);
        assert_eq!(map.read(3 * page, &mut copy[..1]).expect_err("lost").errno, libc::EIO);
        assert_eq!(map.file_size().expect("known"), 2 * page as u64 + 100);
        assert!(map.bytes()[3 * page..].iter().all(|byte| *byte == 0), "zeros, and no signal");
        assert_eq!(map.check().expect_err("lost").errno, libc::EIO);
    }
}

pub fn what_cannot_be_read_is_lost_pages() {
    let fuse = Fuse::new();
    let page = page_size();
    let bytes = pattern(8 * page);
    for is_direct in [false, true] {
        if is_direct {
            fuse.do_direct_io();
        }
        let path = fuse.file("file", &bytes);
        for (access, flags) in [(READ, GUARD), (READ, 0), (PRIVATE, GUARD), (PRIVATE, 0)] {
            // Not what is in the page cache.
            drop(open(&fuse.file("file", &bytes)));
            fuse.lose(3 * page as u64);
            let map = map_with(&path, access, flags).expect("mapped");
            let mut copy = vec![1; 8 * page];
            assert_eq!(
                map.read(0, &mut copy).expect("read"),
                3 * page,
                "direct {is_direct}, flags {flags:x}"
            );
            assert!(copy[..3 * page] == bytes[..3 * page]);
            assert_eq!(map.read(3 * page, &mut copy[..page]).expect_err("lost").errno, libc::EIO);
            if flags & GUARD != 0 {
                map.check().expect("copies replace nothing");
                let shown = map.bytes();
                assert!(
                    shown[..3 * page] == bytes[..3 * page]
                        && shown[3 * page..].iter().all(|byte| *byte == 0)
                );
                assert_eq!(map.check().expect_err("lost").errno, libc::EIO);
            }
            fuse.lose(u64::MAX);
        }
    }
}
