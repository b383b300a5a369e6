//! The flags that functions of several families take.
//!
//! Flags of different families are different bits of 64, so that a flag in the wrong place is an
//! error. Bit 31 is left out: it is set in every value of an enumeration.

/// A signal handler that runs in the thread while the function waits makes it return -EINTR, also
/// one with SA_RESTART.
pub const BYTEFD_INTERRUPTIBLE: u64 = 1u64 << 1;
