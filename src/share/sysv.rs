//! System V segments as maps, for programs that still speak it.

use crate::error::{Context, Error, Result};
use crate::map::{Access, Map};
use crate::sys::mapping::Mapping;
use crate::sys::sysv;

/// How a System V segment is made or attached: sysvipc(7). The default: for reading and writing; what is made has mode 0600.
///
/// ```
/// use bytefd::share::SysvOptions;
/// // IPC_PRIVATE, 0: a new segment without a key, found by its number.
/// let (ours, number) = SysvOptions::new().length(4096).create(0)?;
/// let theirs = SysvOptions::new().length(4096).attach(number)?;
/// bytefd::share::remove_sysv(number)?;
/// ours.write_at(0, b"hello")?;
/// let mut text = [0; 5];
/// theirs.read_at(0, &mut text)?;
/// assert_eq!(&text, b"hello");
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SysvOptions {
    length: usize,
    mode: u32,
    read_only: bool,
}

impl SysvOptions {
    /// The defaults.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new();
    /// ```
    pub fn new() -> SysvOptions {
        SysvOptions::default()
    }

    /// How many bytes what is made has, zeros at first; and how many what is attached must have at least. The map has as many as the
    /// segment.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new().length(4096);
    /// ```
    pub fn length(mut self, bytes: usize) -> SysvOptions {
        self.length = bytes;
        self
    }

    /// The permission bits of what is made; 0 is 0600.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new().mode(0o640);
    /// ```
    pub fn mode(mut self, mode: u32) -> SysvOptions {
        self.mode = mode;
        self
    }

    /// The map is for reading only.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new().read_only(true);
    /// ```
    pub fn read_only(mut self, yes: bool) -> SysvOptions {
        self.read_only = yes;
        self
    }

    /// Makes a segment with this key, which there must not be yet, or without one (0, `IPC_PRIVATE`), and attaches it. Returns its number too,
    /// by which others attach it. It stays until it is removed ([`remove_sysv`]), also when all processes are gone.
    ///
    /// ```
    /// let (map, number) = bytefd::share::SysvOptions::new().length(10).create(0)?;
    /// bytefd::share::remove_sysv(number)?;
    /// assert_eq!(map.len(), 10);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// `EEXIST`; `EINVAL`: no length, or one above the limit (/proc/sys/kernel/shmmax), or a mode of more than the nine permission bits; `ENOSPC`:
    /// too many segments; `ENOMEM`; `ENOSYS` where the kernel has none.
    pub fn create(&self, key: i32) -> Result<(Map, i32)> {
        if self.mode & !0o777 != 0 {
            let message = format_args!("the mode {:o} has bits other than the nine permission bits", self.mode);
            return Err(Error::new("mode", libc::EINVAL, message));
        }
        let mode = if self.mode == 0 { 0o600 } else { self.mode } as i32;
        let asked = || format!("a new segment of {} bytes with key {key:#x}", self.length);
        let number = sysv::get(key, self.length, libc::IPC_CREAT | libc::IPC_EXCL | mode).context("shmget", asked)?;
        match self.attach(number) {
            Ok(map) => Ok((map, number)),
            Err(error) => {
                let _ = sysv::remove(number);
                Err(error)
            }
        }
    }

    /// Attaches the segment with this key. Returns its number too.
    ///
    /// ```
    /// assert_eq!(bytefd::share::SysvOptions::new().open(0x5eed_5eed).unwrap_err().errno(), libc::ENOENT);
    /// ```
    ///
    /// # Errors
    /// `ENOENT`; as [`SysvOptions::attach`].
    pub fn open(&self, key: i32) -> Result<(Map, i32)> {
        if key == libc::IPC_PRIVATE {
            return Err(Error::new("key", libc::EINVAL, "0 is IPC_PRIVATE, no key that a segment could be found by"));
        }
        let number = sysv::get(key, 0, 0).context("shmget", || format!("a segment with key {key:#x}"))?;
        Ok((self.attach(number)?, number))
    }

    /// Attaches the segment of this number, shmat(2). It is detached when the map goes.
    ///
    /// ```
    /// assert_eq!(bytefd::share::SysvOptions::new().attach(-1).unwrap_err().errno(), libc::EINVAL);
    /// ```
    ///
    /// # Errors
    /// `EINVAL`: there is none of that number; `EIDRM`: it is being removed; `ENXIO`: it has fewer bytes than asked; `EACCES`: its mode
    /// does not allow it; `ENOMEM`.
    pub fn attach(&self, number: i32) -> Result<Map> {
        let segment = || format!("segment {number}");
        let flags = if self.read_only { libc::SHM_RDONLY } else { 0 };
        let base = sysv::attach(number, flags).context("shmat", segment)?;
        // Only from now on is it certain that the number stays that of this segment.
        let length = sysv::stat(number).map(|segment| segment.length);
        let length = length.inspect_err(|_| sysv::detach(base)).context("shmctl IPC_STAT", segment)?;
        // SAFETY: attached just now, all of it in whole pages.
        let mapping = unsafe { Mapping::of_segment(base, length) };
        if length < self.length {
            let message = format_args!("segment {number} has {length} bytes, and {} were asked for", self.length);
            return Err(Error::new("length", libc::ENXIO, message));
        }
        let access = if self.read_only { Access::Read } else { Access::Write };
        Ok(Map::of_segment(mapping, length, access))
    }
}

/// Marks a segment for removal: it goes when the last process has detached it, and nobody finds it by its key any more.
///
/// ```
/// let (map, number) = bytefd::share::SysvOptions::new().length(10).create(0)?;
/// bytefd::share::remove_sysv(number)?;
/// map.write_at(0, b"it lives")?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EINVAL`: there is none of that number; `EPERM`: it is somebody else's.
pub fn remove_sysv(number: i32) -> Result<()> {
    sysv::remove(number).context("shmctl IPC_RMID", || format!("segment {number}"))
}
