//! Distinguishes a process from a child made by fork(2), which must not take over what the parent
//! owns.

use std::sync::atomic::{AtomicU32, Ordering};

use super::call::Result;
use super::mapping::Mapping;
use super::process::page_size;

/// Tells whether this process was forked from the one that made the mark. The mark is a page that
/// is zeros in children, MADV_WIPEONFORK (Linux 4.14). The process ID would not do, because a child
/// in another namespace can have the same.
#[derive(Debug)]
pub(crate) struct ForkMark {
    page: Mapping,
}

impl ForkMark {
    pub fn new() -> Result<ForkMark> {
        let length = page_size();
        let page = Mapping::zeros(length)?;
        page.advise(0..length, libc::MADV_WIPEONFORK)?;
        let mark = ForkMark { page };
        mark.value().store(1, Ordering::Release);
        Ok(mark)
    }

    /// Returns whether this is a child that has not stored anything into the mark.
    pub fn is_in_child(&self) -> bool {
        self.value().load(Ordering::Acquire) == 0
    }

    /// Returns the mark: 1 in the process that made it, 0 in a child that has not stored anything
    /// there.
    pub fn value(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped while `self` lives. It is aligned, and used only through this
        // reference.
        unsafe { self.page.base().cast::<AtomicU32>().as_ref() }
    }
}

/// Tells whether this is the process that made the value, and not a child forked from it.
#[derive(Debug)]
pub(crate) struct MadeHere {
    process: u32,
    /// `None` before Linux 4.14, or without memory. Both members are needed. A process in another
    /// namespace can have the same ID, and after vfork(2) the child has the same memory.
    mark: Option<ForkMark>,
}

impl MadeHere {
    pub fn new() -> MadeHere {
        MadeHere { process: std::process::id(), mark: ForkMark::new().ok() }
    }

    pub fn is_here(&self) -> bool {
        self.process == std::process::id() && !self.mark.as_ref().is_some_and(ForkMark::is_in_child)
    }
}
