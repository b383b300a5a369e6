//! Tests callbacks that keep something: it shows what it showed, whatever is scanned later, and the
//! file is not reused.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::support::abi::INHERIT;

pub const SIZE: usize = 50_000;

/// Scans before, so that a file is lent again. Then makes the scan in which `keep` keeps something,
/// and 50 scans after it. Returns what is kept.
fn kept_over_later_scans<T>(
    old: &[u8],
    flags: u64,
    keep: impl Fn(c_int) -> T,
    look: impl Fn(&mut T),
) -> T {
    let pool = Pool::new(PLENTY);
    for _ in 0..3 {
        pool.scan(b"warm", |_| {});
        pool.scan(&vec![b'w'; old.len()], |_| {});
    }
    let before = pool.counts();
    assert!(!has_memfd() || before.hits > 0);
    let (mut kept, mut file) = (None, 0);
    pool.scan_with(flags, old, |fd| {
        file = inode(fd);
        kept = Some(keep(fd));
    });
    let mut kept = kept.unwrap();
    look(&mut kept);
    for round in 0..50 {
        let bytes = bytes_of(round, old.len());
        pool.scan(&bytes, |fd| {
            check(fd, &bytes);
            assert_ne!(inode(fd), file, "a file that is still held is not used again");
        });
        look(&mut kept);
    }
    let counts = pool.counts();
    if has_memfd() {
        assert_eq!(counts.dropped, before.dropped + 1, "the file that was kept");
        assert!(counts.hits >= before.hits + 49, "the others are lent again: {counts:?}");
    }
    drop(pool);
    look(&mut kept);
    kept
}

pub fn a_kept_duplicate_shows_what_it_showed() {
    let old = pattern(SIZE);
    kept_over_later_scans(&old, 0, duplicate, |fd| assert!(content(fd) == old));
}

/// A mapping made in a callback.
pub struct Kept(*mut u8);

impl Kept {
    pub fn map(fd: c_int, protection: c_int, sharing: c_int) -> Kept {
        // SAFETY: a new mapping.
        let at = unsafe { libc::mmap(null_mut(), SIZE, protection, sharing, fd, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Kept(at.cast())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        // SAFETY: as long as the mapping; nobody changes the bytes, or the test is there to find
        // that out.
        unsafe { std::ptr::copy(self.0, bytes.as_mut_ptr(), SIZE) };
        bytes
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), SIZE) }, 0);
    }
}

pub fn a_kept_shared_mapping_shows_what_it_showed() {
    let old = pattern(SIZE);
    let keep = |fd| Kept::map(fd, libc::PROT_READ, libc::MAP_SHARED);
    kept_over_later_scans(&old, 0, keep, |map| assert!(map.bytes() == old));
}

pub fn a_kept_private_mapping_shows_what_it_showed() {
    let old = pattern(SIZE);
    for protection in [libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE] {
        let keep = |fd| Kept::map(fd, protection, libc::MAP_PRIVATE);
        kept_over_later_scans(&old, 0, keep, |map| assert!(map.bytes() == old));
        // Not looked at before the scans that follow.
        let map = kept_over_later_scans(&old, 0, keep, |_| {});
        assert!(map.bytes() == old);
    }
}

pub fn a_kept_description_of_the_callbacks_own_shows_what_it_showed() {
    let old = pattern(SIZE);
    for flags in [libc::O_RDONLY, libc::O_RDWR] {
        if flags == libc::O_RDWR && !has_memfd() {
            continue;
        }
        kept_over_later_scans(
            &old,
            0,
            |fd| open_again(fd, flags),
            |fd| assert!(content(fd) == old),
        );
    }
}

pub fn a_kept_writable_description_cannot_change_later_scans() {
    if !has_memfd() {
        return;
    }
    // The scans check their content while this writes to the file it kept.
    let scribble = |fd: &mut OwnedFd| {
        std::os::unix::fs::FileExt::write_all_at(&file(fd), &[b'X'; SIZE], 0).unwrap();
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 1) }, 0);
    };
    kept_over_later_scans(&pattern(SIZE), 0, |fd| open_again(fd, libc::O_RDWR), scribble);
}

