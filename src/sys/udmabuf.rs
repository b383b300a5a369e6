//! The kernel's driver that makes dma-bufs of memory files, /dev/udmabuf (Linux 4.20).

use std::ffi::c_ulong;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::call::{Result, retry};
use super::file;

/// `struct udmabuf_create` of linux/udmabuf.h.
#[repr(C)]
struct Create {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

const CLOSE_ON_EXEC: u32 = 1;
/// `_IOW('u', 0x42, struct udmabuf_create)`
const UDMABUF_CREATE: c_ulong =
    1 << 30 | (size_of::<Create>() as c_ulong) << 16 | (b'u' as c_ulong) << 8 | 0x42;

pub(crate) fn open() -> Result<OwnedFd> {
    file::open(c"/dev/udmabuf", libc::O_RDWR, 0)
}

/// Makes a dma-buf of whole pages of a memory file.
pub(crate) fn create(
    driver: BorrowedFd<'_>,
    memory: BorrowedFd<'_>,
    offset: u64,
    size: u64,
) -> Result<OwnedFd> {
    let create = Create { memfd: memory.as_raw_fd() as u32, flags: CLOSE_ON_EXEC, offset, size };
    // SAFETY: the request reads this struct.
    retry(|| unsafe { libc::ioctl(driver.as_raw_fd(), UDMABUF_CREATE as _, &create) })
        .map(file::own)
}
