//! Which process this is, and one thread at a time.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering::SeqCst};

use crate::error::Errno;
use crate::sys::call::Result;
use crate::sys::mapping::Mapping;
use crate::sys::process::page_size;

/// What a child made by fork has not inherited from its parent: memory that is zeros there at first, MADV_WIPEONFORK (Linux
/// 4.14; before, it is inherited).
pub(super) struct Process {
    /// Different from that of all processes that this one was forked from.
    number: AtomicU32,
    /// Held by a thread that is replacing a page, which the lowest bits of the page's number choose. A child must not wait for a
    /// thread that it does not have.
    locks: [AtomicBool; 512],
}

/// Mapped by the first guard, for good.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(null_mut());

impl Process {
    fn this() -> Option<&'static Process> {
        // SAFETY: null, or mapped for good, and all zeros is a valid state.
        unsafe { PROCESS.load(SeqCst).as_ref() }
    }

    /// This process's number, given to it when it is first asked for; 0 before there is a guard.
    pub(super) fn number() -> u32 {
        /// Inherited, so that a child goes on counting where its parent was.
        static LAST: AtomicU32 = AtomicU32::new(0);
        let Some(process) = Process::this() else { return 0 };
        if process.number.load(SeqCst) == 0 {
            // Of several threads one is first.
            let _ = process.number.compare_exchange(0, LAST.fetch_add(1, SeqCst) + 1, SeqCst, SeqCst);
        }
        process.number.load(SeqCst)
    }

    /// Maps the memory unless that is done.
    pub(super) fn make() -> Result<()> {
        if Process::this().is_some() {
            return Ok(());
        }
        let length = size_of::<Process>().next_multiple_of(page_size());
        let mapping = Mapping::zeros(length)?;
        match mapping.advise(0..length, libc::MADV_WIPEONFORK) {
            Ok(()) | Err(Errno(libc::EINVAL)) => {}
            Err(errno) => return Err(errno),
        }
        if PROCESS.compare_exchange(null_mut(), mapping.base().cast().as_ptr(), SeqCst, SeqCst).is_ok() {
            std::mem::forget(mapping);
        }
        Ok(())
    }

    /// Replaces a page while no other thread does, or says that it cannot.
    pub(super) fn alone_with(page: usize, replace: impl FnOnce() -> bool) -> bool {
        let Some(process) = Process::this() else { return false };
        let lock = &process.locks[page % process.locks.len()];
        let mut round = 0;
        while lock.swap(true, SeqCst) {
            // The other thread may be of lower priority, so only sleeping lets it run for sure.
            let moment = libc::timespec { tv_sec: 0, tv_nsec: if round < 10 { 0 } else { 1_000_000 } };
            // SAFETY: a valid struct. Not the C library's nanosleep, where a thread can be cancelled.
            unsafe { libc::syscall(libc::SYS_nanosleep, &moment, null_mut::<libc::timespec>()) };
            round += 1;
        }
        let is_replaced = replace();
        lock.store(false, SeqCst);
        is_replaced
    }
}
