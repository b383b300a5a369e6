//! Asks old kernels for features that they lack, and checks that wrapped descriptors work all the
//! same. In the guests the answers are known; elsewhere either answer is fine.

use std::ffi::c_int;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::kernels::guest::{self, release};
use crate::pool::{Pool, check, open_again};
use crate::support::abi::{AUTO, READ_ONLY, SEAL_CONTENT, WRITABLE};
use crate::support::{fd, hosts};
use crate::tests;

tests![
    the_guest_runs_the_kernel_it_was_given,
    the_guest_gives_the_huge_pages_it_was_told_to,
    a_kernel_without_the_noexec_flag_gives_every_other_seal,
    every_reading_map_works_where_the_kernel_refuses_it_through_a_read_write_descriptor,
    a_lease_proves_who_holds_a_kept_file,
];

fn the_guest_runs_the_kernel_it_was_given() {
    let running = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    if let Some(release) = release() {
        assert!(running.starts_with(&format!("{release}.")), "{running} is not {release}");
    }
}

fn the_guest_gives_the_huge_pages_it_was_told_to() {
    if let Some(policy) = guest::huge_pages() {
        let words =
            std::fs::read_to_string(guest::SHMEM_ENABLED).expect("a kernel with huge pages");
        assert!(words.contains(&format!("[{policy}]")), "{words} is not {policy}");
    }
}

/// Linux has MFD_NOEXEC_SEAL since 6.3.
fn a_kernel_without_the_noexec_flag_gives_every_other_seal() {
    const F_SEAL_EXEC: c_int = 0x20;
    if let Some(release) = release() {
        assert!(hosts::has_memfd() && hosts::can_forbid_execution() == (release == "6.12"));
    }
    if !hosts::has_memfd() {
        return println!("SKIPPED: nothing can be sealed on this host");
    }
    let no_execution = if hosts::can_forbid_execution() { F_SEAL_EXEC } else { 0 };
    // Twice each: the library asks the kernel once and then remembers.
    for _ in 0..2 {
        for (flags, seals) in [(0, 0xf | no_execution), (SEAL_CONTENT, 0xe), (WRITABLE, 0)] {
            let fd = fd::wrap_with(b"hello", flags, AUTO).expect("a descriptor");
            assert_eq!(fd::seals(&fd), seals, "flags {flags}");
        }
    }
}

/// Kernels before 6.7 and its backports take the shared mapping of a write-sealed file for a
/// mapping that may become writable.
fn every_reading_map_works_where_the_kernel_refuses_it_through_a_read_write_descriptor() {
    let content = fd::pattern(5000);
    if hosts::has_memfd() {
        let mapped = fd::mapped(&sealed(&content), libc::PROT_READ, libc::MAP_SHARED).map(drop);
        match release().as_deref() {
            Some("5.10") => {
                assert_eq!(mapped, Err(libc::EPERM), "this 5.10 has the fix; take an older one")
            }
            Some("6.12") => assert_eq!(mapped, Ok(())),
            _ => assert!(matches!(mapped, Ok(()) | Err(libc::EPERM)), "{mapped:?}"),
        }
    }
    for flags in [0, READ_ONLY] {
        let fd = fd::wrap_with(&content, flags, AUTO).expect("a descriptor");
        for sharing in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
            let bytes = fd::mapped(&fd, libc::PROT_READ, sharing).expect("a mapping");
            assert!(
                bytes.starts_with(&content) && bytes[content.len()..].iter().all(|byte| *byte == 0)
            );
        }
    }
}

/// Makes a sealed file as a program does without this library.
fn sealed(content: &[u8]) -> OwnedFd {
    // SAFETY: a valid name; the kernel's new descriptor is ours.
    let fd = unsafe {
        let fd = libc::memfd_create(c"plain".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    };
    File::from(fd.try_clone().expect("dup")).write_all(content).expect("written");
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
    fd
}

/// Every kernel since 5.10 has shown this.
fn a_lease_proves_who_holds_a_kept_file() {
    let pool = Pool::new(64 << 20);
    for round in 0..5 {
        let bytes = vec![round; 5000];
        pool.scan(&bytes, |fd| check(fd, &bytes));
    }
    assert_eq!(pool.counts().hits, if hosts::has_memfd() { 4 } else { 0 });

    let mut kept = Vec::new();
    for round in 10..20 {
        let bytes = vec![round; 5000];
        pool.scan(&bytes, |fd| {
            check(fd, &bytes);
            kept.push((open_again(fd, libc::O_RDONLY), bytes.clone()));
        });
    }
    assert_eq!(pool.counts().dropped, if hosts::has_memfd() { 10 } else { 0 });
    for (own, bytes) in kept {
        assert_eq!(fd::content(&own), bytes);
    }
}
