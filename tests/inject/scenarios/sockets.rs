//! Sends descriptors from one process to another.

use std::os::fd::{AsRawFd, OwnedFd};

use super::wraps::small;
use super::{Scenario, Stage, scenarios};
use crate::support::abi::*;
use crate::support::fd::{content, wrap};
use crate::support::share::{
    KINDS, pair, peer, plain_receive, plain_send, receive_with, send_with, verify,
};

const MINUTE: i64 = 60_000_000_000;

scenarios![
    "bytefd_verify: a wrapped descriptor": |stage| {
        let fd = wrapped();
        stage.call(|| verify(fd.as_raw_fd(), &Requirements::default()));
    },
    "bytefd_verify: of this user, without seals": |stage| {
        let file = tempfile::tempfile().expect("a file");
        // SAFETY: no preconditions.
        let uid = unsafe { libc::geteuid() };
        let flags = REQUIRE_UID | REQUIRE_NO_SEALS;
        stage.call(|| {
            verify(file.as_raw_fd(), &Requirements { flags, uid, ..Requirements::default() })
        });
    },
    "bytefd_send: on a stream": |stage| send(stage, KINDS[0], TransferOptions::default()),
    "bytefd_send: a datagram": |stage| send(stage, KINDS[1], TransferOptions::default()),
    "bytefd_send: a packet, in time": |stage| {
        send(stage, KINDS[2], TransferOptions { timeout_ns: MINUTE, ..TransferOptions::default() });
    },
    "bytefd_send: on a stream, in time": |stage| {
        send(stage, KINDS[0], TransferOptions { timeout_ns: MINUTE, ..TransferOptions::default() });
    },
    "bytefd_receive: from a stream": |stage| receive(stage, KINDS[0], TransferOptions::default()),
    "bytefd_receive: a datagram": |stage| receive(stage, KINDS[1], TransferOptions::default()),
    "bytefd_receive: a packet, in time": |stage| {
        receive(
            stage,
            KINDS[2],
            TransferOptions { timeout_ns: MINUTE, ..TransferOptions::default() },
        );
    },
    "bytefd_receive: from a stream, in time": |stage| {
        receive(
            stage,
            KINDS[0],
            TransferOptions { timeout_ns: MINUTE, ..TransferOptions::default() },
        );
    },
    "bytefd_receive: what a stream has, interruptible": |stage| {
        stage.may_be_interrupted.set(true);
        receive(
            stage,
            KINDS[0],
            TransferOptions { flags: TRANSFER_SOME | INTERRUPTIBLE, ..TransferOptions::default() },
        );
    },
    "bytefd_peer_credentials: of a pair": |stage| {
        let (one, _other) = pair(KINDS[0]);
        if let Some(peer) = stage.call(|| peer(one.as_raw_fd())) {
            assert_eq!(peer.pid as u32, std::process::id());
        }
    },
];

fn wrapped() -> OwnedFd {
    wrap(&small(), &WrapOptions::default()).expect("wrapped")
}

const MESSAGE: &[u8] = b"a message";

fn send(stage: &Stage, kind: i32, options: TransferOptions) {
    let (here, there) = pair(kind);
    let fd = wrapped();
    let numbers = [fd.as_raw_fd()];
    if stage.call(|| send_with(here.as_raw_fd(), MESSAGE, &numbers, &options)).is_none() {
        return;
    }
    let (mut message, descriptors) = plain_receive(&there, 100);
    while message.len() < MESSAGE.len() {
        message.extend(plain_receive(&there, 100).0);
    }
    assert_eq!((&message[..], descriptors.len()), (MESSAGE, 1));
    assert!(content(&descriptors[0]) == small());
}

fn receive(stage: &Stage, kind: i32, options: TransferOptions) {
    let (here, there) = pair(kind);
    let fd = wrapped();
    plain_send(&there, MESSAGE, &[fd.as_raw_fd()]);
    let requirements = Requirements::default();
    let received =
        stage.call(|| receive_with(here.as_raw_fd(), MESSAGE.len(), 3, &requirements, &options));
    if let Some((message, descriptors)) = received {
        let is_part = options.flags & TRANSFER_SOME != 0;
        assert!(message == MESSAGE || is_part && MESSAGE.starts_with(&message), "{message:?}");
        assert_eq!(descriptors.len(), 1);
        assert!(content(&descriptors[0]) == small());
    }
}
