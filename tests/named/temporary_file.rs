//! Tests real files with a path.

use std::ffi::CString;
use std::fs::{File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::ptr::{null, null_mut};

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::hosts::{has_shm, refuse};
use crate::support::named::*;

pub fn a_temporary_file_is_a_real_file_at_a_real_path() {
    let place = if has_shm() { "/dev/shm" } else { "/tmp" };
    for (content, suffix) in [
        (&b""[..], None),
        (b"hello", Some(c"")),
        (&pattern(3 << 20), Some(c".ndb")),
        (b"x", Some(c"ending")),
    ] {
        let file = tempfile(content, suffix).expect("created");
        let path = file.path();
        assert_eq!(std::fs::canonicalize(&path).expect("a real path"), path);
        assert!(
            path.starts_with(place) && std::fs::symlink_metadata(&path).expect("lstat").is_file()
        );
        let suffix = suffix.map_or("", |suffix| suffix.to_str().expect("UTF-8"));
        assert!(path.to_str().expect("UTF-8").ends_with(suffix));
        assert!(std::fs::read(&path).expect("read") == content);
        let folder = path.parent().expect("a folder");
        assert_eq!(path.metadata().expect("stat").mode(), libc::S_IFREG | 0o600);
        assert_eq!(folder.metadata().expect("stat").mode(), libc::S_IFDIR | 0o700);
        assert_eq!(std::fs::read_dir(folder).expect("read").count(), 1, "alone");
        let again = tempfile(content, None).expect("created");
        assert_ne!(again.path().parent(), path.parent());
    }
}

/// Even a user without privileges removes folders and files that it may not change as they are.
pub fn a_closed_temporary_file_leaves_no_folder_without_permissions() {
    as_nobody(|| {
        let file = tempfile(b"hello", None).expect("created");
        let folder = file.path().parent().expect("a folder").to_path_buf();
        std::fs::create_dir_all(folder.join("deep/deeper")).expect("made");
        std::fs::write(folder.join("deep/file"), "").expect("written");
        for (path, mode) in [("deep/deeper", 0), ("deep", 0o500), ("", 0o500)] {
            std::fs::set_permissions(folder.join(path), Permissions::from_mode(mode))
                .expect("chmod");
        }
        drop(file);
        assert!(!folder.exists());
    });
}

pub fn a_closed_temporary_file_leaves_nothing() {
    let file = tempfile(b"hello", Some(c".db")).expect("created");
    let (path, folder) = (file.path(), file.path().parent().expect("a folder").to_path_buf());
    drop(file);
    assert!(!folder.exists());

    // Files that a client has put beside it are removed, but not the target of a link.
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::write(elsewhere.path().join("kept"), "").expect("written");
    let file = tempfile(b"hello", Some(c".db")).expect("created");
    let folder = file.path().parent().expect("a folder").to_path_buf();
    std::fs::write(format!("{}-journal", file.path().display()), "").expect("written");
    std::fs::create_dir_all(folder.join("deep/deeper")).expect("made");
    std::fs::write(folder.join("deep/deeper/file"), "").expect("written");
    symlink(elsewhere.path(), folder.join("away")).expect("a link");
    drop(file);
    assert!(!folder.exists());
    assert!(elsewhere.path().join("kept").exists());

    // The client has moved the file away, or removed all.
    let file = tempfile(b"hello", None).expect("created");
    let folder = file.path().parent().expect("a folder").to_path_buf();
    std::fs::rename(file.path(), folder.join("moved")).expect("moved");
    drop(file);
    assert!(!folder.exists());
    let file = tempfile(b"hello", None).expect("created");
    std::fs::remove_dir_all(file.path().parent().expect("a folder")).expect("removed");
    drop(file);
    assert!(!path.exists());
}

pub fn suffixes_that_are_no_suffixes_are_refused() {
    for (suffix, errno) in [
        (c"/".to_owned(), libc::EINVAL),
        (c"a/../b".to_owned(), libc::EINVAL),
        (CString::new("x".repeat(201)).expect("no NUL"), libc::ENAMETOOLONG),
    ] {
        let failure = tempfile(b"hello", Some(&suffix)).expect_err("refused");
        assert_eq!((failure.errno, failure.op.as_str()), (errno, "suffix"));
    }
    let longest = CString::new("x".repeat(200)).expect("no NUL");
    assert!(
        tempfile(b"hello", Some(&longest))
            .expect("created")
            .path()
            .ends_with(format!("data{}", "x".repeat(200)))
    );

    let (mut out, mut error) = (null_mut(), Error::untouched());
    // SAFETY: NULL where the header says that it is refused.
    unsafe {
        assert_eq!(
            (load().tempfile_create)(null(), 1, null(), &mut out, &mut error),
            -libc::EINVAL
        );
        assert_eq!(
            (load().tempfile_create)(c"x".as_ptr().cast(), 1, null(), null_mut(), &mut error),
            -libc::EINVAL
        );
        assert_eq!(error.op(), "file");
        assert!(out.is_null());
        assert_eq!((load().tempfile_create)(null(), 0, null(), &mut out, null_mut()), 0);
        assert_eq!((load().tempfile_close)(out), 0);
    }
}

pub fn a_temporary_file_is_where_and_as_its_options_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = CString::new(folder.path().to_str().expect("UTF-8")).expect("no NUL");
    for (mode, expected) in [(0, 0o600), (0o400, 0o400), (0o640, 0o640)] {
        let options =
            TempfileOptions { directory: directory.as_ptr(), mode, ..TempfileOptions::default() };
        let file = tempfile_with(b"hello", &options).expect("created");
        assert!(file.path().starts_with(std::fs::canonicalize(folder.path()).expect("a path")));
        assert_eq!(file.path().metadata().expect("stat").mode() & 0o7777, expected);
        assert_eq!(std::fs::read(file.path()).expect("read"), b"hello");
        assert_eq!(file.close(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
    }
    // A suffix may be any bytes.
    use std::os::unix::ffi::OsStrExt;
    let file = tempfile(b"hello", Some(c".caf\xe9")).expect("created");
    assert!(file.path().as_os_str().as_bytes().ends_with(b"data.caf\xe9"));

    use bytefd::share::TempFileOptions;
    let file = TempFileOptions::new()
        .suffix(".txt")
        .directory(folder.path())
        .create(b"hello")
        .expect("created");
    assert_eq!(std::fs::read(&file).expect("AsRef<Path>"), b"hello");
    file.close().expect("removed");
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
}

pub fn options_for_temporary_files_that_mean_nothing_are_refused() {
    let refused = |options: TempfileOptions| {
        let failure = tempfile_with(b"hello", &options).expect_err("refused");
        (failure.errno, failure.op)
    };
    let einval = |op: &str| (libc::EINVAL, op.to_string());
    let defaults = TempfileOptions::default;
    for flags in [1, INTERRUPTIBLE, SHM_CREATE, SYSV_TRANSIENT, 1 << 31, u64::MAX] {
        assert_eq!(refused(TempfileOptions { flags, ..defaults() }), einval("flags"));
    }
    for reserved in [1, 1 << 31] {
        assert_eq!(refused(TempfileOptions { reserved, ..defaults() }), einval("reserved"));
    }
    for mode in [0o1000, 0o4600, u32::MAX] {
        assert_eq!(refused(TempfileOptions { mode, ..defaults() }), einval("mode"));
    }
    for (directory, errno) in
        [(c"/no/such/directory", libc::ENOENT), (c"", libc::ENOENT), (c"/dev/null", libc::ENOTDIR)]
    {
        let (found, _) = refused(TempfileOptions { directory: directory.as_ptr(), ..defaults() });
        assert_eq!(found, errno, "{directory:?}");
    }
}

pub fn a_null_temporary_file_has_no_path_and_is_closed() {
    // SAFETY: the header allows NULL.
    unsafe {
        assert!((load().tempfile_path)(null()).is_null());
        assert_eq!((load().tempfile_close)(null_mut()), 0);
    }
}

// Tests that affect the whole process
// ------------------------------------------------------------------------------------

pub fn a_temporary_file_has_its_modes_whatever_the_umask_says() {
    for umask in [0, 0o777] {
        // SAFETY: this process has one thread.
        unsafe { libc::umask(umask) };
        as_nobody(|| {
            let file = tempfile(b"hello", None).expect("created");
            assert_eq!(file.path().metadata().expect("stat").mode() & 0o7777, 0o600);
            assert_eq!(
                file.path().parent().expect("a folder").metadata().expect("stat").mode() & 0o7777,
                0o700
            );
            assert_eq!(std::fs::read(file.path()).expect("read"), b"hello");
        });
    }
}

/// Hides /dev, except the random numbers, which Linux before 3.17 gives nowhere else.
fn hide_dev() -> (Mounted, File) {
    let random = File::open("/dev/urandom").expect("a device");
    let dev = hide("/dev", "");
    symlink(format!("/proc/self/fd/{}", random.as_raw_fd()), "/dev/urandom").expect("a link");
    (dev, random)
}

pub fn a_temporary_file_is_in_tmp_where_shm_is_missing() {
    // SAFETY: no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let _tmp = hide("/tmp", "mode=1777");
    let content = || std::fs::read_dir("/tmp").expect("read").count();
    let goes_there = || {
        let file = tempfile(b"hello", Some(c".txt")).expect("created");
        assert_eq!(std::fs::read(file.path()).expect("read"), b"hello");
        assert!(file.path().starts_with("/tmp") && content() == 1);
        drop(file);
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
        let _file = tempfile(b"hello", None).expect("created");
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    assert_eq!((sweep().expect("swept"), content()), (0, 1));
    child.kill();
    assert_eq!((sweep().expect("swept"), content()), (1, 0));
}

/// Debian once had such a link.
pub fn a_temporary_file_has_a_real_path_where_shm_is_a_symbolic_link() {
    let aim = tempfile::tempdir().expect("a folder");
    let _dev = hide_dev();
    symlink(aim.path(), "/dev/shm").expect("a link");
    let file = tempfile(b"hello", None).expect("created");
    assert!(file.path().starts_with(std::fs::canonicalize(aim.path()).expect("a path")));
    assert_eq!(std::fs::canonicalize(file.path()).expect("a real path"), file.path());
    drop(file);
    assert_eq!(std::fs::read_dir(aim.path()).expect("read").count(), 0);
}

pub fn a_temporary_file_that_finds_no_room_leaves_nothing() {
    let _shm = hide("/dev/shm", "size=1024k,mode=1777");
    let nothing_is_left = || {
        assert_eq!(std::fs::read_dir("/dev/shm").expect("read").count(), 0);
        assert_eq!(free_space("/dev/shm"), 1 << 20);
    };
    let bytes = pattern(2 << 20);
    assert_eq!(leaves_nothing(|| tempfile(&bytes, None).expect_err("no room")).errno, libc::ENOSPC);
    nothing_is_left();
    file_size_signal_kills();
    with_limit(libc::RLIMIT_FSIZE, 4096, || {
        tempfile(&bytes[..4096], None).expect("created");
        assert_eq!(
            leaves_nothing(|| tempfile(&bytes[..4097], None).expect_err("above the limit")).errno,
            libc::EFBIG
        );
    });
    nothing_is_left();
    for free in 0..4 {
        let file = with_free_descriptors(free, || {
            leaves_nothing(|| tempfile(&bytes[..5], None).map(drop))
        });
        assert!(file.is_ok() == (free > 1), "with {free} descriptors: {file:?}");
    }
    nothing_is_left();
    assert!(
        Path::new("/dev/shm").metadata().expect("stat").permissions().mode() & 0o7777 == 0o1777
    );
}

pub fn a_temporary_file_is_closed_without_a_free_descriptor() {
    let _shm = hide("/dev/shm", "mode=1777");
    let file = tempfile(b"hello", None).expect("created");
    with_free_descriptors(0, || drop(file));
    assert_eq!(std::fs::read_dir("/dev/shm").expect("read").count(), 0);
}

pub fn a_forked_child_removes_no_temporary_file_of_its_parent() {
    let file = tempfile(b"hello", None).expect("created");
    let path = file.path();
    let child = Child::new(|_| {
        // SAFETY: this process has a handle of its own.
        let handle = unsafe { std::ptr::read(&file) };
        handle.close()
    });
    assert_eq!(child.end(), End::Exited(0));
    assert_eq!(std::fs::read(&path).expect("still there"), b"hello");
    assert_eq!(file.close(), 0);
    assert!(!path.exists());
}

pub fn what_is_mounted_in_the_directory_of_a_temporary_file_stays() {
    let _shm = hide("/dev/shm", "mode=1777");
    for has_openat2 in [true, false] {
        let child = Child::new(|_| {
            let other = (!has_openat2).then(|| {
                refuse(libc::SYS_openat2, libc::ENOSYS);
                // Without it, only another file system is told.
                hide("/tmp", "mode=1777")
            });
            let aim = Path::new(if has_openat2 { "/dev/shm/aim" } else { "/tmp/aim" });
            std::fs::create_dir_all(aim.join("folder")).expect("made");
            std::fs::write(aim.join("folder/kept"), "").expect("written");
            let file = tempfile(b"hello", None).expect("created");
            let folder = file.path().parent().expect("a folder").to_path_buf();
            std::fs::create_dir_all(folder.join("deep/mounted")).expect("made");
            std::fs::write(folder.join("deep/beside"), "").expect("written");
            bind(aim, &folder.join("deep/mounted"));
            assert_eq!(file.close(), -libc::EXDEV);
            assert!(aim.join("folder/kept").exists());
            assert!(
                folder.join("deep/mounted/folder/kept").exists()
                    && !folder.join("deep/beside").exists()
            );
            unmount(&folder.join("deep/mounted"));
            std::fs::remove_dir_all(&folder).expect("removed");
            std::fs::remove_dir_all(aim).expect("removed");
            drop(other);
            0
        });
        assert_eq!(child.end(), End::Exited(0), "with openat2: {has_openat2}");
    }
}
