//! Uses objects with names, segments, locks and words.

use std::ffi::{CString, c_int};
use std::os::fd::AsRawFd;

use super::maps::OnDisk;
use super::wraps::{no_unnamed_files, small};
use super::{Scenario, Stage, bare, scenarios};
use crate::support::abi::*;
use crate::support::fd::{mode, wrap_with};
use crate::support::map::memory;
use crate::support::named::{self, Child};

const MINUTE: i64 = 60_000_000_000;
const OBJECT: &str = "inject";

scenarios![
    "bytefd_shm_open: created": |stage| create(stage, SHM_NEW),
    "bytefd_shm_open: created, process-owned": |stage| create(stage, SHM_NEW | SHM_OWNED),
    "bytefd_shm_open: created where files must have names": |stage| {
        no_unnamed_files();
        create(stage, SHM_NEW);
    },
    "bytefd_shm_open: opened or created": |stage| create(stage, SHM_CREATE),
    "bytefd_shm_open: opened": |stage| {
        let _removed = made();
        let options = ShmOptions { length: 5000, access: WRITE, ..ShmOptions::default() };
        let fd = stage.call(|| named::shm_open(OBJECT, &options));
        assert!(fd.is_none_or(|fd| mode(&fd) == 0o600));
    },
    "bytefd_shm_unlink: an object": |stage| {
        let _removed = made();
        let gone = stage.call(|| named::shm_unlink(OBJECT)).is_some();
        assert_eq!(named::path(OBJECT).exists(), !gone);
    },
    "bytefd_sweep: what a killed process left": |stage| {
        let mut child = Child::new(|to| {
            end_with_parent();
            std::mem::forget(named::shm_open(
                "left",
                &ShmOptions { flags: SHM_NEW | SHM_OWNED, ..ShmOptions::default() },
            ));
            std::mem::forget(named::tempfile(&small(), None));
            named::say(to, 1);
            named::sleep_for_ever()
        });
        child.hear();
        child.kill();
        let swept = stage.call(named::sweep);
        // The next sweep removes what was not removed.
        let rest = named::sweep().expect("swept");
        assert!(swept.is_none_or(|count| count + rest == 2), "{swept:?} and {rest} removed");
    },
    "bytefd_sweep: where nothing is left": |stage| {
        assert!(stage.call(named::sweep).is_none_or(|count| count == 0));
    },
    "bytefd_tempfile_create: the defaults": |stage| {
        if let Some(file) = stage.call(|| named::tempfile(&small(), None)) {
            assert!(std::fs::read(file.path()).expect("a file") == small());
        }
    },
    "bytefd_tempfile_create: with a suffix, in /dev/shm": |stage| {
        let (suffix, directory) = (c".txt", c"/dev/shm");
        let options = TempfileOptions {
            suffix: suffix.as_ptr(),
            directory: directory.as_ptr(),
            mode: 0o644,
            ..TempfileOptions::default()
        };
        if let Some(file) = stage.call(|| named::tempfile_with(&small(), &options)) {
            assert!(std::fs::read(file.path()).expect("a file") == small());
        }
    },
    "bytefd_tempfile_path: of a file": |stage| {
        let file = named::tempfile(&small(), None).expect("a file");
        assert!(stage.call(|| Ok(file.path())).expect("cannot fail").exists());
    },
    "bytefd_tempfile_close: a file": |stage| {
        let file = named::tempfile(&small(), None).expect("a file");
        let path = file.path();
        let closed = stage.call(|| bare(file.close()));
        if closed.is_none() {
            // The call leaves what it could not remove.
            let folder = path.parent().expect("a folder");
            let _ = std::fs::remove_dir_all(folder);
        }
        assert!(!path.exists());
    },
    "bytefd_map_sysv: a new segment": |stage| segment(stage, SYSV_NEW),
    "bytefd_map_sysv: a transient segment": |stage| segment(stage, SYSV_NEW | SYSV_TRANSIENT),
    "bytefd_map_sysv: a segment by number": |stage| {
        let (map, number) = named::map_sysv(0, &new_segment(SYSV_NEW)).expect("a segment");
        let options = SysvOptions { flags: SYSV_BY_ID, access: READ, ..SysvOptions::default() };
        if let Some((map, _)) = stage.call(|| named::map_sysv(number, &options)) {
            assert!(map.bytes() == [0; 5000]);
        }
        drop(map);
        named::sysv_remove(number).expect("removed");
    },
    "bytefd_sysv_remove: a segment": |stage| {
        let (map, number) = named::map_sysv(0, &new_segment(SYSV_NEW)).expect("a segment");
        if stage.call(|| named::sysv_remove(number)).is_none() {
            named::sysv_remove(number).expect("removed at last");
        }
        drop(map);
    },
    "bytefd_export_dmabuf: a memory file": |stage| {
        if !std::path::Path::new("/dev/udmabuf").exists() {
            stage.skip("this host has no /dev/udmabuf");
        }
        let fd = wrap_with(&vec![1; 8192], WRITABLE, MEMFD).expect("a memory file");
        assert_eq!(
            // SAFETY: touches no memory.
            unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK) },
            0
        );
        stage.call(|| named::export_dmabuf(fd.as_raw_fd()));
    },
    "bytefd_file_lock: at once": |stage| lock(stage, libc::LOCK_EX | libc::LOCK_NB, -1, 0),
    "bytefd_file_lock: without a limit": |stage| lock(stage, libc::LOCK_SH, -1, 0),
    "bytefd_file_lock: in time": |stage| lock(stage, libc::LOCK_EX, MINUTE, 0),
    "bytefd_file_lock: interruptible": |stage| {
        stage.may_be_interrupted.set(true);
        lock(stage, libc::LOCK_EX, -1, INTERRUPTIBLE);
    },
    "bytefd_file_unlock: a lock": |stage| {
        let file = OnDisk::new();
        let file =
            std::fs::File::options().read(true).write(true).open(&file.path).expect("a file");
        named::lock(&file, 0, UNLIMITED, libc::LOCK_EX).expect("locked");
        stage.call(|| named::unlock(&file, 0, UNLIMITED));
    },
    "bytefd_futex_wait: until somebody wakes": |stage| wait(stage, -1, 0),
    "bytefd_futex_wait: until somebody wakes, in time": |stage| wait(stage, MINUTE, 0),
    "bytefd_futex_wait: until somebody wakes, interruptible": |stage| {
        stage.may_be_interrupted.set(true);
        wait(stage, -1, INTERRUPTIBLE);
    },
    "bytefd_futex_wake: nobody": |stage| {
        let map = memory(4096, &MapOptions::default()).expect("memory");
        let word = named::word(&map, 0).as_ptr();
        assert!(stage.call(|| named::wake(word, 1)).is_none_or(|count| count == 0));
    },
];

