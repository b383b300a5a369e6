//! Advice on the use of a map's pages, madvise(2).

use std::ffi::c_int;
use std::ops::RangeBounds;

use super::map::Map;
use super::options::Access;
use crate::error::{Context, Errno, Error, Result};

/// Tells the kernel in [`Map::advise`] how pages will be used, madvise(2). The numbers are the
/// kernel's. No advice changes a byte.
///
/// ```
/// use bytefd::{Advice, MapOptions};
/// MapOptions::new().open("/etc/passwd")?.advise(.., Advice::Sequential)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Advice {
    /// No special treatment: undoes `Random` and `Sequential`.
    Normal = 0,
    /// Pages will be used in no order: reading ahead is of no use.
    Random = 1,
    /// Pages will be used in order: reading far ahead is of use.
    Sequential = 2,
    /// Pages will be used soon: the kernel begins to read them in.
    WillNeed = 3,
    /// Pages will not be used soon and may be unmapped from this process; they come back when they
    /// are used. Refused for maps with `Access::Private`, whose stores would be lost: see
    /// [`Discard::DontNeed`].
    DontNeed = 4,
    /// Children made by fork(2) do not have the pages, and must not use or drop the map.
    DontFork = 10,
    /// Undoes `DontFork`.
    DoFork = 11,
    /// The kernel may merge pages with equal ones, KSM. Private memory only.
    Mergeable = 12,
    /// Undoes `Mergeable`.
    Unmergeable = 13,
    /// The kernel may use huge pages.
    HugePage = 14,
    /// The kernel uses no huge pages.
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
    /// `DontNeed`, also for locked pages (Linux 5.18). Refused for maps with `Access::Private`.
    DontNeedLocked = 24,
    /// Pages are made huge ones, now (Linux 6.1).
    Collapse = 25,
    /// Pages move to other memory. Administrators only, for tests.
    SoftOffline = 101,
    /// Undoes [`Discard::GuardInstall`] (Linux 6.13); the pages read zero, or what the file has.
    GuardRemove = 103,
}

/// Selects how [`Map::discard`] discards the content of pages, madvise(2). The numbers are the
/// kernel's.
///
/// ```
/// use bytefd::{Discard, MapOptions};
/// let mut map = MapOptions::new().memory(8192)?;
/// // SAFETY: there is no slice of the map.
/// unsafe { map.discard(.., Discard::Remove)? };
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Discard {
    /// Stores into a map with `Access::Private` are lost: anonymous memory then reads zero, and a
    /// map of a file reads the file's content. Other maps keep their content.
    DontNeed = 4,
    /// Content may be lost at any time from now on, when memory is short (Linux 4.5). Private
    /// memory only.
    Free = 8,
    /// Content is lost, also in the file: a hole is punched into it (Linux 2.6.16).
    Remove = 9,
    /// `DontNeed`, also for locked pages (Linux 5.18).
    DontNeedLocked = 24,
    /// The pages are treated as broken memory. Administrators only, for tests.
    HardwarePoison = 100,
    /// Content is lost as with `DontNeed`, and access raises SIGSEGV from now on (Linux 6.13).
    /// [`Advice::GuardRemove`] undoes it. Not related to
    /// [`MapOptions::guard`](crate::MapOptions::guard).
    GuardInstall = 102,
}

/// All advice that is passed on to the kernel: its number and its name.
const KNOWN: [(c_int, &str); 27] = [
    (0, "MADV_NORMAL"),
    (1, "MADV_RANDOM"),
    (2, "MADV_SEQUENTIAL"),
    (3, "MADV_WILLNEED"),
    (4, "MADV_DONTNEED"),
    (8, "MADV_FREE"),
    (9, "MADV_REMOVE"),
    (10, "MADV_DONTFORK"),
    (11, "MADV_DOFORK"),
    (12, "MADV_MERGEABLE"),
    (13, "MADV_UNMERGEABLE"),
    (14, "MADV_HUGEPAGE"),
    (15, "MADV_NOHUGEPAGE"),
    (16, "MADV_DONTDUMP"),
    (17, "MADV_DODUMP"),
    (18, "MADV_WIPEONFORK"),
    (19, "MADV_KEEPONFORK"),
    (20, "MADV_COLD"),
    (21, "MADV_PAGEOUT"),
    (22, "MADV_POPULATE_READ"),
    (23, "MADV_POPULATE_WRITE"),
    (24, "MADV_DONTNEED_LOCKED"),
    (25, "MADV_COLLAPSE"),
    (100, "MADV_HWPOISON"),
    (101, "MADV_SOFT_OFFLINE"),
    (102, "MADV_GUARD_INSTALL"),
    (103, "MADV_GUARD_REMOVE"),
];

