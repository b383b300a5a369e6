//! Tests arguments: NULLs, and options that are unknown, too large or contradict each other.

use std::ptr::null;

use crate::support::abi::*;
use crate::support::map::{map, map_raw, memory};

/// Makes a file of 5 bytes, in a folder that is removed when it is dropped.
fn hello() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hello");
    std::fs::write(&path, "hello").expect("written");
    (folder, path)
}

fn assert_einval(options: MapOptions, op: &str) {
    let (_folder, path) = hello();
    let failure = map(&path, &options).expect_err("refused");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, op), "{}", failure.message);
    assert_eq!(std::fs::read(path).expect("read"), b"hello");
}

pub fn no_options_map_the_whole_file_for_reading() {
    let (_folder, path) = hello();
    let whole = map_raw(&path, null()).expect("mapped");
    assert_eq!(whole.bytes(), b"hello");
    assert_eq!(whole.region().permissions(), "r--p");
    assert_eq!(map(&path, &MapOptions::default()).expect("mapped").bytes(), b"hello");
}

pub fn unknown_flags_are_einval() {
    let known = CREATE
        | EXECUTE
        | POPULATE
        | MLOCK
        | NO_RESERVE
        | BEYOND_EOF
        | NO_FORK
        | HUGE_PAGES
        | GUARD
        | WIPE_ON_FORK;
    for bit in (0..64).map(|shift| 1u64 << shift).filter(|bit| known & bit == 0) {
        assert_einval(MapOptions { flags: bit, ..MapOptions::default() }, "flags");
        assert_einval(
            MapOptions { flags: bit | CREATE, access: WRITE, ..MapOptions::default() },
            "flags",
        );
    }
}

pub fn unknown_accesses_are_einval() {
    for access in [1, 2, 3, 4, 0x1_0000, 1 << 31, 0x8000_0004, 0x8000_0010, u32::MAX] {
        assert_einval(MapOptions { access, ..MapOptions::default() }, "access");
    }
}

pub fn options_that_contradict_are_einval() {
    for access in [READ, PRIVATE] {
        assert_einval(MapOptions { access, flags: CREATE, ..MapOptions::default() }, "options");
        assert_einval(MapOptions { access, file_size: 1, ..MapOptions::default() }, "options");
    }
    for mode in [0o1600, 0o4600, 0o10600, u32::MAX] {
        assert_einval(
            MapOptions { access: WRITE, flags: CREATE, mode, ..MapOptions::default() },
            "options",
        );
    }
}

pub fn offsets_and_lengths_no_file_can_have_are_einval() {
    let most = isize::MAX as usize;
    for flags in [0, BEYOND_EOF] {
        let with = |offset, length| MapOptions { offset, length, flags, ..MapOptions::default() };
        for (offset, length) in [
            (0, most + 1),
            (0, TO_END - 1),
            (1, most),
            (u64::MAX, TO_END),
            (u64::MAX, 1),
            (u64::MAX, TO_END - 1),
            (1 << 63, TO_END),
            (i64::MAX as u64, 1),
        ] {
            assert_einval(with(offset, length), "options");
        }
    }
    for file_size in [1 << 63, u64::MAX] {
        assert_einval(MapOptions { access: WRITE, file_size, ..MapOptions::default() }, "options");
    }

    // Possible in principle, but nothing has as much room: an error, and no map that wrapped
    // around.
    let (_folder, path) = hello();
    for (offset, length) in
        [(0, most), (0, most - 1), (5, most - 5), (4095, most - 4095), (i64::MAX as u64 - 1, 1)]
    {
        let options = MapOptions { offset, length, flags: BEYOND_EOF, ..MapOptions::default() };
        match map(&path, &options) {
            Ok(map) => assert_eq!(map.length(), length),
            Err(failure) => assert!(
                [libc::ENOMEM, libc::EOVERFLOW, libc::EINVAL].contains(&failure.errno),
                "offset {offset}, length {length}: {failure:?}"
            ),
        }
    }
}

/// Neither a length that was computed as 0, nor a struct that was zeroed instead of initialised,
/// does anything.
pub fn a_length_of_0_is_einval_and_says_how_to_mean_the_end() {
    let (_folder, path) = hello();
    for offset in [0, 3, 5, 6] {
        let failure = map(&path, &MapOptions { offset, length: 0, ..MapOptions::default() })
            .expect_err("refused");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "length"));
        assert!(
            failure.message.contains("length is 0")
                && failure.message.contains("BYTEFD_MAP_OPTIONS_INIT")
        );
    }
    let zeroed = MapOptions { size: size_of::<MapOptions>(), length: 0, ..MapOptions::default() };
    assert_eq!(memory(5, &zeroed).expect_err("refused").errno, libc::EINVAL);
}
