//! A range of address space: mmap(2) and what is done to mapped pages.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null_mut};

use super::call::{Result, check, last_errno, retry};
use super::process::page_size;
use crate::error::Errno;

/// Address space that is ours: mapped pages, behind them perhaps some that are kept free for more.
/// Unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<c_void>,
    /// Bytes in mapped pages.
    length: usize,
    /// Bytes of address space, mapped or kept free.
    reserved: usize,
    /// Bytes in a page.
    page: usize,
    /// Whether it was moved, and what may be kept free behind it is no reservation of the owner's
    /// any more.
    has_moved: bool,
    /// A System V segment, whose pages may be of any size; only the kernel knows.
    is_segment: bool,
    /// Parts that were unmapped, and may be somebody else's by now. In order, and not adjacent.
    holes: Vec<Range<usize>>,
}

/// What a mapping shows.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    /// A file, from an offset that is a multiple of the page size.
    File(BorrowedFd<'a>, u64),
    /// Anonymous memory, zeros at first.
    Anonymous,
}

/// Protection and flags, as mmap(2) has them. MAP_ANONYMOUS is added where there is no file.
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
// SAFETY: the methods make system calls on the range and never touch the bytes.
unsafe impl Sync for Mapping {}

/// # Safety
/// With MAP_FIXED in `flags` the range is ours, and what is there may go.
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
    // SAFETY: the caller vouches for MAP_FIXED; without it the kernel takes an unused range, so no
    // existing memory changes.
    let base =
        unsafe { libc::mmap(at, length, options.protection, flags, fd, offset as libc::off_t) };
    if base == libc::MAP_FAILED {
        return Err(last_errno());
    }
    // The kernel never places a mapping without MAP_FIXED at address 0.
    NonNull::new(base).ok_or(Errno(libc::ENOMEM))
}

impl Mapping {
    /// Maps `length` bytes (not 0) where the kernel likes.
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

    /// An attached System V segment, to be detached by this.
    ///
    /// # Safety
    /// It is attached there, and nobody else detaches it.
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

    /// Address space of `length` bytes (not 0) in which nothing is mapped, at a multiple of
    /// `align`, which is that of a page or more. `page` is the size of the pages that will be
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
        // What is too much at both ends goes back.
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

