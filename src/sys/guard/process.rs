//! Identifies this process, lets one thread work at a time, and detects faults that come again.
//!
//! The lock of a slot is held, with all signals blocked, while pages are replaced and while the
//! range or the notes change. Only the end of a guard clears the notes without the lock, because no
//! range is published then. The lock lies in memory that is zeros in a child made by fork. So no
//! child waits for a thread that it does not have.

use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst};

use crate::error::Errno;
use crate::sys::call::Result;
use crate::sys::mapping::Mapping;
use crate::sys::process::page_size;

/// State that a child made by fork does not inherit. Its memory is zeros in the child at first,
/// MADV_WIPEONFORK (Linux 4.14). Older kernels let the child inherit it.
pub(super) struct Process {
    /// Differs from the numbers of all processes that this one was forked from.
    number: AtomicU32,
    /// Locks. Each one serves some of the slots. A child must not wait for a thread that it does
    /// not have.
    locks: [AtomicBool; 512],
    /// How often pages were replaced.
    replacements: AtomicUsize,
    /// The last faults of threads on pages that had been replaced already. The lowest bits of a
    /// thread's number choose the place.
    retried: [AtomicUsize; 64],
}

/// The first guard maps it, and it is never unmapped.
static PROCESS: AtomicPtr<Process> = AtomicPtr::new(null_mut());

impl Process {
    fn this() -> Option<&'static Process> {
        // SAFETY: the pointer is null, or memory that is never unmapped and in which all zeros is
        // valid.
        unsafe { PROCESS.load(SeqCst).as_ref() }
    }

    /// Returns whether a guard was ever made.
    #[inline]
    pub(super) fn is_made() -> bool {
        !PROCESS.load(SeqCst).is_null()
    }

    /// Returns this process's number, which the first call chooses; 0 before there is a guard.
    pub(super) fn number() -> u32 {
        /// A child inherits it, and so continues to count from its parent's number.
        static LAST: AtomicU32 = AtomicU32::new(0);
        let Some(process) = Process::this() else { return 0 };
        if process.number.load(SeqCst) == 0 {
            // If several threads are here, one of them is first.
            let _ =
                process.number.compare_exchange(0, LAST.fetch_add(1, SeqCst) + 1, SeqCst, SeqCst);
        }
        process.number.load(SeqCst)
    }

    /// Maps the memory, unless that has been done.
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
            // The other thread may have a lower priority, so only sleep certainly lets it run.
            let moment =
                libc::timespec { tv_sec: 0, tv_nsec: if round < 10 { 0 } else { 1_000_000 } };
            // SAFETY: a valid struct. The C library's nanosleep is a cancellation point, so it is
            // not used here.
            unsafe { libc::syscall(libc::SYS_nanosleep, &moment, null_mut::<libc::timespec>()) };
            round += 1;
        }
        let result = body(process);
        lock.store(false, SeqCst);
        set_mask(libc::SIG_SETMASK, mask);
        Some(result)
    }

    /// Notes that pages have been replaced.
    pub(super) fn count_replacement(&self) {
        self.replacements.fetch_add(1, SeqCst);
    }

    /// Returns whether this is the first fault of this thread on this page since pages were last
    /// replaced.
    pub(super) fn is_first_fault(&self, page: usize) -> bool {
        // SAFETY: no preconditions. (Some systems are older than the C library's gettid.)
        let thread = unsafe { libc::syscall(libc::SYS_gettid) } as usize;
        let odd = 0x9e37_79b9_7f4a_7c15_u64 as usize;
        let mixed = [thread, page, self.replacements.load(SeqCst)];
        let fault =
            mixed.iter().fold(0, |sum: usize, part| (sum.rotate_left(23) ^ part).wrapping_mul(odd));
        self.retried[thread % self.retried.len()].swap(fault, SeqCst) != fault
    }
}

/// Changes the signal mask, rt_sigprocmask(2), including the signals that the C library keeps to
/// itself. Returns the mask from before.
fn set_mask(how: c_int, signals: u64) -> u64 {
    let mut before = 0u64;
    // SAFETY: both pointers refer to sets of the size that the kernel knows.
    unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, how, &signals, &mut before, size_of::<u64>())
    };
    before
}
