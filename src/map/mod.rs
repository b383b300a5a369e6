//! A file or memory as bytes.

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
mod source;
mod writer;

pub use adopt::adopt;
pub use advice::Advice;
pub use map::Map;
pub use options::{Access, MapOptions};
pub use range::{Flush, Protection};
pub use writer::MapWriter;
