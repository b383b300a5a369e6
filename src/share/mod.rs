//! Descriptors and memory that another process can use, safely on both sides.

mod dmabuf;
mod link;
mod lock;
mod named;
mod socket;
mod sweep;
mod sysv;
mod verify;
mod word;

pub use dmabuf::export_dmabuf;
pub use link::{Link, link};
pub use lock::{Lock, lock, try_lock, unlock};
pub use named::{Named, NamedOptions, unlink};
pub use socket::{Peer, peer, receive, send};
pub use sweep::sweep;
pub use sysv::{SysvOptions, remove_sysv};
pub use verify::{Requirements, Verified};
pub use word::{wait, wake};
