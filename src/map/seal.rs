//! Memory that becomes a sealed descriptor.

use std::os::fd::{AsFd, OwnedFd};

use super::map::{Backing, Map};
use super::name::Name;
use super::options::Access;
use super::resize::clear_end;
use crate::error::{Context, Errno, Error, Result};
use crate::sys;
use crate::sys::guard::Guard;
use crate::sys::mapping::{Content, Mapping, MmapOptions};
use crate::wrap::before_sealing;

impl Map {
    /// Turns shared memory ([`MapOptions::memory`](crate::MapOptions::memory)) into a sealed descriptor, as
    /// [`wrap`](crate::wrap()) gives, without copying: of exactly the map's length, at offset 0, mode 0400, close-on-exec, and the
    /// caller's alone unless [`Map::descriptor`] was given to others. The map stays, at the same address and for reading only; its bytes can never change any more.
    ///
    /// Whoever reads the map meanwhile sees the same bytes throughout; whoever stores into it gets SIGSEGV. What parts were protected
    /// against ([`Map::protect`]) ends, also on failure.
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
    /// The map is as before then, but for an `EIO` that comes too late. `EINVAL` for a map that is not shared memory, that is sealed already or of which parts were
    /// unmapped; `EBUSY` while somebody else (another process that has the descriptor, or a child that was forked with the map) maps it for writing;
    /// `EPERM` if somebody has sealed it against seals, or (also `EACCES`) it was made by another user, which this process was; `EIO` if somebody who has
    /// it made it shorter (if during this call, the map is for reading only from then on).
    pub fn seal(&mut self) -> Result<OwnedFd> {
        let Backing::Shared(fd) = &self.backing else {
            return Err(Error::new("seal", libc::EINVAL, "only shared memory can be sealed, and only once"));
        };
        if self.mapping.as_ref().is_some_and(Mapping::has_holes) {
            return Err(Error::new("seal", libc::EINVAL, "parts of the map were unmapped"));
        }
        self.cut(fd)?;
        let own = before_sealing(fd.as_fd())?;
        // The kernel refuses the seal while the file is mapped for writing. A private mapping shows the same bytes and does not
        // count, and once it is sealed nobody changes them any more. No pages are set aside for copies, which nobody makes.
        let before = self.options.mmap_options();
        let reading = MmapOptions {
            protection: before.protection & !libc::PROT_WRITE,
            flags: libc::MAP_PRIVATE | libc::MAP_NORESERVE,
        };
        // Seals stay, so all else that can fail comes before.
        let mode = self.prepare(fd)?;
        let sealed = self.show(fd, reading).and_then(|()| self.seal_file(fd));
        // If that fails it is as before, unless it was too late for that.
        if sealed.is_ok() || self.show(fd, before).is_err() {
            self.options.access = Access::Read;
        }
        sealed.inspect_err(|_| _ = sys::file::fchmod(fd.as_fd(), mode))?;
        let Backing::Shared(fd) = std::mem::replace(&mut self.backing, Backing::None) else { unreachable!("as above") };
        let own = own.unwrap_or(fd);
        // It may have been given to a program that was executed.
        sys::file::set_close_on_exec(own.as_fd()).context("fcntl F_SETFD", || "the sealed memory")?;
        Ok(own)
    }

    /// Shows all of the file in place of what is mapped.
    fn show(&self, fd: &OwnedFd, options: MmapOptions) -> Result<()> {
        let Some(mapping) = self.mapping.as_ref().filter(|mapping| mapping.length() > 0) else { return Ok(()) };
        let shown = mapping.show(0, mapping.length(), Content::File(fd.as_fd(), 0), options);
        // Pages that were lost during this call may be lost again.
        self.guard.iter().for_each(Guard::renewed);
        shown.context("mmap", || format!("{} bytes in place", self.length))?;
        self.options.treat(mapping, 0..self.length)
    }

    /// All but the seals. Returns the mode that it had.
    fn prepare(&self, fd: &OwnedFd) -> Result<u32> {
        let stat = sys::file::fstat(fd.as_fd()).context("fstat", || Name::Kept)?;
        sys::file::rewind(fd.as_fd()).context("lseek", || "the map's memory")?;
        let mode = if self.options.execute { 0o500 } else { 0o400 };
        sys::file::fchmod(fd.as_fd(), mode).context("fchmod", || format!("mode {mode:04o}"))?;
        // What was stored behind the end shows in mappings. (It stays where neither way is allowed: in a protected page.)
        let length = self.length as u64;
        let rest = length.next_multiple_of(sys::page_size() as u64) - length;
        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        if let Some(mapping) = self.mapping.as_ref().filter(|_| rest > 0)
            && sys::file::fallocate(fd.as_fd(), punch, length, rest).is_err()
        {
            let _ = clear_end(mapping, self.length);
        }
        Ok(stat.mode & 0o7777)
    }

    fn seal_file(&self, fd: &OwnedFd) -> Result<()> {
        let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
        match sys::file::add_seals(fd.as_fd(), seals) {
            Err(Errno(libc::EBUSY)) => {
                return Err(Error::new("seal", libc::EBUSY, "somebody else has the memory mapped for writing"));
            }
            sealed => sealed.context("seal", || "the map's memory")?,
        }
        // Until it was sealed others could change its length.
        match self.size_of(fd)? {
            size if size == self.length as u64 => Ok(()),
            size => Err(self.wrong(size)),
        }
    }

    /// Makes the file as long as the map, if somebody who has it made it longer.
    fn cut(&self, fd: &OwnedFd) -> Result<()> {
        let length = self.length as u64;
        match self.size_of(fd)? {
            size if size < length => Err(self.wrong(size)),
            size if size > length => sys::file::ftruncate(fd.as_fd(), length)
                .context("ftruncate", || format!("the map's memory from {size} to {length} bytes")),
            _ => Ok(()),
        }
    }

    /// Bytes in the file, if the map has lost none.
    fn size_of(&self, fd: &OwnedFd) -> Result<u64> {
        self.check()?;
        sys::file::fstat(fd.as_fd()).map(|stat| stat.size).context("fstat", || Name::Kept)
    }

    fn wrong(&self, size: u64) -> Error {
        let message = format_args!("somebody has made the memory {size} bytes long, instead of {}", self.length);
        Error::new("seal", libc::EIO, message)
    }
}
