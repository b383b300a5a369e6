//! Tests growth that fails: map and file are as they were, and can still be used.

use std::os::fd::AsRawFd;

use super::kinds::{Kind, Made, kinds, shared};
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{Failure, file, pattern};
use crate::support::hosts;
use crate::support::map::{map, page_size};

const LENGTH: usize = 10_000;

/// Makes a map that is filled with the pattern.
fn filled(kind: Kind, flags: u64, reserve: usize) -> Made {
    let made = kind.with(LENGTH, flags, reserve);
    made.map.store(0, &pattern(LENGTH));
    made
}

/// Resizes under conditions that refuse it. Checks that nothing has changed, and that the map can
/// still be used.
fn refused(
    made: &mut Made,
    kind: Kind,
    length: usize,
    under: impl FnOnce(&mut Made) -> Result<(), Failure>,
) -> Failure {
    let (before, content) = ((made.map.data(), made.map.length()), made.content(kind));
    let fd = made.map.descriptor().ok().map(|fd| fd.try_clone_to_owned().expect("dup"));
    let size = || fd.as_ref().map(|fd| file(fd).metadata().expect("fstat").len());
    let size_before = size();
    let failure = under(made).expect_err("refused");
    assert_eq!((made.map.data(), made.map.length()), before, "{kind:?} to {length}: {failure:?}");
    assert!(made.map.bytes() == pattern(LENGTH), "{kind:?} to {length}: {failure:?}");
    assert!(
        made.content(kind) == content && size() == size_before,
        "{kind:?} to {length}: {failure:?}"
    );
    failure
}

/// Checks that the map can still be used, without the conditions.
fn goes_on(mut made: Made, kind: Kind) {
    made.map.resize(LENGTH + 5000).expect("grown");
    let mut expected = pattern(LENGTH);
    expected.resize(LENGTH + 5000, 0);
    assert!(made.map.bytes() == expected);
    assert!(made.content(kind).is_none_or(|content| content == expected));
    made.map.store(LENGTH + 4999, b"!");
}

pub fn growing_past_the_file_size_limit_is_efbig_and_no_signal() {
    file_size_signal_kills();
    for kind in kinds().filter(|kind| *kind != Kind::Private) {
        for (flags, reserve) in [(0, 0), (0, 1 << 30), (NO_RESERVE, 0), (POPULATE, 0)] {
            let mut made = filled(kind, flags, reserve);
            for length in [1 << 20, isize::MAX as usize / 2] {
                let failure = refused(&mut made, kind, length, |made| {
                    with_limit(libc::RLIMIT_FSIZE, 100_000, || made.map.resize(length))
                });
                assert_eq!(failure.errno, libc::EFBIG, "{kind:?}: {failure:?}");
                assert!(failure.message.contains("100000"), "{}", failure.message);
            }
            goes_on(made, kind);
        }
    }
}

pub fn more_than_there_can_be_is_refused() {
    for kind in kinds() {
        for reserve in [0, 1 << 20] {
            // If space is reserved by writing zeros, all space of the disk would be reserved first.
            let mut made = filled(kind, NO_RESERVE, reserve);
            for length in [1 << 62, isize::MAX as usize, isize::MAX as usize - page_size()] {
                let failure = refused(&mut made, kind, length, |made| made.map.resize(length));
                let errnos = [libc::EFBIG, libc::ENOMEM, libc::ENOSPC, libc::EINVAL];
                assert!(errnos.contains(&failure.errno), "{kind:?} to {length}: {failure:?}");
            }
            goes_on(made, kind);
        }
    }
}

pub fn growing_on_a_full_file_system_is_enospc() {
    let (folder, _mounted) = small_file_system(1024);
    for offset in [0, 999] {
        let path = folder.path().join("file");
        std::fs::write(&path, pattern(offset + LENGTH)).expect("written");
        let options = MapOptions { offset: offset as u64, access: WRITE, ..MapOptions::default() };
        for reserve in [0, 16 << 20] {
            let mut map = map(&path, &MapOptions { reserve, ..options }).expect("mapped");
            let (free, bytes) = (free_space(folder.path()), map.bytes());
            for length in [2 << 20, 1 << 30] {
                let failure = leaves_nothing(|| map.resize(length)).expect_err("refused");
                assert_eq!(failure.errno, libc::ENOSPC, "{failure:?}");
                assert!(map.length() == LENGTH && map.bytes() == bytes);
                assert!(std::fs::read(&path).expect("read") == pattern(offset + LENGTH));
                assert_eq!(free_space(folder.path()), free, "no space stays reserved");
            }
            map.resize(512 << 10).expect("what fits is fine");
            map.store(LENGTH, &vec![1; (512 << 10) - LENGTH]);
            map.resize(LENGTH).expect("shrunk");
        }
    }
}

