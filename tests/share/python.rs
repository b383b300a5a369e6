//! Python's socket.send_fds and socket.recv_fds at the other end: a stranger that knows nothing of this library.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::ptr::null;
use std::sync::OnceLock;

use super::messages::{files, repeated};
use crate::support::abi::{TRANSFER_SOME, TransferOptions};
use crate::support::fd::content;
use crate::support::share::*;

/// Sends three files with their numbers, then a message of its own.
const SENDS: &str = "
import socket, sys, tempfile
s = socket.socket(fileno=0) if len(sys.argv) == 1 else socket.socket(socket.AF_UNIX)
if len(sys.argv) > 1: s.connect(sys.argv[1])
files = [tempfile.TemporaryFile() for _ in range(3)]
for n, f in enumerate(files): f.write(b'file %d' % n); f.flush()
assert socket.send_fds(s, [b'hel', b'lo'], [f.fileno() for f in files]) == 5
assert s.send(b'no more') == 7
";

/// Prints what it gets.
const RECEIVES: &str = "
import os, socket, sys
s = socket.socket(fileno=0) if len(sys.argv) == 1 else socket.socket(socket.AF_UNIX)
if len(sys.argv) > 1: s.connect(sys.argv[1])
message, fds, flags, _ = socket.recv_fds(s, 100, 253)
assert not flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC), flags
print(message, [os.pread(fd, 100, 0) for fd in fds])
";

/// Python at one end of this socket, or `None` where there is no Python that knows these functions (3.9).
fn python(program: &str, socket: Stdio, path: Option<&std::path::Path>) -> Option<Child> {
    static IS_KNOWN: OnceLock<bool> = OnceLock::new();
    let look = || Command::new("python3").args(["-c", "import socket; socket.send_fds"]).stderr(Stdio::null()).status();
    if !IS_KNOWN.get_or_init(|| look().is_ok_and(|status| status.success())) {
        println!("SKIPPED: python3 with socket.send_fds: not here");
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", program]).args(path).stdin(socket).stdout(Stdio::piped());
    Some(command.spawn().expect("python3 runs again"))
}

fn said(mut child: Child) -> String {
    let mut said = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
    assert!(child.wait().expect("it ends").success(), "{said}");
    said
}

fn assert_received(socket: &impl AsRawFd) {
    let (bytes, received) = receive(socket, 5, 3).expect("received");
    assert_eq!(bytes, b"hello");
    assert_eq!(received.iter().map(content).collect::<Vec<_>>(), [b"file 0", b"file 1", b"file 2"]);
    assert_eq!(receive(socket, 7, 0).expect("received").0, b"no more");
}

pub fn python_sends_and_the_library_receives() {
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        let Some(child) = python(SENDS, theirs.into(), None) else { return };
        assert_received(&ours);
        said(child);
    }
}

pub fn the_library_sends_and_python_receives() {
    let files = files(3);
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        let Some(child) = python(RECEIVES, theirs.into(), None) else { return };
        send(&ours, b"hello", &repeated(&files, 3)).expect("sent");
        assert_eq!(said(child), "b'hello' [b'file 0', b'file 1', b'file 2']\n");
    }
}

pub fn python_meets_the_library_at_a_named_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let files = files(3);
    for program in [SENDS, RECEIVES] {
        let Some(child) = python(program, Stdio::null(), Some(&path)) else { return };
        let number = child.id();
        let (stream, _) = listener.accept().expect("accepted");
        assert_eq!(peer(stream.as_raw_fd()).expect("a peer").pid, number as i32);
        if program == SENDS {
            assert_received(&stream);
        } else {
            send(&stream, b"hello", &repeated(&files, 3)).expect("sent");
        }
        let expected = if program == SENDS { "" } else { "b'hello' [b'file 0', b'file 1', b'file 2']\n" };
        assert_eq!(said(child), expected);
    }
}

/// What Python sends is received with TRANSFER_SOME in a buffer that is longer than the message.
pub fn python_sends_and_some_is_received() {
    const SENDS_AND_WAITS: &str = "
import os, socket
s = socket.socket(fileno=0)
read, write = os.pipe()
socket.send_fds(s, [b'some'], [write])
assert os.read(read, 10) == b'received'
socket.send_fds(s, [b' more'], [])
";
    let (ours, theirs) = pair(libc::SOCK_STREAM);
    let Some(child) = python(SENDS_AND_WAITS, theirs.into(), None) else { return };
    let some = TransferOptions { flags: TRANSFER_SOME, ..TransferOptions::default() };
    let (bytes, received) = receive_with(ours.as_raw_fd(), 1000, MOST, null(), &some).expect("received");
    assert_eq!((bytes, received.len()), (b"some".to_vec(), 1));
    plain_write(&received[0], b"received");
    assert_eq!(receive_with(ours.as_raw_fd(), 1000, MOST, null(), &some).expect("received").0, b" more");
    said(child);
}
