//! What can be done with part of a map: any bytes, whatever pages they lie in.

use std::ops::RangeBounds;

use super::{Access, Map};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flush {
    /// Returns when the bytes are on the storage, `MS_SYNC`.
    #[default]
    Sync,
    /// Schedules the writing and returns, `MS_ASYNC`. (On Linux a shared map is written back in time anyway.)
    Async,
    /// `Sync`, and other maps of the file are told to look again, `MS_INVALIDATE`. (On Linux they see every store anyway.)
    SyncInvalidate,
    /// `Async`, and other maps of the file are told to look again.
    AsyncInvalidate,
}

/// What [`Map::protect`] allows. Linux lets nobody write or execute what cannot be read.
///
/// ```
/// use bytefd::{MapOptions, Protection};
/// let map = MapOptions::new().memory(4096)?;
/// map.protect(.., Protection::Read)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What [`Map::advise`] tells the kernel about pages, madvise(2). The numbers are the kernel's.
///
/// ```
/// use bytefd::{Advice, MapOptions};
/// MapOptions::new().open("/etc/passwd")?.advise(.., Advice::Sequential)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(i32)]
pub enum Advice {
    /// No special treatment: undoes `Random` and `Sequential`.
    Normal = 0,
    /// Pages will be used in no order: reading ahead is of no use.
    Random = 1,
    /// Pages will be used in order: reading far ahead is of use.
    Sequential = 2,
    /// Pages will be used soon: reading them in begins.
    WillNeed = 3,
    /// Pages will not be used soon and may leave this process; a shared map has them again when they are used. **In private memory their content is lost** and they read zero, in a private map of a file what the file has.
    DontNeed = 4,
    /// **Content may be lost** at any time from now on, when memory is short (Linux 4.5). Private memory only.
    Free = 8,
    /// **Content is lost**, also in the file: a hole is punched into it (Linux 2.6.16).
    Remove = 9,
    /// Children made by fork(2) do not have the pages.
    DontFork = 10,
    /// Undoes `DontFork`.
    DoFork = 11,
    /// The kernel may merge pages with equal ones, KSM. Private memory only.
    Mergeable = 12,
    /// Undoes `Mergeable`.
    Unmergeable = 13,
    /// Huge pages are welcome here.
    HugePage = 14,
    /// No huge pages here.
    NoHugePage = 15,
    /// Left out of core dumps (Linux 3.4).
    DontDump = 16,
    /// Undoes `DontDump`.
    DoDump = 17,
    /// Children made by fork(2) find zeros (Linux 4.14). Private memory only.
    WipeOnFork = 18,
    /// Undoes `WipeOnFork`.
    KeepOnFork = 19,
    /// Pages may leave memory before others (Linux 5.4).
    Cold = 20,
    /// Pages leave memory now (Linux 5.4).
    PageOut = 21,
    /// Pages are made ready for reading, now (Linux 5.14).
    PopulateRead = 22,
    /// Pages are made ready for writing, now (Linux 5.14).
    PopulateWrite = 23,
    /// `DontNeed`, also for locked pages (Linux 5.18). **Content of private memory is lost**.
    DontNeedLocked = 24,
    /// Pages are made huge ones, now (Linux 6.1).
    Collapse = 25,
    /// **Content is lost**: the pages are treated as broken memory. Administrators only, for tests.
    HardwarePoison = 100,
    /// Pages move to other memory. Administrators only, for tests.
    SoftOffline = 101,
    /// **Content is lost**: access raises SIGSEGV from now on (Linux 6.13).
    GuardInstall = 102,
    /// Undoes `GuardInstall`; the pages read zero, or what the file has.
    GuardRemove = 103,
}

