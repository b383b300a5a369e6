//! Tests arguments that no caller should pass.

use std::ffi::c_int;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{null, null_mut};

use super::messages::{files, repeated};
use crate::support::abi::{
    self, Error, INTERRUPTIBLE, REQUIRE_NO_SEALS, REQUIRE_UID, Requirements, TRANSFER_SOME,
    TransferOptions,
};
use crate::support::fd::Failure;
use crate::support::share::*;

/// A number that is not open, nor soon will be.
const CLOSED: c_int = 19_999;

/// Calls each function that takes a socket.
fn every_function(socket: c_int) -> [Result<(), Failure>; 3] {
    [
        send_numbers(socket, b"!", &[]),
        receive_what(socket, 1, 0, null()).map(drop),
        peer(socket).map(drop),
    ]
}

pub fn what_is_no_unix_socket_is_refused() {
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    for descriptor in [OwnedFd::from(reader), files(1).remove(0)] {
        for outcome in every_function(descriptor.as_raw_fd()) {
            assert_eq!(outcome.expect_err("no socket").errno, libc::ENOTSOCK);
        }
    }
    let internet = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for outcome in every_function(internet.as_raw_fd()) {
        let failure = outcome.expect_err("another family");
        assert_eq!(failure.errno, libc::EPROTOTYPE, "{failure:?}");
    }
    // SAFETY: a new socket, nobody else's.
    let unconnected =
        unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(unconnected > 2);
    assert_eq!(
        send_numbers(unconnected, b"!", &[]).expect_err("unconnected").errno,
        libc::ENOTCONN
    );
    // SAFETY: made above.
    assert_eq!(unsafe { libc::close(unconnected) }, 0);
}

pub fn descriptors_that_are_not_open_are_ebadf() {
    for socket in [-1, c_int::MIN, c_int::MAX, CLOSED] {
        for outcome in every_function(socket) {
            assert_eq!(outcome.expect_err("closed").errno, libc::EBADF);
        }
        assert_eq!(verify(socket, null()).expect_err("closed").errno, libc::EBADF);
    }
    let file = &files(1)[0];
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        for bad in [-1, CLOSED] {
            for numbers in [vec![bad], vec![file.as_raw_fd(), bad], vec![bad, file.as_raw_fd()]] {
                let failure = send_numbers(ours.as_raw_fd(), b"!", &numbers).expect_err("closed");
                assert_eq!(failure.errno, libc::EBADF);
                assert!(failure.message.contains(&bad.to_string()), "{failure:?}");
            }
        }
        assert_eq!(waiting(&theirs), 0, "nothing was sent");
    }
}

pub fn messages_too_short_for_their_descriptors_are_einval() {
    let files = files(1);
    for (kind, length, count) in [
        (libc::SOCK_STREAM, 0, 0),
        (libc::SOCK_STREAM, 0, 1),
        (libc::SOCK_STREAM, 1, MOST + 1),
        (libc::SOCK_STREAM, 2, 2 * MOST + 1),
    ] {
        let (ours, theirs) = pair(kind);
        let failure =
            send(&ours, &vec![0; length], &repeated(&files, count)).expect_err("too short");
        assert_eq!(failure.errno, libc::EINVAL, "{failure:?}");
        assert!(failure.message.contains(&format!("{count} descriptors")), "{failure:?}");
        assert_eq!(waiting(&theirs), 0, "nothing was sent");
    }
}

pub fn a_stream_message_without_length_is_einval() {
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    send(&ours, b"!", &[]).expect("sent");
    for count in [0, 1] {
        assert_eq!(receive(&theirs, 0, count).expect_err("refused").errno, libc::EINVAL);
    }
    assert_eq!(receive(&theirs, 1, 0).expect("still there").0, b"!");
}

pub fn impossible_sizes_are_einval() {
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    let (mut byte, mut number, mut error) = (0u8, -77, Error::untouched());
    let (mut all, mut one, mut none) = (usize::MAX, 1, 0);
    let (bytes, fd): (*mut std::ffi::c_void, c_int) = ((&raw mut byte).cast(), ours.as_raw_fd());
    // SAFETY: what there cannot be must not be looked at.
    let statuses = unsafe {
        [
            (abi::load().send)(fd, bytes, usize::MAX, null(), 0, null(), &mut error),
            (abi::load().send)(fd, bytes, 1, &fd, usize::MAX, null(), &mut error),
            (abi::load().receive)(
                fd,
                bytes,
                &mut all,
                null_mut(),
                &mut none,
                null(),
                null(),
                &mut error,
            ),
            (abi::load().receive)(
                fd,
                bytes,
                &mut one,
                &mut number,
                &mut all,
                null(),
                null(),
                &mut error,
            ),
        ]
    };
    assert_eq!(statuses, [-libc::EINVAL; 4]);
    assert_eq!((waiting(&theirs), byte, number, all, one, none), (0, 0, -77, usize::MAX, 1, 0));
}

