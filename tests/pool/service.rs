//! Tests a pool that many scans of different sizes share: no scan does the work of another.

use super::*;
use crate::support::abi::{POOL_REUSE, TRUST_CALLBACK};
use crate::support::hosts::refuse;

const LARGE: usize = 8 << 20;
/// The most bytes that a small scan may take from other files, including the rounding to pages.
const LITTLE: u64 = 64 << 10;

fn reusing(options: PoolOptions) -> Pool {
    Pool::with(&PoolOptions { method: POOL_REUSE, ..options }).unwrap()
}

fn full() -> (Pool, Vec<u8>) {
    let pool = reusing(PoolOptions { max_bytes: LARGE as u64, ..PoolOptions::default() });
    let large = bytes_of(1, LARGE);
    pool.scan(&large, |fd| check_content(fd, &large));
    (pool, large)
}

pub fn a_small_scan_takes_little_from_a_large_file_that_fills_the_pool() {
    if !has_memfd() {
        return;
    }
    let (pool, large) = full();
    assert_eq!(pool.counts().cached_bytes, LARGE as u64);
    for round in 0..20 {
        let before = pool.counts().cached_bytes;
        let small = bytes_of(round, 1000 + round);
        pool.scan(&small, |fd| check(fd, &small));
        let kept = pool.counts().cached_bytes;
        assert!(
            kept + LITTLE >= before && kept <= LARGE as u64,
            "{before} bytes were kept, now {kept}"
        );
    }
    assert_eq!(pool.counts().hits, 19, "the small file is kept, too");
    // The rest of the large file is lent again, and has its bytes and no others.
    for length in [LARGE - (1 << 20), LARGE, LARGE - 5] {
        pool.scan(&large[..length], |fd| check(fd, &large[..length]));
    }
    assert_eq!((pool.counts().hits, pool.counts().dropped), (22, 0));
}

pub fn a_large_scan_leaves_the_small_files_of_a_full_pool() {
    if !has_memfd() {
        return;
    }
    let (pool, large) = full();
    let lent: Vec<Lent> = (0..8).map(|round| pool.begin(0, &bytes_of(round, 1000))).collect();
    drop(lent);
    for _ in 0..5 {
        let misses = pool.counts().misses;
        pool.scan(&large, |fd| check_content(fd, &large));
        let lent: Vec<Lent> = (0..8).map(|round| pool.begin(0, &bytes_of(round, 1000))).collect();
        drop(lent);
        let counts = pool.counts();
        assert_eq!(counts.misses, misses, "all of them are cached");
        assert!(
            counts.cached_bytes <= LARGE as u64 && counts.cached_bytes + 3 * LITTLE >= LARGE as u64
        );
    }
}

pub fn a_large_file_that_somebody_holds_is_not_cut_off() {
    if !has_memfd() {
        return;
    }
    let large = bytes_of(2, LARGE);
    let keep_descriptor = |fd| Err(duplicate(fd));
    let keep_mapping = |fd| Ok(Kept::map(fd, libc::PROT_READ, libc::MAP_SHARED));
    for keep in [keep_descriptor as fn(c_int) -> Result<Kept, OwnedFd>, keep_mapping] {
        let pool = reusing(PoolOptions { max_bytes: LARGE as u64, ..PoolOptions::default() });
        let mut kept = None;
        pool.scan(&large, |fd| kept = Some(keep(fd)));
        pool.scan(b"small", |fd| check(fd, b"small"));
        assert_eq!(pool.counts().dropped, 1);
        assert!(pool.counts().cached_bytes <= LITTLE);
        match kept.expect("the scan calls back") {
            Ok(mapping) => assert!(mapping.bytes() == large[..SIZE]),
            Err(fd) => assert!(content(&fd) == large),
        }
    }
}

pub fn a_small_scan_does_not_take_a_large_file_for_itself() {
    if !has_memfd() {
        return;
    }
    let large = bytes_of(3, LARGE);
    for flags in [0, TRUST_CALLBACK] {
        let pool = reusing(PoolOptions { max_files: 1, ..PoolOptions::default() });
        pool.scan_with(flags, &large, |fd| check_content(fd, &large));
        let mut hits = 0;
        for _ in 0..5 {
            pool.scan_with(flags, b"small", |fd| check_content(fd, b"small"));
            assert_eq!(pool.counts().hits, hits, "no file for the small one");
            pool.scan_with(flags, &large, |fd| check_content(fd, &large));
            hits += 1;
            assert_eq!(pool.counts().hits, hits);
        }
    }
}

pub fn what_is_idle_is_given_up_little_by_little() {
    if !has_memfd() {
        return;
    }
    let pool = reusing(PoolOptions { idle_ns: 1, ..PoolOptions::default() });
    let large = bytes_of(4, LARGE);
    pool.scan(&large, |fd| check_content(fd, &large));
    let memory = || memory_files().iter().map(|(fd, ..)| memory_of(*fd)).sum::<u64>();
    let mut before = memory();
    assert_eq!(before, LARGE as u64);
    let mut scans = 0;
    while before > LITTLE {
        pool.scan(b"small", |fd| check(fd, b"small"));
        let now = memory();
        assert!(now < before && now + 2 * LITTLE >= before, "{before} bytes, then {now}");
        before = now;
        scans += 1;
    }
    assert!(scans > 20, "{scans}");
    // Who asks has time.
    pool.scan(&large, |fd| check_content(fd, &large));
    assert_eq!((pool.counts().cached_bytes, memory()), (0, 0));
}

pub fn out_of_memory_a_pool_gives_up_what_it_keeps() {
    in_fork(|| {
        let pool = reusing(PoolOptions::default());
        pool.scan(&bytes_of(5, LARGE), |_| {});
        assert!(!has_memfd() || pool.counts().cached_bytes > 0);
        refuse(libc::SYS_memfd_create, libc::ENOMEM);
        let failure = pool.try_scan(0, b"small", |_| {}).unwrap_err();
        assert_eq!(failure.errno, libc::ENOMEM, "{failure:?}");
        assert_eq!((pool.counts().cached_bytes, memory_files().len()), (0, 0));
    });
}
