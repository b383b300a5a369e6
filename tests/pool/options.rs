//! Tests the options of a pool: how many files, for how long, with which name.

use super::*;
use crate::faults::conditions::with_free_descriptors;
use crate::support::abi::{self, *};

pub fn pool_options_that_mean_nothing_are_einval_and_named() {
    let options = PoolOptions::default();
    let refused = [
        ("max_files", PoolOptions { max_files: 0, ..options }),
        ("max_files", PoolOptions { max_files: 65, ..options }),
        ("max_files", PoolOptions { max_files: u32::MAX, ..options }),
        ("idle_ns", PoolOptions { idle_ns: -2, ..options }),
        ("idle_ns", PoolOptions { idle_ns: i64::MIN, ..options }),
        ("flags", PoolOptions { flags: INHERIT, ..options }),
        ("flags", PoolOptions { flags: 1 << 63, ..options }),
        ("method", PoolOptions { method: 1, ..options }),
        ("method", PoolOptions { method: MEMFD, ..options }),
        ("method", PoolOptions { method: u32::MAX, ..options }),
    ];
    for (op, options) in refused {
        let failure = Pool::with(&options).map(drop).unwrap_err();
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, op), "{failure:?}");
        assert!(failure.message.contains(op), "{failure:?}");
    }
    for method in [0, POOL_AUTO, POOL_REUSE] {
        for max_files in [1, 64] {
            let pool = Pool::with(&PoolOptions { max_files, method, ..options }).unwrap();
            pool.scan(b"hello", |fd| check(fd, b"hello"));
            pool.scan_with(TRUST_CALLBACK, b"hello", |fd| check_content(fd, b"hello"));
        }
    }
    // SAFETY: NULL is all defaults.
    unsafe {
        let mut pool = null_mut();
        assert_eq!((abi::load().pool_create)(std::ptr::null(), &mut pool, null_mut()), 0);
        assert_eq!((abi::load().pool_close)(pool), 0);
    }
}

pub fn a_pool_never_has_more_files_than_it_may() {
    for max_files in [1, 2, 5] {
        let pool = Pool::with(&PoolOptions { max_files, ..PoolOptions::default() }).unwrap();
        let lent: Vec<Lent> =
            (0..10).map(|round| pool.begin(0, &bytes_of(round, 1000 * (1 + round)))).collect();
        assert_eq!(pool.counts().lent, if has_memfd() { max_files.into() } else { 0 });
        for (round, lent) in lent.iter().enumerate() {
            check(lent.fd, &bytes_of(round, 1000 * (1 + round)));
        }
        drop(lent);
        assert!(memory_files().len() <= max_files as usize);
        assert_eq!((pool.counts().lent, pool.counts().misses), (0, 10));
    }
}

pub fn scans_that_are_never_ended_are_counted() {
    let pool = Pool::new(PLENTY);
    let mut lent = Vec::new();
    for count in 1..=70 {
        lent.push(pool.begin(if count % 2 == 0 { 0 } else { TRUST_CALLBACK }, b"hello"));
        assert_eq!(pool.counts().lent, if has_memfd() { count.min(64) } else { 0 });
    }
    in_fork(|| assert_eq!(pool.counts().lent, 0));
    lent.truncate(3);
    assert_eq!(pool.counts().lent, if has_memfd() { 3 } else { 0 });
    lent.clear();
    assert_eq!(pool.counts().lent, 0);
}

pub fn a_file_that_is_idle_for_too_long_is_dropped_at_the_next_use() {
    let idle = |idle_ns| Pool::with(&PoolOptions { idle_ns, ..PoolOptions::default() }).unwrap();
    // A moment, which has passed when the next call begins; and longer than any test takes.
    for idle_ns in [0, 1] {
        let pool = idle(idle_ns);
        for _ in 0..5 {
            pool.scan(b"hello", |fd| check(fd, b"hello"));
        }
        let stats = pool.counts();
        assert_eq!((stats.hits, stats.misses, stats.dropped, stats.cached_bytes), (0, 5, 0, 0));
        assert!(memory_files().is_empty());
    }
    for idle_ns in [-1, 3600 * 1_000_000_000, i64::MAX] {
        let pool = idle(idle_ns);
        pool.scan(b"hello", |fd| check(fd, b"hello"));
        assert!(!has_memfd() || (pool.lends_again() && pool.counts().cached_bytes > 0));
    }
}

