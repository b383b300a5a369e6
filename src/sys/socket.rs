//! Sends and receives messages with descriptors on Unix sockets: sendmsg(2), recvmsg(2), cmsg(3),
//! unix(7).

use std::ffi::{c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::buffer::Spare;
use super::call::{Result, check, retry};

/// Largest number of descriptors in one message, the kernel's SCM_MAX_FD.
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// Room for control data, aligned for its headers. It holds all descriptors of one message. It also
/// holds what else a program may have asked for on its socket: credentials, a time stamp, a label.
#[repr(C, align(8))]
struct Control(MaybeUninit<[u8; 8192]>);

impl Control {
    fn new() -> Control {
        Control(MaybeUninit::uninit())
    }
}

/// The result of one message, without its descriptors.
pub(crate) struct Received {
    pub bytes: usize,
    /// Whether the message was longer than the buffer.
    pub is_cut: bool,
    /// Whether descriptors, or other control data, were lost.
    pub has_lost_control: bool,
}

/// Sends at least one of these bytes, if there are any, and all of these descriptors, at most
/// [`MOST_DESCRIPTORS`]. Datagrams and packets can be empty. No SIGPIPE is raised.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: c_int,
) -> Result<usize> {
    assert!(descriptors.len() <= MOST_DESCRIPTORS);
    let mut control = Control::new();
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
    if !descriptors.is_empty() {
        let length = size_of_val(descriptors) as c_uint;
        // SAFETY: there is room for a header and for all descriptors, as asserted, and it is
        // aligned. CMSG_DATA is not aligned, so bytes are copied. A BorrowedFd has the
        // representation of its number.
        unsafe {
            // This also clears the padding.
            (&raw mut control).cast::<u8>().write_bytes(0, libc::CMSG_SPACE(length) as usize);
            message.msg_control = (&raw mut control).cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as _;
            let data = libc::CMSG_DATA(header);
            std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast::<u8>(), data, length as usize);
        }
    }
    // SAFETY: the message and what it points to live during the call, which only reads them.
    retry(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags | libc::MSG_NOSIGNAL) })
        .map(|sent| sent as usize)
}

/// Reads what a stream socket has now. EAGAIN instead of waiting.
pub(crate) fn read_now(socket: BorrowedFd<'_>, spare: &mut Spare<'_>) -> Result<usize> {
    // SAFETY: the kernel stores as many bytes as it returns.
    unsafe {
        spare
            .fill(|at, room| retry(|| libc::recv(socket.as_raw_fd(), at, room, libc::MSG_DONTWAIT)))
    }
}

