//! Tests what a pool keeps, and for how long.

use super::*;
use crate::support::abi::TRUST_CALLBACK;
use crate::support::map::page_size;

pub fn a_pool_of_0_bytes_keeps_nothing() {
    let pool = Pool::new(0);
    for round in 0..50 {
        let bytes = bytes_of(round, 1 + round * 100);
        pool.scan(&bytes, |fd| check(fd, &bytes));
        assert_eq!(pool.counts().cached_bytes, 0);
    }
    let counts = pool.counts();
    assert_eq!((counts.hits, counts.misses, counts.dropped), (0, 50, 0));
    assert_eq!(memory_files(), []);
    // A file without bytes costs no memory.
    for _ in 0..10 {
        pool.scan(b"", |fd| check(fd, b""));
    }
    assert_eq!((pool.counts().cached_bytes, memory_files().len() <= 1), (0, true));
}

pub fn what_is_kept_stays_within_the_bound() {
    let page = page_size();
    for bound in [1, page - 1, page, page + 1, 2 * page, 100_000, 1 << 20] {
        let pool = Pool::new(bound);
        for flags in [0, TRUST_CALLBACK] {
            for round in 0..rounds(100) {
                let bytes = bytes_of(round, round * 7919 % 150_000);
                let other = pool.begin(flags, &bytes[..bytes.len() / 2]);
                pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
                drop(other);
                let counts = pool.counts();
                assert!(counts.cached_bytes <= bound as u64, "{counts:?}, the bound is {bound}");
            }
        }
        assert_eq!(pool.counts().dropped, 0, "nobody held anything");
        assert!(bound < page || !has_memfd() || pool.counts().hits > 0);
    }
}

pub fn memory_in_use_is_what_is_counted() {
    let pool = Pool::new(3 << 20);
    for round in 0..rounds(100) {
        let bytes = bytes_of(round, SIZES[round * 5 % SIZES.len()]);
        let open: Vec<Lent> =
            (0..round % 4).map(|part| pool.begin(0, &bytes[..bytes.len() / (part + 1)])).collect();
        pool.scan(&bytes, |fd| check_content(fd, &bytes));
        drop(open);
        let memory: u64 = memory_files().iter().map(|(fd, ..)| memory_of(*fd)).sum();
        assert_eq!(pool.counts().cached_bytes, memory, "after scan {round}");
    }
    pool.trim(0);
    assert_eq!(memory_files().iter().map(|(fd, ..)| memory_of(*fd)).sum::<u64>(), 0);
}

/// Makes the pool keep files of these whole pages, in this order. Returns their inodes.
fn keep(pool: &Pool, pages: &[usize]) -> Vec<u64> {
    let lent: Vec<Lent> =
        pages.iter().map(|count| pool.begin(0, &vec![1; count * page_size()])).collect();
    let files = lent.iter().map(|lent| inode(lent.fd)).collect();
    // In the order in which they were begun.
    lent.into_iter().for_each(drop);
    files
}

pub fn trim_drops_the_longest_unused_first() {
    if !has_memfd() {
        return;
    }
    let page = page_size();
    let pool = Pool::new(PLENTY);
    let files = keep(&pool, &[1, 10, 100, 1000]);
    let kept = || {
        let open: Vec<u64> = memory_files().into_iter().map(|(_, file, _)| file).collect();
        files.iter().map(|file| open.contains(file)).collect::<Vec<_>>()
    };
    assert_eq!((kept(), pool.counts().cached_bytes), (vec![true; 4], 1111 * page as u64));
    // The oldest becomes the youngest.
    pool.scan(&vec![2; page], |fd| assert_eq!(inode(fd), files[0]));
    pool.trim(1111 * page);
    assert_eq!(kept(), [true; 4]);
    pool.trim(1111 * page - 1);
    assert_eq!(
        (kept(), pool.counts().cached_bytes),
        (vec![true, false, true, true], 1101 * page as u64)
    );
    pool.trim(1001 * page);
    assert_eq!(
        (kept(), pool.counts().cached_bytes),
        (vec![true, false, false, true], 1001 * page as u64)
    );
    pool.trim(1);
    assert_eq!((kept(), pool.counts().cached_bytes), (vec![false; 4], 0));
    assert_eq!(pool.counts().dropped, 0, "nobody held them");
    assert!(pool.lends_again());
}

pub fn trim_to_more_than_is_kept_does_nothing() {
    let pool = Pool::new(PLENTY);
    keep(&pool, &[1, 2, 3]);
    let before = (pool.counts(), memory_files());
    for bytes in [PLENTY, usize::MAX, before.0.cached_bytes as usize] {
        pool.trim(bytes);
        assert_eq!((pool.counts(), memory_files()), before);
    }
}

