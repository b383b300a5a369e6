//! Tests the credentials of the process at the other end.

use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use crate::support::abi::Credentials;
use crate::support::share::*;

fn us() -> Credentials {
    // SAFETY: touches no memory.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    Credentials {
        size: size_of::<Credentials>(),
        pid: std::process::id() as i32,
        uid,
        gid,
        reserved: 0,
    }
}

pub fn the_peer_of_a_pair_is_this_process() {
    for kind in KINDS {
        let (ours, theirs) = pair(kind);
        assert_eq!(peer(ours.as_raw_fd()).expect("a peer"), us());
        drop(theirs);
        assert_eq!(peer(ours.as_raw_fd()).expect("as it was"), us());
        let same = bytefd::share::peer_credentials(&ours).expect("a peer");
        assert_eq!((same.pid, same.uid, same.gid), (us().pid, us().uid, us().gid));
    }
}

pub fn a_socket_without_other_end_is_enotconn() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let datagram = UnixDatagram::unbound().expect("a socket");
    assert_eq!(peer(datagram.as_raw_fd()).expect_err("unconnected").errno, libc::ENOTCONN);
    let other = UnixDatagram::bind(&path).expect("a socket");
    datagram.connect(&path).expect("connected");
    assert_eq!(peer(datagram.as_raw_fd()).expect_err("not from a pair").errno, libc::ENOTCONN);
    drop(other);
    std::fs::remove_file(&path).expect("removed");
    // One that listens has no other end, though the kernel has credentials for it: its own.
    let listener = UnixListener::bind(&path).expect("a socket");
    assert_eq!(peer(listener.as_raw_fd()).expect_err("it listens").errno, libc::ENOTCONN);
}

/// If this is root, the child is another user.
pub fn the_peer_is_who_connected_and_who_listens() {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .expect("a mode");
    };
    open(folder.path(), 0o711);
    open(&path, 0o666);
    // SAFETY: touches no memory.
    let is_root = unsafe { libc::geteuid() } == 0;
    let parent = us();
    // SAFETY: this process has one thread, so the child may do what it likes.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        crate::pool::leave(|| {
            if is_root {
                // SAFETY: touches no memory, and concerns the child only.
                let dropped = unsafe {
                    libc::setresgid(NOBODY, NOBODY, NOBODY)
                        | libc::setresuid(NOBODY, NOBODY, NOBODY)
                };
                assert_eq!(dropped, 0, "{}", std::io::Error::last_os_error());
            }
            let stream = UnixStream::connect(&path).expect("connected");
            assert_eq!(peer(stream.as_raw_fd()).expect("a peer"), parent, "who listens");
            plain_receive(&stream, 1);
        });
    }
    let (stream, _) = listener.accept().expect("accepted");
    let (uid, gid) = if is_root { (NOBODY, NOBODY) } else { (parent.uid, parent.gid) };
    let expected = Credentials { pid: child, uid, gid, ..parent };
    assert_eq!(peer(stream.as_raw_fd()).expect("a peer"), expected);
    send(&stream, b"!", &[]).expect("sent");
    crate::pool::wait_for(child);
    assert_eq!(
        peer(stream.as_raw_fd()).expect("a peer"),
        expected,
        "as it was, though it has ended"
    );
}
