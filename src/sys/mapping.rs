//! Maps ranges of address space, mmap(2), and makes the calls on mapped pages.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};

use super::call::{Result, check, last_errno, retry};
use super::process::page_size;
use crate::error::Errno;

/// Address space that is ours: mapped pages, and perhaps address space behind them that is kept
/// free for more. Unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<c_void>,
    /// Number of bytes in mapped pages.
    length: usize,
    /// Number of bytes of address space, mapped or kept free.
    reserved: usize,
    /// Number of bytes in a page.
    page: usize,
    /// Whether mremap(2) has grown the range, perhaps at another address. The owner's reservation
    /// is gone then, so `shrink` keeps no address space.
    has_moved: bool,
    /// Whether this is a System V segment. Its pages may be of any size, which only the kernel
    /// knows.
    is_segment: bool,
    /// Parts that were unmapped, so that other code may have mapped something there. In order, and
    /// not adjacent.
    holes: Vec<Range<usize>>,
}

/// The content of a mapping.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    /// A file, from an offset that is a multiple of the page size.
    File(BorrowedFd<'a>, u64),
    /// Anonymous memory, zeros at first.
    Anonymous,
}

/// Protection and flags of mmap(2). MAP_ANONYMOUS is added where there is no file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MmapOptions {
    pub protection: c_int,
    pub flags: c_int,
}

/// Address space without memory.
const FREE: MmapOptions =
    MmapOptions { protection: libc::PROT_NONE, flags: libc::MAP_PRIVATE | libc::MAP_NORESERVE };

// SAFETY: a mapping is an address range of the process; it belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: the methods make system calls on the range. Only `collapse` reads a byte itself, and none
// stores.
unsafe impl Sync for Mapping {}

/// Maps `content`, mmap(2).
///
/// # Safety
/// With MAP_FIXED in `flags` the range is ours, and its content may be replaced.
unsafe fn mmap(
    at: *mut c_void,
    length: usize,
    content: Content<'_>,
    options: MmapOptions,
) -> Result<NonNull<c_void>> {
    let (fd, offset, flags) = match content {
        Content::File(fd, offset) => (fd.as_raw_fd(), offset, options.flags),
        Content::Anonymous => (-1, 0, options.flags | libc::MAP_ANONYMOUS),
    };
    // SAFETY: with MAP_FIXED the caller guarantees the range. Without it the kernel takes an unused
    // range, so no existing memory changes.
    let base =
        unsafe { libc::mmap(at, length, options.protection, flags, fd, offset as libc::off_t) };
    if base == libc::MAP_FAILED {
        return Err(last_errno());
    }
    // The kernel never places a mapping without MAP_FIXED at address 0.
    NonNull::new(base).ok_or(Errno(libc::ENOMEM))
}

impl Mapping {
    /// Maps `length` bytes (not 0) at an address that the kernel chooses.
    pub fn new(length: usize, content: Content<'_>, options: MmapOptions) -> Result<Mapping> {
        // SAFETY: the flags have no MAP_FIXED.
        let base = unsafe { mmap(null_mut(), length, content, options)? };
        let length = length.next_multiple_of(page_size());
        Ok(Mapping {
            base,
            length,
            reserved: length,
            page: page_size(),
            has_moved: false,
            is_segment: false,
            holes: Vec::new(),
        })
    }

    /// Takes over an attached System V segment. The mapping detaches it on drop.
    ///
    /// # Safety
    /// The segment is attached there, and no other code detaches it.
    pub unsafe fn of_segment(base: NonNull<u8>, length: usize) -> Mapping {
        let length = length.next_multiple_of(page_size());
        Mapping {
            base: base.cast(),
            length,
            reserved: length,
            page: page_size(),
            has_moved: false,
            is_segment: true,
            holes: Vec::new(),
        }
    }

