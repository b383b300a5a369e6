//! Turns bytes into a descriptor: options, then backend -> fill -> seal -> descriptor.
//!
//! 1. The options are checked against each other and become a plan.
//! 2. A backend makes an empty file that is in no directory, with a close-on-exec descriptor.
//! 3. `fill` writes the bytes; the file offset stays 0.
//! 4. The file is sealed and gets its mode.
//! 5. It is opened again read-only, where the kernel or the options require it.
//! 6. If the caller asked for inheritance, close-on-exec is cleared last.
//!
//! The caller gets the descriptor after the last step. A child that is forked meanwhile can have a
//! mapping of the file. F_SEAL_WRITE then fails with EBUSY until the child calls execve(2) or ends.
//! In that case a second file is made, and the kernel copies the bytes. Extents are then mapped
//! only privately and for reading, which does not prevent sealing.

mod descriptor;
mod options;

#[cfg(feature = "capi")]
pub(crate) use descriptor::check_open;
pub(crate) use descriptor::{before_sealing, inherit};
pub use descriptor::{path, reopen, reopen_inherited};
pub(crate) use options::{LoanOptions, Plan};
pub use options::{WrapOptions, wrap};
