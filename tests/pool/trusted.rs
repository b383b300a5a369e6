//! Tests that callbacks that promise to keep nothing are lent the kept file itself.

use std::os::fd::FromRawFd;

use super::*;
use crate::support::abi::TRUST_CALLBACK;

pub fn a_trusted_callback_is_lent_the_kept_file_itself() {
    let pool = Pool::new(PLENTY);
    let mut lent = Vec::new();
    for round in 0..20 {
        let bytes = bytes_of(round, 3000 + round * 10);
        pool.scan_with(TRUST_CALLBACK, &bytes, |fd| {
            let own = duplicate(fd);
            if has_memfd() {
                assert_eq!(
                    (access_mode(&own), mode(&own), metadata(&own).nlink()),
                    (libc::O_RDWR, 0o400, 0)
                );
            }
            assert!(is_close_on_exec(&own));
            lent.push((fd, inode(fd)));
        });
    }
    if has_memfd() {
        assert!(
            lent.iter().all(|one| *one == lent[0]),
            "the same number of the same file each time: {lent:?}"
        );
        let counts = pool.counts();
        assert_eq!((counts.hits, counts.misses, counts.dropped), (19, 1, 0));
        assert_eq!(memory_files().len(), 1);
    }
}

pub fn a_trusted_scan_starts_at_offset_0_with_exact_bytes() {
    let pool = Pool::new(PLENTY);
    for (round, size) in
        SIZES.into_iter().chain(SIZES.into_iter().rev()).chain([5000; 5]).enumerate()
    {
        let bytes = bytes_of(round, size);
        pool.scan_with(TRUST_CALLBACK, &bytes, |fd| {
            let own = duplicate(fd);
            assert_eq!((offset(&own), metadata(&own).len() as usize), (0, size));
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, libc::FD_CLOEXEC);
            assert!(read_through(&own) == bytes);
            if size > 0 {
                let seen = mapped(&own, libc::PROT_READ, libc::MAP_SHARED).unwrap();
                assert!(seen[..size] == bytes && seen[size..].iter().all(|byte| *byte == 0));
            }
            // SAFETY: touches no memory.
            unsafe { libc::lseek(fd, 77, libc::SEEK_SET) };
        });
    }
}

/// Checks what trusted and untrusted scans need to be right after a number was lost.
fn all_is_well(pool: &Pool) {
    for round in 0..4 {
        let bytes = bytes_of(round, 6000);
        pool.scan_with(TRUST_CALLBACK, &bytes, |fd| check_content(fd, &bytes));
        pool.scan(&bytes, |fd| check(fd, &bytes));
    }
}

fn memory_mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("bytefd") && !line.contains(".so")).count()
}

pub fn a_trusted_callback_that_closes_the_number_does_no_harm() {
    let pool = Pool::new(PLENTY);
    all_is_well(&pool);
    let (files, mappings) = (memory_files().len(), memory_mappings());
    for _ in 0..50 {
        pool.scan_with(TRUST_CALLBACK, &bytes_of(0, 6000), |fd| {
            // SAFETY: on loan, and the header allows it.
            assert_eq!(unsafe { libc::close(fd) }, 0);
        });
        all_is_well(&pool);
    }
    assert_eq!(memory_files().len(), files);
    assert_eq!(memory_mappings(), mappings, "memory of files that are gone");
    assert!(!has_memfd() || pool.lends_again());
}

pub fn a_trusted_callback_that_gives_the_number_away_does_no_harm() {
    let other = wrap(b"other", &WrapOptions::default()).unwrap();
    let pool = Pool::new(PLENTY);
    all_is_well(&pool);
    for _ in 0..20 {
        let mut number = -1;
        pool.scan_with(TRUST_CALLBACK, &bytes_of(0, 6000), |fd| {
            number = fd;
            // SAFETY: closes the one on loan and puts another file in its place.
            assert_eq!(unsafe { libc::dup3(other.as_raw_fd(), fd, libc::O_CLOEXEC) }, fd);
        });
        all_is_well(&pool);
        pool.trim(0);
        // SAFETY: made by dup3 above, and left alone since.
        assert_eq!(content(&unsafe { OwnedFd::from_raw_fd(number) }), b"other");
    }
}

