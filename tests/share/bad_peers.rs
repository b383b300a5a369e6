//! Tests peers that do something else than was agreed: an error says so, and nothing is left.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null;

use super::messages::{assert_same, files, repeated};
use crate::faults::conditions::*;
use crate::support::abi::{AUTO, Requirements, TransferOptions, WRITABLE};
use crate::support::fd::{Failure, wrap_with};
use crate::support::hosts::has_memfd;
use crate::support::share::*;

/// Returns the error of bytefd_receive for a message, after which nothing is left.
fn refused(kind: i32, message: &[u8], sent: &[&OwnedFd], room: usize, count: usize) -> Failure {
    let (ours, theirs) = pair(kind);
    plain_send(&theirs, message, &sent.iter().map(|fd| fd.as_raw_fd()).collect::<Vec<_>>());
    leaves_nothing(|| receive(&ours, room, count)).expect_err("refused")
}

pub fn more_descriptors_than_fit_are_ebadmsg() {
    let files = files(5);
    for kind in KINDS {
        for (sent, capacity) in [(1, 0), (2, 0), (2, 1), (5, 0), (5, 4), (MOST, 0), (MOST, 1)] {
            let failure = refused(kind, b"hello", &repeated(&files, sent), 5, capacity);
            assert_eq!((failure.errno, &failure.op[..]), (libc::EBADMSG, "count"), "{failure:?}");
            let says = |number: usize| failure.message.contains(&number.to_string());
            assert!(says(capacity) && (says(sent) || capacity == 0), "{failure:?}");
        }
    }
}

pub fn fewer_descriptors_than_fit_are_fine() {
    let files = files(5);
    for kind in KINDS {
        for (sent, capacity) in
            [(0, 0), (0, 1), (1, 2), (5, 6), (5, MOST), (0, MOST + 1), (MOST, 10 * MOST)]
        {
            let (ours, theirs) = pair(kind);
            let sent = repeated(&files, sent);
            send(&theirs, b"hello", &sent).expect("sent");
            let (bytes, received) = receive(&ours, 5, capacity).expect("received");
            assert_eq!(bytes, b"hello");
            assert_same(&received, &sent);
        }
    }
}

/// The message after a refused one is the next one.
pub fn after_a_refusal_the_next_message_is_whole() {
    let files = files(3);
    for refuses in ["too many", "far too many", "none fits", "lost"] {
        let (ours, theirs) = pair(libc::SOCK_STREAM);
        let send =
            |bytes: &[u8], count| send(&theirs, bytes, &repeated(&files, count)).expect("sent");
        send(b"AA", 2);
        send(b"AA", 3);
        send(b"BBBB", 1);
        send(b"CCCC", 0);
        let (capacity, free, errno) = match refuses {
            "too many" => (1, 500, libc::EBADMSG),
            "far too many" => (4, 500, libc::EBADMSG),
            "none fits" => (0, 500, libc::EBADMSG),
            _ => (9, 1, libc::EMFILE),
        };
        let failure = leaves_nothing(|| {
            with_free_descriptors(free, || receive(&ours, 4, capacity).map(drop))
        });
        let failure = failure.expect_err("refused");
        assert_eq!(failure.errno, errno, "{refuses}: {failure:?}");
        assert!(!failure.message.contains("shut down"), "{failure:?}");
        let (bytes, received) = receive(&ours, 4, 1).expect("the next message");
        assert_eq!(bytes, b"BBBB", "{refuses}");
        assert_same(&received, &repeated(&files, 1));
        assert_eq!(receive(&ours, 4, 1).expect("and the next").0, b"CCCC");
    }
    // The kernel delivers what has descriptors of its own in one piece each.
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    for (bytes, count) in [("AA", 2), ("A", 1), ("A", 1), ("A", 1), ("BBBBB", 1)] {
        send(&theirs, bytes.as_bytes(), &repeated(&files, count)).expect("sent");
    }
    assert_eq!(receive(&ours, 5, 1).expect_err("refused").errno, libc::EBADMSG);
    assert_eq!(receive(&ours, 5, 1).expect("the next message").0, b"BBBBB");
    // A requirement that is not met is found when the message is whole.
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    send(&theirs, b"AA", &[&OwnedFd::from(reader)]).expect("sent");
    send(&theirs, b"AABBBB", &[]).expect("sent");
    let asked = Requirements::default();
    assert_eq!(
        receive_what(ours.as_raw_fd(), 4, 1, &asked).expect_err("refused").errno,
        libc::EPERM
    );
    assert_eq!(receive(&ours, 4, 0).expect("the next message").0, b"BBBB");
}

