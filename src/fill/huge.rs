//! Huge pages for files in memory: whether the host gives them by itself, and from which size they
//! can pay.

use crate::sys::features;

/// Returns the smallest number of bytes for which a huge page can pay off. The kernel zeroes the
/// whole extent, however few bytes fill it. With slow page faults a huge page is 1.8 times as fast
/// as small ones at a quarter of an extent (512 KiB). At a half it is 3.4 times as fast. With quick
/// page faults it breaks even at a half. From a quarter on, the measured time decides. This also
/// bounds the unused memory: at most three times what is used.
pub(crate) fn worth_an_extent(extent: u64) -> u64 {
    extent / 4
}

/// How large files get their pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Plain writes: the kernel has no huge pages, they exceed `MAX_HUGE_PAGE`, or it refuses
    /// MADV_COLLAPSE.
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
