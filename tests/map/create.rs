//! Tests files that are created, and files that grow.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::faults::conditions::{free_space, small_file_system};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::hosts;
use crate::support::map::{Map, map, map_with, page_size};

fn grow_with(path: &Path, file_size: u64, flags: u64) -> Map {
    let options = MapOptions { access: WRITE, file_size, flags, ..MapOptions::default() };
    map(path, &options).expect("mapped")
}

/// Returns the bytes of the disk that the file has.
fn allocated(path: &Path) -> u64 {
    path.metadata().expect("stat").blocks() * 512
}

pub fn a_created_file_is_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new");
    let map = map_with(&path, WRITE, CREATE).expect("mapped");
    assert_eq!(map.length(), 0);
    assert_eq!(path.metadata().expect("stat").len(), 0);

    let path = folder.path().join("other");
    let options = MapOptions {
        access: WRITE,
        flags: CREATE | BEYOND_EOF,
        length: 100,
        ..MapOptions::default()
    };
    assert_eq!(crate::support::map::map(&path, &options).expect("mapped").length(), 100);
    assert_eq!(path.metadata().expect("stat").len(), 0, "a map past the end makes no content");
}

/// The file may be removed again after it was found and before it is opened.
pub fn a_file_that_another_process_creates_and_removes_is_there_for_each_map() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                // Either may be there already, or not any more.
                let _ = std::fs::File::options().write(true).create_new(true).open(&path);
                let _ = std::fs::remove_file(&path);
            }
        });
        let maps = (0..crate::support::rounds(4000)).map(|_| map_with(&path, WRITE, CREATE));
        let failures: Vec<_> = maps.filter_map(Result::err).take(1).collect();
        is_over.store(true, SeqCst);
        assert!(failures.is_empty(), "{failures:?}");
    });
}

pub fn a_created_file_has_the_mode_asked_for_less_the_umask() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = [
        (0o022, 0, 0o600),
        (0, 0, 0o600),
        (0o277, 0, 0o400),
        (0, 0o666, 0o666),
        (0o027, 0o666, 0o640),
    ];
    for (number, (umask, asked, expected)) in cases.into_iter().enumerate() {
        // SAFETY: this process is alone.
        unsafe { libc::umask(umask) };
        let path = folder.path().join(number.to_string());
        let options = MapOptions {
            access: WRITE,
            flags: CREATE,
            mode: asked,
            file_size: 10,
            ..MapOptions::default()
        };
        // The mode may allow no writing. The process that makes the file may write to it this once.
        let map = map(&path, &options).expect("mapped");
        map.store(0, b"x");
        assert_eq!(
            path.metadata().expect("stat").mode() & 0o7777,
            expected,
            "umask {umask:o}, mode {asked:o}"
        );
    }
}

pub fn an_existing_file_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, "hello").expect("written");
    let before = path.metadata().expect("stat");
    let options = MapOptions {
        access: WRITE,
        flags: CREATE,
        mode: 0o666,
        file_size: 3,
        ..MapOptions::default()
    };
    let map = map(&path, &options).expect("mapped");
    assert_eq!(map.bytes(), b"hello");
    let after = path.metadata().expect("stat");
    assert_eq!((after.ino(), after.mode(), after.len()), (before.ino(), before.mode(), 5));
}

pub fn a_smaller_file_grows_with_zeros() {
    let page = page_size();
    for old in [0, 1, 100, page - 1, page, page + 1, 70_000] {
        for new in [old + 1, old + 50, old + page, 1_000_000] {
            for flags in [0, NO_RESERVE] {
                let file = tempfile::NamedTempFile::new().expect("a file");
                std::fs::write(&file, pattern(old)).expect("written");
                let map = grow_with(file.path(), new as u64, flags);
                let mut expected = pattern(old);
                expected.resize(new, 0);
                assert!(map.bytes() == expected, "from {old} to {new}");
                assert!(std::fs::read(&file).expect("read") == expected, "from {old} to {new}");
            }
        }
    }
}

pub fn a_larger_file_keeps_its_size() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(5000)).expect("written");
    for file_size in [0, 1, 4999, 5000] {
        assert!(grow_with(file.path(), file_size, 0).bytes() == pattern(5000));
    }
    assert!(std::fs::read(&file).expect("read") == pattern(5000));
}