/// The pool has seven files, and no descriptor is left.
pub fn cached_files_give_way_before_it_is_emfile() {
    for flags in [0, TRUST_CALLBACK] {
        for threshold in [UNLIMITED, 3] {
            let pool = Pool::new(PLENTY);
            drop((0..7).map(|_| pool.begin(0, b"hello")).collect::<Vec<_>>());
            let cached = memory_files().len();
            assert_eq!(cached, if has_memfd() { 7 } else { 0 });
            let options = WrapOptions { spill_threshold: threshold, ..pool.options(flags) };
            // Not of the size of those that are cached.
            let bytes = pattern(1 << 20);
            let outcome = with_free_descriptors(0, || scan::scan(&bytes, Some(&options), |_| 0));
            match outcome {
                Ok(_) => assert!(has_memfd()),
                Err(failure) => {
                    assert!(failure.errno == libc::EMFILE && !has_memfd(), "{failure:?}")
                }
            }
        }
    }
}

pub fn out_of_descriptors_no_error_asks_whether_proc_is_mounted() {
    let pool = Pool::new(PLENTY);
    let fd = wrap_with(b"hello", 0, AUTO).unwrap();
    let mut error = Error::untouched();
    with_free_descriptors(0, || {
        let failure = pool.try_scan(0, b"hello", |_| {}).unwrap_err();
        assert!(
            failure.errno == libc::EMFILE && !failure.message.contains("/proc is"),
            "{failure:?}"
        );
        // SAFETY: an open descriptor and a writable error.
        let status = unsafe { (abi::load().reopen)(fd.as_raw_fd(), 0, &mut error) };
        let failure = result(status, &error).unwrap_err();
        assert!(
            failure.errno == libc::EMFILE && !failure.message.contains("mounted"),
            "{failure:?}"
        );
    });
}

fn name_of(fd: c_int) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("/proc");
    link.to_string_lossy().replace("/memfd:", "").replace(" (deleted)", "")
}

pub fn files_are_lent_again_under_their_own_name() {
    let pool = Pool::new(PLENTY);
    for round in 0..30 {
        let name = [None, Some(c"first"), Some(c"second"), Some(c"bytefd")][round % 4];
        let options = WrapOptions {
            name: name.map_or(std::ptr::null(), |name| name.as_ptr()),
            ..pool.options(if round % 3 == 0 { TRUST_CALLBACK } else { 0 })
        };
        let bytes = bytes_of(round, 5000);
        let expected = name.map_or("bytefd", |name| name.to_str().unwrap());
        let see = |fd| {
            assert!(!has_memfd() || name_of(fd) == expected, "{} and not {expected}", name_of(fd));
            check_content(fd, &bytes);
            0
        };
        scan::scan(&bytes, Some(&options), see).unwrap();
    }
    // Three names, trusted and not.
    assert_eq!(
        (pool.counts().hits, pool.counts().misses),
        if has_memfd() { (24, 6) } else { (0, 30) }
    );
}

pub fn segments_become_one_file_of_the_pool() {
    let pool = Pool::new(PLENTY);
    for round in 0..40 {
        let parts: Vec<Vec<u8>> =
            (0..round % 7).map(|part| bytes_of(part + round, part * 2500 + round)).collect();
        let whole = parts.concat();
        let iov: Vec<libc::iovec> = parts
            .iter()
            .map(|part| libc::iovec {
                iov_base: part.as_ptr().cast_mut().cast(),
                iov_len: part.len(),
            })
            .collect();
        for flags in [0, TRUST_CALLBACK] {
            let (mut handle, mut error) = (null_mut(), Error::untouched());
            let options = pool.options(flags);
            // SAFETY: valid segments and options, and writable objects.
            let fd = unsafe {
                (abi::load().scan_begin_iov)(
                    iov.as_ptr(),
                    iov.len(),
                    &options,
                    &mut handle,
                    &mut error,
                )
            };
            let fd = result(fd, &error).unwrap();
            if flags == 0 {
                check(fd, &whole)
            } else {
                check_content(fd, &whole)
            }
            assert_eq!(scan::end(handle), 0);
        }
    }
    assert!(!has_memfd() || pool.counts().hits > 20, "{:?}", pool.counts());
}
