//! Shows a file in memory: as a window for stores, extent by extent, or in place of other memory.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::buffer::Spare;
use super::call::{Result, last_errno};
use super::mapping::{Content, Mapping, MmapOptions};
use super::process::page_size;

/// Whether the mapped part of a file is also stored into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The mapping is private, so a child that is forked meanwhile does not prevent the file from
    /// being sealed.
    Read,
    /// The mapping is shared. A child that is forked meanwhile prevents the file from being sealed,
    /// until it executes or ends.
    Write,
    /// The mapping is shared, but later children do not have it: MADV_DONTFORK. For mappings that
    /// stay for as long as a stream is read.
    WriteWithoutChildren,
}

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Maps the start of a file in place of private memory, in one step. Another thread that uses the
/// range meanwhile finds the old memory or the new. `address` and `length` are whole pages, all of
/// them mapped, and the file has them. If the kernel refuses, nothing has changed.
///
/// # Safety
/// No code relies on a property of the old memory except its bytes, which are those of the file.
pub(crate) unsafe fn replace(
    address: NonNull<u8>,
    length: usize,
    fd: BorrowedFd<'_>,
) -> Result<()> {
    // With MAP_POPULATE, storing into each page of 64 MiB afterwards takes 25 ms less. This call
    // takes 5 ms more.
    let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the caller guarantees that the range may be replaced.
    let placed = unsafe {
        libc::mmap(address.as_ptr().cast(), length, protection, flags, fd.as_raw_fd(), 0)
    };
    if placed == libc::MAP_FAILED { Err(last_errno()) } else { Ok(()) }
}

/// The start of a file, mapped for stores. Children that are forked from then on do not have it.
#[derive(Debug)]
pub(crate) struct Window {
    mapping: Mapping,
    /// End of the bytes whose pages are in the page table. A store before it does not fault, so it
    /// does not change the file's times.
    entered: usize,
}

impl Window {
    /// Maps the first `length` bytes. `present` is the end of the pages that the file has; `length`
    /// may be larger.
    pub fn new(fd: BorrowedFd<'_>, length: usize, present: usize) -> Result<Window> {
        let options =
            MmapOptions { protection: READ_WRITE, flags: libc::MAP_SHARED | libc::MAP_POPULATE };
        let mapping = Mapping::new(length, Content::File(fd, 0), options)?;
        mapping.advise(0..length, libc::MADV_DONTFORK)?;
        Ok(Window { mapping, entered: present })
    }

    pub fn length(&self) -> usize {
        self.mapping.length()
    }

    /// Notes that the file lost its pages from `end` on.
    pub fn cut(&mut self, end: usize) {
        self.entered = self.entered.min(end);
    }

    /// Announces stores before `end`. Returns whether the first of them changes the file's times.
    pub fn reach(&mut self, end: usize) -> bool {
        let is_new = end > self.entered;
        self.entered = self.entered.max(end);
        is_new
    }

    /// Copies `bytes` to `at`. All of them must lie in the window and in pages that the file has.
    pub fn store(&mut self, at: usize, bytes: &[u8]) {
        assert!(at <= self.mapping.length() && bytes.len() <= self.mapping.length() - at);
        // SAFETY: the range is ours and writable, long enough as asserted, and no reference into it
        // exists.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.mapping.base().as_ptr().add(at),
                bytes.len(),
            )
        };
    }

    /// Stores zeros from `at` to `end`, with the conditions of [`Window::store`].
    pub fn clear(&mut self, at: usize, end: usize) {
        assert!(at <= end && end <= self.mapping.length());
        // SAFETY: the same as for `store`.
        unsafe { std::ptr::write_bytes(self.mapping.base().as_ptr().add(at), 0, end - at) };
    }
}

/// Address space that begins where a huge page can, and shows a file one extent at a time.
pub(crate) struct ExtentWindow {
    reservation: Mapping,
    at: usize,
    extent: usize,
    /// The access of the extent that is shown now. Every page of it exists.
    shown: Option<Access>,
}

impl ExtentWindow {
    /// Makes a window that shows `extent` bytes, a huge page, at a time.
    pub fn new(extent: usize) -> Result<ExtentWindow> {
        let reservation = Mapping::reservation(2 * extent, page_size(), page_size())?;
        let at = reservation.base().as_ptr().addr().next_multiple_of(extent)
            - reservation.base().as_ptr().addr();
        Ok(ExtentWindow { reservation, at, extent, shown: None })
    }

    /// Makes the extent of the file at `offset` one huge page, and shows it. The file has the first
    /// page of the extent.
    pub fn collapse(&mut self, file: BorrowedFd<'_>, offset: u64, access: Access) -> Result<()> {
        let options = match access {
            Access::Read => MmapOptions { protection: libc::PROT_READ, flags: libc::MAP_PRIVATE },
            Access::Write | Access::WriteWithoutChildren => {
                MmapOptions { protection: READ_WRITE, flags: libc::MAP_SHARED }
            }
        };
        self.shown = None;
        self.reservation.show(self.at, self.extent, Content::File(file, offset), options)?;
        if access == Access::WriteWithoutChildren {
            self.reservation.keep_from_children(self.at, self.extent);
        }
        self.reservation.collapse(self.at, self.extent)?;
        self.shown = Some(access);
        Ok(())
    }

    /// Copies `bytes` to `at` in the extent, which is shown for stores.
    pub fn store(&mut self, at: usize, bytes: &[u8]) {
        let to = &mut self.bytes(at)[..bytes.len()];
        // SAFETY: initialised bytes are valid as bytes that may be uninitialised.
        to.copy_from_slice(unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) });
    }

    /// Returns the bytes from `at` on in the extent, which is shown for stores.
    pub fn spare(&mut self, at: usize) -> Spare<'_> {
        Spare::of(self.bytes(at))
    }

    fn bytes(&mut self, at: usize) -> &mut [MaybeUninit<u8>] {
        assert!(!matches!(self.shown, None | Some(Access::Read)) && at <= self.extent);
        // SAFETY: the range is ours and writable, and no other reference into it exists.
        unsafe {
            let start = self.reservation.base().as_ptr().add(self.at + at);
            std::slice::from_raw_parts_mut(start.cast(), self.extent - at)
        }
    }
}
