//! Which process this is, one thread at a time, and faults that come again.
//!
//! The lock of a slot is held, with all signals blocked, while pages are replaced and while the
//! range or the notes change. It lies in memory that is zeros in a child made by fork, so no child
//! waits for a thread that it does not have.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst};

use crate::error::Errno;
use crate::sys::call::Result;
use crate::sys::mapping::Mapping;
use crate::sys::process::page_size;

/// What a child made by fork has not inherited from its parent: memory that is zeros there at
/// first, MADV_WIPEONFORK (Linux 4.14; before, it is inherited).
pub(super) struct Process {
    /// Different from that of all processes that this one was forked from.
    number: AtomicU32,
    /// Each serves some of the slots. A child must not wait for a thread that it does not have.
    locks: [AtomicBool; 512],
    /// How often pages were replaced.
    replacements: AtomicUsize,
    /// What threads faulted on last although it had been replaced; the lowest bits of a thread's
    /// number choose the place.
    retried: [AtomicUsize; 64],
}

/// Mapped by the first guard, for good.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(null_mut());

impl Process {
    fn this() -> Option<&'static Process> {
        // SAFETY: null, or mapped for good, and all zeros is a valid state.
        unsafe { PROCESS.load(SeqCst).as_ref() }
    }

    /// Whether a guard was ever made.
    #[inline]
    pub(super) fn is_made() -> bool {
        !PROCESS.load(SeqCst).is_null()
    }

    /// This process's number, given to it when it is first asked for; 0 before there is a guard.
    pub(super) fn number() -> u32 {
        /// Inherited, so that a child goes on counting where its parent was.
        static LAST: AtomicU32 = AtomicU32::new(0);
        let Some(process) = Process::this() else { return 0 };
        if process.number.load(SeqCst) == 0 {
            // Of several threads one is first.
            let _ =
                process.number.compare_exchange(0, LAST.fetch_add(1, SeqCst) + 1, SeqCst, SeqCst);
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
        if PROCESS
            .compare_exchange(null_mut(), mapping.base().cast().as_ptr(), SeqCst, SeqCst)
            .is_ok()
        {
            std::mem::forget(mapping);
        }
        Ok(())
    }

    /// Runs `body` while no other thread runs one for this slot. `None` before there is a guard.
    pub(super) fn alone_with<R>(slot: usize, body: impl FnOnce(&Process) -> R) -> Option<R> {
        let process = Process::this()?;
        let lock = &process.locks[slot % process.locks.len()];
        // A handler that interrupts `body` and meets a lost page would wait for its own thread.
        let mask = set_mask(libc::SIG_BLOCK, !0);
        let mut round = 0;
        while lock.swap(true, SeqCst) {
            // The other thread may be of lower priority, so only sleeping lets it run for sure.
            let moment =
                libc::timespec { tv_sec: 0, tv_nsec: if round < 10 { 0 } else { 1_000_000 } };
            // SAFETY: a valid struct. Not the C library's nanosleep, where a thread can be
            // cancelled.
            unsafe { libc::syscall(libc::SYS_nanosleep, &moment, null_mut::<libc::timespec>()) };
            round += 1;
        }
        let result = body(process);
        lock.store(false, SeqCst);
        set_mask(libc::SIG_SETMASK, mask);
        Some(result)
    }

    /// Pages have been replaced.
    pub(super) fn count_replacement(&self) {
        self.replacements.fetch_add(1, SeqCst);
    }

    /// Whether this is the first fault of this thread on this page since pages were last replaced.
    pub(super) fn is_first_fault(&self, page: usize) -> bool {
        // SAFETY: no preconditions. (The C library's gettid is younger than some systems.)
        let thread = unsafe { libc::syscall(libc::SYS_gettid) } as usize;
        let odd = 0x9e37_79b9_7f4a_7c15_u64 as usize;
        let mixed = [thread, page, self.replacements.load(SeqCst)];
        let fault =
            mixed.iter().fold(0, |sum: usize, part| (sum.rotate_left(23) ^ part).wrapping_mul(odd));
        self.retried[thread % self.retried.len()].swap(fault, SeqCst) != fault
    }
}

/// rt_sigprocmask(2), with the signals too that the C library keeps to itself. Returns the mask
/// from before.
fn set_mask(how: c_int, signals: u64) -> u64 {
    let mut before = 0u64;
    // SAFETY: both are sets of the size that the kernel knows.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, how, &signals, &mut before, size_of::<u64>())
    };
    before
}
