//! Tests bytefd_map_fd: which files descriptors may have, and what happens to the descriptor.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{metadata, pattern, wrap_with};
use crate::support::hosts;
use crate::support::map::{Map, map, map_fd, map_with, memory};

fn open(path: impl AsRef<Path>, flags: i32) -> File {
    let mode = flags & libc::O_ACCMODE;
    let (read, write) = (mode != libc::O_WRONLY, mode != libc::O_RDONLY);
    OpenOptions::new()
        .read(read)
        .write(write)
        .custom_flags(flags & !libc::O_ACCMODE)
        .open(path)
        .expect("opened")
}

fn with(access: u32) -> MapOptions {
    MapOptions { access, ..MapOptions::default() }
}

fn is_refused(fd: RawFd, options: &MapOptions, errno: i32) {
    let failure = map_fd(fd, options).expect_err("refused");
    assert_eq!(failure.errno, errno, "descriptor {fd}: {failure:?}");
}

pub fn a_descriptor_maps_for_what_it_was_opened_for() {
    for bytes in [&b"hello"[..], b""] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, bytes).expect("written");
        for (flags, allowed) in [
            (libc::O_RDONLY, [true, false, true]),
            (libc::O_WRONLY, [false, false, false]),
            (libc::O_RDWR, [true, true, true]),
            (libc::O_RDWR | libc::O_APPEND, [true, true, true]),
        ] {
            let opened = open(&file, flags);
            for (access, allowed) in [READ, WRITE, PRIVATE].into_iter().zip(allowed) {
                if !allowed {
                    is_refused(opened.as_raw_fd(), &with(access), libc::EACCES);
                    continue;
                }
                let map = map_fd(opened.as_raw_fd(), &with(access)).expect("mapped");
                assert_eq!(map.bytes(), bytes, "flags {flags:#o}, access {access}");
                assert_eq!(map.descriptor().is_ok(), access == WRITE);
            }
        }
        // Before anything is changed.
        let growing = MapOptions { file_size: 10_000, ..with(WRITE) };
        is_refused(open(&file, libc::O_RDONLY).as_raw_fd(), &growing, libc::EACCES);
        assert_eq!(std::fs::read(&file).expect("read"), bytes);
    }
}

pub fn the_descriptor_stays_the_callers_and_keeps_its_offset() {
    for access in [READ, WRITE, PRIVATE] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, "hello").expect("written");
        let mut opened = open(&file, libc::O_RDWR);
        opened.seek(SeekFrom::Start(3)).expect("seek");
        let file_size = if access == WRITE { 7 } else { 0 };
        let options = MapOptions { offset: 1, length: 4, file_size, ..with(access) };
        let map = map_fd(opened.as_raw_fd(), &options).expect("mapped");
        assert_eq!(opened.stream_position().expect("seek"), 3);
        assert_eq!(map.bytes(), b"ello");
        let kept = map.descriptor().map(|fd| fd.as_raw_fd()).ok();
        assert_ne!(kept, Some(opened.as_raw_fd()));
        let mut rest = String::new();
        opened.read_to_string(&mut rest).expect("still open, where it was");
        assert_eq!(rest, if access == WRITE { "lo\0\0" } else { "lo" });
        drop(opened);
        assert_eq!(map.bytes(), b"ello", "it may be closed");
        if access != READ {
            map.store(0, b"E");
        }
        drop(map);
        let expected: &[u8] = if access == WRITE { b"hEllo\0\0" } else { b"hello" };
        assert_eq!(std::fs::read(&file).expect("read"), expected, "access {access}");
    }
}

pub fn a_descriptor_of_anything_but_a_regular_file_is_refused() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
    let null = open("/dev/null", libc::O_RDWR);
    let version = open("/proc/version", libc::O_RDONLY);
    // SAFETY: touches no memory; closed below.
    let nameless = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    let folder = File::open("/tmp").expect("opened");
    for access in [READ, WRITE, PRIVATE] {
        for fd in
            [reader.as_raw_fd(), writer.as_raw_fd(), socket.as_raw_fd(), null.as_raw_fd(), nameless]
        {
            is_refused(fd, &with(access), libc::ENODEV);
        }
        is_refused(folder.as_raw_fd(), &with(access), libc::EISDIR);
        is_refused(open("/tmp", libc::O_PATH).as_raw_fd(), &with(access), libc::EISDIR);
        if access != WRITE {
            is_refused(version.as_raw_fd(), &with(access), libc::ENODEV);
        }
    }
    // SAFETY: made above.
    assert_eq!(unsafe { libc::close(nameless) }, 0);
}

pub fn what_is_no_open_descriptor_is_ebadf() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    let only_a_path = open(&file, libc::O_PATH);
    for access in [READ, WRITE, PRIVATE] {
        for fd in [-1, -100, i32::MIN, i32::MAX, 1 << 28, only_a_path.as_raw_fd()] {
            is_refused(fd, &with(access), libc::EBADF);
        }
    }
}

