//! Streams into descriptors.

use std::ffi::c_int;

use super::arguments::open_descriptor;
use super::boundary::{boundary, bytefd_error};
use super::options::{Extensible, read};
use crate::{Result, StreamOptions};

/// How much is taken from a stream, and where it goes. Start from BYTEFD_STREAM_OPTIONS_INIT, which is all of it, in memory, as is a
/// NULL pointer. `size` works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_stream_options options = BYTEFD_STREAM_OPTIONS_INIT;
/// options.most = 1 << 30;
/// int fd = bytefd_wrap_stream(STDIN_FILENO, &options, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_stream_options {
    /// sizeof(bytefd_stream_options).
    pub size: usize,
    /// A stream of more bytes is -EFBIG. 0 for any number.
    pub most: u64,
    /// Above so many bytes the content is in an unlinked file in $TMPDIR, /tmp or /var/tmp instead of memory, which cannot be sealed: the
    /// descriptor is read-only then. 0 for never.
    pub spill_above: u64,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_stream_options {
    const FIRST_SIZE: usize = 24;
}

/// # Safety
/// As [`read`].
unsafe fn stream_options(from: *const bytefd_stream_options) -> Result<StreamOptions> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    let mut wanted = StreamOptions::new();
    if given.most > 0 {
        wanted = wanted.most(given.most);
    }
    if given.spill_above > 0 {
        wanted = wanted.spill_above(given.spill_above);
    }
    Ok(wanted)
}

/// Reads what is behind a descriptor – a pipe, stream socket, file, terminal – from where it is to its end, into a descriptor as shm_wrap_buffer
/// gives. The bytes go where they stay, and are never held twice. Blocks until the end has come: interrupted reads go on, and a
/// descriptor that does not block (EAGAIN) is waited for. `fd` stays the caller's.
///
/// Returns the descriptor, or a negative errno with nothing kept; what was read is gone from a pipe or socket.
/// - -EFBIG: more than `most` bytes, or than RLIMIT_FSIZE. -ENOSPC, -ENOMEM, -EMFILE, -ENFILE: no room, memory or descriptors left.
/// - -EAGAIN: a time limit of the socket (SO_RCVTIMEO) has passed. -EPROTOTYPE: a socket of datagrams or packets.
/// - -EBADF: `fd` is not open, or not for reading; -EISDIR; read(2)'s own. -EINVAL, -E2BIG: options that are unknown.
///
/// ```c
/// int fd = bytefd_wrap_stream(STDIN_FILENO, NULL, NULL);
/// if (fd >= 0)
///     close(fd);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_wrap_stream(
    fd: c_int,
    options: *const bytefd_stream_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid options.
    boundary(error, || unsafe { stream_options(options)?.wrap_stream(open_descriptor(fd)?) })
}
