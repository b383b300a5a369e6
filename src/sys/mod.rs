//! Wraps system calls in safe functions, one file for each kind. No other room calls functions of
//! libc.
//!
//! `features` says what the kernel can do, and `probed` remembers the answers. `guard` is the
//! handler for SIGBUS. `copy` survives a lost page, and `source` tells which memory cannot be lost.
//! `buffer` is memory that is filled without being cleared. `kept` keeps descriptors for the next
//! use, and `shared` holds descriptors that several threads use. `private_tmpfs` is a file system
//! of this process alone, which a `child` mounts.

pub(crate) mod buffer;
mod call;
mod child;
pub(crate) mod command;
pub(crate) mod copy;
pub(crate) mod directory;
pub(crate) mod features;
pub(crate) mod file;
pub(crate) mod file_lock;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod guard;
pub(crate) mod kept;
pub(crate) mod mapping;
pub(crate) mod maps;
#[cfg(test)]
mod planted;
pub(crate) mod private_tmpfs;
mod probed;
pub(crate) mod process;
pub(crate) mod region;
pub(crate) mod shared;
pub(crate) mod socket;
pub(crate) mod source;
pub(crate) mod sysv;
pub(crate) mod udmabuf;
pub(crate) mod wait;
pub(crate) mod window;

pub(crate) use call::Result;
pub(crate) use process::{file_size_limit, is_privileged_exec, monotonic_time, page_size, random};
