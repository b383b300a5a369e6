//! Operations on part of a map. They take any bytes, not only whole pages.

use std::ops::RangeBounds;

use super::map::Map;
use super::options::Access;
use crate::error::{Context, Errno, Error, Result};
use crate::sys::copy;

/// How [`Map::flush`] writes back.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("log");
/// use bytefd::{Access, Flush, MapOptions};
/// let map = MapOptions::new().access(Access::Write).create(true).file_size(4096).open(&path)?;
/// map.flush(100..200, Flush::Async)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flush {
    /// Returns when the bytes are on the storage, `MS_SYNC`.
    #[default]
    Sync,
    /// Schedules the writing and returns, `MS_ASYNC`. (On Linux a shared map is written back in
    /// time anyway.)
    Async,
    /// `Sync`, and other maps of the file are told to look again, `MS_INVALIDATE`. (On Linux they
    /// see every store anyway.)
    SyncInvalidate,
    /// `Async`, and other maps of the file are told to look again.
    AsyncInvalidate,
}

/// What [`Map::protect`] allows. On Linux, memory that cannot be read cannot be written or executed
/// either.
///
/// ```
/// use bytefd::{MapOptions, Protection};
/// let mut map = MapOptions::new().memory(4096)?;
/// // SAFETY: nothing writes to the map.
/// unsafe { map.protect(.., Protection::Read)? };
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Any access raises SIGSEGV.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    ReadExecute,
    /// Everything.
    ReadWriteExecute,
}

/// The kernel works on pages. An operation that keeps content applies to every page that contains
/// bytes of the range. An operation that loses content applies only to pages that lie entirely
/// within the range.
impl Map {
    /// Writes the changed bytes of a range back to the file, msync(2). The range is any bytes of
    /// the map, not only whole pages.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("log");
    /// use bytefd::{Access, Flush, MapOptions};
    /// let map = MapOptions::new().access(Access::Write).create(true).file_size(100).open(&path)?;
    /// map.flush(.., Flush::Sync)?;
    /// assert!(map.flush(90..101, Flush::Sync).is_err());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the range is not in the map, or the map has [`Access::Private`]: its stores
    ///   never reach the file.
    /// - `EIO` if writing failed, or a guarded map has replaced lost pages.
    /// - `EBUSY` if locked pages are to be invalidated.
    pub fn flush(&self, range: impl RangeBounds<usize>, how: Flush) -> Result<()> {
        let part = self.part(range)?;
        if self.access() == Access::Private {
            return Err(Error::new(
                "msync",
                libc::EINVAL,
                "a private map has nothing to write to its file",
            ));
        }
        self.check()?;
        let Some((mapping, bytes)) = part else { return Ok(()) };
        let flags = match how {
            Flush::Sync => libc::MS_SYNC,
            Flush::Async => libc::MS_ASYNC,
            Flush::SyncInvalidate => libc::MS_SYNC | libc::MS_INVALIDATE,
            Flush::AsyncInvalidate => libc::MS_ASYNC | libc::MS_INVALIDATE,
        };
        mapping
            .sync(bytes.clone(), flags)
            .context("msync", || format!("bytes {}..{}", bytes.start, bytes.end))?;
        self.check()
    }

    /// Keeps the pages of the range in memory, mlock(2). Locks do not add up: one [`Map::munlock`]
    /// ends all of them.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(4096)?;
    /// map.mlock(..100)?;
    /// map.munlock(..)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the range is not in the map.
    /// - `ENOMEM` or `EPERM` if RLIMIT_MEMLOCK does not allow it.
    /// - `ENOMEM` if pages are past the end of the file.
    pub fn mlock(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        mapping
            .lock(bytes.clone())
            .context("mlock", || format!("bytes {}..{}", bytes.start, bytes.end))
    }

    /// Reverts [`Map::mlock`] for the pages of the range, munlock(2).
    ///
    /// ```
    /// bytefd::MapOptions::new().memory(4096)?.munlock(..)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` if the range is not in the map; other errors of munlock(2).
    pub fn munlock(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        mapping
            .unlock(bytes.clone())
            .context("munlock", || format!("bytes {}..{}", bytes.start, bytes.end))
    }

