//! Tests writing back.

use std::ffi::c_int;

use proptest::prelude::*;

use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{map, map_with, page_size};
use crate::support::random;

pub fn any_range_of_bytes_flushes() {
    let size = 3 * page_size() + 77;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(size)).expect("written");
    let config = random(100);
    proptest!(config, |(
        offset in 0..size,
        start in 0..size,
        length in 0..size,
        how in prop_oneof![Just(libc::MS_SYNC), Just(libc::MS_ASYNC)],
    )| {
        let options = MapOptions { offset: offset as u64, access: WRITE, ..MapOptions::default() };
        let map = map(&file, &options).expect("mapped");
        let inside = start + length <= map.length();
        if inside && length > 0 {
            map.store(start, &vec![start as u8; length]);
        }
        let flushed = map.flush(start, length, how);
        prop_assert_eq!(
            flushed.is_ok(),
            inside,
            "{}..+{} of {}: {:?}",
            start,
            length,
            map.length(),
            flushed
        );
        if let Err(failure) = flushed {
            prop_assert_eq!(failure.errno, libc::EINVAL);
        } else if length > 0 {
            let content = std::fs::read(&file).expect("read");
            let written = &content[offset + start..][..length];
            prop_assert!(written.iter().all(|byte| *byte == start as u8));
        }
    });
}

pub fn a_refused_flush_says_which_bytes_it_was_asked_for() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(100)).expect("written");
    let map = map_with(&file, WRITE, 0).expect("mapped");
    let said =
        |offset, length| map.flush(offset, length, libc::MS_SYNC).expect_err("outside").message;
    assert!(said(90, 20).contains("bytes 90..110 of a map of 100 bytes"), "{}", said(90, 20));
    assert!(said(101, 0).contains("bytes 101.."), "{}", said(101, 0));
}

pub fn an_unknown_way_of_flushing_is_einval() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for content in ["", "hello"] {
        std::fs::write(&file, content).expect("written");
        let map = map_with(&file, WRITE, 0).expect("mapped");
        for how in [0, libc::MS_INVALIDATE, libc::MS_SYNC | libc::MS_ASYNC, 8, 9, c_int::MIN, -1] {
            assert_eq!(map.flush(0, TO_END, how).expect_err("refused").errno, libc::EINVAL);
        }
    }
}

pub fn a_private_map_cannot_be_flushed() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for content in ["", "hello"] {
        std::fs::write(&file, content).expect("written");
        let map = map_with(&file, PRIVATE, 0).expect("mapped");
        for how in [libc::MS_SYNC, libc::MS_ASYNC] {
            assert_eq!(map.flush(0, TO_END, how).expect_err("refused").errno, libc::EINVAL);
        }
    }
}

/// A program may flush any map that it is given. A map without anything to write must not be an
/// error.
pub fn a_read_map_flushes() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    let map = map_with(&file, READ, 0).expect("mapped");
    map.flush(0, TO_END, libc::MS_SYNC).expect("flushed");
    map.flush(1, 2, libc::MS_ASYNC).expect("flushed");
}
