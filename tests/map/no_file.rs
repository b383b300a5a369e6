//! Tests bytefd_map_memory: zeros without a file, private to one process or shared with others.

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::huge_memory::present;
use super::kinds::{private, shared};
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{file, mode, pattern, seals};
use crate::support::hosts;
use crate::support::map::{memory, page_size};

fn with(access: u32, flags: u64) -> MapOptions {
    MapOptions { access, flags, ..MapOptions::default() }
}

/// Returns the kinds of access that this host has.
fn accesses() -> &'static [u32] {
    if hosts::has_memfd() { &[0, WRITE, PRIVATE] } else { &[PRIVATE] }
}

pub fn memory_is_zeros_that_can_be_written() {
    let page = page_size();
    for access in accesses() {
        for flags in [0, NO_RESERVE, POPULATE, NO_FORK, EXECUTE] {
            for length in [1, page - 1, page, page + 1, 1 << 20, (5 << 20) + 1] {
                let map = memory(length, &with(*access, flags)).expect("memory");
                assert_eq!(map.length(), length);
                assert!(map.bytes().iter().all(|byte| *byte == 0));
                map.store(0, &pattern(length));
                assert!(map.bytes() == pattern(length));
                map.check().expect("nothing is lost");
            }
        }
        let (plain, executable) =
            if *access == PRIVATE { ("rw-p", "rwxp") } else { ("rw-s", "rwxs") };
        assert_eq!(memory(1, &with(*access, 0)).expect("memory").region().permissions(), plain);
        assert_eq!(
            memory(1, &with(*access, EXECUTE)).expect("memory").region().permissions(),
            executable
        );
    }
}

pub fn no_memory_at_all_is_an_empty_map() {
    for access in accesses() {
        for flags in [0, EXECUTE | POPULATE | MLOCK | NO_RESERVE | NO_FORK] {
            for reserve in [0, 1 << 30] {
                let map =
                    memory(0, &MapOptions { reserve, ..with(*access, flags) }).expect("memory");
                assert_eq!(map.length(), 0);
                assert!(!map.data().is_null() && map.data().addr().is_multiple_of(page_size()));
                assert_eq!(map.read(0, &mut []).expect("nothing to read"), 0);
                assert_eq!(map.write(0, &[]).expect("nothing to write"), 0);
                assert_eq!(map.read(0, &mut [0]).expect_err("refused").errno, libc::EINVAL);
                map.advise(0, TO_END, libc::MADV_SEQUENTIAL, 0).expect("nothing to advise");
                map.mlock(0, TO_END).expect("nothing to lock");
                map.munlock(0, TO_END).expect("nothing to unlock");
                map.protect(0, TO_END, 1).expect("nothing to protect");
                map.prefetch(0, TO_END).expect("nothing to read");
                assert_eq!(map.prefetch(1, TO_END).expect_err("refused").errno, libc::EINVAL);
            }
        }
    }
}

pub fn private_memory_is_copied_for_children_and_shared_memory_is_theirs_too() {
    let map = private(5000);
    map.store(0, b"hello");
    assert_eq!(read_in_child(map.data()), End::Exited(b'h'.into()));
    assert_eq!(store_in_child(map.data(), b'J'), End::Exited(0));
    assert_eq!(map.part(0, 5), b"hello");
    assert_eq!(map.descriptor().expect_err("none").errno, libc::EBADF);

    let Some(map) = shared(5000, &MapOptions::default()) else { return };
    map.store(0, b"hello");
    assert_eq!(store_in_child(map.data(), b'J'), End::Exited(0));
    assert_eq!(map.part(0, 5), b"Jello");
}

