//! A file shown in memory: as a window to store into, extent by extent, or in the place of memory
//! that was there.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::buffer::Spare;
use super::call::{Result, last_errno};
use super::mapping::{Content, Mapping, MmapOptions};
use super::process::page_size;

/// Whether what is shown of a file is also stored into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A child that is forked meanwhile does not keep the file from being sealed: the mapping is
    /// private.
    Read,
    /// A child that is forked in the moment before it is kept from it does, until it executes or
    /// ends: the mapping is shared.
    Write,
}

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// Puts the start of a file in the place of private memory, in one step: who uses the range
/// meanwhile finds either the one or the other. `address` and `length` are whole pages, all of them
/// mapped, and the file has them. If the kernel refuses, nothing has changed.
///
/// # Safety
/// Nobody counts on what the range has been until now, but for its bytes, which are those of the
/// file.
pub(crate) unsafe fn replace(
    address: NonNull<u8>,
    length: usize,
    fd: BorrowedFd<'_>,
) -> Result<()> {
    // Read in, as it has been: storing into each page of 64 MiB takes 25 ms less afterwards, and
    // this 5 ms more.
    let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the caller vouches for the range.
    let placed = unsafe {
        libc::mmap(address.as_ptr().cast(), length, protection, flags, fd.as_raw_fd(), 0)
    };
    if placed == libc::MAP_FAILED { Err(last_errno()) } else { Ok(()) }
}

/// The start of a file, mapped for storing into it. Children that are forked from then on do not
/// have it.
#[derive(Debug)]
pub(crate) struct Window {
    mapping: Mapping,
    /// Stores before this find their page entered, and the file does not learn of them.
    entered: usize,
}

impl Window {
    /// Maps the first `length` bytes, which may reach past the pages that the file has, `present`
    /// bytes.
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

    /// The pages from `end` on are gone.
    pub fn cut(&mut self, end: usize) {
        self.entered = self.entered.min(end);
    }

    /// There will be stores before `end`. Whether the first of them moves the file's times.
    pub fn reach(&mut self, end: usize) -> bool {
        let is_new = end > self.entered;
        self.entered = self.entered.max(end);
        is_new
    }

    /// Copies `bytes` to `at`. All of it must lie in the window and in pages that the file has.
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

    /// Stores zeros from `at` to `end`, as [`Window::store`].
    pub fn clear(&mut self, at: usize, end: usize) {
        assert!(at <= end && end <= self.mapping.length());
        // SAFETY: as above.
        unsafe { std::ptr::write_bytes(self.mapping.base().as_ptr().add(at), 0, end - at) };
    }
}

/// A stretch of address space that begins where a huge page can, through which a file is shown one
/// extent at a time.
pub(crate) struct ExtentWindow {
    reservation: Mapping,
    at: usize,
    extent: usize,
    /// An extent is shown of which every page exists, for this.
    shown: Option<Access>,
}

impl ExtentWindow {
    /// `extent` bytes, a huge page, are shown at a time.
    pub fn new(extent: usize) -> Result<ExtentWindow> {
        let reservation = Mapping::reservation(2 * extent, page_size(), page_size())?;
        let at = reservation.base().as_ptr().addr().next_multiple_of(extent)
            - reservation.base().as_ptr().addr();
        Ok(ExtentWindow { reservation, at, extent, shown: None })
    }

    /// Makes the extent of the file at `offset` one huge page, and shows it. The file has the first
    /// page of it.
    pub fn collapse(&mut self, file: BorrowedFd<'_>, offset: u64, access: Access) -> Result<()> {
        let options = match access {
            Access::Read => MmapOptions { protection: libc::PROT_READ, flags: libc::MAP_PRIVATE },
            Access::Write => MmapOptions { protection: READ_WRITE, flags: libc::MAP_SHARED },
        };
        self.shown = None;
        self.reservation.show(self.at, self.extent, Content::File(file, offset), options)?;
        if access == Access::Write {
            self.reservation.keep_from_children(self.at, self.extent);
        }
        self.reservation.collapse(self.at, self.extent)?;
        self.shown = Some(access);
        Ok(())
    }

    /// Copies `bytes` to `at` of the extent, which is shown for that.
    pub fn store(&mut self, at: usize, bytes: &[u8]) {
        let to = &mut self.bytes(at)[..bytes.len()];
        // SAFETY: bytes that are initialised may be seen as bytes that perhaps are.
        to.copy_from_slice(unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) });
    }

    /// The bytes from `at` on of the extent, which is shown for storing.
    pub fn spare(&mut self, at: usize) -> Spare<'_> {
        Spare::of(self.bytes(at))
    }

    fn bytes(&mut self, at: usize) -> &mut [MaybeUninit<u8>] {
        assert!(self.shown == Some(Access::Write) && at <= self.extent);
        // SAFETY: the range is ours and writable, and no other reference into it exists.
        unsafe {
            let start = self.reservation.base().as_ptr().add(self.at + at);
            std::slice::from_raw_parts_mut(start.cast(), self.extent - at)
        }
    }
}
