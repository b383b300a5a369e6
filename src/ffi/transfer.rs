//! Sends and receives messages with descriptors over Unix sockets, and identifies the peer.

use std::ffi::{c_int, c_void};

use super::arguments::{
    bytes, bytes_mut, check_buffer, check_count, descriptor, descriptors, number_at,
    open_descriptor,
};
use super::boundary::{boundary, bytefd_error};
use super::flags::BYTEFD_INTERRUPTIBLE;
use super::options::{Extensible, check_flags, read, timeout};
use super::requirements::{bytefd_requirements, requirements};
use super::results::{fill, put, put_descriptors};
use crate::Result;
use crate::share::{self, TransferOptions};

/// Makes bytefd_receive return what has arrived on a stream, at least one byte, instead of waiting
/// for `*length` bytes. Protocols whose messages contain their length, such as D-Bus, Wayland and
/// varlink, are read this way. On sockets for datagrams and packets the flag changes nothing: each
/// call receives one datagram or packet.
pub const BYTEFD_TRANSFER_SOME: u64 = 1u64 << 22;

/// Selects how bytefd_send and bytefd_receive wait, and where a message on a stream ends. Start
/// from BYTEFD_TRANSFER_OPTIONS_INIT. A NULL pointer means the same. `size` works as in
/// bytefd_wrap_options.
///
/// ```c
/// bytefd_transfer_options soon = BYTEFD_TRANSFER_OPTIONS_INIT;
/// soon.timeout_ns = 1000000000;
/// int status = bytefd_send(STDOUT_FILENO, "!", 1, NULL, 0, &soon, NULL);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_transfer_options {
    /// sizeof(bytefd_transfer_options).
    pub size: usize,
    /// Maximum time for the whole call in nanoseconds; -ETIMEDOUT afterwards. -1 (the default) sets
    /// no limit, and 0 does not wait. The time limits of the socket (SO_RCVTIMEO, SO_SNDTIMEO) have
    /// an effect only with -1 and without BYTEFD_INTERRUPTIBLE.
    pub timeout_ns: i64,
    /// BYTEFD_TRANSFER_SOME and BYTEFD_INTERRUPTIBLE, or-ed. 0 (the default) sets none.
    pub flags: u64,
}

// SAFETY: integers without padding, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_transfer_options {
    const INIT: Self = bytefd_transfer_options { size: 0, timeout_ns: -1, flags: 0 };
    const FIRST_SIZE: usize = 24;
}

/// # Safety
/// As [`read`].
unsafe fn transfer_options(from: *const bytefd_transfer_options) -> Result<TransferOptions> {
    // SAFETY: the caller vouches for it.
    let bytefd_transfer_options { timeout_ns, flags, .. } = unsafe { read(from)? };
    check_flags(flags, BYTEFD_TRANSFER_SOME | BYTEFD_INTERRUPTIBLE)?;
    let options = TransferOptions::new()
        .some(flags & BYTEFD_TRANSFER_SOME != 0)
        .interruptible(flags & BYTEFD_INTERRUPTIBLE != 0);
    Ok(match timeout(timeout_ns, "timeout_ns")? {
        Some(time) => options.timeout(time),
        None => options,
    })
}

/// Sends a message of `length` bytes and `count` descriptors over a Unix socket, unix(7): a stream,
/// datagrams or sequenced packets. The receiver gets descriptors of the same open file descriptions
/// (SCM_RIGHTS); the caller keeps those at `fds`. Nothing is added to the bytes, so that the
/// receiver need not use this library. No SIGPIPE is raised.
///
/// On a stream the whole message is sent, in parts if necessary. Only one thread or process may
/// send on a stream at a time; otherwise the parts of their messages can be mixed. When a part has
/// been sent, the call waits even for a socket that does not block. More than 253 descriptors are
/// also sent in parts, each with at least one byte.
///
/// Returns 0. On failure, returns one of the following. On a stream nothing was sent after -EINVAL,
/// -E2BIG, -ENOTSOCK, -EPROTOTYPE, or the -EAGAIN of a socket that does not block. After any other
/// failure on a stream, a part of the message may have been sent (`error->message` says how much),
/// and the caller must close the socket.
/// - -EINVAL  if `message` is NULL and `length` is not 0, or `fds` is NULL and `count` is not 0.
/// - -EINVAL  if a stream would get no bytes, or fewer bytes than parts (one part for each 253
///   descriptors).
/// - -EINVAL  if BYTEFD_TRANSFER_SOME is set.
/// - -EINVAL, -E2BIG  if the options are invalid.
/// - -E2BIG   if a datagram or packet has more than 253 descriptors.
/// - -EMSGSIZE  if a datagram or packet is too long.
/// - -EBADF   if one of the descriptors is not open.
/// - -ENOTSOCK  if `socket` is not a socket.
/// - -EPROTOTYPE  if `socket` is not a Unix socket.
/// - -EPIPE, -ECONNRESET  if the other end is closed; -ECONNREFUSED for datagrams.
/// - -EAGAIN if the socket does not block and nothing was sent, whatever the timeout; or if the
///   socket's own limit (SO_SNDTIMEO) has passed; a part may then have been sent.
/// - -ETIMEDOUT, -EINTR  as the options say.
/// - -ETOOMANYREFS if too many descriptors are in flight.
/// - -ENOTCONN if the socket is not connected.
/// - Other errors of sendmsg(2).
///
/// ```c
/// int pair[2];
/// int fd = shm_wrap_buffer("hello", 5, NULL, NULL);
/// if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0
///     && bytefd_send(pair[0], "!", 1, &fd, 1, NULL, NULL) == 0)
///     puts("sent");
/// ```
///
/// cbindgen:postfix=BYTEFD_READS(2, 3) BYTEFD_READS(4, 5)
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_send(
    socket: c_int,
    message: *const c_void,
    length: usize,
    fds: *const c_int,
    count: usize,
    options: *const bytefd_transfer_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for `length` bytes, for `count` descriptors that stay open, and for
    // valid options.
    boundary(error, || unsafe {
        let (message, fds) =
            (bytes(("message", "length"), message, length)?, descriptors(fds, count)?);
        transfer_options(options)?.send(descriptor(socket)?, message, fds)
    })
}

