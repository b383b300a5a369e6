//! Descriptors and memory that another process can use, safely on both sides.

mod connection;
mod credentials;
mod dmabuf;
mod link;
mod lock;
mod named;
mod receive;
mod send;
mod sweep;
mod sysv;
mod transfer;
mod verify;
mod word;

pub use credentials::{Credentials, peer_credentials};
pub use dmabuf::export_dmabuf;
pub use link::{Link, link};
pub use lock::{Lock, lock, try_lock, unlock};
pub use named::{Named, NamedOptions, unlink};
pub use sweep::sweep;
pub use sysv::{SysvOptions, remove_sysv};
pub use transfer::{TransferOptions, receive, send};
#[cfg(feature = "capi")]
pub(crate) use verify::FOR_READING;
pub use verify::{Requirements, Unsealed};
pub use word::{wait, wake};