    /// Memory of this process, zeros at first.
    pub fn zeros(length: usize) -> Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Mapping::new(
            length,
            Content::Anonymous,
            MmapOptions { protection, flags: libc::MAP_PRIVATE | libc::MAP_NORESERVE },
        )
    }

    /// The first byte of the range.
    pub fn base(&self) -> NonNull<u8> {
        self.base.cast()
    }

    /// Bytes in mapped pages.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Bytes in a page.
    pub fn page(&self) -> usize {
        self.page
    }

    /// Bytes of address space, mapped or kept free.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Maps `content` behind the mapped pages, so that `length` bytes are mapped. All of it lies in
    /// the reserved range.
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

    /// Shows `content` in place of what is mapped in whole pages from `at`, in one step: who reads
    /// there sees one or the other.
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
        // SAFETY: the range is ours, as asserted; whoever calls this wants what is there to go.
        unsafe {
            mmap(self.base.as_ptr().wrapping_byte_add(at), length, content, options).map(drop)
        }
    }

    /// Lets pages at the end go, so that `length` bytes are mapped. The address space stays ours if
    /// `keep` says so, unless it was moved: what is mapped there later could not be moved along
    /// with the rest.
    pub fn shrink(&mut self, length: usize, keep: bool) -> Result<()> {
        let end = length.next_multiple_of(self.page);
        if end >= self.length {
            return Ok(());
        }
        if keep && !self.has_moved {
            self.show(end, self.length - end, Content::Anonymous, FREE)?;
        } else {
            // SAFETY: the range is ours, and whoever calls this wants what is there to go.
            check(unsafe {
                libc::munmap(self.base.as_ptr().wrapping_byte_add(end), self.reserved - end)
            })?;
            self.reserved = end;
        }
        self.length = end;
        Ok(())
    }

    /// Lets all pages go but the address space of one. If the kernel refuses, pages stay mapped.
    pub fn clear(&mut self) {
        let rest = self.page..self.reserved;
        let start = self.base.as_ptr().wrapping_byte_add(rest.start);
        // SAFETY: the range is ours, and the caller wants what is there to go.
        let unmap = || check(unsafe { libc::munmap(start, rest.len()) });
        if rest.is_empty() || unmap().is_ok() {
            self.reserved = self.page;
            self.length = self.length.min(self.page);
            if self.show(0, self.length, Content::Anonymous, FREE).is_ok() {
                self.length = 0;
            }
        }
    }

    /// Makes the mapped pages, of which there is one at least, more than there is room for, at
    /// another address if need be: mremap(2). No address space is kept free afterwards.
    pub fn grow(&mut self, length: usize) -> Result<()> {
        let end = length.checked_next_multiple_of(self.page).ok_or(Errno(libc::ENOMEM))?;
        // SAFETY: the range is ours. Its owner hands out addresses anew afterwards.
        let moved =
            unsafe { libc::mremap(self.base.as_ptr(), self.length, end, libc::MREMAP_MAYMOVE) };
        if moved == libc::MAP_FAILED {
            return Err(last_errno());
        }
        if self.reserved > self.length {
            let rest = self.base.as_ptr().wrapping_byte_add(self.length);
            // SAFETY: the range is ours, nothing is mapped there, and it was in the way: what was
            // before it has moved.
            unsafe { libc::munmap(rest, self.reserved - self.length) };
        }
        self.base = NonNull::new(moved).expect("never at 0 without MREMAP_FIXED");
        (self.length, self.reserved, self.has_moved) = (end, end, true);
        Ok(())
    }

    /// The part of the mapped pages that holds all of these bytes, which lie within them.
    fn around(&self, bytes: Range<usize>) -> (*mut c_void, usize) {
        let (start, end) =
            (bytes.start - bytes.start % self.page, bytes.end.next_multiple_of(self.page));
        assert!(start <= end && end <= self.length);
        (self.base.as_ptr().wrapping_byte_add(start), end - start)
    }

    /// The whole pages among these bytes.
    fn within(&self, bytes: Range<usize>) -> Range<usize> {
        let start = bytes.start.next_multiple_of(self.page);
        start..(bytes.end - bytes.end % self.page).max(start)
    }

    /// Whether some of these bytes were unmapped.
    pub fn is_missing(&self, bytes: &Range<usize>) -> bool {
        self.holes.iter().any(|hole| hole.start < bytes.end && bytes.start < hole.end)
    }

    pub fn has_holes(&self) -> bool {
        !self.holes.is_empty()
    }

    /// munmap(2) of the whole pages among these bytes. From then on they can be anybody's.
    pub fn unmap_within(&mut self, bytes: Range<usize>) -> Result<()> {
        let pages = self.within(bytes);
        let mut at = pages.start;
        // Only what is still ours.
        let holes: Vec<_> = self
            .holes
            .iter()
            .filter(|hole| hole.start < pages.end && pages.start < hole.end)
            .cloned()
            .collect();
        for part in holes.iter().map(|hole| (hole.start, hole.end)).chain([(pages.end, pages.end)])
        {
            if at < part.0 {
                // SAFETY: the range is ours, and whoever calls this wants what is there to go.
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

    /// msync(2) of the pages that hold these bytes.
    pub fn sync(&self, bytes: Range<usize>, flags: c_int) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; msync changes none of their bytes.
        retry(|| unsafe { libc::msync(start, length, flags) }).map(drop)
    }

    /// mlock(2) of the pages that hold these bytes.
    pub fn lock(&self, bytes: Range<usize>) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; mlock changes none of their bytes.
        check(unsafe { libc::mlock(start, length) }).map(drop)
    }

    /// munlock(2) of the pages that hold these bytes.
    pub fn unlock(&self, bytes: Range<usize>) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; munlock changes none of their bytes.
        check(unsafe { libc::munlock(start, length) }).map(drop)
    }

    /// mprotect(2) of the pages that hold these bytes.
    pub fn protect(&self, bytes: Range<usize>, protection: c_int) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours; their bytes stay.
        check(unsafe { libc::mprotect(start, length, protection) }).map(drop)
    }

    /// madvise(2) of the pages that hold these bytes. For advice that keeps them.
    pub fn advise(&self, bytes: Range<usize>, advice: c_int) -> Result<()> {
        let (start, length) = self.around(bytes);
        // SAFETY: the pages are ours.
        retry(|| unsafe { libc::madvise(start, length, advice) }).map(drop)
    }

    /// madvise(2) of the whole pages among these bytes. For advice that loses them.
    pub fn advise_within(&self, bytes: Range<usize>, advice: c_int) -> Result<()> {
        let pages = self.within(bytes);
        let start = self.base.as_ptr().wrapping_byte_add(pages.start);
        // SAFETY: the pages are ours, and whoever calls this wants what is there to go.
        retry(|| unsafe { libc::madvise(start, pages.len(), advice) }).map(drop)
    }

    /// Whether the kernel knows this advice at all: it looks at that before it looks at the range,
    /// madvise(2).
    pub fn knows_advice(&self, advice: c_int) -> bool {
        // SAFETY: no pages are given.
        check(unsafe { libc::madvise(self.base.as_ptr(), 0, advice) }) != Err(Errno(libc::EINVAL))
    }

    /// Children that are forked from now on do not have what is shown at `at`: MADV_DONTFORK. If
    /// the kernel refuses, they have.
    pub fn keep_from_children(&self, at: usize, length: usize) {
        assert!(at.checked_add(length).is_some_and(|end| end <= self.reserved));
        let start = self.base.as_ptr().wrapping_byte_add(at);
        // SAFETY: the pages are ours.
        unsafe { libc::madvise(start, length, libc::MADV_DONTFORK) };
    }

    /// Makes what is shown of a file at `at` one huge page, now: madvise(2), MADV_COLLAPSE (Linux
    /// 6.1). The length is that of a huge page, the address a multiple of it, and the file has the
    /// first page.
    pub fn collapse(&self, at: usize, length: usize) -> Result<()> {
        /// The same on every processor; libc has it for glibc only.
        const MADV_COLLAPSE: c_int = 25;
        assert!(at.checked_add(length).is_some_and(|end| end <= self.reserved));
        let start = self.base.as_ptr().wrapping_byte_add(at);
        // SAFETY: the pages are ours; collapsing changes none of their bytes.
        let collapse = || check(unsafe { libc::madvise(start, length, MADV_COLLAPSE) }).map(drop);
        match collapse() {
            // Linux 6.1 answers so where no page was looked at. Elsewhere a look is a page table,
            // which the other processors would have to hear of when the huge page replaces it.
            Err(Errno(libc::EINVAL)) => {
                // SAFETY: mapped just now, and the file has the page.
                unsafe { start.cast::<u8>().read_volatile() };
                collapse()
            }
            collapsed => collapsed,
        }
    }

    /// munmap(2), with its answer.
    pub fn unmap(mut self) -> Result<()> {
        let result = self.unmap_rest();
        // Nothing is left for the drop: what comes to lie there next, also a segment, is somebody
        // else's.
        self.is_segment = false;
        self.holes = Vec::new();
        self.reserved = 0;
        result
    }

    fn unmap_rest(&self) -> Result<()> {
        if self.is_segment && self.holes.is_empty() {
            // SAFETY: attached, and nothing refers to it any more.
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
