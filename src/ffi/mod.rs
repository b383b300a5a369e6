//! The C functions of `include/bytefd.h`. A Rust program does not need this module.
//!
//! Each function checks its arguments, calls the public Rust API, and turns the result into an int
//! and a `bytefd_error`. The doc comments are the header's text, so they address C programmers.
//!
//! Every function uses `arguments` (numbers and pointers of C), `options` (structs that grow,
//! flags, choices), `results` (values for C), `cancellation` (threads that are cancelled) and
//! `boundary` (panics and errors). Each of these files imports only files that this list names
//! before it. The other files contain the functions, one file for each family. An option struct
//! contains its size, and is read as openat2(2) reads struct open_how. Most functions are a single
//! expression:
//!
//! ```text
//! // SAFETY: the header asks for valid options and a writable pointer.
//! boundary(error, || unsafe {
//!     give(map, "map", || map_options(options)?.memory(length).map(bytefd_map))
//! })
//! ```

// The safety contract of each function is the header's text itself.
#![allow(clippy::missing_safety_doc)]
// The names are C's.
#![allow(non_camel_case_types)]

mod adopt;
mod arguments;
mod boundary;
mod cancellation;
mod dmabuf;
mod file_lock;
mod flags;
mod futex;
mod host;
mod map;
mod map_content;
mod map_options;
mod map_range;
mod options;
mod pool;
mod reader;
mod requirements;
mod results;
mod scan;
mod shm;
mod short_names;
mod stream;
mod sysv;
mod tempfile;
mod transfer;
mod version;
mod wrap;
mod wrap_options;

pub use adopt::*;
pub use boundary::bytefd_error;
pub use dmabuf::*;
pub use file_lock::*;
pub use flags::*;
pub use futex::*;
pub use host::*;
pub use map::*;
pub use map_content::*;
pub use map_options::*;
pub use map_range::*;
pub use pool::*;
pub use reader::*;
pub use requirements::*;
pub use scan::*;
pub use shm::*;
pub use short_names::*;
pub use stream::*;
pub use sysv::*;
pub use tempfile::*;
pub use transfer::*;
pub use version::*;
pub use wrap::*;
pub use wrap_options::*;