pub fn a_kept_writable_mapping_cannot_change_later_scans() {
    if !has_memfd() {
        return;
    }
    let keep = |fd| {
        let writable = open_again(fd, libc::O_RDWR);
        Kept::map(writable.as_raw_fd(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
    };
    // SAFETY: as long as the mapping.
    kept_over_later_scans(&pattern(SIZE), 0, keep, |map| unsafe { map.0.write_bytes(b'X', SIZE) });
}

/// The callback opens and keeps whatever it finds in /proc/self/fd, including files that are not
/// lent at the moment.
pub fn kept_descriptions_of_files_that_were_not_lent_do_not_show_later_scans() {
    let pool = Pool::new(PLENTY);
    let sizes = [100, 5000, 40_000];
    drop(sizes.map(|size| pool.begin(0, &vec![b'w'; size])));
    let mut kept = Vec::new();
    pool.scan(&pattern(SIZE), |_| {
        kept = memory_files().into_iter().map(|(fd, ..)| open_again(fd, libc::O_RDONLY)).collect();
    });
    let shown: Vec<_> = kept.iter().map(content).collect();
    for round in 0..10 {
        for size in sizes {
            let bytes = bytes_of(round, size);
            pool.scan(&bytes, |fd| {
                check(fd, &bytes);
                assert!(
                    !kept.iter().any(|own| content(own) == bytes),
                    "what was kept shows a later scan"
                );
            });
        }
    }
    assert!(kept.iter().map(content).eq(shown), "what was kept shows what it showed");
}

/// Pins a warning of the header: O_PATH cannot be read, but its holder can open the file by it
/// later. Where the kernel shows it, the pool must not lend the file again. When all kernels do,
/// the warning can go.
pub fn what_a_kept_path_description_shows_later_is_not_promised() {
    let old = pattern(SIZE);
    let pool = Pool::new(PLENTY);
    pool.scan(&old, |_| {});
    let mut kept = None;
    pool.scan(&old, |fd| kept = Some(open_again(fd, libc::O_PATH)));
    let (kept, is_seen) = (kept.unwrap(), pool.counts().dropped == 1);
    for round in 0..50 {
        let bytes = bytes_of(round, SIZE);
        pool.scan(&bytes, |fd| check(fd, &bytes));
        let shows = content(&open_again(kept.as_raw_fd(), libc::O_RDONLY));
        assert!(
            shows == if is_seen || !has_memfd() { &old } else { &bytes }[..],
            "after scan {round}"
        );
    }
}

pub fn a_descriptor_in_flight_shows_what_it_showed() {
    let old = pattern(SIZE);
    let send = |fd: c_int| {
        let (near, far) = UnixStream::pair().unwrap();
        send_descriptor(&near, fd);
        (near, far)
    };
    let pair = kept_over_later_scans(&old, 0, send, |_| {});
    let received = receive_descriptor(&pair.1);
    assert!(content(&received) == old);
}

#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    fd: c_int,
    padding: c_int,
}

fn with_message<R>(control: &mut Control, call: impl FnOnce(&mut libc::msghdr) -> R) -> R {
    let mut byte = 0u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut *control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    call(&mut message)
}

pub fn send_descriptor(socket: &UnixStream, fd: c_int) {
    // SAFETY: touches no memory.
    let length = unsafe { libc::CMSG_LEN(size_of::<c_int>() as u32) };
    // SAFETY: all-zero is a valid header.
    let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
    header.cmsg_len = length as _;
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    let mut control = Control { header, fd, padding: 0 };
    // SAFETY: a valid message.
    let sent = with_message(&mut control, |message| unsafe {
        libc::sendmsg(socket.as_raw_fd(), message, 0)
    });
    assert_eq!(sent, 1);
}

pub fn receive_descriptor(socket: &UnixStream) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: all-zero is a valid header.
    let mut control = Control { header: unsafe { std::mem::zeroed() }, fd: -1, padding: 0 };
    // SAFETY: a valid message; the descriptor that arrives is ours.
    unsafe {
        let flags = libc::MSG_CMSG_CLOEXEC;
        let received =
            with_message(&mut control, |message| libc::recvmsg(socket.as_raw_fd(), message, flags));
        assert_eq!(received, 1);
        OwnedFd::from_raw_fd(control.fd)
    }
}

