//! What a child made by fork(2) must not take for its own: a mark that tells parent from child, and values that each process
//! finds out for itself.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::call::Result;
use super::mapping::Mapping;
use super::process::page_size;

/// Tells whether this process was forked from the one that made it: a page that is zeros in children, MADV_WIPEONFORK
/// (Linux 4.14). Numbers of processes would not do, a child in another namespace can have the same.
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
        // SAFETY: the page is mapped for as long as `self` lives, aligned, and only used through this reference.
        unsafe { self.page.base().cast::<AtomicU32>().as_ref() }
    }
}

/// What each process finds out once, its children for themselves. There is no lock that a child could inherit from a thread that
/// it does not have: several threads may find out at the same time.
pub(crate) struct OncePerProcess<T>(AtomicPtr<Found<T>>);

struct Found<T> {
    value: T,
    mark: ForkMark,
    process: u32,
    /// What the parent had found out: another thread may be looking at it, so it stays, where tools find it.
    _before: *mut Found<T>,
}

impl<T: Copy + Send + Sync> OncePerProcess<T> {
    pub const fn new() -> OncePerProcess<T> {
        OncePerProcess(AtomicPtr::new(null_mut()))
    }

    pub fn get<E>(&self, find_out: impl FnOnce() -> std::result::Result<T, E>) -> std::result::Result<T, E> {
        let process = std::process::id();
        let before = self.0.load(Ordering::Acquire);
        // SAFETY: null, or made below and never freed.
        if let Some(found) = unsafe { before.as_ref() }
            // The number alone can be the same in another namespace, and the memory alone is a child's, too, after vfork(2).
            && found.process == process
            && !found.mark.is_in_child()
        {
            return Ok(found.value);
        }
        let value = find_out()?;
        if let Ok(mark) = ForkMark::new() {
            let found = Box::into_raw(Box::new(Found { value, mark, process, _before: before }));
            if self.0.compare_exchange(before, found, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // SAFETY: made just now, and nobody has seen it.
                drop(unsafe { Box::from_raw(found) });
            }
        }
        Ok(value)
    }
}

/// Tells this process from all others, also from those that were forked from it and from those that get its number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThisProcess(u128);

impl ThisProcess {
    pub fn get() -> Result<ThisProcess> {
        static THIS: OncePerProcess<ThisProcess> = OncePerProcess::new();
        THIS.get(|| super::random().map(ThisProcess))
    }
}
