//! Bytes into a file, by the fastest way this kernel has.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use crate::error::{Context, Error, Result};
use crate::sys;

/// Segments that go to the kernel in one call. Few enough to be copied on the stack, many enough that the
/// call's own cost is lost in the work.
const BATCH: usize = 64;

/// The length of all segments together, if a file can have it.
pub(crate) fn total_length(segments: &[IoSlice<'_>]) -> Result<u64> {
    let total = segments.iter().try_fold(0usize, |sum, segment| sum.checked_add(segment.len()));
    match total {
        Some(total) if total <= isize::MAX as usize => Ok(total as u64),
        _ => {
            let message = format_args!("{} segments are longer together than {} bytes", segments.len(), isize::MAX);
            Err(Error::new("length", libc::EINVAL, message))
        }
    }
}

/// Refuses a size beyond RLIMIT_FSIZE, where the kernel would kill the process with SIGXFSZ.
pub(crate) fn check_size_limit(size: u64) -> Result<()> {
    let limit = sys::file_size_limit();
    if size > limit {
        let message = format_args!("asked for a file of {size} bytes, the limit RLIMIT_FSIZE is {limit} bytes");
        return Err(Error::new("file size", libc::EFBIG, message));
    }
    Ok(())
}

/// Writes all segments, in order, to the start of an empty file. The descriptor's offset stays 0.
pub(crate) fn fill(file: BorrowedFd<'_>, segments: &[IoSlice<'_>]) -> Result<()> {
    let total = total_length(segments)?;
    check_size_limit(total)?;
    let mut written = 0;
    for group in segments.chunks(BATCH) {
        let mut batch = [IoSlice::new(&[]); BATCH];
        batch[..group.len()].copy_from_slice(group);
        let mut rest = &mut batch[..group.len()];
        // Drops leading empty segments, so that 0 from the kernel always means that nothing can be written.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let count = sys::file::pwritev(file, rest, written)
                .context("write", || format!("{written} of {total} bytes written"))?;
            if count == 0 {
                return Err(Error::new("write", libc::EIO, format_args!("stuck at {written} of {total} bytes")));
            }
            written += count as u64;
            IoSlice::advance_slices(&mut rest, count);
        }
    }
    Ok(())
}