pub fn the_descriptor_of_shared_memory_is_the_memory() {
    let Some(map) = shared(5000, &MapOptions::default()) else { return };
    map.store(4995, b"there");
    let fd = map.descriptor().expect("kept").try_clone_to_owned().expect("dup");
    let exec_seal = if hosts::can_forbid_execution() { 0x20 } else { 0 };
    assert_eq!(
        (seals(&fd), mode(&fd), file(&fd).metadata().expect("fstat").len()),
        (exec_seal, 0o600, 5000)
    );
    file(&fd).write_all_at(b"hello", 0).expect("written");
    assert_eq!(map.part(0, 5), b"hello");
    let mut seen = [0; 5];
    file(&fd).read_exact_at(&mut seen, 4995).expect("read");
    assert_eq!(&seen, b"there");
    // Another process that has nothing but the descriptor.
    let hidden = memory(0, &with(WRITE, 0)).expect("memory");
    assert_eq!(hidden.length(), 0);
    let end = in_child(|| {
        // SAFETY: a new mapping of 5000 bytes, in the child only.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let at =
                libc::mmap(std::ptr::null_mut(), 5000, access, libc::MAP_SHARED, fd.as_raw_fd(), 0)
                    .cast::<u8>();
            at.add(1).write_volatile(b'E');
            at.read_volatile().into()
        }
    });
    assert_eq!(end, End::Exited(b'h'.into()));
    assert_eq!(map.part(0, 5), b"hEllo");
    // Descriptor and map live on without each other.
    drop(map);
    file(&fd).read_exact_at(&mut seen, 0).expect("read");
    assert_eq!(&seen, b"hEllo");
}

pub fn children_find_what_the_flags_say() {
    for access in accesses() {
        let hidden = memory(5000, &with(*access, NO_FORK)).expect("memory");
        hidden.store(4999, b"h");
        assert_eq!(read_in_child(hidden.data().wrapping_add(4999)), End::Killed(libc::SIGSEGV));
        assert_eq!(hidden.part(4999, 1), b"h");
    }
    let wiped = memory(5000, &with(PRIVATE, WIPE_ON_FORK)).expect("memory");
    wiped.store(4999, b"h");
    assert_eq!(read_in_child(wiped.data().wrapping_add(4999)), End::Exited(0));
    assert_eq!(store_in_child(wiped.data(), 1), End::Exited(0));
    assert_eq!(wiped.part(4999, 1), b"h");
}

pub fn locked_memory_is_locked_and_there() {
    for access in accesses() {
        let map = memory(3 * page_size() - 1, &with(*access, MLOCK)).expect("memory");
        assert!(map.region().has_flag("lo"));
        assert_eq!(present(&map), 3);
    }
}

pub fn options_that_make_no_sense_for_memory_are_einval() {
    let defaults = MapOptions::default();
    let most = isize::MAX as usize;
    for options in [
        MapOptions { offset: 1, ..defaults },
        MapOptions { length: 1, ..defaults },
        MapOptions { file_size: 1, ..defaults },
        MapOptions { mode: 0o600, ..defaults },
        MapOptions { reserve: most + 1, ..defaults },
        MapOptions { reserve: usize::MAX, ..defaults },
        MapOptions { length: 100, ..defaults },
        with(0, CREATE),
        with(0, BEYOND_EOF),
        with(0, WIPE_ON_FORK),
        with(WRITE, WIPE_ON_FORK),
        with(WRITE, 1 << 7),
        with(WRITE, 1 << 31),
    ] {
        for access in
            [options.access, if options.flags & WIPE_ON_FORK == 0 { PRIVATE } else { WRITE }]
        {
            let failure = memory(100, &MapOptions { access, ..options }).expect_err("refused");
            assert_eq!(failure.errno, libc::EINVAL, "{failure:?}");
            assert!(["options", "access", "flags"].contains(&failure.op.as_str()), "{failure:?}");
        }
    }
    for access in [READ, 1, 3] {
        for flags in [0, POPULATE] {
            assert_eq!(memory(100, &with(access, flags)).expect_err("refused").errno, libc::EINVAL);
        }
    }
    for length in [most + 1, usize::MAX] {
        for access in [WRITE, PRIVATE] {
            assert_eq!(memory(length, &with(access, 0)).expect_err("refused").errno, libc::EINVAL);
        }
    }
    for access in accesses() {
        for flags in [0, NO_RESERVE] {
            for length in [most, most - 4096, 1 << 60] {
                let failure = memory(length, &with(*access, flags)).expect_err("refused");
                assert_eq!(failure.errno, libc::ENOMEM, "{failure:?}");
                let failure = memory(1, &MapOptions { reserve: length, ..with(*access, flags) })
                    .expect_err("refused");
                assert_eq!(failure.errno, libc::ENOMEM, "{failure:?}");
            }
        }
    }
}

