//! bytefd_map_seal: memory that becomes a descriptor whose content nobody can change. Each test runs alone, because a child
//! that another test forks meanwhile has the memory mapped for writing.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::kinds::{Kind, kinds, private, shared};
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{content, file, is_close_on_exec, mapped, metadata, mode, offset, pattern, seals};
use crate::support::hosts;
use crate::support::map::{Map, map, map_fd, map_with, page_size};

fn memory_of(length: usize, flags: u32, reserve: usize) -> Option<Map> {
    let map = shared(length, &MapOptions { flags, reserve, ..MapOptions::default() })?;
    map.store(0, &pattern(length));
    Some(map)
}

fn duplicate(map: &Map) -> OwnedFd {
    map.descriptor().expect("kept").try_clone_to_owned().expect("dup")
}

/// A descriptor as shm_wrap_buffer gives.
fn check(fd: &OwnedFd, length: usize, expected_mode: u32) {
    let exec_seal = if hosts::can_forbid_execution() && expected_mode == 0o400 { 0x20 } else { 0 };
    assert_eq!(seals(fd), 0xf | exec_seal);
    assert_eq!((mode(fd), offset(fd), metadata(fd).len()), (expected_mode, 0, length as u64));
    assert!(is_close_on_exec(fd) && fd.as_raw_fd() > 2);
    assert!(content(fd) == pattern(length));
    assert!(file(fd).write_at(b"!", 0).is_err() && file(fd).set_len(length as u64 + 1).is_err());
    if length > 0 {
        for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
            assert!(mapped(fd, libc::PROT_READ, flags).expect("mapped")[..length] == pattern(length));
        }
        mapped(fd, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).expect_err("sealed");
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    assert!(std::fs::read(path).expect("opened read-only") == pattern(length));
}

pub fn memory_becomes_a_sealed_descriptor() {
    for (flags, expected_mode) in [(0, 0o400), (EXECUTE, 0o500), (POPULATE | LOCK | NO_FORK | NO_RESERVE, 0o400)] {
        for reserve in [0, 1 << 30] {
            for length in [0, 1, page_size() - 1, page_size(), page_size() + 1, (5 << 20) + 1] {
                let Some(mut map) = memory_of(length, flags, reserve) else { return };
                let address = map.data();
                let fd = map.seal().expect("sealed");
                check(&fd, length, expected_mode);
                assert!(map.data() == address && map.bytes() == pattern(length), "{length} bytes, flags {flags}");
                assert_eq!(map.descriptor().expect_err("none any more").errno, libc::EBADF);
                drop(map);
                check(&fd, length, expected_mode);
            }
        }
    }
}

pub fn the_map_stays_for_reading_only() {
    for flags in [0, EXECUTE, LOCK | NO_FORK] {
        let Some(mut map) = memory_of(5000, flags, 0) else { return };
        let fd = map.seal().expect("sealed");
        drop(fd);
        if flags & NO_FORK == 0 {
            assert_eq!(read_in_child(map.data()), End::Exited(pattern(1)[0].into()));
        } else {
            assert_eq!(read_in_child(map.data()), End::Killed(libc::SIGSEGV));
            assert!(map.region().has_flag("lo") && map.region().has_flag("dc"));
        }
        assert_eq!(store_in_child(map.data(), 1), End::Killed(libc::SIGSEGV));
        assert_eq!(map.region().permissions().get(..3), Some(if flags == EXECUTE { "r-x" } else { "r--" }));
        assert_eq!(map.write(0, b"!").expect_err("for reading only").errno, libc::EACCES);
        assert_eq!(map.protect(0, 0, 3).expect_err("for reading only").errno, libc::EACCES);
        for length in [0, 1, 5000, 5001, 1 << 20] {
            assert_eq!(map.resize(length).expect_err("sealed").errno, libc::EINVAL);
        }
        assert_eq!(map.seal().expect_err("sealed already").errno, libc::EINVAL);
        let mut seen = vec![0; 5000];
        assert_eq!(map.read(0, &mut seen).expect("read"), 5000);
        map.prefetch(0, 0).expect("there");
        map.unlock(0, 0).expect("unlocked");
        map.advise(0, 0, 4).expect("pages may go");
        assert!(seen == pattern(5000) && map.bytes() == pattern(5000));
    }
}

pub fn only_shared_memory_can_be_sealed() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for size in [0, 100] {
        std::fs::write(&file, pattern(size)).expect("written");
        for access in [READ, WRITE, PRIVATE] {
            let mut map = map_with(&file, access, 0).expect("mapped");
            assert_eq!(map.seal().expect_err("a file").errno, libc::EINVAL);
            assert!(map.bytes() == pattern(size));
        }
        assert_eq!(private(size).seal().expect_err("private").errno, libc::EINVAL);
    }
    for kind in kinds().filter(|kind| *kind != Kind::Shared) {
        kind.filled(100).map.seal().expect_err("not shared memory");
    }
}

/// Somebody who was given the descriptor did what they could with it.
pub fn what_others_did_with_the_descriptor_does_not_show() {
    type Deed = fn(&OwnedFd);
    let deeds: [(&str, Deed); 4] = [
        ("moved its offset", |fd| {
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::lseek(fd.as_raw_fd(), 77, libc::SEEK_SET) }, 77);
        }),
        ("changed its mode", |fd| {
            file(fd).set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap()
        }),
        ("made it longer", |fd| file(fd).set_len(20_000).expect("grown")),
        ("made it longer by pages", |fd| file(fd).set_len(1 << 20).expect("grown")),
    ];
    for (what, deed) in deeds {
        let Some(mut map) = memory_of(5000, EXECUTE, 0) else { return };
        let fd = duplicate(&map);
        deed(&fd);
        let sealed = map.seal().unwrap_or_else(|failure| panic!("somebody {what}: {failure:?}"));
        assert_eq!(metadata(&sealed).len(), 5000, "somebody {what}");
        check(&sealed, 5000, 0o500);
    }
}

