//! Makes a file larger, and gives it its old size again if something fails.
//!
//! Growing never shrinks. Space is reserved first, by `fallocate`, or by zeros where the file
//! system has none. Bytes that a process may have stored past the end in the last page are cleared.
//! Only then the file is extended.

use std::fmt::Display;
use std::os::fd::BorrowedFd;

use super::space::{check_size_limit, reserve};
use crate::error::{Context, Errno, Result};
use crate::sys::{self, file};

/// A growing file. On drop without [`Growth::keep`] the file gets its old size again.
pub(crate) struct Growth<'a> {
    fd: BorrowedFd<'a>,
    from: u64,
    /// The size that the file has reached so far.
    reached: u64,
}

impl<'a> Growth<'a> {
    /// Makes a file of `from` bytes larger, with zeros. Reserves the space unless `no_reserve` is
    /// set.
    pub fn of(
        fd: BorrowedFd<'a>,
        from: u64,
        to: u64,
        no_reserve: bool,
        name: impl Display,
    ) -> Result<Growth<'a>> {
        check_size_limit(to)?;
        let asked = || format!("{name} from {from} to {to} bytes");
        let mut growth = Growth { fd, from, reached: from };
        if !no_reserve {
            match reserve(fd, from, to) {
                Ok(()) => {}
                // File systems without fallocate report that by several errnos.
                Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::EPERM)) => {
                    match growth.write_zeros(from, to) {
                        // Files of huge pages take no writes. Their pages are reserved when they
                        // are mapped.
                        Err(Errno(libc::EINVAL)) => {
                            growth.lengthen(to).context("ftruncate", asked)?;
                            growth.reached = to;
                        }
                        written => written.context("write", asked)?,
                    }
                    return Ok(growth);
                }
                Err(errno) => return Err(errno).context("fallocate", asked),
            }
        }
        // Bytes that a process stored past the end in the last page would become content. Writing
        // zeros there grows the file and clears them in one step.
        let page_end = to.min(from.next_multiple_of(sys::page_size() as u64));
        growth.write_zeros(from, page_end).context("write", asked)?;
        growth.extend(to, no_reserve).context("extend", asked)?;
        Ok(growth)
    }

    /// Returns the size before.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Keeps the new size: everything went well.
    pub fn keep(growth: Option<Growth<'_>>) {
        std::mem::forget(growth);
    }

    /// Sets the size to at least `size`. ftruncate could cut off what another process has added by
    /// now; fallocate and pwrite never shrink.
    fn extend(&mut self, size: u64, no_reserve: bool) -> sys::Result<()> {
        let grown = loop {
            match file::fallocate(self.fd, 0, size - 1, 1) {
                Err(Errno(libc::EINTR)) => {}
                grown => break grown,
            }
        };
        match grown {
            Ok(()) => {}
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::EPERM))
                if !no_reserve =>
            {
                self.write_zeros(size - 1, size)?;
                // Through a descriptor with O_APPEND, pwrite(2) has written elsewhere.
                self.lengthen(size)?;
            }
            // Without a reservation no block is needed. A file of huge pages may have none left.
            Err(_) if no_reserve => self.lengthen(size)?,
            Err(errno) => return Err(errno),
        }
        self.reached = size;
        Ok(())
    }

    /// Sets the size, ftruncate(2), unless the file has that size by now. Bytes that another
    /// process has added stay.
    fn lengthen(&mut self, size: u64) -> sys::Result<()> {
        let found = file::fstat(self.fd)?.size;
        if found > self.reached {
            self.from = found;
        }
        if found < size { file::ftruncate(self.fd, size) } else { Ok(()) }
    }

    fn write_zeros(&mut self, mut offset: u64, end: u64) -> sys::Result<()> {
        while offset < end {
            match file::write_zeros(self.fd, offset, end - offset)? {
                0 => return Err(Errno(libc::EIO)),
                written => offset += written as u64,
            }
            self.reached = offset.max(self.reached);
        }
        Ok(())
    }
}

impl Drop for Growth<'_> {
    fn drop(&mut self) {
        // This also returns what was reserved past the end; otherwise a full disk would stay full.
        // If another process has changed the size meanwhile, the file stays as it is.
        if file::fstat(self.fd).is_ok_and(|stat| stat.size == self.reached) {
            let _ = file::ftruncate(self.fd, self.from);
        }
    }
}
