//! Real files with a path.

use std::ffi::CString;
use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::ptr::{null, null_mut};

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::hosts::has_shm;
use crate::support::named::*;

pub fn a_link_is_a_real_file_at_a_real_path() {
    let place = if has_shm() { "/dev/shm" } else { "/tmp" };
    for (content, suffix) in
        [(&b""[..], None), (b"hello", Some(c"")), (&pattern(3 << 20), Some(c".ndb")), (b"x", Some(c"ending"))]
    {
        let linked = link(content, suffix).expect("linked");
        let path = linked.path();
        assert_eq!(std::fs::canonicalize(&path).expect("a real path"), path);
        assert!(path.starts_with(place) && std::fs::symlink_metadata(&path).expect("lstat").is_file());
        let suffix = suffix.map_or("", |suffix| suffix.to_str().expect("UTF-8"));
        assert!(path.to_str().expect("UTF-8").ends_with(suffix));
        assert!(std::fs::read(&path).expect("read") == content);
        let folder = path.parent().expect("a folder");
        assert_eq!(path.metadata().expect("stat").mode(), libc::S_IFREG | 0o600);
        assert_eq!(folder.metadata().expect("stat").mode(), libc::S_IFDIR | 0o700);
        assert_eq!(std::fs::read_dir(folder).expect("read").count(), 1, "alone");
        let again = link(content, None).expect("linked");
        assert_ne!(again.path().parent(), path.parent());
    }
}

/// Of what may not be changed by who is not root.
pub fn a_released_link_leaves_no_folder_that_is_closed() {
    as_nobody(|| {
        let linked = link(b"hello", None).expect("linked");
        let folder = linked.path().parent().expect("a folder").to_path_buf();
        std::fs::create_dir_all(folder.join("deep/deeper")).expect("made");
        std::fs::write(folder.join("deep/file"), "").expect("written");
        for (path, mode) in [("deep/deeper", 0), ("deep", 0o500), ("", 0o500)] {
            std::fs::set_permissions(folder.join(path), Permissions::from_mode(mode)).expect("chmod");
        }
        drop(linked);
        assert!(!folder.exists());
    });
}

pub fn a_released_link_leaves_nothing() {
    let linked = link(b"hello", Some(c".db")).expect("linked");
    let (path, folder) = (linked.path(), linked.path().parent().expect("a folder").to_path_buf());
    drop(linked);
    assert!(!folder.exists());

    // What a client has put beside it, and where that leads to.
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::write(elsewhere.path().join("kept"), "").expect("written");
    let linked = link(b"hello", Some(c".db")).expect("linked");
    let folder = linked.path().parent().expect("a folder").to_path_buf();
    std::fs::write(format!("{}-journal", linked.path().display()), "").expect("written");
    std::fs::create_dir_all(folder.join("deep/deeper")).expect("made");
    std::fs::write(folder.join("deep/deeper/file"), "").expect("written");
    symlink(elsewhere.path(), folder.join("away")).expect("a link");
    drop(linked);
    assert!(!folder.exists());
    assert!(elsewhere.path().join("kept").exists());

    // The client has moved the file away, or removed all.
    let linked = link(b"hello", None).expect("linked");
    let folder = linked.path().parent().expect("a folder").to_path_buf();
    std::fs::rename(linked.path(), folder.join("moved")).expect("moved");
    drop(linked);
    assert!(!folder.exists());
    let linked = link(b"hello", None).expect("linked");
    std::fs::remove_dir_all(linked.path().parent().expect("a folder")).expect("removed");
    drop(linked);
    assert!(!path.exists());
}

pub fn suffixes_that_are_no_suffixes_are_refused() {
    for (suffix, errno) in [
        (c"/".to_owned(), libc::EINVAL),
        (c"a/../b".to_owned(), libc::EINVAL),
        (c"\xff".to_owned(), libc::EINVAL),
        (CString::new("x".repeat(201)).expect("no NUL"), libc::ENAMETOOLONG),
    ] {
        let failure = link(b"hello", Some(&suffix)).expect_err("refused");
        assert_eq!((failure.errno, failure.op.as_str()), (errno, "suffix"));
    }
    let longest = CString::new("x".repeat(200)).expect("no NUL");
    assert!(link(b"hello", Some(&longest)).expect("linked").path().ends_with(format!("data{}", "x".repeat(200))));

    let (mut out, mut error) = (null_mut(), Error::untouched());
    // SAFETY: NULL where the header says that it is refused.
    unsafe {
        assert_eq!((load().link)(null(), 1, null(), &mut out, &mut error), -libc::EINVAL);
        assert_eq!((load().link)(c"x".as_ptr().cast(), 1, null(), null_mut(), &mut error), -libc::EINVAL);
        assert_eq!(error.op(), "file");
        assert!(out.is_null());
        assert_eq!((load().link)(null(), 0, null(), &mut out, null_mut()), 0);
        assert_eq!((load().link_release)(out), 0);
    }
}

