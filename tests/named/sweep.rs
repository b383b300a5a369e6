//! Names with an owner, and who removes them when.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::named::*;

fn owned(label: &str) -> (OwnedFd, String) {
    let options = ShmOptions { flags: SHM_NEW | SHM_OWNED, access: WRITE, length: 10, ..ShmOptions::default() };
    shm_open_named(label, &options).expect("made")
}

/// The names in /dev/shm, in order.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").expect("/dev/shm").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// A name of a process that is gone, which would be swept.
fn dead_name() -> String {
    Child::new(|_| {
        owned("dead");
        0
    })
    .end();
    let mut names = names();
    names.retain(|name| name.ends_with(".dead"));
    assert_eq!(names.len(), 1);
    names.remove(0)
}

/// A child that has made owned memory and a temporary file, and lives.
fn maker() -> Child {
    let mut child = Child::new(|to| {
        let made = (owned("table"), tempfile(b"hello", Some(c".txt")).expect("created"));
        std::fs::write(made.1.path().with_file_name("beside"), "").expect("written");
        std::fs::create_dir(made.1.path().with_file_name("folder")).expect("made");
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    child
}

pub fn what_has_no_owner_or_one_that_is_alive_is_left_alone() {
    let file = tempfile(b"hello", None).expect("created");
    sweep().expect("swept");
    assert!(file.path().exists());
    let Some(plain) = Name::new("plain") else { return };
    let making = ShmOptions { flags: SHM_NEW, ..ShmOptions::default() };
    shm_open(&plain.0, &making).expect("made");
    let (_fd, whole) = owned("living");
    sweep().expect("swept");
    assert!(plain.path().exists() && path(&whole).exists() && file.path().exists());
    shm_unlink(&whole).expect("unlinked");
}

pub fn what_a_killed_process_has_left_is_swept_by_any_other() {
    let _shm = hide("/dev/shm", "mode=1777");
    for in_child in [false, true] {
        let (killed, living) = (maker(), maker());
        let before = names();
        assert_eq!(before.len(), 4);
        killed.kill();
        assert_eq!(names(), before, "nobody cleans up after who is killed");
        let swept = || sweep().expect("swept");
        let removed = if in_child { Child::new(|_| swept()).end() } else { End::Exited(swept()) };
        assert_eq!(removed, End::Exited(2));
        assert_eq!(names().len(), 2, "those of the living");
        assert_eq!(sweep().expect("swept"), 0);
        living.kill();
        assert_eq!(sweep().expect("swept"), 2);
        assert!(names().is_empty());
    }
    // What is nobody's, or says what makes no sense, next to what would be swept.
    let dead = dead_name();
    let parts: Vec<_> = dead.split('.').collect();
    let mut strange = vec!["table".to_string(), "bytefd".into(), dead.replace("bytefd-of", "bytefd-off")];
    for part in 1..5 {
        for other in ["", "x", "-1", "+1", " 1", "1e3", "99999999999999999999999"] {
            let mut parts = parts.clone();
            parts[part] = other;
            strange.push(parts.join("."));
        }
    }
    // No process at all, and no label.
    strange.push([&parts[..3], &["0"], &parts[4..]].concat().join("."));
    strange.push(parts[..5].join("."));
    strange.iter().for_each(|name| drop(File::create(path(name)).expect("made")));
    // Neither memory nor a folder, though named so.
    std::os::unix::fs::symlink("/nowhere", path(&format!("{dead}-link"))).expect("a link");
    strange.push(format!("{dead}-link"));
    strange.sort();
    assert_eq!(sweep().expect("swept"), 1, "only {dead}");
    assert_eq!(names(), strange);
}

/// The label of a file of the SHM backend can be any bytes, and is cut off between any two.
pub fn names_that_are_no_text_are_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    for end in [&b".caf\xe9"[..], b"\xc3", b"\xff\xfe.0123"] {
        let name = [dead.as_bytes(), end].concat();
        File::create(Path::new("/dev/shm").join(std::ffi::OsStr::from_bytes(&name))).expect("made");
    }
    assert_eq!(sweep().expect("swept"), 4);
    assert!(names().is_empty());
}

pub fn an_owner_that_nobody_has_waited_for_is_gone() {
    let _shm = hide("/dev/shm", "mode=1777");
    let child = maker();
    // SAFETY: our own child, not waited for yet.
    unsafe { libc::kill(child.process(), libc::SIGKILL) };
    while state(child.process()) != 'Z' {
        std::thread::yield_now();
    }
    assert_eq!(sweep().expect("swept"), 2);
    assert!(names().is_empty());
    assert_eq!(child.end(), End::Killed(libc::SIGKILL));
}

/// It looks like one that nobody has waited for.
pub fn an_owner_whose_first_thread_has_ended_is_not_gone() {
    let _shm = hide("/dev/shm", "mode=1777");
    let child = Child::new(|_| {
        owned("table");
        std::thread::spawn(|| sleep_for_ever());
        // SAFETY: ends this thread only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
        unreachable!()
    });
    while state(child.process()) != 'Z' {
        std::thread::yield_now();
    }
    assert_eq!(sweep().expect("swept"), 0);
    assert_eq!(names().len(), 1);
    child.kill();
    assert_eq!(sweep().expect("swept"), 1);
}

pub fn an_owner_that_has_executed_another_program_is_not_gone() {
    let _shm = hide("/dev/shm", "mode=1777");
    let child = Child::new(|_| {
        owned("table");
        let script = c"while :; do /bin/true; done";
        // SAFETY: strings and a final NULL.
        unsafe {
            libc::execl(c"/bin/sh".as_ptr(), c"sh".as_ptr(), c"-c".as_ptr(), script.as_ptr(), std::ptr::null::<i8>())
        }
    });
    let program = format!("/proc/{}/comm", child.process());
    child.wait_until(|| std::fs::read_to_string(&program).expect("/proc is mounted") == "sh\n");
    assert_eq!(sweep().expect("swept"), 0);
    assert_eq!(names().len(), 1);
    child.kill();
    assert_eq!(sweep().expect("swept"), 1);
}

/// A name of 15 bytes, as the kernel cuts them off, can end within a character; and it can look like what follows it.
pub fn an_owner_of_any_name_is_known() {
    let _shm = hide("/dev/shm", "mode=1777");
    for name in [c"\xff\xfe", c") Z 1 1 1", c"a b) Z ((", c"12345678901234\xc3", c"new\nline"] {
        // SAFETY: a string.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, 0);
        let (_fd, whole) = owned("table");
        let file = tempfile(b"hello", None).expect("created");
        assert_eq!(Child::new(|_| sweep().expect("swept")).end(), End::Exited(0));
        assert!(file.path().exists());
        shm_unlink(&whole).expect("unlinked");
        drop(file);
        maker().kill();
        assert_eq!(sweep().expect("swept"), 2);
    }
}

/// To whom the machine was started at another time, this process was started at another time too.
pub fn an_owner_by_another_clock_is_not_gone() {
    const CLONE_NEWTIME: i32 = 0x80;
    let _shm = hide("/dev/shm", "mode=1777");
    let (_fd, whole) = owned("table");
    // SAFETY: touches no memory; concerns children only.
    if unsafe { libc::unshare(CLONE_NEWTIME) } != 0 {
        skip(format_args!("no namespace of time: {}", std::io::Error::last_os_error()));
    }
    std::fs::write("/proc/self/timens_offsets", "boottime 1000000 0").expect("another start");
    let mut child = Child::new(|to| {
        assert_eq!(sweep().expect("swept"), 0);
        owned("theirs");
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    assert_eq!(sweep().expect("swept"), 0);
    assert_eq!(names().len(), 2);
    child.kill();
    assert_eq!(sweep().expect("swept"), 1, "that nobody has the number is seen by any clock");
    assert!(path(&whole).exists());
}

pub fn memory_of_another_user_is_not_swept() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can give a file to another user");
    }
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    chown(path(&dead), Some(65534), None).expect("chown");
    assert_eq!(sweep().expect("swept"), 0);
    assert_eq!(names(), [dead.as_str()]);
    // Nor by one who may not, while the rest is swept.
    chown(path(&dead), Some(0), None).expect("chown");
    let theirs = path(&format!("{dead}-theirs"));
    File::create(&theirs).expect("made");
    chown(&theirs, Some(65534), None).expect("chown");
    assert_eq!(as_nobody(|| sweep().expect("swept")), 1);
    assert_eq!(names(), [dead]);
}

pub fn memory_of_another_container_is_not_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    let mut parts: Vec<String> = dead.split('.').map(String::from).collect();
    parts[1] = (parts[1].parse::<u64>().expect("a number") + 1).to_string();
    let theirs = parts.join(".");
    File::create(path(&theirs)).expect("made");
    assert_eq!(sweep().expect("swept"), 1);
    assert_eq!(names(), [theirs]);
}

