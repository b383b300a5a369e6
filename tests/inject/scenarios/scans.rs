//! Lends descriptors, with and without pools.

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

use super::wraps::{segment, small};
use super::{Scenario, Stage, bare, scenarios};
use crate::pool::new_files::has_mount_setattr;
use crate::pool::{Pool, check};
use crate::scan;
use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::support::share::Pieces;

scenarios![
    "bytefd_scan_bytes: a file of its own": |stage| {
        scan_with(stage, &WrapOptions::default(), &small())
    },
    "bytefd_scan_bytes: the first file of a pool": |stage| {
        let pool = Pool::new(1 << 30);
        scan_with(stage, &pool.options(0), &small());
        assert!(pool.counts().lent == 0);
    },
    "bytefd_scan_bytes: a kept file": |stage| {
        let pool = used();
        scan_with(stage, &pool.options(0), &small());
        pool.scan(&small(), |fd| check(fd, &small()));
        assert!(pool.counts().lent == 0);
    },
    "bytefd_scan_bytes: a longer kept file": |stage| {
        let pool = used();
        scan_with(stage, &pool.options(0), &pattern(20_000));
        pool.scan(&small(), |fd| check(fd, &small()));
    },
    "bytefd_scan_bytes: a shorter kept file": |stage| {
        let pool = used();
        scan_with(stage, &pool.options(0), &pattern(100));
        pool.scan(&small(), |fd| check(fd, &small()));
    },
    "bytefd_scan_bytes: a kept file, trusted": |stage| {
        let pool = Pool::with(&PoolOptions { method: POOL_REUSE, ..PoolOptions::default() })
            .expect("a pool");
        let options = pool.options(TRUST_CALLBACK);
        let _ = scan::scan(&pattern(9000), Some(&options), |_| 0).expect("a scan");
        let mut seen = None;
        let scanned = stage.call(|| {
            scan::scan(&small(), Some(&options), |fd| {
                seen = Some(stage.aside(|| content(&scan::duplicate(fd))));
                0
            })
        });
        assert!(scanned.is_none() || seen == Some(small()));
    },
    "scan_bytes: a file of its own": |stage| scan_with(stage, &WrapOptions::default(), &small()),
    "bytefd_scan_begin: a file of its own": |stage| begin(stage, &WrapOptions::default()),
    "bytefd_scan_begin: a kept file": |stage| {
        let pool = used();
        begin(stage, &pool.options(0));
    },
    "bytefd_scan_begin_iov: a file of its own": |stage| begin_iov(stage, &WrapOptions::default()),
    "bytefd_scan_begin_iov: a kept file": |stage| {
        let pool = used();
        begin_iov(stage, &pool.options(0));
    },
    "bytefd_scan_begin_stream: a file of its own": |stage| {
        begin_stream(stage, &WrapOptions::default())
    },
    "bytefd_scan_begin_stream: a kept file": |stage| {
        let pool = used();
        begin_stream(stage, &pool.options(0));
    },
    "bytefd_scan_begin_stream: a kept file that spills": |stage| {
        let pool = used();
        begin_stream(stage, &WrapOptions { spill_threshold: 3000, ..pool.options(0) });
    },
    "bytefd_scan_begin_reader: a file of its own": |stage| {
        begin_reader(stage, &WrapOptions::default())
    },
    "bytefd_scan_begin_reader: a kept file": |stage| {
        let pool = used();
        begin_reader(stage, &pool.options(0));
    },
    "bytefd_scan_end: a file of its own": |stage| {
        let (_, handle) = scan::begin(&small(), &WrapOptions::default());
        stage.call(|| bare(scan::end(handle)));
    },
    "bytefd_scan_end: a kept file": |stage| {
        let pool = used();
        let (_, handle) = scan::begin(&small(), &pool.options(0));
        stage.call(|| bare(scan::end(handle)));
        pool.scan(&small(), |fd| check(fd, &small()));
    },
    "bytefd_pool_create: the defaults": |stage| {
        if let Some(pool) = stage.call(|| Pool::with(&PoolOptions::default())) {
            pool.scan(&small(), |fd| check(fd, &small()));
        }
    },
    "bytefd_pool_create: a pool of new files": |stage| {
        if !has_mount_setattr() {
            stage.skip("this kernel refuses a pool of new files");
        }
        if let Some(pool) = stage.call(|| Pool::with(&NEW_FILES)) {
            pool.scan(&small(), |fd| check(fd, &small()));
        }
    },
    "bytefd_scan_bytes: a new file of a pool": |stage| {
        with_new_files(stage, |pool| {
            // The second one of a size.
            pool.scan(&pattern(9000), |fd| check(fd, &pattern(9000)));
            scan_with(stage, &pool.options(0), &pattern(9000));
            pool.scan(&pattern(9000), |fd| check(fd, &pattern(9000)));
        })
    },
    "bytefd_scan_begin_stream: a new file of a pool": |stage| {
        with_new_files(stage, |pool| {
            begin_stream(stage, &pool.options(0));
        })
    },
    "bytefd_scan_begin_stream: a new file of a pool that spills": |stage| {
        with_new_files(stage, |pool| {
            begin_stream(stage, &WrapOptions { spill_threshold: 3000, ..pool.options(0) });
        })
    },
    "bytefd_scan_begin_stream: a new file of a pool, after trimming": |stage| {
        with_new_files(stage, |pool| {
            pool.trim(0);
            begin_stream(stage, &pool.options(0));
        })
    },
    "bytefd_pool_trim: a pool of new files": |stage| {
        with_new_files(stage, |pool| {
            let mut error = Error::untouched();
            stage.call(|| {
                result(
                    // SAFETY: a live pool and a writable error.
                    unsafe { (abi::load().pool_trim)(pool.options(0).pool, 0, &mut error) },
                    &error,
                )
            });
        })
    },
    "bytefd_pool_close: a pool of new files": |stage| {
        with_new_files(stage, |pool| {
            let pool = std::mem::ManuallyDrop::new(pool);
            // SAFETY: the pool is not used again.
            stage.call(|| bare(unsafe { (abi::load().pool_close)(pool.options(0).pool) }));
        })
    },
    "bytefd_pool_close: with a kept file": |stage| {
        let pool = std::mem::ManuallyDrop::new(used());
        // SAFETY: the pool is not used again.
        stage.call(|| bare(unsafe { (abi::load().pool_close)(pool.options(0).pool) }));
    },
    "bytefd_pool_trim: a kept file": |stage| {
        let pool = used();
        let mut error = Error::untouched();
        stage.call(|| {
            // SAFETY: a live pool and a writable error.
            result(unsafe { (abi::load().pool_trim)(pool.options(0).pool, 0, &mut error) }, &error)
        });
        pool.scan(&small(), |fd| check(fd, &small()));
    },
    "bytefd_pool_get_stats: of a used pool": |stage| {
        let pool = used();
        assert!(stage.call(|| Ok(pool.counts())).expect("cannot fail").lent == 0);
    },
];

