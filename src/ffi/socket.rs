//! Descriptors over Unix sockets, and what to ask of them.

use std::ffi::{c_int, c_void};

use super::arguments::{bytes, bytes_mut, check_buffer, descriptor, descriptors, open_descriptor};
use super::boundary::{boundary, bytefd_error};
use super::options::{Extensible, check_flags, read};
use super::results::{put, put_descriptors};
use crate::share::{self, Requirements};
use crate::{Error, Result};

/// `owner` counts.
pub const BYTEFD_REQUIRE_OWNER: u32 = 1;
/// No seals are asked for, not even the default ones. What is read then can change or go at any time.
pub const BYTEFD_REQUIRE_NO_SEALS: u32 = 2;

/// What is asked of a descriptor that somebody else has made: a regular file, opened for reading, and the following. Start from
/// BYTEFD_REQUIREMENTS_INIT, which asks for seals against writing and shrinking, as a NULL pointer does for bytefd_verify. `size`
/// works as in bytefd_wrap_options.
///
/// ```c
/// bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
/// requirements.length = 4096;
/// int status = bytefd_verify(STDIN_FILENO, &requirements, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_requirements {
    /// sizeof(bytefd_requirements).
    pub size: usize,
    /// At least so many bytes.
    pub length: u64,
    /// At least these seals, F_SEAL_* of fcntl(2); more are fine. 0 is F_SEAL_WRITE | F_SEAL_SHRINK.
    pub seals: u32,
    /// BYTEFD_REQUIRE_OWNER and BYTEFD_REQUIRE_NO_SEALS, or-ed. An unknown bit is -EINVAL.
    pub flags: u32,
    /// With BYTEFD_REQUIRE_OWNER: the file belongs to this user.
    pub owner: u32,
}

// SAFETY: integers, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_requirements {
    const FIRST_SIZE: usize = 32;
}

/// # Safety
/// As [`read`].
unsafe fn requirements(from: *const bytefd_requirements) -> Result<Requirements> {
    // SAFETY: the caller vouches for it.
    let given = unsafe { read(from)? };
    check_flags(given.flags, BYTEFD_REQUIRE_OWNER | BYTEFD_REQUIRE_NO_SEALS)?;
    let mut wanted = Requirements::new().length(given.length);
    match (given.flags & BYTEFD_REQUIRE_NO_SEALS != 0, given.seals) {
        (true, 0) => wanted = wanted.seals(0),
        (true, seals) => {
            let message = format_args!("asked for no seals, and for {seals:#x}");
            return Err(Error::new("options", libc::EINVAL, message));
        }
        (false, 0) => {}
        (false, seals) => wanted = wanted.seals(seals as i32),
    }
    Ok(if given.flags & BYTEFD_REQUIRE_OWNER != 0 { wanted.owner(given.owner) } else { wanted })
}

/// Whether a descriptor is what is asked for. What is sealed stays so; without F_SEAL_SHRINK the length, and the owner in any case,
/// can be another the moment after. NULL is BYTEFD_REQUIREMENTS_INIT.
///
/// Returns 0, or a negative errno:
/// - -EISDIR: a directory. -ENODEV: anything else that is not a regular file.
/// - -EPERM: seals are missing, or the file cannot have any.
/// - -ENXIO: it is shorter than asked.
/// - -EACCES: it belongs to another user, or was not opened for reading.
/// - -EBADF: `fd` is not an open descriptor. -EINVAL, -E2BIG: requirements that are unknown or contradict each other.
///
/// ```c
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (bytefd_verify(fd, NULL, NULL) == 0)
///     puts("nobody can change it");
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_verify(
    fd: c_int,
    requirements: *const bytefd_requirements,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for valid requirements.
    boundary(error, || unsafe { self::requirements(requirements)?.check(open_descriptor(fd)?) })
}

/// Sends a message of `length` bytes and `count` descriptors over a Unix socket, unix(7): a stream, datagrams or sequenced packets. The
/// receiver gets descriptors of the same descriptions (SCM_RIGHTS); those here stay the caller's. Nothing is added to the bytes, so the
/// other end can be anybody's code. No SIGPIPE is raised.
///
/// On a stream the message goes out whole, in parts if need be: interrupted and short transfers go on, also on a socket that does not
/// block, once something was sent. More than 253 descriptors are sent in parts too, each with one byte at least.
///
/// Returns 0, or a negative errno. On a stream part of the message may have gone out then.
/// - -EINVAL: `message` is NULL and `length` not 0, or `fds` is and `count` not 0; on a stream no bytes, or fewer than parts.
/// - -E2BIG: more than 253 descriptors in one datagram or packet. -EMSGSIZE: it is too long.
/// - -EBADF: one of the descriptors is not open. -ENOTSOCK, -EPROTOTYPE: `socket` is no socket, or none of the Unix family.
/// - -EPIPE, -ECONNRESET, for datagrams -ECONNREFUSED: nobody receives any more.
/// - -EAGAIN: the socket does not block and takes nothing now, or its time limit (SO_SNDTIMEO) has passed.
/// - -ETOOMANYREFS: too many descriptors are in flight; sendmsg(2)'s own.
///
/// ```c
/// int pair[2];
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
///     bytefd_send(pair[0], "!", 1, &fd, 1, NULL);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_send(
    socket: c_int,
    message: *const c_void,
    length: usize,
    fds: *const c_int,
    count: usize,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `length` bytes, and for `count` descriptors that stay open.
    boundary(error, || unsafe {
        let (message, fds) = (bytes(("message", "length"), message, length)?, descriptors(fds, count)?);
        share::send(descriptor(socket)?, message, fds)
    })
}

