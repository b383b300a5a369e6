//! Turns memory into a sealed descriptor. No byte is copied.
//!
//! The kernel seals a file against writing only if no process has it mapped for writing. So a
//! private mapping of the memory takes the place of the shared one. A child that is forked
//! meanwhile still has the memory mapped for writing, and sealing waits for the child.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::map::{Backing, Map};
use super::name::Name;
use super::options::Access;
use super::resize::clear_end;
use super::sealed::{SealError, Sealed};
use crate::error::{Context, Errno, Error, Result};
use crate::sys;
use crate::sys::mapping::{Content, MmapOptions};
use crate::sys::wait::Wait;
use crate::wrap::{before_sealing, reopen};

/// How long [`Map::seal`] waits until other processes have unmapped the memory.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

impl Map {
    /// Seals shared memory ([`MapOptions::memory`](crate::MapOptions::memory)) without copying.
    /// Returns a [`Sealed`], whose descriptor is like that of [`wrap`](crate::wrap()): exactly the
    /// map's length, offset 0, mode 0400 (0500 with
    /// [`MapOptions::execute`](crate::MapOptions::execute)), close-on-exec. The bytes stay at the
    /// same address, for reading only, and can never change.
    ///
    /// The call waits while another mapping of the memory could be written, in any process
    /// including this one, or while the kernel uses pages of it (io_uring registered buffers,
    /// direct I/O). A shared mapping counts, even for reading, if it was made through a descriptor
    /// that is open for writing, such as that of [`Map::file`]. Private mappings and mappings
    /// through a read-only descriptor ([`Map::share`]) do not delay the call. The mapping that a
    /// child of fork(2) has inherited counts too, until the child calls execve(2) or exits. The
    /// call waits at most 100 ms; see [`Map::seal_timeout`].
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// map.write_at(b"hello", 0)?;
    /// let sealed = map.seal()?;
    /// assert_eq!(&sealed[..], b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error returns the map with its bytes ([`SealError::into_inner`]). The protections of
    /// [`Map::protect`] are gone, unless the call failed before it remapped the memory, as with
    /// `EINVAL`. The map is read-only then if [`Map::share`] was called before, and after `EIO` if
    /// the memory became shorter during this call.
    /// - `EINVAL` if the map is not shared memory, or parts of it were unmapped.
    /// - `ETIMEDOUT` if the memory is still in use after 100 ms.
    /// - `EPERM` if another process has added F_SEAL_SEAL to the memory.
    /// - `EPERM` or `EACCES` if this process created the memory as another user.
    /// - `EIO` if another process made the memory shorter.
    pub fn seal(self) -> std::result::Result<Sealed, SealError<Map>> {
        self.seal_timeout(Some(PATIENCE))
    }

    /// Seals as [`Map::seal`] does, but waits at most `timeout`; `None` sets no limit, zero does
    /// not wait. With `None` the call never returns if such a mapping is never unmapped.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// let sealed = map.seal_timeout(None)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Map::seal`]. With a `timeout` of zero `EBUSY` takes the place of `ETIMEDOUT`.
    pub fn seal_timeout(
        mut self,
        timeout: Option<Duration>,
    ) -> std::result::Result<Sealed, SealError<Map>> {
        match self.seal_in_place(timeout) {
            Ok(fd) => Ok(Sealed::of(self, fd)),
            Err(error) => Err(SealError::new(error, self)),
        }
    }

