//! Asks the kernel about this process, for the time, and for random bytes.

use std::io::Read;

use super::call::{Result, retry};
use super::file;
use super::probed::Probed;
use crate::error::Errno;

/// Returns the number of bytes in a page, a power of two.
pub(crate) fn page_size() -> usize {
    static PAGE_SIZE: Probed = Probed::new();
    // SAFETY: sysconf has no preconditions. It cannot fail for _SC_PAGESIZE.
    let probe = || Some(unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64);
    PAGE_SIZE.get(probe).expect("the probe always answers") as usize
}

/// Returns nanoseconds since a moment before this process began, on one clock for all threads.
pub(crate) fn monotonic_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable. Every kernel since Linux 2.6 has the clock; without it the time
    // is 0.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Returns the largest size that this process may give a file. Beyond it the kernel sends SIGXFSZ,
/// so callers ask first.
pub(crate) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is a valid rlimit. If the call is refused, no limit is assumed.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
    limit.rlim_cur
}

/// Returns whether this program has more privileges than its caller (set-user-ID and the like).
/// Then it must not trust the environment; see AT_SECURE in getauxval(3).
pub(crate) fn is_privileged_exec() -> bool {
    // SAFETY: getauxval has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Returns 128 unguessable bits.
pub(crate) fn random() -> Result<u128> {
    let mut bytes = [0u8; 16];
    // SAFETY: the pointer and length are those of `bytes`. Up to 256 bytes are never delivered
    // partially, getrandom(2).
    match retry(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) }) {
        // Linux before 3.17, which has no memfd either.
        Err(Errno(libc::ENOSYS)) => {
            let mut device = std::fs::File::open("/dev/urandom").map_err(Errno::from)?;
            device.read_exact(&mut bytes).map_err(Errno::from)?;
        }
        result => drop(result?),
    }
    Ok(u128::from_ne_bytes(bytes))
}

/// Returns the end of an error message about a file of /proc: a note if /proc is not mounted,
/// otherwise nothing.
pub(crate) fn no_proc() -> &'static str {
    if file::stat(c"/proc/self/fd").is_err() { " (/proc is not mounted)" } else { "" }
}

/// Returns whether a filter restricts the system calls of this thread, or may do so: seccomp(2).
pub(crate) fn is_filtered() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP) != 0 }
}

/// Returns the effective user ID.
pub(crate) fn user() -> u32 {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() }
}
