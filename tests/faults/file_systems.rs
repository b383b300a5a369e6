//! Tests file systems that are full, read-only or missing.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use super::conditions::*;
use super::every_way::{maps_sealed_files, options, refused};
use crate::support::abi::{self, *};
use crate::support::fd::{content, pattern, result, wrap, wrap_with};
use crate::support::hosts;

/// Returns the kernel's name of the file of a descriptor.
pub fn link(fd: &OwnedFd) -> String {
    let link =
        std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("/proc is mounted");
    link.to_str().expect("UTF-8").into()
}

pub fn set_tmpdir(folder: &str) {
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("TMPDIR", folder) };
}

fn without_memfd() {
    hosts::refuse(libc::SYS_memfd_create, libc::EPERM);
}

pub fn a_full_shm_is_enospc_while_memfd_goes_on() {
    let has_memfd = hosts::has_memfd();
    let _shm = hide("/dev/shm", "size=64k");
    let free = free_space("/dev/shm");
    let large = pattern(128 << 10);
    for flags in [0, WRITABLE] {
        let failure = refused(&large, &options(flags, SHM));
        assert_eq!(failure.errno, libc::ENOSPC, "{failure:?}");
        assert_eq!(free_space("/dev/shm"), free, "no space stays taken");
        assert!(
            content(&wrap_with(&large[..32 << 10], flags, SHM).expect("enough room"))
                == large[..32 << 10]
        );
    }
    if has_memfd {
        for backend in [MEMFD, AUTO] {
            assert!(content(&wrap_with(&large, 0, backend).expect("no limit but memory")) == large);
        }
    }
}

pub fn a_full_shm_is_an_error_where_memfd_is_missing() {
    without_memfd();
    let _shm = hide("/dev/shm", "size=64k");
    // Running out does not lead to the next backend, which may be a slow disk.
    assert_eq!(refused(&pattern(128 << 10), &options(0, AUTO)).errno, libc::ENOSPC);
    let fd = wrap_with(&pattern(32 << 10), 0, AUTO).expect("enough room");
    assert!(link(&fd).starts_with("/dev/shm/"), "{}", link(&fd));
}

pub fn a_full_folder_for_temporary_files_is_enospc() {
    let (folder, _mounted) = small_file_system(64);
    set_tmpdir(folder.path().to_str().expect("UTF-8"));
    let free = free_space(folder.path());
    assert_eq!(refused(&pattern(128 << 10), &options(0, TMPFILE)).errno, libc::ENOSPC);
    assert_eq!(free_space(folder.path()), free, "no space stays taken");
    assert!(
        content(&wrap_with(&pattern(32 << 10), 0, TMPFILE).expect("enough room"))
            == pattern(32 << 10)
    );
}

pub fn temporary_files_go_where_tmpdir_says_if_that_can_be() {
    let (folder, mounted) = small_file_system(64);
    let chosen = folder.path().to_str().expect("UTF-8");
    set_tmpdir(chosen);
    let fd = wrap_with(b"hello", 0, TMPFILE).expect("wrapped");
    assert!(link(&fd).starts_with(chosen), "{}", link(&fd));
    drop(fd);
    assert_eq!(folder.path().read_dir().expect("a folder").count(), 0);

    mounted.restrict(libc::MS_RDONLY);
    for unusable in [chosen, "/no/such/folder", "/dev/null", "/proc", ""] {
        set_tmpdir(unusable);
        let fd = wrap_with(b"hello", 0, TMPFILE).expect("the next folder");
        assert!(
            ["/tmp/", "/var/tmp/"].iter().any(|folder| link(&fd).starts_with(folder)),
            "{}",
            link(&fd)
        );
        assert!(!link(&fd).starts_with(chosen));
    }
}

/// Asserts that SHM by name fails, and that AUTO goes on to a temporary file.
fn shm_is_passed_over(errno: i32) {
    let failure = refused(b"hello", &options(0, SHM));
    assert_eq!((failure.errno, failure.op.as_str()), (errno, "open O_TMPFILE"), "{failure:?}");
    for flags in [0, READ_ONLY, WRITABLE, EXECUTABLE] {
        let fd = wrap_with(b"hello", flags, AUTO).expect("a temporary file");
        assert!(link(&fd).contains("/tmp/"), "{}", link(&fd));
        assert_eq!(content(&fd), b"hello");
    }
    assert_eq!(
        refused(b"hello", &options(SEAL_CONTENT, AUTO)).op,
        "memfd_create",
        "seals need a memfd"
    );
}

