//! A file made larger, and as it was again if something fails.
//!
//! Growing never shrinks. Space is reserved first, by `fallocate`, or by zeros where the file
//! system has none. What others may have stored past the end in the last page is cleared. Only then
//! the file is extended.

use std::fmt::Display;
use std::os::fd::BorrowedFd;

use super::space::{check_size_limit, reserve};
use crate::error::{Context, Errno, Result};
use crate::sys::{self, file};

/// A growing file. Dropped without [`Growth::keep`] it gives the file its old size again.
pub(crate) struct Growth<'a> {
    fd: BorrowedFd<'a>,
    from: u64,
    /// The size that it has given the file so far.
    reached: u64,
}

impl<'a> Growth<'a> {
    /// Makes a file of `from` bytes larger, with zeros, and reserves the space unless told
    /// otherwise.
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
                // File systems that do not know it say so in several words.
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
        // What somebody stored past the end in the last page would become content by growing.
        // Writing zeros there grows and clears in one step.
        let page_end = to.min(from.next_multiple_of(sys::page_size() as u64));
        growth.write_zeros(from, page_end).context("write", asked)?;
        growth.extend(to, no_reserve).context("extend", asked)?;
        Ok(growth)
    }

    /// The size before.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// All went well: what was done stays.
    pub fn keep(growth: Option<Growth<'_>>) {
        std::mem::forget(growth);
    }

    /// Sets the size to at least `size`. ftruncate could cut off what somebody else has added by
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
                // Through a descriptor that appends, pwrite(2) has written elsewhere.
                self.lengthen(size)?;
            }
            // Where nothing was to be reserved, no block is needed: for a file of huge pages there
            // may be none.
            Err(_) if no_reserve => self.lengthen(size)?,
            Err(errno) => return Err(errno),
        }
        self.reached = size;
        Ok(())
    }

    /// ftruncate(2), unless the file is that long by now. What somebody else has added is theirs,
    /// and stays.
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
        // Also gives back what was reserved past the end; a full disk would stay full otherwise. A
        // file whose size somebody else has changed meanwhile is theirs.
        if file::fstat(self.fd).is_ok_and(|stat| stat.size == self.reached) {
            let _ = file::ftruncate(self.fd, self.from);
        }
    }
}
