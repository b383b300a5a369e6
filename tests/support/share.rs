//! Uses sockets and streams: with the library's functions at one end, and plain system calls at the
//! other.

use std::ffi::{c_int, c_void};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::abi::{
    self, Credentials, Error, ReadFn, Requirements, StreamOptions, TransferOptions, WrapOptions,
};
use super::fd::{Failure, result};

/// The kinds of sockets of the Unix family.
pub const KINDS: [c_int; 3] = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET];

/// The most descriptors that one message carries.
pub const MOST: usize = 253;

/// Calls socketpair(2).
pub fn pair(kind: c_int) -> (OwnedFd, OwnedFd) {
    let mut ends = [-1; 2];
    // SAFETY: room for two descriptors, which are nobody else's.
    unsafe {
        assert_eq!(
            libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()),
            0
        );
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

/// Calls bytefd_send.
pub fn send(
    socket: &impl AsRawFd,
    message: &[u8],
    descriptors: &[&OwnedFd],
) -> Result<(), Failure> {
    let numbers: Vec<c_int> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
    send_numbers(socket.as_raw_fd(), message, &numbers)
}

/// Calls bytefd_send for any numbers.
pub fn send_numbers(socket: c_int, message: &[u8], numbers: &[c_int]) -> Result<(), Failure> {
    send_with(socket, message, numbers, std::ptr::null())
}

/// Calls bytefd_send with what stands at `options`.
pub fn send_with(
    socket: c_int,
    message: &[u8],
    numbers: &[c_int],
    options: *const TransferOptions,
) -> Result<(), Failure> {
    let mut error = Error::untouched();
    let (bytes, fds) = (message.as_ptr().cast(), numbers.as_ptr());
    // SAFETY: valid bytes and numbers.
    let status = unsafe {
        (abi::load().send)(socket, bytes, message.len(), fds, numbers.len(), options, &mut error)
    };
    result(status, &error).map(|status| assert_eq!(status, 0, "success is 0"))
}

/// Calls bytefd_receive without requirements, with room for `capacity` descriptors.
pub fn receive(
    socket: &impl AsRawFd,
    size: usize,
    capacity: usize,
) -> Result<(Vec<u8>, Vec<OwnedFd>), Failure> {
    receive_what(socket.as_raw_fd(), size, capacity, std::ptr::null())
}

/// Calls bytefd_receive with what stands at `requirements`.
pub fn receive_what(
    socket: c_int,
    size: usize,
    capacity: usize,
    requirements: *const Requirements,
) -> Result<(Vec<u8>, Vec<OwnedFd>), Failure> {
    receive_with(socket, size, capacity, requirements, std::ptr::null())
}

/// Calls bytefd_receive with all arguments. A failure must leave the out-parameters alone.
pub fn receive_with(
    socket: c_int,
    size: usize,
    capacity: usize,
    requirements: *const Requirements,
    options: *const TransferOptions,
) -> Result<(Vec<u8>, Vec<OwnedFd>), Failure> {
    const UNTOUCHED: c_int = -77;
    let (mut message, mut length, mut count) = (vec![0; size], size, capacity);
    let (mut fds, mut error) = (vec![UNTOUCHED; capacity + 1], Error::untouched());
    let (bytes, numbers) = (message.as_mut_ptr().cast(), fds.as_mut_ptr());
    // SAFETY: room for as many bytes and descriptors as it says.
    let status = unsafe {
        (abi::load().receive)(
            socket,
            bytes,
            &mut length,
            numbers,
            &mut count,
            requirements,
            options,
            &mut error,
        )
    };
    assert_eq!(fds.pop(), Some(UNTOUCHED), "no more than there is room for");
    match result(status, &error) {
        Ok(status) => {
            assert_eq!(status, 0, "success is 0");
            assert!(fds[count..].iter().all(|fd| *fd == UNTOUCHED), "{fds:?}");
            message.truncate(length);
            fds.truncate(count);
            // SAFETY: the caller of bytefd_receive owns what has come.
            Ok((message, fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect()))
        }
        Err(failure) => {
            assert!(
                fds.iter().all(|fd| *fd == UNTOUCHED) && (length, count) == (size, capacity),
                "{fds:?}"
            );
            Err(failure)
        }
    }
}

/// Calls bytefd_verify with what stands at `requirements`.
pub fn verify(fd: c_int, requirements: *const Requirements) -> Result<(), Failure> {
    let mut error = Error::untouched();
    // SAFETY: any number is allowed.
    let status = unsafe { (abi::load().verify)(fd, requirements, &mut error) };
    result(status, &error).map(|status| assert_eq!(status, 0, "success is 0"))
}

/// Calls bytefd_peer_credentials. A failure must leave the out-parameter alone.
pub fn peer(socket: c_int) -> Result<Credentials, Failure> {
    const UNTOUCHED: Credentials =
        Credentials { size: size_of::<Credentials>(), pid: 77, uid: 78, gid: 79, reserved: 80 };
    let (mut peer, mut error) = (UNTOUCHED, Error::untouched());
    // SAFETY: any number is allowed; a writable struct.
    let status = unsafe { (abi::load().peer_credentials)(socket, &mut peer, &mut error) };
    match result(status, &error) {
        Ok(status) => assert_eq!(status, 0, "success is 0"),
        Err(failure) => {
            assert_eq!(peer, UNTOUCHED);
            return Err(failure);
        }
    }
    Ok(peer)
}

/// Calls bytefd_wrap_stream with what stands at `options`.
pub fn wrap_stream(fd: &impl AsRawFd, options: *const StreamOptions) -> Result<OwnedFd, Failure> {
    wrap_stream_with(fd, &WrapOptions::default(), options)
}

/// Calls bytefd_wrap_stream with wrap options too.
pub fn wrap_stream_with(
    fd: &impl AsRawFd,
    wrap: &WrapOptions,
    options: *const StreamOptions,
) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: valid options.
    let fd = unsafe { (abi::load().wrap_stream)(fd.as_raw_fd(), wrap, options, &mut error) };
    // SAFETY: the caller owns what is returned.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The bytes that the library reads. A read gives at most a set number of them.
pub struct Pieces<'a> {
    pub bytes: &'a [u8],
    pub at_once: usize,
}

