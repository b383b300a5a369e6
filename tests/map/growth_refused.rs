//! Tests files that cannot be created or grown. A file that was created is removed again; a file
//! that was to grow has its old size.

use std::os::fd::AsRawFd;
use std::path::Path;

use crate::faults::conditions::*;
use crate::faults::signals::under_alarms;
use crate::support::abi::*;
use crate::support::fd::{Failure, pattern};
use crate::support::hosts;
use crate::support::map::{is_mapped, map, map_fd};

fn growing(file_size: u64) -> MapOptions {
    MapOptions { access: WRITE, file_size, ..MapOptions::default() }
}

/// Tries with a file that exists, and with a file that does not exist. Returns the failure of both
/// attempts.
fn refused(folder: &Path, options: &MapOptions) -> Failure {
    let (old, new) = (folder.join("old"), folder.join("new"));
    std::fs::write(&old, pattern(5000)).expect("written");
    let first = leaves_nothing(|| map(&old, options)).expect_err("refused");
    assert!(
        std::fs::read(&old).expect("read") == pattern(5000),
        "an existing file has its old size: {first:?}"
    );
    let created = MapOptions { flags: options.flags | CREATE, ..*options };
    let second = leaves_nothing(|| map(&new, &created)).expect_err("refused");
    assert!(!new.exists(), "a file that was created is gone: {second:?}");
    assert_eq!((first.errno, &first.op), (second.errno, &second.op));
    assert!(!is_mapped(&old) && !is_mapped(&new));
    first
}

pub fn growth_past_the_file_size_limit_is_efbig() {
    file_size_signal_kills();
    let folder = tempfile::tempdir().expect("a folder");
    for flags in [0, NO_RESERVE] {
        for size in [(1 << 20) + 1, 1 << 30, i64::MAX as u64] {
            let options = MapOptions { flags, ..growing(size) };
            let failure =
                with_limit(libc::RLIMIT_FSIZE, 1 << 20, || refused(folder.path(), &options));
            assert_eq!(failure.errno, libc::EFBIG);
            assert!(
                failure.message.contains(&size.to_string()),
                "what was asked: {}",
                failure.message
            );
            assert!(failure.message.contains("1048576"), "what is allowed: {}", failure.message);
        }
        let path = folder.path().join("at the limit");
        let options = MapOptions { flags: flags | CREATE, ..growing(1 << 20) };
        with_limit(libc::RLIMIT_FSIZE, 1 << 20, || map(&path, &options)).expect("mapped");
    }
    // A file above the limit does not have to grow.
    let path = folder.path().join("large");
    std::fs::write(&path, pattern(3000)).expect("written");
    with_limit(libc::RLIMIT_FSIZE, 1000, || map(&path, &growing(2000))).expect("mapped");
}

pub fn growth_on_a_full_file_system_is_enospc() {
    let (folder, _mounted) = small_file_system(1024);
    let free = free_space(folder.path());
    for size in [2 << 20, 1 << 30] {
        let failure = refused(folder.path(), &growing(size));
        assert_eq!(failure.errno, libc::ENOSPC, "{failure:?}");
        assert!(failure.message.contains(&size.to_string()), "{}", failure.message);
    }
    std::fs::remove_file(folder.path().join("old")).expect("removed");
    assert_eq!(free_space(folder.path()), free, "no space stays reserved");
    let options = MapOptions { flags: CREATE, ..growing(512 << 10) };
    map(folder.path().join("new"), &options).expect("what fits is fine");
}

pub fn growth_by_zeros_on_a_full_file_system_is_enospc() {
    hosts::refuse(libc::SYS_fallocate, libc::EOPNOTSUPP);
    growth_on_a_full_file_system_is_enospc();
}

pub fn a_mapping_the_kernel_refuses_takes_growth_and_creation_back() {
    let (folder, mounted) = small_file_system(1024);
    mounted.restrict(libc::MS_NOEXEC);
    let failure = refused(folder.path(), &MapOptions { flags: EXECUTE, ..growing(64 << 10) });
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EPERM, "mmap"));
}

pub fn a_lock_that_is_refused_takes_growth_and_creation_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = MapOptions { flags: MLOCK, ..growing(1 << 20) };
    hosts::refuse(libc::SYS_mlock, libc::ENOMEM);
    let failure = refused(folder.path(), &options);
    assert_eq!((failure.errno, failure.op.as_str()), (libc::ENOMEM, "mlock"));
}

pub fn no_address_space_is_enomem_and_leaves_no_created_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new");
    let options = MapOptions { flags: CREATE | NO_RESERVE, ..growing(1 << 35) };
    let failure =
        with_limit(libc::RLIMIT_AS, 1 << 34, || map(&path, &options)).expect_err("refused");
    assert_eq!((failure.errno, failure.op.as_str()), (libc::ENOMEM, "mmap"));
    assert!(!path.exists());
}

pub fn no_descriptor_is_emfile_and_leaves_no_created_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = MapOptions { flags: CREATE, ..growing(4096) };
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::write(&old, "hello").expect("written");
    for (path, size) in [(&old, Some(5)), (&new, None)] {
        let failure = leaves_nothing(|| with_free_descriptors(0, || map(path, &options)))
            .expect_err("refused");
        assert_eq!(failure.errno, libc::EMFILE);
        assert_eq!(path.metadata().ok().map(|stat| stat.len()), size);
    }
    with_free_descriptors(1, || map(&new, &options)).expect("one is enough");
    // A map for writing keeps a descriptor of its own.
    let file = std::fs::File::options().read(true).write(true).open(&new).expect("opened");
    let outcome = with_free_descriptors(0, || map_fd(file.as_raw_fd(), &growing(4096)));
    assert_eq!(outcome.expect_err("refused").errno, libc::EMFILE);
}

/// The only free number is 0, which the library must move away from and cannot.
pub fn no_descriptor_above_the_standard_streams_leaves_no_created_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new");
    let options = MapOptions { flags: CREATE, ..growing(4096) };
    let outcome = leaves_nothing(|| {
        without_standard_input(|| with_free_descriptors(1, || map(&path, &options)))
    });
    // It may do with that number for the short time it needs one.
    if let Err(failure) = outcome {
        assert_eq!(failure.errno, libc::EMFILE);
        assert!(!path.exists(), "a file that was created is gone");
    }
}

/// tmpfs undoes what an interrupted fallocate has done: a library that asks again for all of it
/// never ends.
pub fn growth_ends_though_signals_interrupt_it() {
    let (folder, _mounted) = small_file_system(300 << 10);
    let options = MapOptions { flags: CREATE, ..growing(256 << 20) };
    let map = under_alarms(|_| map(folder.path().join("new"), &options)).expect("mapped");
    assert_eq!(map.length(), 256 << 20);
}
