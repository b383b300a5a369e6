//! A new file that grows while it is filled.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::backend::{Backend, EmptyFile};
use crate::error::{Context, Error, Result};
use crate::fill::{self, Extent, Filling};
use crate::sys::buffer::Spare;
use crate::sys::window::ExtentWindow;
use crate::sys::{self, features, file};
use crate::wrap::Plan;

/// Number of bytes that are copied to another file at once.
const COPIED: usize = 256 << 10;

/// A new file that grows while it is filled.
pub(super) struct Growing {
    file: EmptyFile,
    /// The end of the extent that is being filled, and the extent. They are 0 and `None` if every
    /// write makes its own pages.
    end: u64,
    extent: Option<Extent>,
    /// The size that the file was given ahead of the bytes.
    size: u64,
    /// Maps one extent of the file. `shown` is where that extent begins.
    window: Option<ExtentWindow>,
    shown: Option<u64>,
}

impl Growing {
    pub fn new(file: EmptyFile) -> Growing {
        Growing { file, end: 0, extent: None, size: 0, window: None, shown: None }
    }

    /// Adds bytes at the end. The bytes are private memory of this process. When the content
    /// exceeds the limit of memory, it moves to a file on disk.
    pub fn append(&mut self, plan: &Plan<'_>, segments: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let end = offset + fill::total_length(segments)?;
        if plan.spills(end) && self.file.backend != Backend::TmpFile {
            let disk = plan.create(u64::MAX)?;
            copy(self.file.fd.as_fd(), disk.fd.as_fd(), offset)?;
            *self = Growing::new(disk);
        }
        let filling = self.resume();
        self.reserve(&filling, offset, end)?;
        self.store(segments, offset, end)?;
        self.pause();
        Ok(())
    }

    fn store(&mut self, segments: &[IoSlice<'_>], mut offset: u64, end: u64) -> Result<()> {
        match (&mut self.window, self.shown) {
            (Some(window), Some(start)) if start <= offset && end <= self.end => {
                for segment in segments {
                    window.store((offset - start) as usize, segment);
                    offset += segment.len() as u64;
                }
                Ok(())
            }
            _ => fill::write_at(self.file.fd.as_fd(), segments, offset),
        }
    }

    /// Returns the memory of the file's next bytes, if their page is mapped. `expected` is the
    /// probable length of the content. Up to that length only, pages are made before their bytes
    /// are there.
    pub fn spare(
        &mut self,
        plan: &Plan<'_>,
        offset: u64,
        expected: u64,
    ) -> Result<Option<Spare<'_>>> {
        let next = offset.saturating_add(features::huge_page_size());
        if offset == self.end && next <= expected && !plan.spills(next) {
            let filling = self.resume();
            if next <= sys::file_size_limit() {
                self.reserve(&filling, offset, next)?;
            }
            self.pause();
        }
        let (Some(window), Some(start)) = (&mut self.window, self.shown) else { return Ok(None) };
        if !(start..self.end).contains(&offset) || plan.spills(self.end) {
            return Ok(None);
        }
        let mut spare = window.spare((offset - start) as usize);
        spare.limit((self.end - offset) as usize);
        Ok(Some(spare))
    }

    fn resume(&mut self) -> Filling {
        if let Some(extent) = &mut self.extent {
            extent.resume();
        }
        Filling::begin()
    }

    fn pause(&mut self) {
        if let Some(extent) = &mut self.extent {
            extent.pause();
        }
    }

    /// Makes a huge page for the bytes up to `to`, if that takes less time than other pages.
    fn reserve(&mut self, filling: &Filling, from: u64, to: u64) -> Result<()> {
        let extent = features::huge_page_size();
        if self.file.backend != Backend::Memfd || extent == 0 || to <= self.end {
            return Ok(());
        }
        if let Some(full) = self.extent.take() {
            full.filled();
        }
        self.shown = None;
        let from = from.max(self.end);
        fill::check_size_limit(to)?;
        self.end = to.next_multiple_of(extent).min(sys::file_size_limit()).max(to);
        let pages = filling.streamed_extent(self.end - from);
        if pages.is_huge {
            let fd = self.file.fd.as_fd();
            file::ftruncate(fd, self.end).context("ftruncate", || format!("{} bytes", self.end))?;
            self.size = self.end;
            if self.end - from == extent && self.show(from, extent) {
                self.shown = Some(from);
            } else {
                // If there is no space for the whole extent, the writes report that.
                let _ = fill::allocate(self.file.fd.as_fd(), from, self.end);
            }
        }
        self.extent = Some(pages);
        Ok(())
    }

    /// Maps a whole extent, if it can be one huge page.
    fn show(&mut self, from: u64, extent: u64) -> bool {
        if self.window.is_none() {
            self.window = ExtentWindow::new(extent as usize).ok();
        }
        let fd = self.file.fd.as_fd();
        self.window.as_mut().is_some_and(|window| fill::show_extent(fd, from, window))
    }

    /// Returns the descriptor of the file, cut to this length.
    pub fn finish(self, plan: &Plan<'_>, length: u64) -> Result<OwnedFd> {
        // A mapping for stores prevents sealing.
        drop(self.window);
        if self.size > length {
            let fd = self.file.fd.as_fd();
            file::ftruncate(fd, length).context("ftruncate", || format!("{length} bytes"))?;
        }
        match plan.seal(&self.file) {
            // A child that was forked meanwhile maps the file, or the kernel uses its pages, for
            // example to move them. The source cannot be read again, so the content is copied.
            Err(error) if error.errno() == libc::EBUSY => {
                let other = plan.create(length)?;
                copy(self.file.fd.as_fd(), other.fd.as_fd(), length)?;
                plan.finish(other)
            }
            sealed => sealed.and_then(|()| plan.complete(self.file)),
        }
    }
}

/// Copies the first `length` bytes of one file to another.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: u64) -> Result<()> {
    let mut buffer = vec![0; COPIED.min(length as usize)];
    let mut copied = 0;
    while copied < length {
        let room = buffer.len().min((length - copied) as usize);
        let count = file::pread(from, &mut buffer[..room], copied)
            .context("pread", || "content that moves to another file")?;
        if count == 0 {
            return Err(Error::new(
                "pread",
                libc::EIO,
                format_args!("the file has only {copied} of {length} bytes"),
            ));
        }
        fill::write_at(to, &[IoSlice::new(&buffer[..count])], copied)?;
        copied += count as u64;
    }
    Ok(())
}