pub fn a_file_lent_trusted_is_never_lent_untrusted() {
    let pool = Pool::new(PLENTY);
    let (mut trusted, mut untrusted) = (Vec::new(), Vec::new());
    for round in 0..100 {
        let bytes = bytes_of(round, round * 100);
        let flags = if round % 3 == 0 { TRUST_CALLBACK } else { 0 };
        pool.scan_with(flags, &bytes, |fd| {
            check_content(fd, &bytes);
            if flags == 0 { &mut untrusted } else { &mut trusted }.push(inode(fd));
        });
    }
    assert!(!has_memfd() || pool.counts().hits > 50);
    assert!(!trusted.iter().any(|file| untrusted.contains(file)));
}

/// The callback breaks its promise. As the header says, this affects only trusted callbacks.
pub fn what_a_trusted_callback_changes_does_not_reach_untrusted_scans() {
    let pool = Pool::new(PLENTY);
    let mut kept = Vec::new();
    for round in 0..30 {
        let bytes = bytes_of(round, 5000);
        pool.scan_with(TRUST_CALLBACK, &bytes, |fd| kept.push(duplicate(fd)));
        pool.scan(&bytes, |fd| {
            for own in &kept {
                // SAFETY: a valid buffer; what is not the kept file may refuse.
                unsafe { libc::pwrite(own.as_raw_fd(), b"lies".as_ptr().cast(), 4, 100) };
            }
            check(fd, &bytes);
        });
    }
}

pub fn trusted_scans_on_threads_never_mix() {
    const THREADS: usize = 8;
    let (pool, scans) = (Pool::new(PLENTY), rounds(500));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..scans {
                    let bytes = vec![
                        (thread * 31 + round) as u8 | 1;
                        1 + (round * 641 + thread * 977) % 30_000
                    ];
                    let flags = if (round + thread) % 4 == 0 { 0 } else { TRUST_CALLBACK };
                    pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
                }
            });
        }
    });
    let counts = pool.counts();
    let all = (THREADS * scans) as u64;
    assert_eq!((counts.hits + counts.misses, counts.dropped), (all, 0));
    assert!(!has_memfd() || counts.misses * 20 < all, "{counts:?}");
}

/// The callback has promised to change nothing. The next scan is right all the same, which costs
/// nothing.
pub fn a_trusted_callback_that_changes_the_size_does_no_harm() {
    let pool = Pool::new(PLENTY);
    for (round, (size, left)) in [
        (9000, 0),
        (9000, 1),
        (9000, 4096),
        (9000, 8999),
        (9000, 9001),
        (0, 5000),
        (5000, 50_000),
        (50_000, 60_000),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = bytes_of(round, size);
        pool.scan_with(TRUST_CALLBACK, &bytes, |fd| {
            check_content(fd, &bytes);
            if has_memfd() {
                // SAFETY: touches no memory of ours.
                assert_eq!(unsafe { libc::ftruncate(fd, left) }, 0);
            }
        });
        // The lengths are that of the file now, that of before, and one in between.
        for next in [left as usize, size, (left as usize + size) / 2] {
            let bytes = bytes_of(round + 1, next);
            pool.scan_with(TRUST_CALLBACK, &bytes, |fd| check_content(fd, &bytes));
        }
    }
}

/// The flags belong to the description, which is the pool's own.
pub fn status_flags_that_a_trusted_callback_sets_do_not_stay() {
    for flags in [
        libc::O_APPEND,
        libc::O_DIRECT,
        libc::O_NONBLOCK,
        libc::O_NOATIME,
        libc::O_APPEND | libc::O_NONBLOCK,
    ] {
        let pool = Pool::new(PLENTY);
        let mut before = None;
        for (round, size) in
            [10, 10, 5000, 5000, 90_000, 100, 90_001, 3 << 20].into_iter().enumerate()
        {
            let bytes = bytes_of(round, size);
            pool.scan_with(TRUST_CALLBACK, &bytes, |fd| {
                check_content(fd, &bytes);
                // SAFETY: touches no memory.
                unsafe {
                    let are = libc::fcntl(fd, libc::F_GETFL);
                    assert!(
                        !has_memfd() || *before.get_or_insert(are) == are,
                        "{are:#o} after {flags:#o}"
                    );
                    // Before Linux 6.6 memory files refuse O_DIRECT.
                    libc::fcntl(fd, libc::F_SETFL, flags);
                }
            });
        }
        assert!(!has_memfd() || pool.counts().hits > 3);
    }
}
