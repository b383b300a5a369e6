//! Tests which bytes a map shows.

use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use crate::faults::conditions::{End, read_in_child, store_in_child};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{map, map_with, page_size};
use crate::support::random;

fn config() -> ProptestConfig {
    random(400)
}

/// Chooses the access; 0 is the default.
fn accesses() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![0, READ, WRITE, PRIVATE])
}

/// Chooses sizes around the page boundaries, where mistakes live, and any others.
fn sizes() -> impl Strategy<Value = usize> {
    let page = page_size();
    prop_oneof![
        (0..4usize, 0..3usize)
            .prop_map(move |(pages, more)| (pages * page + more).saturating_sub(1)),
        0..4 * page
    ]
}

pub fn every_range_shows_the_bytes_of_the_file_or_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    proptest!(config(), |(
        size in sizes(),
        offset in sizes(),
        length in prop_oneof![Just(TO_END), sizes().prop_map(|size| size.max(1))],
        access in accesses(),
    )| {
        let model = pattern(size);
        std::fs::write(&path, &model).expect("written");
        let options = MapOptions { offset: offset as u64, length, access, ..MapOptions::default() };
        let end = if length == TO_END { size } else { offset + length };
        match map(&path, &options) {
            Ok(map) => {
                prop_assert!(offset <= end && end <= size, "a range that is not in the file");
                prop_assert!(map.bytes() == model[offset..end]);
                prop_assert_eq!(map.length(), end - offset);
            }
            Err(failure) => {
                prop_assert!(offset > end || end > size, "{:?}", failure);
                prop_assert_eq!((failure.errno, failure.op.as_str()), (libc::ENXIO, "range"));
                let asked = if length == TO_END {
                    format!("bytes {offset}..")
                } else {
                    format!("bytes {offset}..{end} ")
                };
                prop_assert!(failure.message.contains(&asked), "{}", failure.message);
                let found = format!("of a file of {size} bytes");
                prop_assert!(failure.message.contains(&found), "{}", failure.message);
            }
        }
    });
}

pub fn a_range_beyond_the_end_shows_zeros_in_the_last_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    proptest!(config(), |(
        size in sizes(),
        offset in sizes(),
        length in 1..5 * page_size(),
        access in accesses(),
    )| {
        let mut model = pattern(size);
        std::fs::write(&path, &model).expect("written");
        let mut options = MapOptions { length, access, ..MapOptions::default() };
        (options.offset, options.flags) = (offset as u64, BEYOND_EOF);
        let map = map(&path, &options).expect("any range");
        prop_assert_eq!(map.length(), length);
        prop_assert!(!map.data().is_null());
        model.resize(size.next_multiple_of(page_size()), 0);
        let shown = length.min(model.len().saturating_sub(offset));
        if shown > 0 {
            prop_assert!(map.part(0, shown) == model[offset..offset + shown]);
        }
    });
}

pub fn a_range_past_the_end_is_enxio_and_says_what_was_asked() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(5000)).expect("written");
    let failure = map(&file, &MapOptions { offset: 4096, length: 10904, ..MapOptions::default() })
        .expect_err("refused");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::ENXIO, "range"));
    assert!(
        failure.message.contains("asked for bytes 4096..15000 of a file of 5000 bytes"),
        "{}",
        failure.message
    );
    assert!(failure.message.contains(file.path().to_str().expect("UTF-8")), "{}", failure.message);

    for (offset, length) in
        [(5000, 1), (0, 5001), (4999, 2), (5001, TO_END), (5001, 1), (i64::MAX as u64, TO_END)]
    {
        let failure = map(&file, &MapOptions { offset, length, ..MapOptions::default() })
            .expect_err("refused");
        assert_eq!(failure.errno, libc::ENXIO, "offset {offset}, length {length}");
    }
}

pub fn an_empty_range_at_the_end_is_an_empty_map() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for size in [1, page_size() - 1, page_size(), page_size() + 1] {
        std::fs::write(&file, pattern(size)).expect("written");
        for access in [READ, WRITE, PRIVATE] {
            let options = MapOptions { offset: size as u64, access, ..MapOptions::default() };
            let map = map(&file, &options).expect("mapped");
            assert_eq!(map.length(), 0);
            assert!(!map.data().is_null());
        }
    }
}