/// Receives a message and its descriptors. Before the call, `*length` is the capacity of `message`
/// in bytes, and `*count` the number of descriptors that fit into `fds`. On success the call sets
/// both to what has arrived. The caller owns the descriptors. They are close-on-exec from the
/// start. Each shares its file offset and status flags with the sender's descriptor, also if the
/// file is sealed. Read with pread(2), map the file, or call bytefd_reopen for an offset of its
/// own.
///
/// Fewer descriptors than fit are allowed; more are -EBADMSG. Each descriptor is checked against
/// `requirements` as bytefd_verify does, and the call fails if one does not meet them. NULL
/// requires nothing.
///
/// What a message is depends on the socket:
/// - On a stream the message is exactly `*length` bytes, and the call waits for all of them. When
///   one byte has arrived, it waits even on a socket that does not block.
/// - On a stream with BYTEFD_TRANSFER_SOME the message is what has arrived, at least one byte.
/// - Only one thread or process may receive from a stream at a time; otherwise each can get parts
///   of a message.
/// - On other sockets the message is one datagram or packet, which may be shorter than `*length`.
///
/// On a stream, every failure after the first byte of a message loses the message:
/// - The call reads and discards the rest, so that the next call never sees a mixture of two
///   messages. With BYTEFD_TRANSFER_SOME there is no rest.
/// - After -ETIMEDOUT, -EINTR or -EAGAIN the call does not wait for the rest. After other failures
///   it waits for the rest until the timeout has passed, or until nothing has arrived for a second.
/// - If the rest has not arrived then, and the other end is open, the call shuts the socket down
///   for receiving instead. `error->message` says so.
///
/// A failure before the first byte, such as -ETIMEDOUT or -EAGAIN, loses nothing, and the socket
/// stays usable.
///
/// With a `*count` of 0 the kernel drops descriptors that arrive, instead of delivering them, and
/// the call fails with -EBADMSG if it has dropped any. If SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD or
/// one of SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING is set on the socket, dropped
/// descriptors cannot be told from other dropped data, and the call succeeds.
///
/// Warning: a failure can block, whatever the timeout. The last step of a failed call closes the
/// received descriptors. On FUSE and NFS, close(2) of a file waits for the server of the file
/// system. The caller's own close(2) of a received descriptor does so too. With a `*count` of 0
/// there is nothing to close.
///
/// Returns 0. On failure, returns one of the following, closes the received descriptors, and leaves
/// `*length`, `*count` and `fds` unchanged. (`message` may have been written.)
/// - -EBADMSG  if more descriptors arrived than fit.
/// - -EMSGSIZE  if the datagram or packet is longer than `*length`.
/// - -EMFILE  if the kernel could not deliver all descriptors, because of RLIMIT_NOFILE or a
///   security module.
/// - -ENODATA  if the other end is closed, or the socket was shut down for receiving, before a byte
///   of a message arrived. (An empty packet of a peer that has gone looks the same.)
/// - -ECONNRESET  if the other end was closed within a message, or before it had read all that was
///   sent to it.
/// - -EAGAIN  if nothing has arrived and the socket does not block, whatever the timeout; or if the
///   socket's own limit (SO_RCVTIMEO) has passed.
/// - -ETIMEDOUT, -EINTR  as the options say.
/// - The errors of bytefd_verify, if a descriptor does not meet the requirements.
/// - -EINVAL if `length` or `count` is NULL, `message` is NULL and `*length` is not 0, or `fds` is
///   NULL and `*count` is not 0.
/// - -EINVAL  if `*length` is 0 on a stream.
/// - -EINVAL, -E2BIG  if the requirements or options are invalid.
/// - -ENOTSOCK  if `socket` is not a socket.
/// - -EPROTOTYPE  if `socket` is not a Unix socket.
/// - Other errors of recvmsg(2).
///
/// ```c
/// char message[1];
/// size_t length = sizeof message, count = 1;
/// int fd;
/// bytefd_requirements requirements = BYTEFD_REQUIREMENTS_INIT;
/// int status = bytefd_receive(STDIN_FILENO, message, &length, &fd, &count,
///                             &requirements, NULL, NULL);
/// if (status == 0 && count == 1)
///     close(fd);
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_receive(
    socket: c_int,
    message: *mut c_void,
    length: *mut usize,
    fds: *mut c_int,
    count: *mut usize,
    requirements: *const bytefd_requirements,
    options: *const bytefd_transfer_options,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for two numbers, for as many writable bytes and descriptors as they
    // say, and for valid requirements and options.
    boundary(error, || unsafe {
        let (size, capacity) = (number_at(length, "length")?, number_at(count, "count")?);
        let buffer = bytes_mut(("message", "length"), message, size)?;
        check_buffer("fds", fds.cast(), capacity)?;
        check_count(capacity)?;
        let wanted =
            if requirements.is_null() { None } else { Some(self::requirements(requirements)?) };
        let check = |fd: &_| wanted.as_ref().map_or(Ok(()), |wanted| wanted.check(fd));
        let (bytes, found) = transfer_options(options)?.receive_checked(
            descriptor(socket)?,
            buffer,
            capacity,
            check,
        )?;
        put(length, "length", || Ok(bytes))?;
        put(count, "count", || Ok(found.len()))?;
        put_descriptors(fds, found);
        Ok(())
    })
}

