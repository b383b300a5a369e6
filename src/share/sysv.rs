//! System V segments as maps, for programs that still use them.

use super::shm::checked_mode;
use crate::error::{Context, Error, Result};
use crate::map::{Access, Map};
use crate::ownership;
use crate::sys::mapping::Mapping;
use crate::sys::sysv;

/// Selects how a System V segment is created or attached, sysvipc(7). The default attaches for
/// reading. Creating needs [`SysvOptions::length`] and [`SysvOptions::write`].
///
/// ```
/// use bytefd::share::SysvOptions;
/// // IPC_PRIVATE: a new segment without a key, which others attach by its number.
/// let options = SysvOptions::new().length(4096).write(true).transient(true);
/// let (ours, shmid) = options.create(libc::IPC_PRIVATE)?;
/// let theirs = SysvOptions::new().length(4096).open_by_id(shmid)?;
/// ours.write_at(b"hello", 0)?;
/// let mut text = [0; 5];
/// theirs.read_exact_at(&mut text, 0)?;
/// assert_eq!(&text, b"hello");
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SysvOptions {
    length: usize,
    mode: u32,
    write: bool,
    transient: bool,
}

impl SysvOptions {
    /// Returns the default options.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new();
    /// ```
    pub fn new() -> SysvOptions {
        SysvOptions::default()
    }

    /// Sets the size of a new segment, which is zero-filled. For an existing segment it is the
    /// minimum size. The map is as long as the segment.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new().length(4096);
    /// ```
    pub fn length(mut self, bytes: usize) -> SysvOptions {
        self.length = bytes;
        self
    }

    /// Sets the permission bits of a new segment; 0 means 0600.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new().mode(0o640);
    /// ```
    pub fn mode(mut self, mode: u32) -> SysvOptions {
        self.mode = mode;
        self
    }

    /// Attaches for reading and writing, not for reading only.
    ///
    /// ```
    /// let options = bytefd::share::SysvOptions::new().write(true);
    /// ```
    pub fn write(mut self, yes: bool) -> SysvOptions {
        self.write = yes;
        self
    }

    /// Marks the segment for removal (IPC_RMID) as soon as it is attached. The key no longer finds
    /// a marked segment; Linux allows other processes to attach it by its number
    /// ([`SysvOptions::open_by_id`]). The kernel removes the segment when its last user detaches it
    /// or ends, also by SIGKILL. A process that is killed within the call, between creating and
    /// marking, leaves the segment behind.
    ///
    /// ```
    /// use bytefd::share::SysvOptions;
    /// let options = SysvOptions::new().length(10).write(true).transient(true);
    /// let (map, shmid) = options.create(libc::IPC_PRIVATE)?;
    /// drop(map);
    /// assert!(SysvOptions::new().open_by_id(shmid).is_err());
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn transient(mut self, yes: bool) -> SysvOptions {
        self.transient = yes;
        self
    }

    /// Creates a segment with this key, or without one (`IPC_PRIVATE`, 0), and attaches it. There
    /// must be none with the key yet. Returns the map and the segment's identifier (shmid). Unless
    /// it is [transient](SysvOptions::transient), the segment stays until [`remove_sysv`], also
    /// when all processes are gone.
    ///
    /// ```
    /// use bytefd::share::SysvOptions;
    /// let (map, shmid) = SysvOptions::new().length(10).write(true).create(libc::IPC_PRIVATE)?;
    /// bytefd::share::remove_sysv(shmid)?;
    /// assert_eq!(map.len(), 10);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// - `EEXIST` if there is a segment with this key.
    /// - `EINVAL` if the length is 0 or exceeds /proc/sys/kernel/shmmax.
    /// - `EINVAL` if the mode has bits other than the nine permission bits, or the segment would
    ///   not be attached for writing.
    /// - `EACCES` if the mode does not let this user attach it.
    /// - `ENOSPC` if there are too many segments; `ENOMEM` if memory runs out.
    /// - `ENOSYS` if the kernel has no System V segments.
    pub fn create(&self, key: libc::key_t) -> Result<(Map, i32)> {
        let mode = checked_mode(self.mode)? as i32;
        if self.length == 0 {
            return Err(Error::new("length", libc::EINVAL, "length is 0, must be at least 1"));
        }
        if !self.write {
            return Err(Error::new(
                "access",
                libc::EINVAL,
                "a new segment must be attached for writing",
            ));
        }
        let asked = || format!("a new segment of {} bytes with key {key:#x}", self.length);
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | mode;
        let shmid = sysv::get(key, self.length, flags).context("shmget", asked)?;
        match self.open_by_id(shmid) {
            Ok(map) => Ok((map, shmid)),
            Err(error) => {
                let _ = sysv::remove(shmid);
                Err(error)
            }
        }
    }

