//! Tests memory for devices: what is refused, and what happens to the rest where the kernel has the
//! driver.

use std::io::Error as IoError;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::kernels::guest;
use crate::support::abi::*;
use crate::support::named::export_dmabuf;
use crate::support::{fd, hosts, map};

/// Makes a memfd of this length with these seals.
fn memory(length: u64, seals: i32) -> OwnedFd {
    // SAFETY: a string; the descriptor is ours.
    let memory = unsafe {
        OwnedFd::from_raw_fd(libc::memfd_create(
            c"memory".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        ))
    };
    fd::file(&memory).set_len(length).expect("ftruncate");
    assert_eq!(
        // SAFETY: touches no memory.
        unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_ADD_SEALS, seals) },
        0,
        "{}",
        IoError::last_os_error()
    );
    memory
}

pub fn what_cannot_be_a_dma_buf_is_refused() {
    for number in [-1, i32::MAX] {
        assert_eq!(export_dmabuf(number).expect_err("not open").errno, libc::EBADF);
    }
    // If the file is on tmpfs, it is a memory file without seals.
    let file = OwnedFd::from(tempfile::tempfile().expect("a file"));
    let folder = OwnedFd::from(std::fs::File::open("/").expect("a folder"));
    let (pipe, _) = std::io::pipe().expect("a pipe");
    let page = map::page_size() as u64;
    let mut refused = vec![(file, "sealed"), (folder, "memory file"), (pipe.into(), "memory file")];
    if hosts::has_memfd() {
        refused.extend([
            (memory(page, 0), "shrinking"),
            (memory(page, libc::F_SEAL_GROW), "shrinking"),
            (memory(page, libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE), "writing"),
            (memory(0, libc::F_SEAL_SHRINK), "0 bytes"),
            (memory(page - 1, libc::F_SEAL_SHRINK), "multiple of the page size"),
            (memory(page + 1, libc::F_SEAL_SHRINK), "multiple of the page size"),
            (fd::wrap(b"hello", &WrapOptions::default()).expect("wrapped"), "writing"),
        ]);
    }
    for (memory, because) in refused {
        let failure = export_dmabuf(memory.as_raw_fd()).expect_err(because);
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "memory"), "{failure:?}");
        assert!(failure.message.contains(because), "{failure:?}");
    }
}

pub fn a_dma_buf_shows_the_same_memory() {
    if !hosts::has_memfd() {
        return println!("SKIPPED: there are no memory files on this host");
    }
    let length = 3 * map::page_size();
    let memory = memory(length as u64, libc::F_SEAL_SHRINK);
    if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/udmabuf") {
        assert_ne!(guest::release().as_deref(), Some("6.12"), "Debian's has the driver: {error}");
        let failure = export_dmabuf(memory.as_raw_fd()).expect_err("no driver");
        let wanted = match error.kind() {
            std::io::ErrorKind::PermissionDenied => libc::EACCES,
            _ => libc::ENODEV,
        };
        assert_eq!((failure.errno, failure.op.as_str()), (wanted, "open"), "{failure:?}");
        return println!("SKIPPED: no dma-buf on this host: /dev/udmabuf: {error}");
    }
    let buffer = export_dmabuf(memory.as_raw_fd()).expect("a dma-buf");
    assert!(fd::is_close_on_exec(&buffer) && buffer.as_raw_fd() > 2);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::lseek(buffer.as_raw_fd(), 0, libc::SEEK_END) }, length as i64);
    fd::file(&memory).write_all_at(b"hello", length as u64 - 5).expect("written");
    drop(memory);
    // SAFETY: a new mapping, used within and removed.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let at = libc::mmap(
            std::ptr::null_mut(),
            length,
            protection,
            libc::MAP_SHARED,
            buffer.as_raw_fd(),
            0,
        );
        assert!(at != libc::MAP_FAILED, "{}", IoError::last_os_error());
        assert_eq!(std::slice::from_raw_parts(at.cast::<u8>().add(length - 5), 5), b"hello");
        libc::munmap(at, length);
    }
}