/// Without the shutdown, what the peer still sends would be taken for a message.
pub fn a_refused_message_that_does_not_end_shuts_the_socket_down() {
    let file = &files(1)[0];
    for blocks in [true, false] {
        let (ours, theirs) = pair(libc::SOCK_STREAM);
        if !blocks {
            do_not_block(&ours);
        }
        send(&theirs, b"AA", &[file]).expect("sent");
        let failure = leaves_nothing(|| receive(&ours, 4, 0)).expect_err("refused");
        assert_eq!(failure.errno, libc::EBADMSG);
        assert!(failure.message.contains("shut down for receiving"), "{failure:?}");
        is_shut_down(&ours, &theirs);
    }
}

/// Asserts that neither old nor new bytes can be received, and that the other direction goes on.
fn is_shut_down(ours: &OwnedFd, theirs: &OwnedFd) {
    assert_eq!(send(theirs, b"AABBBB", &[]).expect_err("refused").errno, libc::EPIPE);
    assert_eq!(receive(ours, 4, 1).expect_err("nothing comes").errno, libc::ENODATA);
    assert_eq!(plain_receive(ours, 100).0, b"");
    send(ours, b"hello", &[]).expect("sent");
    assert_eq!(plain_receive(theirs, 100).0, b"hello");
}

pub fn a_message_that_comes_too_late_shuts_the_socket_down() {
    let file = &files(1)[0];
    let soon = TransferOptions { timeout_ns: 1_000_000, ..TransferOptions::default() };
    for blocks in [true, false] {
        for first in [true, false] {
            let (ours, theirs) = pair(libc::SOCK_STREAM);
            if !blocks {
                do_not_block(&ours);
            }
            if first {
                send(&theirs, b"h", &[file]).expect("sent");
            }
            let outcome =
                leaves_nothing(|| receive_with(ours.as_raw_fd(), 5, 1, null(), &soon).map(drop));
            let failure = outcome.expect_err("late");
            let errno = if blocks || first { libc::ETIMEDOUT } else { libc::EAGAIN };
            assert_eq!(failure.errno, errno, "{failure:?}");
            if first {
                assert!(failure.message.contains("1 of 5"), "{failure:?}");
                is_shut_down(&ours, &theirs);
            } else {
                send(&theirs, b"hello", &[]).expect("sent");
                assert_eq!(receive(&ours, 5, 0).expect("it has not begun before").0, b"hello");
            }
        }
    }
}

pub fn descriptors_that_are_not_what_is_asked_for_are_refused_all_together() {
    let good = files(1).remove(0);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let folder = OwnedFd::from(std::fs::File::open("/").expect("a folder"));
    let open = wrap_with(b"hello!", WRITABLE, AUTO).expect("a descriptor");
    let short = wrap_with(b"hello", 0, AUTO).expect("a descriptor");
    let mut bad = vec![
        (OwnedFd::from(reader), libc::EPERM),
        (OwnedFd::from(writer), libc::EACCES),
        (folder, libc::EPERM),
        (open, libc::EPERM),
    ];
    if has_memfd() {
        bad.push((short, libc::ENXIO));
    }
    let asked = Requirements { min_length: 6, ..Requirements::default() };
    for kind in KINDS {
        for (bad, errno) in &bad {
            for sent in [vec![bad], vec![bad, &good], vec![&good, bad], vec![&good, bad, &good]] {
                let has_good_first = sent[0].as_raw_fd() == good.as_raw_fd();
                let (ours, theirs) = pair(kind);
                send(&theirs, b"!", &sent).expect("sent");
                let received = leaves_nothing(|| {
                    receive_what(ours.as_raw_fd(), 1, sent.len(), &asked).map(drop)
                });
                let failure = received.expect_err("refused");
                // Where nothing can be sealed, the good descriptor is not acceptable either.
                let errno = if has_memfd() || !has_good_first { *errno } else { libc::EPERM };
                assert_eq!(failure.errno, errno, "{failure:?}");
            }
        }
    }
}

