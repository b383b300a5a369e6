//! Flags that mean the same to several functions, and how the bits of all flags are allotted.
//!
//! `flags` is a `uint64_t` everywhere, and a bit means one thing only, so that a flag of another
//! family is -EINVAL and not something else: 0–1 common, 2–6 wrap, 8–18 map, 20–21 verify, 22
//! transfer, 24–27 shm, 28–32 System V. Bit 31 is no flag: the enumerated values have it, and no
//! two of them are the same, so that none is taken for a flag or for another.

/// No close-on-exec: every program that this process executes from now on, from any thread, has the
/// descriptor under the same number. Warning: those programs share one file offset, and each keeps
/// the content alive. To give a descriptor to one child, call posix_spawn_file_actions_adddup2(3)
/// with a descriptor that was made without this flag; to give a child an offset of its own, pass it
/// what bytefd_reopen returns with this flag.
pub const BYTEFD_INHERIT: u64 = 1u64 << 0;
/// A signal handler that runs while the call waits ends it with -EINTR, also one that was set with
/// SA_RESTART. Without this flag the call goes on.
pub const BYTEFD_INTERRUPTIBLE: u64 = 1u64 << 1;