pub fn a_descriptor_that_is_inherited_is_close_on_exec_once_sealed() {
    let Some(mut map) = memory_of(5000, 0, 0) else { return };
    let fd = map.descriptor().expect("kept").as_raw_fd();
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
    check(&map.seal().expect("sealed"), 5000, 0o400);
}

/// All that the map is, as far as it can be seen.
fn is_as_it_was(map: &Map, flags: u32) {
    assert!(map.bytes() == pattern(map.length()));
    assert_eq!(map.region().permissions(), if flags & EXECUTE == 0 { "rw-s" } else { "rwxs" });
    assert_eq!(map.region().has_flag("lo"), flags & LOCK != 0, "locked");
    assert_eq!(map.region().has_flag("dc"), flags & NO_FORK != 0, "hidden from children");
    map.store(0, b"J");
    assert_eq!(content(&duplicate(map))[0], b'J', "it is still the memory");
    map.store(0, &pattern(1));
}

pub fn while_others_have_it_mapped_for_writing_it_is_ebusy_and_as_it_was() {
    for flags in [0, EXECUTE, LOCK, NO_FORK, POPULATE | LOCK | NO_FORK] {
        let Some(mut ours) = memory_of(5000, flags, 1 << 20) else { return };
        let fd = duplicate(&ours);
        let theirs = map_fd(fd.as_raw_fd(), &MapOptions { access: WRITE, ..MapOptions::default() });
        let theirs = theirs.expect("mapped");
        for _ in 0..2 {
            let address = ours.data();
            let failure = ours.seal().expect_err("mapped for writing");
            assert_eq!(failure.errno, libc::EBUSY, "{failure:?}");
            assert_eq!(ours.data(), address);
            assert_eq!(seals(&fd) & 0xf, 0);
            is_as_it_was(&ours, flags);
        }
        ours.resize(6000).expect("grown");
        ours.resize(5000).expect("shrunk");
        drop(theirs);
        check(&ours.seal().expect("sealed"), 5000, if flags == EXECUTE { 0o500 } else { 0o400 });
    }
}

pub fn what_is_sealed_against_seals_is_eperm_and_as_it_was() {
    let Some(mut map) = memory_of(5000, LOCK, 0) else { return };
    let fd = duplicate(&map);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) }, 0);
    assert_eq!(map.seal().expect_err("refused").errno, libc::EPERM);
    is_as_it_was(&map, LOCK);
}

pub fn maps_of_the_descriptor_for_reading_do_not_matter() {
    let Some(mut ours) = memory_of(5000, 0, 0) else { return };
    let path = format!("/proc/self/fd/{}", ours.descriptor().expect("kept").as_raw_fd());
    let (reader, private) =
        (map_with(&path, READ, 0), map(&path, &MapOptions { access: PRIVATE, ..Default::default() }));
    let (reader, private) = (reader.expect("mapped"), private.expect("mapped"));
    check(&ours.seal().expect("sealed"), 5000, 0o400);
    private.store(0, b"!");
    assert!(reader.bytes() == pattern(5000));
}

/// A kernel on which a sealed file must be opened again, to be mapped (Linux before 6.7), and cannot be.
/// Who has become another user cannot give the file its mode any more.
pub fn memory_of_another_user_is_eperm_and_as_it_was() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
    }
    let Some(mut map) = memory_of(5000, 0, 0) else { return };
    as_nobody(|| {
        for _ in 0..2 {
            let failure = map.seal().expect_err("not ours");
            // Kernels before 6.7 need another description of it, which is the first to be refused.
            let refusals = [(libc::EPERM, "fchmod"), (libc::EACCES, "reopen")];
            assert!(refusals.contains(&(failure.errno, failure.op.as_str())), "{failure:?}");
        }
    });
    map.store(0, b"hello");
    assert_eq!(seals(&duplicate(&map)) & 0xf, 0);
    let fd = map.seal().expect("ours again");
    assert_eq!((&content(&fd)[..5], mode(&fd)), (&b"hello"[..], 0o400));
}

pub fn what_was_stored_behind_the_end_is_not_in_it() {
    for length in [0, 5, page_size() - 1, page_size() + 1] {
        let Some(mut map) = memory_of(length, 0, 0) else { return };
        let end = length.next_multiple_of(page_size());
        // SAFETY: the rest of the last page is mapped, too.
        unsafe { map.data().add(length).write_bytes(0xee, end - length) };
        let fd = map.seal().expect("sealed");
        assert!(content(&fd) == pattern(length));
        if length > 0 {
            let bytes = mapped(&fd, libc::PROT_READ, libc::MAP_PRIVATE).expect("mapped");
            assert!(bytes[length..].iter().all(|byte| *byte == 0), "{length} bytes");
        }
    }
}

pub fn without_descriptors_it_is_sealed_or_emfile_and_as_it_was() {
    if !hosts::has_memfd() {
        skip("no memory files on this host");
    }
    // By its length, the probe.
    hosts::refuse_value(libc::SYS_mmap, 1, 1, libc::EPERM);
    let mut map = memory_of(5000, 0, 0).expect("memory");
    match leaves_nothing(|| with_free_descriptors(0, || map.seal())) {
        Ok(fd) => check(&fd, 5000, 0o400),
        Err(failure) => {
            assert_eq!(failure.errno, libc::EMFILE, "{failure:?}");
            is_as_it_was(&map, 0);
            check(&map.seal().expect("sealed"), 5000, 0o400);
        }
    }
}
