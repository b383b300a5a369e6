//! Tests that a file that is lent again shows exactly the bytes that it is lent for.

use std::ffi::c_int;

use proptest::prelude::*;

use super::*;
use crate::support::abi::{INHERIT, READ_ONLY};

const MIB: usize = 1 << 20;

pub const SIZES: [usize; 22] = [
    0,
    1,
    2,
    63,
    64,
    4095,
    4096,
    4097,
    8191,
    8192,
    8193,
    65_535,
    65_536,
    65_537,
    100_000,
    MIB - 1,
    MIB,
    MIB + 1,
    2 * MIB - 1,
    2 * MIB + 1,
    3 * MIB + 5,
    4 * MIB,
];

/// Returns bytes that no other seed gives. No page of them is zeros.
pub fn bytes_of(seed: usize, length: usize) -> Vec<u8> {
    let mut bytes = pattern(length);
    bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(seed as u8) | 1);
    bytes
}

pub fn one_size_is_lent_the_same_file_again() {
    for size in SIZES {
        let pool = Pool::new(PLENTY);
        let mut files = Vec::new();
        for round in 0..10 {
            let bytes = bytes_of(round, size);
            pool.scan(&bytes, |fd| {
                check(fd, &bytes);
                files.push(inode(fd));
            });
        }
        let counts = pool.counts();
        assert_eq!(counts.hits + counts.misses, 10);
        if has_memfd() {
            assert_eq!((counts.hits, counts.misses, counts.dropped), (9, 1, 0), "{size} bytes");
            assert_eq!(counts.cached_bytes, whole_pages(size));
            assert!(files.iter().all(|file| *file == files[0]));
        }
    }
}

pub fn every_order_of_sizes_shows_exactly_its_own_bytes() {
    let pool = Pool::new(PLENTY);
    let up = SIZES.into_iter();
    let down = SIZES.into_iter().rev();
    let jumps = (0..60).map(|round| SIZES[round * 7 % SIZES.len()]);
    let mut scans = 0;
    for size in up.chain(down).chain(jumps) {
        let bytes = bytes_of(scans, size);
        pool.scan(&bytes, |fd| check(fd, &bytes));
        scans += 1;
    }
    let counts = pool.counts();
    assert_eq!(counts.hits + counts.misses, scans as u64);
    assert_eq!(counts.dropped, 0);
    if has_memfd() {
        assert!(counts.hits > counts.misses, "{counts:?}");
    }
}

pub fn sizes_that_grow_and_shrink_a_little_share_a_file() {
    if !has_memfd() {
        return;
    }
    let pool = Pool::new(PLENTY);
    let sizes = (0..200).map(|round: usize| 20_000 + round.abs_diff(100) * 97);
    for (round, size) in sizes.enumerate() {
        let bytes = bytes_of(round, size);
        pool.scan(&bytes, |fd| check(fd, &bytes));
    }
    let counts = pool.counts();
    assert_eq!((counts.hits, counts.misses), (199, 1));
}

pub fn a_lent_file_keeps_every_promise() {
    let pool = Pool::new(PLENTY);
    for flags in [0, READ_ONLY, 0, READ_ONLY] {
        pool.scan_with(flags, b"hello", |fd| {
            check(fd, b"hello");
            assert!(fd > 2);
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, libc::FD_CLOEXEC);
            let fd = duplicate(fd);
            assert_eq!(
                access_mode(&fd),
                if has_memfd() { libc::O_RDONLY } else { access_mode(&fd) }
            );
            // SAFETY: a valid buffer. The file must refuse.
            let written = unsafe { libc::pwrite(fd.as_raw_fd(), b"x".as_ptr().cast(), 1, 0) };
            assert_eq!(written, -1, "written through what was lent");
            assert!(mapped(&fd, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).is_err());
            // Odd offsets and lengths, as any file takes them.
            let mut byte = [0; 3];
            // SAFETY: a valid buffer.
            assert_eq!(unsafe { libc::pread(fd.as_raw_fd(), byte.as_mut_ptr().cast(), 3, 1) }, 3);
            assert_eq!(&byte, b"ell");
        });
    }
}

