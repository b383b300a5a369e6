//! Parses lines of /proc/self/maps.

use std::ops::Range;

/// A line of /proc/self/maps, proc(5).
pub(crate) struct Region {
    pub addresses: Range<usize>,
    /// Text like "rw-p".
    pub permissions: String,
    /// The path of a file, or a name of the kernel's such as `[heap]`. Empty if there is neither.
    pub name: String,
}

impl Region {
    /// Parses a line like `7f0000000000-7f0000001000 rw-p 00000000 00:00 0      [heap]`.
    pub fn parse(line: &str) -> Option<Region> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let permissions = fields.next()?.to_string();
        // Skips offset, device and inode. The name is padded.
        let name = fields.nth(3).unwrap_or_default().trim_start_matches(' ').to_string();
        Some(Region { addresses: address(start)?..address(end)?, permissions, name })
    }
}
