//! Tests owned names: which processes hold them, and what a sweep removes when no process does.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd;
use crate::support::hosts::{refuse, refuse_flags};
use crate::support::map::map_fd;
use crate::support::named::*;
use crate::support::rounds;
use crate::support::share::{receive, send};

const PREFIX: &str = "bytefd-owned.";

/// The bit of O_TMPFILE that no other flag has.
const O_TMPFILE_ALONE: u64 = 0o20000000;

fn owned(label: &str) -> (OwnedFd, String) {
    let options = ShmOptions {
        flags: SHM_NEW | SHM_OWNED,
        access: WRITE,
        length: 10,
        ..ShmOptions::default()
    };
    shm_open_named(label, &options).expect("made")
}

/// Returns the names in /dev/shm, in order.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").expect("/dev/shm").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Makes a name that no process holds. A sweep would remove it.
fn dead_name() -> String {
    let end = Child::new(|_| {
        std::mem::forget(owned("dead"));
        0
    })
    .end();
    assert_eq!(end, End::Exited(0));
    let dead = format!("{PREFIX}dead");
    assert!(names().contains(&dead));
    dead
}

/// Forks a child that has made owned memory and a temporary file, and lives.
fn maker(label: &str) -> Child {
    let mut child = Child::new(|to| {
        let made = (owned(label), tempfile(b"hello", Some(c".txt")).expect("created"));
        std::fs::write(made.1.path().with_file_name("beside"), "").expect("written");
        std::fs::create_dir(made.1.path().with_file_name("folder")).expect("made");
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    child
}

/// Returns how many names the sweep of a child removes. A name that no process holds can be removed
/// by any process.
fn swept() -> i32 {
    match Child::new(|_| sweep().expect("swept")).end() {
        End::Exited(removed) => removed,
        killed => panic!("{killed:?}"),
    }
}

pub fn what_nobody_owns_or_somebody_holds_is_left_alone() {
    let file = tempfile(b"hello", None).expect("created");
    sweep().expect("swept");
    assert!(file.path().exists());
    let Some(plain) = Name::new("plain") else { return };
    let making = ShmOptions { flags: SHM_NEW, ..ShmOptions::default() };
    shm_open(&plain.0, &making).expect("made");
    let (_fd, whole) = owned(&unique("living"));
    sweep().expect("swept");
    assert!(plain.path().exists() && path(&whole).exists() && file.path().exists());
    shm_unlink(&whole).expect("unlinked");
}

pub fn what_a_killed_process_has_left_is_swept_by_any_other() {
    let _shm = hide("/dev/shm", "mode=1777");
    for in_child in [false, true] {
        let (killed, living) = (maker("killed"), maker("living"));
        let before = names();
        assert_eq!(before.len(), 4);
        killed.kill();
        assert_eq!(names(), before, "nobody cleans up after who is killed");
        assert_eq!(if in_child { swept() } else { sweep().expect("swept") }, 2);
        assert_eq!(names().len(), 2, "those of the living");
        assert_eq!(sweep().expect("swept"), 0);
        living.kill();
        assert_eq!(sweep().expect("swept"), 2);
        assert!(names().is_empty());
    }
}

/// A sweep removes only files and folders, and only those with the beginning of owned names.
pub fn what_is_named_otherwise_or_is_no_file_is_not_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let mut strange =
        vec!["table".to_string(), "bytefd".into(), "bytefd-owned".into(), format!("x{PREFIX}dead")];
    strange.iter().for_each(|name| drop(File::create(path(name)).expect("made")));
    std::os::unix::fs::symlink("/nowhere", path(&format!("{PREFIX}link"))).expect("a link");
    let fifo = std::ffi::CString::new(format!("/dev/shm/{PREFIX}fifo")).expect("no NUL");
    // SAFETY: a string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    strange.extend([format!("{PREFIX}link"), format!("{PREFIX}fifo")]);
    strange.sort();
    let dead = dead_name();
    assert_eq!(sweep().expect("swept"), 1, "only {dead}");
    assert_eq!(names(), strange);
}

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

/// The parent has not waited for the holder; the kernel has closed what it had.
pub fn a_holder_that_nobody_has_waited_for_is_gone() {
    let _shm = hide("/dev/shm", "mode=1777");
    let child = maker("table");
    // SAFETY: our own child, not waited for yet.
    unsafe { libc::kill(child.process(), libc::SIGKILL) };
    while state(child.process()) != 'Z' {
        std::thread::yield_now();
    }
    assert_eq!(sweep().expect("swept"), 2);
    assert!(names().is_empty());
    assert_eq!(child.end(), End::Killed(libc::SIGKILL));
}

/// The holder looks like a process that has not been waited for.
pub fn a_holder_whose_first_thread_has_ended_is_not_gone() {
    let _shm = hide("/dev/shm", "mode=1777");
    let child = Child::new(|_| {
        std::mem::forget(owned("table"));
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

/// An open file description ends with its last descriptor and its last mapping, in whatever process
/// these are.
pub fn what_holds_a_name_is_its_description() {
    let _shm = hide("/dev/shm", "mode=1777");
    let held = |what: &str| {
        assert_eq!((swept(), names().len()), (0, 1), "held by {what}");
        assert_eq!(sweep_result().in_use, 1);
    };
    let gone = |what: &str| assert_eq!((swept(), names().len()), (1, 0), "{what} is gone");

    let (table, _) = owned("table");
    held("a descriptor");
    let again = table.try_clone().expect("dup");
    drop(table);
    held("a duplicate");
    let map = map_fd(again.as_raw_fd(), &MapOptions::default()).expect("mapped");
    drop(again);
    held("a mapping for reading");
    drop(map);
    gone("the mapping");

    let (table, _) = owned("table");
    let child = Child::new(|_| sleep_for_ever());
    drop(table);
    held("a child that was forked meanwhile");
    child.kill();
    gone("the child");

    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let (table, _) = owned("table");
    send(&ours, b"!", &[&table]).expect("sent");
    drop(table);
    held("a message in flight");
    let received = receive(&theirs, 1, 1).expect("received");
    held("its receiver");
    drop(received);
    gone("the receiver's descriptor");

    let (table, _) = owned("table");
    send(&ours, b"!", &[&table]).expect("sent");
    drop((table, ours, theirs));
    gone("a message that nobody has read");

    let file = tempfile(b"hello", None).expect("created");
    held("the process that has created a temporary file");
    drop(file);
    assert!(names().is_empty());
}

/// Several descriptors can own a name. A descriptor from another kind of open does not count.
pub fn the_last_that_owns_a_name_holds_it() {
    let _shm = hide("/dev/shm", "mode=1777");
    for access in [READ, WRITE] {
        let opening = ShmOptions { flags: SHM_OWNED, access, ..ShmOptions::default() };
        let either = ShmOptions { flags: SHM_OWNED | SHM_CREATE, ..opening };
        let (first, whole) = owned("table");
        let second = shm_open("table", &opening).expect("opened");
        let third = shm_open("table", &either).expect("opened");
        let other =
            shm_open(&whole, &ShmOptions { access, ..ShmOptions::default() }).expect("opened");
        for owner in [first, second, third] {
            assert_eq!(swept(), 0);
            drop(owner);
        }
        assert_eq!(swept(), 1, "who has opened it by its whole name does not hold it");
        assert!(fd::metadata(&other).nlink() == 0 && names().is_empty());
    }
}

/// Descriptors are made with close-on-exec, so the new program does not have this one.
pub fn a_holder_that_executes_another_program_keeps_what_that_inherits() {
    let _shm = hide("/dev/shm", "mode=1777");
    for is_inherited in [true, false] {
        let child = Child::new(|_| {
            let (table, _) = owned("table");
            if is_inherited {
                // SAFETY: touches no memory.
                assert_eq!(unsafe { libc::fcntl(table.as_raw_fd(), libc::F_SETFD, 0) }, 0);
            }
            let script = c"while :; do /bin/true; done";
            // SAFETY: strings and a final NULL.
            unsafe {
                libc::execl(
                    c"/bin/sh".as_ptr(),
                    c"sh".as_ptr(),
                    c"-c".as_ptr(),
                    script.as_ptr(),
                    std::ptr::null::<i8>(),
                )
            }
        });
        let program = format!("/proc/{}/comm", child.process());
        child.wait_until(|| std::fs::read_to_string(&program).expect("/proc is mounted") == "sh\n");
        if is_inherited {
            assert_eq!(swept(), 0);
            child.kill();
            // The program that it has started has it too, and ends by itself.
            while swept() == 0 {
                std::thread::yield_now();
            }
        } else {
            // The kernel ends the lock when the new program first runs.
            child.wait_until(|| swept() == 1);
            child.kill();
        }
        assert!(names().is_empty());
    }
}

/// Process numbers mean something else in each container, and neither sees the other's /proc.
pub fn a_name_is_held_across_containers() {
    let _shm = hide("/dev/shm", "mode=1777");
    let (_outside, _) = owned("outside");
    // SAFETY: touches no memory; concerns children only.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        skip(format_args!("no namespace of process numbers: {}", std::io::Error::last_os_error()));
    }
    let mut child = Child::new(|to| {
        // SAFETY: no preconditions.
        assert_eq!(unsafe { libc::getpid() }, 1);
        let _inside = (owned("inside"), tempfile(b"hello", None).expect("created"));
        assert_eq!(sweep_result().in_use, 3);
        say(to, 1);
        sleep_for_ever()
    });
    child.hear();
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use, swept.failed), (0, 3, 0));
    child.kill();
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use, swept.failed), (2, 1, 0));
}