pub fn options_for_paths_are_einval_for_descriptors() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    let fd = file.as_raw_fd();
    for options in [
        MapOptions { flags: CREATE, ..with(WRITE) },
        MapOptions { mode: 0o600, ..with(WRITE) },
        MapOptions { mode: 0o600, ..with(READ) },
        MapOptions { file_size: 10, ..with(READ) },
        MapOptions { file_size: 10, ..with(PRIVATE) },
        MapOptions { reserve: 1 << 20, ..with(READ) },
        MapOptions { reserve: 1 << 20, ..with(PRIVATE) },
        MapOptions { reserve: usize::MAX, ..with(WRITE) },
        MapOptions { flags: HUGE_PAGES, ..with(WRITE) },
        MapOptions { flags: WIPE_ON_FORK, ..with(PRIVATE) },
        MapOptions { flags: 1 << 7, ..with(READ) },
        MapOptions { length: 0, ..with(READ) },
        MapOptions { length: TO_END - 1, ..with(READ) },
        with(3),
    ] {
        is_refused(fd, &options, libc::EINVAL);
        // The same options for a path, where those for paths make sense.
        if options.flags != CREATE && options.mode == 0 {
            assert_eq!(map(&file, &options).expect_err("refused").errno, libc::EINVAL);
        }
    }
    is_refused(fd, &MapOptions { offset: 6, ..with(READ) }, libc::ENXIO);
    assert_eq!(std::fs::read(&file).expect("read"), b"hello");
}

pub fn a_sealed_file_maps_for_all_but_writing() {
    let sealed = wrap_with(b"hello", 0, AUTO).expect("wrapped");
    for access in [READ, PRIVATE] {
        let map = map_fd(sealed.as_raw_fd(), &with(access)).expect("mapped");
        assert_eq!(map.bytes(), b"hello");
    }
    let failure = map_fd(sealed.as_raw_fd(), &with(WRITE)).expect_err("refused");
    // If the file is opened read-only as well, the kernel checks that first.
    assert!([libc::EPERM, libc::EACCES].contains(&failure.errno), "{failure:?}");

    if !hosts::has_memfd() {
        return println!(
            "SKIPPED: files sealed against growing: there are no memory files on this host"
        );
    }
    let fixed = wrap_with(b"hello", WRITABLE, MEMFD).expect("wrapped");
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fixed.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_GROW) }, 0);
    is_refused(fixed.as_raw_fd(), &MapOptions { file_size: 10_000, ..with(WRITE) }, libc::EPERM);
    assert_eq!(metadata(&fixed).len(), 5);
    assert_eq!(map_fd(fixed.as_raw_fd(), &with(WRITE)).expect("mapped").bytes(), b"hello");
}

/// Record locks end when any descriptor of the file is closed, fcntl(2).
pub fn maps_that_keep_no_descriptor_leave_record_locks_alone() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    // SAFETY: all-zero is a valid struct; the call reads it only.
    unsafe {
        let lock = libc::flock { l_type: libc::F_WRLCK as i16, ..std::mem::zeroed() };
        assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &lock), 0);
    }
    let is_locked = || {
        in_child(|| {
            // SAFETY: all-zero is a valid struct, and it is writable.
            let mut lock =
                libc::flock { l_type: libc::F_WRLCK as i16, ..unsafe { std::mem::zeroed() } };
            // SAFETY: as above.
            unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut lock) };
            lock.l_type.into()
        })
    };
    for access in [READ, PRIVATE] {
        drop(map_fd(file.as_raw_fd(), &with(access)).expect("mapped"));
        assert_eq!(is_locked(), End::Exited(libc::F_WRLCK));
    }
    drop(open(&file, libc::O_RDONLY));
    assert_eq!(is_locked(), End::Exited(libc::F_UNLCK), "what this test would see");
}

/// On such a file pwrite(2) writes at the end, whatever offset it is given.
pub fn a_file_opened_for_appending_grows_to_its_size_without_fallocate() {
    hosts::refuse(libc::SYS_fallocate, libc::EOPNOTSUPP);
    for flags in [0, NO_RESERVE] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, pattern(100)).expect("written");
        let opened = open(&file, libc::O_RDWR | libc::O_APPEND);
        let options = MapOptions { flags, file_size: 100_000, ..with(WRITE) };
        let map = map_fd(opened.as_raw_fd(), &options).expect("mapped");
        let mut expected = pattern(100);
        expected.resize(100_000, 0);
        assert_eq!(file.as_file().metadata().expect("fstat").len(), 100_000, "flags {flags}");
        assert!(map.bytes() == expected);
    }
}

fn kept_by(map: Map) {
    let fd = map.descriptor().expect("kept");
    assert!(fd.as_raw_fd() > 2, "{fd:?}");
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
}

pub fn kept_descriptors_are_no_standard_streams() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    without_standard_input(|| {
        kept_by(map_fd(file.as_raw_fd(), &with(WRITE)).expect("mapped"));
        kept_by(map_with(&file, WRITE, 0).expect("mapped"));
        if hosts::has_memfd() {
            let mut map = memory(5, &with(WRITE)).expect("memory");
            assert!(map.seal().expect("sealed").as_raw_fd() > 2);
            kept_by(memory(5, &with(WRITE)).expect("memory"));
        }
    });
}
