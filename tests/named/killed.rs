//! Kills a process at any moment, while others share what it has.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use crate::faults::conditions::*;
use crate::support::abi::{self, *};
use crate::support::fd::wrap;
use crate::support::hosts::refuse_flags;
use crate::support::map::Map;
use crate::support::named::*;
use crate::support::rounds;

const FOR_EVER: i64 = -1;

/// The bit of O_TMPFILE that no other flag has.
const O_TMPFILE_ALONE: u64 = 0o20000000;

/// The folders that a sweep looks into.
const SWEPT: [&str; 3] = ["/dev/shm", "/tmp", "/var/tmp"];

/// Makes, lends and shares everything, again and again. With `stays`, waits for its end when it has
/// everything for the first time.
fn work(locked: &File, shared: &Map, stays: bool) -> i32 {
    let own = reopened(locked);
    let mut pool = null_mut();
    // SAFETY: a writable pointer.
    assert_eq!(unsafe { (abi::load().pool_create)(std::ptr::null(), &mut pool, null_mut()) }, 0);
    loop {
        let made = wraps_of_every_backend();
        scan(null_mut());
        scan(pool);
        let named =
            ShmOptions { flags: SHM_NEW | SHM_OWNED, length: 10_000, ..ShmOptions::default() };
        let (table, name) = shm_open_named("table", &named).expect("made");
        let file = tempfile(b"hello", Some(c".db")).expect("created");
        std::fs::write(file.path().with_file_name("journal"), "").expect("written");
        let transient = SysvOptions {
            flags: SYSV_CREATE | SYSV_TRANSIENT,
            length: 100,
            access: WRITE,
            ..SysvOptions::default()
        };
        let segment = map_sysv(libc::IPC_PRIVATE, &transient).expect("attached");
        lock(&own, 0, 10, libc::LOCK_EX).expect("locked");
        word(shared, 0).fetch_add(1, SeqCst);
        wake(word(shared, 0).as_ptr(), u32::MAX).expect("woken");
        if stays {
            sleep_for_ever()
        }
        drop((made, file, table, segment));
        unlock(&own, 0, 10).expect("unlocked");
        shm_unlink(&name).expect("unlinked");
    }
}

fn wraps_of_every_backend() -> Vec<OwnedFd> {
    let with = |backend| wrap(b"hello", &WrapOptions { backend, ..WrapOptions::default() });
    [AUTO, SHM, TMPFILE].map(|backend| with(backend).expect("wrapped")).into()
}

fn scan(pool: *mut std::ffi::c_void) {
    unsafe extern "C" fn nothing(_: i32, _: *mut std::ffi::c_void) -> i32 {
        0
    }
    let options = WrapOptions { pool, ..WrapOptions::default() };
    // SAFETY: five bytes, a callback that takes any context, valid options.
    let status = unsafe {
        (abi::load().scan_bytes)(
            c"hello".as_ptr().cast(),
            5,
            Some(nothing),
            null_mut(),
            &options,
            null_mut(),
        )
    };
    assert_eq!(status, 0);
}

/// Opens a description of its own, although the file has no name.
fn reopened(file: &File) -> File {
    use std::os::fd::AsRawFd;
    File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .expect("opened")
}

/// Takes the same lock again and again, and counts.
fn take_turns(locked: &File, shared: &Map) -> i32 {
    let own = reopened(locked);
    loop {
        lock(&own, 0, UNLIMITED, libc::LOCK_EX).expect("locked");
        word(shared, 1).fetch_add(1, SeqCst);
        unlock(&own, 0, UNLIMITED).expect("unlocked");
        wake(word(shared, 1).as_ptr(), u32::MAX).expect("woken");
    }
}

fn names_in_swept_folders() -> BTreeSet<PathBuf> {
    let entries = SWEPT.iter().flat_map(|folder| Path::new(folder).read_dir().expect("a folder"));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Returns the numbers of the segments that no process has attached.
fn unattached_segments() -> Vec<i32> {
    let list = std::fs::read_to_string("/proc/sysvipc/shm").expect("/proc is mounted");
    let fields = list.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields[6] == "0")
        .map(|fields| fields[1].parse().expect("a number"))
        .collect()
}

/// A sweep removes all that was left, and nothing else. It cannot find a segment that was made and
/// not yet marked, because its owner is unknown. There is at most one for each kill, and the test
/// removes it.
pub fn a_process_killed_at_any_moment_leaves_nothing_that_is_not_swept() {
    let locked = tempfile::tempfile().expect("a file");
    // SAFETY: concerns this process and its children, which end with the test.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } != 0 {
        skip(format_args!("no namespace of segments: {}", std::io::Error::last_os_error()));
    }
    let _swept = SWEPT.map(|folder| hide(folder, "mode=1777"));
    let shared = shared(4096);
    let other = Child::new(|_| take_turns(&locked, &shared));
    // These must not be swept: a process holds them, or no process owns them.
    let (_held, _) =
        shm_open_named("held", &ShmOptions { flags: SHM_NEW | SHM_OWNED, ..ShmOptions::default() })
            .expect("made");
    let _file = tempfile(b"hello", None).expect("created");
    shm_open("plain", &ShmOptions { flags: SHM_NEW, ..ShmOptions::default() }).expect("made");
    let before = names_in_swept_folders();
    assert_eq!(before.len(), 3);

    // How long a round takes here, from the start of the process on.
    let (start, first) = (Instant::now(), Child::new(|_| work(&locked, &shared, true)));
    wait(word(&shared, 0).as_ptr(), 0, FOR_EVER).expect("it works");
    let round = start.elapsed();
    first.kill();
    assert_eq!(sweep().expect("swept"), 2, "it had everything");
    let (mut left, mut segments) = (0, 0);
    for moment in 0..rounds(500) as u32 {
        let child = Child::new(|_| {
            if moment % 2 == 1 {
                refuse_flags(libc::SYS_openat, 2, O_TMPFILE_ALONE, libc::EOPNOTSUPP);
            }
            work(&locked, &shared, false)
        });
        // Any moment will do: this only spreads them over a round.
        std::thread::sleep(round * (moment * 7919 % 5003) / 2000);
        child.kill();

        let swept = sweep_result();
        assert_eq!((swept.in_use, swept.failed), (2, 0));
        assert_eq!(names_in_swept_folders(), before);
        left += swept.removed;
        let unattached = unattached_segments();
        assert!(unattached.len() <= 1, "{unattached:?}");
        segments += unattached.len();
        unattached.into_iter().for_each(|number| sysv_remove(number).expect("removed"));

        // Who waited for the lock has it, and goes on.
        let turns = word(&shared, 1);
        let before = turns.load(SeqCst);
        while turns.load(SeqCst).wrapping_sub(before) < 2 {
            let value = turns.load(SeqCst);
            wait(turns.as_ptr(), value, FOR_EVER).expect("it goes on");
        }
        // Who waits for a word with a time limit comes back.
        let steps = word(&shared, 0);
        let failure =
            wait(steps.as_ptr(), steps.load(SeqCst), 1000).expect_err("its waker is gone");
        assert_eq!(failure.errno, libc::ETIMEDOUT);
    }
    assert!(left > 0, "none of the kills left anything");
    println!(
        "{} kills: {left} names were left and swept, {segments} segments had no mark yet",
        rounds(500)
    );
    other.kill();
}