const NEW_FILES: PoolOptions = PoolOptions {
    size: size_of::<PoolOptions>(),
    max_bytes: 1 << 20,
    idle_ns: -1,
    flags: 0,
    max_files: 64,
    method: POOL_NEW_FILES,
};

fn with_new_files(stage: &Stage, play: impl FnOnce(Pool)) {
    match Pool::with(&NEW_FILES) {
        Ok(pool) => {
            // Of each size the second one is on the pool's file system.
            pool.scan(&small(), |fd| check(fd, &small()));
            play(pool);
        }
        Err(failure) => stage.skip(&format!("no pool of new files: {failure:?}")),
    }
}

/// Makes a pool that keeps a file, if this host lets it.
fn used() -> Pool {
    let pool =
        Pool::with(&PoolOptions { method: POOL_REUSE, ..PoolOptions::default() }).expect("a pool");
    pool.scan(&pattern(9000), |fd| check(fd, &pattern(9000)));
    pool
}

fn scan_with(stage: &Stage, options: &WrapOptions, bytes: &[u8]) {
    let mut calls = 0;
    let scanned = stage.call(|| {
        scan::scan(bytes, Some(options), |fd| {
            calls += 1;
            stage.aside(|| check(fd, bytes));
            0
        })
    });
    assert_eq!(calls == 1, scanned.is_some(), "{calls} calls of the callback");
}

fn begun(handle: Option<(c_int, *mut c_void)>) {
    if let Some((fd, handle)) = handle {
        check(fd, &small());
        assert_eq!(scan::end(handle), 0);
    }
}

fn begin(stage: &Stage, options: &WrapOptions) {
    begun(stage.call(|| {
        let (fd, handle) = scan::begin(&small(), options);
        fd.map(|fd| (fd, handle))
    }));
}

fn begin_iov(stage: &Stage, options: &WrapOptions) {
    let bytes = small();
    let segments = [segment(&bytes[..1000]), segment(&[]), segment(&bytes[1000..])];
    let (mut handle, mut error) = (null_mut(), Error::untouched());
    begun(stage.call(|| {
        // SAFETY: valid segments and options, and two writable objects.
        let fd = unsafe {
            (abi::load().scan_begin_iov)(segments.as_ptr(), 3, options, &mut handle, &mut error)
        };
        result(fd, &error).map(|fd| (fd, handle))
    }));
}

fn begin_stream(stage: &Stage, options: &WrapOptions) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, &small()).expect("a pipe has room");
    drop(writer);
    let (mut handle, mut error) = (null_mut(), Error::untouched());
    let stream = StreamOptions::default();
    begun(stage.call(|| {
        let fd = reader.as_raw_fd();
        // SAFETY: valid options, and two writable objects.
        let fd = unsafe {
            (abi::load().scan_begin_stream)(fd, options, &stream, &mut handle, &mut error)
        };
        result(fd, &error).map(|fd| (fd, handle))
    }));
}

fn begin_reader(stage: &Stage, options: &WrapOptions) {
    let (bytes, mut handle, mut error) = (small(), null_mut(), Error::untouched());
    let mut pieces = Pieces { bytes: &bytes, at_once: 1000 };
    begun(stage.call(|| {
        let (begin, context, stream) =
            (abi::load().scan_begin_reader, pieces.context(), StreamOptions::default());
        // SAFETY: the function reads from the pieces; valid options, and two writable objects.
        let fd = unsafe {
            begin(Some(Pieces::read), context, options, &stream, &mut handle, &mut error)
        };
        result(fd, &error).map(|fd| (fd, handle))
    }));
}
