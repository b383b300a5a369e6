//! Transfers that are short, interrupted, or would block.

use super::messages::{assert_same, files, repeated};
use crate::support::fd::pattern;
use crate::support::share::*;

/// As little room as the kernel allows: a few KiB.
fn with_little_room() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    assert!(set_option(&ours, libc::SO_SNDBUF, 1));
    (ours, theirs)
}

pub fn a_message_larger_than_the_buffer_arrives_whole() {
    let (files, message) = (files(3), pattern(500_000));
    for blocks in [true, false] {
        let (ours, theirs) = with_little_room();
        if !blocks {
            do_not_block(&ours);
        }
        let sent = repeated(&files, 3);
        std::thread::scope(|scope| {
            scope.spawn(|| send(&ours, &message, &sent).expect("sent"));
            let (bytes, received) = receive(&theirs, message.len(), 3).expect("received");
            assert!(bytes == message);
            assert_same(&received, &sent);
        });
        assert_eq!(waiting(&theirs), 0, "nothing is left");
    }
}

pub fn a_socket_that_does_not_block_says_eagain_at_the_start() {
    let file = &files(1)[0];
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        do_not_block(&theirs);
        let failure = receive(&theirs, 10, 1).expect_err("nothing there");
        assert_eq!(failure.errno, libc::EAGAIN, "{failure:?}");
        // Where there is room for nothing more, not even for one byte and one descriptor.
        do_not_block(&ours);
        assert!(set_option(&ours, libc::SO_SNDBUF, 1));
        let mut sent = 0;
        let failure = loop {
            match send(&ours, b"!", &[file]) {
                Ok(()) => sent += 1,
                Err(failure) => break failure,
            }
        };
        assert_eq!(failure.errno, libc::EAGAIN, "{failure:?}");
        for _ in 0..sent {
            receive(&theirs, 1, 1).expect("what was sent before");
        }
        assert_eq!(receive(&theirs, 1, 1).expect_err("nothing more").errno, libc::EAGAIN);
    }
}

pub fn a_socket_that_does_not_block_is_waited_for_within_a_message() {
    let (files, message) = (files(2), pattern(100));
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    do_not_block(&theirs);
    plain_write(&ours, &message[..1]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in 1..message.len() {
                // The other has taken all there was, and waits or will.
                while waiting(&theirs) > 0 {
                    std::thread::yield_now();
                }
                let descriptors = if at % 50 == 0 { repeated(&files, 2) } else { vec![] };
                send(&ours, &message[at..=at], &descriptors).expect("sent");
            }
        });
        let (bytes, received) = receive(&theirs, message.len(), 2).expect("received");
        assert!(bytes == message);
        assert_same(&received, &repeated(&files, 2));
    });
}

pub fn a_time_limit_that_passes_is_eagain() {
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        limit_time(&theirs, libc::SO_RCVTIMEO);
        assert_eq!(receive(&theirs, 10, 0).expect_err("nothing comes").errno, libc::EAGAIN);
        limit_time(&ours, libc::SO_SNDTIMEO);
        let failure = loop {
            if let Err(failure) = send(&ours, &[0; 2000], &[]) {
                break failure;
            }
        };
        assert_eq!(failure.errno, libc::EAGAIN, "{failure:?}");
    }
    // Within a message too.
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    limit_time(&theirs, libc::SO_RCVTIMEO);
    plain_write(&ours, b"hell");
    let failure = receive(&theirs, 5, 0).expect_err("no more comes");
    assert_eq!(failure.errno, libc::EAGAIN);
    assert!(failure.message.contains("4 of 5"), "{failure:?}");
    let (ours, _theirs) = with_little_room();
    limit_time(&ours, libc::SO_SNDTIMEO);
    assert_eq!(send(&ours, &pattern(500_000), &[]).expect_err("nobody takes it").errno, libc::EAGAIN);
}

pub fn sending_goes_on_though_signals_interrupt() {
    let (files, message) = (files(3), pattern(200_000));
    for blocks in [true, false] {
        let (ours, theirs) = with_little_room();
        if !blocks {
            do_not_block(&ours);
        }
        let sent = repeated(&files, 3);
        interrupted(
            || send(&ours, &message, &sent).expect("sent"),
            |interrupt| {
                let (mut bytes, mut received) = (Vec::new(), Vec::new());
                while bytes.len() < message.len() {
                    interrupt();
                    let (part, descriptors) = plain_receive(&theirs, 3000);
                    assert!(!part.is_empty(), "hung up");
                    bytes.extend(part);
                    received.extend(descriptors);
                }
                assert!(bytes == message);
                assert_same(&received, &repeated(&files, 3));
            },
        );
    }
}

pub fn receiving_goes_on_though_signals_interrupt() {
    let (files, message) = (files(3), pattern(200));
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        let (bytes, received) = interrupted(
            || receive(&theirs, message.len(), 3).expect("received"),
            |interrupt| {
                if kind == libc::SOCK_STREAM {
                    for byte in &message[..message.len() - 1] {
                        interrupt();
                        plain_write(&ours, &[*byte]);
                    }
                }
                for _ in 0..100 {
                    interrupt();
                }
                let rest = if kind == libc::SOCK_STREAM { &message[message.len() - 1..] } else { &message };
                send(&ours, rest, &repeated(&files, 3)).expect("sent");
            },
        );
        assert!(bytes == message);
        assert_same(&received, &repeated(&files, 3));
    }
}
