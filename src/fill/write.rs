//! Writes the content of a file.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use super::huge::{Way, way, worth_an_extent};
use super::pages::Filling;
use super::space::check_size_limit;
use crate::error::{Context, Errno, Error, Result};
use crate::sys::source::{self, Sources};
use crate::sys::window::{Access, ExtentWindow};
use crate::sys::{self, features};

/// Number of segments that go to the kernel in one call. They are few enough to be copied on the
/// stack, and enough to make the cost of the call itself small.
const BATCH: usize = 64;

/// Returns the length of all segments together. EINVAL if no file can have that length.
pub(crate) fn total_length(segments: &[IoSlice<'_>]) -> Result<u64> {
    let total = segments.iter().try_fold(0usize, |sum, segment| sum.checked_add(segment.len()));
    match total {
        Some(total) if total <= isize::MAX as usize => Ok(total as u64),
        _ => {
            let message =
                format!("the length of {} segments exceeds {} bytes", segments.len(), isize::MAX);
            Err(Error::new("length", libc::EINVAL, message))
        }
    }
}

/// What copies the content of a large file in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copier {
    /// This process, through a mapping, if the bytes are anonymous memory; the kernel, if they can
    /// be lost.
    Fastest,
    /// The kernel. Extents are mapped only privately and for reading, so a child that is forked
    /// meanwhile does not prevent sealing.
    Kernel,
}

/// Writes all segments, in order, to the start of an empty file. The descriptor's offset stays 0.
/// `huge` allows huge pages, which only files in memory have, and names the copier for them.
pub(crate) fn fill(
    file: BorrowedFd<'_>,
    segments: &[IoSlice<'_>],
    huge: Option<Copier>,
) -> Result<()> {
    let total = total_length(segments)?;
    if total == 0 {
        return Ok(());
    }
    check_size_limit(total)?;
    let mut source = Source { segments, skip: 0, written: 0, total };
    let extent = features::huge_page_size();
    if let Some(copier) = huge.filter(|_| extent > 0 && total >= worth_an_extent(extent)) {
        // With the size set first, a host with `within_size` chooses huge pages by itself.
        sys::file::ftruncate(file, total).context("ftruncate", || format!("{total} bytes"))?;
        if way() == Way::Collapse {
            source.write_extents(file, extent, copier)?;
        }
    }
    source.write_until(file, total)?;
    source::check_kept(segments)
        .context("write", || "the bytes are in a guarded map, and their pages were lost")
}

/// Writes all segments, in order, at `offset`. Does not ask for huge pages; the kernel chooses the
/// pages where the file has none yet.
pub(crate) fn write_at(file: BorrowedFd<'_>, segments: &[IoSlice<'_>], offset: u64) -> Result<()> {
    let total = offset + total_length(segments)?;
    Source { segments, skip: 0, written: offset, total }.write_until(file, total)
}

/// Bytes on their way into a file.
struct Source<'a> {
    /// The segments that are left, without their first `skip` bytes.
    segments: &'a [IoSlice<'a>],
    skip: usize,
    written: u64,
    total: u64,
}

impl Source<'_> {
    /// Writes extents while a huge page can pay off. Each extent gets the pages that take less
    /// time: a huge one, if the kernel gives it, or small ones.
    fn write_extents(&mut self, file: BorrowedFd<'_>, extent: u64, copier: Copier) -> Result<()> {
        let filling = Filling::begin();
        let (mut window, mut access) = (None, Access::Read);
        while self.total - self.written >= worth_an_extent(extent) {
            let start = self.written;
            let end = self.total.min(start + extent);
            let pages = filling.extent(end - start, extent);
            if pages.is_huge {
                let window = match &mut window {
                    Some(window) => window,
                    none => {
                        if copier == Copier::Fastest && Sources::new().are_anonymous(self.segments)
                        {
                            access = Access::Write;
                        }
                        match ExtentWindow::new(extent as usize) {
                            Ok(new) => none.insert(new),
                            // Without address space, or with a limit on it, plain writes are
                            // enough.
                            Err(_) => return Ok(()),
                        }
                    }
                };
                // MADV_COLLAPSE fails with EINVAL unless the extent has a page.
                self.write_until(file, start + sys::page_size() as u64)?;
                match window.collapse(file, start, access) {
                    Ok(()) => {
                        features::note_collapse(true);
                        while access == Access::Write && self.written < end {
                            let bytes = self.next((end - self.written) as usize);
                            window.store((self.written - start) as usize, bytes);
                            self.advance(bytes.len());
                        }
                    }
                    Err(Errno(libc::EINVAL)) if start == 0 => {
                        features::note_collapse(false);
                        return Ok(());
                    }
                    // The kernel has no huge page at the moment. This extent gets small ones.
                    Err(_) => {}
                }
            }
            self.write_until(file, end)?;
            pages.filled();
        }
        Ok(())
    }

    /// Returns the next bytes that lie together, at most `room`.
    fn next(&self, room: usize) -> &[u8] {
        clip(&self.segments[0][self.skip..], room)
    }

    /// Writes until `end` bytes are in the file.
    fn write_until(&mut self, file: BorrowedFd<'_>, end: u64) -> Result<()> {
        while self.written < end {
            let room = (end - self.written) as usize;
            let count = match self.segments {
                [_] => sys::file::pwrite(file, self.next(room), self.written),
                _ => {
                    let mut batch = [IoSlice::new(&[]); BATCH];
                    let filled = self.batch(&mut batch, room);
                    sys::file::pwritev(file, &batch[..filled], self.written)
                }
            };
            let count = count
                .context("write", || format!("{} of {} bytes written", self.written, self.total))?;
            if count == 0 {
                let message = format!(
                    "the kernel wrote 0 bytes after {} of {} bytes",
                    self.written, self.total
                );
                return Err(Error::new("write", libc::EIO, message));
            }
            self.advance(count);
        }
        Ok(())
    }

    /// Collects the next segments, at most `room` bytes and none of them empty. Returns their
    /// number.
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

/// Returns at most the first `length` bytes.
fn clip(bytes: &[u8], length: usize) -> &[u8] {
    &bytes[..bytes.len().min(length)]
}
