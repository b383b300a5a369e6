//! Turns bytes into file descriptors, and maps files as bytes.
//!
//! ```
//! use std::io::{Seek, SeekFrom};
//! // A function that needs a descriptor gets one of a file in memory.
//! let length = bytefd::scan(b"hello", |fd| {
//!     std::fs::File::open(bytefd::path(fd))?.seek(SeekFrom::End(0))
//! })??;
//! assert_eq!(length, 5);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! - [`wrap()`] copies bytes into a sealed file and returns its descriptor.
//! - [`scan()`] lends such a descriptor to a callback, and closes it also after a panic. A [`Pool`]
//!   lends cached files.
//! - [`MapOptions::open`] maps a file as bytes.
//! - [`MapOptions::memory`] maps new memory to fill in place. [`Map::seal`] turns it into a sealed
//!   descriptor.
//! - [`MapWriter`] is an [`io::Write`](std::io::Write) whose content becomes a sealed descriptor.
//! - [`Sealed`] is a slice of bytes that no process can change: memory that was sealed, or a
//!   descriptor that [`share::Requirements`] accepted.
//! - [`adopt`] turns an existing buffer into a file. Buffer and file are then the same memory.
//! - [`WrapOptions::wrap_stream`] turns a pipe or socket into a descriptor,
//!   [`WrapOptions::wrap_reader`] a reader.
//! - [`PassFd`] gives a descriptor only to the children of one `Command`.
//! - [`share`] gives descriptors and memory to other processes.
//!
//! Code that reads the descriptor, such as a virus scanner, gives the same verdict as for a file on
//! disk. By default the file has no name, so nothing is left after `kill -9`. Two limits concern
//! services: files from a pool usually have no seals, and a full memory cgroup means SIGKILL
//! instead of an error ([`WrapOptions::spill_threshold`]).
//!
//! Linux only. The C functions (feature `capi`, on by default) are described in `include/bytefd.h`.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("bytefd is for 64-bit Linux");

mod backend;
mod cheaper;
mod command;
mod error;
#[cfg(feature = "capi")]
pub mod ffi;
mod fill;
pub mod host;
mod map;
mod ownership;
mod pool;
mod scan;
pub mod share;
mod stream;
mod sys;
mod wrap;

pub use backend::Backend;
pub use command::PassFd;
pub use error::{Error, Result};
pub use map::{
    Access, Advice, Discard, Flush, Map, MapOptions, MapWriter, Protection, SealError, Sealed,
    adopt,
};
pub use pool::{Pool, PoolMethod, PoolOptions, PoolStats};
pub use scan::{Scan, scan};
pub use stream::StreamOptions;
pub use wrap::{WrapOptions, path, reopen, reopen_inherited, wrap};
