//! Measures what it costs to give bytes to another process: a descriptor over a socket beside the
//! bytes themselves. `make bench`.

#[path = "common/mod.rs"]
mod common;

use std::ffi::{c_int, c_void};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::thread::JoinHandle;
use std::time::Duration;

use bytefd::ffi::*;

use common::{Nanos, Task};

/// Time for the rounds of a process, unless they take longer.
const TIME: Duration = Duration::from_millis(300);

const WAYS: &[&str] = &["through the socket", "in a new descriptor", "in one that is there"];

const TASKS: [Task; 5] = [
    Task {
        title: "4 KiB given to another thread, which adds them up and answers",
        names: WAYS,
        measure: give::<4096>,
    },
    Task { title: "64 KiB", names: WAYS, measure: give::<65536> },
    Task { title: "1 MiB", names: WAYS, measure: give::<1048576> },
    Task { title: "64 MiB", names: WAYS, measure: give::<67108864> },
    Task {
        title: "A descriptor sent, received and closed",
        names: &["sendmsg and recvmsg by hand", "bytefd_send, bytefd_receive"],
        measure: round_trip,
    },
];

fn main() -> std::io::Result<()> {
    common::compare("share", &TASKS, || Ok(""))
}

fn give<const SIZE: usize>(_: &Path) -> Nanos {
    let bytes = &common::pattern(SIZE)[..];
    let there = wrapped(bytes);
    let mut copies = Consumer::new(SIZE, copied);
    let (mut made, mut sent) = (Consumer::new(SIZE, received), Consumer::new(SIZE, received));
    let mut ways: [Box<dyn FnMut() + '_>; 3] = [
        Box::new(|| copies.give(|socket| socket.write_all(bytes).expect("sent"))),
        Box::new(|| made.give(|socket| send(socket, &wrapped(bytes)))),
        Box::new(|| sent.give(|socket| send(socket, &there))),
    ];
    common::measure(&mut ways, if SIZE > 1 << 20 { 1 } else { 10 }, TIME)
}

fn wrapped(bytes: &[u8]) -> OwnedFd {
    // SAFETY: a valid buffer; the descriptor is ours.
    unsafe {
        let fd = shm_wrap_buffer(bytes.as_ptr().cast(), bytes.len(), null(), null_mut());
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    }
}

fn send(socket: &UnixStream, fd: &OwnedFd) {
    let fd = fd.as_raw_fd();
    assert_eq!(
        // SAFETY: a message of one byte and one descriptor.
        unsafe {
            bytefd_send(socket.as_raw_fd(), c"!".as_ptr().cast(), 1, &fd, 1, null(), null_mut())
        },
        0
    );
}

fn receive(socket: &UnixStream, requirements: *const bytefd_requirements) -> OwnedFd {
    let (mut message, mut length, mut count, mut fd): (u8, usize, usize, c_int) = (0, 1, 1, -1);
    let to: *mut c_void = (&raw mut message).cast();
    // SAFETY: room for one byte and one descriptor, which is ours.
    unsafe {
        let socket = socket.as_raw_fd();
        let status = bytefd_receive(
            socket,
            to,
            &mut length,
            &mut fd,
            &mut count,
            requirements,
            null(),
            null_mut(),
        );
        assert_eq!((status, length, count), (0, 1, 1));
        OwnedFd::from_raw_fd(fd)
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(8).fold(0, |sum, word| {
        sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("8 bytes")))
    })
}

/// The other end of a socket, in a thread of its own.
struct Consumer {
    socket: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    fn new(size: usize, take: fn(&mut UnixStream, &mut [u8]) -> u64) -> Consumer {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket");
        let serve = move || {
            let mut buffer = vec![0; size];
            // The loop runs until the other end is closed.
            while theirs.read_exact(&mut [0]).is_ok() {
                let sum = take(&mut theirs, &mut buffer);
                theirs.write_all(&sum.to_le_bytes()).expect("answered");
            }
        };
        Consumer { socket: Some(ours), thread: Some(std::thread::spawn(serve)) }
    }

    fn give(&mut self, send: impl FnOnce(&mut UnixStream)) {
        let socket = self.socket.as_mut().expect("open");
        socket.write_all(b"?").expect("asked");
        send(socket);
        socket.read_exact(&mut [0; 8]).expect("answered");
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.socket = None;
        let _ = self.thread.take().expect("running").join();
    }
}

fn copied(socket: &mut UnixStream, buffer: &mut [u8]) -> u64 {
    socket.read_exact(buffer).expect("received");
    sum(buffer)
}

/// Receives a descriptor, checks it, maps it and reads it in place.
fn received(socket: &mut UnixStream, _: &mut [u8]) -> u64 {
    let size = size_of::<bytefd_requirements>();
    let fd = receive(
        socket,
        &bytefd_requirements {
            size,
            min_length: 0,
            max_length: u64::MAX,
            flags: 0,
            seals: 0,
            uid: 0,
        },
    );
    let mut map = null_mut();
    // SAFETY: the seals prevent every change of the file; the map is closed once.
    unsafe {
        assert_eq!(bytefd_map_fd(fd.as_raw_fd(), null(), &mut map, null_mut()), 0);
        let bytes = std::slice::from_raw_parts(
            bytefd_map_data(map.as_ref()).cast(),
            bytefd_map_length(map.as_ref()),
        );
        let sum = sum(bytes);
        bytefd_map_close(Some(Box::from_raw(map)));
        sum
    }
}

/// Sends, receives and closes one descriptor, in one thread.
fn round_trip(_: &Path) -> Nanos {
    let (ours, theirs) = UnixStream::pair().expect("a socket");
    let fd = wrapped(b"hello");
    let mut ways: [Box<dyn FnMut() + '_>; 2] = [
        Box::new(|| {
            by_hand::send(ours.as_raw_fd(), fd.as_raw_fd());
            drop(by_hand::receive(theirs.as_raw_fd()));
        }),
        Box::new(|| {
            send(&ours, &fd);
            drop(receive(&theirs, null()));
        }),
    ];
    common::measure(&mut ways, 50, TIME)
}

/// The steps that a C program writes by hand.
mod by_hand {
    use super::*;

    #[repr(C, align(8))]
    struct Control([u8; 24]);

    pub fn send(socket: c_int, fd: c_int) {
        let mut control = Control([0; 24]);
        let mut part = libc::iovec { iov_base: c"!".as_ptr().cast_mut().cast(), iov_len: 1 };
        // SAFETY: the steps are those of cmsg(3).
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
            (message.msg_control, message.msg_controllen) =
                (control.0.as_mut_ptr().cast(), libc::CMSG_SPACE(4) as _);
            let header = libc::CMSG_FIRSTHDR(&message);
            ((*header).cmsg_level, (*header).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<c_int>().write_unaligned(fd);
            assert_eq!(libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL), 1);
        }
    }

    pub fn receive(socket: c_int) -> OwnedFd {
        let (mut control, mut byte) = (Control([0; 24]), 0u8);
        let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: the steps are those of cmsg(3); the descriptor is ours.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
            (message.msg_control, message.msg_controllen) =
                (control.0.as_mut_ptr().cast(), libc::CMSG_SPACE(4) as _);
            assert_eq!(libc::recvmsg(socket, &mut message, libc::MSG_CMSG_CLOEXEC), 1);
            let header = libc::CMSG_FIRSTHDR(&message);
            assert!(!header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS);
            OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<c_int>().read_unaligned())
        }
    }
}
