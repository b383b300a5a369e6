//! What a child made by fork(2) must not take for its own: marks that tell parent from child.

use std::sync::atomic::{AtomicU32, Ordering};

use super::call::Result;
use super::mapping::Mapping;
use super::process::page_size;

/// Tells whether this process was forked from the one that made it: a page that is zeros in
/// children, MADV_WIPEONFORK (Linux 4.14). Numbers of processes would not do, a child in another
/// namespace can have the same.
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

    /// Whether this is a child that has not stored anything here.
    pub fn is_in_child(&self) -> bool {
        self.value().load(Ordering::Acquire) == 0
    }

    /// 0 in a child that has not stored anything here, 1 in the process that made it.
    pub fn value(&self) -> &AtomicU32 {
        // SAFETY: the page is mapped for as long as `self` lives, aligned, and only used through
        // this reference.
        unsafe { self.page.base().cast::<AtomicU32>().as_ref() }
    }
}

/// Tells whether this is the process that made it, and none that was forked from it.
#[derive(Debug)]
pub(crate) struct MadeHere {
    process: u32,
    /// The number alone can be the same in another namespace, and the memory alone is a child's,
    /// too, after vfork(2). `None` before Linux 4.14, or without memory.
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
