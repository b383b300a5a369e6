//! Sends systemd-journald long entries as descriptors. It takes any kind from root, and only files
//! with exactly four seals from others.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytefd::share::{self, Requirements};

use super::client::{Answer, Client, Pipe, Way, clients};
use super::load::functions;
use super::programs::answer;
use crate::faults::conditions::{Mounted, hide};
use crate::pool::in_fork;
use crate::support::abi::{AUTO, SEAL_CONTENT};
use crate::support::{fd, hosts};

clients![
    JOURNALD; ;
    alone:
    a_long_journal_entry_is_received_and_verified ["libsystemd.so.0"],
    journald_takes_exactly_four_seals_from_others_than_root [DAEMON, "journalctl", "root"],
];

const SOCKET: &str = "/run/systemd/journal/socket";

const DAEMON: &str = "/lib/systemd/systemd-journald";

const JOURNALD: Client = Client {
    needs: &[DAEMON, "journalctl", "root"],
    way: Way::FourSeals,
    file: |payload| [b"BYTEFD=1\nMESSAGE=", letters(payload).as_slice(), b"\n"].concat(),
    expected: |payload| [letters(payload).as_slice(), b"\n"].concat(),
    pipe: Pipe::Silent,
    alone: true,
    ..Client::new("journald", "a datagram to journald", |lent| {
        Journald::start().entry(lent.as_fd())
    })
};

/// Returns the payload as letters, which journald takes for text.
fn letters(payload: &[u8]) -> Vec<u8> {
    payload.iter().map(|byte| b'a' + byte % 16).collect()
}

/// Runs the daemon, in a /run of its own.
struct Journald {
    process: Child,
    _run: Mounted,
}

impl Journald {
    fn start() -> Journald {
        let run = hide("/run", "mode=755");
        std::fs::create_dir_all("/run/systemd/journal").expect("made");
        let mut daemon = Command::new(DAEMON);
        let process = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("journald");
        let mut journald = Journald { process, _run: run };
        while UnixDatagram::unbound().expect("a socket").connect(SOCKET).is_err() {
            journald.pause();
        }
        journald
    }

    fn pause(&mut self) {
        assert!(self.process.try_wait().expect("asked").is_none(), "journald has ended");
        std::thread::sleep(Duration::from_millis(10));
    }

    /// Returns the daemon's copy of an entry that a user sends. A later entry on the same socket
    /// shows when the daemon has processed it.
    fn entry(&mut self, entry: BorrowedFd<'_>) -> Answer {
        in_fork(|| {
            // SAFETY: in a child of its own.
            assert_eq!(unsafe { libc::setgid(65534) | libc::setuid(65534) }, 0);
            let sender = UnixDatagram::unbound().expect("a socket");
            sender.connect(SOCKET).expect("connected");
            share::send(&sender, b"", &[entry]).expect("sent");
            sender.send(b"BYTEFD=2\nMESSAGE=seen\n").expect("sent");
        });
        let read = |field| {
            answer(Command::new("journalctl").args([
                "-D",
                "/run/log/journal",
                "-o",
                "cat",
                "-q",
                field,
            ]))
        };
        while read("BYTEFD=2").is_ok_and(|seen| seen.is_empty()) {
            self.pause();
        }
        read("BYTEFD=1")
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn journald_takes_exactly_four_seals_from_others_than_root() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    for (flags, added) in [(SEAL_CONTENT, 0), (SEAL_CONTENT, libc::F_SEAL_SEAL), (0, 0)] {
        let fd = fd::wrap_with(b"BYTEFD=1\nMESSAGE=hello\n", flags, AUTO).expect("a descriptor");
        assert_eq!(
            if added == 0 {
                0
            } else {
                // SAFETY: touches no memory.
                unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, added) }
            },
            0
        );
        let entry = Journald::start().entry(fd.as_fd()).expect("read");
        // Linux before 6.3 has no seal against execution. The default seals are then these four.
        let is_exact = fd::seals(&fd) == 0xf;
        assert_eq!(
            entry == b"hello\n",
            is_exact,
            "seals {:#x}: {}",
            fd::seals(&fd),
            entry.escape_ascii()
        );
        assert_eq!(is_exact, added != 0 || flags == 0 && !hosts::can_forbid_execution());
    }
}

functions! { "libsystemd.so.0";
    fn sd_journal_sendv(parts: *const libc::iovec, count: i32) -> i32;
}

/// An entry too long for a datagram goes to the journal in a sealed file, in a message without a
/// byte.
fn a_long_journal_entry_is_received_and_verified() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let _run = hide("/run", "mode=755");
    std::fs::create_dir_all("/run/systemd/journal").expect("made");
    let journal = UnixDatagram::bind(SOCKET).expect("a socket");
    let text = "MESSAGE=".to_string() + &"long ".repeat(4 << 20);
    let entry = CString::new(text.clone()).expect("no NUL");
    let part = libc::iovec { iov_base: entry.as_ptr().cast_mut().cast(), iov_len: text.len() };
    // In a child, because it keeps its socket for as long as it is loaded.
    // SAFETY: the part lives during the call.
    in_fork(|| assert_eq!(unsafe { sd_journal_sendv(&part, 1) }, 0));
    let (length, mut fds) = share::receive(&journal, &mut [0; 1], 1).expect("received");
    assert_eq!(length, 0);
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    let entry = Requirements::new().seals(seals).accept(fds.pop().expect("one")).expect("verified");
    let words = "long ".repeat(1000);
    assert!(
        entry.windows(words.len()).any(|window| window == words.as_bytes()),
        "the entry is in it"
    );

    // And so does ours go.
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.connect(SOCKET).expect("connected");
    share::send(&sender, b"", &[entry.as_fd()]).expect("sent");
    let (length, fds) = share::receive(&journal, &mut [0; 1], 1).expect("received");
    assert_eq!((length, fds.len()), (0, 1));
}