    /// Seals like [`Map::seal_timeout`], and keeps the map for reading.
    ///
    /// A thread that reads the map meanwhile sees the same bytes all the time. A thread that stores
    /// into the map gets SIGSEGV. Protection that [`Map::protect`] has set ends, also on failure.
    pub(crate) fn seal_in_place(&mut self, timeout: Option<Duration>) -> Result<OwnedFd> {
        let Backing::Shared(fd) = &self.backing else {
            return Err(Error::new(
                "seal",
                libc::EINVAL,
                "only shared memory can be sealed, and only once",
            ));
        };
        if self.mapping.has_holes() {
            return Err(Error::new("seal", libc::EINVAL, "parts of the map were unmapped"));
        }
        self.cut(fd)?;
        // Seals cannot be removed, so every other step that can fail comes first.
        let own = before_sealing(fd.as_fd())?;
        // The caller may have cleared close-on-exec, to give the descriptor to other programs.
        sys::file::set_close_on_exec(fd.as_fd()).context("fcntl F_SETFD", || "the map's memory")?;
        let mode = self.prepare(fd)?;
        // The kernel refuses the seal while the file is mapped for writing. A private mapping does
        // not count, and shows the same bytes, which do not change any more after sealing. With
        // MAP_NORESERVE the kernel sets aside no memory for copies, which are never made.
        let before = self.options.mmap_options();
        let reading = MmapOptions {
            protection: before.protection & !libc::PROT_WRITE,
            flags: libc::MAP_PRIVATE | libc::MAP_NORESERVE,
        };
        let sealed = self.show(fd, reading).and_then(|()| self.seal_file(fd, timeout));
        // On failure the old mapping is restored. If a seal forbids that mapping, it is not tried,
        // because the kernel may unmap the pages before it refuses.
        let forbidding = libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE;
        let is_allowed = sealed.is_err()
            && sys::file::seals(fd.as_fd()).is_ok_and(|seals| seals & forbidding == 0);
        if !is_allowed || self.show(fd, before).is_err() {
            self.options.access = Some(Access::Read);
        }
        sealed.inspect_err(|_| _ = sys::file::fchmod(fd.as_fd(), mode))?;
        let Backing::Shared(fd) = std::mem::replace(&mut self.backing, Backing::None) else {
            unreachable!("as above")
        };
        Ok(own.unwrap_or(fd))
    }

    /// Returns a read-only descriptor of shared memory
    /// ([`MapOptions::memory`](crate::MapOptions::memory)) for other processes. This map stays
    /// writable, and they see every store.
    ///
    /// The memory gets mode 0400 (0500 with [`MapOptions::execute`](crate::MapOptions::execute)),
    /// and the seals F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_FUTURE_WRITE (Linux 5.1). It can then be
    /// written only through maps that exist already. [`Map::resize`] and
    /// [`Discard::Remove`](crate::Discard::Remove) fail with `EPERM` from then on. The map can
    /// still be sealed, but another process of the same user can prevent it. A seal that fails
    /// leaves the map for reading only.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().memory(5)?;
    /// let fd = map.share()?;
    /// map.write_at(b"hello", 0)?;
    /// assert_eq!(std::fs::read(bytefd::path(&fd)).unwrap(), b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if the map is not shared memory, or the kernel does not know F_SEAL_FUTURE_WRITE.
    /// - `EPERM` if another process has added F_SEAL_SEAL to it.
    /// - `EIO` if another process made it shorter.
    /// - `ENOENT` if /proc is not mounted; `EMFILE`, `ENFILE` without descriptors.
    pub fn share(&self) -> Result<OwnedFd> {
        let Backing::Shared(fd) = &self.backing else {
            return Err(Error::new(
                "share",
                libc::EINVAL,
                "only shared memory can be shared, until it is sealed",
            ));
        };
        self.cut(fd)?;
        // Seals cannot be removed, so every other step that can fail comes first.
        let shared = reopen(fd)?;
        let before = self.stat(fd)?.mode & 0o7777;
        let mode = self.sealed_mode();
        sys::file::fchmod(fd.as_fd(), mode).context("fchmod", || format!("mode {mode:04o}"))?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_FUTURE_WRITE;
        sys::file::add_seals(fd.as_fd(), seals)
            .inspect_err(|_| _ = sys::file::fchmod(fd.as_fd(), before))
            .context("seal", || "the map's memory against shrinking, growing, later writers")?;
        self.check_sealed_size(fd)?;
        Ok(shared)
    }

    fn sealed_mode(&self) -> u32 {
        if self.options.execute { 0o500 } else { 0o400 }
    }

