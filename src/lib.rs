//! Bytes in, file descriptor out; and files as bytes.
//!
//! - [`wrap()`] copies bytes into a sealed file and gives its descriptor away.
//! - [`scan()`] lends such a descriptor to a closure, and closes it also after a panic; a [`Pool`]
//!   lends cached files.
//! - [`MapOptions::open`] maps a file as bytes.
//! - [`MapOptions::memory`] is memory to be filled in place, which becomes a sealed descriptor; a
//!   [`MapWriter`] grows it as it is written.
//! - [`Sealed`] is a slice of bytes that nobody can change: memory that was sealed, or a descriptor
//!   that [`share::Requirements`] accepted.
//! - [`adopt`] makes a buffer its own file, without a second copy.
//! - [`WrapOptions::wrap_stream`] turns a pipe or socket into a descriptor,
//!   [`WrapOptions::wrap_reader`] a reader.
//! - [`PassFd`] gives a descriptor to one child process.
//! - [`share`] gives descriptors and memory to other processes.
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
