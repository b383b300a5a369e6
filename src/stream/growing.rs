//! A new file that becomes longer while it is filled.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};

use crate::backend::{Backend, EmptyFile};
use crate::error::{Context, Error, Result};
use crate::fill::{self, Extent, Filling};
use crate::sys::{self, features, file};
use crate::wrap::Plan;

/// How much is copied to disk at once.
const COPIED: usize = 256 << 10;

/// A new file that becomes longer.
pub(super) struct Growing {
    file: EmptyFile,
    /// The extent that is being filled, which ends here. 0 and none if every write makes its own
    /// pages.
    end: u64,
    extent: Option<Extent>,
    /// It was given this size ahead of the bytes.
    size: u64,
}

impl Growing {
    pub fn new(file: EmptyFile) -> Growing {
        Growing { file, end: 0, extent: None, size: 0 }
    }

    /// Adds bytes at the end. The file goes on as a file on disk where it gets longer than memory
    /// may hold.
    pub fn append(&mut self, plan: &Plan<'_>, segments: &[IoSlice<'_>], offset: u64) -> Result<()> {
        let end = offset + fill::total_length(segments)?;
        if plan.spills(end) && self.file.backend != Backend::TmpFile {
            let disk = plan.create(u64::MAX)?;
            copy(self.file.fd.as_fd(), disk.fd.as_fd(), offset)?;
            *self = Growing::new(disk);
        }
        let filling = Filling::begin();
        if let Some(extent) = &mut self.extent {
            extent.resume();
        }
        self.reserve(&filling, offset, end)?;
        fill::write_at(self.file.fd.as_fd(), segments, offset)?;
        if let Some(extent) = &mut self.extent {
            extent.pause();
        }
        Ok(())
    }

    /// Makes a huge page for memory that is longer than what is held in buffers, if that takes less
    /// time.
    fn reserve(&mut self, filling: &Filling, from: u64, to: u64) -> Result<()> {
        let extent = features::huge_page_size();
        if self.file.backend != Backend::Memfd || extent == 0 || to <= self.end {
            return Ok(());
        }
        if let Some(full) = self.extent.take() {
            full.filled();
        }
        let from = from.max(self.end);
        fill::check_size_limit(to)?;
        self.end = to.next_multiple_of(extent).min(sys::file_size_limit()).max(to);
        let pages = filling.extent(self.end - from, self.end - from);
        if pages.is_huge {
            file::ftruncate(self.file.fd.as_fd(), self.end)
                .context("ftruncate", || format!("{} bytes", self.end))?;
            // If there is no room for all of it, the writes tell.
            let _ = fill::allocate(self.file.fd.as_fd(), from, self.end);
            self.size = self.end;
        }
        self.extent = Some(pages);
        Ok(())
    }

    /// The file, with this length.
    pub fn end(self, length: u64) -> Result<EmptyFile> {
        if self.size > length {
            let fd = self.file.fd.as_fd();
            file::ftruncate(fd, length).context("ftruncate", || format!("{length} bytes"))?;
        }
        Ok(self.file)
    }
}

/// Copies the first `length` bytes of one file to the other.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: u64) -> Result<()> {
    let mut buffer = vec![0; COPIED.min(length as usize)];
    let mut copied = 0;
    while copied < length {
        let room = buffer.len().min((length - copied) as usize);
        let count = file::pread(from, &mut buffer[..room], copied)
            .context("pread", || "content that goes to disk")?;
        if count == 0 {
            return Err(Error::new(
                "pread",
                libc::EIO,
                format_args!("{copied} of {length} bytes are there"),
            ));
        }
        fill::write_at(to, &[IoSlice::new(&buffer[..count])], copied)?;
        copied += count as u64;
    }
    Ok(())
}