/// Receives a message, or the bytes that a stream has now. Descriptors are close-on-exec from the
/// start, and are appended to `found`. With `None` the kernel drops them.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    found: Option<&mut Vec<OwnedFd>>,
    flags: c_int,
) -> Result<Received> {
    let mut control = Control::new();
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
    if found.is_some() {
        (message.msg_control, message.msg_controllen) =
            ((&raw mut control).cast(), size_of_val(&control) as _);
    }
    // SAFETY: the message and what it points to live during the call and are writable.
    let bytes = retry(|| unsafe {
        libc::recvmsg(socket.as_raw_fd(), &mut message, flags | libc::MSG_CMSG_CLOEXEC)
    })?;
    if let Some(found) = found {
        // SAFETY: the kernel has filled the message just now.
        unsafe { take_descriptors(&message, found) };
    }
    Ok(Received {
        bytes: bytes as usize,
        is_cut: message.msg_flags & libc::MSG_TRUNC != 0,
        has_lost_control: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// Takes the descriptors of a message out of its control data.
///
/// # Safety
/// The message is as recvmsg(2) left it, and its descriptors have not been taken yet.
unsafe fn take_descriptors(message: &libc::msghdr, found: &mut Vec<OwnedFd>) {
    /// A pidfd of the sender's process, if the program has asked for one (SO_PASSPIDFD, Linux 6.5).
    const SCM_PIDFD: c_int = 4;
    // SAFETY: the headers and data are where the kernel and the macros put them. The descriptors
    // are new, so nothing else owns them.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(part) = header.as_ref() {
            if part.cmsg_level == libc::SOL_SOCKET
                && matches!(part.cmsg_type, libc::SCM_RIGHTS | SCM_PIDFD)
            {
                let data = libc::CMSG_DATA(header);
                // The member has 32 bits with musl.
                #[allow(clippy::unnecessary_cast)]
                let length = part.cmsg_len as usize - (data.addr() - header.addr());
                for at in (0..length).step_by(size_of::<RawFd>()) {
                    let number = data.add(at).cast::<RawFd>().read_unaligned();
                    // The kernel stores a negative errno where it could not make a pidfd.
                    if number >= 0 {
                        let own = OwnedFd::from_raw_fd(number);
                        if part.cmsg_type == libc::SCM_RIGHTS {
                            found.push(own);
                        }
                    }
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
}

/// Returns a socket option that is a struct or number, getsockopt(2).
///
/// # Safety
/// Any bytes are a valid `T`, and the option has that type.
unsafe fn option<T>(socket: BorrowedFd<'_>, name: c_int) -> Result<T> {
    // SAFETY: the caller guarantees that all-zero is a valid `T`.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut length = size_of::<T>() as libc::socklen_t;
    let to: *mut c_void = (&raw mut value).cast();
    // SAFETY: `value` is writable, and as long as `length` says.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, to, &mut length)
    })?;
    Ok(value)
}

/// Returns SOCK_STREAM or another type.
pub(crate) fn kind(socket: BorrowedFd<'_>) -> Result<c_int> {
    // SAFETY: the option is a number.
    unsafe { option(socket, libc::SO_TYPE) }
}

/// Returns AF_UNIX or another family.
pub(crate) fn family(socket: BorrowedFd<'_>) -> Result<c_int> {
    // SAFETY: the option is a number.
    unsafe { option(socket, libc::SO_DOMAIN) }
}

/// Returns the credentials of the process that made the other end of a connected socket.
pub(crate) fn credentials(socket: BorrowedFd<'_>) -> Result<libc::ucred> {
    // SAFETY: the option is three numbers.
    unsafe { option(socket, libc::SO_PEERCRED) }
}

/// Returns whether the socket waits for others to connect, listen(2).
pub(crate) fn is_listening(socket: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: the option is a number.
    unsafe { option::<c_int>(socket, libc::SO_ACCEPTCONN) }.map(|listens| listens != 0)
}

/// Returns whether the program wants control data besides descriptors: credentials, a security
/// label, a pidfd, a time.
pub(crate) fn wants_control(socket: BorrowedFd<'_>) -> bool {
    // From asm-generic/socket.h; the libc crate does not have it for every C library.
    const SO_PASSPIDFD: c_int = 76;
    // SAFETY: the options are numbers.
    let is_set =
        |name: &c_int| unsafe { option::<c_int>(socket, *name) }.is_ok_and(|value| value != 0);
    let times = [libc::SO_TIMESTAMP, libc::SO_TIMESTAMPNS, libc::SO_TIMESTAMPING];
    [libc::SO_PASSCRED, libc::SO_PASSSEC, SO_PASSPIDFD].iter().chain(&times).any(is_set)
}

/// Returns whether O_NONBLOCK is not set.
pub(crate) fn is_blocking(socket: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: touches no memory.
    let flags = check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_NONBLOCK == 0)
}

/// Stops receiving, shutdown(2) with SHUT_RD: the peer cannot send any more. Does nothing if there
/// is no peer.
pub(crate) fn shut_down_receiving(socket: BorrowedFd<'_>) {
    // SAFETY: touches no memory.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
}

/// Returns whether the other end of a connected socket is closed, or will send no more.
pub(crate) fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one writable pollfd.
    let ready = retry(|| unsafe { libc::poll(&mut poll, 1, 0) });
    ready.is_ok() && poll.revents & (libc::POLLRDHUP | libc::POLLHUP) != 0
}