    /// Reserves address space of `length` bytes (not 0) in which nothing is mapped. It begins at a
    /// multiple of `align`, which is a page or more. `page` is the size of the pages that will be
    /// mapped.
    pub fn reservation(length: usize, align: usize, page: usize) -> Result<Mapping> {
        let too_much = Errno(libc::ENOMEM);
        let length = length.checked_next_multiple_of(page).ok_or(too_much)?;
        let surplus = align - page_size();
        // SAFETY: the flags have no MAP_FIXED.
        let first = unsafe {
            mmap(
                null_mut(),
                length.checked_add(surplus).ok_or(too_much)?,
                Content::Anonymous,
                FREE,
            )?
        };
        let head = first.addr().get().next_multiple_of(align) - first.addr().get();
        let base = first.as_ptr().wrapping_byte_add(head);
        // The surplus at both ends is unmapped again.
        for (start, length) in
            [(first.as_ptr(), head), (base.wrapping_byte_add(length), surplus - head)]
        {
            if length > 0 {
                // SAFETY: the range is ours, and nothing is mapped there.
                unsafe { libc::munmap(start, length) };
            }
        }
        let base = NonNull::new(base).expect("within a range that does not begin at 0");
        Ok(Mapping {
            base,
            length: 0,
            reserved: length,
            page,
            has_moved: false,
            is_segment: false,
            holes: Vec::new(),
        })
    }

