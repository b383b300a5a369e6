//! Makes descriptors through the library, and looks at them through the kernel.

use std::ffi::c_int;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::abi::{self, Error, WrapOptions};

/// The error of a failed call.
#[derive(Debug)]
pub struct Failure {
    pub errno: c_int,
    pub op: String,
    pub message: String,
}

/// Turns a return value and the error object into a result, and checks that they agree.
pub fn result(value: c_int, error: &Error) -> Result<c_int, Failure> {
    if value >= 0 {
        assert!(error.is_untouched(), "success must leave the error alone");
        return Ok(value);
    }
    assert_eq!(error.code, value, "the error repeats the return value");
    assert!(!error.op().is_empty() && !error.message().is_empty());
    Err(Failure { errno: -value, op: error.op().into(), message: error.message().into() })
}

/// Calls shm_wrap_buffer.
pub fn wrap(bytes: &[u8], options: &WrapOptions) -> Result<OwnedFd, Failure> {
    let mut error = Error::untouched();
    // SAFETY: a valid buffer and valid options.
    let fd = unsafe {
        (abi::load().shm_wrap_buffer)(bytes.as_ptr().cast(), bytes.len(), options, &mut error)
    };
    // SAFETY: the caller of shm_wrap_buffer owns what it returns.
    result(fd, &error).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls shm_wrap_buffer with these flags and this backend.
pub fn wrap_with(bytes: &[u8], flags: u64, backend: u32) -> Result<OwnedFd, Failure> {
    wrap(bytes, &WrapOptions { flags, backend, ..WrapOptions::default() })
}

pub fn fcntl(fd: &OwnedFd, command: c_int) -> c_int {
    // SAFETY: only commands without an argument are used.
    unsafe { libc::fcntl(fd.as_raw_fd(), command) }
}

pub fn seals(fd: &OwnedFd) -> c_int {
    fcntl(fd, libc::F_GET_SEALS)
}

pub fn is_close_on_exec(fd: &OwnedFd) -> bool {
    fcntl(fd, libc::F_GETFD) == libc::FD_CLOEXEC
}

pub fn access_mode(fd: &OwnedFd) -> c_int {
    fcntl(fd, libc::F_GETFL) & libc::O_ACCMODE
}

pub fn offset(fd: &OwnedFd) -> i64 {
    // SAFETY: touches no memory.
    unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR) }
}

pub fn metadata(fd: &OwnedFd) -> std::fs::Metadata {
    file(fd).metadata().expect("fstat")
}

pub fn mode(fd: &OwnedFd) -> u32 {
    metadata(fd).mode() & 0o7777
}

/// Makes a duplicate as a `File`.
pub fn file(fd: &OwnedFd) -> std::fs::File {
    fd.try_clone().expect("dup").into()
}

/// Returns the content, without moving the offset.
pub fn content(fd: &OwnedFd) -> Vec<u8> {
    let mut bytes = vec![0; metadata(fd).len() as usize];
    file(fd).read_exact_at(&mut bytes, 0).expect("as many bytes as fstat says");
    bytes
}

/// Returns the content as a client reads it that does not use offsets.
pub fn read_through(fd: &OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    file(fd).read_to_end(&mut bytes).expect("read");
    bytes
}

/// Returns bytes that differ from the bytes near them.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Maps the whole file with these arguments. Returns the bytes, or the errno.
pub fn mapped(fd: &OwnedFd, protection: c_int, flags: c_int) -> Result<Vec<u8>, c_int> {
    let length = metadata(fd).len() as usize;
    // SAFETY: a new mapping, copied from and removed at once.
    unsafe {
        let at =
            libc::mmap(std::ptr::null_mut(), length.max(1), protection, flags, fd.as_raw_fd(), 0);
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap());
        }
        // With the rest of the last page.
        let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let bytes =
            std::slice::from_raw_parts(at.cast::<u8>(), length.next_multiple_of(page)).to_vec();
        libc::munmap(at, length.max(1));
        Ok(bytes)
    }
}
