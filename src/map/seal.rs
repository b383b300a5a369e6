//! Memory that becomes a sealed descriptor.

use std::os::fd::{AsFd, OwnedFd};

use super::{Access, Backing, Map};
use crate::error::{Context, Errno, Error, Result};
use crate::sys;
use crate::sys::mapping::{Content, Mapping};
use crate::wrap;

impl Map {
    /// Turns shared memory ([`MapOptions::memory`](crate::MapOptions::memory)) into a sealed descriptor, as
    /// [`wrap`](crate::wrap()) gives, without copying: the caller's alone, of exactly the map's length, at offset 0, mode 0400,
    /// close-on-exec. The map stays, at the same address and for reading only; its bytes can never change any more.
    ///
    /// Whoever reads the map meanwhile sees the same bytes throughout; whoever stores into it gets SIGSEGV.
    ///
    /// ```
    /// let mut map = bytefd::MapOptions::new().memory(5)?;
    /// map.write_at(0, b"hello")?;
    /// let fd = map.seal()?;
    /// assert_eq!(std::fs::read(bytefd::path(&fd)).unwrap(), b"hello");
    /// // SAFETY: sealed bytes do not change.
    /// assert_eq!(unsafe { map.as_slice() }, b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// The map is as before then. `EINVAL` for a map that is not shared memory, that is sealed already or of which parts were
    /// unmapped; `EBUSY` while somebody else (another process that has the descriptor) maps it for writing; `EPERM` if somebody has
    /// sealed it against seals; `EIO` if pages were lost.
    pub fn seal(&mut self) -> Result<OwnedFd> {
        let Backing::Shared(fd) = &self.backing else {
            return Err(Error::new("seal", libc::EINVAL, "only shared memory can be sealed, and only once"));
        };
        if self.mapping.as_ref().is_some_and(Mapping::has_holes) {
            return Err(Error::new("seal", libc::EINVAL, "parts of the map were unmapped"));
        }
        self.check()?;
        let before = self.options.clone();
        let mut after = before.clone();
        after.access = Access::Read;
        after.populate = false;
        // The kernel refuses the seal while the file is mapped for writing. A private mapping shows the same bytes and does not
        // count, and nobody will change them any more.
        let private = { Access::Private };
        let mut reading = after.manner();
        reading.flags = super::MapOptions { access: private, ..after.clone() }.manner().flags;
        let show = |manner| match &self.mapping {
            Some(mapping) if mapping.length() > 0 => mapping
                .show(0, mapping.length(), Content::File(fd.as_fd(), 0), manner)
                .context("mmap", || "for reading"),
            _ => Ok(()),
        };
        show(reading)?;
        let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
        let sealed = match sys::file::add_seals(fd.as_fd(), seals) {
            Err(Errno(libc::EBUSY)) => {
                Err(Error::new("seal", libc::EBUSY, "somebody else has the memory mapped for writing"))
            }
            sealed => sealed.context("seal", || "the map's memory"),
        };
        let mode = if self.options.execute { 0o500 } else { 0o400 };
        let ready = sealed
            .and_then(|()| sys::file::fchmod(fd.as_fd(), mode).context("fchmod", || "the sealed memory"))
            .and_then(|()| wrap::as_sealed(fd.as_fd()));
        let own = match ready {
            Ok(own) => own,
            Err(error) => {
                show(before.manner())?;
                return Err(error);
            }
        };
        self.options = after;
        let Backing::Shared(fd) = std::mem::replace(&mut self.backing, Backing::None) else { unreachable!("as above") };
        if let Some(mapping) = &self.mapping {
            self.options.treat(mapping, 0..self.length)?;
        }
        Ok(own.unwrap_or(fd))
    }
}
