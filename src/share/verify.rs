//! Checks another process's descriptor before it is trusted.

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::error::{Context, Errno, Error, Result};
use crate::map::Sealed;
use crate::sys::file;

/// Requirements for a descriptor that another process has made. The default: a regular file that is
/// open for reading, sealed against writing and shrinking, with any length and owner.
///
/// ```
/// use bytefd::share::Requirements;
/// let text = Requirements::new().min_length(5).accept(bytefd::wrap(b"hello")?)?;
/// assert_eq!(&text[..], b"hello");
///
/// let error = Requirements::new().min_length(6).accept(bytefd::wrap(b"hello")?).unwrap_err();
/// assert_eq!(error.errno(), libc::ENXIO);
/// # Ok::<(), bytefd::Error>(())
/// ```
///
/// The parameter is what [`accept`](Self::accept) gives: [`Sealed`], or [`Unsealed`] after
/// [`no_seals`](Self::no_seals).
#[derive(Clone, Debug)]
#[must_use = "requirements do nothing until a descriptor is checked"]
pub struct Requirements<A = Sealed> {
    min_length: u64,
    max_length: u64,
    seals: i32,
    uid: Option<u32>,
    accepts: PhantomData<fn() -> A>,
}

/// Seals for reading. Without them content can change or disappear while it is read.
pub(crate) const FOR_READING: i32 = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK;

/// The seals of fcntl(2) and their names. The libc crate does not have F_SEAL_FUTURE_WRITE and
/// F_SEAL_EXEC for every C library.
const SEALS: [(i32, &str); 6] = [
    (libc::F_SEAL_SEAL, "F_SEAL_SEAL"),
    (libc::F_SEAL_SHRINK, "F_SEAL_SHRINK"),
    (libc::F_SEAL_GROW, "F_SEAL_GROW"),
    (libc::F_SEAL_WRITE, "F_SEAL_WRITE"),
    (0x10, "F_SEAL_FUTURE_WRITE"),
    (0x20, "F_SEAL_EXEC"),
];

impl Default for Requirements {
    fn default() -> Requirements {
        Requirements {
            min_length: 0,
            max_length: u64::MAX,
            seals: FOR_READING,
            uid: None,
            accepts: PhantomData,
        }
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

    /// Requires no seals, or only those of [`seals`](Self::seals) that are set afterwards. The
    /// content can then change, and a file can become shorter, at any time.
    ///
    /// ```
    /// use bytefd::share::{Requirements, Unsealed};
    /// let file = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
    /// let unsealed: Unsealed = Requirements::new().no_seals().accept(file)?;
    /// let map = bytefd::MapOptions::new().map_fd(&unsealed)?;
    /// # assert_eq!(map.len(), 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn no_seals(self) -> Requirements<Unsealed> {
        let Requirements { min_length, max_length, uid, .. } = self;
        Requirements { min_length, max_length, seals: 0, uid, accepts: PhantomData }
    }

    /// Checks `fd`, and maps its bytes, which no process can change.
    ///
    /// ```
    /// use bytefd::share::Requirements;
    /// let text = Requirements::new().max_length(100).accept(bytefd::wrap(b"hello")?)?;
    /// assert_eq!(&text[..], b"hello");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`check`](Self::check) and [`MapOptions::map_fd`](crate::MapOptions::map_fd). The
    /// descriptor is closed.
    pub fn accept(&self, fd: OwnedFd) -> Result<Sealed> {
        self.check(&fd)?;
        Sealed::new(fd)
    }
}

impl Requirements<Unsealed> {
    /// Checks `fd` and returns it as [`Unsealed`].
    ///
    /// ```
    /// use bytefd::share::Requirements;
    /// let file = bytefd::WrapOptions::new().writable(true).wrap(b"hello")?;
    /// let unsealed = Requirements::new().no_seals().max_length(100).accept(file)?;
    /// # drop(unsealed);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`check`](Self::check). The descriptor is closed.
    pub fn accept(&self, fd: OwnedFd) -> Result<Unsealed> {
        self.check(&fd)?;
        Ok(Unsealed { fd })
    }
}

impl<A> Requirements<A> {
    /// Requires at least this many bytes.
    ///
    /// ```
    /// let requirements = bytefd::share::Requirements::new().min_length(4096);
    /// ```
    pub fn min_length(mut self, bytes: u64) -> Self {
        self.min_length = bytes;
        self
    }

    /// Requires at most this many bytes. A sealed file can be far longer than its memory, because
    /// it may consist of holes.
    ///
    /// ```
    /// use bytefd::share::Requirements;
    /// let error = Requirements::new().max_length(4).accept(bytefd::wrap(b"hello")?).unwrap_err();
    /// assert_eq!(error.message(), "length 5 exceeds max_length 4");
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn max_length(mut self, bytes: u64) -> Self {
        self.max_length = bytes;
        self
    }