/// Receives a message with exactly `count` descriptors, writes its bytes to `message`, how many there are to `*received`, and the
/// descriptors to `fds`: the caller's, and close-on-exec from the start. With `requirements` each of them is looked at as by bytefd_verify,
/// and all are refused if one is not what is asked for; NULL asks for nothing.
///
/// On a stream the message is `length` bytes long, and is waited for: interrupted and short transfers go on, also on a socket that does
/// not block, once something has arrived. Datagrams and packets may be shorter.
///
/// Returns 0, or a negative errno; `*received` and `fds` are untouched then, and the descriptors that came are closed. (`message` may
/// have been written to.)
/// - -EBADMSG: another number of descriptors has come.
/// - -EMSGSIZE: the datagram or packet is longer than `length`.
/// - -EMFILE: the kernel could not deliver all descriptors: RLIMIT_NOFILE, or a security module forbids it.
/// - -ENODATA: the other end was closed, and no byte of a message has come (an empty packet of one who has gone looks the
///   same). -ECONNRESET: it was closed within a message, or before it had read all that was sent to it.
/// - -EAGAIN: the socket does not block and has nothing now, or its time limit (SO_RCVTIMEO) has passed.
/// - bytefd_verify's own, for a descriptor that is not what is asked for.
/// - -EINVAL: `message`, `received` or `fds` is NULL where it must not be, or `length` is 0 on a stream. -ENOTSOCK, -EPROTOTYPE: `socket` is
///   no socket, or none of the Unix family; recvmsg(2)'s own.
///
/// ```c
/// char message[1];
/// size_t received;
/// int fd;
/// bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
/// if (bytefd_receive(STDIN_FILENO, message, 1, &received, &fd, 1, &requirements, NULL) == 0)
///     close(fd);
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_receive(
    socket: c_int,
    message: *mut c_void,
    length: usize,
    received: *mut usize,
    fds: *mut c_int,
    count: usize,
    requirements: *const bytefd_requirements,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `length` writable bytes, for room for `count` descriptors, for a writable pointer and for
    // valid requirements.
    boundary(error, || unsafe {
        let room = bytes_mut(("message", "length"), message, length)?;
        check_buffer("fds", fds.cast(), count)?;
        put(received, "received", || {
            let wanted = if requirements.is_null() { None } else { Some(self::requirements(requirements)?) };
            let (bytes, found) = share::receive(descriptor(socket)?, room, count)?;
            if let Some(wanted) = wanted {
                found.iter().try_for_each(|fd| wanted.check(fd))?;
            }
            put_descriptors(fds, found);
            Ok(bytes)
        })
    })
}

/// Who is at the other end of a connected socket, as the kernel saw it then.
///
/// ```c
/// bytefd_credentials peer;
/// if (bytefd_peer(STDIN_FILENO, &peer, NULL) == 0)
///     printf("process %d of user %u\n", peer.process, (unsigned)peer.user);
/// ```
#[repr(C)]
pub struct bytefd_credentials {
    /// Its number, as this process sees it; 0 if it cannot. It may have ended, and the number be somebody else's by now.
    pub process: c_int,
    /// Its effective user.
    pub user: u32,
    /// Its effective group.
    pub group: u32,
}

/// Writes to `*peer` who called connect(2), listen(2) or socketpair(2) for the other end of a socket: SO_PEERCRED, unix(7). Nobody can
/// pretend. Who has the other end now may be somebody else, because sockets are inherited and sent.
///
/// Returns 0, or a negative errno with `*peer` untouched: -EINVAL if `peer` is NULL; -ENOTCONN: not connected, or one
/// for datagrams that socketpair(2) has not made; -EBADF, -ENOTSOCK, -EPROTOTYPE.
///
/// ```c
/// int pair[2];
/// bytefd_credentials peer;
/// if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && bytefd_peer(pair[0], &peer, NULL) == 0)
///     printf("%d is %d\n", peer.process, (int)getpid());
/// ```
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bytefd_peer(socket: c_int, peer: *mut bytefd_credentials, error: *mut bytefd_error) -> c_int {
    // SAFETY: the header asks for a writable struct.
    boundary(error, || unsafe {
        put(peer, "peer", || {
            let share::Peer { process, user, group } = share::peer(open_descriptor(socket)?)?;
            Ok(bytefd_credentials { process, user, group })
        })
    })
}
