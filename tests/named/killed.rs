//! A process that is killed at any moment, while others share what it has.

use std::fs::File;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::wrap;
use crate::support::map::Map;
use crate::support::named::*;
use crate::support::rounds;

const FOR_EVER: i64 = -1;

/// Makes and shares everything, again and again; or waits for its end when it has everything for the first time.
fn work(locked: &std::path::Path, shared: &Map, stays: bool) -> i32 {
    let own = File::options().read(true).write(true).open(locked).expect("opened");
    loop {
        let named = ShmOptions { how: SHM_CREATE, flags: SHM_OWNER, length: 10_000, ..ShmOptions::default() };
        let (table, name) = shm_open_named("table", &named).expect("made");
        let linked = link(b"hello", Some(c".db")).expect("linked");
        std::fs::write(linked.path().with_file_name("journal"), "").expect("written");
        let owned = SysvOptions { how: SYSV_CREATE, flags: SYSV_OWNER, ..SysvOptions::default() };
        let options = SysvOptions { access: WRITE, length: 10_000, ..owned };
        let (segment, number) = map_sysv(0, &options).expect("made");
        sysv_remove(number).expect("removed");
        drop(wrap(b"hello", &WrapOptions { backend: SHM, ..WrapOptions::default() }).expect("wrapped"));
        lock(&own, 0, 10, LOCK_EXCLUSIVE).expect("locked");
        word(shared, 0).fetch_add(1, SeqCst);
        wake(word(shared, 0).as_ptr(), u32::MAX).expect("woken");
        if stays {
            sleep_for_ever()
        }
        drop((segment, linked, table));
        unlock(&own, 0, 10).expect("unlocked");
        shm_unlink(&name).expect("unlinked");
    }
}

/// Takes the same lock again and again, and counts.
fn take_turns(locked: &std::path::Path, shared: &Map) -> i32 {
    let own = File::options().read(true).write(true).open(locked).expect("opened");
    loop {
        lock(&own, 0, 0, LOCK_EXCLUSIVE).expect("locked");
        word(shared, 1).fetch_add(1, SeqCst);
        unlock(&own, 0, 0).expect("unlocked");
        wake(word(shared, 1).as_ptr(), u32::MAX).expect("woken");
    }
}

/// Numbers of the segments that a process has made.
fn segments_of(process: libc::pid_t) -> Vec<i32> {
    let list = std::fs::read_to_string("/proc/sysvipc/shm").expect("/proc is mounted");
    let lines = list.lines().skip(1).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let made = lines.filter(|fields| fields[4] == process.to_string());
    made.map(|fields| fields[1].parse().expect("a number")).collect()
}

pub fn a_process_killed_at_any_moment_leaves_nothing_that_is_not_swept() {
    let _shm = hide("/dev/shm", "mode=1777");
    let locked = tempfile::NamedTempFile::new().expect("a file");
    let shared = shared(4096);
    let other = Child::new(|_| take_turns(locked.path(), &shared));
    // How long a round takes here, from the start of the process on.
    let (start, first) = (Instant::now(), Child::new(|_| work(locked.path(), &shared, true)));
    wait(word(&shared, 0).as_ptr(), 0, FOR_EVER).expect("it works");
    let (round, process) = (start.elapsed(), first.process());
    first.kill();
    assert!(sweep().expect("swept") > 0, "it had everything");
    assert_eq!(segments_of(process), [0; 0]);
    for moment in 0..rounds(100) as u32 {
        let child = Child::new(|_| work(locked.path(), &shared, false));
        // Any moment will do: this only spreads them over a round.
        std::thread::sleep(round * (moment * 7919 % 5003) / 2000);
        let process = child.process();
        child.kill();

        sweep().expect("swept");
        let names = std::fs::read_dir("/dev/shm").expect("/dev/shm").flatten().map(|entry| entry.file_name());
        assert_eq!(names.collect::<Vec<_>>(), [""; 0]);
        assert_eq!(segments_of(process), [0; 0]);

        // Who waited for the lock has it, and goes on.
        let turns = word(&shared, 1);
        let before = turns.load(SeqCst);
        while turns.load(SeqCst).wrapping_sub(before) < 2 {
            let value = turns.load(SeqCst);
            wait(turns.as_ptr(), value, FOR_EVER).expect("it goes on");
        }
        // Who waits for a word with a time limit comes back.
        let steps = word(&shared, 0);
        let failure = wait(steps.as_ptr(), steps.load(SeqCst), 1000).expect_err("its waker is gone");
        assert_eq!(failure.errno, libc::ETIMEDOUT);
    }
    other.kill();
}
