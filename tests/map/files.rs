//! Tests which files can be mapped, and which paths lead to them.

use std::ffi::{CString, OsStr, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use crate::support::abi::*;
use crate::support::fd::{Failure, pattern, wrap_with};
use crate::support::hosts;
use crate::support::map::{map, map_with, memory, page_size};

/// A file of /sys that refuses to be given zeros.
const SYS_FILE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

const EVERY_WAY: [(u32, u64); 6] =
    [(READ, 0), (WRITE, 0), (PRIVATE, 0), (WRITE, CREATE), (READ, BEYOND_EOF), (READ, POPULATE)];

fn assert_refused(path: impl AsRef<Path>, errno: c_int) {
    for (access, flags) in EVERY_WAY {
        let Failure { errno: found, op, message } =
            map_with(&path, access, flags).expect_err("refused");
        let path = path.as_ref().display();
        assert_eq!(found, errno, "{path}, access {access}, flags {flags}: {op}: {message}");
        assert!(message.contains(&path.to_string()), "{message} does not name {path}");
    }
}

fn fifo(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("fifo");
    let text = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: a string.
    assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
    path
}

/// A process with a lease is told before others open the file. They wait until it gives the lease
/// back.
pub fn a_leased_file_is_waited_for() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    // By the one description: a child that a test beside this one forks would keep another open for
    // a moment.
    file.as_file().write_all_at(b"hello", 0).expect("written");
    // SAFETY: these calls touch no memory. SIGURG instead of SIGIO, which ends the process.
    unsafe {
        let fd = file.as_file().as_raw_fd();
        assert_eq!(libc::fcntl(fd, 10, libc::SIGURG), 0, "F_SETSIG");
        assert_eq!(libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK), 0);
    }
    std::thread::scope(|scope| {
        let mapped = scope.spawn(|| map_with(&file, READ, 0));
        // F_GETLEASE tells what is left of the lease once another process opens the file.
        // SAFETY: as above.
        while unsafe { libc::fcntl(file.as_file().as_raw_fd(), libc::F_GETLEASE) } == libc::F_WRLCK
        {
            if mapped.is_finished() {
                break;
            }
            std::thread::yield_now();
        }
        // SAFETY: as above.
        unsafe { libc::fcntl(file.as_file().as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
        assert_eq!(
            mapped.join().expect("no panic").expect("mapped, after waiting").bytes(),
            b"hello"
        );
    });
}

/// inotify reports every open, however short. Opening would wake a process that waits at the other
/// end.
pub fn a_fifo_is_refused_without_being_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(folder.path());
    let text = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: the new descriptor is ours.
    let watch =
        unsafe { OwnedFd::from_raw_fd(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC)) };
    assert!(
        // SAFETY: a descriptor and a string.
        unsafe { libc::inotify_add_watch(watch.as_raw_fd(), text.as_ptr(), libc::IN_OPEN) } >= 0
    );
    let mut events = [0u8; 4096];
    // SAFETY: a writable buffer.
    let mut was_opened =
        || unsafe { libc::read(watch.as_raw_fd(), events.as_mut_ptr().cast(), events.len()) } > 0;

    assert_refused(&path, libc::ENODEV);
    let grow =
        MapOptions { access: WRITE, flags: CREATE, file_size: 4096, ..MapOptions::default() };
    assert_eq!(map(&path, &grow).expect_err("refused").errno, libc::ENODEV);
    assert!(!was_opened());

    drop(
        std::fs::File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .expect("opened"),
    );
    assert!(was_opened(), "the watch works");
}