    /// Maps the whole file in place of what is mapped.
    fn show(&self, fd: &OwnedFd, options: MmapOptions) -> Result<()> {
        let mapping = &self.mapping;
        if mapping.length() == 0 {
            return Ok(());
        }
        let show = || mapping.show(0, mapping.length(), Content::File(fd.as_fd(), 0), options);
        // A page that was lost during this call shows the file again, and can be lost again.
        let shown = if let Some(guard) = &self.guard { guard.renew(show) } else { show() };
        shown.context("mmap", || format!("{} bytes in place", self.length))?;
        self.options.treat(mapping, 0..self.length)
    }

    /// Prepares the file for sealing: resets its offset, sets its mode, and clears the bytes after
    /// its end. Returns the mode that the file had before.
    fn prepare(&self, fd: &OwnedFd) -> Result<u32> {
        let stat = self.stat(fd)?;
        sys::file::rewind(fd.as_fd()).context("lseek", || "the map's memory")?;
        let mode = self.sealed_mode();
        sys::file::fchmod(fd.as_fd(), mode).context("fchmod", || format!("mode {mode:04o}"))?;
        // Bytes that were stored after the end show in mappings. F_SEAL_FUTURE_WRITE, which `share`
        // adds, forbids the hole; then zeros are written to the mapping. They fail if the last page
        // is protected against writing, and the bytes stay.
        let length = self.length as u64;
        let rest = length.next_multiple_of(sys::page_size() as u64) - length;
        let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        if rest > 0 && sys::file::fallocate(fd.as_fd(), punch, length, rest).is_err() {
            let _ = clear_end(&self.mapping, self.length);
        }
        Ok(stat.mode & 0o7777)
    }

    fn seal_file(&self, fd: &OwnedFd, timeout: Option<Duration>) -> Result<()> {
        let seals =
            libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
        match Wait::new(timeout, false)
            .until_free(libc::EBUSY, || sys::file::add_seals(fd.as_fd(), seals))
        {
            Err(Errno(libc::EBUSY | libc::ETIMEDOUT)) => {
                let errno = if timeout.is_some_and(|timeout| timeout.is_zero()) {
                    libc::EBUSY
                } else {
                    libc::ETIMEDOUT
                };
                let message = "another mapping, in this or another process, can still write to the \
                               memory, or the kernel still uses pages of it (io_uring registered \
                               buffers, direct I/O)";
                return Err(Error::new("seal", errno, message));
            }
            sealed => sealed.context("seal", || "the map's memory")?,
        }
        self.check_sealed_size(fd)
    }

    /// Checks the length after sealing, because it could be changed until then. If the kernel does
    /// not tell the length, the check passes, because the seals stay.
    fn check_sealed_size(&self, fd: &OwnedFd) -> Result<()> {
        let size = match sys::file::fstat(fd.as_fd()) {
            Ok(stat) => stat.size,
            Err(_) => sys::file::end(fd.as_fd()).unwrap_or(self.length as u64),
        };
        self.check()?;
        if size == self.length as u64 { Ok(()) } else { Err(self.wrong(size)) }
    }

    /// Cuts the file to the length of the map, if the file is longer.
    fn cut(&self, fd: &OwnedFd) -> Result<()> {
        let length = self.length as u64;
        match self.size_of(fd)? {
            size if size < length => Err(self.wrong(size)),
            size if size > length => sys::file::ftruncate(fd.as_fd(), length)
                .context("ftruncate", || format!("the map's memory from {size} to {length} bytes")),
            _ => Ok(()),
        }
    }

    /// Returns the number of bytes in the file, if the map has lost none.
    fn size_of(&self, fd: &OwnedFd) -> Result<u64> {
        self.check()?;
        self.stat(fd).map(|stat| stat.size)
    }

    fn stat(&self, fd: &OwnedFd) -> Result<sys::file::Stat> {
        sys::file::fstat(fd.as_fd()).context("fstat", || Name::Kept)
    }

    fn wrong(&self, size: u64) -> Error {
        let message = format!(
            "the length of the memory was changed outside this map, from {} to {size} bytes",
            self.length
        );
        Error::new("seal", libc::EIO, message)
    }
}
