//! System V shared memory segments, sysvipc(7).

use std::ptr::{NonNull, null};

use super::call::{Result, check, last_errno};
use crate::error::Errno;

/// Properties of a segment, from `struct shmid_ds`.
pub(crate) struct Segment {
    pub length: usize,
}

/// Returns the number of a segment, shmget(2).
pub(crate) fn get(key: i32, length: usize, flags: libc::c_int) -> Result<i32> {
    // SAFETY: touches no memory.
    check(unsafe { libc::shmget(key, length, flags) })
}

/// Returns the properties of a segment, shmctl(2), IPC_STAT.
pub(crate) fn stat(segment: i32) -> Result<Segment> {
    // SAFETY: all-zero is a valid shmid_ds.
    let mut found: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is a writable shmid_ds.
    check(unsafe { libc::shmctl(segment, libc::IPC_STAT, &mut found) })?;
    Ok(Segment { length: found.shm_segsz })
}

/// Attaches a segment at an address that the kernel chooses, shmat(2).
pub(crate) fn attach(segment: i32, flags: libc::c_int) -> Result<NonNull<u8>> {
    // SAFETY: without an address no existing memory changes.
    let address = unsafe { libc::shmat(segment, null(), flags) };
    if address.addr() == usize::MAX {
        return Err(last_errno());
    }
    NonNull::new(address.cast()).ok_or(Errno(libc::ENOMEM))
}

/// Detaches the segment that was attached at this address and is not used any more, shmdt(2).
pub(crate) fn detach(address: NonNull<u8>) {
    // SAFETY: the caller has attached the segment, and nothing refers to it.
    unsafe { libc::shmdt(address.as_ptr().cast()) };
}

/// Removes a segment, shmctl(2), IPC_RMID.
pub(crate) fn remove(segment: i32) -> Result<()> {
    // SAFETY: without a shmid_ds no memory is touched.
    check(unsafe { libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}