pub fn a_range_in_the_grown_part_maps() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(100)).expect("written");
    let options = MapOptions {
        access: WRITE,
        file_size: 10_000,
        offset: 9_000,
        length: 1_000,
        ..MapOptions::default()
    };
    let map = map(&file, &options).expect("mapped");
    map.store(999, b"!");
    assert_eq!(map.length(), 1_000);
    let content = std::fs::read(&file).expect("read");
    assert_eq!((content.len(), content[9_999]), (10_000, b'!'));
}

pub fn growing_reserves_the_space() {
    for old in [0, 5000] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, pattern(old)).expect("written");
        grow_with(file.path(), 1 << 20, 0);
        assert!(allocated(file.path()) >= 1 << 20, "{} bytes", allocated(file.path()));
    }
}

pub fn without_reserve_the_file_is_sparse() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let map = grow_with(file.path(), 1 << 30, NO_RESERVE);
    assert_eq!(map.length(), 1 << 30);
    assert!(allocated(file.path()) < 1 << 20, "{} bytes", allocated(file.path()));
}

/// Stores past the end of a file, and grows it. The stores stay in the page cache, where growing
/// would find them.
fn scribble_and_grow() {
    let page = page_size();
    for flags in [0, NO_RESERVE] {
        for new in [101, 200, page as u64, page as u64 + 1, 100_000] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(&file, pattern(100)).expect("written");
            let options = MapOptions {
                length: page,
                access: WRITE,
                flags: BEYOND_EOF,
                ..MapOptions::default()
            };
            let beyond = map(&file, &options).expect("mapped");
            beyond.store(100, &vec![0xaa; page - 100]);
            let grown = grow_with(file.path(), new, flags);
            let mut expected = pattern(100);
            expected.resize(new as usize, 0);
            assert!(
                grown.bytes() == expected && std::fs::read(&file).expect("read") == expected,
                "to {new} bytes"
            );
        }
    }
}

pub fn bytes_scribbled_past_the_end_do_not_become_content() {
    scribble_and_grow();
}

pub fn a_file_grows_where_fallocate_is_unknown() {
    for errno in [libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL, libc::EPERM] {
        hosts::refuse(libc::SYS_fallocate, errno);
        grows_without_fallocate();
    }
}

fn grows_without_fallocate() {
    a_smaller_file_grows_with_zeros();
    a_larger_file_keeps_its_size();
    growing_reserves_the_space();
    without_reserve_the_file_is_sparse();
    scribble_and_grow();
}

pub fn reserved_space_survives_a_full_disk() {
    let (folder, _mounted) = small_file_system(1024);
    let map = grow_with(&folder.path().join("reserved"), 512 << 10, CREATE);
    let filler = std::fs::File::create(folder.path().join("filler")).expect("created");
    let mut at = 0;
    while filler.write_at(&[1; 4096], at).is_ok_and(|written| written > 0) {
        at += 4096;
    }
    assert_eq!(free_space(folder.path()), 0);
    drop(filler);
    // A page without space would be a SIGBUS here.
    map.store(0, &vec![7; 512 << 10]);
    assert!(map.bytes().iter().all(|byte| *byte == 7));
}

pub fn many_threads_create_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..20 {
        let path = folder.path().join(round.to_string());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(grow_with(&path, 0, CREATE | BEYOND_EOF).length(), 0));
            }
        });
        assert_eq!(path.metadata().expect("stat").len(), 0);
    }
}

fn past_the_end() -> MapOptions {
    MapOptions {
        access: WRITE,
        flags: CREATE,
        file_size: 8192,
        offset: 8193,
        ..MapOptions::default()
    }
}

pub fn a_refused_range_leaves_no_created_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new");
    assert_eq!(map(&path, &past_the_end()).expect_err("refused").errno, libc::ENXIO);
    assert!(!path.exists());
}

pub fn a_refused_range_gives_a_grown_file_its_size_back() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(100)).expect("written");
    assert_eq!(map(&file, &past_the_end()).expect_err("refused").errno, libc::ENXIO);
    assert!(std::fs::read(&file).expect("read") == pattern(100));
}