pub fn without_proc_names_are_made_held_and_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    let _proc = hide("/proc", "");
    assert_eq!(sweep().expect("swept"), 1, "{dead}");
    let (table, _) = owned("table");
    let file = tempfile(b"hello", None).expect("created");
    assert_eq!(swept(), 0);
    drop(table);
    assert_eq!(swept(), 1);
    assert_eq!(file.close(), 0);
    assert!(names().is_empty());
}

/// Sweeps beside processes that make, open and give up the same names all the time. A held name
/// stays.
pub fn a_sweep_beside_those_who_open_removes_nothing_that_is_held() {
    let _shm = hide("/dev/shm", "mode=1777");
    for has_tmpfile in [true, false] {
        let sweepers: Vec<_> = (0..2)
            .map(|_| {
                Child::new(|_| {
                    loop {
                        assert_eq!(sweep_result().failed, 0);
                    }
                })
            })
            .collect();
        let openers = (0..3).map(|number| {
            Child::new(move |_| {
                if !has_tmpfile {
                    refuse_flags(libc::SYS_openat, 2, O_TMPFILE_ALONE, libc::EOPNOTSUPP);
                }
                for round in 0..rounds(300) {
                    let access = [READ, WRITE][(number + round) % 2];
                    let options = ShmOptions {
                        flags: SHM_OWNED | SHM_CREATE,
                        access,
                        length: 10,
                        ..ShmOptions::default()
                    };
                    let (table, whole) = shm_open_named("table", &options).expect("opened");
                    let file = tempfile(b"hello", None).expect("created");
                    for _ in 0..round % 7 {
                        let found = std::fs::metadata(path(&whole)).expect("its name is there");
                        assert_eq!(found.ino(), fd::metadata(&table).ino());
                        assert_eq!(
                            std::fs::read(file.path()).expect("its name is there"),
                            b"hello"
                        );
                    }
                }
                0
            })
        });
        let openers: Vec<_> = openers.collect();
        openers.into_iter().for_each(|child| assert_eq!(child.end(), End::Exited(0)));
        sweepers.into_iter().for_each(Child::kill);
        sweep().expect("swept");
        assert!(names().is_empty());
    }
}

