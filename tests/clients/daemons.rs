//! Daemons and their libraries, which are sent descriptors and send them.

use std::ffi::{CString, c_int};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytefd::share::{self, Requirements};
use libloading::{Library, Symbol};

use crate::faults::conditions::hide;
use crate::pool::in_fork;
use crate::support::hosts;

/// An entry too long for a datagram goes to the journal in a sealed file, in a message without a byte.
pub fn a_long_journal_entry_is_received_and_verified() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let _run = hide("/run", "mode=755");
    std::fs::create_dir_all("/run/systemd/journal").expect("made");
    let journal = UnixDatagram::bind("/run/systemd/journal/socket").expect("a socket");
    let text = "MESSAGE=".to_string() + &"long ".repeat(4 << 20);
    let entry = CString::new(text.clone()).expect("no NUL");
    let part = libc::iovec { iov_base: entry.as_ptr().cast_mut().cast(), iov_len: text.len() };
    // In a child, because it keeps its socket for as long as it is loaded.
    // SAFETY: the type is that of sd_journal_sendv(3), and the part lives during the call.
    in_fork(|| unsafe {
        let library = Library::new("libsystemd.so.0").expect("libsystemd.so.0 (is its package installed?)");
        let send: Symbol<unsafe extern "C" fn(*const libc::iovec, c_int) -> c_int> =
            library.get(b"sd_journal_sendv").expect("sd_journal_sendv");
        assert_eq!(send(&part, 1), 0);
    });
    let (length, mut fds) = share::receive(&journal, &mut [0; 1], 1).expect("received");
    assert_eq!(length, 0);
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    let entry = Requirements::new().seals(seals).accept(fds.pop().expect("one")).expect("verified");
    let words = "long ".repeat(1000);
    assert!(entry.windows(words.len()).any(|window| window == words.as_bytes()), "the entry is in it");

    // And so does ours go.
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.connect("/run/systemd/journal/socket").expect("connected");
    share::send(&sender, b"", &[entry.as_fd()]).expect("sent");
    let (length, fds) = share::receive(&journal, &mut [0; 1], 1).expect("received");
    assert_eq!((length, fds.len()), (0, 1));
}

/// clamd, with one signature of our own.
struct Clamd {
    _folder: tempfile::TempDir,
    socket: std::path::PathBuf,
    process: Child,
}

impl Clamd {
    fn start() -> Clamd {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("db")).expect("made");
        // What virus scanners agreed to find is in every database; here it is "bytefd!".
        std::fs::write(at("db/test.ndb"), "Bytefd.Test:0:*:62797465666421\n").expect("written");
        let socket = at("socket");
        let settings = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\nConcurrentDatabaseReload no\nMaxThreads 1\n",
            socket.display(),
            at("db").display(),
        );
        std::fs::write(at("clamd.conf"), settings).expect("written");
        let mut clamd = Command::new("clamd");
        clamd.arg("-c").arg(at("clamd.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = clamd.spawn().expect("clamd (is the package clamav-daemon installed?)");
        while !is_served(&socket) {
            assert!(process.try_wait().expect("asked").is_none(), "clamd has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        Clamd { _folder: folder, socket, process }
    }

    /// What it says about a descriptor: the command FILDES, then one byte with it.
    fn scan(&self, content: &[u8]) -> String {
        let mut clamd = UnixStream::connect(&self.socket).expect("connected");
        clamd.write_all(b"zFILDES\0").expect("asked");
        let fd = bytefd::wrap(content).expect("wrapped");
        share::send(&clamd, &[0], &[fd.as_fd()]).expect("sent");
        let mut answer = String::new();
        clamd.read_to_string(&mut answer).expect("answered");
        answer.trim_end_matches('\0').to_string()
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_served(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

pub fn clamd_finds_what_is_in_a_descriptor_that_it_is_sent() {
    let clamd = Clamd::start();
    let infected = [&[0; 100_000][..], b"bytefd!", &[0; 5000]].concat();
    let answer = clamd.scan(&infected);
    assert!(answer.contains("Bytefd.Test") && answer.ends_with("FOUND"), "{answer}");
    let answer = clamd.scan(b"clean");
    assert!(answer.ends_with("OK"), "{answer}");
}