pub fn a_writer_that_waits_for_a_fifo_is_not_woken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = fifo(folder.path());
    let writer = AtomicI32::new(0);
    std::thread::scope(|scope| {
        let written = scope.spawn(|| {
            // SAFETY: no preconditions.
            writer.store(unsafe { libc::gettid() }, SeqCst);
            let mut end = std::fs::File::options().write(true).open(&path)?;
            std::io::Write::write_all(&mut end, b"for a real reader")
        });
        // Asleep, which it can be in open(2) only.
        let state =
            || std::fs::read_to_string(format!("/proc/self/task/{}/stat", writer.load(SeqCst)));
        while !state()
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S")))
        {
            std::thread::yield_now();
        }
        assert_refused(&path, libc::ENODEV);
        // If a writer had been woken, it would have found no reader: EPIPE.
        assert_eq!(std::fs::read(&path).expect("read"), b"for a real reader");
        written.join().expect("no panic").expect("written");
    });
}

pub fn what_is_no_regular_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    for (path, kind) in [
        (&*path, "a socket"),
        (Path::new("/dev/zero"), "a character device"),
        (Path::new("/dev/null"), "a character device"),
    ] {
        assert_refused(path, libc::ENODEV);
        let failure = map_with(path, READ, 0).expect_err("refused");
        assert!(failure.message.contains(kind), "{failure:?}");
    }
    for path in [folder.path(), Path::new("/proc/self")] {
        assert_refused(path, libc::EISDIR);
    }
    // Some say they are empty, some that they have a page; of memory not even the first byte can be
    // read.
    for path in
        ["/proc/self/status", "/proc/version", "/proc/self/maps", "/proc/self/mem", SYS_FILE]
    {
        if Path::new(path).exists() {
            assert_cannot_be_mapped(path);
        }
    }
}

fn assert_cannot_be_mapped(path: &str) {
    for access in [READ, PRIVATE] {
        let failure =
            map_with(path, access, 0).expect_err("it has content, so an empty map would be wrong");
        assert_eq!(failure.errno, libc::ENODEV, "{path}: {failure:?}");
    }
}

/// The kernel's own answer would be EIO for these, which is for disks that fail.
pub fn a_part_of_a_file_of_proc_is_enodev_too() {
    for access in [READ, PRIVATE] {
        let options = MapOptions { access, length: 10, flags: BEYOND_EOF, ..MapOptions::default() };
        let failure = map("/proc/version", &options).expect_err("refused");
        assert_eq!(failure.errno, libc::ENODEV, "{failure:?}");
    }
}

/// Asserts that growing changes nothing. A file that cannot be mapped must not be changed on the
/// way to finding that out.
fn assert_growing_changes_nothing(path: &str, content: &str) {
    // Without root there may be no permission to write.
    if std::fs::File::options().write(true).open(path).is_err() {
        return println!(
            "SKIPPED: growing {path} writes nothing to it: it is not there, or not for this user"
        );
    }
    for flags in [0, NO_RESERVE, CREATE] {
        let options = MapOptions { access: WRITE, file_size: 8192, flags, ..MapOptions::default() };
        let failure = map(path, &options).expect_err("refused");
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), content, "flags {flags}");
        assert_eq!(failure.errno, libc::ENODEV, "{path}, flags {flags}: {failure:?}");
    }
}

pub fn growing_a_file_of_proc_writes_nothing_to_it() {
    std::fs::write("/proc/self/comm", "untouched").expect("written");
    assert_growing_changes_nothing("/proc/self/comm", "untouched\n");
}

pub fn growing_a_file_of_sys_writes_nothing_to_it() {
    let content = std::fs::read_to_string(SYS_FILE).unwrap_or_default();
    assert_growing_changes_nothing(SYS_FILE, &content);
}

/// The file says that it is empty, and cannot be read at its beginning, where no memory is.
pub fn growing_the_memory_of_a_process_is_enodev() {
    assert_growing_changes_nothing("/proc/self/mem", "");
}

pub fn no_file_is_enoent() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing");
    for access in [READ, WRITE, PRIVATE] {
        let failure = map_with(&path, access, 0).expect_err("refused");
        assert_eq!(failure.errno, libc::ENOENT);
        assert!(failure.message.contains(path.to_str().expect("UTF-8")), "{}", failure.message);
    }
    assert!(!path.exists());
}