/// Identifies the process, user and group at the other end of a connected socket, as the kernel saw
/// them at connect(2), listen(2) or socketpair(2). Start from BYTEFD_CREDENTIALS_INIT.
///
/// ```c
/// bytefd_credentials peer = BYTEFD_CREDENTIALS_INIT;
/// if (bytefd_peer_credentials(STDIN_FILENO, &peer, NULL) == 0)
///     printf("process %d of user %u\n", (int)peer.pid, (unsigned)peer.uid);
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bytefd_credentials {
    /// sizeof(bytefd_credentials), set by the caller.
    pub size: usize,
    /// The process ID, as this process sees it; 0 if it cannot see that process. The process may
    /// have ended, and another process may have the number by now.
    pub pid: libc::pid_t,
    /// The effective user ID.
    pub uid: libc::uid_t,
    /// The effective group ID.
    pub gid: libc::gid_t,
    /// Always 0.
    pub reserved: u32,
}

// SAFETY: integers without padding, for which all-zero bytes are valid values.
unsafe impl Extensible for bytefd_credentials {
    const INIT: Self = bytefd_credentials { size: 0, pid: 0, uid: 0, gid: 0, reserved: 0 };
    const FIRST_SIZE: usize = 24;
}

/// Writes to `*credentials` which process called connect(2), listen(2) or socketpair(2) for the
/// other end of a socket: SO_PEERCRED, unix(7). The kernel guarantees the result. By now another
/// process may have the other end, because sockets are inherited and sent.
///
/// Returns 0. On failure, returns one of the following and leaves `*credentials` unchanged:
/// - -EINVAL    if `credentials` is NULL, or its `size` is below the first version's.
/// - -ENOTCONN  if the socket is not connected, or is a datagram socket that was not made by
///   socketpair(2).
/// - -EBADF  if `socket` is not open.
/// - -ENOTSOCK  if `socket` is not a socket.
/// - -EPROTOTYPE  if `socket` is not a Unix socket.
///
/// ```c
/// int pair[2];
/// bytefd_credentials peer = BYTEFD_CREDENTIALS_INIT;
/// if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0
///     && bytefd_peer_credentials(pair[0], &peer, NULL) == 0)
///     printf("%d is %d\n", (int)peer.pid, (int)getpid());
/// ```
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn bytefd_peer_credentials(
    socket: c_int,
    credentials: *mut bytefd_credentials,
    error: *mut bytefd_error,
) -> c_int {
    // SAFETY: the header asks for a writable struct with its size.
    boundary(error, || unsafe {
        fill(credentials, "credentials", || {
            let share::Credentials { pid, uid, gid } =
                share::peer_credentials(open_descriptor(socket)?)?;
            Ok(bytefd_credentials { size: 0, pid, uid, gid, reserved: 0 })
        })
    })
}