/// A name with a foreign exclusive lock can be neither held nor swept.
pub fn what_somebody_else_has_locked_exclusively_is_ebusy() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    let file = File::open(path(&dead)).expect("opened");
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) }, 0);
    let options = ShmOptions { flags: SHM_OWNED, ..ShmOptions::default() };
    let failure = leaves_nothing(|| shm_open("dead", &options).expect_err("locked"));
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EBUSY, "flock"));
    assert!(failure.message.contains(&dead), "{}", failure.message);
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use), (0, 1));
    drop(file);
    shm_open("dead", &options).expect("opened");
    assert_eq!(sweep().expect("swept"), 1);
}

/// Plays a process that is killed at that moment, where there is no O_TMPFILE.
pub fn hidden_names_are_swept_wherever_they_are_made() {
    let chosen = tempfile::tempdir().expect("a folder");
    let child = Child::new(|_| {
        let _hidden = ["/dev/shm", "/var/tmp", "/tmp"].map(|folder| hide(folder, "mode=1777"));
        std::fs::create_dir_all(chosen.path()).expect("made");
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var("TMPDIR", chosen.path()) };
        for folder in
            [Path::new("/dev/shm"), Path::new("/tmp"), Path::new("/var/tmp"), chosen.path()]
        {
            File::create(folder.join(format!("{PREFIX}0123"))).expect("made");
        }
        let swept = sweep_result();
        assert_eq!((swept.removed, swept.failed), (4, 0));
        // One directory by two names is swept once.
        // SAFETY: as above.
        unsafe { std::env::set_var("TMPDIR", "/var/../tmp/.") };
        let _held = ShmHeld::new("/tmp");
        assert_eq!(sweep_result().in_use, 1);
        // SAFETY: as above.
        unsafe { std::env::set_var("TMPDIR", "/no/such/folder") };
        assert_eq!(sweep_result().failed, 0);
        0
    });
    assert_eq!(child.end(), End::Exited(0));
}