pub fn bad_requirements_are_refused_before_anything_is_received() {
    let file = &files(1)[0];
    let (ours, theirs) = pair(libc::SOCK_SEQPACKET);
    send(&ours, b"!", &[file]).expect("sent");
    for bad in [
        Requirements { flags: TRANSFER_SOME, ..Requirements::default() },
        Requirements { flags: REQUIRE_NO_SEALS, seals: 1, ..Requirements::default() },
        Requirements { size: 8, ..Requirements::default() },
        Requirements { max_length: 0, ..Requirements::default() },
        Requirements { min_length: 2, max_length: 1, ..Requirements::default() },
    ] {
        let failure = receive_what(theirs.as_raw_fd(), 1, 1, &bad).expect_err("refused");
        assert_eq!(failure.errno, libc::EINVAL, "{failure:?}");
        assert_eq!(verify(file.as_raw_fd(), &bad).expect_err("refused").errno, libc::EINVAL);
    }
    receive(&theirs, 1, 1).expect("still there");
}

pub fn bad_transfer_options_are_refused_before_anything_moves() {
    let (ours, theirs) = pair(libc::SOCK_SEQPACKET);
    send(&ours, b"!", &[]).expect("sent");
    let (waiting_for_us, defaults) = (waiting(&theirs), TransferOptions::default());
    for (op, bad) in [
        ("timeout_ns", TransferOptions { timeout_ns: -2, ..defaults }),
        ("timeout_ns", TransferOptions { timeout_ns: i64::MIN, ..defaults }),
        ("flags", TransferOptions { flags: 1, ..defaults }),
        ("flags", TransferOptions { flags: REQUIRE_UID, ..defaults }),
        ("flags", TransferOptions { flags: REQUIRE_NO_SEALS | INTERRUPTIBLE, ..defaults }),
        ("flags", TransferOptions { flags: 1 << 31, ..defaults }),
        ("options", TransferOptions { size: 8, ..defaults }),
    ] {
        let failure = receive_with(theirs.as_raw_fd(), 1, 1, null(), &bad).expect_err("refused");
        assert_eq!((failure.errno, &failure.op[..]), (libc::EINVAL, op), "{failure:?}");
        let failure = send_with(ours.as_raw_fd(), b"!", &[], &bad).expect_err("refused");
        assert_eq!((failure.errno, &failure.op[..]), (libc::EINVAL, op), "{failure:?}");
    }
    // Sending a part would lose the rest.
    let some = TransferOptions { flags: TRANSFER_SOME, ..defaults };
    assert_eq!(
        send_with(ours.as_raw_fd(), b"!", &[], &some).expect_err("refused").errno,
        libc::EINVAL
    );
    assert_eq!(waiting(&theirs), waiting_for_us);
    receive(&theirs, 1, 1).expect("still there");
}

/// The number of a socket says nothing: by now it can stand for another socket.
pub fn a_number_that_became_another_socket_is_eprototype() {
    let file = &files(1)[0];
    let (ours, _theirs) = pair(libc::SOCK_STREAM);
    let number = ours.as_raw_fd();
    send(&ours, b"!", &[file]).expect("sent");
    do_not_block(&ours);
    receive(&ours, 1, 0).expect_err("nothing there");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let stream = std::net::TcpStream::connect(listener.local_addr().expect("an address"))
        .expect("connected");
    // SAFETY: `ours` goes on to own the number.
    assert_eq!(unsafe { libc::dup3(stream.as_raw_fd(), number, libc::O_CLOEXEC) }, number);
    let (mut other, _) = listener.accept().expect("accepted");
    for outcome in every_function(number) {
        assert_eq!(outcome.expect_err("another family").errno, libc::EPROTOTYPE);
    }
    assert_eq!(send(&ours, b"y", &[file]).expect_err("another family").errno, libc::EPROTOTYPE);
    drop((stream, ours));
    let mut arrived = Vec::new();
    std::io::Read::read_to_end(&mut other, &mut arrived).expect("read");
    assert_eq!(arrived, b"", "not a byte went out");
}