pub fn without_proc_nothing_is_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    let proc = hide("/proc", "");
    assert_eq!(sweep().expect_err("no /proc").errno, libc::ENOENT);
    let failure = tempfile(b"hello", None).expect_err("no /proc");
    assert_eq!(failure.errno, libc::ENOENT);
    assert_eq!(names(), [dead.as_str()]);
    drop(proc);
    assert_eq!(sweep().expect("swept"), 1);
}

/// There a number is another process's.
pub fn with_the_proc_of_another_container_nothing_is_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    // SAFETY: touches no memory; concerns children only.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        skip(format_args!("no namespace of process numbers: {}", std::io::Error::last_os_error()));
    }
    let child = Child::new(|_| {
        assert_eq!(sweep().expect_err("not our /proc").errno, libc::ENOENT);
        assert_eq!(tempfile(b"hello", None).expect_err("not our /proc").errno, libc::ENOENT);
        0
    });
    assert_eq!(child.end(), End::Exited(0));
    assert!(Path::new("/dev/shm").join(&dead).exists());
    assert_eq!(sweep().expect("swept"), 1);
}

pub fn a_sweep_fills_no_struct_that_is_too_small() {
    let mut swept = SweepResult { size: size_of::<SweepResult>() - 1, removed: 77, in_use: 77, failed: 77 };
    let mut error = Error::untouched();
    // SAFETY: a writable struct, and a writable error.
    let status = unsafe { (load().sweep)(&mut swept, &mut error) };
    assert_eq!((status, error.op(), swept.removed), (-libc::EINVAL, "result", 77));
}

