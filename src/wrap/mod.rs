//! Bytes into a descriptor: options, then backend -> fill -> seal.

mod descriptor;
mod options;

#[cfg(feature = "capi")]
pub(crate) use descriptor::check_open;
pub(crate) use descriptor::{before_sealing, inherit};
pub use descriptor::{path, reopen, reopen_inherited};
pub(crate) use options::{LoanOptions, Plan};
pub use options::{WrapOptions, wrap};
