//! Exports memory to devices.

use std::ffi::c_int;

use super::arguments::open_descriptor;
use super::boundary::{boundary, bytefd_error};
use crate::share;

/// Creates a dma-buf of all pages of a memory file, through /dev/udmabuf (Linux 4.20). Drivers of
/// graphics cards, cameras and other devices accept dma-bufs. The file and the dma-buf are the same
/// memory. The dma-buf outlives `fd`, which stays the caller's.
///
/// `fd` must be a memfd of whole pages, sealed with F_SEAL_SHRINK. It must not be sealed with
/// F_SEAL_WRITE, because devices write.
///
/// Returns the descriptor of the dma-buf, close-on-exec, which the caller owns. On failure, returns
/// one of the following:
/// - -EACCES  if this user may not open /dev/udmabuf.
/// - -EBADF   if `fd` is not open.
/// - -EINVAL  if `fd` is not such a memfd, or is larger than the driver allows (its parameter
///   size_limit_mb).
/// - -ENODEV  if this kernel has no such driver, or has not loaded it.
/// - -EMFILE, -ENFILE  if a limit is reached; and errors of the driver.
///
/// ```c
/// bytefd_map *map;
/// if (bytefd_map_memory(4096, NULL, &map, NULL) == 0) {
///     int fd = bytefd_map_descriptor(map, NULL);
///     fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
///     int buffer = bytefd_export_dmabuf(fd, NULL);
///     if (buffer >= 0)
///         close(buffer);
///     bytefd_map_close(map);
/// }
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_export_dmabuf(fd: c_int, error: *mut bytefd_error) -> c_int {
    boundary(error, || share::export_dmabuf(open_descriptor(fd)?))
}
