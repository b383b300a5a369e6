//! Memory with a purpose: a window into a file, a mark that tells children.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::mapping::{Content, Manner, Mapping};
use super::{Result, last_errno};

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Puts the start of a file in the place of private memory, in one step: who uses the range meanwhile finds either the one or the
/// other. `address` and `length` are whole pages, all of them mapped, and the file has them. If the kernel refuses, nothing
/// has changed.
///
/// # Safety
/// Nobody counts on what the range has been until now, but for its bytes, which are those of the file.
pub(crate) unsafe fn replace(address: NonNull<u8>, length: usize, fd: BorrowedFd<'_>) -> Result<()> {
    // Read in, as it has been: storing into each page of 64 MiB takes 25 ms less afterwards, and this 5 ms more.
    let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the caller vouches for the range.
    let placed = unsafe { libc::mmap(address.as_ptr().cast(), length, protection, flags, fd.as_raw_fd(), 0) };
    if placed == libc::MAP_FAILED { Err(last_errno()) } else { Ok(()) }
}

/// The start of a file, mapped for storing into it. Children that are forked from then on do not have it.
#[derive(Debug)]
pub(crate) struct Window(Mapping);

impl Window {
    /// Maps the first `length` bytes, which may reach past the end of the file.
    pub fn new(fd: BorrowedFd<'_>, length: usize) -> Result<Window> {
        let manner = Manner { protection: READ_WRITE, flags: libc::MAP_SHARED | libc::MAP_POPULATE };
        let mapping = Mapping::new(length, Content::File(fd, 0), manner)?;
        mapping.advise(0..length, libc::MADV_DONTFORK)?;
        Ok(Window(mapping))
    }

    pub fn length(&self) -> usize {
        self.0.length()
    }

    /// Copies `bytes` to the start, and zeros behind them. All of it must lie in the window and in pages that the file has.
    pub fn store(&mut self, bytes: &[u8], zeros: usize) {
        assert!(bytes.len() + zeros <= self.0.length());
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
    /// `value` is any but 0.
    pub fn new(value: u32) -> Result<ForkMark> {
        let length = super::page_size();
        let page = Mapping::zeros(length)?;
        page.advise(0..length, libc::MADV_WIPEONFORK)?;
        let mark = ForkMark { page };
        mark.value().store(value, Ordering::Release);
        Ok(mark)
    }

    /// Whether this is a child that has not stored anything here.
    pub fn is_in_child(&self) -> bool {
        self.value().load(Ordering::Acquire) == 0
    }

    /// 0 in a child that has not stored anything here.
    pub fn value(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped for as long as `self` lives, aligned, and only used through this reference.
        unsafe { self.page.base().cast::<AtomicU32>().as_ref() }
    }
}