/// Removes the object.
struct Removed;

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(named::path(OBJECT));
    }
}

fn made() -> Removed {
    let options =
        ShmOptions { length: 5000, flags: SHM_NEW, access: WRITE, ..ShmOptions::default() };
    drop(named::shm_open(OBJECT, &options).expect("an object"));
    Removed
}

fn create(stage: &Stage, flags: u64) {
    let options = ShmOptions { length: 5000, flags, access: WRITE, ..ShmOptions::default() };
    if let Some((fd, name)) = stage.call(|| named::shm_open_named(OBJECT, &options)) {
        let path = named::path(&name);
        assert_eq!((mode(&fd), std::fs::read(&path).expect("an object")), (0o600, vec![0; 5000]));
        std::fs::remove_file(&path).expect("removed");
    }
}

fn new_segment(flags: u64) -> SysvOptions {
    SysvOptions { flags, access: WRITE, length: 5000, ..SysvOptions::default() }
}

fn segment(stage: &Stage, flags: u64) {
    if let Some((map, number)) = stage.call(|| named::map_sysv(0, &new_segment(flags))) {
        assert!(map.bytes() == [0; 5000]);
        drop(map);
        if flags & SYSV_TRANSIENT == 0 {
            named::sysv_remove(number).expect("removed");
        }
    }
}

fn lock(stage: &Stage, operation: c_int, timeout: i64, flags: u64) {
    let file = OnDisk::new();
    let file = std::fs::File::options().read(true).write(true).open(&file.path).expect("a file");
    let is_locked =
        stage.call(|| named::file_lock(&file, 0, 100, operation, timeout, flags)).is_some();
    // SAFETY: touches no memory but this struct.
    let found = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        (lock.l_type, lock.l_whence) = (libc::F_WRLCK as _, libc::SEEK_SET as _);
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("no NUL");
        let other = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        assert!(other >= 0 && libc::fcntl(other, libc::F_OFD_GETLK, &raw mut lock) == 0);
        libc::close(other);
        c_int::from(lock.l_type) != libc::F_UNLCK
    };
    assert_eq!(found, is_locked, "whether it is locked");
}

/// Ends this child with its parent, even if a fault kills the parent.
fn end_with_parent() {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }, 0);
}

/// Waits for a word, which a child wakes again and again.
fn wait(stage: &Stage, timeout: i64, flags: u64) {
    let map = memory(4096, &MapOptions::default()).expect("memory");
    let word = named::word(&map, 0).as_ptr();
    let waker = Child::new(|_| {
        end_with_parent();
        loop {
            named::wake(word, 1).expect("woken");
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    });
    stage.call(|| named::futex_wait(word, 0, timeout, flags));
    waker.kill();
}
