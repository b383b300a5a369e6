//! Tests bytefd_wrap_reader and bytefd_scan_begin_reader.

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

use crate::support::abi::{Error, StreamOptions, TRUST_CALLBACK, WrapOptions, load};
use crate::support::fd::{Failure, content, pattern, result};
use crate::support::share::{Pieces, wrap_reader};

/// Calls bytefd_scan_begin_reader. Returns the content of the lent file.
fn scanned(pieces: &mut Pieces<'_>, wrap: &WrapOptions) -> Result<Vec<u8>, Failure> {
    let (mut scan, mut error) = (null_mut(), Error::untouched());
    let (begin, read, context) = (load().scan_begin_reader, Pieces::read, pieces.context());
    // SAFETY: the function reads from the pieces; valid options and writable objects.
    let fd =
        result(unsafe { begin(Some(read), context, wrap, null(), &mut scan, &mut error) }, &error)?;
    let seen = content(&crate::scan::duplicate(fd));
    assert_eq!(crate::scan::end(scan), 0);
    Ok(seen)
}

pub fn what_a_c_function_reads_is_all_there() {
    let pool = crate::pool::Pool::new(1 << 30);
    for length in [0, 1, 4096, 65_536, 65_537, 200_000, 1 << 20, (1 << 20) + 1, (3 << 20) + 5] {
        let bytes = pattern(length);
        for at_once in [1000, usize::MAX] {
            let mut pieces = Pieces { bytes: &bytes, at_once };
            let context = pieces.context();
            // SAFETY: the function reads from the pieces.
            let fd = unsafe {
                wrap_reader(Some(Pieces::read), context, &WrapOptions::default(), null())
            };
            assert!(content(&fd.expect("a descriptor")) == bytes, "{length} bytes");
            for wrap in [WrapOptions::default(), pool.options(0), pool.options(TRUST_CALLBACK)] {
                let seen = scanned(&mut Pieces { bytes: &bytes, at_once }, &wrap).expect("a scan");
                assert!(seen == bytes, "{length} bytes");
            }
        }
    }
    assert_eq!(pool.counts().lent, 0);
}

/// Returns the answers in the context, one after the other.
unsafe extern "C" fn told(context: *mut c_void, buf: *mut c_void, size: usize) -> isize {
    // SAFETY: the tests give such a context, and the library a writable buffer.
    let (answers, buf) = unsafe {
        (&mut *context.cast::<Vec<isize>>(), std::slice::from_raw_parts_mut(buf.cast::<u8>(), size))
    };
    buf.fill(b'x');
    answers.pop().unwrap_or(0)
}

pub fn a_c_function_that_fails_or_lies_is_an_error() {
    let ask = |mut answers: Vec<isize>, options: &StreamOptions| {
        let context = (&raw mut answers).cast();
        // SAFETY: the function takes the answers.
        unsafe { wrap_reader(Some(told), context, &WrapOptions::default(), options) }
    };
    let (default, again) = (StreamOptions::default(), -(libc::EINTR as isize));
    let fd = ask(vec![again, again, 3, again, 2], &default).expect("a descriptor");
    assert_eq!(content(&fd), b"xxxxx");
    for (answer, errno) in [
        (-(libc::ENETDOWN as isize), libc::ENETDOWN),
        (-(libc::EFBIG as isize), libc::EFBIG),
        (isize::MIN, libc::EIO),
        (isize::MIN + 1, libc::EIO),
        (isize::MAX, libc::EINVAL),
    ] {
        let failure = ask(vec![answer, 3], &default).expect_err("failed");
        assert_eq!((failure.errno, failure.op.as_str()), (errno, "read"));
    }
    let limited = StreamOptions { max_bytes: 4, ..default };
    assert_eq!(ask(vec![2, 3], &limited).expect_err("too long").errno, libc::EFBIG);
    let timed = StreamOptions { timeout_ns: 0, ..default };
    assert_eq!(ask(vec![3], &timed).expect_err("cannot be ended").errno, libc::EINVAL);
    // SAFETY: there is no function.
    let none = unsafe { wrap_reader(None, null_mut(), &WrapOptions::default(), null()) };
    let failure = none.expect_err("no function");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "read"));
}

pub fn a_c_function_that_reads_may_use_the_library() {
    unsafe extern "C" fn nested(context: *mut c_void, buf: *mut c_void, size: usize) -> isize {
        // SAFETY: the test gives a counter, and the library a writable buffer.
        let (count, buf) = unsafe {
            (&mut *context.cast::<c_int>(), std::slice::from_raw_parts_mut(buf.cast(), size))
        };
        *count += 1;
        if *count > 2 {
            return 0;
        }
        let inner = scanned(&mut Pieces { bytes: b"hello", at_once: 1 }, &WrapOptions::default())
            .expect("a scan");
        buf[..5].copy_from_slice(&inner);
        5
    }
    let mut count: c_int = 0;
    // SAFETY: the function takes a counter.
    let fd = unsafe {
        wrap_reader(Some(nested), (&raw mut count).cast(), &WrapOptions::default(), null())
    };
    assert_eq!(content(&fd.expect("a descriptor")), b"hellohello");
}