pub fn an_end_that_is_closed_is_enodata_or_econnreset() {
    let files = files(2);
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
        for count in [0, 1] {
            let (ours, theirs) = pair(kind);
            drop(theirs);
            for _ in 0..2 {
                let failure = leaves_nothing(|| receive(&ours, 5, count)).expect_err("closed");
                assert_eq!(failure.errno, libc::ENODATA, "{failure:?}");
            }
            // One that only says that it will send no more.
            let (ours, theirs) = pair(kind);
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::shutdown(theirs.as_raw_fd(), libc::SHUT_WR) }, 0);
            assert_eq!(receive(&ours, 5, count).expect_err("closed").errno, libc::ENODATA);
        }
        // A last message is received first.
        let (ours, theirs) = pair(kind);
        send(&theirs, b"hello", &repeated(&files, 2)).expect("sent");
        drop(theirs);
        assert_same(&receive(&ours, 5, 2).expect("received").1, &repeated(&files, 2));
        assert_eq!(receive(&ours, 5, 2).expect_err("closed").errno, libc::ENODATA);
    }
    // An empty packet looks the same by then.
    let (ours, theirs) = pair(libc::SOCK_SEQPACKET);
    send(&theirs, b"", &[]).expect("sent");
    drop(theirs);
    assert_eq!(receive(&ours, 5, 0).expect_err("closed").errno, libc::ENODATA);
    for (sent, asked, blocks) in [(0, 0, true), (2, 2, true), (1, 2, true), (2, 5, false)] {
        let (ours, theirs) = pair(libc::SOCK_STREAM);
        if !blocks {
            do_not_block(&ours);
        }
        send(&theirs, b"hell", &repeated(&files, sent)).expect("sent");
        drop(theirs);
        let failure = leaves_nothing(|| receive(&ours, 5, asked)).expect_err("closed");
        assert_eq!(failure.errno, libc::ECONNRESET, "{failure:?}");
        assert!(failure.message.contains("4 of 5"), "{failure:?}");
    }
}

pub fn an_end_closed_before_it_has_read_is_econnreset() {
    for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
        let (ours, theirs) = pair(kind);
        send(&ours, b"a request", &[]).expect("sent");
        drop(theirs);
        let failure = leaves_nothing(|| receive(&ours, 5, 0)).expect_err("closed");
        assert_eq!(failure.errno, libc::ECONNRESET, "{failure:?}");
    }
}

pub fn descriptors_that_find_no_number_are_emfile() {
    let files = files(5);
    for kind in KINDS {
        for free in 0..6 {
            let (ours, theirs) = pair(kind);
            send(&theirs, b"!", &repeated(&files, 5)).expect("sent");
            let received =
                leaves_nothing(|| with_free_descriptors(free, || receive(&ours, 1, 5).map(drop)));
            if free == 5 {
                received.expect("enough");
                continue;
            }
            let failure = received.expect_err("too few");
            assert_eq!(failure.errno, libc::EMFILE, "{free} free: {failure:?}");
        }
    }
    // Over several parts of one message.
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    send(&theirs, b"abc", &repeated(&files, 600)).expect("sent");
    let failure = leaves_nothing(|| with_free_descriptors(400, || receive(&ours, 3, 600)))
        .expect_err("too few");
    assert_eq!(failure.errno, libc::EMFILE, "{failure:?}");
}

pub fn a_datagram_longer_than_the_buffer_is_emsgsize() {
    let files = files(2);
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        for room in [0, 1, 4] {
            for count in [0, 2] {
                let failure = refused(kind, b"hello", &repeated(&files, count), room, count);
                assert_eq!(failure.errno, libc::EMSGSIZE, "{failure:?}");
            }
        }
        let (ours, theirs) = pair(kind);
        send(&theirs, b"too long", &[]).expect("sent");
        send(&theirs, b"right", &[]).expect("sent");
        assert_eq!(receive(&ours, 5, 0).expect_err("too long").errno, libc::EMSGSIZE);
        assert_eq!(receive(&ours, 5, 0).expect("received").0, b"right", "the next one is whole");
    }
}

