//! Huge pages for files in memory: whether the host gives them by itself, and from how many bytes on they can pay.

use crate::sys::features;

/// The fewest bytes for which a huge page can pay. An extent that is to be half empty takes as long to zero as a full one:
/// collapsing breaks even at half an extent (1 MiB: 174 µs against 173 µs by plain writes) and gains from there on (2 MiB:
/// 271 against 386), each measured side by side where page faults are quick; where they are slow it was 4 times as fast at
/// both. From here on the measured cost decides. It also bounds the memory that is over-allocated.
pub(crate) fn worth_an_extent(extent: u64) -> u64 {
    extent / 2
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
