//! Bytes into a descriptor: options, then backend -> fill -> seal.

mod descriptor;
mod options;

pub(crate) use descriptor::before_sealing;
#[cfg(feature = "capi")]
pub(crate) use descriptor::check_open;
pub use descriptor::{path, reopen};
pub use options::{WrapOptions, wrap};
