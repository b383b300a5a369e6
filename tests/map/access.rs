//! Tests reading, shared writing, private writing, and other users of the same file.

use std::os::unix::fs::FileExt;
use std::sync::Barrier;

use proptest::prelude::*;

use crate::faults::conditions::{End, read_in_child, store_in_child};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{is_mapped, map, map_with, page_size};
use crate::support::random;

/// Returns the content as pread(2) shows it.
fn content(file: &tempfile::NamedTempFile) -> Vec<u8> {
    let mut bytes = vec![0; file.as_file().metadata().expect("fstat").len() as usize];
    file.as_file().read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

pub fn stores_reach_the_file_and_other_maps() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello world").expect("written");
    let one = map_with(&file, WRITE, 0).expect("mapped");
    let two = map(&file, &MapOptions { access: WRITE, offset: 6, ..MapOptions::default() })
        .expect("mapped");
    let reader = map_with(&file, READ, 0).expect("mapped");
    one.store(0, b"J");
    two.store(0, b"W");
    for seen in [one.bytes(), reader.bytes(), content(&file)] {
        assert_eq!(seen, b"Jello World");
    }
    assert_eq!(two.bytes(), b"World");
    drop((one, two));
    assert_eq!(content(&file), b"Jello World", "closing loses nothing");
}

pub fn any_store_does_what_the_access_promises() {
    let page = page_size();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let config = random(200);
    let stores = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20);
    proptest!(config, |(
        size in 1..3 * page,
        first in any::<prop::sample::Index>(),
        write in any::<bool>(),
        stores in stores,
    )| {
        let mut model = pattern(size);
        std::fs::write(&file, &model).expect("written");
        let offset = first.index(size);
        let access = if write { WRITE } else { PRIVATE };
        let options = MapOptions { offset: offset as u64, access, ..MapOptions::default() };
        let map = map(&file, &options).expect("mapped");
        for (at, byte) in &stores {
            let at = at.index(map.length());
            map.store(at, &[*byte]);
            model[offset + at] = *byte;
        }
        prop_assert!(map.bytes() == model[offset..]);
        let reaches = if write { model } else { pattern(size) };
        prop_assert!(content(&file) == reaches);
    });
}

pub fn a_store_to_a_read_map_is_sigsegv() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    let map = map_with(&file, READ, 0).expect("mapped");
    assert_eq!(read_in_child(map.data()), End::Exited(b'h'.into()));
    assert_eq!(store_in_child(map.data(), b'J'), End::Killed(libc::SIGSEGV));
    assert_eq!(content(&file), b"hello");
    let map = map_with(&file, WRITE, 0).expect("mapped");
    assert_eq!(store_in_child(map.data(), b'J'), End::Exited(0));
    assert_eq!(content(&file), b"Jello", "a child shares the map");
}

pub fn a_file_made_shorter_is_sigbus() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(2 * page_size())).expect("written");
    for access in [READ, WRITE, PRIVATE] {
        file.as_file().set_len(2 * page_size() as u64).expect("resized");
        let map = map_with(&file, access, 0).expect("mapped");
        file.as_file().set_len(1).expect("resized");
        assert_eq!(read_in_child(map.data().wrapping_add(page_size())), End::Killed(libc::SIGBUS));
        assert_eq!(map.part(0, 1), pattern(1), "the rest is still there");
    }
}

pub fn many_threads_map_and_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let bytes = pattern(10_000);
    std::fs::write(&path, &bytes).expect("written");
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (path, bytes) = (&path, &bytes);
            scope.spawn(move || {
                for round in 0..200 {
                    let offset = (thread * 1237 + round * 41) % 10_000;
                    let access = [READ, PRIVATE][round as usize % 2];
                    let map = map(path, &MapOptions { offset, access, ..MapOptions::default() })
                        .expect("mapped");
                    assert!(map.bytes() == bytes[offset as usize..]);
                }
            });
        }
    });
    assert!(!is_mapped(&path));
}

pub fn many_threads_use_one_map() {
    const THREADS: usize = 8;
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len((THREADS * 1000) as u64).expect("resized");
    let map = map_with(&file, WRITE, 0).expect("mapped");
    let together = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, together) = (&map, &together);
            scope.spawn(move || {
                together.wait();
                for at in thread * 1000..(thread + 1) * 1000 {
                    map.store(at, &[thread as u8 + 1]);
                    map.flush(at, 1, libc::MS_ASYNC).expect("flushed");
                }
                map.flush(0, TO_END, libc::MS_SYNC).expect("flushed");
            });
        }
    });
    let expected: Vec<u8> = (0..THREADS * 1000).map(|at| (at / 1000) as u8 + 1).collect();
    assert!(map.bytes() == expected && content(&file) == expected);
}
