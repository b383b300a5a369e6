//! Tests transfers that are short, interrupted, or would block.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use super::messages::{assert_same, files, repeated};
use crate::faults::conditions::leaves_nothing;
use crate::support::abi::{INTERRUPTIBLE, TRANSFER_SOME, TransferOptions};
use crate::support::fd::pattern;
use crate::support::share::*;

/// Makes sockets with as little room as the kernel allows: a few KiB.
fn with_little_room() -> (OwnedFd, OwnedFd) {
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
        // There is room for nothing more, not even for one byte and one descriptor.
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
    assert_eq!(
        send(&ours, &pattern(500_000), &[]).expect_err("nobody takes it").errno,
        libc::EAGAIN
    );
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
                let rest = if kind == libc::SOCK_STREAM {
                    &message[message.len() - 1..]
                } else {
                    &message
                };
                send(&ours, rest, &repeated(&files, 3)).expect("sent");
            },
        );
        assert!(bytes == message);
        assert_same(&received, &repeated(&files, 3));
    }
}

fn after(nanoseconds: i64) -> TransferOptions {
    TransferOptions { timeout_ns: nanoseconds, ..TransferOptions::default() }
}

fn with(flags: u64) -> TransferOptions {
    TransferOptions { flags, ..TransferOptions::default() }
}

pub fn a_timeout_ends_a_call_that_waits() {
    for kind in KINDS {
        for time in [0, 1, 1_000_000] {
            let (ours, theirs) = pair(kind);
            let failure = receive_with(theirs.as_raw_fd(), 10, 1, null(), &after(time))
                .expect_err("nothing comes");
            assert_eq!(failure.errno, libc::ETIMEDOUT, "{failure:?}");
            let failure = loop {
                if let Err(failure) = send_with(ours.as_raw_fd(), &[0; 2000], &[], &after(time)) {
                    break failure;
                }
            };
            assert_eq!(failure.errno, libc::ETIMEDOUT, "{failure:?}");
            // A message that is there is received, even without waiting.
            let (bytes, _) =
                receive_with(theirs.as_raw_fd(), 2000, 1, null(), &after(time)).expect("received");
            assert_eq!(bytes.len(), 2000);
        }
        // A socket that does not block answers at once, whatever the timeout.
        let (ours, _theirs) = pair(kind);
        do_not_block(&ours);
        for time in [0, 1, i64::MAX] {
            let failure = receive_with(ours.as_raw_fd(), 10, 1, null(), &after(time))
                .expect_err("nothing there");
            assert_eq!(failure.errno, libc::EAGAIN, "{failure:?}");
        }
    }
}

pub fn a_timeout_ends_a_message_that_is_not_taken() {
    for blocks in [true, false] {
        let (ours, _theirs) = with_little_room();
        if !blocks {
            do_not_block(&ours);
        }
        let failure = send_with(ours.as_raw_fd(), &pattern(500_000), &[], &after(1_000_000))
            .expect_err("not taken");
        assert_eq!(failure.errno, libc::ETIMEDOUT, "{failure:?}");
        assert!(failure.message.contains("of 500000 bytes"), "{failure:?}");
    }
}

/// Neither a byte now and then nor the socket's own time limit may extend the timeout.
pub fn a_timeout_is_for_the_whole_call() {
    let file = &files(1)[0];
    for (blocks, has_limit) in [(true, false), (false, false), (true, true)] {
        let (ours, theirs) = pair(libc::SOCK_STREAM);
        if !blocks {
            do_not_block(&theirs);
        }
        if has_limit {
            assert!(set_option(
                &theirs,
                libc::SO_RCVTIMEO,
                libc::timeval { tv_sec: 1000, tv_usec: 0 }
            ));
        }
        send(&ours, b"!", &[file]).expect("sent");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while send(&ours, b"!", &[]).is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let outcome = receive_with(theirs.as_raw_fd(), 1 << 20, 1, null(), &after(20_000_000));
            let failure = outcome.expect_err("too slow");
            assert_eq!(failure.errno, libc::ETIMEDOUT, "{failure:?}");
            assert!(failure.message.contains("shut down for receiving"), "{failure:?}");
        });
    }
    // Neither may a peer that takes a byte now and then.
    let (ours, theirs) = with_little_room();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                plain_receive(&theirs, 1);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let outcome = send_with(ours.as_raw_fd(), &pattern(500_000), &[], &after(20_000_000));
        is_over.store(true, SeqCst);
        assert_eq!(outcome.expect_err("too slow").errno, libc::ETIMEDOUT);
    });
}

