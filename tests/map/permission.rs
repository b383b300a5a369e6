//! Tests what a user may do to a file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::map::{is_mapped, map, map_with};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("chmod");
}

pub fn each_access_needs_its_permission() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "hello").expect("written");
    set_mode(folder.path(), 0o755);
    // Without root the file is the user's own: the same bits for owner and others.
    let cases = [
        (0o666, [true, true, true]),
        (0o444, [true, false, true]),
        (0o222, [false, false, false]),
        (0, [false, false, false]),
    ];
    for (mode, allowed) in cases {
        set_mode(&file, mode);
        for (access, allowed) in [READ, WRITE, PRIVATE].into_iter().zip(allowed) {
            leaves_nothing(|| {
                let outcome = as_nobody(|| map_with(&file, access, 0));
                let errno = outcome.as_ref().err().map(|failure| failure.errno);
                assert_eq!(
                    errno,
                    (!allowed).then_some(libc::EACCES),
                    "mode {mode:o}, access {access}"
                );
                if let (Ok(map), PRIVATE) = (&outcome, access) {
                    map.store(0, b"J");
                }
            });
        }
    }
    set_mode(&file, 0o666);
    assert_eq!(std::fs::read(&file).expect("read"), b"hello");

    set_mode(folder.path(), 0o444);
    for (access, flags) in [(READ, 0), (WRITE, 0), (WRITE, CREATE), (PRIVATE, 0)] {
        let failure =
            as_nobody(|| map_with(&file, access, flags)).expect_err("the folder cannot be entered");
        assert_eq!(failure.errno, libc::EACCES);
    }
    set_mode(folder.path(), 0o555);
    let failure =
        as_nobody(|| map_with(folder.path().join("new"), WRITE, CREATE)).expect_err("refused");
    assert_eq!(failure.errno, libc::EACCES);
    set_mode(folder.path(), 0o755);
}

pub fn a_read_only_file_system_refuses_writing_only() {
    let (folder, mounted) = small_file_system(1024);
    let (file, new) = (folder.path().join("file"), folder.path().join("new"));
    std::fs::write(&file, "hello").expect("written");
    mounted.restrict(libc::MS_RDONLY);
    for access in [READ, PRIVATE] {
        assert_eq!(map_with(&file, access, 0).expect("mapped").bytes(), b"hello");
    }
    for (path, flags) in [(&file, 0), (&file, CREATE), (&new, CREATE)] {
        assert_eq!(map_with(path, WRITE, flags).expect_err("refused").errno, libc::EROFS);
    }
}

pub fn lock_beyond_the_limit_is_an_error_with_nothing_left() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(1 << 20).expect("resized");
    set_mode(file.path(), 0o444);
    let options = MapOptions { flags: MLOCK, ..MapOptions::default() };
    for (limit, errno) in [(0, libc::EPERM), (4096, libc::ENOMEM)] {
        let locked =
            || with_limit(libc::RLIMIT_MEMLOCK, limit, || as_nobody(|| map(&file, &options)));
        let failure = leaves_nothing(locked).expect_err("refused");
        assert_eq!((failure.errno, failure.op.as_str()), (errno, "mlock"));
        assert!(!is_mapped(file.path()));
    }
}