    /// Allows or forbids access to the pages that hold bytes of the range, mprotect(2). Executing
    /// must have been asked for when the map was made.
    ///
    /// ```
    /// use bytefd::{MapOptions, Protection};
    /// let mut map = MapOptions::new().memory(4096)?;
    /// // SAFETY: nothing writes to the map.
    /// unsafe { map.protect(.., Protection::Read)? };
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the range is not in the map.
    /// - `EACCES` for what the map was not made for: writing with [`Access::Read`], executing
    ///   without [`MapOptions::execute`](crate::MapOptions::execute).
    /// - Other errors of mprotect(2).
    ///
    /// # Safety
    /// Nothing accesses the pages in a way that is forbidden now: no pointer of [`Map::as_ptr`], no
    /// [`Map::atomic_u32`]. Copies ([`Map::read_at`], [`Map::write_at`]) stay safe and fail with
    /// `EIO`.
    pub unsafe fn protect(
        &mut self,
        range: impl RangeBounds<usize>,
        protection: Protection,
    ) -> Result<()> {
        self.set_protection(range, protection)
    }

    pub(crate) fn set_protection(
        &self,
        range: impl RangeBounds<usize>,
        protection: Protection,
    ) -> Result<()> {
        let part = self.part(range)?;
        let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let wanted = match protection {
            Protection::None => libc::PROT_NONE,
            Protection::Read => read,
            Protection::ReadWrite => read | write,
            Protection::ReadExecute => read | execute,
            Protection::ReadWriteExecute => read | write | execute,
        };
        let problem = if wanted & write != 0 && self.access() == Access::Read {
            "asked for write access, but the map is for reading only"
        } else if wanted & execute != 0 && !self.options.execute {
            "asked for execute access, but the map was made without execute"
        } else {
            let Some((mapping, bytes)) = part else { return Ok(()) };
            let asked = || format!("{protection:?} for bytes {}..{}", bytes.start, bytes.end);
            if let Some(guard) = &self.guard {
                guard.protect(bytes.clone(), wanted);
            }
            return mapping.protect(bytes.clone(), wanted).context("mprotect", asked);
        };
        Err(Error::new("protection", libc::EACCES, problem))
    }

    /// Reads the pages of the range in before it returns, so that reading them later waits for
    /// nothing.
    ///
    /// ```
    /// bytefd::MapOptions::new().open("/etc/passwd")?.prefetch(..)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map; `EIO` if bytes do not exist any more or cannot be
    /// read.
    pub fn prefetch(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        let asked = || format!("bytes {}..{}", bytes.start, bytes.end);
        if self.guard.as_ref().is_some_and(|guard| guard.kept(bytes.clone()) < bytes.len()) {
            return Err(Errno(libc::EIO)).context("prefetch", asked);
        }
        match mapping.advise(bytes.clone(), libc::MADV_POPULATE_READ) {
            // Kernels before 5.14, and seccomp filters, refuse the advice. Then the kernel is asked
            // to start reading all pages, and each page is examined.
            Err(Errno(libc::EINVAL | libc::EPERM | libc::ENOSYS)) => {}
            Err(Errno(libc::EFAULT | libc::EHWPOISON)) => {
                return Err(Errno(libc::EIO)).context("madvise", asked);
            }
            populated => return populated.context("madvise", asked),
        }
        let _ = mapping.advise(bytes.clone(), libc::MADV_WILLNEED);
        let first = bytes.start - bytes.start % mapping.page();
        for at in (first..bytes.end).step_by(mapping.page()) {
            if !copy::is_present(mapping, at, self.is_copy_guarded()).context("read", asked)? {
                return Err(Errno(libc::EIO)).context("read", asked);
            }
        }
        Ok(())
    }

    /// Unmaps every page that lies entirely within the range, munmap(2). A map can begin or end
    /// within a page. That page is unmapped too if the range reaches that end of the map. Access to
    /// unmapped bytes raises SIGSEGV from now on, or finds other memory of the process; operations
    /// on those bytes are errors. The map keeps its length, but can no longer be resized or sealed.
    ///
    /// ```
    /// // A multiple of every page size.
    /// const PART: usize = 64 << 10;
    /// let mut map = bytefd::MapOptions::new().memory(3 * PART)?;
    /// map.unmap(PART..2 * PART)?;
    /// assert!(map.read_at(&mut [0], PART).is_err());
    /// assert!(map.read_at(&mut [0], 2 * PART).is_ok());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map; other errors of munmap(2).
    pub fn unmap(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        let range = self.checked(range)?;
        if range.is_empty() {
            return Ok(());
        }
        let mapping = &mut self.mapping;
        // The rest of the last page belongs to this map too.
        let end = if range.end == self.length { mapping.length() } else { self.head + range.end };
        let start = if range.start == 0 { 0 } else { self.head + range.start };
        if let Some(guard) = &self.guard {
            guard.release(start..end);
        }
        mapping
            .unmap_within(start..end)
            .context("munmap", || format!("bytes {}..{}", range.start, range.end))
    }
}
