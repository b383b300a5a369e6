//! Makes, resizes, seals, shares and closes maps.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::wraps::small;
use super::{Scenario, Stage, bare, scenarios};
use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::support::hosts::refuse;
use crate::support::map::{self, Map, map_fd, memory};

scenarios![
    "bytefd_map_file: for reading": |stage| file(stage, READ, 0),
    "bytefd_map_file: for writing": |stage| file(stage, WRITE, 0),
    "bytefd_map_file: privately": |stage| file(stage, PRIVATE, 0),
    "bytefd_map_file: guarded": |stage| file(stage, READ, GUARD),
    "bytefd_map_file: guarded, for writing": |stage| file(stage, WRITE, GUARD),
    "bytefd_map_file: populated and locked": |stage| file(stage, READ, POPULATE | MLOCK),
    "bytefd_map_file: not for children": |stage| file(stage, READ, NO_FORK),
    "bytefd_map_file: created": |stage| create(stage, 0),
    "bytefd_map_file: created without space": |stage| create(stage, NO_RESERVE),
    "bytefd_map_file: created on a disk without fallocate": |stage| {
        refuse(libc::SYS_fallocate, libc::EOPNOTSUPP);
        create(stage, 0);
    },
    "bytefd_map_file: grown": |stage| {
        let file = OnDisk::new();
        let options = MapOptions {
            access: WRITE,
            flags: CREATE,
            file_size: GROWN as u64,
            ..MapOptions::default()
        };
        let map = stage.call(|| map::map(&file.path, &options));
        check_grown(map, &file.path);
    },
    "bytefd_map_file: with room to grow": |stage| {
        let file = OnDisk::new();
        let options = MapOptions { access: WRITE, reserve: 1 << 20, ..MapOptions::default() };
        check_map(stage.call(|| map::map(&file.path, &options)), &file.path);
    },
    "map_file: for reading": |stage| file(stage, READ, 0),
    "bytefd_map_fd: for reading": |stage| descriptor(stage, READ, 0),
    "bytefd_map_fd: for writing": |stage| descriptor(stage, WRITE, 0),
    "bytefd_map_fd: guarded": |stage| descriptor(stage, READ, GUARD),
    "bytefd_map_fd: a sealed memory file": |stage| {
        let fd = wrap(&small(), &WrapOptions::default()).expect("wrapped");
        if let Some(map) = stage.call(|| map_fd(fd.as_raw_fd(), &MapOptions::default())) {
            assert!(map.bytes() == small());
        }
    },
    "bytefd_map_memory: shared": |stage| new_memory(stage, MapOptions::default()),
    "bytefd_map_memory: shared, with room to grow": |stage| {
        new_memory(stage, MapOptions { reserve: 1 << 20, ..MapOptions::default() });
    },
    "bytefd_map_memory: shared, guarded": |stage| {
        new_memory(stage, MapOptions { flags: GUARD, ..MapOptions::default() });
    },
    "bytefd_map_memory: private": |stage| {
        new_memory(stage, MapOptions { access: PRIVATE, ..MapOptions::default() })
    },
    "bytefd_map_memory: private, wiped in children": |stage| {
        new_memory(
            stage,
            MapOptions { access: PRIVATE, flags: WIPE_ON_FORK, ..MapOptions::default() },
        );
    },
    "bytefd_map_memory: larger than a huge page": |stage| {
        if let Some(map) = stage.call(|| memory(4 << 20, &MapOptions::default())) {
            assert!(map.part(1 << 20, 4096) == [0; 4096]);
        }
    },
    "bytefd_map_data: of a map": |stage| {
        let map = filled(0);
        assert!(!stage.call(|| Ok(map.data())).expect("cannot fail").is_null());
    },
    "bytefd_map_length: of a map": |stage| {
        let map = filled(0);
        assert_eq!(stage.call(|| Ok(map.length())), Some(LENGTH));
    },
    "bytefd_map_descriptor: of memory": |stage| {
        let map = filled(0);
        stage.call(|| map.descriptor().map(|fd| assert!(fd.as_raw_fd() > 2)));
    },
    "bytefd_map_close: memory": |stage| close(stage, filled(0)),
    "bytefd_map_close: guarded memory": |stage| close(stage, filled(GUARD)),
    "bytefd_map_close: a file": |stage| {
        let file = OnDisk::new();
        close(stage, map::map_with(&file.path, WRITE, 0).expect("mapped"));
    },
    "bytefd_map_resize: memory grown": |stage| resize(stage, filled(0), GROWN),
    "bytefd_map_resize: memory shrunk": |stage| resize(stage, filled(0), 100),
    "bytefd_map_resize: guarded memory grown": |stage| resize(stage, filled(GUARD), GROWN),
    "bytefd_map_resize: reserved memory grown": |stage| {
        let map = memory(LENGTH, &MapOptions { reserve: 1 << 20, ..MapOptions::default() })
            .expect("memory");
        map.store(0, &small());
        resize(stage, map, GROWN);
    },
    "bytefd_map_resize: reserved memory shrunk": |stage| {
        let map = memory(LENGTH, &MapOptions { reserve: 1 << 20, ..MapOptions::default() })
            .expect("memory");
        map.store(0, &small());
        resize(stage, map, 100);
    },
    "bytefd_map_resize: private memory grown": |stage| {
        let map = memory(LENGTH, &MapOptions { access: PRIVATE, ..MapOptions::default() })
            .expect("memory");
        map.store(0, &small());
        resize(stage, map, GROWN);
    },
    "bytefd_map_resize: a file grown": |stage| resize_file(stage, 0, GROWN),
    "bytefd_map_resize: a file shrunk": |stage| resize_file(stage, 0, 100),
    "bytefd_map_resize: a guarded file grown": |stage| resize_file(stage, GUARD, GROWN),
    "bytefd_map_resize: a file grown on a disk without fallocate": |stage| {
        refuse(libc::SYS_fallocate, libc::EOPNOTSUPP);
        resize_file(stage, 0, GROWN);
    },
    "bytefd_map_seal: memory": |stage| seal(stage, filled(0)),
    "bytefd_map_seal: guarded memory": |stage| seal(stage, filled(GUARD)),
    "bytefd_map_seal: reserved memory": |stage| {
        let map = memory(LENGTH, &MapOptions { reserve: 1 << 20, ..MapOptions::default() })
            .expect("memory");
        map.store(0, &small());
        seal(stage, map);
    },
    "bytefd_map_seal: memory that is locked and populated": |stage| {
        seal(stage, filled(MLOCK | POPULATE | NO_FORK))
    },
    "bytefd_map_share: memory": |stage| {
        let map = filled(0);
        let file =
            map.descriptor().expect("a descriptor").try_clone_to_owned().expect("a duplicate");
        let (before, shared) = (mode(&file), stage.call(|| map.share(0)));
        map.store(3, b"written");
        if let Some(fd) = &shared {
            assert_eq!((mode(fd), access_mode(fd)), (0o400, libc::O_RDONLY));
            assert_eq!(content(fd)[3..10], *b"written");
        } else {
            assert_eq!(
                (seals(&file) & !0x20, mode(&file)),
                (0, before),
                "a map that is not shared is as it was"
            );
        }
    },
];

