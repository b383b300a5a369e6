//! Wraps streams.

use std::ffi::c_int;

use super::arguments::open_descriptor;
use super::boundary::{boundary, bytefd_error};
use super::flags::BYTEFD_INTERRUPTIBLE;
use super::options::{Extensible, Flag, not_zero, read, set_flags, timeout};
use super::wrap_options::{bytefd_wrap_options, wrap_options};
use crate::{Result, StreamOptions};

/// Limits how much is read from a stream, and how long that may take. Start from
/// BYTEFD_STREAM_OPTIONS_INIT, which sets no limits. A NULL pointer means the same. `size` works as
/// in bytefd_wrap_options.
///
/// ```c
/// bytefd_stream_options options = BYTEFD_STREAM_OPTIONS_INIT;
/// options.max_bytes = 1 << 30;
/// options.timeout_ns = 10 * 1000000000LL;
/// int fd = bytefd_wrap_stream(STDIN_FILENO, NULL, &options, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_stream_options {
    /// sizeof(bytefd_stream_options).
    pub size: usize,
    /// Maximum number of bytes to read. A longer stream fails with -EFBIG. BYTEFD_UNLIMITED (the
    /// default) sets no limit; 0 is -EINVAL.
    pub max_bytes: u64,
    /// The expected number of bytes, such as a Content-Length; 0 (the default) if it is not known.
    /// The stream may be longer or shorter.
    /// - Up to 1 MiB, the hint is the size of the first buffer.
    /// - Above 1 MiB, the hint decides where the file is. If the hint exceeds `spill_threshold`,
    ///   the file is on disk. A pool takes a cached file of about this size.
    /// - A regular file has a length, and needs no hint.
    pub size_hint: u64,
    /// Maximum time for the whole call in nanoseconds; -ETIMEDOUT afterwards. -1 (the default) sets
    /// no limit, and 0 does not wait. Other negative numbers are -EINVAL.
    /// - The limit of a socket itself (SO_RCVTIMEO) has an effect only with -1 and without
    ///   BYTEFD_INTERRUPTIBLE.
    /// - A regular file always counts as ready. A file system that does not answer (FUSE, NFS) can
    ///   therefore hold the call longer than the timeout.
    pub timeout_ns: i64,
    /// BYTEFD_INTERRUPTIBLE or 0 (the default).
    pub flags: u64,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_stream_options {
    const INIT: Self = bytefd_stream_options {
        size: 0,
        max_bytes: u64::MAX,
        size_hint: 0,
        timeout_ns: -1,
        flags: 0,
    };
    const FIRST_SIZE: usize = 40;
}

const FLAGS: &[Flag<StreamOptions>] = &[(BYTEFD_INTERRUPTIBLE, StreamOptions::interruptible)];

/// # Safety
/// As [`read`].
pub(super) unsafe fn stream_options(from: *const bytefd_stream_options) -> Result<StreamOptions> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    let options = set_flags(given.flags, FLAGS, StreamOptions::new())?
        .max_bytes(not_zero(given.max_bytes, "max_bytes", "BYTEFD_STREAM_OPTIONS_INIT")?)
        .size_hint(given.size_hint);
    Ok(match timeout(given.timeout_ns, "timeout_ns")? {
        Some(time) => options.timeout(time),
        None => options,
    })
}

/// Reads `fd` to its end into a new file, and returns a descriptor for that file. Reading begins at
/// the present offset. The new descriptor is as bytefd_wrap_buffer makes it with the same options.
///
/// `fd` is a pipe, stream socket, file or terminal. It stays the caller's, and its offset moves. At
/// most 1 MiB is held in memory besides the new file, except in the two cases below.
///
/// If the stream is longer than 1 MiB, the bytes after the first MiB are read straight into a huge
/// page of the file, where the host provides one. In two cases the content is copied once more, and
/// two files exist for a moment:
/// - The kernel refuses to seal the file, because a child that another thread has forked maps it,
///   or the kernel still uses its pages.
/// - The stream exceeds `spill_threshold`, and the file was in memory until then.
///
/// The call blocks until the end of the stream, unless `timeout_ns` or BYTEFD_INTERRUPTIBLE ends
/// it. It also waits for a pipe that does not block (O_NONBLOCK). A terminal whose other side is
/// closed (EIO) is at its end.
///
/// Returns the descriptor. On failure, returns one of the following and keeps nothing. The bytes
/// that were read from a pipe or socket are lost.
/// - -EFBIG if the stream is longer than `max_bytes` or RLIMIT_FSIZE.
/// - -ETIMEDOUT if `timeout_ns` has passed.
/// - -EINTR if BYTEFD_INTERRUPTIBLE is set and a signal handler ran.
/// - -EAGAIN if the socket does not block and nothing has been read, whatever the timeout; or if
///   the socket's own limit (SO_RCVTIMEO) has passed.
/// - -EPROTOTYPE if `fd` is a socket for datagrams or packets.
/// - -EBADF if `fd` is not open, or not open for reading.
/// - -EISDIR if `fd` is a directory.
/// - -ENOSPC, -ENOMEM, -EMFILE, -ENFILE if a limit is reached.
/// - -EINVAL, -E2BIG if options are invalid, as for bytefd_wrap_buffer.
/// - Other errors of read(2).
///
/// ```c
/// int fd = bytefd_wrap_stream(STDIN_FILENO, NULL, NULL, NULL);
/// if (fd >= 0)
///     close(fd);
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_wrap_stream(
    fd: c_int,
    options: *const bytefd_wrap_options,
    stream: *const bytefd_stream_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options.
    boundary(error, || unsafe {
        let (wrap, stream) = (wrap_options(options)?, stream_options(stream)?);
        wrap.wrap_stream(open_descriptor(fd)?, &stream)
    })
}
