//! Uses the bytes and pages of a map.

use super::maps::{LENGTH, OnDisk, filled};
use super::wraps::small;
use super::{Scenario, Stage, scenarios};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::hosts::refuse;
use crate::support::map::{Map, map_with, memory, page_size};

scenarios![
    "bytefd_map_flush: a file": |stage| {
        let file = OnDisk::new();
        let map = map_with(&file.path, WRITE, 0).expect("mapped");
        map.store(0, b"flushed");
        stage.call(|| map.flush(0, TO_END, libc::MS_SYNC));
        assert_eq!(std::fs::read(&file.path).expect("a file")[..7], *b"flushed");
    },
    "bytefd_map_advise: that keeps bytes": |stage| {
        let map = filled(0);
        stage.call(|| map.advise(0, TO_END, libc::MADV_WILLNEED, 0));
        assert!(map.bytes() == small());
    },
    "bytefd_map_advise: that loses bytes": |stage| {
        let map = private(2);
        let advised = stage.call(|| map.advise(0, page_size(), libc::MADV_DONTNEED, LOSE_CONTENT));
        let kept = if advised.is_some() { page_size() } else { 0 };
        assert!(map.bytes()[kept..] == pattern(2 * page_size())[kept..]);
    },
    "bytefd_map_advise: that loses the file's bytes": |stage| {
        let map = pages(2, 0);
        let advised = stage.call(|| map.advise(0, page_size(), libc::MADV_REMOVE, LOSE_CONTENT));
        let kept = if advised.is_some() { page_size() } else { 0 };
        assert!(map.bytes()[kept..] == pattern(2 * page_size())[kept..]);
    },
    "bytefd_map_mlock: all of it": |stage| on_all(stage, Map::mlock),
    "bytefd_map_munlock: all of it": |stage| {
        on_all(stage, |map, offset, length| map.munlock(offset, length))
    },
    "bytefd_map_prefetch: memory": |stage| on_all(stage, Map::prefetch),
    "bytefd_map_prefetch: a file": |stage| {
        let file = OnDisk::new();
        let map = map_with(&file.path, READ, 0).expect("mapped");
        stage.call(|| map.prefetch(0, TO_END));
        assert!(map.bytes() == small());
    },
    "bytefd_map_protect: for reading": |stage| {
        on_all(stage, |map, offset, length| map.protect(offset, length, libc::PROT_READ))
    },
    "bytefd_map_unmap: a page in the middle": |stage| unmap(stage, 0),
    "bytefd_map_unmap: a page of guarded memory": |stage| unmap(stage, GUARD),
    "bytefd_map_read: memory": |stage| read(stage, filled(0)),
    "bytefd_map_read: guarded memory": |stage| read(stage, filled(GUARD)),
    "bytefd_map_read: where process_vm_readv is not": |stage| {
        refuse(libc::SYS_process_vm_readv, libc::EPERM);
        read(stage, filled(0));
    },
    "bytefd_map_write: memory": |stage| write(stage, filled(0)),
    "bytefd_map_write: guarded memory": |stage| write(stage, filled(GUARD)),
    "bytefd_map_write: where process_vm_readv is not": |stage| {
        refuse(libc::SYS_process_vm_readv, libc::ENOSYS);
        write(stage, filled(0));
    },
    "bytefd_map_check: memory": |stage| {
        let map = filled(0);
        stage.call(|| map.check());
    },
    "bytefd_map_check: guarded memory": |stage| {
        let map = filled(GUARD);
        stage.call(|| map.check());
    },
    "bytefd_map_file_size: guarded memory": |stage| {
        let map = filled(GUARD);
        assert!(stage.call(|| map.file_size()).is_none_or(|size| size == LENGTH as u64));
    },
    "bytefd_map_file_size: a file": |stage| {
        let file = OnDisk::new();
        let map = map_with(&file.path, WRITE, 0).expect("mapped");
        assert!(stage.call(|| map.file_size()).is_none_or(|size| size == LENGTH as u64));
    },
];

/// Makes shared memory of whole pages, filled.
fn pages(count: usize, flags: u64) -> Map {
    filled_with(count, MapOptions { flags, ..MapOptions::default() })
}

fn private(count: usize) -> Map {
    filled_with(count, MapOptions { access: PRIVATE, ..MapOptions::default() })
}

fn filled_with(count: usize, options: MapOptions) -> Map {
    let map = memory(count * page_size(), &options).expect("memory");
    map.store(0, &pattern(count * page_size()));
    map
}

/// Makes a call about pages that leaves the bytes alone.
fn on_all(
    stage: &Stage,
    call: impl Fn(&Map, usize, usize) -> Result<(), crate::support::fd::Failure>,
) {
    let map = filled(0);
    stage.call(|| call(&map, 0, TO_END));
    assert!(map.bytes() == small());
}

fn unmap(stage: &Stage, flags: u64) {
    let (mut map, page) = (pages(3, flags), page_size());
    stage.call(|| map.unmap(page, page));
    assert!(
        map.part(0, page) == pattern(3 * page)[..page]
            && map.part(2 * page, page) == pattern(3 * page)[2 * page..]
    );
}

fn read(stage: &Stage, map: Map) {
    let mut bytes = [0; LENGTH];
    if let Some(count) = stage.call(|| map.read(0, &mut bytes)) {
        assert!(bytes[..count] == small()[..count]);
        assert!(count == LENGTH, "{count} bytes");
    }
}

fn write(stage: &Stage, map: Map) {
    let bytes = pattern(LENGTH + 9);
    let written = stage.call(|| map.write(0, &bytes[9..]));
    let count = written.unwrap_or(0);
    assert!(map.part(0, count) == bytes[9..9 + count]);
    assert!(written.is_none_or(|count| count == LENGTH), "{count} bytes");
}
