//! Shows a file or memory as bytes.
//!
//! `options`, `source` and `file` make a map. The path is examined before it is opened, so that a
//! FIFO or device is never touched. The file is created or grown if the options say so, then
//! mapped. Maps for writing keep the descriptor, because resizing needs it. Guarded maps keep it to
//! read the file's length. The others close it. Memory has a memory file behind it, or nothing if
//! it is private.
//!
//! Maps for reading are private mappings. Nothing can be stored, changes of the file show, and no
//! reading peer prevents a file from being sealed.
//!
//! `map` is the map itself. `copies`, `range`, `advice`, `resize` and `seal` have its operations.
//! Every operation takes a range of bytes, checks it, and widens it to the pages that hold it. An
//! operation that loses content narrows the range to the pages that lie entirely within it.
//!
//! `sealed` is bytes that no process can change. It is a slice because nothing can change or shrink
//! its file. `writer` is an `io::Write` whose content becomes a descriptor, and `adopt` makes a
//! buffer its own file.

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
