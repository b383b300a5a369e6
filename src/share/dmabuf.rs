//! Makes dma-bufs, memory for devices.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::error::{Context, Errno, Error, Result};
use crate::sys::{self, file, udmabuf};

/// Creates a dma-buf of all pages of a memory file, through /dev/udmabuf (Linux 4.20). Drivers of
/// graphics cards, cameras and other devices accept dma-bufs. The file and the dma-buf are the same
/// memory, and the dma-buf outlives the file's descriptor. The returned descriptor is
/// close-on-exec.
///
/// The file must be a memfd of whole pages, sealed against shrinking and not against writing,
/// because devices write:
///
/// ```
/// use bytefd::{MapOptions, share};
/// use std::os::fd::AsRawFd;
/// let map = MapOptions::new().memory(4096)?;
/// let fd = map.file().unwrap();
/// // SAFETY: touches no memory.
/// unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) };
/// match share::export_dmabuf(fd) {
///     Ok(buffer) => println!("for devices: {buffer:?}"),
///     Err(error) => assert!([libc::ENODEV, libc::EACCES].contains(&error.errno())),
/// }
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// - `ENODEV` if this kernel has no such driver, or has not loaded it.
/// - `EACCES` if this user may not open /dev/udmabuf.
/// - `EINVAL` if the file is not a memfd of whole pages, is not sealed against shrinking, or is
///   sealed against writing.
/// - `EINVAL` if the file is larger than the driver allows (its parameter `size_limit_mb`).
/// - Other errors of the driver.
pub fn export_dmabuf(memory: impl AsFd) -> Result<OwnedFd> {
    let memory = memory.as_fd();
    let shown = || format!("descriptor {}", memory.as_raw_fd());
    let refuse =
        |what: &str| Err(Error::new("memory", libc::EINVAL, format_args!("{} {what}", shown())));
    let size = file::fstat(memory).context("fstat", shown)?.size;
    let seals = match file::seals(memory) {
        Err(Errno(libc::EINVAL)) => return refuse("is not a memory file that can be sealed"),
        seals => seals.context("fcntl F_GET_SEALS", shown)?,
    };
    if seals & libc::F_SEAL_SHRINK == 0 {
        return refuse("is not sealed against shrinking");
    }
    if seals & libc::F_SEAL_WRITE != 0 {
        return refuse("is sealed against writing, and devices write");
    }
    if size == 0 || size % sys::page_size() as u64 != 0 {
        return refuse(&format!(
            "has {size} bytes, must be a positive multiple of the page size {}",
            sys::page_size()
        ));
    }
    let driver = match udmabuf::open() {
        Err(Errno(libc::ENOENT | libc::ENXIO | libc::ENODEV)) => {
            return Err(Error::new(
                "open",
                libc::ENODEV,
                "no driver behind /dev/udmabuf: the kernel lacks it, its module is not loaded, or \
                 /dev does not show it",
            ));
        }
        driver => driver.context("open", || "/dev/udmabuf")?,
    };
    udmabuf::create(driver.as_fd(), memory, 0, size)
        .and_then(file::above_standard_streams)
        .context("UDMABUF_CREATE", || format!("{size} bytes of {}", shown()))
}
