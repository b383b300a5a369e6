//! Tests bytefd_map_read and bytefd_map_write: they copy without a signal, as far as there are
//! bytes.

use std::ffi::c_int;
use std::ptr::null_mut;

use super::kinds::{kinds, private};
use crate::faults::conditions::*;
use crate::support::abi::{self, *};
use crate::support::fd::pattern;
use crate::support::hosts;
use crate::support::map::{Map, map, map_with, page_size};

pub fn copies_are_exact() {
    let length = 5 * page_size() + 77;
    let large = (3 << 20) + 1;
    for kind in kinds() {
        let made = kind.with(length, 0, 0);
        for (start, count) in [
            (0, length),
            (0, 0),
            (length, 0),
            (1, 1),
            (page_size() - 1, 2),
            (4999, 10_000),
            (length - 1, 1),
        ] {
            let bytes = pattern(count);
            assert_eq!(made.map.write(start, &bytes).expect("written"), count);
            assert!(made.map.part(start, count) == bytes);
            let mut seen = vec![0; count];
            assert_eq!(made.map.read(start, &mut seen).expect("read"), count);
            assert!(seen == bytes, "{kind:?}, {count} bytes from {start}");
        }
        let made = kind.with(large, 0, 0);
        let mut seen = vec![0; large];
        assert_eq!(made.map.write(0, &pattern(large)).expect("written"), large);
        assert_eq!(made.map.read(0, &mut seen).expect("read"), large);
        assert!(seen == pattern(large));
        assert!(made.content(kind).is_none_or(|content| content == pattern(large)));
    }
}

pub fn nothing_is_written_to_a_map_for_reading() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    let map = map_with(&file, READ, 0).expect("mapped");
    for bytes in [&b"J"[..], b"Jello"] {
        assert_eq!(map.write(0, bytes).expect_err("refused").errno, libc::EACCES);
    }
    assert_eq!(map.write(0, b"longer than that").expect_err("refused").errno, libc::EINVAL);
    assert_eq!(std::fs::read(&file).expect("read"), b"hello");
}

/// Two pages of the caller. The second cannot be used at all.
struct HalfReadable(Map);

impl HalfReadable {
    fn new() -> HalfReadable {
        let map = private(2 * page_size());
        map.store(0, &pattern(2 * page_size()));
        map.protect(page_size(), 1, 0).expect("protected");
        HalfReadable(map)
    }

    /// Returns the address `back` bytes before the end of the usable page.
    fn at(&self, back: usize) -> *mut u8 {
        self.0.data().wrapping_add(page_size() - back)
    }
}

/// Calls bytefd_map_read and bytefd_map_write with a buffer that may be bad. Returns both answers,
/// and the numbers of bytes that both count.
fn both(map: &Map, buffer: *mut u8, length: usize) -> [(c_int, usize); 2] {
    let (abi, map) = (abi::load(), map.raw());
    let (mut read, mut written) = (0, 0);
    // SAFETY: a live map, and memory that the calls must find unusable, or that is the test's.
    unsafe {
        [
            ((abi.map_read)(map, 0, buffer.cast(), length, &mut read, null_mut()), read),
            ((abi.map_write)(map, 0, buffer.cast(), length, &mut written, null_mut()), written),
        ]
    }
}

pub fn bad_buffers_are_efault() {
    let page = page_size();
    let bad = HalfReadable::new();
    for kind in kinds() {
        let made = kind.filled(3 * page);
        for (buffer, length) in [
            (bad.at(0), 1),
            (bad.at(0), page),
            (bad.at(1), 2),
            (bad.at(100), 200),
            (bad.at(page), 2 * page),
        ] {
            assert_eq!(
                both(&made.map, buffer, length),
                [(-libc::EFAULT, 0); 2],
                "{kind:?}, {length} bytes"
            );
        }
        assert_eq!(both(&made.map, bad.at(100), 100), [(0, 100); 2], "up to there it is good");
        assert!(made.map.part(2 * page, page) == pattern(3 * page)[2 * page..]);
    }
}

pub fn null_buffers_are_einval_unless_they_are_empty() {
    let map = private(100);
    assert_eq!(both(&map, null_mut(), 1), [(-libc::EINVAL, 0); 2]);
    assert_eq!(both(&map, null_mut(), 0), [(0, 0); 2]);
}

