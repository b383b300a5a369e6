//! Messages on Unix sockets, with descriptors: sendmsg(2), recvmsg(2), cmsg(3), unix(7).

use std::ffi::{c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::buffer::Spare;
use super::call::{Result, check, retry};

/// Descriptors in one message, the kernel's SCM_MAX_FD.
pub(crate) const MOST_DESCRIPTORS: usize = 253;

/// Room for control data, aligned for its headers: all descriptors that one message can bring, and
/// what else a program may have asked for on its socket (credentials, a time stamp, a label).
#[repr(C, align(8))]
struct Control(MaybeUninit<[u8; 8192]>);

impl Control {
    fn new() -> Control {
        Control(MaybeUninit::uninit())
    }
}

/// What one message has brought, but for its descriptors.
pub(crate) struct Received {
    pub bytes: usize,
    /// The message was longer than the buffer.
    pub is_cut: bool,
    /// Descriptors, or other control data, were lost.
    pub has_lost_control: bool,
}

/// Sends some of these bytes, one at least, and all of these descriptors, [`MOST_DESCRIPTORS`] at
/// most. No SIGPIPE.
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
        // SAFETY: there is room for a header and for all descriptors, as asserted; it is aligned;
        // CMSG_DATA is not, for which the bytes are copied. A BorrowedFd has the representation of
        // its number.
        unsafe {
            // Also what is padding.
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

/// Reads what a stream socket has now: EAGAIN instead of waiting.
pub(crate) fn read_now(socket: BorrowedFd<'_>, spare: &mut Spare<'_>) -> Result<usize> {
    // SAFETY: the kernel stores as many bytes as it says.
    unsafe {
        spare
            .fill(|at, room| retry(|| libc::recv(socket.as_raw_fd(), at, room, libc::MSG_DONTWAIT)))
    }
}

/// Receives a message, or as much of a stream as is there. Descriptors are close-on-exec from the
/// start, and are put behind those that were found before. With `None` the kernel drops them.
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
        // SAFETY: as the kernel has filled it just now.
        unsafe { take_descriptors(&message, found) };
    }
    Ok(Received {
        bytes: bytes as usize,
        is_cut: message.msg_flags & libc::MSG_TRUNC != 0,
        has_lost_control: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// # Safety
/// The message is as recvmsg(2) has left it, and nobody has taken its descriptors yet.
unsafe fn take_descriptors(message: &libc::msghdr, found: &mut Vec<OwnedFd>) {
    /// A descriptor of the sender's process, where the program has asked for one (SO_PASSPIDFD,
    /// Linux 6.5).
    const SCM_PIDFD: c_int = 4;
    // SAFETY: the headers and data are where the kernel and the macros put them; the descriptors
    // are new and nobody else's.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(part) = header.as_ref() {
            if part.cmsg_level == libc::SOL_SOCKET
                && matches!(part.cmsg_type, libc::SCM_RIGHTS | SCM_PIDFD)
            {
                let data = libc::CMSG_DATA(header);
                // 32 bits with musl.
                #[allow(clippy::unnecessary_cast)]
                let length = part.cmsg_len as usize - (data.addr() - header.addr());
                for at in (0..length).step_by(size_of::<RawFd>()) {
                    let number = data.add(at).cast::<RawFd>().read_unaligned();
                    // A process's, where none could be made, is an errno.
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

/// getsockopt(2) of a struct or number.
///
/// # Safety
/// Any bytes are a valid `T`, and the option gives one.
unsafe fn option<T>(socket: BorrowedFd<'_>, name: c_int) -> Result<T> {
    // SAFETY: the caller vouches for it.
    let mut value: T = unsafe { std::mem::zeroed() };
    let mut length = size_of::<T>() as libc::socklen_t;
    let to: *mut c_void = (&raw mut value).cast();
    // SAFETY: `value` is writable, and as long as `length` says.
    check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, to, &mut length)
    })?;
    Ok(value)
}

/// SOCK_STREAM and the like.
pub(crate) fn kind(socket: BorrowedFd<'_>) -> Result<c_int> {
    // SAFETY: a number.
    unsafe { option(socket, libc::SO_TYPE) }
}

/// AF_UNIX and the like.
pub(crate) fn family(socket: BorrowedFd<'_>) -> Result<c_int> {
    // SAFETY: a number.
    unsafe { option(socket, libc::SO_DOMAIN) }
}

/// Who made the other end of a connected socket.
pub(crate) fn credentials(socket: BorrowedFd<'_>) -> Result<libc::ucred> {
    // SAFETY: three numbers.
    unsafe { option(socket, libc::SO_PEERCRED) }
}

/// Whether it waits for others to connect, listen(2).
pub(crate) fn is_listening(socket: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: a number.
    unsafe { option::<c_int>(socket, libc::SO_ACCEPTCONN) }.map(|listens| listens != 0)
}

/// Whether the program wants control data beside descriptors: credentials, a security label, a
/// process descriptor.
pub(crate) fn wants_control(socket: BorrowedFd<'_>) -> bool {
    // asm-generic/socket.h; not in the libc crate for every C library.
    const SO_PASSPIDFD: c_int = 76;
    // SAFETY: numbers.
    let is_set =
        |name: &c_int| unsafe { option::<c_int>(socket, *name) }.is_ok_and(|value| value != 0);
    [libc::SO_PASSCRED, libc::SO_PASSSEC, SO_PASSPIDFD].iter().any(is_set)
}

/// Whether O_NONBLOCK is not set.
pub(crate) fn is_blocking(socket: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: touches no memory.
    let flags = check(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_NONBLOCK == 0)
}

/// shutdown(2), SHUT_RD: the peer cannot send any more. Without a peer there is nothing to shut
/// down.
pub(crate) fn shut_down_receiving(socket: BorrowedFd<'_>) {
    // SAFETY: touches no memory.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
}

/// Whether the other end of a connected socket is closed, or will send no more.
pub(crate) fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one writable pollfd.
    let ready = retry(|| unsafe { libc::poll(&mut poll, 1, 0) });
    ready.is_ok() && poll.revents & (libc::POLLRDHUP | libc::POLLHUP) != 0
}
