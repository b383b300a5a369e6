//! Tests that the program sees nothing of the setup.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

use super::*;

/// Asserts that there is no child, not even one that has ended.
pub fn assert_no_children() {
    for flags in [0, libc::__WALL] {
        // SAFETY: NULL where it may be.
        let waited = unsafe { libc::waitpid(-1, null_mut(), flags | libc::WNOHANG) };
        let errno = std::io::Error::last_os_error().raw_os_error();
        assert_eq!((waited, errno), (-1, Some(libc::ECHILD)));
    }
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static ELSEWHERE: AtomicUsize = AtomicUsize::new(0);
static PROCESS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_signal(_: c_int) {
    SIGNALS.fetch_add(1, SeqCst);
    // SAFETY: no preconditions. Asks the kernel, and not memory that a child shares.
    if unsafe { libc::syscall(libc::SYS_getpid) } as usize != PROCESS.load(SeqCst) {
        ELSEWHERE.fetch_add(1, SeqCst);
    }
}

fn handle(signal: c_int) {
    PROCESS.store(std::process::id() as usize, SeqCst);
    // SAFETY: the handler makes system calls and uses atomics only.
    unsafe { libc::signal(signal, on_signal as extern "C" fn(c_int) as libc::sighandler_t) };
}

/// Returns all that a process can ask about itself and that the setup might change.
fn state() -> Vec<String> {
    let mut seen: Vec<String> =
        ["mountinfo", "uid_map", "gid_map", "setgroups", "limits", "cgroup"]
            .map(|file| std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default())
            .into();
    for kind in ["mnt", "user", "pid", "net", "ipc", "uts"] {
        seen.push(format!(
            "{:?}",
            std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap()
        ));
    }
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let stays = |line: &&str| {
        let words = [
            "Umask",
            "Uid",
            "Gid",
            "Groups",
            "Threads",
            // Not SigQ, which counts signals of all processes of this user.
            "SigPnd",
            "SigBlk",
            "SigIgn",
            "SigCgt",
            "Shd",
            "Cap",
            "NoNewPrivs",
            "Seccomp",
        ];
        words.iter().any(|word| line.starts_with(word)) && !line.starts_with("Seccomp_filters")
    };
    seen.extend(status.lines().filter(stays).map(String::from));
    // SAFETY: touches no memory.
    seen.push(format!("dumpable {}", unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }));
    seen.push(format!("{:?} {:?}", std::env::current_dir(), std::fs::read_link("/proc/self/root")));
    seen
}

pub fn nothing_of_the_setup_is_seen() {
    with_new_files(|warm| {
        drop(warm);
        handle(libc::SIGCHLD);
        let descriptors = crate::faults::conditions::open_descriptors();
        let before = state();
        // SAFETY: this thread's own.
        unsafe { *libc::__errno_location() = 7777 };
        let pool = Pool::with(&options(POOL_NEW_FILES)).unwrap();
        assert_eq!(state(), before);
        let bytes = bytes_of(0, 100_000);
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        pool.trim(0);
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        drop(pool);
        assert_eq!(state(), before);
        assert_eq!(crate::faults::conditions::open_descriptors(), descriptors);
        assert_eq!(SIGNALS.load(SeqCst), 0, "SIGCHLD");
        assert_no_children();
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        assert_eq!(children, "");
    });
}

pub fn many_threads_and_signals_do_not_disturb_the_setup() {
    with_new_files(|warm| {
        drop(warm);
        // For the whole group, so that they would find a child, too.
        for signal in [libc::SIGUSR1, libc::SIGALRM, libc::SIGCHLD] {
            handle(signal);
        }
        SIGNALS.store(0, SeqCst);
        // SAFETY: a group of this process' own, and a timer of its own.
        unsafe {
            libc::setpgid(0, 0);
            let often = libc::timeval { tv_sec: 0, tv_usec: 2000 };
            let timer = libc::itimerval { it_interval: often, it_value: often };
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()), 0);
        }
        let is_over = AtomicBool::new(false);
        let shared = Pool::with(&options(POOL_NEW_FILES)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    // SAFETY: the group of this process.
                    unsafe { libc::kill(0, libc::SIGUSR1) };
                    // Others get on with their work in an emulated machine, too.
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
            });
            let workers: Vec<_> = (0..4)
                .map(|thread| {
                    scope.spawn(move || {
                        for round in 0..rounds(25) {
                            let pool = Pool::with(&options(POOL_NEW_FILES)).unwrap();
                            let bytes = bytes_of(thread * 1000 + round, 70_000);
                            scan_new(&pool, &bytes, |fd| check_content(fd, &bytes));
                        }
                    })
                })
                .collect();
            // These threads share one pool, which is trimmed meanwhile.
            let pool = &shared;
            let sharing: Vec<_> = (0..3)
                .map(|thread| {
                    scope.spawn(move || {
                        for round in 0..rounds(300) {
                            let bytes = bytes_of(thread * 1000 + round, 4096 + round * 400);
                            pool.scan(&bytes, |fd| check_content(fd, &bytes));
                            if round % 50 == 0 {
                                pool.trim(0);
                            }
                        }
                    })
                })
                .collect();
            let ended: Vec<_> =
                workers.into_iter().chain(sharing).map(|thread| thread.join()).collect();
            is_over.store(true, Relaxed);
            assert!(ended.into_iter().all(|outcome| outcome.is_ok()));
        });
        // SAFETY: all-zero ends the timer.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &std::mem::zeroed(), null_mut()) };
        assert!(SIGNALS.load(SeqCst) > 0);
        assert_eq!(ELSEWHERE.load(SeqCst), 0, "no handler ran in a child");
        assert_no_children();
    });
}

pub fn a_process_with_mounts_of_its_own_can_have_one() {
    in_fork(|| {
        let folder = tempfile::tempdir().unwrap();
        let mounted = crate::faults::conditions::hide(folder.path(), "size=100k");
        let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        if let Some(pool) = try_new_files(1 << 20) {
            let bytes = bytes_of(0, 100_000);
            scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        }
        assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
        drop(mounted);
    });
}