pub fn paths_that_lead_nowhere_say_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let circle = folder.path().join("circle");
    symlink(&circle, &circle).expect("linked");
    let long = folder.path().join("n".repeat(300));
    for (access, flags) in EVERY_WAY {
        let errno = |path: &Path| map_with(path, access, flags).expect_err("refused").errno;
        assert_eq!(errno(Path::new("")), libc::ENOENT);
        assert_eq!(errno(&folder.path().join("no/such/folder")), libc::ENOENT);
        assert_eq!(errno(&file.join("below")), libc::ENOTDIR);
        assert_eq!(errno(&circle), libc::ELOOP);
        assert_eq!(errno(&long), libc::ENAMETOOLONG);
    }
}

pub fn symbolic_links_are_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "hello").expect("written");
    symlink("file", &link).expect("linked");
    for (access, flags) in EVERY_WAY.into_iter().filter(|(_, flags)| flags & BEYOND_EOF == 0) {
        assert_eq!(map_with(&link, access, flags).expect("mapped").bytes(), b"hello");
    }
}

pub fn a_dangling_link_is_an_error_even_when_creating() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    symlink("target", &link).expect("linked");
    for (access, flags) in EVERY_WAY {
        assert_eq!(map_with(&link, access, flags).expect_err("refused").errno, libc::ENOENT);
    }
    assert!(!target.exists() && link.is_symlink());
}

pub fn a_path_may_hold_any_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(OsStr::from_bytes(b"line\nbell\x07\xff end"));
    let failure = map_with(&path, READ, 0).expect_err("refused");
    assert_eq!(failure.errno, libc::ENOENT);
    assert!(
        !failure.message.contains('\n') && !failure.message.contains('\x07'),
        "{:?}",
        failure.message
    );
    std::fs::write(&path, "hello").expect("written");
    assert_eq!(map_with(&path, READ, 0).expect("mapped").bytes(), b"hello");
}

pub fn a_wrapped_descriptor_maps_by_its_path() {
    for (flags, backend) in [(0, AUTO), (READ_ONLY, AUTO), (0, TMPFILE)] {
        let fd = wrap_with(b"hello", flags, backend).expect("wrapped");
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let (read, private) = (map_with(&path, READ, 0), map_with(&path, PRIVATE, 0));
        let (read, private) = (read.expect("mapped"), private.expect("mapped"));
        private.store(0, b"J");
        drop(fd);
        assert_eq!((read.bytes(), private.bytes()), (b"hello".to_vec(), b"Jello".to_vec()));
    }
}

pub fn a_sealed_file_cannot_be_mapped_for_writing() {
    if !hosts::has_memfd() {
        return println!(
            "SKIPPED: sealed files cannot be mapped for writing: nothing can be sealed on this host"
        );
    }
    let fd = wrap_with(b"hello", 0, MEMFD).expect("wrapped");
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Without privileges the mode refuses before the seal does.
    let refused = [libc::EPERM, libc::EACCES];
    for file_size in [0, 5, 4096] {
        for flags in [0, NO_RESERVE] {
            let options = MapOptions { access: WRITE, file_size, flags, ..MapOptions::default() };
            let failure = map(&path, &options).expect_err("refused");
            assert!(refused.contains(&failure.errno), "{failure:?}");
        }
    }
    assert_eq!(crate::support::fd::content(&fd), b"hello");
}

pub fn a_map_outlives_the_name_of_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, "hello").expect("written");
    let map = map_with(&path, WRITE, 0).expect("mapped");
    drop(folder);
    assert!(!path.exists());
    map.store(4, b"!");
    assert_eq!(map.bytes(), b"hell!");
    map.flush(0, TO_END, libc::MS_SYNC).expect("flushed");
}

