//! NULL where a map, or a place for an answer, should be; and words about what failed.

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

use super::kinds::private;
use crate::support::abi::{self, *};
use crate::support::map::Map;

/// Every function that takes a map and is told of errors, with arguments that are fine otherwise.
fn calls(map: *mut c_void) -> [(&'static str, c_int, Error); 12] {
    let abi = abi::load();
    let mut errors = [Error::untouched(); 12];
    let [a, b, c, d, e, f, g, h, i, j, k, l] = &mut errors;
    let (mut byte, mut copied) = (0u8, 0usize);
    let buffer: *mut c_void = (&raw mut byte).cast();
    // SAFETY: NULL or a live map, and writable objects.
    let statuses = unsafe {
        [
            ("flush", (abi.map_flush)(map, 0, 0, SYNC, a)),
            ("advise", (abi.map_advise)(map, 0, 0, 0, b)),
            ("lock", (abi.map_lock)(map, 0, 0, c)),
            ("unlock", (abi.map_unlock)(map, 0, 0, d)),
            ("protect", (abi.map_protect)(map, 0, 0, 3, e)),
            ("prefetch", (abi.map_prefetch)(map, 0, 0, f)),
            ("unmap", (abi.map_unmap)(map, 0, 1, g)),
            ("read", (abi.map_read)(map, 0, buffer, 1, &mut copied, h)),
            ("write", (abi.map_write)(map, 0, buffer, 1, &mut copied, i)),
            ("check", (abi.map_check)(map, j)),
            ("resize", (abi.map_resize)(map, 5000, k)),
            ("descriptor", (abi.map_descriptor)(map, l)),
        ]
    };
    let mut errors = errors.into_iter();
    statuses.map(|(name, status)| (name, status, errors.next().expect("as many")))
}

pub fn null_maps_are_einval_for_all_that_can_say_so() {
    for (name, status, error) in calls(null_mut()) {
        assert_eq!((status, error.code, error.op()), (-libc::EINVAL, -libc::EINVAL, "map"), "{name}");
    }
    let mut error = Error::untouched();
    // SAFETY: NULL is what the header allows to be told.
    let status = unsafe { (abi::load().map_seal)(null_mut(), &mut error) };
    assert_eq!((status, error.op()), (-libc::EINVAL, "map"));
    let map = private(5000);
    for (name, status, error) in calls(map.raw()) {
        let is_refused = ["flush", "descriptor"].contains(&name);
        assert_eq!((status < 0, error.is_untouched()), (is_refused, !is_refused), "{name} of private memory: {status}");
    }
}

pub fn null_places_for_answers_are_einval() {
    let abi = abi::load();
    let map: Map = private(5000);
    let (mut byte, mut error) = (0u8, Error::untouched());
    let buffer: *mut c_void = (&raw mut byte).cast();
    // SAFETY: NULL where the header says it is refused.
    unsafe {
        assert_eq!((abi.map_read)(map.raw(), 0, buffer, 1, null_mut(), &mut error), -libc::EINVAL);
        assert_eq!(error.op(), "copied");
        assert_eq!((abi.map_write)(map.raw(), 0, buffer, 1, null_mut(), &mut error), -libc::EINVAL);
        assert_eq!((abi.map_memory)(1, null(), null_mut(), &mut error), -libc::EINVAL);
        assert_eq!(error.op(), "map");
        assert_eq!((abi.map_fd)(0, null(), null_mut(), &mut error), -libc::EINVAL);
    }
}

pub fn failures_may_go_without_an_error_object() {
    let abi = abi::load();
    let map = private(5000);
    let mut out = null_mut();
    // SAFETY: a live map, and NULL where an error may be told.
    unsafe {
        assert_eq!((abi.map_advise)(map.raw(), 0, 0, 5, null_mut()), -libc::EINVAL);
        assert_eq!((abi.map_resize)(map.raw(), usize::MAX, null_mut()), -libc::EINVAL);
        assert_eq!((abi.map_descriptor)(map.raw(), null_mut()), -libc::EBADF);
        assert_eq!((abi.map_fd)(-1, null(), &mut out, null_mut()), -libc::EBADF);
        assert_eq!((abi.map_memory)(usize::MAX, null(), &mut out, null_mut()), -libc::EINVAL);
    }
    assert!(out.is_null());
}

pub fn refusals_say_what_was_asked_for_and_what_there_is() {
    let mut map = private(5000);
    for failure in [
        map.advise(4000, 2000, 0).expect_err("refused"),
        map.lock(4000, 2000).expect_err("refused"),
        map.protect(4000, 2000, 1).expect_err("refused"),
        map.prefetch(4000, 2000).expect_err("refused"),
        map.unmap(4000, 2000).expect_err("refused"),
    ] {
        assert_eq!(failure.op, "range");
        for number in ["4000", "6000", "5000"] {
            assert!(failure.message.contains(number), "{failure:?}");
        }
    }
    let failure = map.resize(usize::MAX).expect_err("refused");
    assert!(failure.message.contains("5000") && failure.message.contains(&usize::MAX.to_string()), "{failure:?}");
}