impl Pieces<'_> {
    pub fn context(&mut self) -> *mut c_void {
        (&raw mut *self).cast()
    }

    /// # Safety
    /// `context` is that of a Pieces, and `buf` is writable.
    pub unsafe extern "C" fn read(context: *mut c_void, buf: *mut c_void, size: usize) -> isize {
        // SAFETY: the caller vouches for both.
        let (pieces, buf) = unsafe {
            (&mut *context.cast::<Pieces>(), std::slice::from_raw_parts_mut(buf.cast(), size))
        };
        let (piece, rest) = pieces.bytes.split_at(size.min(pieces.at_once).min(pieces.bytes.len()));
        buf[..piece.len()].copy_from_slice(piece);
        pieces.bytes = rest;
        piece.len() as isize
    }
}

/// Calls bytefd_wrap_reader.
///
/// # Safety
/// The function can be called with this context.
pub unsafe fn wrap_reader(
    read: ReadFn,
    context: *mut c_void,
    wrap: &WrapOptions,
    options: *const StreamOptions,
) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: valid options, and the caller vouches for the rest.
    let fd = unsafe { (abi::load().wrap_reader)(read, context, wrap, options, &mut error) };
    // SAFETY: the caller owns what is returned.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends all these descriptors with a plain sendmsg(2).
pub fn plain_send(socket: &impl AsRawFd, message: &[u8], numbers: &[c_int]) {
    let mut part = IoSlice::new(message);
    let length = size_of_val(numbers) as u32;
    let mut control = [0u64; 256];
    // SAFETY: all-zero is a valid msghdr; the control data has room for them all; the call only
    // reads.
    let sent = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = ((&raw mut part).cast(), 1);
        if length > 0 {
            (header.msg_control, header.msg_controllen) =
                (control.as_mut_ptr().cast(), libc::CMSG_SPACE(length) as usize);
            let first = libc::CMSG_FIRSTHDR(&header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(length) as usize;
            std::ptr::copy(numbers.as_ptr().cast::<u8>(), libc::CMSG_DATA(first), length as usize);
        }
        libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_NOSIGNAL)
    };
    assert_eq!(sent, message.len() as isize, "{}", std::io::Error::last_os_error());
}