pub fn inherit_clears_close_on_exec_for_this_scan_only() {
    let pool = Pool::new(PLENTY);
    // SAFETY: touches no memory.
    let flags_of = |fd: c_int| unsafe { libc::fcntl(fd, libc::F_GETFD) };
    for round in 0..6 {
        let inherit = round % 2 == 1;
        pool.scan_with(if inherit { INHERIT } else { 0 }, b"hello", |fd| {
            assert_eq!(flags_of(fd), if inherit { 0 } else { libc::FD_CLOEXEC });
            for (other, ..) in memory_files() {
                assert!(
                    other == fd || flags_of(other) == libc::FD_CLOEXEC,
                    "only what is lent is inherited"
                );
            }
        });
        assert!(memory_files().iter().all(|(fd, ..)| flags_of(*fd) == libc::FD_CLOEXEC));
    }
}

pub fn any_sequence_of_scans_shows_each_its_own_bytes() {
    #[derive(Clone, Debug)]
    enum Step {
        Scan(usize),
        /// Begins a scan that is checked again at its end, after the steps in between.
        Begin(usize),
        End(prop::sample::Index),
        Trim(usize),
    }
    let size = || prop_oneof![Just(0), 1..200usize, 4000..4200usize, 1..100_000usize, 1..2 * MIB];
    let step = prop_oneof![
        6 => size().prop_map(Step::Scan),
        2 => size().prop_map(Step::Begin),
        2 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (0..300_000usize).prop_map(Step::Trim),
    ];
    let config = random(60);
    proptest!(config, |(
        steps in prop::collection::vec(step, 1..60),
        max_bytes in prop_oneof![Just(0), 1..MIB, Just(PLENTY)],
    )| {
        let pool = Pool::new(max_bytes);
        let mut open: Vec<(Vec<u8>, Lent)> = Vec::new();
        let mut scans = 0;
        for (seed, step) in steps.into_iter().enumerate() {
            match step {
                Step::Scan(size) => {
                    let bytes = bytes_of(seed, size);
                    pool.scan(&bytes, |fd| check(fd, &bytes));
                    scans += 1;
                }
                Step::Begin(size) => {
                    let bytes = bytes_of(seed, size);
                    let lent = pool.begin(0, &bytes);
                    open.push((bytes, lent));
                    scans += 1;
                }
                Step::End(which) if !open.is_empty() => {
                    let (bytes, lent) = open.swap_remove(which.index(open.len()));
                    check(lent.fd, &bytes);
                }
                Step::End(_) => {}
                Step::Trim(bytes) => {
                    pool.trim(bytes);
                    assert!(pool.counts().cached_bytes <= bytes as u64);
                }
            }
            let counts = pool.counts();
            assert_eq!(counts.hits + counts.misses, scans);
            assert_eq!(counts.dropped, 0);
            assert!(counts.cached_bytes <= max_bytes as u64);
        }
        for (bytes, lent) in &open {
            check(lent.fd, bytes);
        }
    });
}

pub fn an_answer_other_than_0_is_ecanceled_and_keeps_the_file() {
    let pool = Pool::new(PLENTY);
    for answer in [1, -1, c_int::MIN] {
        let failure = scan::scan(b"hello", Some(&pool.options(0)), |_| answer).unwrap_err();
        assert_eq!((failure.errno, failure.op.as_str()), (libc::ECANCELED, "callback"));
        assert!(failure.message.contains(&answer.to_string()), "{}", failure.message);
    }
    if has_memfd() {
        assert_eq!((pool.counts().hits, pool.counts().dropped), (2, 0));
    }
}

pub fn the_bytes_may_be_those_of_the_file_on_loan() {
    let pool = Pool::new(PLENTY);
    for round in 0..4 {
        let bytes = bytes_of(round, 50_000);
        pool.scan(&bytes, |outer| {
            // SAFETY: a new mapping of 50 000 bytes that nobody changes, removed below.
            unsafe {
                let at =
                    libc::mmap(null_mut(), 50_000, libc::PROT_READ, libc::MAP_SHARED, outer, 0);
                assert_ne!(at, libc::MAP_FAILED);
                let seen = std::slice::from_raw_parts(at.cast::<u8>(), 50_000);
                pool.scan(&seen[7..], |inner| check(inner, &bytes[7..]));
                assert_eq!(libc::munmap(at, 50_000), 0);
            }
            check(outer, &bytes);
        });
    }
    assert_eq!(pool.counts().dropped, 0);
}
