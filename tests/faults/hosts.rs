//! Tests kernels and administrators that refuse a system call, or a flag of it.

use std::os::fd::AsRawFd;

use super::conditions::skip;
use super::every_way::{options, refused};
use crate::support::abi::*;
use crate::support::fd::*;
use crate::support::hosts::{self, refuse, refuse_flags};

/// MFD_EXEC and MFD_NOEXEC_SEAL, Linux 6.3.
const MFD_EXEC: u64 = 0x10;
const MFD_NOEXEC_SEAL: u64 = 8;
const CONTENT_SEALS: i32 = 0xe;

fn need_memfd() {
    if !hosts::has_memfd() {
        skip("this host has no memfd");
    }
}

pub fn a_kernel_without_the_noexec_flags_gives_all_other_seals() {
    need_memfd();
    refuse_flags(libc::SYS_memfd_create, 1, MFD_EXEC | MFD_NOEXEC_SEAL, libc::EINVAL);
    // Twice: what the library remembers of the first time must be right.
    for _ in 0..2 {
        let expected = [
            (0, 0xf, 0o400),
            (READ_ONLY, 0xf, 0o400),
            (EXECUTABLE, 0xf, 0o500),
            (WRITABLE, 0, 0o600),
        ];
        for (flags, set, permissions) in
            expected.into_iter().chain([(SEAL_CONTENT, CONTENT_SEALS, 0o400)])
        {
            for backend in [AUTO, MEMFD] {
                let fd = wrap_with(b"hello", flags, backend).expect("wrapped");
                assert_eq!((seals(&fd), mode(&fd)), (set, permissions), "flags {flags}");
                assert_eq!(content(&fd), b"hello");
            }
        }
    }
}

fn without_memfd_it_is_shm(errno: i32) {
    refuse(libc::SYS_memfd_create, errno);
    if !hosts::has_shm() {
        skip("this host has no /dev/shm either");
    }
    for (flags, permissions) in [(0, 0o400), (READ_ONLY, 0o400), (EXECUTABLE, 0o500)] {
        let fd = wrap_with(b"hello", flags, AUTO).expect("wrapped");
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("a link");
        let link = link.to_str().expect("UTF-8");
        assert!(link.starts_with("/dev/shm/") && link.ends_with(" (deleted)"), "{link}");
        assert_eq!((mode(&fd), access_mode(&fd)), (permissions, libc::O_RDONLY));
        assert_eq!((offset(&fd), metadata(&fd).len()), (0, 5));
        assert!(is_close_on_exec(&fd));
        // SAFETY: a readable buffer.
        let written = unsafe { libc::write(fd.as_raw_fd(), b"J".as_ptr().cast(), 1) };
        assert_eq!(
            (written, std::io::Error::last_os_error().raw_os_error()),
            (-1, Some(libc::EBADF))
        );
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 1) }, -1);
        assert_eq!(
            mapped(&fd, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            Err(libc::EACCES)
        );
        for sharing in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
            assert!(mapped(&fd, libc::PROT_READ, sharing).expect("mapped").starts_with(b"hello\0"));
        }
        assert_eq!(read_through(&fd), b"hello");
    }
    for flags in [0, READ_ONLY, WRITABLE, EXECUTABLE, SEAL_CONTENT] {
        let failure = refused(b"hello", &options(flags, MEMFD));
        assert_eq!((failure.errno, failure.op.as_str()), (errno, "memfd_create"));
    }
    let failure = refused(b"hello", &options(SEAL_CONTENT, AUTO));
    assert_eq!((failure.errno, failure.op.as_str()), (errno, "memfd_create"));
}

pub fn a_host_that_forbids_memfd_gives_shm() {
    without_memfd_it_is_shm(libc::EPERM);
}

pub fn a_kernel_without_memfd_gives_shm() {
    without_memfd_it_is_shm(libc::ENOSYS);
}

/// vm.memfd_noexec=2 answers EACCES, and adds the seal against execution if neither flag is given.
pub fn a_host_that_forbids_executable_memory_files_is_obeyed() {
    if !hosts::can_forbid_execution() {
        skip("this kernel cannot forbid execution");
    }
    refuse_flags(libc::SYS_memfd_create, 1, MFD_EXEC, libc::EACCES);
    for flags in
        [EXECUTABLE, EXECUTABLE | WRITABLE, EXECUTABLE | SEAL_CONTENT, EXECUTABLE | READ_ONLY]
    {
        for backend in [AUTO, MEMFD] {
            let failure = refused(b"#!/bin/sh", &options(flags, backend));
            assert_eq!(
                (failure.errno, failure.op.as_str()),
                (libc::EACCES, "memfd_create"),
                "flags {flags}"
            );
        }
    }
    for (flags, expected) in
        [(0, 0xf), (READ_ONLY, 0xf), (WRITABLE, 0), (SEAL_CONTENT, CONTENT_SEALS)]
    {
        let fd = wrap_with(b"hello", flags, AUTO).expect("nobody wants to execute it");
        assert_eq!(seals(&fd) & !0x20, expected);
        assert_eq!(content(&fd), b"hello");
    }
    let writable = wrap_with(b"hello", WRITABLE, AUTO).expect("wrapped");
    assert_eq!(access_mode(&writable), libc::O_RDWR);
    // SAFETY: a readable buffer.
    assert_eq!(unsafe { libc::pwrite(writable.as_raw_fd(), b"J".as_ptr().cast(), 1, 0) }, 1);
}

/// Before Linux 6.7 a sealed file cannot be mapped shared, not even for reading, through a
/// read-write descriptor.
pub fn a_kernel_that_refuses_shared_maps_of_sealed_files_gets_a_read_only_description() {
    need_memfd();
    refuse_flags(libc::SYS_mmap, 3, libc::MAP_SHARED as u64, libc::EPERM);
    for flags in [0, READ_ONLY, EXECUTABLE, INHERIT, SEAL_CONTENT | READ_ONLY] {
        let fd = wrap_with(b"hello", flags, MEMFD).expect("wrapped");
        // Only through a read-write description can further seals be added.
        let expected = if flags == SEAL_CONTENT { libc::O_RDWR } else { libc::O_RDONLY };
        assert_eq!(access_mode(&fd), expected);
        assert_eq!(seals(&fd) & CONTENT_SEALS, CONTENT_SEALS);
        assert_eq!((offset(&fd), content(&fd)), (0, b"hello".to_vec()));
        assert_eq!(is_close_on_exec(&fd), flags != INHERIT);
    }
    // Seals are added through read-write descriptions only, so these stay what they are.
    for (flags, set) in [(WRITABLE, 0), (SEAL_CONTENT, CONTENT_SEALS)] {
        let fd = wrap_with(b"hello", flags, MEMFD).expect("wrapped");
        assert_eq!((access_mode(&fd), seals(&fd)), (libc::O_RDWR, set));
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SEAL) }, 0);
    }
}