pub fn only_maps_for_writing_keep_a_descriptor() {
    let file = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
    std::fs::write(&file, "hello").expect("written");
    // Other tests open and close other files meanwhile.
    let open = || {
        let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").flatten();
        entries
            .filter(|entry| {
                std::fs::read_link(entry.path())
                    .is_ok_and(|link| link.as_os_str() == file.as_os_str())
            })
            .count()
    };
    let maps: Vec<_> = EVERY_WAY
        .iter()
        .map(|(access, flags)| map_with(&file, *access, *flags).expect("mapped"))
        .collect();
    let for_writing = EVERY_WAY.iter().filter(|(access, _)| *access == WRITE).count();
    assert_eq!(open(), for_writing);
    map(&file, &MapOptions { offset: 6, ..MapOptions::default() }).expect_err("refused");
    assert_eq!(open(), for_writing);
    drop(maps);
    assert_eq!(open(), 0);
}

/// The file refuses shared mappings.
pub fn what_has_no_shared_mappings_is_mapped_for_reading() {
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    let Ok(content) = std::fs::read(BTF) else { return println!("SKIPPED: {BTF}: there is none") };
    match map(BTF, &MapOptions::default()) {
        Ok(map) => assert!(map.bytes() == content),
        // Kernels before 6.16 have no mappings of it at all.
        Err(failure) => assert_eq!(failure.errno, libc::ENODEV, "{failure:?}"),
    }
}

pub fn an_empty_map_begins_with_a_page() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for size in [0, 1, 4999] {
        std::fs::write(&file, pattern(size)).expect("written");
        for access in [READ, WRITE, PRIVATE] {
            let map =
                map(&file, &MapOptions { offset: size as u64, access, ..MapOptions::default() })
                    .expect("mapped");
            assert!(
                map.length() == 0 && map.data().addr().is_multiple_of(page_size()),
                "{:?}",
                map.data()
            );
        }
    }
    let mut map = map_with(&file, WRITE, 0).expect("mapped");
    map.resize(0).expect("shrunk");
    assert!(map.data().addr().is_multiple_of(page_size()));
    map.resize(5).expect("grown");
    assert_eq!(map.bytes(), [0; 5]);
}

pub fn a_map_with_a_descriptor_knows_how_long_the_file_is_now() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for (access, flags) in [(READ, GUARD), (PRIVATE, GUARD), (WRITE, 0), (WRITE, GUARD)] {
        std::fs::write(&file, pattern(9000)).expect("written");
        let map = map_with(&file, access, flags).expect("mapped");
        for size in [9000, 10, 0, 20_000] {
            file.as_file().set_len(size).expect("another length");
            assert_eq!(map.file_size().expect("known"), size);
        }
    }
    for access in [READ, PRIVATE] {
        let map = map_with(&file, access, 0).expect("mapped");
        assert_eq!(map.file_size().expect_err("no descriptor").errno, libc::EBADF);
    }
    assert_eq!(super::kinds::private(5).file_size().expect_err("no file").errno, libc::EBADF);
    if hosts::has_memfd() {
        assert_eq!(
            memory(5000, &MapOptions::default()).expect("memory").file_size().expect("known"),
            5000
        );
    }
}

pub fn a_guarded_map_reads_what_the_file_has_now() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(9000)).expect("written");
    for access in [READ, WRITE, PRIVATE] {
        file.as_file().set_len(9000).expect("grown");
        let map = map_with(&file, access, GUARD).expect("mapped");
        file.as_file().set_len(10).expect("cut");
        let mut seen = vec![0xaa; page_size().min(9000)];
        assert_eq!(map.read(0, &mut seen).expect("read"), 10);
        assert!(seen[10..].iter().all(|byte| *byte == 0xaa));
        for at in [10, 11, 5000] {
            assert_eq!(map.read(at, &mut [0]).expect_err("gone").errno, libc::EIO);
        }
        map.check().expect("no page was lost");
    }
}