/// Returns whether the advice loses content of a map with this access.
fn loses(advice: c_int, access: Access) -> bool {
    const DONT_NEED: [c_int; 2] = [Discard::DontNeed as c_int, Discard::DontNeedLocked as c_int];
    const ALWAYS: [c_int; 4] = [
        Discard::Free as c_int,
        Discard::Remove as c_int,
        Discard::HardwarePoison as c_int,
        Discard::GuardInstall as c_int,
    ];
    ALWAYS.contains(&advice) || DONT_NEED.contains(&advice) && access == Access::Private
}

impl Map {
    /// Tells the kernel how the pages that hold bytes of the range will be used, madvise(2). Advice
    /// that would lose content is refused; see [`Map::discard`].
    ///
    /// ```
    /// use bytefd::{Access, Advice, MapOptions};
    /// let map = MapOptions::new().access(Access::Private).memory(4096)?;
    /// map.advise(.., Advice::DontFork)?;
    /// assert!(map.advise(.., Advice::DontNeed).is_err());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the range is not in the map, or the advice would lose content.
    /// - `EINVAL` if the kernel does not support the advice for this kind of memory.
    /// - `EOPNOTSUPP` if this kernel does not know the advice.
    /// - Other errors of madvise(2).
    pub fn advise(&self, range: impl RangeBounds<usize>, advice: Advice) -> Result<()> {
        self.give_advice(range, advice as c_int, false)
    }

    /// Discards the content of every page that lies entirely within the range, madvise(2). A last
    /// page that the map does not fill is left alone.
    ///
    /// ```
    /// use bytefd::{Discard, MapOptions};
    /// let mut map = MapOptions::new().memory(8192)?;
    /// map.write_at(&[1; 8192], 0)?;
    /// // SAFETY: there is no slice of the map.
    /// unsafe { map.discard(..5000, Discard::Remove)? };
    /// let mut bytes = [1; 2];
    /// map.read_exact_at(&mut bytes, 4095)?;
    /// assert_eq!(bytes, [0, 1]);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// A slice of the map cannot live on:
    ///
    /// ```compile_fail,E0502
    /// use bytefd::{Discard, MapOptions};
    /// let mut map = MapOptions::new().memory(8192)?;
    /// let slice = unsafe { map.as_slice() };
    /// unsafe { map.discard(.., Discard::Remove)? };
    /// assert_eq!(slice[0], 0);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the range is not in the map, or the kernel does not support the advice for
    ///   this kind of memory.
    /// - `EOPNOTSUPP` if this kernel does not know the advice.
    /// - Other errors of madvise(2).
    ///
    /// # Safety
    /// No code relies on the content. With [`Discard::Remove`] every other map of the same file
    /// loses it too, including maps from which a slice was taken. After [`Discard::GuardInstall`]
    /// and [`Discard::HardwarePoison`] nothing accesses the pages.
    pub unsafe fn discard(&mut self, range: impl RangeBounds<usize>, how: Discard) -> Result<()> {
        self.give_advice(range, how as c_int, true)
    }

    /// Gives advice that [`KNOWN`] lists. `may_lose` allows advice that loses content.
    pub(crate) fn give_advice(
        &self,
        range: impl RangeBounds<usize>,
        advice: c_int,
        may_lose: bool,
    ) -> Result<()> {
        let Some((_, name)) = KNOWN.iter().find(|(number, _)| *number == advice) else {
            return Err(Error::new(
                "advice",
                libc::EINVAL,
                format_args!("unknown advice {advice}"),
            ));
        };
        let loses = loses(advice, self.access());
        if loses && !may_lose {
            let message = format!("{name} loses content; use discard, or BYTEFD_LOSE_CONTENT in C");
            return Err(Error::new("madvise", libc::EINVAL, message));
        }
        let Some((mapping, bytes)) = self.part(range)? else { return Ok(()) };
        let asked = || format!("{name} for bytes {}..{}", bytes.start, bytes.end);
        match &self.guard {
            Some(guard) if advice == Advice::DontFork as c_int => guard.leave_children(),
            Some(guard) if advice == Discard::GuardInstall as c_int => guard.restrict(),
            _ => {}
        }
        let given = if loses {
            mapping.advise_within(bytes.clone(), advice)
        } else {
            mapping.advise(bytes.clone(), advice)
        };
        match given {
            Err(Errno(libc::EINVAL)) if !mapping.knows_advice(advice) => Err(Error::new(
                "madvise",
                libc::EOPNOTSUPP,
                format_args!("this kernel does not know {name}"),
            )),
            given => given.context("madvise", asked),
        }
    }
}
