//! Tests daemons and buses that receive and send descriptors.

use std::ffi::{c_char, c_int, c_void};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::ptr::{null, null_mut};
use std::time::Duration;

use bytefd::share;

use super::client::{Answer, Client, Lent, Pipe, Way, clients};
use super::load::functions;
use crate::support::hosts;

clients![
    SD_BUS, CLAMD; ;
    alone:
    libsystemd_refuses_a_file_whose_set_of_seals_is_closed ["libsystemd.so.0"],
];

functions! { "libsystemd.so.0";
    fn sd_bus_new(bus: *mut *mut c_void) -> c_int;
    fn sd_bus_set_fd(bus: *mut c_void, input: c_int, output: c_int) -> c_int;
    fn sd_bus_start(bus: *mut c_void) -> c_int;
    fn sd_bus_message_new_signal(
        bus: *mut c_void,
        message: *mut *mut c_void,
        path: *const c_char,
        interface: *const c_char,
        member: *const c_char,
    ) -> c_int;
    fn sd_bus_message_append_array_memfd(
        message: *mut c_void,
        kind: c_char,
        fd: c_int,
        offset: u64,
        length: u64,
    ) -> c_int;
    fn sd_bus_message_seal(message: *mut c_void, cookie: u64, timeout: u64) -> c_int;
    fn sd_bus_message_rewind(message: *mut c_void, complete: c_int) -> c_int;
    fn sd_bus_message_read_array(
        message: *mut c_void,
        kind: c_char,
        at: *mut *const u8,
        length: *mut usize,
    ) -> c_int;
    fn sd_bus_message_unref(message: *mut c_void) -> *mut c_void;
    fn sd_bus_close_unref(bus: *mut c_void) -> *mut c_void;
}

// sd-bus
// -------------------------------------------------------------------------------------------------

/// The client seals the file itself.
const SD_BUS: Client = Client {
    needs: &["libsystemd.so.0"],
    way: Way::Writable,
    adds: 0xf,
    pipe: Pipe::Fails,
    ..Client::of_a_library("sd_bus", "sd_bus_message_append_array_memfd", array_of_a_message)
};

/// Returns the content of an array that is the file. Needs no bus, because the message is never
/// sent.
fn array_of_a_message(lent: &Lent) -> Answer {
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let socket = OwnedFd::from(ours);
    let (mut bus, mut message) = (null_mut(), null_mut());
    let (mut at, mut length) = (null(), 0);
    // SAFETY: the order of calls is that of sd-bus(3). The bus closes the socket it is given.
    unsafe {
        assert_eq!(sd_bus_new(&mut bus), 0);
        assert!(sd_bus_set_fd(bus, socket.as_raw_fd(), socket.as_raw_fd()) >= 0);
        std::mem::forget(socket);
        assert!(sd_bus_start(bus) >= 0);
        let names = (c"/".as_ptr(), c"org.example.Bytes".as_ptr(), c"Come".as_ptr());
        assert!(sd_bus_message_new_signal(bus, &mut message, names.0, names.1, names.2) >= 0);
        let mut status =
            sd_bus_message_append_array_memfd(message, b'y' as c_char, lent.number(), 0, u64::MAX);
        if status >= 0 {
            assert!(sd_bus_message_seal(message, 1, 0) >= 0);
            assert!(sd_bus_message_rewind(message, 1) >= 0);
            status = sd_bus_message_read_array(message, b'y' as c_char, &mut at, &mut length);
        }
        let bytes =
            if length == 0 { Vec::new() } else { std::slice::from_raw_parts(at, length).to_vec() };
        sd_bus_message_unref(message);
        sd_bus_close_unref(bus);
        if status < 0 {
            Err(std::io::Error::from_raw_os_error(-status).to_string())
        } else {
            Ok(bytes)
        }
    }
}

fn libsystemd_refuses_a_file_whose_set_of_seals_is_closed() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let error = array_of_a_message(&Lent::with(0, b"hello")).expect_err("refused");
    assert!(error.contains("not permitted") || error.contains("Invalid"), "{error}");
}

// clamd
// -------------------------------------------------------------------------------------------------

const CLAMD: Client = Client {
    needs: &["clamd"],
    // At the end, so that all is seen.
    file: |payload| [payload, b"bytefd!"].concat(),
    expected: |_| b"Bytefd.Test.UNOFFICIAL FOUND".to_vec(),
    of_nothing: Ok("OK"),
    pipe: Pipe::Fails,
    ..Client::new("clamd", "clamd FILDES", |lent| Clamd::start().scan(lent))
};

/// Runs clamd with a signature of this test.
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
        // Every database has the EICAR test string. Here the signature is "bytefd!".
        std::fs::write(at("db/test.ndb"), "Bytefd.Test:0:*:62797465666421\n").expect("written");
        let socket = at("socket");
        let settings = format!(
            "LocalSocket {}\nDatabaseDirectory {}\nForeground yes\nConcurrentDatabaseReload \
             no\nMaxThreads 1\n",
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

    /// Returns clamd's answer to a descriptor. Sends the command FILDES, then one byte with the
    /// descriptor.
    fn scan(&self, lent: &Lent) -> Answer {
        let mut clamd = UnixStream::connect(&self.socket).expect("connected");
        clamd.write_all(b"zFILDES\0").expect("asked");
        share::send(&clamd, &[0], &[lent.as_fd()]).expect("sent");
        let mut answer = String::new();
        clamd.read_to_string(&mut answer).expect("answered");
        let (_, said) =
            answer.trim_end_matches('\0').rsplit_once(": ").expect("a file and what is in it");
        if said.ends_with("ERROR") { Err(said.into()) } else { Ok(said.as_bytes().to_vec()) }
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
