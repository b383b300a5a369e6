//! How long the file behind a range is, asked in a signal handler.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::sys::call::{Result, check};

/// The file behind a range. The number of its descriptor may stand for another file by now, because the program has closed what
/// is not its own, or a child has; so device and inode are compared. They stay the file's for as long as it is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) descriptor: c_int,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Where in the file the range begins.
    pub(super) offset: u64,
}

impl File {
    pub(super) const NONE: File = File { descriptor: -1, device: 0, inode: 0, offset: 0 };

    /// None where the kernel cannot be asked so.
    pub(super) fn of(fd: BorrowedFd<'_>, offset: u64) -> File {
        let descriptor = fd.as_raw_fd();
        status(descriptor).map_or(File::NONE, |status| {
            let (device, inode) = (device(&status), status.stx_ino);
            File { descriptor, device, inode, offset }
        })
    }

    /// How many bytes the file has from its offset on. `None` if the kernel does not tell.
    pub(super) fn rest(&self) -> Option<u64> {
        let status = status(self.descriptor).ok()?;
        let is_same = (device(&status), status.stx_ino) == (self.device, self.inode);
        is_same.then(|| status.stx_size.saturating_sub(self.offset))
    }
}

/// statx(2), without asking a file system that is elsewhere or a program: the kernel, too, raises the signal by what it knows.
fn status(descriptor: c_int) -> Result<libc::statx> {
    // SAFETY: all-zero is a valid struct.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    let wanted = libc::STATX_SIZE | libc::STATX_INO;
    // SAFETY: an empty path and a struct that can be written. Not the C library's statx, which may do more.
    check(unsafe { libc::syscall(libc::SYS_statx, descriptor, c"".as_ptr(), flags, wanted, &mut status) })?;
    Ok(status)
}

fn device(status: &libc::statx) -> u64 {
    u64::from(status.stx_dev_major) << 32 | u64::from(status.stx_dev_minor)
}