/// A name in a folder that is held.
struct ShmHeld(#[expect(dead_code, reason = "the lock lives as long")] File);

impl ShmHeld {
    fn new(folder: &str) -> ShmHeld {
        let file = File::create(Path::new(folder).join(format!("{PREFIX}held"))).expect("made");
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH) }, 0);
        ShmHeld(file)
    }
}

/// The owner of a file may lock it if the mode lets the owner open it at all.
pub fn names_of_any_mode_are_swept() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can become another user");
    }
    let _shm = hide("/dev/shm", "mode=1777");
    as_nobody(|| {
        for mode in [0o200, 0o400, 0o600, 0] {
            let name = path(&format!("{PREFIX}{mode:o}"));
            File::create(&name).expect("made");
            std::fs::set_permissions(&name, std::fs::Permissions::from_mode(mode)).expect("chmod");
        }
        let swept = sweep_result();
        assert_eq!((swept.removed, swept.failed), (3, 1), "what cannot be opened is counted");
    });
    assert_eq!(names(), [format!("{PREFIX}0")]);
    // A name with such a mode cannot be made either.
    let options = ShmOptions { flags: SHM_NEW | SHM_OWNED, mode: 0o60, ..ShmOptions::default() };
    let failure = leaves_nothing(|| shm_open("table", &options).expect_err("refused"));
    assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "mode"));
}