pub const LENGTH: usize = 5000;
const GROWN: usize = 30_000;

/// A file in a folder of its own, removed when this is dropped.
pub struct OnDisk {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl OnDisk {
    pub fn new() -> OnDisk {
        let file = OnDisk::missing();
        std::fs::write(&file.path, small()).expect("written");
        file
    }

    fn missing() -> OnDisk {
        let folder = tempfile::tempdir().expect("a folder");
        OnDisk { path: folder.path().join("file"), _folder: folder }
    }
}

/// Makes memory with content.
pub fn filled(flags: u64) -> Map {
    let map = memory(LENGTH, &MapOptions { flags, ..MapOptions::default() }).expect("memory");
    map.store(0, &small());
    map
}

fn check_map(map: Option<Map>, path: &Path) {
    if let Some(map) = map {
        assert!(map.bytes() == small());
        drop(map);
    }
    assert!(std::fs::read(path).expect("a file") == small(), "the file is as it was");
}

fn check_grown(map: Option<Map>, path: &Path) {
    let bytes = std::fs::read(path).expect("a file");
    let Some(map) = map else {
        return assert!(bytes == small(), "a file that does not grow is as it was");
    };
    assert_eq!(map.length(), GROWN);
    assert!(
        map.bytes() == bytes
            && bytes[..LENGTH] == small()
            && bytes[LENGTH..] == vec![0; GROWN - LENGTH]
    );
}

fn file(stage: &Stage, access: u32, flags: u64) {
    let file = OnDisk::new();
    check_map(stage.call(|| map::map_with(&file.path, access, flags)), &file.path);
}

fn create(stage: &Stage, flags: u64) {
    let file = OnDisk::missing();
    let flags = CREATE | flags;
    let options =
        MapOptions { access: WRITE, flags, file_size: GROWN as u64, ..MapOptions::default() };
    match stage.call(|| map::map(&file.path, &options)) {
        Some(map) => assert!(map.bytes() == vec![0; GROWN]),
        None => assert!(!file.path.exists(), "a file that was not made is there"),
    }
}

fn descriptor(stage: &Stage, access: u32, flags: u64) {
    let on_disk = OnDisk::new();
    let file = File::options().read(true).write(true).open(&on_disk.path).expect("a file");
    let options = MapOptions { access, flags, ..MapOptions::default() };
    check_map(stage.call(|| map_fd(file.as_raw_fd(), &options)), &on_disk.path);
}

fn new_memory(stage: &Stage, options: MapOptions) {
    if let Some(map) = stage.call(|| memory(LENGTH, &options)) {
        assert!(map.bytes() == [0; LENGTH]);
        map.store(0, &small());
        assert!(map.bytes() == small());
    }
}

fn close(stage: &Stage, map: Map) {
    let map = std::mem::ManuallyDrop::new(map);
    // SAFETY: the map is not used again.
    stage.call(|| bare(unsafe { (abi::load().map_close)(map.raw()) }));
}

/// Grows or shrinks a map of the content. After a failure the map is as it was, and takes stores.
fn resize(stage: &Stage, mut map: Map, length: usize) {
    let resized = stage.call(|| map.resize(length));
    let now = if resized.is_some() { length } else { LENGTH };
    assert_eq!(map.length(), now);
    let bytes = map.bytes();
    let kept = now.min(LENGTH);
    assert!(bytes[..kept] == small()[..kept], "the bytes that stay");
    assert!(bytes[kept..].iter().all(|byte| *byte == 0), "zeros behind them");
    map.store(now - 5, b"store");
    assert_eq!(map.part(now - 5, 5), b"store");
}

fn resize_file(stage: &Stage, flags: u64, length: usize) {
    let file = OnDisk::new();
    let map = map::map_with(&file.path, WRITE, flags).expect("mapped");
    let mut map = std::mem::ManuallyDrop::new(map);
    let resized = stage.call(|| map.resize(length));
    let now = if resized.is_some() { length } else { LENGTH };
    let bytes = std::fs::read(&file.path).expect("a file");
    assert_eq!((map.length(), bytes.len()), (now, now), "of the map, and of the file");
    let kept = now.min(LENGTH);
    assert!(bytes[..kept] == small()[..kept], "the bytes that stay");
    assert!(map.bytes() == bytes);
    map.store(0, b"store");
    drop(std::mem::ManuallyDrop::into_inner(map));
    assert_eq!(std::fs::read(&file.path).expect("a file")[..5], *b"store");
}

/// Seals a map. After a failure the map can be written, and its file is not sealed.
fn seal(stage: &Stage, mut map: Map) {
    let file = map.descriptor().expect("a descriptor").try_clone_to_owned().expect("a duplicate");
    let before = (seals(&file), mode(&file));
    let sealed = stage.call(|| map.seal_timeout(-1));
    assert!(map.bytes() == small());
    if let Some(fd) = sealed {
        assert_eq!((seals(&fd) & 0xf, mode(&fd), offset(&fd)), (0xf, 0o400, 0));
        assert!(content(&fd) == small() && is_close_on_exec(&fd));
    } else {
        assert_eq!((seals(&file), mode(&file)), before, "a map that is not sealed is as it was");
        map.store(LENGTH - 5, b"store");
        assert_eq!(map.part(LENGTH - 5, 5), b"store");
        drop(file);
        map.store(0, &small());
        assert!(content(&map.seal_timeout(-1).expect("sealed after all")) == small());
    }
}
