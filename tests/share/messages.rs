//! Tests that messages arrive as they were sent.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use crate::faults::conditions::{leaves_nothing, without_standard_input};
use crate::faults::traced::{Stop, in_traced_child};
use crate::support::abi::{AUTO, Requirements, WRITABLE};
use crate::support::fd::{
    access_mode, content, fcntl, is_close_on_exec, metadata, offset, pattern, wrap_with,
};
use crate::support::hosts::has_memfd;
use crate::support::share::*;

/// Makes files whose content is their number.
pub fn files(count: usize) -> Vec<OwnedFd> {
    (0..count)
        .map(|at| wrap_with(format!("file {at}").as_bytes(), 0, AUTO).expect("a descriptor"))
        .collect()
}

/// Repeats these files, `count` in all. Their number should be no divisor of 253.
pub fn repeated(files: &[OwnedFd], count: usize) -> Vec<&OwnedFd> {
    files.iter().cycle().take(count).collect()
}

pub fn assert_same(received: &[OwnedFd], sent: &[&OwnedFd]) {
    assert_eq!(received.len(), sent.len());
    for (at, (theirs, ours)) in received.iter().zip(sent).enumerate() {
        assert_eq!(metadata(theirs).ino(), metadata(ours).ino(), "descriptor {at}");
        assert_eq!(content(theirs), content(ours), "descriptor {at}");
        assert!(is_close_on_exec(theirs) && theirs.as_raw_fd() > 2);
    }
}

pub fn every_kind_of_socket_carries_bytes_and_descriptors_in_order() {
    let files = files(7);
    for kind in KINDS {
        for (length, count) in
            [(1, 0), (1, 1), (2, 3), (1, MOST), (10_000, 0), (10_000, 7), (10_000, MOST)]
        {
            let ((ours, theirs), message) = (pair(kind), pattern(length));
            let sent = repeated(&files, count);
            send(&ours, &message, &sent)
                .unwrap_or_else(|failure| panic!("{kind}, {length}, {count}: {failure:?}"));
            let (bytes, received) = receive(&theirs, length, count).expect("received");
            assert!(bytes == message);
            assert_same(&received, &sent);
        }
    }
}

pub fn a_stream_carries_more_descriptors_than_one_message_can() {
    let files = files(7);
    for (length, count) in [(2, 254), (2, 506), (3, 507), (3, 600), (100, 600), (100_000, 600)] {
        let ((ours, theirs), message) = (pair(libc::SOCK_STREAM), pattern(length));
        let sent = repeated(&files, count);
        leaves_nothing(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| send(&ours, &message, &sent).expect("sent"));
                let (bytes, received) = receive(&theirs, length, count).expect("received");
                assert!(bytes == message, "{length} bytes, {count} descriptors");
                assert_same(&received, &sent);
            });
        });
    }
    // No message has more than 253, unix(7).
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    send(&ours, b"abc", &repeated(&files, 600)).expect("sent");
    let parts: Vec<_> = (0..3).map(|_| plain_receive(&theirs, 100)).collect();
    let counts: Vec<usize> = parts.iter().map(|(_, descriptors)| descriptors.len()).collect();
    assert_eq!(
        (parts.iter().map(|(bytes, _)| &bytes[..]).collect::<Vec<_>>().concat(), counts),
        (b"abc".to_vec(), vec![MOST, MOST, 94])
    );
}

pub fn what_is_received_is_the_same_description() {
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        let sent = wrap_with(b"hello", WRITABLE, AUTO).expect("a descriptor");
        send(&ours, b"!", &[&sent]).expect("sent");
        let (_, received) = receive(&theirs, 1, 1).expect("received");
        assert_eq!(access_mode(&received[0]), libc::O_RDWR);
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::lseek(received[0].as_raw_fd(), 3, libc::SEEK_SET) }, 3);
        assert_eq!(offset(&sent), 3);
    }
}

