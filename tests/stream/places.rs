//! Tests where the bytes are stored.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::ptr::null;

use super::sources::{assert_as_wrapped, through_a_pipe, through_a_pipe_with};
use crate::faults::conditions::{free_space, leaves_nothing, small_file_system};
use crate::support::abi::{StreamOptions, WrapOptions};
use crate::support::fd::*;
use crate::support::hosts::{self, has_memfd};

pub fn above(spill_threshold: u64) -> WrapOptions {
    WrapOptions { spill_threshold, ..WrapOptions::default() }
}

/// Asserts what a file without seals promises instead.
fn assert_unsealed(fd: &OwnedFd, bytes: &[u8]) {
    let stat = metadata(fd);
    assert_eq!(
        (stat.len() as usize, stat.nlink(), mode(fd), offset(fd)),
        (bytes.len(), 0, 0o400, 0)
    );
    assert!(is_close_on_exec(fd));
    assert_eq!(access_mode(fd), libc::O_RDONLY);
    assert!(content(fd) == bytes && read_through(fd) == bytes);
    assert!(
        mapped(fd, libc::PROT_READ, libc::MAP_SHARED).expect("mapped")[..bytes.len()] == *bytes
    );
}

/// Returns the kernel's name of the file.
fn place(fd: &OwnedFd) -> String {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd));
    std::fs::read_link(path).expect("/proc").to_string_lossy().into_owned()
}

pub fn up_to_the_threshold_it_is_memory_and_above_it_a_file() {
    for threshold in [1, 4096, 10_000, 64 << 10, 2 << 20, (3 << 20) + 1] {
        for length in [threshold - 1, threshold, threshold + 1, threshold + 100_000] {
            let bytes = pattern(length as usize);
            let fd = through_a_pipe_with(&bytes, 10_000, &above(threshold), null())
                .expect("a descriptor");
            if length > threshold {
                assert_unsealed(&fd, &bytes);
                assert!(!place(&fd).contains("memfd:"), "{}", place(&fd));
            } else {
                assert_as_wrapped(&fd, &bytes);
            }
        }
    }
}

/// Runs `body` with a temporary folder of its own, on a file system of its own.
fn with_folder(kib: usize, body: impl FnOnce(&std::path::Path)) {
    let (folder, mounted) = small_file_system(kib);
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("TMPDIR", folder.path()) };
    body(folder.path());
    drop(mounted);
}

pub fn what_is_spilled_is_an_unlinked_file_in_tmpdir() {
    with_folder(16 << 10, |folder| {
        let device = std::fs::metadata(folder).expect("a folder").dev();
        let (all, bytes) = (free_space(folder), pattern(3 << 20));
        for options in [above(1), above(1 << 20), above((3 << 20) - 1)] {
            let fd = through_a_pipe_with(&bytes, 12_345, &options, null()).expect("a descriptor");
            assert_unsealed(&fd, &bytes);
            assert_eq!(metadata(&fd).dev(), device);
            assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), 0, "no name");
        }
        assert_eq!(free_space(folder), all, "gone with the descriptor");
        if has_memfd() {
            let fd =
                through_a_pipe_with(&bytes, 12_345, &above(3 << 20), null()).expect("a descriptor");
            assert_ne!(metadata(&fd).dev(), device);
        }
    });
}

pub fn a_full_folder_for_temporary_files_is_enospc_with_nothing_left() {
    with_folder(1 << 10, |folder| {
        let (all, bytes) = (free_space(folder), pattern(3 << 20));
        // Full when it is moved there, and afterwards.
        for options in [above(2 << 20), above(10_000)] {
            let failure = leaves_nothing(|| through_a_pipe_with(&bytes, 10_000, &options, null()))
                .expect_err("full");
            assert_eq!(failure.errno, libc::ENOSPC, "{failure:?}");
            assert_eq!(free_space(folder), all);
        }
        let fd = through_a_pipe_with(&bytes[..500_000], 10_000, &above(10_000), null())
            .expect("enough room");
        assert_unsealed(&fd, &bytes[..500_000]);
    });
}

pub fn without_memory_files_it_is_a_read_only_file() {
    hosts::refuse(libc::SYS_memfd_create, libc::EPERM);
    for length in [0, 1, 70_000, (2 << 20) + 1] {
        let bytes = pattern(length);
        assert_unsealed(&through_a_pipe(&bytes, 10_000, null()).expect("a descriptor"), &bytes);
        if length == 0 {
            continue;
        }
        let most = StreamOptions { max_bytes: length as u64, ..StreamOptions::default() };
        assert_unsealed(&through_a_pipe(&bytes, 10_000, &most).expect("a descriptor"), &bytes);
        let more = pattern(length + 1);
        let failure =
            leaves_nothing(|| through_a_pipe(&more, 10_000, &most)).expect_err("one more");
        assert_eq!(failure.errno, libc::EFBIG);
    }
}

/// The substitute for memory files can be in memory too.
pub fn without_memory_files_the_threshold_still_counts() {
    with_folder(4 << 10, |folder| {
        hosts::refuse(libc::SYS_memfd_create, libc::EPERM);
        let (device, bytes) =
            (std::fs::metadata(folder).expect("a folder").dev(), pattern(1 << 20));
        let fd = through_a_pipe_with(&bytes, 10_000, &above(10_000), null()).expect("a descriptor");
        assert_unsealed(&fd, &bytes);
        assert_eq!(metadata(&fd).dev(), device);
    });
}