impl Advice {
    /// All, with what the kernel's manual calls them.
    const NAMES: [(Advice, &str); 27] = [
        (Advice::Normal, "MADV_NORMAL"),
        (Advice::Random, "MADV_RANDOM"),
        (Advice::Sequential, "MADV_SEQUENTIAL"),
        (Advice::WillNeed, "MADV_WILLNEED"),
        (Advice::DontNeed, "MADV_DONTNEED"),
        (Advice::Free, "MADV_FREE"),
        (Advice::Remove, "MADV_REMOVE"),
        (Advice::DontFork, "MADV_DONTFORK"),
        (Advice::DoFork, "MADV_DOFORK"),
        (Advice::Mergeable, "MADV_MERGEABLE"),
        (Advice::Unmergeable, "MADV_UNMERGEABLE"),
        (Advice::HugePage, "MADV_HUGEPAGE"),
        (Advice::NoHugePage, "MADV_NOHUGEPAGE"),
        (Advice::DontDump, "MADV_DONTDUMP"),
        (Advice::DoDump, "MADV_DODUMP"),
        (Advice::WipeOnFork, "MADV_WIPEONFORK"),
        (Advice::KeepOnFork, "MADV_KEEPONFORK"),
        (Advice::Cold, "MADV_COLD"),
        (Advice::PageOut, "MADV_PAGEOUT"),
        (Advice::PopulateRead, "MADV_POPULATE_READ"),
        (Advice::PopulateWrite, "MADV_POPULATE_WRITE"),
        (Advice::DontNeedLocked, "MADV_DONTNEED_LOCKED"),
        (Advice::Collapse, "MADV_COLLAPSE"),
        (Advice::HardwarePoison, "MADV_HWPOISON"),
        (Advice::SoftOffline, "MADV_SOFT_OFFLINE"),
        (Advice::GuardInstall, "MADV_GUARD_INSTALL"),
        (Advice::GuardRemove, "MADV_GUARD_REMOVE"),
    ];

    /// The advice with this number of the kernel's, if there is one.
    ///
    /// ```
    /// use bytefd::Advice;
    /// assert_eq!(Advice::from_number(2), Some(Advice::Sequential));
    /// assert_eq!(Advice::from_number(5), None);
    /// ```
    pub fn from_number(number: u32) -> Option<Advice> {
        Advice::NAMES.iter().map(|(advice, _)| *advice).find(|advice| *advice as u32 == number)
    }

    fn name(self) -> &'static str {
        Advice::NAMES.iter().find(|(advice, _)| *advice == self).map_or("?", |(_, name)| name)
    }

    /// Whether content is lost, in a map with this access.
    fn loses(self, access: Access) -> bool {
        match self {
            Advice::DontNeed | Advice::DontNeedLocked => access == Access::Private,
            Advice::Free | Advice::Remove | Advice::HardwarePoison | Advice::GuardInstall => true,
            _ => false,
        }
    }
}

/// Pages are the kernel's unit. What keeps content is done to every page that holds some of the bytes; what loses it only to
/// pages of which all bytes are meant.
impl Map {
    /// Writes changed bytes of the range (any bytes, not only whole pages) back to the file, msync(2).
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
    /// `EINVAL` for a range outside the map, and for a private map, whose stores never reach the file; `EIO` when
    /// writing failed, or pages of a guarded map were lost; `EBUSY` when locked pages are to be invalidated.
    pub fn flush(&self, range: impl RangeBounds<usize>, how: Flush) -> Result<()> {
        let part = self.part(range)?;
        if self.options.access == Access::Private {
            return Err(Error::new("msync", libc::EINVAL, "a private map has nothing to write to its file"));
        }
        self.check()?;
        let Some((mapping, bytes)) = part else { return Ok(()) };
        let flags = match how {
            Flush::Sync => libc::MS_SYNC,
            Flush::Async => libc::MS_ASYNC,
            Flush::SyncInvalidate => libc::MS_SYNC | libc::MS_INVALIDATE,
            Flush::AsyncInvalidate => libc::MS_ASYNC | libc::MS_INVALIDATE,
        };
        mapping.sync(bytes.clone(), flags).context("msync", || format!("bytes {}..{}", bytes.start, bytes.end))?;
        self.check()
    }

