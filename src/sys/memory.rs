//! Address ranges: mmap(2) and what is done to a mapped range.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::{Result, check, last_errno};

/// A mapped range of whole pages, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<c_void>,
    length: usize,
}

// SAFETY: a mapping is an address range of the process; it belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: the methods make system calls on the range and never touch the bytes.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// mmap(2) of `length` bytes (not 0) of a file from `offset` (a multiple of the page size), where the kernel likes.
    pub fn of_file(
        fd: BorrowedFd<'_>,
        offset: u64,
        length: usize,
        protection: libc::c_int,
        flags: libc::c_int,
    ) -> Result<Mapping> {
        // SAFETY: without MAP_FIXED the kernel takes an unused range, so no existing memory changes.
        let base = unsafe {
            let offset = offset as libc::off_t;
            libc::mmap(std::ptr::null_mut(), length, protection, flags, fd.as_raw_fd(), offset)
        };
        if base == libc::MAP_FAILED {
            return Err(last_errno());
        }
        // The kernel never places a mapping without MAP_FIXED at address 0.
        NonNull::new(base).map(|base| Mapping { base, length }).ok_or(crate::error::Errno(libc::ENOMEM))
    }

    /// The first byte of the range.
    pub fn base(&self) -> NonNull<u8> {
        self.base.cast()
    }

    /// The page-aligned start and the length of the part `offset..offset + length`, which lies within the range.
    fn pages(&self, offset: usize, length: usize) -> (*mut c_void, usize) {
        debug_assert!(offset.checked_add(length).is_some_and(|end| end <= self.length));
        let head = offset % super::page_size();
        // `wrapping_add` stays within the range, as asserted above.
        (self.base.as_ptr().wrapping_byte_add(offset - head), length + head)
    }

    /// msync(2) of the pages that hold `offset..offset + length`.
    pub fn sync(&self, offset: usize, length: usize, flags: libc::c_int) -> Result<()> {
        let (start, length) = self.pages(offset, length);
        // SAFETY: the pages are ours; msync changes none of their bytes.
        super::retry(|| unsafe { libc::msync(start, length, flags) }).map(drop)
    }

    /// mlock(2) of the whole range.
    pub fn lock(&self) -> Result<()> {
        // SAFETY: the pages are ours; mlock changes none of their bytes.
        check(unsafe { libc::mlock(self.base.as_ptr(), self.length) }).map(drop)
    }

    /// madvise(2), MADV_DONTFORK, for the whole range.
    pub fn do_not_fork(&self) -> Result<()> {
        // SAFETY: the pages are ours; the advice concerns children only.
        check(unsafe { libc::madvise(self.base.as_ptr(), self.length, libc::MADV_DONTFORK) }).map(drop)
    }

    /// munmap(2), with its answer.
    pub fn unmap(self) -> Result<()> {
        let (base, length) = (self.base.as_ptr(), self.length);
        std::mem::forget(self);
        // SAFETY: the range is ours and its owner has just been given up.
        check(unsafe { libc::munmap(base, length) }).map(drop)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours and nothing refers to it any more.
        unsafe { libc::munmap(self.base.as_ptr(), self.length) };
    }
}
