//! Uses Python's socket.send_fds at the other end, which knows nothing of this library.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::ptr::null;
use std::sync::OnceLock;

use crate::support::abi::{TRANSFER_SOME, TransferOptions};
use crate::support::share::*;

/// Starts Python at one end of this socket. Returns `None` if there is no Python that has these
/// functions (3.9).
fn python(program: &str, socket: Stdio) -> Option<Child> {
    static IS_KNOWN: OnceLock<bool> = OnceLock::new();
    let look = || {
        Command::new("python3")
            .args(["-c", "import socket; socket.send_fds"])
            .stderr(Stdio::null())
            .status()
    };
    if !IS_KNOWN.get_or_init(|| look().is_ok_and(|status| status.success())) {
        println!("SKIPPED: python3 with socket.send_fds: not here");
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", program]).stdin(socket).stdout(Stdio::piped());
    Some(command.spawn().expect("python3 runs again"))
}

fn said(mut child: Child) -> String {
    let mut said = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
    assert!(child.wait().expect("it ends").success(), "{said}");
    said
}

/// Receives with TRANSFER_SOME what Python sends, in a buffer that is longer than the message.
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
    let Some(child) = python(SENDS_AND_WAITS, theirs.into()) else { return };
    let some = TransferOptions { flags: TRANSFER_SOME, ..TransferOptions::default() };
    let (bytes, received) =
        receive_with(ours.as_raw_fd(), 1000, MOST, null(), &some).expect("received");
    assert_eq!((bytes, received.len()), (b"some".to_vec(), 1));
    plain_write(&received[0], b"received");
    assert_eq!(
        receive_with(ours.as_raw_fd(), 1000, MOST, null(), &some).expect("received").0,
        b" more"
    );
    said(child);
}