    /// Tells the kernel how the pages of the range will be used, madvise(2). Advice that loses content is refused: see
    /// [`Map::advise_losing`].
    ///
    /// ```
    /// use bytefd::{Advice, MapOptions};
    /// let map = MapOptions::new().memory(4096)?;
    /// map.advise(.., Advice::DontFork)?;
    /// assert!(map.advise(.., Advice::Remove).is_err());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map, advice that would lose content, and what the kernel does not do with this kind of
    /// memory; `EOPNOTSUPP` where this kernel does not know the advice; madvise(2)'s own.
    pub fn advise(&self, range: impl RangeBounds<usize>, advice: Advice) -> Result<()> {
        if advice.loses(self.options.access) {
            let message = format_args!("{} loses content, which must be asked for", advice.name());
            return Err(Error::new("madvise", libc::EINVAL, message));
        }
        self.give_advice(range, advice)
    }

    /// [`Map::advise`] that may lose content, in pages of which all bytes are in the range.
    ///
    /// ```
    /// use bytefd::{Advice, MapOptions};
    /// let map = MapOptions::new().memory(8192)?;
    /// map.write_at(0, &[1; 8192])?;
    /// map.advise_losing(..5000, Advice::Remove)?;
    /// let mut bytes = [1; 2];
    /// map.read_at(4095, &mut bytes)?;
    /// assert_eq!(bytes, [0, 1]);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Map::advise`].
    pub fn advise_losing(&self, range: impl RangeBounds<usize>, advice: Advice) -> Result<()> {
        self.give_advice(range, advice)
    }

    fn give_advice(&self, range: impl RangeBounds<usize>, advice: Advice) -> Result<()> {
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        let asked = || format!("{} for bytes {}..{}", advice.name(), bytes.start, bytes.end);
        match &self.guard {
            Some(guard) if advice == Advice::DontFork => guard.leave_children(),
            Some(guard) if advice == Advice::GuardInstall => guard.restrict(),
            _ => {}
        }
        let given = if advice.loses(self.options.access) {
            mapping.advise_within(bytes.clone(), advice as i32)
        } else {
            mapping.advise(bytes.clone(), advice as i32)
        };
        match given {
            Err(Errno(libc::EINVAL)) if !mapping.knows_advice(advice as i32) => Err(Error::new(
                "madvise",
                libc::EOPNOTSUPP,
                format_args!("this kernel does not know {}", advice.name()),
            )),
            given => given.context("madvise", asked),
        }
    }

    /// Keeps the pages of the range in memory, mlock(2). Locks do not add up.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(4096)?;
    /// map.lock(..100)?;
    /// map.unlock(..)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map; `ENOMEM` or `EPERM` where RLIMIT_MEMLOCK does not allow it; `ENOMEM` where pages are
    /// past the end of the file.
    pub fn lock(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        mapping.lock(bytes.clone()).context("mlock", || format!("bytes {}..{}", bytes.start, bytes.end))
    }

    /// Undoes [`Map::lock`] for the pages of the range, munlock(2).
    ///
    /// ```
    /// bytefd::MapOptions::new().memory(4096)?.unlock(..)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map; munlock(2)'s own.
    pub fn unlock(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        mapping.unlock(bytes.clone()).context("munlock", || format!("bytes {}..{}", bytes.start, bytes.end))
    }

