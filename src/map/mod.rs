//! Maps files and memory as bytes.
//!
//! `options`, `source` and `file` make a map. The path is examined before it is opened, so that a
//! FIFO or device is never touched. The file is created or grown if the options say so, then
//! mapped. Maps for writing keep the descriptor, because resizing needs it. Guarded maps keep it to
//! read the file's length. The others close it. Memory has a memory file behind it, or nothing if
//! it is private.
//!
//! Maps for reading are private mappings. They forbid stores and show changes of the file. A
//! process that maps a file for reading does not prevent the file from being sealed.
//!
//! `map` is the map itself. `copies`, `range`, `advice`, `resize` and `seal` have its operations.
//! Every operation takes a range of bytes, checks it, and widens it to the pages that hold it. An
//! operation that loses content narrows the range to the pages that lie entirely within it.
//!
//! A `Sealed` contains bytes that no process can change. It dereferences to a slice, because its
//! file can neither change nor shrink. A `MapWriter` is an `io::Write` whose content becomes a
//! sealed file, and `adopt` turns a buffer into a file.

mod adopt;
mod advice;
mod copies;
mod file;
mod map;
mod name;
mod options;
mod range;
mod resize;
mod seal;
mod sealed;
mod source;
mod writer;

pub use adopt::adopt;
pub use advice::{Advice, Discard};
pub use map::Map;
pub use options::{Access, MapOptions};
pub use range::{Flush, Protection};
pub use sealed::{SealError, Sealed};
pub use writer::MapWriter;
