//! Tests pools with too few descriptors, too large files, and no address space.

use super::*;
use crate::support::abi::TRUST_CALLBACK;

/// Takes all but this many descriptors. They come back when the result is dropped.
fn leave_free(free: usize) -> Vec<OwnedFd> {
    use std::os::fd::FromRawFd;
    let limit = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
    // SAFETY: a valid limit, and descriptors that are ours.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        let mut taken = Vec::with_capacity(100);
        loop {
            match libc::fcntl(2, libc::F_DUPFD_CLOEXEC, 3) {
                -1 => break,
                fd => taken.push(OwnedFd::from_raw_fd(fd)),
            }
        }
        taken.truncate(taken.len() - free);
        taken
    }
}

pub fn without_descriptors_it_is_emfile_and_the_pool_recovers() {
    for is_warm in [false, true] {
        in_fork(|| {
            let pool = Pool::new(PLENTY);
            if is_warm {
                pool.scan(b"warm", |_| {});
                pool.scan(&[1; 100_000], |_| {});
            }
            let files = memory_files().len();
            let taken = leave_free(0);
            for size in [0, 5, 100_000, 3 << 20] {
                // It may make room by dropping what it keeps.
                match pool.try_scan(0, &vec![1; size], |_| {}) {
                    Ok(()) => assert!(is_warm),
                    Err(failure) => assert_eq!(failure.errno, libc::EMFILE, "{failure:?}"),
                }
            }
            drop(taken);
            assert!(memory_files().len() <= files);
            pool.scan(b"hello", |fd| check(fd, b"hello"));
            assert!(!has_memfd() || pool.lends_again(), "warm: {is_warm}, {:?}", pool.counts());
        });
    }
}

pub fn with_few_descriptors_it_works_or_is_emfile() {
    for free in 1..6 {
        for flags in [0, TRUST_CALLBACK] {
            in_fork(|| {
                let pool = Pool::new(PLENTY);
                let taken = leave_free(free);
                let mut worked = 0;
                for round in 0..20 {
                    let bytes = bytes_of(round, 1 + round * 5000);
                    match pool.try_scan(flags, &bytes, |fd| {
                        let mut seen = vec![0; bytes.len() + 1];
                        // SAFETY: a valid buffer.
                        let count =
                            unsafe { libc::pread(fd, seen.as_mut_ptr().cast(), seen.len(), 0) };
                        assert!(seen[..count as usize] == bytes);
                    }) {
                        Ok(()) => worked += 1,
                        Err(failure) => assert_eq!(failure.errno, libc::EMFILE, "{failure:?}"),
                    }
                }
                assert!(
                    free < 3 || worked == 20,
                    "{worked} of 20 scans work with {free} descriptors"
                );
                drop(taken);
                assert!(memory_files().len() <= free);
                assert!(
                    !has_memfd() || pool.lends_again(),
                    "{free} descriptors, flags {flags}: {:?}",
                    pool.counts()
                );
            });
        }
    }
}

pub fn a_size_above_the_limit_is_efbig_and_no_signal() {
    const LIMIT: usize = 1 << 20;
    for flags in [0, TRUST_CALLBACK] {
        for warm in [&[][..], &[0], &[100, 100], &[3 << 20, 3 << 20], &[LIMIT, LIMIT]] {
            in_fork(|| {
                let pool = Pool::new(PLENTY);
                warm.iter().for_each(|size| pool.scan_with(flags, &vec![1; *size], |_| {}));
                let set_limit = |bytes: usize| {
                    let limit =
                        libc::rlimit { rlim_cur: bytes as u64, rlim_max: libc::RLIM_INFINITY };
                    // SAFETY: a valid limit.
                    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
                };
                set_limit(LIMIT);
                for size in [LIMIT + 1, 3 << 20] {
                    let bytes = bytes_of(size, size);
                    // A kept file that is as large already, or larger, does not grow.
                    let is_kept = has_memfd() && warm.last() >= Some(&size);
                    match pool.try_scan(flags, &bytes, |fd| check_content(fd, &bytes)) {
                        Ok(()) => assert!(is_kept),
                        Err(failure) => assert_eq!(failure.errno, libc::EFBIG, "{failure:?}"),
                    }
                }
                for size in [LIMIT, LIMIT - 1, 5, 0, LIMIT] {
                    let bytes = bytes_of(size, size);
                    pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
                }
                set_limit(0);
                pool.scan_with(flags, b"", |fd| check_content(fd, b""));
                pool.trim(0);
                assert_eq!(
                    pool.try_scan(flags, b"x", |_| unreachable!()).unwrap_err().errno,
                    libc::EFBIG
                );
                set_limit(LIMIT);
                assert!(!has_memfd() || pool.lends_again());
            });
        }
    }
}

pub fn without_address_space_scans_work() {
    let pool = Pool::new(PLENTY);
    let all: Vec<Vec<u8>> =
        SIZES.into_iter().enumerate().map(|(seed, size)| bytes_of(seed, size)).collect();
    for flags in [0, TRUST_CALLBACK] {
        for bytes in all.iter().chain(all.iter().rev()).chain(&all) {
            let before = set_address_space(0);
            pool.scan_with(flags, bytes, |fd| {
                set_address_space(before);
                check_content(fd, bytes);
                set_address_space(0);
            });
            set_address_space(before);
        }
    }
}
