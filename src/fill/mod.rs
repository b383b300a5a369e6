//! Bytes into a file, by the fastest way this kernel has.
//!
//! A new file costs far more than the copy: its pages are allocated, zeroed and entered one by one. So extents of a huge
//! page's size are asked for as one: where the host gives huge pages to shared memory by itself (`shmem_enabled`), setting
//! the size before writing is enough; elsewhere the first page of an extent is written, the extent collapsed into a huge
//! page by `MADV_COLLAPSE`, and the rest written into memory that is there by then; for as long as that is measured to cost
//! less than small pages. The bytes themselves always go in by
//! `pwritev`: a source that is not readable is EFAULT and not a signal, and where collapsing fails the same write simply
//! allocates small pages.

mod cost;

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::error::{Context, Errno, Error, Result};
use crate::sys;
use crate::sys::mapping::Mapping;

/// Segments that go to the kernel in one call. Few enough to be copied on the stack, many enough that the
/// call's own cost is lost in the work.
const BATCH: usize = 64;

/// The length of all segments together, if a file can have it.
pub(crate) fn total_length(segments: &[IoSlice<'_>]) -> Result<u64> {
    let total = segments.iter().try_fold(0usize, |sum, segment| sum.checked_add(segment.len()));
    match total {
        Some(total) if total <= isize::MAX as usize => Ok(total as u64),
        _ => {
            let message = format_args!("{} segments are longer together than {} bytes", segments.len(), isize::MAX);
            Err(Error::new("length", libc::EINVAL, message))
        }
    }
}

/// Refuses a size beyond RLIMIT_FSIZE, where the kernel would kill the process with SIGXFSZ.
pub(crate) fn check_size_limit(size: u64) -> Result<()> {
    let limit = sys::file_size_limit();
    if size > limit {
        let message = format_args!("asked for a file of {size} bytes, the limit RLIMIT_FSIZE is {limit} bytes");
        return Err(Error::new("file size", libc::EFBIG, message));
    }
    Ok(())
}

/// Writes all segments, in order, to the start of an empty file. The descriptor's offset stays 0. `huge` allows huge pages,
/// which only files in memory have.
pub(crate) fn fill(file: BorrowedFd<'_>, segments: &[IoSlice<'_>], huge: bool) -> Result<()> {
    let total = total_length(segments)?;
    check_size_limit(total)?;
    let mut source = Source { segments, skip: 0, written: 0, total };
    let extent = sys::huge_page_size();
    if huge && extent > 0 && total >= worth_an_extent(extent) {
        // First the size, then the content: that lets a host with `within_size` choose huge pages by itself.
        sys::file::ftruncate(file, total).context("ftruncate", || format!("{total} bytes"))?;
        if way() == Way::Collapse {
            source.write_extents(file, extent)?;
        }
    }
    source.write_until(file, total)
}