    /// Attaches the segment with this key. Returns the map and the segment's identifier (shmid).
    ///
    /// ```
    /// let error = bytefd::share::SysvOptions::new().open(0x5eed_5eed).unwrap_err();
    /// assert_eq!(error.errno(), libc::ENOENT);
    /// ```
    ///
    /// # Errors
    /// - `ENOENT` if there is none.
    /// - `EINVAL` if the key is `IPC_PRIVATE`.
    /// - As [`SysvOptions::open_by_id`].
    pub fn open(&self, key: libc::key_t) -> Result<(Map, i32)> {
        checked_mode(self.mode)?;
        if key == libc::IPC_PRIVATE {
            return Err(Error::new(
                "key",
                libc::EINVAL,
                "key is IPC_PRIVATE, which finds no segment",
            ));
        }
        let shmid =
            sysv::get(key, 0, 0).context("shmget", || format!("a segment with key {key:#x}"))?;
        Ok((self.open_by_id(shmid)?, shmid))
    }

    /// Attaches the segment with this key, or creates it if there is none. Returns the map and the
    /// segment's identifier (shmid).
    ///
    /// ```
    /// use bytefd::share::SysvOptions;
    /// # let key = 0x5eed_0000 | std::process::id() as i32 & 0xffff;
    /// let options = SysvOptions::new().length(10).write(true);
    /// let (ours, shmid) = options.open_or_create(key)?;
    /// assert_eq!(options.open_or_create(key)?.1, shmid);
    /// bytefd::share::remove_sysv(shmid)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`SysvOptions::open`] and [`SysvOptions::create`].
    pub fn open_or_create(&self, key: libc::key_t) -> Result<(Map, i32)> {
        if key == libc::IPC_PRIVATE {
            return self.create(key);
        }
        let made = ownership::race(|| -> Result<_> {
            match self.open(key) {
                Err(error) if error.errno() == libc::ENOENT => {}
                opened => return opened.map(Some),
            }
            match self.create(key) {
                Err(error) if error.errno() == libc::EEXIST => Ok(None),
                created => created.map(Some),
            }
        })?;
        made.ok_or_else(|| ownership::lost("shmget", format_args!("the segment of key {key:#x}")))
    }

    /// Attaches the segment with this identifier, shmat(2). It is detached when the map is dropped.
    ///
    /// ```
    /// let error = bytefd::share::SysvOptions::new().open_by_id(-1).unwrap_err();
    /// assert_eq!(error.errno(), libc::EINVAL);
    /// ```
    ///
    /// # Errors
    /// - `EINVAL` if there is no segment with this identifier, `EIDRM` if it is removed during the
    ///   call. (A segment that is only marked for removal can be attached.)
    /// - `ENXIO` if it is smaller than [`length`](SysvOptions::length).
    /// - `EACCES` if its mode does not allow it.
    /// - `EPERM` if it belongs to another user and is to be [transient](SysvOptions::transient).
    /// - `ENOMEM` if memory or address space runs out.
    pub fn open_by_id(&self, shmid: i32) -> Result<Map> {
        checked_mode(self.mode)?;
        let segment = || format!("segment {shmid}");
        let flags = if self.write { 0 } else { libc::SHM_RDONLY };
        let base = sysv::attach(shmid, flags).context("shmat", segment)?;
        // Only from now on the number certainly stays that of this segment.
        let length = sysv::stat(shmid).map(|segment| segment.length);
        let length =
            length.inspect_err(|_| sysv::detach(base)).context("shmctl IPC_STAT", segment)?;
        // SAFETY: the segment was attached just now, completely and in whole pages, and only the
        // mapping detaches it.
        let mapping = unsafe { Mapping::of_segment(base, length) };
        if length < self.length {
            let message = format!("asked for {} bytes, segment {shmid} has {length}", self.length);
            return Err(Error::new("length", libc::ENXIO, message));
        }
        if self.transient {
            sysv::remove(shmid).context("shmctl IPC_RMID", segment)?;
        }
        let access = if self.write { Access::Write } else { Access::Read };
        Ok(Map::of_segment(mapping, length, access))
    }
}

/// Marks a segment for removal (IPC_RMID). The kernel removes it when the last process has detached
/// it. Its key no longer finds it.
///
/// ```
/// use bytefd::share::SysvOptions;
/// let (map, shmid) = SysvOptions::new().length(10).write(true).create(libc::IPC_PRIVATE)?;
/// bytefd::share::remove_sysv(shmid)?;
/// map.write_at(b"it lives", 0)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EINVAL` if there is no segment of this number, `EPERM` if it belongs to another user.
pub fn remove_sysv(shmid: i32) -> Result<()> {
    sysv::remove(shmid).context("shmctl IPC_RMID", || format!("segment {shmid}"))
}
