//! The name of a file in errors.

use std::ffi::c_int;
use std::fmt::{Display, Formatter};
use std::path::Path;

/// The name of a file in errors.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    Path(&'a Path),
    Descriptor(c_int),
    /// The file of a map.
    Kept,
    /// Memory without a name.
    Memory,
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Path(path) => path.display().fmt(f),
            Name::Descriptor(fd) => write!(f, "descriptor {fd}"),
            Name::Kept => f.write_str("the map's file"),
            Name::Memory => f.write_str("memory"),
        }
    }
}
