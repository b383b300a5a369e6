//! Does everything at once, for as many rounds as are set. What a process holds must not grow.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::faults::conditions::*;
use crate::pool::{Pool, check_content};
use crate::support::abi::*;
use crate::support::fd::{content, pattern, wrap};
use crate::support::map::{map, memory};
use crate::support::named::*;
use crate::support::rounds;
use crate::support::share::{receive, send};
use crate::tests;

tests![; alone: eight_threads_beside_forks_and_kills_hold_no_more_in_the_end];

const THREADS: usize = 8;

/// The things of which a process can hold more and more.
#[derive(Debug)]
struct Held {
    descriptors: BTreeMap<String, usize>,
    mappings: usize,
    names: Vec<String>,
    memory: u64,
}

impl Held {
    fn now() -> Held {
        let mut descriptors = BTreeMap::new();
        for fd in open_descriptors() {
            let link = std::fs::read_link(format!("/proc/self/fd/{fd}"))
                .expect("open")
                .display()
                .to_string();
            *descriptors.entry(link).or_default() += 1;
        }
        let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
        let names = Path::new("/dev/shm").read_dir().expect("/dev/shm").flatten();
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        Held {
            descriptors,
            mappings: maps.lines().count(),
            names: names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
            memory: memory.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10,
        }
    }
}

/// Makes one of everything, with content that distinguishes this thread and round from all others.
fn work(pool: &Pool, path: &Path, thread: usize, round: usize) {
    let bytes = vec![(thread * 31 + round) as u8 | 1; 1 + (round * 641 + thread * 977) % 70_000];
    let fd = wrap(&bytes, &WrapOptions::default()).expect("wrapped");
    assert!(content(&fd) == bytes);
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    send(&ours, b"!", &[&fd]).expect("sent");
    assert!(content(&receive(&theirs, 1, 1).expect("received").1[0]) == bytes);
    pool.scan(&bytes, |fd| check_content(fd, &bytes));
    let lent = pool.begin(0, &bytes);
    check_content(lent.fd, &bytes);
    for flags in [0, GUARD] {
        let mapped = map(path, &MapOptions { flags, ..MapOptions::default() }).expect("mapped");
        assert_eq!(mapped.part(0, 5), pattern(5));
    }
    let mut made = memory(bytes.len(), &MapOptions::default()).expect("memory");
    made.store(0, &bytes);
    made.resize(bytes.len() + 5000).expect("grown");
    drop(made.seal_timeout(-1).expect("sealed"));
    let owned = ShmOptions { flags: SHM_CREATE | SHM_OWNED, length: 100, ..ShmOptions::default() };
    drop(shm_open(&format!("soak-{thread}-{}", std::process::id()), &owned).expect("opened"));
    drop(tempfile(&bytes, None).expect("created"));
    let transient =
        SysvOptions { flags: SYSV_CREATE | SYSV_TRANSIENT, length: 100, ..SysvOptions::default() };
    drop(
        map_sysv(libc::IPC_PRIVATE, &SysvOptions { access: WRITE, ..transient }).expect("attached"),
    );
    if round.is_multiple_of(16) {
        pool.trim(0);
        sweep().expect("swept");
    }
}

/// Forks a child of a process with many threads. The child scans with what it inherited, and ends
/// or is killed at some moment.
fn fork_and_kill(pool: &Pool, path: &Path, round: usize) {
    // SAFETY: the C library keeps its allocator whole in a child, and nothing else that others may
    // have locked is used.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    let is_killed = !round.is_multiple_of(2);
    if child == 0 {
        // A child that is killed never comes to an end by itself.
        let rounds = if is_killed { usize::MAX } else { 2 };
        (0..rounds).for_each(|round| work(pool, path, THREADS, round));
        // SAFETY: nothing of the parent's is run at its end.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: our own child, not waited for yet.
    unsafe {
        if is_killed {
            std::thread::sleep(std::time::Duration::from_micros((round * 7919 % 5003) as u64));
            assert_eq!(libc::kill(child, libc::SIGKILL), 0);
        }
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
    }
    assert!(libc::WIFSIGNALED(status) == is_killed, "status {status:#x}");
    assert!(libc::WIFSIGNALED(status) || libc::WEXITSTATUS(status) == 0, "status {status:#x}");
}

fn everything(pool: &Pool, path: &Path, count: usize) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|thread| {
            scope.spawn(move || (0..count).for_each(|round| work(pool, path, thread, round)))
        });
        let threads: Vec<_> = threads.collect();
        let forks = scope.spawn(|| {
            for round in 0.. {
                if is_done.load(Relaxed) {
                    break;
                }
                fork_and_kill(pool, path, round);
                assert!(Command::new("/bin/true").status().expect("started").success());
            }
        });
        threads.into_iter().for_each(|thread| thread.join().expect("it works"));
        is_done.store(true, Relaxed);
        forks.join().expect("it works");
    });
    pool.trim(0);
    // This removes what the killed children have left, and the names that no process has open.
    sweep().expect("swept");
}

pub fn eight_threads_beside_forks_and_kills_hold_no_more_in_the_end() {
    let _shm = hide("/dev/shm", "mode=1777");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, pattern(100_000)).expect("written");
    let pool = Pool::new(1 << 20);
    let count = rounds(60);
    everything(&pool, &path, count);
    let before = Held::now();
    everything(&pool, &path, 2 * count);
    let after = Held::now();
    println!("{THREADS} threads, {} rounds: {before:?}, then {after:?}", 3 * count);
    assert_eq!((&after.descriptors, &after.names), (&before.descriptors, &before.names));
    // The C library keeps some memory of threads for the next threads: a mapping or two for each,
    // and no more with more rounds.
    assert!(
        after.mappings <= before.mappings + 2 * THREADS,
        "{} after {}",
        after.mappings,
        before.mappings
    );
    assert!(
        after.memory <= before.memory + (8 << 20),
        "{} after {} bytes",
        after.memory,
        before.memory
    );
}
