//! Detects what this kernel and host can do. Each feature is probed by trying it once, and the
//! answer is remembered. A try that proves nothing (no descriptor was free, for example) is not
//! remembered. All features are in this file, and the other rooms ask here.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::call::Result;
use super::file;
use super::mapping::{Content, Mapping, MmapOptions};
use super::probed::Probed;
use crate::error::Errno;

/// memfd_create(2) itself, Linux 3.17. Only a success is remembered, not that the call is missing.
pub(crate) static MEMFD: Probed = Probed::new();

/// MFD_EXEC and MFD_NOEXEC_SEAL of memfd_create(2), Linux 6.3.
pub(crate) static MFD_NOEXEC_SEAL: Probed = Probed::new();

/// Shared mappings for reading of a write-sealed file through a descriptor that is open for
/// writing, Linux 6.7. Descriptors that are open for reading only can be mapped on every kernel.
static SHARED_MAPPING_OF_SEALED_FILE: Probed = Probed::new();

/// MADV_COLLAPSE of files in memory, Linux 6.1.
static MADV_COLLAPSE: Probed = Probed::new();

/// O_DIRECT for files in memory, Linux 6.6.
pub(crate) static O_DIRECT_OF_MEMFD: Probed = Probed::new();

/// process_vm_readv(2) in this process: needs CONFIG_CROSS_MEMORY_ATTACH, and filters of system
/// calls may refuse it.
pub(crate) static PROCESS_VM_READV: Probed = Probed::new();

/// PROCMAP_QUERY of /proc/self/maps, Linux 6.11.
pub(crate) static PROCMAP_QUERY: Probed = Probed::new();

/// Whether each change of a file in memory changes its `st_ctim`, Linux 6.13.
static FINE_TIME_OF_CHANGE: Probed = Probed::new();

/// Number of bytes in a huge page; 0 where the kernel has none, or where it exceeds
/// [`MAX_HUGE_PAGE`].
static HUGE_PAGE_SIZE: Probed = Probed::new();

/// The host's policy on huge pages for files in memory, `shmem_enabled`: an index of [`POLICIES`],
/// or their number for an unknown word.
static SHMEM_ENABLED: Probed = Probed::new();
const POLICIES: [&str; 6] = ["always", "within_size", "advise", "never", "deny", "force"];

/// Returns whether the kernel maps this write-sealed file shared and for reading, through this
/// descriptor for reading and writing.
pub(crate) fn maps_sealed_file_shared(sealed: BorrowedFd<'_>) -> bool {
    let probe = || {
        let shared = MmapOptions { protection: libc::PROT_READ, flags: libc::MAP_SHARED };
        match Mapping::new(1, Content::File(sealed, 0), shared) {
            Ok(_) => Some(true),
            Err(Errno(libc::EPERM)) => Some(false),
            Err(_) => None,
        }
    };
    SHARED_MAPPING_OF_SEALED_FILE.get(probe) == Some(1)
}

/// Returns the same as [`maps_sealed_file_shared`], for a caller that has no sealed file yet. Makes
/// one if the answer is not known.
pub(crate) fn maps_sealed_files_shared() -> Result<bool> {
    if let Some(answer) = SHARED_MAPPING_OF_SEALED_FILE.known() {
        return Ok(answer == 1);
    }
    let sealed = file::memfd_create(c"bytefd", libc::MFD_ALLOW_SEALING)?;
    file::add_seals(sealed.as_fd(), libc::F_SEAL_WRITE)?;
    Ok(maps_sealed_file_shared(sealed.as_fd()))
}

/// Returns whether each change of a file in memory changes its `st_ctim`, if the time was read
/// before. Otherwise the clock behind that time stands still for some milliseconds, and a change in
/// between does not show.
pub(crate) fn shows_each_change() -> bool {
    let probe = || {
        let fd = file::memfd_create(c"bytefd", 0).ok()?;
        let mut times =
            (0..4).map(|_| file::fchmod(fd.as_fd(), 0o600).and_then(|()| file::fstat(fd.as_fd())));
        // A clock that stands still may move once while this runs.
        let first = times.next()?.ok()?.changed;
        times.try_fold((first, true), |(before, fine), stat| {
            let now = stat.ok()?.changed;
            Some((now, fine && now != before))
        })
    };
    FINE_TIME_OF_CHANGE.get(|| probe().map(|(_, fine)| fine)) == Some(1)
}

/// Number of MADV_COLLAPSE in a row that failed with EINVAL. The kernel fails so if it does not
/// know the advice, or if the host's settings deny it. An obstacle of the moment has the same
/// errno, so one failure proves nothing.
static COLLAPSE_REFUSALS: AtomicU32 = AtomicU32::new(0);
pub(crate) const COLLAPSE_REFUSALS_BELIEVED: u32 = 3;

/// Returns whether MADV_COLLAPSE is worth trying.
pub(crate) fn may_collapse() -> bool {
    !MADV_COLLAPSE.is_missing()
}

/// Notes whether MADV_COLLAPSE worked or failed with EINVAL.
pub(crate) fn note_collapse(worked: bool) {
    if worked {
        COLLAPSE_REFUSALS.store(0, Relaxed);
    } else if COLLAPSE_REFUSALS.fetch_add(1, Relaxed) + 1 >= COLLAPSE_REFUSALS_BELIEVED {
        MADV_COLLAPSE.remember(false);
    }
}

/// Huge pages above this size are not used. Where pages have 16 KiB or 64 KiB, a huge one has 32
/// MiB or 512 MiB, more than most files.
const MAX_HUGE_PAGE: u64 = 4 << 20;

/// Returns the size of a huge page in bytes; 0 where the kernel has none, or they are too large.
pub(crate) fn huge_page_size() -> u64 {
    let size =
        |text: String| text.trim().parse().ok().filter(|size| *size <= MAX_HUGE_PAGE).unwrap_or(0);
    let probe = || huge_page_setting("hpage_pmd_size").map(size);
    HUGE_PAGE_SIZE.get(probe).unwrap_or(0)
}

/// Returns the host's policy on huge pages for files in memory: the chosen word of `shmem_enabled`.
pub(crate) fn shmem_enabled() -> Option<&'static str> {
    let probe = || {
        let words = huge_page_setting("shmem_enabled")?;
        let chosen = words.split('[').nth(1).and_then(|rest| rest.split(']').next());
        Some(POLICIES.iter().position(|policy| Some(*policy) == chosen).unwrap_or(POLICIES.len())
            as u64)
    };
    POLICIES.get(SHMEM_ENABLED.get(probe)? as usize).copied()
}

/// Returns what /sys says about huge pages: empty if there is no such file, `None` if it cannot be
/// read at the moment.
fn huge_page_setting(name: &str) -> Option<String> {
    match std::fs::read_to_string(format!("/sys/kernel/mm/transparent_hugepage/{name}")) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(String::new()),
        Err(_) => None,
    }
}
