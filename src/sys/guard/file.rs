//! Reads the length of the file behind a range, in a signal handler. Device and inode are compared,
//! because the number of the descriptor can refer to another file by now.

use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};

use crate::sys::call::{Result, check};
use crate::sys::mapping::Content;

/// The file behind a range. Its device and inode identify it while it is mapped. The number of its
/// descriptor does not: the program or a child may have closed the descriptor, which is not theirs.
#[derive(Debug)]
pub(super) struct File {
    /// The descriptor. -1 without a file, or where statx(2) failed.
    descriptor: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    /// Offset in the file where the range begins.
    offset: AtomicU64,
}

impl File {
    pub(super) const fn none() -> File {
        let [device, inode, offset] = [const { AtomicU64::new(0) }; 3];
        File { descriptor: AtomicI32::new(-1), device, inode, offset }
    }

    /// Sets the file. No handler may look meanwhile.
    pub(super) fn set(&self, content: Content<'_>) {
        self.descriptor.store(-1, SeqCst);
        let Content::File(fd, offset) = content else { return };
        let Ok(status) = status(fd.as_raw_fd()) else { return };
        self.device.store(device(&status), SeqCst);
        self.inode.store(status.stx_ino, SeqCst);
        self.offset.store(offset, SeqCst);
        self.descriptor.store(fd.as_raw_fd(), SeqCst);
    }

    /// Returns the number of bytes that the file has from the beginning of the range on. `None` if
    /// the kernel does not tell.
    pub(super) fn rest(&self) -> Option<u64> {
        let status = status(self.descriptor.load(SeqCst)).ok()?;
        let is_same = (device(&status), status.stx_ino)
            == (self.device.load(SeqCst), self.inode.load(SeqCst));
        is_same.then(|| status.stx_size.saturating_sub(self.offset.load(SeqCst)))
    }
}

/// Returns the status of a file, statx(2). Asks no server of a remote file system and no FUSE
/// program. Their answer is not needed, because the kernel raises the signal by the size that it
/// knows itself.
fn status(descriptor: c_int) -> Result<libc::statx> {
    // SAFETY: all-zero is a valid struct.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    let wanted = libc::STATX_SIZE | libc::STATX_INO;
    // SAFETY: an empty path and a struct that can be written. The C library's statx may do more, so
    // it is not used here.
    check(unsafe {
        libc::syscall(libc::SYS_statx, descriptor, c"".as_ptr(), flags, wanted, &mut status)
    })?;
    Ok(status)
}

fn device(status: &libc::statx) -> u64 {
    u64::from(status.stx_dev_major) << 32 | u64::from(status.stx_dev_minor)
}
