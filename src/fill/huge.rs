//! Huge pages for files in memory: whether the host gives them by itself, and from how many bytes
//! on they can pay.

use crate::sys::features;

/// The fewest bytes for which a huge page can pay. An extent takes as long to zero however little
/// of it is to be filled. Where page faults are slow, a huge page is 1.8 times as fast at a quarter
/// of an extent (512 KiB), and 3.4 times at a half; where they are quick, it breaks even at a half.
/// From here on the measured time decides. It also bounds the memory that is allocated in vain:
/// three times what is used.
pub(crate) fn worth_an_extent(extent: u64) -> u64 {
    extent / 4
}

/// How large files get their pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The kernel has no huge pages for shared memory.
    Write,
    /// The host gives huge pages by itself, once the size is set.
    SizeThenWrite,
    /// Extents are collapsed into huge pages.
    Collapse,
}

/// The way in use on this host.
pub(crate) fn way() -> Way {
    match features::shmem_enabled() {
        _ if features::huge_page_size() == 0 => Way::Write,
        Some("always" | "within_size" | "force") => Way::SizeThenWrite,
        _ if features::may_collapse() => Way::Collapse,
        _ => Way::Write,
    }
}
