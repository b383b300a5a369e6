//! Descriptors and memory that another process can use, safely on both sides.

mod connection;
mod credentials;
mod dmabuf;
mod file_lock;
mod futex;
mod receive;
mod send;
mod shm;
mod sweep;
mod sysv;
mod tempfile;
mod transfer;
mod tree;
mod verify;

pub use credentials::{Credentials, peer_credentials};
pub use dmabuf::export_dmabuf;
pub use file_lock::{FileLock, FileLockOptions, LockKind, file_lock, file_unlock};
pub use futex::{FutexWaitOptions, futex_wait, futex_wake};
pub use shm::{Shm, ShmOptions, unlink_shm};
pub use sweep::{SweepResult, sweep};
pub use sysv::{SysvOptions, remove_sysv};
pub use tempfile::{TempFile, TempFileOptions};
pub use transfer::{TransferOptions, receive, send};
#[cfg(feature = "capi")]
pub(crate) use verify::FOR_READING;
pub use verify::{Requirements, Unsealed};
