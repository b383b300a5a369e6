//! Memory with a purpose: a window into a file, a mark that tells children, what is found out once.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

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
    pub fn new() -> Result<ForkMark> {
        let length = super::page_size();
        let page = Mapping::zeros(length)?;
        page.advise(0..length, libc::MADV_WIPEONFORK)?;
        let mark = ForkMark { page };
        mark.value().store(1, Ordering::Release);
        Ok(mark)
    }

    /// Whether this is a child that has not stored anything here.
    pub fn is_in_child(&self) -> bool {
        self.value().load(Ordering::Acquire) == 0
    }

    /// 0 in a child that has not stored anything here, 1 in the process that made it.
    pub fn value(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped for as long as `self` lives, aligned, and only used through this reference.
        unsafe { self.page.base().cast::<AtomicU32>().as_ref() }
    }
}

/// What each process finds out once, its children for themselves. There is no lock that a child could inherit from a thread that
/// it does not have: several threads may find out at the same time.
pub(crate) struct OncePerProcess<T>(AtomicPtr<Found<T>>);

struct Found<T> {
    value: T,
    mark: ForkMark,
    process: u32,
    /// What the parent had found out: another thread may be looking at it, so it stays, where tools find it.
    _before: *mut Found<T>,
}

impl<T: Copy + Send + Sync> OncePerProcess<T> {
    pub const fn new() -> OncePerProcess<T> {
        OncePerProcess(AtomicPtr::new(null_mut()))
    }

    pub fn get<E>(&self, find_out: impl FnOnce() -> std::result::Result<T, E>) -> std::result::Result<T, E> {
        let process = std::process::id();
        let before = self.0.load(Ordering::Acquire);
        // SAFETY: null, or made below and never freed.
        if let Some(found) = unsafe { before.as_ref() }
            // The number alone can be the same in another namespace, and the memory alone is a child's, too, after vfork(2).
            && found.process == process
            && !found.mark.is_in_child()
        {
            return Ok(found.value);
        }
        let value = find_out()?;
        if let Ok(mark) = ForkMark::new() {
            let found = Box::into_raw(Box::new(Found { value, mark, process, _before: before }));
            if self.0.compare_exchange(before, found, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // SAFETY: made just now, and nobody has seen it.
                drop(unsafe { Box::from_raw(found) });
            }
        }
        Ok(value)
    }
}
