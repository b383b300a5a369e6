//! Streams into descriptors.

use std::ffi::c_int;

use super::arguments::open_descriptor;
use super::boundary::{boundary, bytefd_error};
use super::flags::BYTEFD_INTERRUPTIBLE;
use super::options::{Extensible, Flag, not_zero, read, set_flags, timeout};
use super::wrap_options::{bytefd_wrap_options, wrap_options};
use crate::{Result, StreamOptions};

/// How much is read from a stream, and how long that may take. Start from
/// BYTEFD_STREAM_OPTIONS_INIT: all of it, however long it takes, as is a NULL pointer. `size` works
/// as in bytefd_wrap_options.
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
    /// It is the size of the first buffer, up to 1 MiB. Above that it decides where the file is: on
    /// disk if it exceeds `spill_threshold`, and in a pool a cached file of about this size. The
    /// stream may be longer or shorter. A regular file needs no hint, because it has a length.
    pub size_hint: u64,
    /// How many nanoseconds the whole call may take; -ETIMEDOUT afterwards. -1 (the default) is no
    /// limit, 0 does not wait at all; other negative numbers are -EINVAL. With a timeout a limit of
    /// the socket (SO_RCVTIMEO) is not looked at. A regular file always counts as ready, so a file
    /// system that does not answer (FUSE, NFS) holds the call longer.
    pub timeout_ns: i64,
    /// BYTEFD_INTERRUPTIBLE or 0.
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

/// Reads from `fd` into a new file, from the present offset to the end, and returns the new file's
/// descriptor, as bytefd_wrap_buffer does with the same options. `fd` is a pipe, stream socket,
/// file or terminal; it stays the caller's, and its offset moves. At most 1 MiB is held in memory
/// besides the file.
///
/// The call blocks until the end of the stream, unless `timeout_ns` or BYTEFD_INTERRUPTIBLE ends
/// it. A pipe that does not block (O_NONBLOCK) is waited for too. A terminal whose other side is
/// closed (EIO) is at its end.
///
/// Returns the descriptor. On failure returns one of the following and keeps nothing; what was read
/// is gone from a pipe or socket:
/// - -EFBIG if the stream is longer than `max_bytes` or RLIMIT_FSIZE.
/// - -ETIMEDOUT if `timeout_ns` has passed, -EINTR if BYTEFD_INTERRUPTIBLE is set and a signal
///   handler ran.
/// - -EAGAIN if the socket does not block and has nothing to read yet, whatever the timeout; or if
///   the socket's own limit (SO_RCVTIMEO) has passed.
/// - -EPROTOTYPE if `fd` is a socket for datagrams or packets.
/// - -EBADF if `fd` is not open, or not for reading; -EISDIR if it is a directory; other errors of
///   read(2).
/// - -ENOSPC, -ENOMEM, -EMFILE, -ENFILE if a limit is reached; -EINVAL, -E2BIG if options are
///   invalid, as shm_wrap_buffer.
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