pub fn files_on_loan_are_not_trimmed() {
    let pool = Pool::new(PLENTY);
    for flags in [0, TRUST_CALLBACK] {
        let bytes = bytes_of(3, 50_000);
        let lent = pool.begin(flags, &bytes);
        pool.trim(0);
        pool.scan(b"other", |fd| check(fd, b"other"));
        pool.trim(0);
        check_content(lent.fd, &bytes);
        assert_eq!(pool.counts().cached_bytes, 0);
        drop(lent);
        assert!(!has_memfd() || pool.counts().cached_bytes == whole_pages(50_000));
    }
}

fn a_hundred_at_once(flags: u64) {
    let pool = Pool::new(PLENTY);
    for round in 0..3 {
        let all: Vec<Vec<u8>> =
            (0..100).map(|number| bytes_of(number + round, 10 + number * 300)).collect();
        let mut lent: Vec<(&Vec<u8>, Lent)> =
            all.iter().map(|bytes| (bytes, pool.begin(flags, bytes))).collect();
        let mut files: Vec<u64> = lent.iter().map(|(_, lent)| inode(lent.fd)).collect();
        files.sort();
        files.dedup();
        assert_eq!(files.len(), 100, "each has a file of its own");
        for (bytes, lent) in &lent {
            check_content(lent.fd, bytes);
        }
        // In another order than they began.
        while !lent.is_empty() {
            let (bytes, lent) = lent.swap_remove(lent.len() * 7 / 11);
            check_content(lent.fd, bytes);
        }
    }
    let counts = pool.counts();
    assert_eq!((counts.hits + counts.misses, counts.dropped), (300, 0));
    assert!(!has_memfd() || counts.hits > 100, "{counts:?}");
    assert!(memory_files().len() <= 100);
}

pub fn a_hundred_scans_at_once_all_work() {
    a_hundred_at_once(0);
}

pub fn a_hundred_trusted_scans_at_once_all_work() {
    a_hundred_at_once(TRUST_CALLBACK);
}

pub fn a_pool_full_of_trusted_files_still_lends_others_again() {
    if !has_memfd() {
        return;
    }
    for (first, then) in [(0, TRUST_CALLBACK), (TRUST_CALLBACK, 0)] {
        let pool = Pool::new(PLENTY);
        drop((0..100).map(|_| pool.begin(first, b"hello")).collect::<Vec<_>>());
        let before = pool.counts().hits;
        for _ in 0..10 {
            pool.scan_with(then, b"hello", |fd| check_content(fd, b"hello"));
        }
        assert!(pool.counts().hits > before, "flags {first} and then {then}: {:?}", pool.counts());
    }
}

pub fn a_pool_may_be_destroyed_before_its_scans_end() {
    for flags in [0, TRUST_CALLBACK] {
        let pool = Pool::new(PLENTY);
        let all: Vec<Vec<u8>> = (0..10).map(|number| bytes_of(number, number * 5000)).collect();
        pool.scan_with(flags, b"warm", |_| {});
        let lent: Vec<Lent> = all.iter().map(|bytes| pool.begin(flags, bytes)).collect();
        drop(pool);
        // Another pool in its place must not matter.
        let other = Pool::new(PLENTY);
        for (bytes, lent) in all.iter().zip(lent) {
            other.scan_with(flags, b"other", |fd| check_content(fd, b"other"));
            check_content(lent.fd, bytes);
            drop(lent);
        }
        drop(other);
        assert_eq!(memory_files(), []);
    }
}

pub fn a_destroyed_pool_keeps_nothing_more() {
    for flags in [0, TRUST_CALLBACK] {
        let pool = Pool::new(PLENTY);
        let lent: Vec<Lent> =
            (0..10).map(|number| pool.begin(flags, &bytes_of(number, 5000))).collect();
        drop(pool);
        for lent in lent {
            let file = inode(lent.fd);
            drop(lent);
            let is_open = memory_files().iter().any(|open| open.1 == file);
            assert!(
                !is_open,
                "flags {flags}: kept, though no pool is left that could lend it again"
            );
        }
    }
}

pub fn pools_share_nothing() {
    let pools = [Pool::new(PLENTY), Pool::new(PLENTY), Pool::new(0)];
    let mut files = [const { Vec::new() }; 3];
    for round in 0..30 {
        for (number, pool) in pools.iter().enumerate() {
            let bytes = bytes_of(round * 3 + number, 5000);
            pool.scan(&bytes, |fd| {
                check(fd, &bytes);
                files[number].push(inode(fd));
            });
        }
    }
    assert!(!files[0].iter().any(|file| files[1].contains(file)));
    assert!(!has_memfd() || pools[0].counts() == pools[1].counts());
}

pub fn pools_made_and_destroyed_leave_nothing() {
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let once = |round: usize| {
        let pool = Pool::new(PLENTY);
        for size in [0, 100, 5000, 300_000] {
            for flags in [0, TRUST_CALLBACK] {
                for _ in 0..3 {
                    let bytes = bytes_of(round, size);
                    pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
                }
            }
        }
    };
    once(0);
    let before = maps();
    (0..rounds(50)).for_each(once);
    assert_eq!(memory_files(), []);
    assert!(maps() <= before + 2, "{before} mappings before, {} after", maps());
}
