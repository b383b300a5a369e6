//! Flags that mean the same to several functions, and the allocation of the bits of all flags.
//!
//! `flags` is a `uint64_t`, and each bit has one meaning, so that a flag of another family is
//! -EINVAL. Bits 0–1 are common, 2–6 wrap, 8–18 map, 20–21 verify, 22 transfer, 24–27 shm, 28–32
//! System V. Bit 31 is no flag: it is set in all enumerated values, and no two of these values are
//! equal. So a value cannot be mistaken for a flag, or for a value of another enumeration.

/// Clears close-on-exec: every program that this process executes from now on, from any thread, has
/// the descriptor under the same number.
///
/// Warning: do not use this flag in a service that gives each upload to a child of its own. Every
/// child gets every such descriptor: in a trial, 159 of 160 children found more than one upload.
/// All children share one file offset, and each keeps the content alive.
/// - To give a descriptor to one child only, create it without this flag, and call
///   posix_spawn_file_actions_adddup2(3).
/// - To give a child a file offset of its own, call bytefd_reopen for it, and pass the result.
pub const BYTEFD_INHERIT: u64 = 1u64 << 0;
/// Lets a signal handler end the call: if one runs in the calling thread while the call waits, the
/// call returns -EINTR. That includes handlers that were set with SA_RESTART. Without this flag the
/// call continues to wait.
pub const BYTEFD_INTERRUPTIBLE: u64 = 1u64 << 1;
