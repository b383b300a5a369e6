//! Calls the four functions that make a descriptor from bytes with the same arguments.

use std::ffi::{c_int, c_void};
use std::ptr::without_provenance_mut;

use super::conditions::leaves_nothing;
use crate::support::abi::{self, *};
use crate::support::fd::{Failure, access_mode, mapped, result, wrap_with};
use crate::support::hosts;

/// Returns the backends that this host has, without AUTO.
pub fn backends() -> Vec<u32> {
    let there = [(MEMFD, hosts::has_memfd()), (SHM, hosts::has_shm()), (TMPFILE, true)];
    there.into_iter().filter(|(_, there)| *there).map(|(backend, _)| backend).collect()
}

/// Returns whether the kernel maps a sealed file shared through a read-write description: not
/// before Linux 6.7 and its backports. The library must not promise more, and works around it where
/// it can.
pub fn maps_sealed_files() -> bool {
    let sealed = wrap_with(b"hello", SEAL_CONTENT, MEMFD)
        .expect("a read-write description of a sealed file");
    assert_eq!(access_mode(&sealed), libc::O_RDWR);
    mapped(&sealed, libc::PROT_READ, libc::MAP_SHARED).is_ok()
}

pub fn options(flags: u64, backend: u32) -> WrapOptions {
    WrapOptions { flags, backend, ..WrapOptions::default() }
}

/// Asserts that all functions refuse for the same reason, call no callback and leave nothing.
/// Returns the failure.
pub fn refused(bytes: &[u8], options: &WrapOptions) -> Failure {
    refused_memory(bytes.as_ptr(), bytes.len(), options)
}

/// Does the same for memory that may be gone.
pub fn refused_memory(buffer: *const u8, length: usize, options: &WrapOptions) -> Failure {
    let mut failures = leaves_nothing(|| {
        [wrap, wrap_iov, scan_begin, scan_bytes]
            .map(|ask| ask(buffer.cast(), length, options).expect_err("refused"))
    })
    .into_iter();
    let first = failures.next().expect("four failures");
    for other in failures {
        assert_eq!((other.errno, &other.op), (first.errno, &first.op), "{first:?}, {other:?}");
    }
    first
}

fn wrap(buffer: *const c_void, length: usize, options: &WrapOptions) -> Result<c_int, Failure> {
    let mut error = Error::untouched();
    // SAFETY: what can be read of the buffer is the library's to find out.
    result(unsafe { (abi::load().shm_wrap_buffer)(buffer, length, options, &mut error) }, &error)
}

fn wrap_iov(buffer: *const c_void, length: usize, options: &WrapOptions) -> Result<c_int, Failure> {
    let mut error = Error::untouched();
    let parts = [libc::iovec { iov_base: buffer.cast_mut(), iov_len: length }];
    // SAFETY: as above.
    result(
        unsafe { (abi::load().wrap_iov)(parts.as_ptr(), parts.len(), options, &mut error) },
        &error,
    )
}

fn scan_begin(
    buffer: *const c_void,
    length: usize,
    options: &WrapOptions,
) -> Result<c_int, Failure> {
    let untouched: *mut c_void = without_provenance_mut(0x5555);
    let (mut scan, mut error) = (untouched, Error::untouched());
    // SAFETY: as above.
    let status =
        unsafe { (abi::load().scan_begin)(buffer, length, options, &mut scan, &mut error) };
    assert_eq!(scan == untouched, status < 0, "the out-pointer is written on success only");
    result(status, &error)
}

fn scan_bytes(
    buffer: *const c_void,
    length: usize,
    options: &WrapOptions,
) -> Result<c_int, Failure> {
    unsafe extern "C" fn call(_: c_int, called: *mut c_void) -> c_int {
        // SAFETY: the context given below.
        unsafe { *called.cast::<bool>() = true };
        0
    }
    let (mut called, mut error) = (false, Error::untouched());
    let context = (&raw mut called).cast();
    // SAFETY: as above.
    let status = unsafe {
        (abi::load().scan_bytes)(buffer, length, Some(call), context, options, &mut error)
    };
    assert_eq!(called, status >= 0, "the callback is called on success only");
    result(status, &error)
}