pub fn a_program_that_inherits_it_shows_what_it_showed() {
    let old = pattern(SIZE);
    let start = |fd: c_int| {
        // It reads when it is told to.
        let script = format!("read line; cat <&{fd}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.spawn().unwrap()
    };
    let mut child: Child = kept_over_later_scans(&old, INHERIT, start, |_| {});
    child.stdin.take().unwrap().write_all(b"now\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout == old);
}

pub fn many_kept_duplicates_are_all_right() {
    let pool = Pool::new(PLENTY);
    let mut kept = Vec::new();
    for round in 0..200 {
        let bytes = bytes_of(round, 1 + round * 37);
        pool.scan(&bytes, |fd| kept.push((bytes.clone(), duplicate(fd))));
    }
    for (bytes, fd) in &kept {
        assert!(content(fd) == *bytes);
    }
    if has_memfd() {
        assert_eq!(
            (pool.counts().dropped, pool.counts().hits, pool.counts().cached_bytes),
            (200, 0, 0)
        );
    }
    assert!(!has_memfd() || pool.lends_again());
}

/// Returns whether a memory file can be opened with O_DIRECT, Linux 6.6. Asks the kernel and not
/// the library.
pub fn memory_files_are_direct() -> bool {
    // SAFETY: a valid name; what is returned is ours.
    let fd = unsafe {
        use std::os::fd::FromRawFd;
        OwnedFd::from_raw_fd(libc::memfd_create(c"probe".as_ptr(), libc::MFD_CLOEXEC))
    };
    try_open_again(fd.as_raw_fd(), libc::O_RDONLY | libc::O_DIRECT).is_ok()
}

/// Moves bytes from the lent file by `move_to`, and reads them by `read` after many other scans.
/// Returns whether they are the same.
fn moved_bytes_stay(move_to: impl Fn(c_int, usize), mut read: impl FnMut(&mut [u8])) -> bool {
    let size = 4 * page_size();
    let old = pattern(size);
    let pool = Pool::new(PLENTY);
    pool.scan(&vec![b'w'; size], |_| {});
    pool.scan(&old, |fd| move_to(fd, size));
    for round in 0..50 {
        let bytes = bytes_of(round, size);
        pool.scan(&bytes, |fd| check(fd, &bytes));
    }
    let mut seen = vec![0; size];
    read(&mut seen);
    assert_eq!(pool.counts().dropped, 0, "the kernel's proof does not see pages in flight");
    seen == old
}

pub fn splice_all(from: c_int, to: c_int, size: usize) {
    let mut moved = 0;
    while moved < size {
        // SAFETY: no pointers are given.
        let count = unsafe { libc::splice(from, null_mut(), to, null_mut(), size - moved, 0) };
        assert!(count > 0, "splice: {}", std::io::Error::last_os_error());
        moved += count as usize;
    }
}

pub fn spliced_bytes_in_a_pipe_stay_what_they_were() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stay = moved_bytes_stay(
        |fd, size| splice_all(fd, writer.as_raw_fd(), size),
        |seen| reader.read_exact(seen).unwrap(),
    );
    // Before Linux 6.6 they change: the header says so.
    assert!(stay || (has_memfd() && !memory_files_are_direct()));
}

pub fn sent_bytes_in_a_socket_stay_what_they_were() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let send = |fd: c_int, size: usize| {
        let mut moved = 0;
        while moved < size {
            // SAFETY: no pointers are given.
            let count = unsafe { libc::sendfile(near.as_raw_fd(), fd, null_mut(), size - moved) };
            assert!(count > 0, "sendfile: {}", std::io::Error::last_os_error());
            moved += count as usize;
        }
    };
    let stay = moved_bytes_stay(send, |seen| far.read_exact(seen).unwrap());
    assert!(stay || (has_memfd() && !memory_files_are_direct()));
}

/// Pins a warning of the header. Where this begins to hold, the warning can go.
pub fn what_a_pipe_shows_that_was_spliced_from_a_description_of_its_own_is_not_promised() {
    if !has_memfd() {
        return;
    }
    let (mut reader, writer) = std::io::pipe().unwrap();
    let splice =
        |fd, size| splice_all(open_again(fd, libc::O_RDONLY).as_raw_fd(), writer.as_raw_fd(), size);
    assert!(!moved_bytes_stay(splice, |seen| reader.read_exact(seen).unwrap()));
}
