//! Tests control messages. A peer sends any of them with plain sendmsg(2), and bytefd_receive
//! returns exactly the bytes and descriptors that have arrived, or refuses them all. Nothing stays
//! open.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::ptr::null;

use super::driver::{Bytes, fuzz};
use crate::faults::conditions::leaves_nothing;
use crate::support::abi::*;
use crate::support::fd::{metadata, wrap_with};
use crate::support::hosts::has_memfd;
use crate::support::share::{KINDS, MOST, pair, receive_with, set_option};

/// asm-generic/socket.h; not in the libc crate for every C library.
const SO_PASSPIDFD: i32 = 76;
const OPTIONS: [i32; 4] = [libc::SO_PASSCRED, libc::SO_PASSSEC, libc::SO_TIMESTAMP, SO_PASSPIDFD];

/// The size of a control message without its payload.
const HEADER: usize = size_of::<libc::cmsghdr>();

type Identity = (u64, u64);

fn identity(fd: &OwnedFd) -> Identity {
    let stat = metadata(fd);
    (stat.dev(), stat.ino())
}

/// The files that a peer sends: a sealed file, a writable file, a pipe, a directory.
struct Files(Vec<(OwnedFd, Identity)>);

impl Files {
    fn new() -> Files {
        let (reader, _) = std::io::pipe().expect("a pipe");
        let all = [
            wrap_with(b"hello", 0, AUTO).expect("a file"),
            wrap_with(b"hello", WRITABLE, AUTO).expect("a file"),
            reader.into(),
            std::fs::File::open("/").expect("a directory").into(),
        ];
        Files(all.into_iter().map(|fd| (identity(&fd), fd)).map(|(id, fd)| (fd, id)).collect())
    }

    /// Returns how many of the files, from the first on, these requirements accept.
    fn accepted(asked: Option<&Requirements>) -> usize {
        match asked {
            None => 4,
            Some(asked) if asked.flags & REQUIRE_NO_SEALS != 0 => 2,
            Some(_) => usize::from(has_memfd()),
        }
    }
}

/// A message that was sent in one call.
struct Message {
    bytes: Vec<u8>,
    /// The numbers of the files in it.
    files: Vec<usize>,
}

/// Control data under construction.
#[derive(Default)]
struct Control(Vec<u8>);

impl Control {
    /// Adds a header that claims `claimed` bytes, and a payload.
    fn add(&mut self, level: i32, kind: i32, claimed: usize, payload: &[u8]) {
        self.0.extend(claimed.to_ne_bytes());
        self.0.extend(level.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn add_whole(&mut self, kind: i32, payload: &[u8]) {
        self.add(libc::SOL_SOCKET, kind, HEADER + payload.len(), payload);
    }

    /// Returns the numbers of the descriptors in it, as the kernel finds them: by the length that
    /// each header claims.
    fn descriptors(&self) -> Vec<i32> {
        let number = |at: usize| i32::from_ne_bytes(self.0[at..at + 4].try_into().expect("4"));
        let (mut found, mut at) = (Vec::new(), 0);
        while at + HEADER <= self.0.len() {
            let claimed = number(at) as usize;
            let end = at + claimed;
            if claimed < HEADER || end > self.0.len() {
                break;
            }
            if (number(at + 8), number(at + 12)) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                found.extend((at + HEADER..end - 3).step_by(4).map(number));
            }
            at = end.next_multiple_of(8);
        }
        found
    }
}

/// Decodes a message and sends it. `None` if the kernel refuses it.
fn send(bytes: &mut Bytes<'_>, socket: &OwnedFd, files: &Files) -> Option<Message> {
    let length = usize::from(bytes.byte() % 16);
    let message = vec![bytes.byte(); length];
    let mut control = Control::default();
    for _ in 0..bytes.byte() % 4 {
        match bytes.byte() % 4 {
            0 | 1 => {
                let (count, mut which) = (bytes.byte(), bytes.byte());
                let count = if count >= 0xfe { MOST } else { usize::from(count % 6) };
                let mut numbers = Vec::new();
                for _ in 0..count {
                    let file = usize::from(which % 4);
                    which = which.rotate_right(2);
                    numbers.extend(files.0[file].0.as_raw_fd().to_ne_bytes());
                }
                control.add_whole(libc::SCM_RIGHTS, &numbers);
            }
            2 => {
                // SAFETY: no preconditions.
                let own = unsafe { [libc::getpid() as u32, libc::getuid(), libc::getgid()] };
                control.add_whole(libc::SCM_CREDENTIALS, &own.map(u32::to_ne_bytes).concat());
            }
            _ => {
                let (level, kind) = (bytes.byte(), bytes.byte());
                // These are descriptors that no process has, invalid lengths, and types for other
                // protocols.
                let (claimed, length) = (bytes.byte(), usize::from(bytes.byte() % 32));
                let payload = vec![0xee; length];
                control.add(level.into(), kind.into(), claimed.into(), &payload);
            }
        }
    }
    let mut part = IoSlice::new(&message);
    // SAFETY: all-zero is a valid msghdr; what it points to is readable, and the call only reads.
    let status = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = ((&raw mut part).cast(), 1);
        (header.msg_control, header.msg_controllen) =
            (control.0.as_mut_ptr().cast(), control.0.len());
        libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    };
    let number_of = |file: &(OwnedFd, Identity)| file.0.as_raw_fd();
    let file = |number: i32| files.0.iter().position(|file| number_of(file) == number);
    (status >= 0).then(|| Message {
        bytes: message,
        files: control.descriptors().into_iter().map(|fd| file(fd).expect("ours")).collect(),
    })
}

