//! Turns the numbers and pointers of C into descriptors, bytes, texts and ranges.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::IoSlice;
use std::ops::Bound;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU32;

use crate::{Error, Result};

/// Returns the error for a pointer argument that is NULL.
pub(super) fn is_null(what: &'static str) -> Error {
    Error::new(what, libc::EINVAL, format_args!("{what} is NULL"))
}

/// Returns a handle, or an error if it is NULL.
pub(super) fn required<T>(handle: Option<T>, what: &'static str) -> Result<T> {
    handle.ok_or_else(|| is_null(what))
}

/// Returns a caller's descriptor, after a check that it is open.
pub(super) fn open_descriptor<'a>(fd: c_int) -> Result<BorrowedFd<'a>> {
    crate::wrap::check_open(fd)?;
    descriptor(fd)
}

/// Returns a caller's descriptor, and refuses a negative number. If the number is not open, the
/// first system call refuses it.
pub(super) fn descriptor<'a>(fd: c_int) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        crate::wrap::check_open(fd)?;
    }
    // SAFETY: not negative, and the header asks the caller to keep it open during the call.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// # Safety
/// `fds` points to `count` numbers, or is NULL. The descriptors among them that are open stay open
/// during the call.
pub(super) unsafe fn descriptors<'a>(
    fds: *const c_int,
    count: usize,
) -> Result<&'a [BorrowedFd<'a>]> {
    check_buffer("fds", fds.cast(), count)?;
    check_count(count)?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: not NULL and not too many; the caller vouches for the numbers.
    let numbers = unsafe { std::slice::from_raw_parts(fds, count) };
    for fd in numbers {
        descriptor(*fd)?;
    }
    // SAFETY: a BorrowedFd has the representation of its number, and none of these is negative.
    Ok(unsafe { std::slice::from_raw_parts(fds.cast(), count) })
}

/// Refuses a number of descriptors that exceeds the largest array.
pub(super) fn check_count(count: usize) -> Result<()> {
    let most = isize::MAX as usize / size_of::<c_int>();
    if count <= most {
        return Ok(());
    }
    Err(Error::new("count", libc::EINVAL, format_args!("count {count} exceeds the maximum {most}")))
}

/// Reads a parameter that is both input and output.
///
/// # Safety
/// `from` is NULL or readable.
pub(super) unsafe fn number_at(from: *const usize, what: &'static str) -> Result<usize> {
    // SAFETY: the caller vouches for it.
    required(unsafe { from.as_ref() }, what).copied()
}

/// The names that a buffer and its length have in the header.
type Names = (&'static str, &'static str);

/// # Safety
/// `buf` points to `len` readable bytes, or is NULL.
pub(super) unsafe fn bytes<'a>(names: Names, buf: *const c_void, len: usize) -> Result<&'a [u8]> {
    check_length(names.1, len)?;
    check_buffer(names.0, buf, len)?;
    // SAFETY: not NULL and not too long; the caller vouches for the bytes.
    Ok(if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(buf.cast(), len) } })
}

/// # Safety
/// `buf` points to `len` writable bytes that nothing else refers to, or is NULL.
pub(super) unsafe fn bytes_mut<'a>(
    names: Names,
    buf: *mut c_void,
    len: usize,
) -> Result<&'a mut [u8]> {
    check_length(names.1, len)?;
    check_buffer(names.0, buf, len)?;
    // SAFETY: not NULL and not too long; the caller vouches for the bytes.
    Ok(if len == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(buf.cast(), len) } })
}

fn check_length(what: &'static str, len: usize) -> Result<()> {
    if len <= isize::MAX as usize {
        return Ok(());
    }
    Err(Error::new(
        what,
        libc::EINVAL,
        format_args!("length {len} exceeds the maximum {}", isize::MAX),
    ))
}

/// Refuses a buffer that is NULL, unless its length is 0.
pub(super) fn check_buffer(what: &'static str, buf: *const c_void, len: usize) -> Result<()> {
    if !buf.is_null() || len == 0 {
        return Ok(());
    }
    Err(Error::new(what, libc::EINVAL, format_args!("{what} is NULL, but its length is {len}")))
}

/// # Safety
/// `iov` points to `count` segments, each of readable bytes, or is NULL.
pub(super) unsafe fn segments<'a>(
    iov: *const libc::iovec,
    count: usize,
) -> Result<Vec<IoSlice<'a>>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let most = isize::MAX as usize / size_of::<libc::iovec>();
    if iov.is_null() {
        let message = format!("iov is NULL, but count is {count}");
        return Err(Error::new("iov", libc::EINVAL, message));
    }
    if count > most {
        let message = format!("count {count} exceeds the maximum {most}");
        return Err(Error::new("iov", libc::EINVAL, message));
    }
    let mut segments = Vec::new();
    segments.try_reserve_exact(count).map_err(|_| {
        Error::new("iov", libc::ENOMEM, format_args!("no memory for a list of {count} segments"))
    })?;
    // SAFETY: not NULL and not too many; the caller vouches for the segments.
    for (index, segment) in unsafe { std::slice::from_raw_parts(iov, count) }.iter().enumerate() {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { bytes(("iov_base", "iov_len"), segment.iov_base, segment.iov_len) };
        let named = |error: Error| {
            Error::new("iov", error.errno(), format_args!("segment {index}: {}", error.message()))
        };
        segments.push(IoSlice::new(bytes.map_err(named)?));
    }
    Ok(segments)
}

/// # Safety
/// `from` is NULL or a string that outlives the result.
pub(super) unsafe fn text<'a>(from: *const c_char, what: &'static str) -> Result<&'a CStr> {
    // SAFETY: the caller vouches for it.
    required(unsafe { optional_text(from) }, what)
}

/// # Safety
/// As [`text`].
pub(super) unsafe fn optional_text<'a>(from: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not NULL; the caller vouches for the string.
    (!from.is_null()).then(|| unsafe { CStr::from_ptr(from) })
}

/// `volatile void` in the header.
#[repr(C)]
pub struct volatile_void([u8; 0]);

/// # Safety
/// `word` is NULL, or points to a word that exists as long as the reference, and that only atomic
/// operations change.
pub(super) unsafe fn shared_word<'a>(word: *const volatile_void) -> Result<&'a AtomicU32> {
    let word = word.cast::<u32>();
    if word.is_null() {
        return Err(is_null("word"));
    }
    if !word.is_aligned() {
        return Err(Error::new(
            "word",
            libc::EINVAL,
            format_args!("address {word:p} is not a multiple of 4"),
        ));
    }
    // SAFETY: the caller vouches for it, and it is aligned.
    Ok(unsafe { AtomicU32::from_ptr(word.cast_mut()) })
}

/// Returns a handle that C passes without `const`, although any number of threads may use it at the
/// same time.
///
/// # Safety
/// `handle` is NULL, or a handle that outlives the reference.
pub(super) unsafe fn shared<'a, T>(handle: *mut T, what: &'static str) -> Result<&'a T> {
    // SAFETY: the caller vouches for it.
    required(unsafe { handle.as_ref() }, what)
}

/// Turns C's offset and length into a range of a map. A length of 0 gives an empty range, and
/// BYTEFD_TO_END everything up to the end. If the end overflows, the result ends past every map,
/// and is refused later.
pub(super) fn part(offset: usize, length: usize) -> (Bound<usize>, Bound<usize>) {
    let end = if length == usize::MAX {
        Bound::Unbounded
    } else {
        Bound::Excluded(offset.saturating_add(length))
    };
    (Bound::Included(offset), end)
}