pub fn a_file_made_shorter_ends_a_copy_and_not_the_process() {
    let page = page_size();
    let cut = 2 * page + 100;
    for access in [READ, WRITE, PRIVATE] {
        for offset in [0, 1001] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            let length = 40 * page - offset;
            std::fs::write(&file, pattern(40 * page)).expect("written");
            let options = MapOptions { offset: offset as u64, access, ..MapOptions::default() };
            let map = map(&file, &options).expect("mapped");
            file.as_file().set_len(cut as u64).expect("cut");
            // The bytes after the end, in its last page, read zero.
            let there = 3 * page - offset;
            let mut expected = pattern(cut)[offset..].to_vec();
            expected.resize(there, 0);
            let mut seen = vec![0xaa; length];
            assert_eq!(map.read(0, &mut seen).expect("a part"), there);
            assert!(seen[..there] == expected, "access {access}, offset {offset}");
            assert_eq!(
                map.read(there - 5, &mut seen).expect_err("past the end of the map").errno,
                libc::EINVAL
            );
            assert_eq!(map.read(there - 5, &mut seen[..1000]).expect("a part"), 5);
            for start in [there, there + 1, length - 1] {
                let failure = map.read(start, &mut [0]).expect_err("gone");
                assert_eq!(failure.errno, libc::EIO, "byte {start}: {failure:?}");
            }
            if access != READ {
                assert_eq!(map.write(there - 5, &[7; 1000]).expect("a part"), 5);
                assert_eq!(map.write(there, &[7; 1000]).expect_err("gone").errno, libc::EIO);
                assert_eq!(map.part(there - 5, 5), [7; 5]);
                assert_eq!(map.write(0, &vec![7; length]).expect("a part"), there);
            }
            file.as_file().set_len(40 * page as u64).expect("grown");
            assert_eq!(map.read(0, &mut seen).expect("all is back"), length);
        }
    }
}

pub fn protected_pages_end_a_copy() {
    let page = page_size();
    for kind in kinds() {
        let made = kind.filled(4 * page);
        let second = kind.second_page();
        let mut seen = vec![0; 4 * page];
        made.map.protect(second, 1, 1).expect("protected");
        assert_eq!(made.map.read(0, &mut seen).expect("all of it"), 4 * page);
        assert_eq!(made.map.write(0, &seen).expect("a part"), second, "{kind:?}");
        assert_eq!(made.map.write(second, &[1]).expect_err("protected").errno, libc::EIO);
        made.map.protect(second, 1, 0).expect("protected");
        assert_eq!(made.map.read(0, &mut seen).expect("a part"), second);
        assert_eq!(made.map.read(second, &mut [0]).expect_err("protected").errno, libc::EIO);
        made.map.protect(0, TO_END, 3).expect("and back");
        assert!(made.map.bytes() == pattern(4 * page));
    }
}

pub fn a_full_file_system_ends_a_copy_and_not_the_process() {
    let page = page_size();
    let (folder, _mounted) = small_file_system(64);
    let options = MapOptions {
        access: WRITE,
        flags: CREATE | NO_RESERVE,
        file_size: 1 << 20,
        ..MapOptions::default()
    };
    let map = map(folder.path().join("sparse"), &options).expect("mapped");
    let stored = map.write(0, &pattern(1 << 20)).expect("a part");
    assert!(stored >= page && stored <= 64 << 10 && stored % page == 0, "{stored} bytes");
    assert!(map.part(0, stored) == pattern(stored));
    let failure = map.write(stored, b"!").expect_err("no room");
    assert_eq!(failure.errno, libc::EIO, "{failure:?}");
    assert_eq!(map.write(stored - 1, b"!").expect("that page is there"), 1);
    assert_eq!(free_space(folder.path()), 0);
}

/// Plays a sandbox in which the kernel copies nothing between addresses.
pub fn without_process_vm_readv_copies_are_the_same() {
    hosts::refuse(libc::SYS_process_vm_readv, libc::EPERM);
    leaves_nothing(|| {
        copies_are_exact();
        bad_buffers_are_efault();
        null_buffers_are_einval_unless_they_are_empty();
        protected_pages_end_a_copy();
        a_file_made_shorter_ends_a_copy_and_not_the_process();
    });
    let map = private(100_000);
    let outcomes = with_free_descriptors(0, || {
        [map.read(0, &mut vec![0; 100_000]), map.write(0, &[1; 100_000])]
    });
    for outcome in outcomes {
        assert!(outcome.is_err_and(|failure| failure.errno == libc::EMFILE));
    }
    a_full_file_system_ends_a_copy_and_not_the_process();
}
