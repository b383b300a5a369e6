//! Tests what a pool does not take.

use std::ffi::c_int;
use std::ptr::{null, null_mut};

use super::*;
use crate::support::abi::*;

pub fn options_that_need_a_file_of_their_own_are_einval() {
    let pool = Pool::new(PLENTY);
    let plain = pool.options(0);
    let refused = [
        ("a mode", WrapOptions { mode: 0o400, ..plain }),
        ("writable", pool.options(WRITABLE)),
        ("executable", pool.options(EXECUTABLE)),
        ("sealed", pool.options(SEAL_CONTENT)),
        ("POSIX shm", WrapOptions { backend: SHM, ..plain }),
        ("a temporary file", WrapOptions { backend: TMPFILE, ..plain }),
        ("trusted and read-only", pool.options(TRUST_CALLBACK | READ_ONLY)),
        ("trusted and inherited", pool.options(TRUST_CALLBACK | INHERIT)),
        ("trusted and writable", pool.options(TRUST_CALLBACK | WRITABLE)),
        ("a name with a slash", WrapOptions { name: c"a/b".as_ptr(), ..plain }),
        ("memory above a threshold", WrapOptions { spill_threshold: 1, backend: MEMFD, ..plain }),
        ("a threshold of 0", WrapOptions { spill_threshold: 0, ..plain }),
        ("an unknown flag", pool.options(INTERRUPTIBLE)),
        ("an unknown flag", pool.options(1 << 31)),
        ("an unknown backend", WrapOptions { backend: 4, ..plain }),
        ("a mode without the owner's read bit", WrapOptions { mode: 0o200, ..plain }),
    ];
    for (what, options) in refused {
        for bytes in [&b""[..], b"hello"] {
            let failure =
                scan::scan(bytes, Some(&options), |_| unreachable!("not called")).unwrap_err();
            assert_eq!(failure.errno, libc::EINVAL, "{what}: {failure:?}");
            assert_eq!(scan::begin(bytes, &options).0.unwrap_err().errno, libc::EINVAL, "{what}");
        }
    }
    let counts = pool.counts();
    assert_eq!((counts.misses, counts.hits, counts.cached_bytes), (0, 0, 0));
}

pub fn options_that_change_nothing_are_accepted() {
    let pool = Pool::new(PLENTY);
    for flags in [0, READ_ONLY, INHERIT, READ_ONLY | INHERIT, TRUST_CALLBACK] {
        pool.scan_with(flags, b"hello", |fd| check_content(fd, b"hello"));
    }
    if has_memfd() {
        let options = WrapOptions { backend: MEMFD, ..pool.options(0) };
        scan::scan(b"hello", Some(&options), |fd| (check(fd, b"hello"), 0).1).unwrap();
    }
}

pub fn trust_without_a_pool_is_einval() {
    for flags in [TRUST_CALLBACK, TRUST_CALLBACK | READ_ONLY, TRUST_CALLBACK | WRITABLE] {
        let options = WrapOptions { flags, ..WrapOptions::default() };
        let failure =
            scan::scan(b"hello", Some(&options), |_| unreachable!("not called")).unwrap_err();
        assert_eq!(failure.errno, libc::EINVAL, "{failure:?}");
        assert_eq!(scan::begin(b"hello", &options).0.unwrap_err().errno, libc::EINVAL);
        assert_eq!(wrap(b"hello", &options).unwrap_err().errno, libc::EINVAL);
    }
}

pub fn files_given_away_take_no_pool() {
    let pool = Pool::new(PLENTY);
    for flags in [0, READ_ONLY, TRUST_CALLBACK] {
        let options = pool.options(flags);
        assert_eq!(wrap(b"hello", &options).unwrap_err().errno, libc::EINVAL);
        // SAFETY: valid arguments.
        let value = unsafe { (abi::load().wrap_iov)(null(), 0, &options, null_mut()) };
        assert_eq!(value, -libc::EINVAL);
    }
    assert_eq!(pool.counts().misses, 0);
}

pub fn counts_are_written_to_structs_of_every_size_and_not_beyond() {
    #[repr(C)]
    struct Larger {
        known: PoolStats,
        beyond: [u8; 100],
    }
    let pool = Pool::new(PLENTY);
    pool.scan(b"hello", |_| {});
    for size in [48, 49, 56, 148] {
        let known =
            PoolStats { size, hits: !0, misses: !0, dropped: !0, lent: !0, cached_bytes: !0 };
        let mut larger = Larger { known, beyond: [0x5a; 100] };
        assert_eq!(
            // SAFETY: a struct at least as large as it says.
            unsafe { (abi::load().pool_get_stats)(pool.0, &mut larger.known, null_mut()) },
            0
        );
        assert_eq!((larger.known.size, larger.known.misses, larger.known.hits), (size, 1, 0));
        assert_eq!(larger.beyond, [0x5a; 100], "a struct of {size} bytes");
    }
    for size in [0, 1, 8, 40, 47] {
        let before = PoolStats { size, hits: 7, misses: 7, dropped: 7, lent: 7, cached_bytes: 7 };
        let (mut counts, mut error) = (before, Error::untouched());
        // SAFETY: a struct larger than it says.
        let status = unsafe { (abi::load().pool_get_stats)(pool.0, &mut counts, &mut error) };
        assert_eq!(
            result(status, &error).unwrap_err().errno,
            libc::EINVAL,
            "a struct of {size} bytes"
        );
        assert_eq!(counts, before, "written on success only");
    }
}

pub fn bad_buffers_are_refused_without_calling_back() {
    unsafe extern "C" fn never(_: c_int, _: *mut c_void) -> c_int {
        unreachable!("not called")
    }
    let pool = Pool::new(PLENTY);
    let (abi, options) = (abi::load(), pool.options(0));
    for (buf, len) in
        [(null(), 1), (c"x".as_ptr().cast(), usize::MAX), (c"x".as_ptr().cast(), 1 << 63)]
    {
        // SAFETY: arguments that are to be refused.
        unsafe {
            assert_eq!(
                (abi.scan_bytes)(buf, len, Some(never), null_mut(), &options, null_mut()),
                -libc::EINVAL
            );
            let mut handle = std::ptr::dangling_mut();
            assert_eq!(
                (abi.scan_begin)(buf, len, &options, &mut handle, null_mut()),
                -libc::EINVAL
            );
            assert_eq!(handle, std::ptr::dangling_mut(), "untouched");
        }
    }
    // SAFETY: as above; NULL is fine with a length of 0.
    unsafe {
        assert_eq!(
            (abi.scan_bytes)(c"x".as_ptr().cast(), 1, None, null_mut(), &options, null_mut()),
            -libc::EINVAL
        );
        assert_eq!((abi.scan_begin)(null(), 0, &options, null_mut(), null_mut()), -libc::EINVAL);
        let mut handle = null_mut();
        assert!((abi.scan_begin)(null(), 0, &options, &mut handle, null_mut()) >= 0);
        assert_eq!((abi.scan_end)(handle), 0);
    }
    pool.scan(b"hello", |fd| check(fd, b"hello"));
}

pub fn trimming_and_counting_a_new_pool_do_nothing() {
    for max_bytes in [0, 1, PLENTY, usize::MAX] {
        let pool = Pool::new(max_bytes);
        pool.trim(0);
        pool.trim(usize::MAX);
        let PoolStats { size, hits, misses, dropped, lent, cached_bytes } = pool.counts();
        assert_eq!((size, hits, misses, dropped, lent, cached_bytes), (48, 0, 0, 0, 0, 0));
    }
}