    /// Allows or forbids access to the pages of the range, mprotect(2). Executing must have been asked for when the map was made.
    ///
    /// ```
    /// use bytefd::{MapOptions, Protection};
    /// let map = MapOptions::new().memory(4096)?;
    /// map.protect(.., Protection::Read)?;
    /// assert!(map.protect(.., Protection::ReadExecute).is_err());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map; `EACCES` for what the map was not made for: writing with [`Access::Read`], executing
    /// without [`MapOptions::execute`](crate::MapOptions::execute).
    pub fn protect(&self, range: impl RangeBounds<usize>, protection: Protection) -> Result<()> {
        let part = self.part(range)?;
        let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
        let wanted = match protection {
            Protection::None => libc::PROT_NONE,
            Protection::Read => read,
            Protection::ReadWrite => read | write,
            Protection::ReadExecute => read | execute,
            Protection::ReadWriteExecute => read | write | execute,
        };
        let problem = if wanted & write != 0 && self.options.access == Access::Read {
            "writing, and the map is for reading only"
        } else if wanted & execute != 0 && !self.options.execute {
            "executing, and the map was not made for that"
        } else {
            let Some((mapping, bytes)) = part else { return Ok(()) };
            let asked = || format!("{protection:?} for bytes {}..{}", bytes.start, bytes.end);
            if let Some(guard) = &self.guard {
                guard.protect(bytes.clone(), wanted);
            }
            return mapping.protect(bytes.clone(), wanted).context("mprotect", asked);
        };
        Err(Error::new("protection", libc::EACCES, format_args!("asked for {problem}")))
    }

    /// Reads the pages of the range in before it returns, so that reading them later waits for nothing.
    ///
    /// ```
    /// bytefd::MapOptions::new().open("/etc/passwd")?.prefetch(..)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map; `EIO` if bytes do not exist any more or cannot be read.
    pub fn prefetch(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        let asked = || format!("bytes {}..{}", bytes.start, bytes.end);
        if self.guard.as_ref().is_some_and(|guard| guard.kept(bytes.clone()) < bytes.len()) {
            return Err(Errno(libc::EIO)).context("prefetch", asked);
        }
        match mapping.advise(bytes.clone(), libc::MADV_POPULATE_READ) {
            // Before Linux 5.14, or refused by a filter: begun for all, then looked at page by page.
            Err(Errno(libc::EINVAL | libc::EPERM | libc::ENOSYS)) => {}
            Err(Errno(libc::EFAULT | libc::EHWPOISON)) => return Err(Errno(libc::EIO)).context("madvise", asked),
            populated => return populated.context("madvise", asked),
        }
        let _ = mapping.advise(bytes.clone(), libc::MADV_WILLNEED);
        let first = bytes.start - bytes.start % mapping.page();
        for at in (first..bytes.end).step_by(mapping.page()) {
            let mut byte = 0u8;
            // SAFETY: the byte is in the map, and `byte` is ours.
            let copied =
                unsafe { copy::read(mapping.base().as_ptr().wrapping_add(at), &mut byte, 1, self.is_copy_guarded()) };
            match copied {
                Ok(0) => return Err(Errno(libc::EIO)).context("read", asked),
                copied => drop(copied.context("read", asked)?),
            }
        }
        Ok(())
    }

    /// Lets the pages go of which all bytes are in the range, munmap(2). Access there raises SIGSEGV from now on, other memory of
    /// the process may come to lie there, and operations on those bytes are errors. The map keeps its length, but not
    /// [`Map::resize`] and [`Map::seal`].
    ///
    /// ```
    /// let mut map = bytefd::MapOptions::new().memory(3 * 4096)?;
    /// map.unmap(4096..2 * 4096)?;
    /// assert!(map.read_at(4096, &mut [0]).is_err());
    /// assert!(map.read_at(2 * 4096, &mut [0]).is_ok());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EINVAL` for a range outside the map; munmap(2)'s own.
    pub fn unmap(&mut self, range: impl RangeBounds<usize>) -> Result<()> {
        let range = self.checked(range)?;
        let Some(mapping) = self.mapping.as_mut().filter(|_| !range.is_empty()) else { return Ok(()) };
        // The rest of the last page is nobody else's.
        let end = if range.end == self.length { mapping.length() } else { self.head + range.end };
        let start = if range.start == 0 { 0 } else { self.head + range.start };
        if let Some(guard) = &self.guard {
            guard.release(start..end);
        }
        mapping.unmap_within(start..end).context("munmap", || format!("bytes {}..{}", range.start, range.end))
    }
}
