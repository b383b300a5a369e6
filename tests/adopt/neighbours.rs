//! Tests an allocator whose memory contains an adopted buffer.

use super::memory::*;
use crate::faults::conditions::leaves_nothing;
use crate::support::fd::{content, pattern};
use crate::support::map::page_size;

/// Adopts a buffer of malloc, which has a mapping of its own and is never freed while the file is
/// in use. Runs in a process of its own, because what malloc does must not depend on other tests.
pub fn an_allocator_goes_on_beside_an_adopted_buffer() {
    let (page, length) = (page_size(), 4 << 20);
    leaves_nothing(|| {
        let mut buffer = std::ptr::null_mut();
        // SAFETY: a writable pointer.
        assert_eq!(unsafe { libc::posix_memalign(&mut buffer, page, length) }, 0);
        let bytes = pattern(length);
        // SAFETY: allocated just now.
        unsafe { std::ptr::copy(bytes.as_ptr(), buffer.cast(), length) };
        let fd = adopt(buffer.addr(), length).expect("adopted");
        for size in (1..40).map(|i| i * 25_000) {
            let other = vec![0xee; size];
            assert!(other.iter().all(|byte| *byte == 0xee) && vec![0; size] == vec![0; size]);
        }
        assert!(content(&fd) == bytes, "nobody else was there");
        // SAFETY: allocated above. It has a mapping of its own, which goes.
        unsafe { libc::free(buffer) };
        assert!(content(&fd) == bytes);
        assert!(!lines(0..usize::MAX).iter().any(|line| line.contains("/memfd:bytefd")));
    });
}