/// Writes `bytes` at `offset`, which is at the end of the file.
pub(crate) fn append(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<()> {
    let segments = [IoSlice::new(bytes)];
    let end = offset + bytes.len() as u64;
    Source { segments: &segments, skip: 0, written: offset, total: end }.write_until(file, end)
}

/// Makes sure that `from..to` of a file has space, fallocate(2); its size stays as it is.
pub(crate) fn reserve(file: BorrowedFd<'_>, from: u64, to: u64) -> sys::Result<()> {
    let mut step = to - from;
    let mut offset = from;
    while offset < to {
        match sys::file::fallocate(file, libc::FALLOC_FL_KEEP_SIZE, offset, step.min(to - offset)) {
            Ok(()) => offset += step.min(to - offset),
            // On tmpfs a signal interrupts the call and undoes its work: less at a time, until it comes through.
            Err(Errno(libc::EINTR)) => step = (step / 2).max(sys::page_size() as u64),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes the pages of `from..to` of a memory file exist, which has that size and nothing there yet: huge ones where that pays.
pub(crate) fn allocate(file: BorrowedFd<'_>, from: u64, to: u64) -> sys::Result<()> {
    let extent = sys::huge_page_size();
    let mut at = from;
    if extent > 0 && way() == Way::Collapse && to - from >= worth_an_extent(extent) {
        let place = Place::new(extent as usize)?;
        at = to.min(from.next_multiple_of(extent));
        reserve(file, from, at)?;
        while to - at >= worth_an_extent(extent) {
            // A wholly empty extent is EINVAL: there must be a page to collapse.
            reserve(file, at, at + 1)?;
            let end = to.min(at + extent);
            if place.collapse(file, at).is_err() {
                reserve(file, at, end)?;
            }
            at = end;
        }
    }
    reserve(file, at, to)
}

/// The fewest bytes for which a huge page can pay. An extent that is to be half empty takes as long to zero as a full one:
/// collapsing breaks even at half an extent (1 MiB: 174 µs against 173 µs by plain writes) and gains from there on (2 MiB:
/// 271 against 386), each measured side by side where page faults are quick; where they are slow it was 4 times as fast at
/// both. From here on [`cost`] decides. It also bounds the memory that is over-allocated.
pub(crate) fn worth_an_extent(extent: u64) -> u64 {
    extent / 2
}

/// How large files get their pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The kernel has no huge pages for shared memory.
    Write,
    /// The host gives huge pages by itself, once the size is set.
    SizeThenWrite,
    /// Extents are collapsed into huge pages.
    Collapse,
}

/// How often in a row the kernel said that it does not know MADV_COLLAPSE (before 6.1), or is told to deny it. It says the same
/// when something stood in the way that once.
static COLLAPSE_REFUSALS: AtomicU32 = AtomicU32::new(0);
pub(crate) const REFUSALS_BELIEVED: u32 = 3;

/// The way in use on this host.
pub(crate) fn way() -> Way {
    match sys::shared_huge_pages() {
        _ if sys::huge_page_size() == 0 => Way::Write,
        Some("always" | "within_size" | "force") => Way::SizeThenWrite,
        _ if COLLAPSE_REFUSALS.load(Relaxed) >= REFUSALS_BELIEVED => Way::Write,
        _ => Way::Collapse,
    }
}

/// Bytes on their way into a file.
struct Source<'a> {
    /// What is left, but for the first `skip` bytes.
    segments: &'a [IoSlice<'a>],
    skip: usize,
    written: u64,
    total: u64,
}

impl Source<'_> {
    /// Writes for as long as a huge page can pay, each extent into the pages that cost less, a huge one if the kernel gives it.
    fn write_extents(&mut self, file: BorrowedFd<'_>, extent: u64) -> Result<()> {
        let filling = cost::Filling::begin();
        let mut place = None;
        while self.total - self.written >= worth_an_extent(extent) {
            let start = self.written;
            let end = self.total.min(start + extent);
            let mut pages = filling.extent(end - start, end - start == extent);
            if pages.is_huge() {
                let place = match &mut place {
                    Some(place) => place,
                    // Without address space, or with a limit on it, plain writes do.
                    none => match Place::new(extent as usize) {
                        Ok(new) => none.insert(new),
                        Err(_) => return Ok(()),
                    },
                };
                // A wholly empty extent is EINVAL: there must be a page to collapse.
                self.write_until(file, start + sys::page_size() as u64)?;
                let collapsed = place.collapse(file, start);
                match collapsed {
                    Ok(()) => COLLAPSE_REFUSALS.store(0, Relaxed),
                    Err(Errno(libc::EINVAL)) if start == 0 => {
                        COLLAPSE_REFUSALS.fetch_add(1, Relaxed);
                        return Ok(());
                    }
                    // No huge page to be had just now: this extent gets small ones.
                    Err(_) => {}
                }
                pages.collapsed(collapsed.is_ok());
            }
            self.write_until(file, end)?;
            pages.filled();
        }
        Ok(())
    }

    /// Writes until `end` bytes are in the file.
    fn write_until(&mut self, file: BorrowedFd<'_>, end: u64) -> Result<()> {
        while self.written < end {
            let room = (end - self.written) as usize;
            let count = match self.segments {
                [last] => sys::file::pwrite(file, clip(&last[self.skip..], room), self.written),
                _ => {
                    let mut batch = [IoSlice::new(&[]); BATCH];
                    let filled = self.batch(&mut batch, room);
                    sys::file::pwritev(file, &batch[..filled], self.written)
                }
            };
            let count = count.context("write", || format!("{} of {} bytes written", self.written, self.total))?;
            if count == 0 {
                let message = format_args!("stuck at {} of {} bytes", self.written, self.total);
                return Err(Error::new("write", libc::EIO, message));
            }
            self.advance(count);
        }
        Ok(())
    }

    /// The next segments, at most `room` bytes of them and none empty. Returns how many.
    fn batch<'b>(&'b self, batch: &mut [IoSlice<'b>; BATCH], mut room: usize) -> usize {
        let mut skip = self.skip;
        let mut filled = 0;
        for segment in self.segments {
            let bytes = clip(&segment[skip..], room);
            skip = 0;
            if bytes.is_empty() {
                continue;
            }
            batch[filled] = IoSlice::new(bytes);
            filled += 1;
            room -= bytes.len();
            if filled == BATCH || room == 0 {
                break;
            }
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        self.written += count as u64;
        self.skip += count;
        while self.segments.first().is_some_and(|first| self.skip >= first.len()) {
            self.skip -= self.segments[0].len();
            self.segments = &self.segments[1..];
        }
    }
}

/// At most the first `length` bytes.
fn clip(bytes: &[u8], length: usize) -> &[u8] {
    &bytes[..bytes.len().min(length)]
}

/// A stretch of address space that begins where a huge page can, through which one extent of a file is shown to the kernel.
struct Place {
    reservation: Mapping,
    at: usize,
    extent: usize,
}

impl Place {
    fn new(extent: usize) -> sys::Result<Place> {
        let reservation = Mapping::reservation(2 * extent, sys::page_size(), sys::page_size())?;
        let at = reservation.base().as_ptr().addr().next_multiple_of(extent) - reservation.base().as_ptr().addr();
        Ok(Place { reservation, at, extent })
    }

    fn collapse(&self, file: BorrowedFd<'_>, offset: u64) -> sys::Result<()> {
        self.reservation.collapse(self.at, file, offset, self.extent)
    }
}
