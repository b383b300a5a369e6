//! System V shared memory segments, sysvipc(7).

use std::ptr::{NonNull, null};

use super::call::{Result, check, last_errno};
use crate::error::Errno;

/// What the kernel knows of a segment, of `struct shmid_ds`.
pub(crate) struct Segment {
    pub length: usize,
}

/// shmget(2): the number of a segment.
pub(crate) fn get(key: i32, length: usize, flags: libc::c_int) -> Result<i32> {
    // SAFETY: touches no memory.
    check(unsafe { libc::shmget(key, length, flags) })
}

/// shmctl(2), IPC_STAT.
pub(crate) fn stat(segment: i32) -> Result<Segment> {
    // SAFETY: all-zero is a valid shmid_ds.
    let mut found: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: a writable shmid_ds.
    check(unsafe { libc::shmctl(segment, libc::IPC_STAT, &mut found) })?;
    Ok(Segment { length: found.shm_segsz })
}

/// shmat(2), where the kernel likes.
pub(crate) fn attach(segment: i32, flags: libc::c_int) -> Result<NonNull<u8>> {
    // SAFETY: without an address no existing memory changes.
    let address = unsafe { libc::shmat(segment, null(), flags) };
    if address.addr() == usize::MAX {
        return Err(last_errno());
    }
    NonNull::new(address.cast()).ok_or(Errno(libc::ENOMEM))
}

/// shmdt(2) of what was attached at this address, and is not used.
pub(crate) fn detach(address: NonNull<u8>) {
    // SAFETY: the caller has attached it, and nothing refers to it.
    unsafe { libc::shmdt(address.as_ptr().cast()) };
}

/// shmctl(2), IPC_RMID.
pub(crate) fn remove(segment: i32) -> Result<()> {
    // SAFETY: without a shmid_ds no memory is touched.
    check(unsafe { libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// What the kernel tells everybody about a segment, in /proc/sysvipc/shm.
pub(crate) struct Listed {
    pub key: i32,
    pub number: i32,
    /// The process that made it, as this one would call it.
    pub creator: i32,
    /// How many times it is attached.
    pub attached: u64,
    /// The user that made it.
    pub user: u32,
}

/// All segments, or none if there is no such list, proc_sysvipc(5).
pub(crate) fn list() -> Vec<Listed> {
    let text = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let listed = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        Some(Listed {
            key: fields.first()?.parse().ok()?,
            number: fields.get(1)?.parse().ok()?,
            creator: fields.get(4)?.parse().ok()?,
            attached: fields.get(6)?.parse().ok()?,
            user: fields.get(9)?.parse().ok()?,
        })
    };
    // The heading is none.
    text.lines().filter_map(listed).collect()
}