pub fn growing_by_zeros_on_a_full_file_system_is_enospc() {
    hosts::refuse(libc::SYS_fallocate, libc::EOPNOTSUPP);
    growing_on_a_full_file_system_is_enospc();
}

fn add_seals(made: &Made, seals: i32) {
    let fd = made.map.descriptor().expect("kept");
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
}

pub fn what_is_sealed_against_it_is_eperm() {
    for (seal, length, other) in
        [(libc::F_SEAL_GROW, 20_000, 5_000), (libc::F_SEAL_SHRINK, 5_000, 20_000)]
    {
        for (flags, reserve) in [(0, 0), (0, 1 << 20), (POPULATE, 0)] {
            let Some(map) = shared(LENGTH, &MapOptions { flags, reserve, ..MapOptions::default() })
            else {
                return;
            };
            map.store(0, &pattern(LENGTH));
            let mut made = Made::from(map);
            add_seals(&made, seal);
            let failure = refused(&mut made, Kind::Shared, length, |made| made.map.resize(length));
            assert_eq!(failure.errno, libc::EPERM, "{failure:?}");
            made.map.resize(other).expect("that is not sealed");
            assert!(made.map.part(0, 5_000) == pattern(5_000));
        }
    }
}

pub fn more_locked_memory_than_allowed_is_refused() {
    for kind in kinds() {
        for reserve in [0, 1 << 20] {
            let mut made = filled(kind, MLOCK, reserve);
            let failure = refused(&mut made, kind, 1 << 19, |made| {
                with_limit(libc::RLIMIT_MEMLOCK, 20_000, || as_nobody(|| made.map.resize(1 << 19)))
            });
            // mremap(2) says one, mlock(2) the other.
            let errno = if reserve == 0 { libc::EAGAIN } else { libc::ENOMEM };
            assert_eq!(failure.errno, errno, "{kind:?}: {failure:?}");
            assert!(made.map.region().has_flag("lo"));
            goes_on(made, kind);
        }
    }
}

pub fn without_address_space_growing_is_enomem() {
    for kind in kinds() {
        for reserve in [0, 1 << 20] {
            let mut made = filled(kind, NO_RESERVE, reserve);
            let failure = refused(&mut made, kind, 1 << 34, |made| {
                with_limit(libc::RLIMIT_AS, 1 << 33, || made.map.resize(1 << 34))
            });
            assert_eq!(failure.errno, libc::ENOMEM, "{kind:?}: {failure:?}");
            goes_on(made, kind);
        }
    }
}

/// The kernel refuses to move, extend or place the map, at each of the steps.
pub fn a_mapping_that_the_kernel_refuses_takes_growth_back() {
    let mut all: Vec<(Kind, usize, Made)> = Vec::new();
    for kind in kinds() {
        all.extend([0, 1 << 20].map(|reserve| (kind, reserve, filled(kind, 0, reserve))));
    }
    hosts::refuse(libc::SYS_mremap, libc::ENOMEM);
    // MAP_FIXED, which the allocator does not use.
    hosts::refuse_flags(libc::SYS_mmap, 3, libc::MAP_FIXED as u64, libc::ENOMEM);
    for (kind, reserve, made) in &mut all {
        let failure = refused(made, *kind, 1 << 19, |made| made.map.resize(1 << 19));
        assert_eq!(failure.errno, libc::ENOMEM, "{kind:?}, {reserve} kept: {failure:?}");
        made.map.resize(LENGTH + 1).expect("in the same page");
        made.map.resize(100).expect("shrunk");
        assert!(made.map.bytes() == pattern(100));
    }
}
