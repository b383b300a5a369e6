//! The flags that several functions know. Each group of flags has bits of its own, so that a flag in a wrong place is refused.
//! Bit 31 is not a flag: it marks the values of enumerated members. These are bits 0 and 1; wrapping has 2 to 7, maps 8 to 18,
//! descriptors between processes 20 to 23, named memory 24 to 27, System V 28 to 32.

/// A signal handler that runs while the call waits makes it return -EINTR, also one that was installed with SA_RESTART.
pub const BYTEFD_INTERRUPTIBLE: u64 = 1u64 << 1;