pub fn the_senders_descriptors_stay_as_they_were() {
    let sent = files(3);
    for fd in &sent {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    }
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        send(&ours, b"!", &sent.iter().collect::<Vec<_>>()).expect("sent");
        let (_, received) = receive(&theirs, 1, 3).expect("received");
        assert!(received.iter().all(is_close_on_exec), "a flag of the receiver's own");
        drop(received);
        for (at, fd) in sent.iter().enumerate() {
            assert_eq!((content(fd), offset(fd)), (format!("file {at}").into_bytes(), 0));
            assert_eq!(fcntl(fd, libc::F_GETFD), 0);
        }
    }
}

pub fn the_bytes_go_out_raw() {
    let files = files(5);
    for kind in KINDS {
        for (message, count) in [(&b"\0"[..], 5), (b"hello\0\xff", 1), (&pattern(5000), 0)] {
            let (ours, theirs) = pair(kind);
            let sent = repeated(&files, count);
            send(&ours, message, &sent).expect("sent");
            drop(ours);
            let (bytes, received) = plain_receive(&theirs, 10_000);
            assert!(bytes == message, "not a byte more or less");
            assert_same(&received, &sent);
            if kind != libc::SOCK_DGRAM {
                assert_eq!(plain_receive(&theirs, 10_000).0, b"", "nothing after it");
            }
        }
    }
}

pub fn what_a_plain_sendmsg_sends_is_received() {
    let files = files(5);
    let numbers: Vec<c_int> = files.iter().map(AsRawFd::as_raw_fd).collect();
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        plain_send(&theirs, b"hello", &numbers);
        plain_send(&theirs, b"more", &[]);
        let (bytes, received) = receive(&ours, 5, 5).expect("received");
        assert_eq!(bytes, b"hello");
        assert_same(&received, &repeated(&files, 5));
        assert_eq!(receive(&ours, 4, 0).expect("received").0, b"more");
    }
    // In whatever parts it comes.
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    for (at, part) in [&b"h"[..], b"el", b"l", b"o"].iter().enumerate() {
        plain_send(&theirs, part, &numbers[at..=at]);
    }
    let (bytes, received) = receive(&ours, 5, 4).expect("received");
    assert_eq!(bytes, b"hello");
    assert_same(&received, &repeated(&files, 4));
    // A datagram of nothing but descriptors.
    let (ours, theirs) = pair(libc::SOCK_DGRAM);
    plain_send(&theirs, b"", &numbers);
    let (bytes, received) = receive(&ours, 5, 5).expect("received");
    assert_eq!(bytes, b"");
    assert_same(&received, &repeated(&files, 5));
}

pub fn messages_on_a_stream_follow_each_other() {
    let files = files(4);
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    for (at, file) in files.iter().enumerate() {
        send(&ours, format!("message {at}").as_bytes(), &[file]).expect("sent");
        send(&ours, b"none", &[]).expect("sent");
    }
    for file in &files {
        let (bytes, received) = receive(&theirs, 9, 1).expect("received");
        assert_eq!(bytes, [b"message ", &content(file)[5..]].concat());
        assert_same(&received, &[file]);
        assert_eq!(receive(&theirs, 4, 0).expect("received").0, b"none");
    }
}

pub fn datagrams_and_packets_may_be_shorter_or_empty() {
    let file = &files(1)[0];
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (ours, theirs) = pair(kind);
        send(&ours, b"hello", &[file]).expect("sent");
        send(&ours, b"", &[]).expect("sent");
        send(&ours, b"", &[]).expect("sent");
        send(&ours, b"end", &[]).expect("sent");
        let (bytes, received) = receive(&theirs, 100, 1).expect("received");
        assert_eq!(bytes, b"hello");
        assert_same(&received, &[file]);
        assert_eq!(receive(&theirs, 100, 0).expect("received").0, b"");
        assert_eq!(receive(&theirs, 0, 0).expect("received").0, b"");
        assert_eq!(receive(&theirs, 100, 0).expect("received").0, b"end");
    }
}

pub fn a_datagram_carries_253_descriptors_and_not_254() {
    let files = files(1);
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (ours, theirs) = pair(kind);
        for length in [1, 2, 300] {
            let failure =
                send(&ours, &pattern(length), &repeated(&files, MOST + 1)).expect_err("refused");
            assert_eq!(failure.errno, libc::E2BIG, "{failure:?}");
            assert!(
                failure.message.contains("254") && failure.message.contains("253"),
                "{failure:?}"
            );
        }
        assert_eq!(waiting(&theirs), 0, "nothing was sent");
        send(&ours, b"!", &repeated(&files, MOST)).expect("sent");
    }
}