    /// Requires these seals as well, `F_SEAL_*` of fcntl(2). More are fine.
    ///
    /// ```
    /// let requirements = bytefd::share::Requirements::new().seals(libc::F_SEAL_GROW);
    /// requirements.check(&bytefd::wrap(b"hello")?)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn seals(mut self, seals: i32) -> Self {
        self.seals |= seals;
        self
    }

    /// Requires that the file's owner is this user.
    ///
    /// ```
    /// # let us = unsafe { libc::geteuid() };
    /// let requirements = bytefd::share::Requirements::new().uid(us);
    /// requirements.check(&bytefd::wrap(b"hello")?)?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Checks a descriptor. Seals that were found are never removed. The owner can change after the
    /// check. The length can change too, unless the file has `F_SEAL_SHRINK` and `F_SEAL_GROW`.
    ///
    /// Seals are checked before anything that asks a file system, which may never answer (FUSE,
    /// NFS).
    ///
    /// ```
    /// use bytefd::share::Requirements;
    /// let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let error = Requirements::new().check(&reader).unwrap_err();
    /// assert!(error.message().ends_with("is not sealed (missing F_SEAL_SHRINK, F_SEAL_WRITE)"));
    /// ```
    ///
    /// # Errors
    /// - `EPERM` if seals are missing, or the file cannot have any. If no seals are required:
    ///   `EISDIR` if it is a directory, `ENODEV` if it is anything else that is not a regular file.
    /// - `ENXIO` if it is shorter than [`min_length`](Self::min_length); `EFBIG` if it is longer
    ///   than [`max_length`](Self::max_length).
    /// - `EACCES` if its owner is not [`uid`](Self::uid), or it was not opened for reading.
    /// - `EINVAL` if a seal is unknown, or the lengths contradict each other.
    pub fn check(&self, fd: impl AsFd) -> Result<()> {
        self.check_self()?;
        let (fd, number) = (fd.as_fd(), fd.as_fd().as_raw_fd());
        if !file::is_readable(fd).context("fcntl F_GETFL", || format!("descriptor {number}"))? {
            let message = format!("descriptor {number} is not open for reading");
            return Err(Error::new("fd", libc::EACCES, message));
        }
        // The seals are read first. Changes of the length before sealing then show in the checks
        // that follow.
        let seals = match file::seals(fd) {
            // The file cannot have seals.
            Err(Errno(libc::EINVAL)) => 0,
            _ if self.seals == 0 => 0,
            seals => seals.context("fcntl F_GET_SEALS", || format!("descriptor {number}"))?,
        };
        if self.seals & !seals != 0 {
            let missing = names(self.seals & !seals);
            let found = if seals == 0 {
                "not sealed".into()
            } else {
                format!("sealed with {} only", names(seals))
            };
            let message = format!("descriptor {number} is {found} (missing {missing})");
            return Err(Error::new("seals", libc::EPERM, message));
        }
        let stat = file::fstat(fd).context("fstat", || format!("descriptor {number}"))?;
        if !stat.is_regular() {
            let errno =
                if stat.mode & libc::S_IFMT == libc::S_IFDIR { libc::EISDIR } else { libc::ENODEV };
            let message = format!("descriptor {number} is {}, not a regular file", stat.kind());
            return Err(Error::new("fd", errno, message));
        }
        let (length, least, most) = (stat.size, self.min_length, self.max_length);
        if length < least {
            let message = format!("length {length} is less than min_length {least}");
            return Err(Error::new("min_length", libc::ENXIO, message));
        }
        if length > most {
            let message = format!("length {length} exceeds max_length {most}");
            return Err(Error::new("max_length", libc::EFBIG, message));
        }
        match self.uid {
            Some(uid) if uid != stat.owner => {
                let message =
                    format!("descriptor {number} belongs to user {}, not user {uid}", stat.owner);
                Err(Error::new("uid", libc::EACCES, message))
            }
            _ => Ok(()),
        }
    }

    /// Fails if no descriptor can meet the requirements.
    pub(crate) fn check_self(&self) -> Result<()> {
        let unknown = SEALS.iter().fold(self.seals, |rest, (seal, _)| rest & !seal);
        if unknown != 0 {
            return Err(Error::new(
                "seals",
                libc::EINVAL,
                format_args!("unknown seals {unknown:#x}"),
            ));
        }
        let (least, most) = (self.min_length, self.max_length);
        if least > most {
            let message = format!("min_length {least} exceeds max_length {most}");
            return Err(Error::new("min_length", libc::EINVAL, message));
        }
        Ok(())
    }
}

fn names(seals: i32) -> String {
    let named = SEALS.iter().filter(|(seal, _)| seals & seal != 0).map(|(_, name)| *name);
    named.collect::<Vec<_>>().join(", ")
}

/// A descriptor that was accepted without seals. Its content can change at any time, so there is no
/// safe slice of it: map it with [`MapOptions::map_fd`](crate::MapOptions::map_fd), and copy with
/// [`Map::read_at`](crate::Map::read_at).
///
/// ```compile_fail,E0308
/// let unsealed = bytefd::share::Requirements::new().no_seals().accept(bytefd::wrap(b"hello")?)?;
/// let bytes: &[u8] = &unsealed;
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug)]
pub struct Unsealed {
    fd: OwnedFd,
}

impl AsFd for Unsealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Unsealed {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<Unsealed> for OwnedFd {
    fn from(unsealed: Unsealed) -> OwnedFd {
        unsealed.fd
    }
}
