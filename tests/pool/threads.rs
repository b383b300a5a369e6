//! Tests many scans at once, in one process and beside others.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::mpsc;

use super::*;

pub fn scans_nest_with_one_pool() {
    fn nest(pool: &Pool, depth: usize) {
        let bytes = bytes_of(depth, depth * 3000);
        pool.scan(&bytes, |fd| {
            check(fd, &bytes);
            if depth < 10 {
                nest(pool, depth + 1);
                nest(pool, depth + 1);
            }
            check(fd, &bytes);
        });
    }
    let pool = Pool::new(PLENTY);
    nest(&pool, 0);
    let counts = pool.counts();
    assert_eq!((counts.hits + counts.misses, counts.dropped), (2047, 0));
    assert!(!has_memfd() || counts.misses < 100, "{counts:?}");
}

pub fn threads_share_a_pool_and_never_mix() {
    const THREADS: usize = 8;
    let scans = rounds(500);
    let pool = Pool::new(PLENTY);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..scans {
                    let bytes = vec![
                        (thread * 31 + round) as u8 | 1;
                        1 + (round * 641 + thread * 977) % 30_000
                    ];
                    pool.scan(&bytes, |fd| {
                        if round % 10 == 0 {
                            check(fd, &bytes);
                        } else {
                            check_content(fd, &bytes);
                        }
                    });
                }
            });
        }
    });
    let counts = pool.counts();
    let all = (THREADS * scans) as u64;
    assert_eq!(counts.hits + counts.misses, all);
    if has_memfd() {
        assert_eq!(counts.dropped, 0);
        assert_eq!(
            memory_files().iter().map(|(fd, ..)| memory_of(*fd)).sum::<u64>(),
            counts.cached_bytes
        );
        assert!(counts.misses * 20 < all, "{counts:?}");
    }
}

pub fn a_scan_does_not_wait_for_the_callback_of_another() {
    for flags in [0, crate::support::abi::TRUST_CALLBACK] {
        let pool = Pool::new(PLENTY);
        pool.scan_with(flags, b"warm", |_| {});
        let (entered, is_entered) = mpsc::channel();
        let (let_go, may_go) = mpsc::channel::<()>();
        let (done, is_done) = mpsc::channel();
        let pool = &pool;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                pool.scan_with(flags, b"held up", |fd| {
                    entered.send(()).unwrap();
                    may_go.recv().expect("let go");
                    check_content(fd, b"held up");
                });
            });
            is_entered.recv().unwrap();
            scope.spawn(move || {
                for round in 0..100 {
                    let bytes = bytes_of(round, round * 100);
                    pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
                }
                pool.trim(0);
                pool.counts();
                done.send(()).unwrap();
            });
            is_done.recv().expect("the other thread is done while a callback runs");
            let_go.send(()).unwrap();
        });
    }
}

pub fn what_one_thread_begins_another_may_end() {
    let pool = Pool::new(PLENTY);
    for round in 0..100 {
        let bytes = bytes_of(round, 1000 + round);
        let lent = pool.begin(0, &bytes);
        let bytes = &bytes;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                check(lent.fd, bytes);
                drop(lent);
            });
        });
    }
    assert!(!has_memfd() || pool.counts().hits == 99);
}

/// The pool must not exceed `max_bytes` even for a moment.
pub fn the_bound_holds_at_every_moment() {
    const BOUND: usize = 100_000;
    let pool = Pool::new(BOUND);
    let is_over = AtomicBool::new(false);
    let most = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (pool, is_over) = (&pool, &is_over);
            scope.spawn(move || {
                for round in 0..rounds(1000) {
                    let bytes = vec![thread as u8; 1 + (round * 7919) % 60_000];
                    pool.scan(&bytes, |_| {});
                }
                is_over.store(true, Relaxed);
            });
        }
        while !is_over.load(Relaxed) {
            most.fetch_max(pool.counts().cached_bytes as usize, Relaxed);
        }
    });
    assert!(
        most.load(Relaxed) <= BOUND,
        "{} bytes were kept, the bound is {BOUND}",
        most.load(Relaxed)
    );
}

/// Scans beside another process that opens all our descriptors, again and again.
fn scan_beside_an_opener(flags: c_int, after_each: impl Fn(&Pool)) -> Pool {
    let pool = Pool::new(PLENTY);
    let parent = std::process::id();
    // All numbers this process may use for it; what else it has is not harmed by being opened.
    let paths: Vec<_> = (3..16)
        .map(|fd| std::ffi::CString::new(format!("/proc/{parent}/fd/{fd}")).unwrap())
        .collect();
    let child = fork(|| {
        // SAFETY: touches no memory.
        while unsafe { libc::getppid() } as u32 == parent {
            for path in &paths {
                // SAFETY: a string; what is opened is closed.
                unsafe {
                    libc::close(libc::open(
                        path.as_ptr(),
                        flags | libc::O_NONBLOCK | libc::O_CLOEXEC,
                    ))
                };
            }
        }
    });
    for round in 0..rounds(1500) {
        let bytes = bytes_of(round, 1 + round * 13 % 20_000);
        pool.scan(&bytes, |fd| check_content(fd, &bytes));
        after_each(&pool);
    }
    // SAFETY: a child of ours that has not been waited for.
    unsafe {
        assert_eq!(libc::kill(child, libc::SIGKILL), 0);
        assert_eq!(libc::waitpid(child, null_mut(), 0), child);
    }
    pool
}

/// Opening the files breaks leases. Whatever signal this sends, it must not end this process, which
/// has all dispositions as a process is born with them.
pub fn a_process_that_opens_everything_does_no_harm() {
    for flags in [libc::O_RDONLY, libc::O_RDWR, libc::O_PATH] {
        scan_beside_an_opener(flags, |_| {});
    }
}

/// If another process opens a file while it is made, the file cannot be proved to be ours alone.
/// The next one can.
pub fn a_process_that_opens_everything_does_not_end_the_reuse() {
    // So that this is tested even where that signal comes.
    // SAFETY: no handler is given.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    for flags in [libc::O_RDONLY, libc::O_RDWR] {
        // Every scan needs a new file.
        let pool = scan_beside_an_opener(flags, |pool| pool.trim(0));
        assert!(!has_memfd() || pool.lends_again(), "flags {flags:#x}: {:?}", pool.counts());
    }
}

/// A process that is being started holds all descriptors until it executes its program. A file that
/// is new in that moment cannot be proved to be ours alone. The next one can.
pub fn programs_started_meanwhile_do_not_end_the_reuse() {
    // Keeps nothing, so that every scan needs a new file.
    let (pool, is_over) = (Pool::new(0), AtomicBool::new(false));
    let keeping = Pool::new(PLENTY);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds(100) {
                let mut program = Command::new("true");
                assert!(program.stdin(Stdio::null()).status().unwrap().success());
            }
            is_over.store(true, Relaxed);
        });
        let mut round = 0;
        while !is_over.load(Relaxed) {
            round += 1;
            let bytes = bytes_of(round, 1 + round % 100);
            pool.scan(&bytes, |fd| check_content(fd, &bytes));
            // Held by a description of its own, so that the next scan needs a new file too.
            keeping.scan(&bytes, |fd| {
                check_content(fd, &bytes);
                // SAFETY: closes what is opened, after the lent one.
                drop(duplicate(fd));
            });
            keeping.trim(0);
        }
    });
    assert!(!has_memfd() || keeping.lends_again(), "{:?}", keeping.counts());
}
