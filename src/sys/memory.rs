//! Address ranges: mmap(2) and what is done to a mapped range.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Result, check, last_errno};
use crate::error::Errno;

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
        Mapping::own(base, length)
    }

    /// Address space without memory, in which [`Mapping::collapse`] puts files.
    pub fn reservation(length: usize) -> Result<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: without MAP_FIXED the kernel takes an unused range, so no existing memory changes.
        Mapping::own(unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) }, length)
    }

    /// Takes over what mmap answered.
    fn own(base: *mut c_void, length: usize) -> Result<Mapping> {
        if base == libc::MAP_FAILED {
            return Err(last_errno());
        }
        // The kernel never places a mapping without MAP_FIXED at address 0.
        NonNull::new(base).map(|base| Mapping { base, length }).ok_or(crate::error::Errno(libc::ENOMEM))
    }

    /// Makes `length` bytes of a file from `offset` one huge page, now: madvise(2), MADV_COLLAPSE (Linux 6.1). The length is that of
    /// a huge page, `offset` a multiple of it, and the file has the first page there. They are shown to the kernel through the part
    /// of this range at `at`, whose address is a multiple too.
    pub fn collapse(&self, at: usize, fd: BorrowedFd<'_>, offset: u64, length: usize) -> Result<()> {
        let (start, length) = self.pages(at, length);
        // Private, because a child that is forked meanwhile inherits it: shared, it would keep the file from being sealed.
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: the range is ours, and nothing refers into it: it was reserved without memory.
        let placed =
            unsafe { libc::mmap(start, length, libc::PROT_READ, flags, fd.as_raw_fd(), offset as libc::off_t) };
        if placed == libc::MAP_FAILED {
            return Err(last_errno());
        }
        // SAFETY: the pages are ours; collapsing changes none of their bytes.
        let collapse = || check(unsafe { libc::madvise(start, length, libc::MADV_COLLAPSE) }).map(drop);
        match collapse() {
            // Linux 6.1 answers so where no page was looked at. Elsewhere a look is a page table, which the other processors
            // would have to hear of when the huge page replaces it.
            Err(Errno(libc::EINVAL)) => {
                // SAFETY: mapped just now, and the file has the page.
                unsafe { start.cast::<u8>().read_volatile() };
                collapse()
            }
            collapsed => collapsed,
        }
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

/// The start of a file, mapped for storing into it. Children that are forked from then on do not have it.
#[derive(Debug)]
pub(crate) struct Window(Mapping);

impl Window {
    /// Maps the first `length` bytes, which may reach past the end of the file.
    pub fn new(fd: BorrowedFd<'_>, length: usize) -> Result<Window> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let window = Window(Mapping::of_file(fd, 0, length, libc::PROT_READ | libc::PROT_WRITE, flags)?);
        window.0.do_not_fork()?;
        Ok(window)
    }

    pub fn length(&self) -> usize {
        self.0.length
    }

    /// Copies `bytes` to the start, and zeros behind them. All of it must lie in the window and in pages that the file has.
    pub fn store(&mut self, bytes: &[u8], zeros: usize) {
        assert!(bytes.len() + zeros <= self.0.length);
        let start = self.0.base().as_ptr();
        // SAFETY: the range is ours and writable, long enough as asserted, and no reference into it exists.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
            std::ptr::write_bytes(start.add(bytes.len()), 0, zeros);
        }
    }
}

/// Tells whether this process was forked from the one that made it: a page that is zeros in children, MADV_WIPEONFORK
/// (Linux 4.14). Numbers of processes would not do, a child in another namespace can have the same.
#[derive(Debug)]
pub(crate) struct ForkMark {
    page: Mapping,
}

impl ForkMark {
    pub fn new() -> Result<ForkMark> {
        let length = super::page_size();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: without MAP_FIXED the kernel takes an unused range, so no existing memory changes.
        let page = Mapping::own(unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) }, length)?;
        // SAFETY: the page is ours; the advice concerns children only.
        check(unsafe { libc::madvise(page.base.as_ptr(), length, libc::MADV_WIPEONFORK) })?;
        let mark = ForkMark { page };
        mark.value().store(1, Ordering::Release);
        Ok(mark)
    }

    /// 0 in a child that has not stored anything here, 1 in the process that made it.
    pub fn value(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped for as long as `self` lives, aligned, and only used through this reference.
        unsafe { self.page.base.cast::<AtomicU32>().as_ref() }
    }
}