/// Plays a file system without flock(2): a name that cannot be held is not made.
pub fn without_flock_nothing_is_owned() {
    let _shm = hide("/dev/shm", "mode=1777");
    let dead = dead_name();
    let child = Child::new(|_| {
        refuse(libc::SYS_flock, libc::ENOLCK);
        let options = ShmOptions { flags: SHM_NEW | SHM_OWNED, ..ShmOptions::default() };
        let failure = leaves_nothing(|| shm_open("table", &options).expect_err("no lock"));
        assert_eq!((failure.errno, failure.op.as_str()), (libc::ENOLCK, "flock"));
        assert_eq!(
            leaves_nothing(|| tempfile(b"hello", None).expect_err("no lock")).errno,
            libc::ENOLCK
        );
        let swept = sweep_result();
        assert_eq!((swept.removed, swept.failed), (0, 1));
        0
    });
    assert_eq!(child.end(), End::Exited(0));
    assert_eq!(names(), [dead]);
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
    // A user without the right does not sweep it either, but sweeps the rest.
    chown(path(&dead), Some(0), None).expect("chown");
    let theirs = path(&format!("{dead}-theirs"));
    File::create(&theirs).expect("made");
    chown(&theirs, Some(65534), None).expect("chown");
    assert_eq!(as_nobody(|| sweep().expect("swept")), 1);
    assert_eq!(names(), [dead]);
}

pub fn a_sweep_fills_no_struct_that_is_too_small() {
    let mut swept =
        SweepResult { size: size_of::<SweepResult>() - 1, removed: 77, in_use: 77, failed: 77 };
    let mut error = Error::untouched();
    // SAFETY: a writable struct, and a writable error.
    let status = unsafe { (load().sweep)(&mut swept, &mut error) };
    assert_eq!((status, error.op(), swept.removed), (-libc::EINVAL, "result", 77));
}

/// Plays a directory for temporary files that may be written, but not listed.
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
    assert_eq!(names(), [format!("{dead}-stuck"), living.trim_start_matches('/').to_string()]);

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

/// Returns the name that a child of the user nobody leaves.
fn dead_name_of_nobody() -> String {
    Child::new(|_| {
        std::mem::forget(owned("nobodys"));
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

/// Three users share a host. One of them has left a directory behind, and has mounted in it what
/// belongs to another.
pub fn each_user_sweeps_what_is_its_own_and_nothing_that_is_mounted() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        skip("only root can give a file to another user");
    }
    let _shm = hide("/dev/shm", "mode=1777");
    const USERS: [u32; 3] = [0, 65533, 65534];
    for user in USERS {
        let file = path(&format!("{PREFIX}{user}-file"));
        File::create(&file).expect("made");
        let folder = path(&format!("{PREFIX}{user}-folder"));
        std::fs::create_dir(&folder).expect("made");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        std::fs::write(folder.join("data"), b"hello").expect("written");
        std::fs::create_dir(folder.join("mounted")).expect("made");
        for path in [&file, &folder, &folder.join("data"), &folder.join("mounted")] {
            chown(path, Some(user), None).expect("chown");
        }
    }
    let aim = Path::new("/dev/shm/aim");
    std::fs::create_dir(aim).expect("made");
    std::fs::write(aim.join("kept"), b"kept").expect("written");
    // The user nobody may not remove the first, and may remove the second.
    chown(aim, Some(65534), None).expect("chown");
    chown(aim.join("kept"), Some(65534), None).expect("chown");
    let folder_of = |user: u32| path(&format!("{PREFIX}{user}-folder"));
    let mounted = folder_of(65534).join("mounted");
    bind(aim, &mounted);

    let (removed, failed) = as_nobody(|| {
        let swept = sweep_result();
        (swept.removed, swept.failed)
    });
    assert_eq!((removed, failed), (1, 1), "its file; of its folder what is not mounted");
    assert!(aim.join("kept").exists() && mounted.join("kept").exists());
    assert!(!folder_of(65534).join("data").exists());
    let swept = sweep_result();
    assert_eq!((swept.removed, swept.in_use, swept.failed), (2, 0, 0), "root's, and nobody else's");
    let left = [
        "aim".into(),
        format!("{PREFIX}65533-file"),
        format!("{PREFIX}65533-folder"),
        format!("{PREFIX}65534-folder"),
    ];
    assert_eq!(names(), left);
    assert_eq!(std::fs::read(folder_of(65533).join("data")).expect("read"), b"hello");
    unmount(&mounted);
}