pub fn a_read_only_shm_is_passed_over() {
    without_memfd();
    let shm = hide("/dev/shm", "");
    shm.restrict(libc::MS_RDONLY);
    shm_is_passed_over(libc::EROFS);
}

pub fn a_missing_shm_is_passed_over() {
    without_memfd();
    let _dev = hide("/dev", "");
    shm_is_passed_over(libc::ENOENT);
}

fn no_backend_at_all(label: Option<&std::ffi::CStr>) {
    without_memfd();
    set_tmpdir("/no/such/folder");
    let _hidden = ["/dev/shm", "/tmp", "/var/tmp"].map(|folder| {
        let mounted = hide(folder, "");
        mounted.restrict(libc::MS_RDONLY);
        mounted
    });
    let name = label.map_or(std::ptr::null(), |label| label.as_ptr());
    let failure = refused(b"hello", &WrapOptions { name, ..WrapOptions::default() });
    assert!([libc::EPERM, libc::EROFS].contains(&failure.errno), "{failure:?}");
    for backend in ["memfd_create", "in /dev/shm", "O_TMPFILE"] {
        assert!(failure.message.contains(backend), "no {backend} in: {}", failure.message);
    }
}

pub fn no_backend_at_all_names_all_three() {
    no_backend_at_all(None);
}

/// The caller knows the label. It must not push out of the message what the caller does not know.
pub fn no_backend_at_all_names_all_three_whatever_the_label() {
    let longest = std::ffi::CString::new("n".repeat(200)).expect("no NUL");
    no_backend_at_all(Some(&longest));
}

fn assert_proc_is_missed(failure: &crate::support::fd::Failure) {
    assert_eq!(failure.errno, libc::ENOENT, "{failure:?}");
    assert!(failure.message.contains("/proc"), "{}", failure.message);
}

pub fn without_proc_only_what_needs_it_fails() {
    let (has_memfd, has_shm) = (hosts::has_memfd(), hosts::has_shm());
    let readable = wrap_with(b"hello", WRITABLE, AUTO).expect("wrapped");
    let maps_sealed_files = has_memfd && maps_sealed_files();
    let _proc = hide("/proc", "");
    if has_memfd {
        for flags in [WRITABLE, SEAL_CONTENT] {
            assert_eq!(
                content(&wrap_with(b"hello", flags, AUTO).expect("no need for /proc")),
                b"hello"
            );
        }
        for flags in [0, EXECUTABLE, INHERIT] {
            if maps_sealed_files {
                assert_eq!(
                    content(&wrap_with(b"hello", flags, AUTO).expect("no need for /proc")),
                    b"hello"
                );
            } else {
                assert_proc_is_missed(&refused(b"hello", &options(flags, AUTO)));
            }
        }
        assert_proc_is_missed(&refused(b"hello", &options(READ_ONLY, MEMFD)));
    }
    assert_proc_is_missed(&refused(b"hello", &options(READ_ONLY, AUTO)));
    for backend in [SHM, TMPFILE].into_iter().filter(|backend| *backend != SHM || has_shm) {
        assert_proc_is_missed(&refused(b"hello", &options(0, backend)));
        assert_eq!(
            content(&wrap_with(b"hello", WRITABLE, backend).expect("no need for /proc")),
            b"hello"
        );
    }
    let mut error = Error::untouched();
    // SAFETY: an open descriptor.
    let status =
        leaves_nothing(|| unsafe { (abi::load().reopen)(readable.as_raw_fd(), 0, &mut error) });
    assert_proc_is_missed(&result(status, &error).expect_err("refused"));
}

pub fn without_proc_and_memfd_a_read_only_description_cannot_be_had() {
    without_memfd();
    let tmp = tempfile::tempdir().expect("a folder").keep();
    set_tmpdir(tmp.to_str().expect("UTF-8"));
    {
        let _proc = hide("/proc", "");
        assert_proc_is_missed(&refused(b"hello", &options(0, AUTO)));
        wrap(b"hello", &options(WRITABLE, AUTO)).expect("no need for /proc");
    }
    let left: Vec<PathBuf> =
        tmp.read_dir().expect("a folder").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir(tmp).expect("removed");
}
