//! What must be known of somebody else's descriptor before it is trusted.

use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::error::{Context, Error, Result};
use crate::map::{Access, Map, MapOptions};
use crate::sys::file;

/// What is asked of a descriptor that somebody else has made. The default: a regular file, sealed against writing and
/// shrinking, of any length and owner.
///
/// ```
/// use bytefd::share::Requirements;
/// let text = Requirements::new().length(5).accept(bytefd::wrap(b"hello")?)?;
/// assert_eq!(&text[..], b"hello");
///
/// let error = Requirements::new().length(6).accept(bytefd::wrap(b"hello")?).unwrap_err();
/// assert_eq!(error.errno(), libc::ENXIO);
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Requirements {
    length: u64,
    seals: i32,
    owner: Option<u32>,
}

/// Without them content can change or go while it is read.
const FOR_READING: i32 = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK;

impl Default for Requirements {
    fn default() -> Requirements {
        Requirements { length: 0, seals: FOR_READING, owner: None }
    }
}

impl Requirements {
    /// The defaults.
    ///
    /// ```
    /// let requirements = bytefd::share::Requirements::new();
    /// ```
    pub fn new() -> Requirements {
        Requirements::default()
    }

    /// At least so many bytes.
    ///
    /// ```
    /// let requirements = bytefd::share::Requirements::new().length(4096);
    /// ```
    pub fn length(mut self, bytes: u64) -> Requirements {
        self.length = bytes;
        self
    }

    /// At least these seals, `F_SEAL_*` of fcntl(2), instead of the default ones; 0 for none. More are fine.
    ///
    /// ```
    /// let requirements = bytefd::share::Requirements::new().seals(libc::F_SEAL_SHRINK | libc::F_SEAL_GROW);
    /// ```
    pub fn seals(mut self, seals: i32) -> Requirements {
        self.seals = seals;
        self
    }

    /// The file belongs to this user.
    ///
    /// ```
    /// # let us = unsafe { libc::geteuid() };
    /// let requirements = bytefd::share::Requirements::new().owner(us);
    /// requirements.check(&bytefd::wrap(b"hello")?)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn owner(mut self, user: u32) -> Requirements {
        self.owner = Some(user);
        self
    }

    /// Whether a descriptor is all that. What is sealed stays so; without `F_SEAL_SHRINK` the length, and with or without seals
    /// the owner, can be another the moment after.
    ///
    /// ```
    /// use bytefd::share::Requirements;
    /// let (reader, _writer) = std::io::pipe().unwrap();
    /// let error = Requirements::new().check(&reader).unwrap_err();
    /// assert_eq!(error.message(), "descriptor 3 is a pipe or FIFO, not a regular file".replace('3', &format!("{}", std::os::fd::AsRawFd::as_raw_fd(&reader))));
    /// ```
    ///
    /// # Errors
    /// - `EISDIR` for a directory, `ENODEV` for anything else that is no regular file.
    /// - `EPERM`: seals are missing, or the file cannot have any.
    /// - `ENXIO`: it is shorter than asked.
    /// - `EACCES`: it belongs to another user, or cannot be read through this descriptor.
    pub fn check(&self, fd: impl AsFd) -> Result<()> {
        let (fd, number) = (fd.as_fd(), fd.as_fd().as_raw_fd());
        let refuse =
            |op, errno, message: String| Err(Error::new(op, errno, format_args!("descriptor {number} {message}")));
        // First: what others do to the length until it is sealed shows in what is looked at afterwards. Files that know no seals
        // say EINVAL.
        let seals = file::seals(fd).unwrap_or(0);
        let stat = file::fstat(fd).context("fstat", || format!("descriptor {number}"))?;
        if !stat.is_regular() {
            let errno = if stat.mode & libc::S_IFMT == libc::S_IFDIR { libc::EISDIR } else { libc::ENODEV };
            return refuse("file type", errno, format!("is {}, not a regular file", stat.kind()));
        }
        if !file::is_readable(fd).context("fcntl", || format!("descriptor {number}"))? {
            return refuse("access", libc::EACCES, "was not opened for reading".into());
        }
        if seals & self.seals != self.seals {
            let (asked, missing) = (self.seals, self.seals & !seals);
            return refuse("seals", libc::EPERM, format!("has seals {seals:#x} of {asked:#x}: without {missing:#x}"));
        }
        if stat.size < self.length {
            return refuse(
                "length",
                libc::ENXIO,
                format!("has {} bytes, and {} were asked for", stat.size, self.length),
            );
        }
        match self.owner {
            Some(owner) if owner != stat.owner => {
                refuse("owner", libc::EACCES, format!("is user {}'s, and not user {owner}'s", stat.owner))
            }
            _ => Ok(()),
        }
    }

    /// A descriptor that is all that, and its bytes. Sealing against writing and shrinking is asked for in any case, so they can
    /// be handed out as a slice.
    ///
    /// # Errors
    /// As [`Requirements::check`] and [`MapOptions::map_fd`]. The descriptor is closed.
    pub fn accept(&self, fd: OwnedFd) -> Result<Verified> {
        self.clone().seals(self.seals | FOR_READING).check(&fd)?;
        let map = MapOptions::new().map_fd(&fd).or_else(|_| {
            // Kernels before 6.7 map a sealed file shared only through a description that was opened for reading.
            MapOptions::new().access(Access::Private).map_fd(&fd)
        })?;
        Ok(Verified { map, fd })
    }
}

/// Bytes that nobody can change or take away, and their descriptor.
///
/// ```
/// use bytefd::share::Requirements;
/// let verified = Requirements::new().accept(bytefd::wrap(b"hello")?)?;
/// assert!(verified.starts_with(b"hell"));
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Verified {
    map: Map,
    fd: OwnedFd,
}

impl Deref for Verified {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: sealed against writing and shrinking, which was looked at before it was mapped, and seals never go.
        unsafe { self.map.as_slice() }
    }
}

impl AsFd for Verified {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Verified> for OwnedFd {
    fn from(verified: Verified) -> OwnedFd {
        verified.fd
    }
}
