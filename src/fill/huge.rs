//! Huge pages for files in memory: whether the host gives them by itself, and from which size they
//! can pay.

use crate::sys::features;

/// Returns the smallest number of bytes for which a huge page can pay. Zeroing an extent takes the
/// same time for any number of bytes to fill. With slow page faults a huge page is 1.8 times as
/// fast at a quarter of an extent (512 KiB), 3.4 times at a half. With quick page faults it breaks
/// even at a half. From here on the measured time decides. The limit also bounds the unused memory:
/// at most three times what is used.
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

/// Returns the way in use on this host.
pub(crate) fn way() -> Way {
    match features::shmem_enabled() {
        _ if features::huge_page_size() == 0 => Way::Write,
        Some("always" | "within_size" | "force") => Way::SizeThenWrite,
        _ if features::may_collapse() => Way::Collapse,
        _ => Way::Write,
    }
}