pub fn the_file_size_limit_counts_for_shared_memory_only() {
    file_size_signal_kills();
    for flags in [0, POPULATE] {
        with_limit(libc::RLIMIT_FSIZE, 10_000, || {
            private(20_000).store(19_999, b"!");
            if hosts::has_memfd() {
                let failure =
                    leaves_nothing(|| memory(10_001, &with(WRITE, flags))).expect_err("refused");
                assert_eq!(failure.errno, libc::EFBIG, "{failure:?}");
                assert_eq!(memory(10_000, &with(WRITE, flags)).expect("memory").length(), 10_000);
            }
        });
    }
}

pub fn without_address_space_memory_is_enomem() {
    for access in accesses() {
        for reserve in [0, 1 << 35] {
            let options = MapOptions { reserve, ..with(*access, NO_RESERVE) };
            let length = if reserve == 0 { 1 << 35 } else { 100 };
            let refused = || with_limit(libc::RLIMIT_AS, 1 << 34, || memory(length, &options));
            let failure = leaves_nothing(refused).expect_err("refused");
            assert_eq!((failure.errno, failure.op.as_str()), (libc::ENOMEM, "mmap"));
        }
    }
}

pub fn without_descriptors_only_shared_memory_is_emfile() {
    for access in accesses() {
        let outcome = leaves_nothing(|| {
            with_free_descriptors(0, || memory(100, &with(*access, 0)).map(drop))
        });
        assert_eq!(
            outcome.err().map(|failure| failure.errno),
            (*access != PRIVATE).then_some(libc::EMFILE)
        );
    }
}

pub fn where_memfd_is_refused_only_private_memory_is_had() {
    hosts::refuse(libc::SYS_memfd_create, libc::EPERM);
    for access in [0, WRITE] {
        let failure = leaves_nothing(|| memory(100, &with(access, 0))).expect_err("refused");
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EPERM, "memfd_create"));
    }
    let map = private(100);
    map.store(0, b"hello");
    assert_eq!(map.part(0, 5), b"hello");
}

pub fn a_locked_memory_beyond_the_limit_is_refused() {
    for access in accesses() {
        for (limit, errno) in [(0, libc::EPERM), (page_size() as u64, libc::ENOMEM)] {
            let locked = || memory(2 * page_size(), &with(*access, MLOCK));
            let failure =
                leaves_nothing(|| with_limit(libc::RLIMIT_MEMLOCK, limit, || as_nobody(locked)));
            let failure = failure.expect_err("refused");
            assert_eq!((failure.errno, failure.op.as_str()), (errno, "mlock"));
        }
    }
}

/// A library that takes all memory would cause the out-of-memory killer to run, which should choose
/// this process.
pub fn more_populated_memory_than_there_can_be_is_enomem() {
    std::fs::write("/proc/self/oom_score_adj", "1000").expect("written");
    for access in accesses() {
        for length in [1 << 60, isize::MAX as usize - 4096] {
            for reserve in [0, 1 << 20] {
                let options = MapOptions { reserve, ..with(*access, POPULATE) };
                let failure = leaves_nothing(|| memory(length, &options)).expect_err("refused");
                assert_eq!(failure.errno, libc::ENOMEM, "{failure:?}");
                let mut map = memory(5, &options).expect("memory");
                let failure = map.resize(length).expect_err("refused");
                assert!([libc::EINVAL, libc::ENOMEM].contains(&failure.errno), "{failure:?}");
                map.resize(10_000).expect("grown");
            }
        }
    }
}