/// SA_RESTART restarts system calls, not the library.
pub fn a_signal_handler_ends_an_interruptible_call() {
    for flags in [0, libc::SA_RESTART] {
        for kind in KINDS {
            let (ours, theirs) = pair(kind);
            let ended = |call: &mut dyn FnMut() -> Result<(), crate::support::fd::Failure>| {
                let is_over = AtomicBool::new(false);
                let outcome = interrupted_with(
                    flags,
                    || {
                        let outcome = call();
                        is_over.store(true, SeqCst);
                        outcome
                    },
                    |interrupt| {
                        while !is_over.load(SeqCst) {
                            interrupt();
                        }
                    },
                );
                let failure = outcome.expect_err("interrupted");
                assert_eq!(failure.errno, libc::EINTR, "{failure:?}");
            };
            let waits = with(INTERRUPTIBLE);
            ended(&mut || receive_with(theirs.as_raw_fd(), 10, 1, null(), &waits).map(drop));
            ended(&mut || {
                loop {
                    send_with(ours.as_raw_fd(), &[0; 2000], &[], &waits)?;
                }
            });
        }
        // Within a message.
        let (ours, theirs) = pair(libc::SOCK_STREAM);
        plain_write(&ours, b"hell");
        let is_over = AtomicBool::new(false);
        let outcome = interrupted_with(
            flags,
            || {
                let outcome = receive_with(theirs.as_raw_fd(), 5, 0, null(), &with(INTERRUPTIBLE));
                is_over.store(true, SeqCst);
                outcome
            },
            |interrupt| {
                while !is_over.load(SeqCst) {
                    interrupt();
                }
            },
        );
        let failure = outcome.expect_err("interrupted");
        assert_eq!(failure.errno, libc::EINTR);
        assert!(
            failure.message.contains("4 of 5") && failure.message.contains("shut down"),
            "{failure:?}"
        );
    }
}

pub fn some_of_a_stream_is_what_has_arrived() {
    let files = files(3);
    for blocks in [true, false] {
        let (ours, theirs) = pair(libc::SOCK_STREAM);
        if !blocks {
            do_not_block(&theirs);
        }
        let some = |size, capacity| {
            receive_with(theirs.as_raw_fd(), size, capacity, null(), &with(TRANSFER_SOME))
        };
        send(&ours, b"hello", &repeated(&files, 3)).expect("sent");
        let (bytes, received) = some(100, 5).expect("received");
        assert_eq!(bytes, b"hello");
        assert_same(&received, &repeated(&files, 3));
        // In the pieces that the caller asks for.
        send(&ours, b"hello", &[&files[0]]).expect("sent");
        let (bytes, received) = some(1, 1).expect("received");
        assert_eq!((bytes, received.len()), (b"h".to_vec(), 1));
        assert_eq!(some(100, 1).expect("received").0, b"ello");
        // A refusal concerns only what has come, and nothing after it.
        send(&ours, b"hello", &repeated(&files, 3)).expect("sent");
        assert_eq!(leaves_nothing(|| some(2, 2)).expect_err("too many").errno, libc::EBADMSG);
        assert_eq!(some(100, 2).expect("received").0, b"llo");
        // The rest is as without the flag.
        assert_eq!(some(0, 0).expect_err("no length").errno, libc::EINVAL);
        if !blocks {
            assert_eq!(some(1, 0).expect_err("nothing there").errno, libc::EAGAIN);
        }
        drop(ours);
        assert_eq!(some(100, 2).expect_err("closed").errno, libc::ENODATA);
    }
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (ours, theirs) = pair(kind);
        send(&ours, b"hello", &repeated(&files, 1)).expect("sent");
        let outcome = receive_with(theirs.as_raw_fd(), 100, 1, null(), &with(TRANSFER_SOME));
        assert_eq!(outcome.expect("received").0, b"hello");
    }
}

/// Plays D-Bus: a header says how long the message is, descriptors come with its first byte, and it
/// may arrive in any pieces.
pub fn messages_that_say_their_length_are_received_in_any_pieces() {
    let files = files(5);
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    let messages: Vec<Vec<u8>> = [0, 1, 300, 5000, 70_000].into_iter().map(pattern).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (at, message) in messages.iter().enumerate() {
                let whole = [&(message.len() as u32).to_le_bytes()[..], message].concat();
                let sizes = if at % 2 == 0 {
                    vec![whole.len()]
                } else {
                    vec![1, 2, 3, whole.len().saturating_sub(6)]
                };
                let (mut rest, mut sent) = (&whole[..], repeated(&files, at));
                for size in sizes {
                    let (now, later) = rest.split_at(size.min(rest.len()));
                    if !now.is_empty() {
                        send(&ours, now, &sent).expect("sent");
                    }
                    (rest, sent) = (later, vec![]);
                }
            }
        });
        let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
        for (at, message) in messages.iter().enumerate() {
            let length = |bytes: &[u8]| {
                bytes
                    .first_chunk()
                    .map_or(usize::MAX, |length| 4 + u32::from_le_bytes(*length) as usize)
            };
            while bytes.len() < length(&bytes) {
                let (more, fds) =
                    receive_with(theirs.as_raw_fd(), 1000, MOST, null(), &with(TRANSFER_SOME))
                        .expect("what has arrived");
                bytes.extend(more);
                descriptors.extend(fds);
            }
            let rest = bytes.split_off(length(&bytes));
            assert!(bytes[4..] == message[..], "message {at}");
            let others = descriptors.split_off(at);
            assert_same(&descriptors, &repeated(&files, at));
            (bytes, descriptors) = (rest, others);
        }
    });
}
