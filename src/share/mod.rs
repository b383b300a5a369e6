//! Descriptors and memory that another process can use, safely on both sides.

mod dmabuf;
mod file_lock;
mod futex;
mod shm;
mod socket;
mod sweep;
mod sysv;
mod tempfile;
mod tree;
mod verify;

pub use dmabuf::export_dmabuf;
pub use file_lock::{FileLock, FileLockOptions, LockKind, file_lock, file_unlock};
pub use futex::{FutexWaitOptions, futex_wait, futex_wake};
pub use shm::{Shm, ShmOptions, unlink_shm};
pub use socket::{Peer, peer, receive, send};
pub use sweep::{SweepResult, sweep};
pub use sysv::{SysvOptions, remove_sysv};
pub use tempfile::{TempFile, TempFileOptions};
pub use verify::{Requirements, Verified};