/// As where a directory for temporary files may be written, but not listed.
pub fn a_sweep_goes_on_after_a_failure_and_counts_it() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    let (_fd, living) = owned("living");
    // A name that root cannot remove either.
    let stuck = path(&format!("{dead}-stuck"));
    std::fs::create_dir_all(stuck.join("mounted")).expect("made");
    let _mounted = hide(stuck.join("mounted"), "mode=700");
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use, swept.failed), (1, 1, 1));
    assert_eq!(names(), [living.trim_start_matches('/').to_string(), format!("{dead}-stuck")]);

    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return println!("SKIPPED: root alone can become another user");
    }
    let _tmp = hide("/tmp", "mode=1733");
    let (removed, failed) = as_nobody(|| {
        drop(dead_name_of_nobody());
        let swept = sweep_result();
        (swept.removed, swept.failed)
    });
    assert_eq!((removed, failed), (1, 1), "what is in /dev/shm is swept, and /tmp cannot be read");
}

/// What a child of nobody leaves.
fn dead_name_of_nobody() -> String {
    Child::new(|_| {
        owned("nobodys");
        0
    })
    .end();
    names().into_iter().find(|name| name.ends_with(".nobodys")).expect("left")
}

pub fn what_is_mounted_in_a_directory_of_the_dead_is_not_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let aim = Path::new("/dev/shm/aim");
    std::fs::create_dir(aim).expect("made");
    std::fs::write(aim.join("kept"), "").expect("written");
    let mut child = Child::new(|to| {
        let file = tempfile(b"hello", None).expect("created");
        std::fs::create_dir(file.path().with_file_name("mounted")).expect("made");
        std::fs::write(file.path().with_file_name("beside"), "").expect("written");
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    child.kill();
    let left = names().into_iter().find(|name| name != "aim").expect("a directory");
    let mounted = path(&left).join("mounted");
    // Of the same file system, so that the device is the same.
    bind(aim, &mounted);
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use, swept.failed), (0, 0, 1));
    assert!(aim.join("kept").exists() && mounted.join("kept").exists(), "what is mounted stays");
    assert_eq!(std::fs::read_dir(path(&left)).expect("read").count(), 1, "and the rest is gone");
    unmount(&mounted);
    assert_eq!(sweep().expect("swept"), 1);
    assert!(aim.join("kept").exists() && !path(&left).exists());
}
