//! Errors: the step, the errno, one readable line.

use std::fmt;
use std::io;

/// The result of most functions of this crate. The methods that seal a map or a writer return a
/// [`SealError`](crate::SealError) instead, which keeps what was to be sealed.
///
/// ```
/// fn wrapped() -> bytefd::Result<std::os::fd::OwnedFd> {
///     bytefd::wrap(b"hello")
/// }
/// # wrapped().unwrap();
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// Describes a failed call: the step that failed, its errno, and one line that says what was asked
/// and what was found.
///
/// ```
/// let error = bytefd::MapOptions::new().open("/no/such/file").unwrap_err();
/// assert_eq!(error.op(), "stat");
/// assert_eq!(error.errno(), libc::ENOENT);
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "stat: /no/such/file: No such file or directory");
/// ```
///
/// It converts to [`io::Error`], which contains the whole error ([`io::Error::get_ref`]). Its
/// `raw_os_error` and `source` return `None`. To get the errno:
///
/// ```
/// let error = std::io::Error::from(bytefd::WrapOptions::new().name("a/b").wrap(b"").unwrap_err());
/// let source = error.get_ref().and_then(|source| source.downcast_ref::<bytefd::Error>());
/// assert_eq!(source.map(bytefd::Error::errno), Some(libc::EINVAL));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[error("{op}: {message}")]
pub struct Error {
    op: &'static str,
    errno: i32,
    message: Box<str>,
}

impl Error {
    /// Makes an error that this crate has detected itself. `message` says what was asked and what
    /// was found.
    pub(crate) fn new(op: &'static str, errno: i32, message: impl fmt::Display) -> Error {
        Error { op, errno, message: message.to_string().into() }
    }

    /// Returns the step that failed: a system call (`"memfd_create"`), or the argument that was
    /// refused (`"name"`). It has at most 31 bytes.
    ///
    /// ```
    /// assert_eq!(bytefd::WrapOptions::new().name("a/b").wrap(b"").unwrap_err().op(), "name");
    /// ```
    pub fn op(&self) -> &'static str {
        self.op
    }

    /// Returns the errno, which is always positive.
    ///
    /// ```
    /// let error = bytefd::WrapOptions::new().name("a/b").wrap(b"").unwrap_err();
    /// assert_eq!(error.errno(), libc::EINVAL);
    /// ```
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// Returns the kind that std gives to this errno.
    ///
    /// ```
    /// let error = bytefd::WrapOptions::new().name("a/b").wrap(b"").unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    pub fn kind(&self) -> io::ErrorKind {
        io::Error::from_raw_os_error(self.errno).kind()
    }

    /// Returns the explanation, without the name of the step.
    ///
    /// ```
    /// let error = bytefd::WrapOptions::new().mode(0o200).wrap(b"").unwrap_err();
    /// assert_eq!(error.message(), "mode 0200 does not let the owner read");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<Error> for io::Error {
    /// Returns an error of the errno's kind that contains this error. [`Error`] shows how to get
    /// the errno.
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

/// A bare errno, which `sys` returns. It becomes an [`Error`] where the purpose of the call is
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub i32);

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // std adds the number, which the error has already.
        let text = io::Error::from_raw_os_error(self.0).to_string();
        f.write_str(text.strip_suffix(&format!(" (os error {})", self.0)).unwrap_or(&text))
    }
}

/// Turns a bare errno into an [`Error`] by adding the step and its object.
pub(crate) trait Context<T> {
    /// Adds the step and its object. `what` is only called on failure.
    fn context<M: fmt::Display>(self, op: &'static str, what: impl FnOnce() -> M) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn context<M: fmt::Display>(self, op: &'static str, what: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|errno| Error::new(op, errno.0, format_args!("{}: {errno}", what())))
    }
}
