//! Limits for reading a stream: how many bytes, and how much time.

use std::time::Duration;

/// Limits how much is read from a stream, and how long that may take. The default sets no limits.
///
/// ```
/// use std::time::Duration;
/// let options = bytefd::StreamOptions::new().max_bytes(1 << 30).timeout(Duration::from_secs(10));
/// # Ok::<(), bytefd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a stream is read with them"]
pub struct StreamOptions {
    pub(super) max_bytes: Option<u64>,
    pub(super) size_hint: u64,
    pub(super) timeout: Option<Duration>,
    pub(super) interruptible: bool,
}

impl StreamOptions {
    /// Returns the default options.
    ///
    /// ```
    /// let options = bytefd::StreamOptions::new();
    /// ```
    pub fn new() -> StreamOptions {
        StreamOptions::default()
    }

    /// Maximum number of bytes to read. A longer stream fails with `EFBIG`.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let few = StreamOptions::new().max_bytes(4);
    /// let error = WrapOptions::new().wrap_reader(&b"hello"[..], &few).unwrap_err();
    /// assert_eq!(error.errno(), libc::EFBIG);
    /// ```
    pub fn max_bytes(mut self, bytes: u64) -> StreamOptions {
        self.max_bytes = Some(bytes).filter(|bytes| *bytes < u64::MAX);
        self
    }

    /// Sets the expected number of bytes, such as a Content-Length; 0 if it is not known. The
    /// stream may be longer or shorter.
    /// - Up to 1 MiB, the hint is the size of the first buffer.
    /// - Above 1 MiB, the hint decides where the file is. If the hint exceeds
    ///   [`WrapOptions::spill_threshold`](crate::WrapOptions::spill_threshold), the file is on
    ///   disk. A pool takes a cached file of about this size.
    /// - A regular file has a length, and needs no hint.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let fd = WrapOptions::new().wrap_reader(&b"hello"[..], &StreamOptions::new().size_hint(5))?;
    /// # Ok::<(), bytefd::Error>(())
    /// ```
    pub fn size_hint(mut self, bytes: u64) -> StreamOptions {
        self.size_hint = bytes;
        self
    }

    /// Limits the time of the whole call; `ETIMEDOUT` afterwards. Zero does not wait. The default
    /// is no limit. For [`WrapOptions::wrap_stream`](crate::WrapOptions::wrap_stream) and the other
    /// functions that read a descriptor; with a reader it is `EINVAL`.
    /// - The limit of a socket itself (SO_RCVTIMEO) has an effect only without a timeout and
    ///   without [`interruptible`](Self::interruptible).
    /// - A regular file always counts as ready. A file system that does not answer (FUSE, NFS) can
    ///   therefore hold the call longer than the timeout.
    ///
    /// ```
    /// use bytefd::{StreamOptions, WrapOptions};
    /// let (reader, _writer) = std::os::unix::net::UnixStream::pair()?;
    /// let options = StreamOptions::new().timeout(std::time::Duration::from_millis(1));
    /// let error = WrapOptions::new().wrap_stream(&reader, &options).unwrap_err();
    /// assert_eq!(error.errno(), libc::ETIMEDOUT);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timeout(mut self, time: Duration) -> StreamOptions {
        self.timeout = Some(time);
        self
    }

    /// Makes the call fail with `EINTR` if a signal handler runs while the call waits, even if the
    /// handler was installed with `SA_RESTART`. By default the call continues to wait. With a
    /// reader it is `EINVAL`.
    ///
    /// ```
    /// let options = bytefd::StreamOptions::new().interruptible(true);
    /// ```
    pub fn interruptible(mut self, yes: bool) -> StreamOptions {
        self.interruptible = yes;
        self
    }
}
