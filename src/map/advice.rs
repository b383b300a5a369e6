//! How the pages of a map will be used, madvise(2).

use std::ops::RangeBounds;

use super::map::Map;
use super::options::Access;
use crate::error::{Context, Errno, Error, Result};

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

impl Map {
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
}