pub fn an_empty_file_is_a_valid_map() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for access in [READ, WRITE] {
        let map = map_with(&file, access, 0).expect("mapped");
        assert_eq!(map.length(), 0);
        assert!(!map.data().is_null());
        map.flush(0, TO_END, libc::MS_SYNC).expect("nothing to write");
        map.flush(0, TO_END, libc::MS_ASYNC).expect("nothing to write");
        assert_eq!(map.flush(0, 1, libc::MS_SYNC).expect_err("refused").errno, libc::EINVAL);
    }
    assert_eq!(map_with(&file, PRIVATE, 0).expect("mapped").length(), 0);
}

pub fn stores_beyond_the_end_never_reach_the_file() {
    let page = page_size();
    let file = tempfile::NamedTempFile::new().expect("a file");
    for access in [WRITE, PRIVATE] {
        std::fs::write(&file, pattern(100)).expect("written");
        let options =
            MapOptions { length: page, access, flags: BEYOND_EOF, ..MapOptions::default() };
        let map = map(&file, &options).expect("mapped");
        map.store(100, &vec![0xaa; page - 100]);
        if access == WRITE {
            map.flush(0, TO_END, libc::MS_SYNC).expect("flushed");
        }
        drop(map);
        assert!(std::fs::read(&file).expect("read") == pattern(100));
    }
}

pub fn pages_past_the_end_are_sigbus_until_the_file_grows() {
    let page = page_size();
    for size in [0, 100, page] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, pattern(size)).expect("written");
        let options = MapOptions {
            length: 3 * page,
            access: WRITE,
            flags: BEYOND_EOF,
            ..MapOptions::default()
        };
        let map = map(&file, &options).expect("mapped");
        for at in [size.next_multiple_of(page), 3 * page - 1] {
            let address = map.data().wrapping_add(at);
            assert_eq!(read_in_child(address), End::Killed(libc::SIGBUS));
            assert_eq!(store_in_child(address, 1), End::Killed(libc::SIGBUS));
        }
        file.as_file().set_len(3 * page as u64).expect("grown");
        assert!(map.part(0, size) == pattern(size));
        assert!(map.part(2 * page, page).iter().all(|byte| *byte == 0));
        map.store(3 * page - 1, b"!");
        let mut last = [0];
        file.as_file().read_exact_at(&mut last, 3 * page as u64 - 1).expect("read");
        assert_eq!(&last, b"!");
    }
}

/// Makes a sparse file with a mark at the end, unless the file system has no room for such sizes.
fn sparse(size: u64, mark: &[u8]) -> Option<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let grown = file
        .as_file()
        .set_len(size)
        .and_then(|()| file.as_file().write_all_at(mark, size - mark.len() as u64));
    grown
        .inspect_err(|error| println!("SKIPPED: no sparse file of {size} bytes here: {error}"))
        .ok()
        .map(|()| file)
}

pub fn a_page_at_the_end_of_a_sparse_tebibyte_maps() {
    let size = 1u64 << 40;
    let Some(file) = sparse(size, b"the end") else { return };
    let page = page_size();
    let last = map(&file, &MapOptions { offset: size - page as u64, ..MapOptions::default() })
        .expect("mapped");
    assert_eq!(last.length(), page);
    assert!(last.bytes().ends_with(b"\0the end"));
    let failure = map(&file, &MapOptions { offset: size - 1, length: 2, ..MapOptions::default() })
        .expect_err("refused");
    assert_eq!(failure.errno, libc::ENXIO);

    let whole = map(&file, &MapOptions { flags: NO_RESERVE, ..MapOptions::default() })
        .expect("address space is enough");
    assert_eq!(whole.length() as u64, size);
    assert_eq!(whole.part(whole.length() - 7, 7), b"the end");
}

pub fn offsets_above_four_gibibytes_map() {
    let size = (5u64 << 30) + 12345;
    let Some(file) = sparse(size, b"above") else { return };
    let options =
        MapOptions { offset: size - 5, length: 5, access: WRITE, ..MapOptions::default() };
    let map = map(&file, &options).expect("mapped");
    assert_eq!(map.bytes(), b"above");
    map.store(0, b"A");
    map.flush(0, 1, libc::MS_SYNC).expect("flushed");
    let mut bytes = [0; 5];
    file.as_file().read_exact_at(&mut bytes, size - 5).expect("read");
    assert_eq!(&bytes, b"Above");
}