pub fn without_requirements_anything_is_received() {
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let folder = OwnedFd::from(std::fs::File::open("/").expect("a folder"));
    let (socket, _other) = pair(libc::SOCK_STREAM);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        let sent = [&OwnedFd::from(reader.try_clone().expect("dup")), &folder, &socket];
        send(&ours, b"!", &sent).expect("sent");
        let (_, received) = receive(&theirs, 1, 3).expect("received");
        for (theirs, ours) in received.iter().zip(sent) {
            assert_eq!(
                (metadata(theirs).dev(), metadata(theirs).ino()),
                (metadata(ours).dev(), metadata(ours).ino())
            );
        }
    }
}

pub fn requirements_that_are_met_are_no_obstacle() {
    let files = files(3);
    let asked = if has_memfd() {
        Requirements { min_length: 6, ..Requirements::default() }
    } else {
        Requirements {
            min_length: 6,
            flags: crate::support::abi::REQUIRE_NO_SEALS,
            ..Requirements::default()
        }
    };
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        send(&ours, b"!", &repeated(&files, 3)).expect("sent");
        let (_, received) = receive_what(theirs.as_raw_fd(), 1, 3, &asked).expect("received");
        assert_same(&received, &repeated(&files, 3));
    }
}

pub fn rust_sends_and_receives_the_same() {
    let files = files(3);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        let sent = repeated(&files, 3);
        bytefd::share::send(&ours, b"hello", &sent.iter().map(|fd| fd.as_fd()).collect::<Vec<_>>())
            .expect("sent");
        let mut message = [0; 5];
        let (length, received) =
            bytefd::share::receive(&theirs, &mut message, 3).expect("received");
        assert_eq!((length, &message), (5, b"hello"));
        assert_same(&received, &sent);
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    drop(ours);
    let error = bytefd::share::receive(&theirs, &mut [0; 5], 0).expect_err("closed");
    assert_eq!(error.errno(), libc::ENODATA);
}

/// Another thread may execute a program at any moment.
pub fn descriptors_are_close_on_exec_from_birth() {
    let files = files(3);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        plain_send(&ours, b"!", &files.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>());
        let mut received = 0;
        let body = || drop(receive(&theirs, 1, 3).expect("received"));
        in_traced_child(body, |stop| {
            let Stop::Before(call) = stop else { return };
            if call.number == libc::SYS_recvmsg {
                received += 1;
                assert_ne!(
                    call.arguments[2] as c_int & libc::MSG_CMSG_CLOEXEC,
                    0,
                    "a flag of recvmsg"
                );
            }
            let sets =
                call.number == libc::SYS_fcntl && call.arguments[1] as c_int == libc::F_SETFD;
            assert!(!sets, "not made so afterwards");
        });
        assert_eq!(received, 1);
    }
}

pub fn standard_streams_that_are_closed_are_not_received_into() {
    let files = files(3);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        send(&ours, b"!", &repeated(&files, 3)).expect("sent");
        let free = without_standard_input(|| {
            let (_, received) = receive(&theirs, 1, 3).expect("received");
            assert_same(&received, &repeated(&files, 3));
            // SAFETY: touches no memory.
            unsafe { libc::fcntl(0, libc::F_GETFD) == -1 }
        });
        assert!(free, "nothing is left at 0");
    }
}

/// Closing some descriptors takes long, or forever; the kernel can drop them instead.
pub fn where_there_is_no_room_descriptors_never_arrive() {
    let files = files(3);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        plain_send(&ours, b"hello", &files.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>());
        let mut calls = Vec::new();
        let body = || assert_eq!(receive(&theirs, 5, 0).expect_err("refused").errno, libc::EBADMSG);
        in_traced_child(body, |stop| {
            if let Stop::Before(call) = stop {
                calls.push(call.number);
            }
        });
        assert!(
            calls.contains(&libc::SYS_recvmsg) && !calls.contains(&libc::SYS_close),
            "{calls:?}"
        );
    }
}
