//! System V segments as maps, for programs that still speak it.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::error::{Context, Errno, Error, Result};
use crate::map::{Access, Map};
use crate::owner::{self, Owner};
use crate::sys::mapping::Mapping;
use crate::sys::{self, sysv};

/// How a System V segment is made or attached: sysvipc(7). The default: for reading and writing; what is made has mode 0600.
///
/// ```
/// use bytefd::share::SysvOptions;
/// // IPC_PRIVATE, 0: a new segment without a key, found by its number.
/// let (ours, number) = SysvOptions::new().length(4096).create(0)?;
/// let theirs = SysvOptions::new().length(4096).attach(number)?;
/// bytefd::share::remove_sysv(number)?;
/// ours.write_at(b"hello", 0)?;
/// let mut text = [0; 5];
/// theirs.read_exact_at(&mut text, 0)?;
/// assert_eq!(&text, b"hello");
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SysvOptions {
    length: usize,
    mode: u32,
    read_only: bool,
    owned: bool,
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

    /// What is made without a key belongs to this process: [`sweep`](super::sweep()) removes it when the process is gone and nobody has it
    /// attached. It has a key by which the sweep knows it, of which a process has 256.
    ///
    /// ```
    /// let (map, number) = bytefd::share::SysvOptions::new().length(10).owned(true).create(0)?;
    /// bytefd::share::remove_sysv(number)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn owned(mut self, yes: bool) -> SysvOptions {
        self.owned = yes;
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
    /// `EEXIST`; `EINVAL`: no length, or one above the limit (/proc/sys/kernel/shmmax), or a mode of more than the nine permission bits, or a
    /// key for what is [owned](SysvOptions::owned); `ENOSPC`: too many segments; `ENOMEM`; `ENOENT` and `EMFILE` for what is owned
    /// where /proc is not mounted, is that of another container, or cannot be read; `ENOSYS` where the kernel has none.
    pub fn create(&self, key: i32) -> Result<(Map, i32)> {
        if self.mode & !0o777 != 0 {
            let message = format_args!("the mode {:o} has bits other than the nine permission bits", self.mode);
            return Err(Error::new("mode", libc::EINVAL, message));
        }
        let mode = if self.mode == 0 { 0o600 } else { self.mode } as i32;
        let asked = || format!("a new segment of {} bytes with key {key:#x}", self.length);
        let get = |key| sysv::get(key, self.length, libc::IPC_CREAT | libc::IPC_EXCL | mode);
        let number = match (self.owned, key) {
            (false, _) => get(key).context("shmget", asked)?,
            (true, libc::IPC_PRIVATE) => with_free_key(&Owner::this()?, get)?,
            (true, _) => {
                let message = format_args!("the key {key:#x} is for others, and what is owned has one of its own");
                return Err(Error::new("key", libc::EINVAL, message));
            }
        };
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
/// map.write_at(b"it lives", 0)?;
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// # Errors
/// `EINVAL`: there is none of that number; `EPERM`: it is somebody else's.
pub fn remove_sysv(number: i32) -> Result<()> {
    sysv::remove(number).context("shmctl IPC_RMID", || format!("segment {number}"))
}

/// The key of a segment with an owner, which all that the kernel lists of it must agree with: who made it in which
/// namespaces, 22 bits that are never all 0; when that process was started, 2; and which one of its segments it is, 8.
fn key_of(owner: &Owner, number: u32) -> i32 {
    // FNV-1a, and all of its bits into the upper ones.
    let words = [owner.namespace, owner.clock, owner.process as u64];
    let hash = words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let who = ((hash ^ hash >> 32) as u32 >> WHO.trailing_zeros()).max(1) << WHO.trailing_zeros();
    (who | (owner.start as u32) << START.trailing_zeros() & START | number & NUMBER) as i32
}

const NUMBER: u32 = 0xff;
const START: u32 = 0x300;
const WHO: u32 = !(NUMBER | START);

/// A segment under the next key of this process that is free.
fn with_free_key(owner: &Owner, get: impl Fn(i32) -> sys::Result<i32>) -> Result<i32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..=NUMBER {
        match get(key_of(owner, NEXT.fetch_add(1, Relaxed))) {
            Err(Errno(libc::EEXIST)) => {}
            got => return got.context("shmget", || "a new segment with an owner"),
        }
    }
    let message = format_args!("this process owns {} segments already, and there are no more keys", NUMBER + 1);
    Err(Error::new("shmget", libc::ENOSPC, message))
}

/// Removes segments of this user that nobody has attached, and whose owners are gone. Returns how many.
pub(super) fn sweep(this: &Owner, user: u32) -> usize {
    let is_left = |segment: &sysv::Listed| {
        // Of another process with the number nothing but the start differs.
        let is_another = |start| !is_owned(segment, &Owner { start, ..*this });
        let start = u64::from((segment.key as u32 & START) >> START.trailing_zeros());
        segment.user == user
            && segment.attached == 0
            && is_owned(segment, &Owner { start, ..*this })
            && owner::is_gone(segment.creator, is_another)
    };
    let left = sysv::list().into_iter().filter(is_left);
    left.filter(|segment| sysv::remove(segment.number).is_ok()).count()
}

/// Whether it has an owner, with the start and of the namespaces of `like`.
fn is_owned(segment: &sysv::Listed, like: &Owner) -> bool {
    segment.key == key_of(&Owner { process: segment.creator, ..*like }, segment.key as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_agrees_with_nobody_else() {
        let owner = Owner { namespace: 4_026_531_836, clock: 4_026_531_834, process: 1234, start: 56_789 };
        let key = key_of(&owner, 7) as u32;
        // Its number and its start are where the sweep looks for them.
        assert_eq!((key & NUMBER, (key & START) >> START.trailing_zeros()), (7, 56_789 & 3));
        assert_eq!(key_of(&owner, 7 + NUMBER + 1) as u32, key);
        for number in (0..=NUMBER).filter(|number| *number != 7) {
            assert_eq!(key_of(&owner, number) as u32, key & !NUMBER | number);
        }
        assert_eq!((key_of(&Owner { start: 56_790, ..owner }, 7) as u32 ^ key) & !START, 0);

        let listed = |key| sysv::Listed { key, number: 1, creator: 1234, attached: 0, user: 1000 };
        assert!(is_owned(&listed(key as i32), &owner));
        assert!(!is_owned(&listed(libc::IPC_PRIVATE), &Owner { start: 0, ..owner }));
        assert!((0..100_000).all(|process| key_of(&Owner { process, ..owner }, 0) as u32 & WHO != 0));

        let others = (1..1000).flat_map(|more| {
            [
                Owner { namespace: owner.namespace + more, ..owner },
                Owner { clock: owner.clock + more, ..owner },
                Owner { process: owner.process + more as i32, ..owner },
            ]
        });
        // Of 22 bits one of 3000 may be the same by chance.
        let same = others.filter(|owner| (key_of(owner, 7) as u32 ^ key) & WHO == 0).count();
        assert!(same <= 1, "{same} of 2997 look like it");
    }
}