// asm-generic/socket.h; not in the libc crate for every C library.
const SO_PASSPIDFD: i32 = 76;

pub fn other_control_data_does_no_harm() {
    let files = files(5);
    for kind in KINDS {
        for count in [0, 5, MOST] {
            let (ours, theirs) = pair(kind);
            for option in [libc::SO_PASSCRED, libc::SO_PASSSEC, libc::SO_TIMESTAMP, SO_PASSPIDFD] {
                set_option(&ours, option, 1);
            }
            send(&theirs, b"hello", &repeated(&files, count)).expect("sent");
            leaves_nothing(|| {
                let (bytes, received) = receive(&ours, 5, count).expect("received");
                assert_eq!(bytes, b"hello");
                assert_same(&received, &repeated(&files, count));
            });
        }
    }
}

/// The kernel puts an errno where the number would be.
pub fn a_process_descriptor_that_finds_no_number_does_no_harm() {
    let files = files(2);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        if !set_option(&ours, SO_PASSPIDFD, 1) {
            return println!("SKIPPED: a process descriptor: this kernel has none");
        }
        for count in [0, 2] {
            send(&theirs, b"!", &repeated(&files, count)).expect("sent");
            let received = leaves_nothing(|| {
                with_free_descriptors(count, || receive(&ours, 1, count).map(drop))
            });
            received.expect("what was asked for has come");
        }
    }
}

/// A peer that sends descriptors without end must not fill this process with them.
pub fn a_flood_of_descriptors_is_ended() {
    let files = files(1);
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    for _ in 0..20 {
        send(&theirs, b"!", &repeated(&files, MOST)).expect("sent");
    }
    let failure = leaves_nothing(|| with_free_descriptors(2 * MOST, || receive(&ours, 20, MOST)))
        .expect_err("a flood");
    assert_eq!(failure.errno, libc::EBADMSG, "{failure:?}");
}

/// A user without privileges may have as many descriptors in flight, in all processes together, as
/// a process may have open.
pub fn too_many_descriptors_in_flight_are_etoomanyrefs() {
    let files = files(1);
    let (ours, _theirs) = pair(libc::SOCK_STREAM);
    do_not_block(&ours);
    let limit = *open_descriptors().last().expect("a descriptor is open") as u64 + 100;
    let failure = as_nobody(|| {
        with_limit(libc::RLIMIT_NOFILE, limit, || {
            loop {
                if let Err(failure) = send(&ours, b"!", &repeated(&files, 50)) {
                    break failure;
                }
            }
        })
    });
    assert_eq!(failure.errno, libc::ETOOMANYREFS, "{failure:?}");
}

pub fn nobody_at_the_other_end_is_an_error_and_no_signal() {
    let files = files(1);
    let ended = in_child(|| {
        // SAFETY: the default disposition, in this child only.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        for (kind, errno) in [
            (libc::SOCK_STREAM, libc::EPIPE),
            (libc::SOCK_SEQPACKET, libc::EPIPE),
            (libc::SOCK_DGRAM, libc::ECONNREFUSED),
        ] {
            for count in [0, 1] {
                let (ours, theirs) = pair(kind);
                drop(theirs);
                let failure =
                    send(&ours, b"hello", &repeated(&files, count)).expect_err("nobody there");
                assert_eq!(failure.errno, errno, "kind {kind}: {failure:?}");
            }
        }
        0
    });
    assert_eq!(ended, End::Exited(0));
    // Within a message.
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    assert!(set_option(&ours, libc::SO_SNDBUF, 1));
    let failure = std::thread::scope(|scope| {
        scope.spawn(move || drop((plain_receive(&theirs, 1), theirs)));
        send(&ours, &[0; 500_000], &[]).expect_err("nobody there any more")
    });
    assert!([libc::EPIPE, libc::ECONNRESET].contains(&failure.errno), "{failure:?}");
}