pub fn a_null_link_has_no_path_and_is_released() {
    // SAFETY: the header allows NULL.
    unsafe {
        assert!((load().link_path)(null()).is_null());
        assert_eq!((load().link_release)(null_mut()), 0);
    }
}

// What concerns the whole process ------------------------------------------------------------------------------------

pub fn a_link_has_its_modes_whatever_the_umask_says() {
    for umask in [0, 0o777] {
        // SAFETY: this process has one thread.
        unsafe { libc::umask(umask) };
        as_nobody(|| {
            let linked = link(b"hello", None).expect("linked");
            assert_eq!(linked.path().metadata().expect("stat").mode() & 0o7777, 0o600);
            assert_eq!(linked.path().parent().expect("a folder").metadata().expect("stat").mode() & 0o7777, 0o700);
            assert_eq!(std::fs::read(linked.path()).expect("read"), b"hello");
        });
    }
}

/// An empty /dev, but for the random numbers that Linux before 3.17 gives nowhere else.
fn hide_dev() -> (Mounted, File) {
    let random = File::open("/dev/urandom").expect("a device");
    let dev = hide("/dev", "");
    symlink(format!("/proc/self/fd/{}", random.as_raw_fd()), "/dev/urandom").expect("a link");
    (dev, random)
}

pub fn a_link_is_in_tmp_where_shm_is_missing() {
    // SAFETY: no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let _tmp = hide("/tmp", "mode=1777");
    let content = || std::fs::read_dir("/tmp").expect("read").count();
    let goes_there = || {
        let linked = link(b"hello", Some(c".txt")).expect("linked");
        assert_eq!(std::fs::read(linked.path()).expect("read"), b"hello");
        assert!(linked.path().starts_with("/tmp") && content() == 1);
        drop(linked);
        assert_eq!(content(), 0);
    };
    {
        let shm = hide("/dev/shm", "mode=1777");
        shm.restrict(libc::MS_RDONLY);
        goes_there();
    }
    if is_root {
        let _shm = hide("/dev/shm", "mode=755");
        as_nobody(goes_there);
    }
    let _dev = hide_dev();
    goes_there();
    // There it is swept too.
    let mut child = Child::new(|to| {
        let _linked = link(b"hello", None).expect("linked");
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    assert_eq!((sweep().expect("swept"), content()), (0, 1));
    child.kill();
    assert_eq!((sweep().expect("swept"), content()), (1, 0));
}

/// As it was on Debian once.
pub fn a_link_has_a_real_path_where_shm_is_a_symbolic_link() {
    let aim = tempfile::tempdir().expect("a folder");
    let _dev = hide_dev();
    symlink(aim.path(), "/dev/shm").expect("a link");
    let linked = link(b"hello", None).expect("linked");
    assert!(linked.path().starts_with(std::fs::canonicalize(aim.path()).expect("a path")));
    assert_eq!(std::fs::canonicalize(linked.path()).expect("a real path"), linked.path());
    drop(linked);
    assert_eq!(std::fs::read_dir(aim.path()).expect("read").count(), 0);
}

pub fn a_link_that_finds_no_room_leaves_nothing() {
    let _shm = hide("/dev/shm", "size=1024k,mode=1777");
    let nothing_is_left = || {
        assert_eq!(std::fs::read_dir("/dev/shm").expect("read").count(), 0);
        assert_eq!(free_space("/dev/shm"), 1 << 20);
    };
    let bytes = pattern(2 << 20);
    assert_eq!(leaves_nothing(|| link(&bytes, None).expect_err("no room")).errno, libc::ENOSPC);
    nothing_is_left();
    file_size_signal_kills();
    with_limit(libc::RLIMIT_FSIZE, 4096, || {
        link(&bytes[..4096], None).expect("linked");
        assert_eq!(leaves_nothing(|| link(&bytes[..4097], None).expect_err("above the limit")).errno, libc::EFBIG);
    });
    nothing_is_left();
    for free in 0..3 {
        let linked = with_free_descriptors(free, || leaves_nothing(|| link(&bytes[..5], None).map(drop)));
        assert!(linked.is_ok() == (free > 0), "with {free} descriptors: {linked:?}");
    }
    nothing_is_left();
    assert!(Path::new("/dev/shm").metadata().expect("stat").permissions().mode() & 0o7777 == 0o1777);
}

pub fn a_link_is_released_without_a_free_descriptor() {
    let _shm = hide("/dev/shm", "mode=1777");
    let linked = link(b"hello", None).expect("linked");
    with_free_descriptors(0, || drop(linked));
    assert_eq!(std::fs::read_dir("/dev/shm").expect("read").count(), 0);
}
