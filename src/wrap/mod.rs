//! Bytes into a descriptor: options, then backend -> fill -> seal -> descriptor.
//!
//! 1. The options are checked against each other and become a plan.
//! 2. A backend makes an empty file that has no name and that no child inherits.
//! 3. `fill` writes the bytes; the file offset stays 0.
//! 4. The file is sealed and gets its mode.
//! 5. It is opened again read-only, where the kernel or the options ask for it.
//! 6. Close-on-exec is cleared last, if at all.
//!
//! The caller sees the descriptor when all of that is done. A child that is forked meanwhile can
//! have a mapping of the file, and F_SEAL_WRITE is EBUSY until the child executes or ends. Then the
//! file is made once more by the kernel's copy, for which nothing is mapped.

mod descriptor;
mod options;

#[cfg(feature = "capi")]
pub(crate) use descriptor::check_open;
pub(crate) use descriptor::{before_sealing, inherit};
pub use descriptor::{path, reopen, reopen_inherited};
pub(crate) use options::{LoanOptions, Plan};
pub use options::{WrapOptions, wrap};
