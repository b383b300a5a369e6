//! Tests bytefd_reopen and bytefd_path: a descriptor for clients that need an offset of their own,
//! or a path.

use std::ffi::c_char;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use crate::faults::conditions::as_nobody;
use crate::support::abi::{self, *};
use crate::support::fd::*;
use crate::tests;
use crate::wrap::backends;

tests![
    reopen_gives_an_offset_of_its_own,
    reopen_refuses_what_is_no_regular_file,
    reopen_takes_the_flag_inherit_and_no_other,
    path_is_the_proc_path,
    path_refuses_small_buffers_and_closed_descriptors;
    alone:
    reopen_needs_the_permission_to_read,
];

fn reopen(fd: i32) -> Result<OwnedFd, Failure> {
    reopen_with(fd, 0)
}

fn reopen_with(fd: i32, flags: u64) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: any number may be passed.
    let value = unsafe { (abi::load().reopen)(fd, flags, &mut error) };
    // SAFETY: the caller owns what is returned.
    result(value, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn reopen_gives_an_offset_of_its_own() {
    for backend in backends() {
        let fd = wrap_with(b"hello", 0, backend).unwrap();
        assert_eq!(read_through(&fd), b"hello");
        assert_eq!(read_through(&fd), b"", "a dup shares the offset, which is at the end now");
        let other = reopen(fd.as_raw_fd()).unwrap();
        assert_eq!((offset(&other), access_mode(&other)), (0, libc::O_RDONLY));
        assert!(is_close_on_exec(&other));
        assert_eq!(read_through(&other), b"hello");
        assert_eq!(offset(&fd), 5);
        drop(fd);
        assert_eq!(content(&other), b"hello", "it needs the original no more");
    }
}

fn reopen_refuses_what_is_no_regular_file() {
    for fd in [-1, i32::MIN, i32::MAX, 9999] {
        let failure = reopen(fd).unwrap_err();
        assert_eq!(failure.errno, libc::EBADF);
        assert!(failure.message.contains(&fd.to_string()));
    }
    let (reader, _writer) = std::io::pipe().unwrap();
    let failure = reopen(reader.as_raw_fd()).unwrap_err();
    assert!(failure.errno == libc::EINVAL && failure.message.contains("pipe"), "{failure:?}");
    let directory = std::fs::File::open("/").unwrap();
    assert_eq!(reopen(directory.as_raw_fd()).unwrap_err().errno, libc::EINVAL);
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(reopen(socket.as_raw_fd()).unwrap_err().errno, libc::EINVAL);
    let device = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(reopen(device.as_raw_fd()).unwrap_err().errno, libc::EINVAL);
}

fn reopen_takes_the_flag_inherit_and_no_other() {
    let fd = wrap_with(b"hello", 0, AUTO).unwrap();
    let other = reopen_with(fd.as_raw_fd(), INHERIT).unwrap();
    assert!(!is_close_on_exec(&other) && offset(&other) == 0);
    for flags in [WRITABLE, READ_ONLY, INTERRUPTIBLE, INHERIT | EXECUTABLE, 1 << 31, 1 << 63] {
        let failure = reopen_with(fd.as_raw_fd(), flags).unwrap_err();
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "flags"), "{flags:#x}");
    }
}

/// The permission is that of the file, and not that of the descriptor.
fn reopen_needs_the_permission_to_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "hello").unwrap();
    let writing = std::fs::File::options().write(true).open(&file).unwrap();
    assert_eq!(content(&reopen(writing.as_raw_fd()).unwrap()), b"hello");
    as_nobody(|| {
        let fd = wrap_with(b"hello", 0, AUTO).unwrap();
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fchmod(fd.as_raw_fd(), 0) }, 0);
        assert_eq!(reopen(fd.as_raw_fd()).unwrap_err().errno, libc::EACCES);
    });
}

fn path_of(fd: i32, buffer: &mut [u8]) -> Result<i32, Failure> {
    let mut error = Error::untouched();
    // SAFETY: the buffer has its length.
    let value = unsafe {
        (abi::load().path)(fd, buffer.as_mut_ptr().cast::<c_char>(), buffer.len(), &mut error)
    };
    result(value, &error)
}

fn path_is_the_proc_path() {
    let fd = wrap_with(b"hello", 0, AUTO).unwrap();
    let mut buffer = [b'?'; 32];
    assert_eq!(path_of(fd.as_raw_fd(), &mut buffer).unwrap(), 0);
    let expected = format!("/proc/self/fd/{}\0", fd.as_raw_fd());
    assert!(
        buffer.starts_with(expected.as_bytes())
            && buffer[expected.len()..].iter().all(|byte| *byte == b'?')
    );
    assert_eq!(
        path_of(fd.as_raw_fd(), &mut buffer[..expected.len()]).unwrap(),
        0,
        "it fits exactly"
    );
    assert_eq!(std::fs::read(expected.trim_end_matches('\0')).unwrap(), b"hello");
}

fn path_refuses_small_buffers_and_closed_descriptors() {
    let fd = wrap_with(b"hello", 0, AUTO).unwrap();
    let needed = format!("/proc/self/fd/{}\0", fd.as_raw_fd()).len();
    for length in [0, 1, needed - 1] {
        let mut buffer = vec![b'?'; length];
        let failure = path_of(fd.as_raw_fd(), &mut buffer).unwrap_err();
        assert_eq!(failure.errno, libc::ERANGE);
        assert!(failure.message.contains(&needed.to_string()), "{}", failure.message);
        assert!(buffer.iter().all(|byte| *byte == b'?'), "untouched");
    }
    let mut error = Error::untouched();
    // SAFETY: NULL is to be refused.
    let value = unsafe { (abi::load().path)(fd.as_raw_fd(), null_mut(), 32, &mut error) };
    assert_eq!(result(value, &error).unwrap_err().errno, libc::EINVAL);
    assert_eq!(path_of(-1, &mut [0; 32]).unwrap_err().errno, libc::EBADF);
}
