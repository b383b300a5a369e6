//! Flags that mean the same to several functions, and how the bits of all flags are allotted.
//!
//! `flags` is a `uint64_t` everywhere, and a bit means one thing only, so that a flag of another
//! family is -EINVAL and not something else: 0–1 common, 2–6 wrap, 8–18 map, 20–21 verify, 22
//! transfer, 24–27 shm, 28–32 System V. Bit 31 is no flag: the enumerated values have it, and no
//! two of them are the same, so that none is taken for a flag or for another.

/// Clears close-on-exec: every program that this process executes from now on, from any thread, has
/// the descriptor under the same number.
///
/// Warning: a service that starts several children must not use this flag for content of one of
/// them. Every child gets every such descriptor. In a trial, 159 of 160 children found more than
/// one upload. All of them share one file offset, and each keeps the content alive.
/// - To give a descriptor to one child, make it without this flag, and call
///   posix_spawn_file_actions_adddup2(3).
/// - To give each child a file offset of its own, pass it the result of its own bytefd_reopen.
pub const BYTEFD_INHERIT: u64 = 1u64 << 0;
/// Lets a signal handler end the call: if one runs while the call waits, the call returns -EINTR.
/// That includes handlers that were set with SA_RESTART. Without this flag the call continues to
/// wait.
pub const BYTEFD_INTERRUPTIBLE: u64 = 1u64 << 1;