/// Receives with a plain recvmsg(2). Returns the bytes and the descriptors.
pub fn plain_receive(socket: &impl AsRawFd, room: usize) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut message = vec![0u8; room];
    let mut control = [0u64; 256];
    let mut part = libc::iovec { iov_base: message.as_mut_ptr().cast(), iov_len: room };
    let mut descriptors = Vec::new();
    // SAFETY: all-zero is a valid msghdr; what it points to is writable; the descriptors are new
    // and ours.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = (&mut part, 1);
        (header.msg_control, header.msg_controllen) =
            (control.as_mut_ptr().cast(), size_of_val(&control));
        let received = libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC);
        assert!(received >= 0, "{}", std::io::Error::last_os_error());
        message.truncate(received as usize);
        let first = libc::CMSG_FIRSTHDR(&header);
        if !first.is_null() {
            assert_eq!(
                ((*first).cmsg_level, (*first).cmsg_type),
                (libc::SOL_SOCKET, libc::SCM_RIGHTS)
            );
            let count = ((*first).cmsg_len - libc::CMSG_LEN(0) as usize) / size_of::<c_int>();
            let numbers = libc::CMSG_DATA(first).cast::<c_int>();
            descriptors.extend(
                (0..count).map(|at| OwnedFd::from_raw_fd(numbers.add(at).read_unaligned())),
            );
            assert!(libc::CMSG_NXTHDR(&header, first).is_null(), "descriptors and nothing else");
        }
    }
    (message, descriptors)
}

/// Writes everything with plain write(2).
pub fn plain_write(to: &OwnedFd, bytes: &[u8]) {
    use std::io::Write;
    super::fd::file(to).write_all(bytes).expect("written");
}

/// Calls setsockopt(2), SOL_SOCKET. Returns whether the kernel knows the option.
pub fn set_option<T>(socket: &impl AsRawFd, name: c_int, value: T) -> bool {
    // SAFETY: a value of that size.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw const value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if status != 0 {
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENOPROTOOPT));
    }
    status == 0
}

/// Limits each transfer to ten milliseconds: SO_RCVTIMEO or SO_SNDTIMEO.
pub fn limit_time(socket: &impl AsRawFd, name: c_int) {
    assert!(set_option(socket, name, libc::timeval { tv_sec: 0, tv_usec: 10_000 }));
}

/// Sets O_NONBLOCK.
pub fn do_not_block(fd: &impl AsRawFd) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }, 0);
}

/// Returns how many bytes wait to be read, FIONREAD.
pub fn waiting(fd: &impl AsRawFd) -> usize {
    let mut bytes: c_int = 0;
    // SAFETY: a writable number.
    assert_eq!(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut bytes) }, 0);
    bytes as usize
}

/// Runs `body` and, at the same time, `other`, which can interrupt it with a handler that restarts
/// no system call. For tests that run alone.
pub fn interrupted<R>(body: impl FnOnce() -> R, other: impl FnOnce(&dyn Fn()) + Send) -> R {
    interrupted_with(0, body, other)
}

/// Does the same with flags of sigaction(2).
pub fn interrupted_with<R>(
    flags: c_int,
    body: impl FnOnce() -> R,
    other: impl FnOnce(&dyn Fn()) + Send,
) -> R {
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: c_int) {
        HANDLED.fetch_add(1, SeqCst);
    }
    // SAFETY: all-zero is a valid struct; the handler does only what handlers may. pthread_self
    // touches no memory.
    let thread = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        libc::pthread_self()
    };
    let interrupt = move || {
        let before = HANDLED.load(SeqCst);
        // SAFETY: the thread waits for this one.
        assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
        while HANDLED.load(SeqCst) == before {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(move || other(&interrupt));
        let result = body();
        other.join().expect("the other end");
        result
    })
}
