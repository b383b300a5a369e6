//! Bytes that no process can change, and the error of a seal that failed.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::map::Map;
use super::options::MapOptions;
use crate::error::{Context, Error, Result};
use crate::sys::file;

/// The bytes of a sealed file, and its descriptor. Nothing can change or shrink the file, so the
/// bytes are a safe slice.
///
/// The file is mapped, so its bytes begin where a page does. Content of up to 16 KiB that a
/// [`MapWriter`](crate::MapWriter) has collected stays where it is instead, which costs less than
/// mapping it.
///
/// Made by [`MapWriter::seal`](crate::MapWriter::seal), [`Map::seal`] and
/// [`Requirements::accept`](crate::share::Requirements::accept).
///
/// ```
/// use std::io::Write;
/// let mut writer = bytefd::MapWriter::new()?;
/// writer.write_all(b"hello")?;
/// let sealed = writer.seal()?;
/// assert_eq!(&sealed[..], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Code that takes an owner of bytes (`AsRef<[u8]> + Send + 'static`), such as
/// `bytes::Bytes::from_owner`, accepts a `Sealed`. No code can write to it:
///
/// ```compile_fail,E0594
/// let mut sealed = bytefd::MapWriter::new()?.seal()?;
/// sealed[0] = b'!';
/// # Ok::<(), bytefd::Error>(())
/// ```
pub struct Sealed {
    bytes: Bytes,
    fd: OwnedFd,
}

enum Bytes {
    Map(Map),
    /// The private memory of which the file was made. No code can change the memory or the file.
    Copied(Vec<u8>),
}

/// Maximum size of content that is kept in private memory. Up to this size that takes less time
/// than mapping the file.
const MOST_COPIED: usize = 16 << 10;

/// The seals that are required: without them the bytes can change or disappear.
const SEALS: i32 = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK;

impl Sealed {
    /// Maps the whole of a file that is sealed against writing and shrinking.
    ///
    /// # Errors
    /// `EPERM` if one of the two seals is missing; the errors of [`MapOptions::map_fd`].
    pub(crate) fn new(fd: OwnedFd) -> Result<Sealed> {
        check_seals(&fd)?;
        Sealed::map(fd)
    }

    fn map(fd: OwnedFd) -> Result<Sealed> {
        Ok(Sealed { bytes: Bytes::Map(MapOptions::new().map_fd(&fd)?), fd })
    }

    /// Makes a `Sealed` of a sealed file that has these bytes. Takes `bytes` if they are few;
    /// otherwise maps the file, and leaves `bytes` unchanged.
    pub(super) fn copied(bytes: &mut Vec<u8>, fd: OwnedFd) -> Result<Sealed> {
        if bytes.len() > MOST_COPIED {
            return Sealed::map(fd);
        }
        Ok(Sealed { bytes: Bytes::Copied(std::mem::take(bytes)), fd })
    }

    /// Makes a `Sealed` of a map that was sealed, which is read-only now, and of the descriptor of
    /// its file.
    pub(super) fn of(map: Map, fd: OwnedFd) -> Sealed {
        Sealed { bytes: Bytes::Map(map), fd }
    }
}

fn check_seals(fd: &OwnedFd) -> Result<()> {
    let number = fd.as_raw_fd();
    let found =
        file::seals(fd.as_fd()).context("fcntl F_GET_SEALS", || format!("descriptor {number}"))?;
    let missing = match SEALS & !found {
        0 => return Ok(()),
        libc::F_SEAL_SHRINK => "F_SEAL_SHRINK",
        libc::F_SEAL_WRITE => "F_SEAL_WRITE",
        _ => "F_SEAL_SHRINK, F_SEAL_WRITE",
    };
    let has = if found == 0 { "not sealed".into() } else { format!("sealed with {found:#x} only") };
    let message = format!("descriptor {number} is {has} (missing {missing})");
    Err(Error::new("seals", libc::EPERM, message))
}

/// Describes a failed seal: the error, and what was to be sealed, with its bytes.
///
/// ```
/// let map = bytefd::MapOptions::new().open("/etc/passwd")?;
/// let failure = map.seal().unwrap_err();
/// assert_eq!(failure.error().errno(), libc::EINVAL);
/// let map = failure.into_inner();
/// assert!(!map.is_empty());
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SealError<T: fmt::Debug> {
    #[source]
    error: Error,
    // In a box, so that a `Result` with this error stays small.
    inner: Box<T>,
}

impl<T: fmt::Debug> SealError<T> {
    pub(super) fn new(error: Error, inner: T) -> SealError<T> {
        SealError { error, inner: Box::new(inner) }
    }

    /// Returns the error with which sealing failed.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().map_fd(&bytefd::wrap(b"hello")?)?;
    /// let failure = map.seal().unwrap_err();
    /// assert_eq!(failure.error().errno(), libc::EINVAL);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns what was to be sealed, with its content.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().map_fd(&bytefd::wrap(b"hello")?)?;
    /// let failure = map.seal().unwrap_err();
    /// assert_eq!(failure.into_inner().len(), 5);
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        *self.inner
    }

    /// Returns the error, and what was to be sealed.
    ///
    /// ```
    /// let map = bytefd::MapOptions::new().map_fd(&bytefd::wrap(b"hello")?)?;
    /// let failure = map.seal().unwrap_err();
    /// let (error, map) = failure.into_parts();
    /// assert_eq!((error.errno(), map.len()), (libc::EINVAL, 5));
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn into_parts(self) -> (Error, T) {
        (self.error, *self.inner)
    }
}

/// Drops what was to be sealed.
impl<T: fmt::Debug> From<SealError<T>> for Error {
    fn from(failure: SealError<T>) -> Error {
        failure.error
    }
}

/// Drops what was to be sealed.
impl<T: fmt::Debug> From<SealError<T>> for io::Error {
    fn from(failure: SealError<T>) -> io::Error {
        failure.error.into()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Sealed").field("length", &self.len()).field("fd", &self.fd).finish()
    }
}

impl Deref for Sealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let map = match &self.bytes {
            Bytes::Copied(bytes) => return bytes,
            Bytes::Map(map) => map,
        };
        // SAFETY: the file was found sealed against writing and shrinking before it was mapped, and
        // seals are never removed. No other code has the map, so none can unmap or protect a part
        // of it.
        unsafe { map.as_slice() }
    }
}

impl AsRef<[u8]> for Sealed {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Sealed {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Unmaps the bytes and keeps the descriptor.
impl From<Sealed> for OwnedFd {
    fn from(sealed: Sealed) -> OwnedFd {
        sealed.fd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_change_is_sealed() {
        let sealed = Sealed::new(crate::wrap(b"hello").expect("a sealed file")).expect("sealed");
        assert_eq!(&sealed[..], b"hello");
        for seals in
            [0, libc::F_SEAL_WRITE, libc::F_SEAL_SHRINK, libc::F_SEAL_GROW | libc::F_SEAL_WRITE]
        {
            let fd = crate::WrapOptions::new().writable(true).wrap(b"hello").expect("a file");
            file::add_seals(fd.as_fd(), seals).expect("seals");
            assert_eq!(Sealed::new(fd).expect_err("not sealed").errno(), libc::EPERM, "{seals:#x}");
        }
    }
}