    /// Maps private memory, zeros at first.
    pub fn zeros(length: usize) -> Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Mapping::new(
            length,
            Content::Anonymous,
            MmapOptions { protection, flags: libc::MAP_PRIVATE | libc::MAP_NORESERVE },
        )
    }

    /// Returns the address of the first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base.cast()
    }

    /// Returns the number of bytes in mapped pages.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the number of bytes in a page.
    pub fn page(&self) -> usize {
        self.page
    }

    /// Returns the number of bytes of address space, mapped or kept free.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Maps `content` behind the mapped pages, so that `length` bytes are mapped. All of them lie
    /// in the reserved range.
    pub fn extend(
        &mut self,
        length: usize,
        content: Content<'_>,
        options: MmapOptions,
    ) -> Result<()> {
        let end = length.next_multiple_of(self.page);
        assert!(end <= self.reserved);
        if end > self.length {
            self.show(self.length, end - self.length, content, options)?;
            self.length = end;
        }
        Ok(())
    }

    /// Maps `content` in place of the whole pages from `at`, in one step. A reader sees the old
    /// content or the new one.
    pub fn show(
        &self,
        at: usize,
        length: usize,
        content: Content<'_>,
        options: MmapOptions,
    ) -> Result<()> {
        assert!(
            at % self.page == 0 && at.checked_add(length).is_some_and(|end| end <= self.reserved)
        );
        let options = MmapOptions { flags: options.flags | libc::MAP_FIXED, ..options };
        // SAFETY: the range is ours, as asserted; the caller gives up its content.
        unsafe {
            mmap(self.base.as_ptr().wrapping_byte_add(at), length, content, options).map(drop)
        }
    }

    /// Unmaps pages at the end, so that `length` bytes are mapped. With `keep` the address space
    /// stays ours, unless mremap(2) has grown the range. Pages mapped there later could not be
    /// moved together with the rest.
    pub fn shrink(&mut self, length: usize, keep: bool) -> Result<()> {
        let end = length.next_multiple_of(self.page);
        if end >= self.length {
            return Ok(());
        }
        if keep && !self.has_moved {
            self.show(end, self.length - end, Content::Anonymous, FREE)?;
        } else {
            // SAFETY: the range is ours; the caller gives up its content.
            check(unsafe {
                libc::munmap(self.base.as_ptr().wrapping_byte_add(end), self.reserved - end)
            })?;
            self.reserved = end;
        }
        self.length = end;
        Ok(())
    }

    /// Unmaps all pages, and keeps the address space of one. If the kernel refuses, pages stay
    /// mapped.
    pub fn clear(&mut self) {
        let rest = self.page..self.reserved;
        let start = self.base.as_ptr().wrapping_byte_add(rest.start);
        // SAFETY: the range is ours; the caller gives up its content.
        let unmap = || check(unsafe { libc::munmap(start, rest.len()) });
        if rest.is_empty() || unmap().is_ok() {
            self.reserved = self.page;
            self.length = self.length.min(self.page);
            if self.show(0, self.length, Content::Anonymous, FREE).is_ok() {
                self.length = 0;
            }
        }
    }

    /// Maps more pages than there is room for, at another address if necessary, mremap(2). At least
    /// one page is mapped before. No address space is kept free afterwards.
    pub fn grow(&mut self, length: usize) -> Result<()> {
        let end = length.checked_next_multiple_of(self.page).ok_or(Errno(libc::ENOMEM))?;
        // SAFETY: the range is ours. Its owner hands out new addresses afterwards.
        let moved =
            unsafe { libc::mremap(self.base.as_ptr(), self.length, end, libc::MREMAP_MAYMOVE) };
        if moved == libc::MAP_FAILED {
            return Err(last_errno());
        }
        if self.reserved > self.length {
            let rest = self.base.as_ptr().wrapping_byte_add(self.length);
            // SAFETY: the range is ours, and nothing is mapped there. The pages before it have
            // moved away, because it was in their way.
            unsafe { libc::munmap(rest, self.reserved - self.length) };
        }
        self.base = NonNull::new(moved).expect("never at 0 without MREMAP_FIXED");
        (self.length, self.reserved, self.has_moved) = (end, end, true);
        Ok(())
    }

    /// Returns the smallest range of mapped pages that holds all of these bytes, which lie in
    /// mapped pages.
    fn around(&self, bytes: Range<usize>) -> (*mut c_void, usize) {
        let (start, end) =
            (bytes.start - bytes.start % self.page, bytes.end.next_multiple_of(self.page));
        assert!(start <= end && end <= self.length);
        (self.base.as_ptr().wrapping_byte_add(start), end - start)
    }

    /// Returns the whole pages among these bytes.
    fn within(&self, bytes: Range<usize>) -> Range<usize> {
        let start = bytes.start.next_multiple_of(self.page);
        start..(bytes.end - bytes.end % self.page).max(start)
    }

    /// Returns whether some of these bytes were unmapped.
    pub fn is_missing(&self, bytes: &Range<usize>) -> bool {
        self.holes.iter().any(|hole| hole.start < bytes.end && bytes.start < hole.end)
    }

    pub fn has_holes(&self) -> bool {
        !self.holes.is_empty()
    }

    /// Unmaps the whole pages among these bytes, munmap(2). From then on other code may map
    /// something there.
    pub fn unmap_within(&mut self, bytes: Range<usize>) -> Result<()> {
        let pages = self.within(bytes);
        let mut at = pages.start;
        // Only parts that are still ours are unmapped.
        let holes: Vec<_> = self
            .holes
            .iter()
            .filter(|hole| hole.start < pages.end && pages.start < hole.end)
            .cloned()
            .collect();
        for part in holes.iter().map(|hole| (hole.start, hole.end)).chain([(pages.end, pages.end)])
        {
            if at < part.0 {
                // SAFETY: the range is ours; the caller gives up its content.
                check(unsafe {
                    libc::munmap(self.base.as_ptr().wrapping_byte_add(at), part.0 - at)
                })?;
                self.note_hole(at..part.0);
            }
            at = at.max(part.1);
        }
        Ok(())
    }

    fn note_hole(&mut self, hole: Range<usize>) {
        let touches = |other: &Range<usize>| other.start <= hole.end && hole.start <= other.end;
        let start = self.holes.iter().filter(|other| touches(other)).map(|other| other.start).min();
        let end = self.holes.iter().filter(|other| touches(other)).map(|other| other.end).max();
        self.holes.retain(|other| !touches(other));
        self.holes.push(
            start.unwrap_or(hole.start).min(hole.start)..end.unwrap_or(hole.end).max(hole.end),
        );
        self.holes.sort_by_key(|hole| hole.start);
    }

    /// Flushes the pages that hold these bytes, msync(2).
    pub fn sync(&self, bytes: Range<usize>, flags: c_int) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; msync changes none of their bytes.
        retry(|| unsafe { libc::msync(start, length, flags) }).map(drop)
    }

    /// Locks the pages that hold these bytes into memory, mlock(2).
    pub fn lock(&self, bytes: Range<usize>) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; mlock changes none of their bytes.
        check(unsafe { libc::mlock(start, length) }).map(drop)
    }

    /// Unlocks the pages that hold these bytes, munlock(2).
    pub fn unlock(&self, bytes: Range<usize>) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; munlock changes none of their bytes.
        check(unsafe { libc::munlock(start, length) }).map(drop)
    }

    /// Changes the protection of the pages that hold these bytes, mprotect(2).
    pub fn protect(&self, bytes: Range<usize>, protection: c_int) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; mprotect changes none of their bytes.
        check(unsafe { libc::mprotect(start, length, protection) }).map(drop)
    }

    /// Gives advice on the pages that hold these bytes, madvise(2). The advice must keep their
    /// content.
    pub fn advise(&self, bytes: Range<usize>, advice: c_int) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; the caller gives only advice that keeps their content.
        retry(|| unsafe { libc::madvise(start, length, advice) }).map(drop)
    }

    /// Gives advice on the whole pages among these bytes, madvise(2). The advice may lose their
    /// content.
    pub fn advise_within(&self, bytes: Range<usize>, advice: c_int) -> Result<()> {
        let pages = self.within(bytes);
        let start = self.base.as_ptr().wrapping_byte_add(pages.start);
        // SAFETY: the pages are ours; the caller gives up their content.
        retry(|| unsafe { libc::madvise(start, pages.len(), advice) }).map(drop)
    }

    /// Returns whether the kernel knows this advice. It checks the advice before it checks the
    /// range, madvise(2).
    pub fn knows_advice(&self, advice: c_int) -> bool {
        // SAFETY: the length is 0, so no page is affected.
        check(unsafe { libc::madvise(self.base.as_ptr(), 0, advice) }) != Err(Errno(libc::EINVAL))
    }

    /// Hides the pages at `at` from children that are forked from now on, MADV_DONTFORK. If the
    /// kernel refuses, children have the pages.
    pub fn keep_from_children(&self, at: usize, length: usize) {
        assert!(at.checked_add(length).is_some_and(|end| end <= self.reserved));
        let start = self.base.as_ptr().wrapping_byte_add(at);
        // SAFETY: the pages are ours.
        unsafe { libc::madvise(start, length, libc::MADV_DONTFORK) };
    }

    /// Makes `length` bytes of a mapped file at `at` one huge page now: madvise(2), MADV_COLLAPSE
    /// (Linux 6.1). The length is that of a huge page, the address a multiple of it, and the file
    /// has the first page.
    pub fn collapse(&self, at: usize, length: usize) -> Result<()> {
        /// The same number on every processor; the libc crate has it for glibc only.
        const MADV_COLLAPSE: c_int = 25;
        assert!(at.checked_add(length).is_some_and(|end| end <= self.reserved));
        let start = self.base.as_ptr().wrapping_byte_add(at);
        // SAFETY: the pages are ours; collapsing changes none of their bytes.
        let collapse = || check(unsafe { libc::madvise(start, length, MADV_COLLAPSE) }).map(drop);
        match collapse() {
            // Linux 6.1 fails with EINVAL if no page of the range was ever read. Other kernels do
            // not need the read, and it has a price, because it makes a page table. The kernel must
            // notify the other processors when the huge page replaces that table.
            Err(Errno(libc::EINVAL)) => {
                // SAFETY: the page was mapped just now, and the file has it.
                unsafe { start.cast::<u8>().read_volatile() };
                collapse()
            }
            collapsed => collapsed,
        }
    }

    /// Unmaps the range, munmap(2), and returns the result.
    pub fn unmap(mut self) -> Result<()> {
        let result = self.unmap_rest();
        // The drop must do nothing: other code may map something, even a segment, at these
        // addresses next.
        self.is_segment = false;
        self.holes = Vec::new();
        self.reserved = 0;
        result
    }

    fn unmap_rest(&self) -> Result<()> {
        if self.is_segment && self.holes.is_empty() {
            // SAFETY: the segment is attached here, and nothing refers to it any more.
            return check(unsafe { libc::shmdt(self.base.as_ptr()) }).map(drop);
        }
        let mut result = Ok(());
        let mut at = 0;
        for hole in self.holes.iter().cloned().chain(std::iter::once(self.reserved..self.reserved))
        {
            if at < hole.start {
                // SAFETY: the range is ours and nothing refers to it any more.
                let part = unsafe {
                    libc::munmap(self.base.as_ptr().wrapping_byte_add(at), hole.start - at)
                };
                result = result.and(check(part).map(drop));
            }
            at = hole.end;
        }
        result
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _ = self.unmap_rest();
    }
}