/// The arguments of the call that receives.
struct Receiver {
    socket: OwnedFd,
    is_stream: bool,
    size: usize,
    capacity: usize,
    takes_some: bool,
    asked: Option<Requirements>,
    /// The socket brings other control messages too.
    has_other_control: bool,
}

impl Receiver {
    fn decode(bytes: &mut Bytes<'_>) -> (Receiver, OwnedFd) {
        let (kind, options) = (KINDS[usize::from(bytes.byte()) % 3], bytes.byte());
        let (ours, theirs) = pair(kind);
        let chosen = OPTIONS.iter().enumerate().filter(|(bit, _)| options >> bit & 1 == 1);
        let mut has_other_control = false;
        chosen.for_each(|(_, option)| has_other_control |= set_option(&ours, *option, 1));
        let (size, capacity) = (usize::from(bytes.byte() % 16), bytes.byte());
        let capacity = if capacity >= 0xfe { MOST } else { usize::from(capacity % 8) };
        let how = bytes.byte();
        let asked = match how % 3 {
            0 => None,
            1 => Some(Requirements::default()),
            _ => Some(Requirements { flags: REQUIRE_NO_SEALS, ..Requirements::default() }),
        };
        let receiver = Receiver {
            socket: ours,
            is_stream: kind == libc::SOCK_STREAM,
            size,
            capacity,
            takes_some: how & 0x80 != 0,
            asked,
            has_other_control,
        };
        (receiver, theirs)
    }

    fn receive(&self) -> Result<(Vec<u8>, Vec<OwnedFd>), i32> {
        let flags = if self.takes_some { TRANSFER_SOME } else { 0 };
        let options = TransferOptions { timeout_ns: 0, flags, ..TransferOptions::default() };
        let asked = self.asked.as_ref().map_or(null(), |asked| asked as *const _);
        receive_with(self.socket.as_raw_fd(), self.size, self.capacity, asked, &options)
            .map_err(|failure| failure.errno)
    }

    fn accepts(&self, files: &[usize]) -> bool {
        files.iter().all(|file| *file < Files::accepted(self.asked.as_ref()))
    }

    /// Packets are received one by one.
    fn packets(&self, sent: &[Message], files: &Files) {
        for message in sent {
            let received = self.receive();
            let is_too_long = message.bytes.len() > self.size;
            let has_too_many = message.files.len() > self.capacity;
            match received {
                Err(libc::ENODATA) => {
                    assert!(message.bytes.is_empty() && message.files.is_empty(), "an end");
                }
                Err(libc::EMSGSIZE) => assert!(is_too_long),
                Err(libc::EBADMSG) => assert!(has_too_many),
                Err(errno) => assert!(!self.accepts(&message.files), "errno {errno}"),
                Ok((bytes, found)) => {
                    assert!(!is_too_long && bytes == message.bytes, "{bytes:?}");
                    // Without room for any, descriptors are noticed unless other data comes too.
                    if self.capacity == 0 && self.has_other_control {
                        continue;
                    }
                    assert!(!has_too_many && self.accepts(&message.files));
                    let wanted = message.files.iter().map(|file| files.0[*file].1);
                    assert!(found.iter().map(identity).eq(wanted));
                }
            }
        }
    }

    /// A stream is received in pieces, up to the first that is refused.
    fn stream(&self, sent: &[Message], files: &Files) {
        let sent: Vec<_> = sent.iter().filter(|message| !message.bytes.is_empty()).collect();
        let all: Vec<u8> = sent.iter().flat_map(|message| message.bytes.clone()).collect();
        let all_files: Vec<_> = sent.iter().flat_map(|message| message.files.clone()).collect();
        let (mut bytes, mut rest) = (&all[..], &all_files[..]);
        while let Ok((part, found)) = self.receive() {
            assert!(part.len() == self.size || self.takes_some && !part.is_empty());
            bytes = bytes.strip_prefix(&part[..]).expect("the bytes that were sent");
            assert!(self.accepts(&rest[..found.len()]));
            let wanted = rest[..found.len()].iter().map(|file| files.0[*file].1);
            assert!(found.iter().map(identity).eq(wanted));
            rest = &rest[found.len()..];
        }
        // Whole messages without descriptors have no reason to be refused.
        let is_plain = all_files.is_empty() && self.size > 0;
        assert!(!is_plain || bytes.len() < self.size, "{} bytes are left", bytes.len());
    }
}

fn check(input: &[u8], files: &Files) -> &'static str {
    leaves_nothing(|| {
        let mut bytes = Bytes(input);
        let (receiver, theirs) = Receiver::decode(&mut bytes);
        let count = bytes.byte() % 5;
        let sent: Vec<_> = (0..count).filter_map(|_| send(&mut bytes, &theirs, files)).collect();
        if receiver.is_stream {
            // The rest of a refused message would be waited for.
            drop(theirs);
            receiver.stream(&sent, files);
        } else {
            receiver.packets(&sent, files);
        }
        match (receiver.is_stream, sent.iter().any(|message| !message.files.is_empty())) {
            (true, true) => "a stream with descriptors",
            (true, false) => "a stream without descriptors",
            (false, true) => "packets with descriptors",
            (false, false) => "packets without descriptors",
        }
    })
}

pub fn any_control_messages_are_received_or_refused_without_a_leak() {
    let files = Files::new();
    fuzz("control", |input| check(input, &files));
}
