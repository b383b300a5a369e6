//! Checks the limit on a file's size, and allocates pages before they are written.

use std::os::fd::BorrowedFd;

use super::huge::{Way, way};
use crate::error::{Errno, Error, Result};
use crate::sys::window::{Access, ExtentWindow};
use crate::sys::{self, features};

/// Refuses a size beyond RLIMIT_FSIZE, where the kernel would kill the process with SIGXFSZ.
pub(crate) fn check_size_limit(size: u64) -> Result<()> {
    let limit = sys::file_size_limit();
    if size > limit {
        let message =
            format!("asked for a file of {size} bytes, the limit RLIMIT_FSIZE is {limit} bytes");
        return Err(Error::new("file size", libc::EFBIG, message));
    }
    Ok(())
}

/// Reserves space for `from..to` of a file, fallocate(2). Its size does not change.
pub(super) fn reserve(file: BorrowedFd<'_>, from: u64, to: u64) -> sys::Result<()> {
    let mut step = to - from;
    let mut offset = from;
    while offset < to {
        match sys::file::fallocate(file, libc::FALLOC_FL_KEEP_SIZE, offset, step.min(to - offset)) {
            Ok(()) => offset += step.min(to - offset),
            // On tmpfs a signal interrupts the call and undoes its work, so the next call asks for
            // less.
            Err(Errno(libc::EINTR)) => step = (step / 2).max(sys::page_size() as u64),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes an empty extent of a memory file one huge page, and shows it for stores. Returns false if
/// this host does not collapse extents, or the kernel has no such page.
pub(crate) fn show_extent(file: BorrowedFd<'_>, from: u64, window: &mut ExtentWindow) -> bool {
    // MADV_COLLAPSE fails with EINVAL unless the extent has a page.
    way() == Way::Collapse
        && reserve(file, from, from + 1).is_ok()
        && window.collapse(file, from, Access::WriteWithoutChildren).is_ok()
}

/// Allocates the pages of `from..to` of a memory file, which has that size and no pages there yet.
/// Where this host collapses extents, each extent from the first boundary on becomes a huge page,
/// unless less than half of it would be used. Everywhere else, and where collapsing fails,
/// fallocate(2) chooses the pages.
pub(crate) fn allocate(file: BorrowedFd<'_>, from: u64, to: u64) -> sys::Result<()> {
    let extent = features::huge_page_size();
    let mut at = from;
    if extent > 0 && way() == Way::Collapse && to - from >= extent / 2 {
        let mut window = ExtentWindow::new(extent as usize)?;
        at = to.min(from.next_multiple_of(extent));
        reserve(file, from, at)?;
        while to - at >= extent / 2 {
            // MADV_COLLAPSE fails with EINVAL unless the extent has a page.
            reserve(file, at, at + 1)?;
            let end = to.min(at + extent);
            if window.collapse(file, at, Access::Read).is_err() {
                reserve(file, at, end)?;
            }
            at = end;
        }
    }
    reserve(file, at, to)
}
