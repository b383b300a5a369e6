//! Tests hosts that allow no file system of the pool's own. If it was asked for, the refused step
//! is named; otherwise it is not missed.

use super::*;
use crate::support::hosts::{kill_at, refuse, refuse_flags, refuse_value};

/// A step of the setup, in the order in which the steps are made: the name, the function that makes
/// it fail, and the errors to try.
type Step = (&'static str, fn(c_int), &'static [c_int]);

const USUAL: &[c_int] = &[libc::EPERM, libc::ENOSYS, libc::EACCES, libc::EINVAL, libc::ENOSPC];

/// The flags that the library gives to clone(2). Threads of the C library are not refused. It
/// starts them with clone3 on some processors and with clone on others.
const CHILD: u64 = (libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_VFORK) as u64;

const STEPS: [Step; 9] = [
    ("madvise MADV_WIPEONFORK", |errno| refuse(libc::SYS_madvise, errno), &[libc::EINVAL]),
    ("clone", |errno| refuse_value(libc::SYS_clone, 0, CHILD, errno), USUAL),
    ("unshare", |errno| refuse(libc::SYS_unshare, errno), USUAL),
    ("fsopen", |errno| refuse(libc::SYS_fsopen, errno), USUAL),
    ("fsconfig", |errno| refuse(libc::SYS_fsconfig, errno), USUAL),
    ("fsmount", |errno| refuse(libc::SYS_fsmount, errno), USUAL),
    ("open_tree", |errno| refuse(libc::SYS_open_tree, errno), USUAL),
    ("mount_setattr", |errno| refuse(libc::SYS_mount_setattr, errno), USUAL),
    // The first file.
    (
        "a first file",
        |errno| refuse_flags(libc::SYS_openat, 2, libc::O_EXCL as u64, errno),
        &[libc::EPERM, libc::EACCES],
    ),
];

/// Kernels up to 6.14 first mount the file system in the namespace of the child. Later kernels also
/// do so if their own way is refused. The second attempt then fails as well, but these steps come
/// before it.
const STEPS_IN_BETWEEN: [Step; 2] = [
    ("mount MS_PRIVATE", |errno| refuse(libc::SYS_mount, errno), &[libc::EPERM, libc::EACCES]),
    ("move_mount", |errno| refuse(libc::SYS_move_mount, errno), &[libc::EPERM, libc::ENOSYS]),
];

fn is_refused(step: &str) {
    let before = crate::faults::conditions::open_descriptors();
    for _ in 0..3 {
        let failure = Pool::with(&options(POOL_NEW_FILES)).map(drop).unwrap_err();
        assert_eq!((failure.errno, failure.op.as_str()), (libc::EOPNOTSUPP, step), "{failure:?}");
    }
    assert_eq!(crate::faults::conditions::open_descriptors(), before);
    assert_no_children();
}

pub fn each_step_that_is_refused_is_named() {
    let later = |step: &Step| step.0 == "mount_setattr" || step.0 == "a first file";
    for has_rights in [true, false] {
        let alone = |refuse: &dyn Fn(), step: &str| {
            in_fork(|| {
                if !has_rights {
                    become_nobody();
                }
                refuse();
                is_refused(step);
            });
        };
        for step in STEPS.iter().filter(|step| has_mount_setattr() || !later(step)) {
            let (name, refuse, errnos) = step;
            for errno in
                errnos.iter().filter(|errno| *name != "open_tree" || **errno != libc::EINVAL)
            {
                alone(&|| refuse(*errno), name);
            }
        }
        for (name, refuse_step, errnos) in STEPS_IN_BETWEEN {
            for errno in errnos {
                let both = || {
                    refuse(libc::SYS_open_tree, libc::EINVAL);
                    refuse_step(*errno);
                };
                alone(&both, name);
            }
        }
        alone(&|| refuse(libc::SYS_open_tree, libc::EINVAL), "open_tree");
    }
}

/// Only a process that needs a user namespace writes these texts. They have different lengths, by
/// which a filter tells them apart.
pub fn each_text_that_is_refused_is_named() {
    for (step, text) in
        [("write setgroups", "deny"), ("write uid_map", "0 65534 1"), ("write gid_map", "0 7 1")]
    {
        in_fork(|| {
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::setresgid(7, 7, 7) }, 0, "this test needs root");
            // SAFETY: as above.
            unsafe {
                assert_eq!(libc::setresuid(65_534, 65_534, 65_534), 0);
                assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
            }
            refuse_value(libc::SYS_write, 2, text.len() as u64, libc::EPERM);
            is_refused(step);
        });
    }
}

/// A filter that kills ends only the child, and not the program.
pub fn a_step_at_which_the_child_is_killed_is_named() {
    if !has_mount_setattr() {
        // Linux before 5.16 ends all processes that share memory, if it writes a core file.
        return;
    }
    let steps = [
        ("unshare", libc::SYS_unshare),
        ("fsopen", libc::SYS_fsopen),
        ("fsmount", libc::SYS_fsmount),
        ("open_tree", libc::SYS_open_tree),
        ("mount_setattr", libc::SYS_mount_setattr),
    ];
    for (step, number) in steps {
        in_fork(|| {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) }, 0);
            kill_at(number);
            is_refused(step);
            auto_reuses_files();
        });
    }
}

/// Scans of sizes and in numbers that make a pool try everything.
fn scans_as_ever(pool: &Pool) {
    let large = bytes_of(0, 4 << 20);
    (0..60).for_each(|_| pool.scan(&large, |fd| assert!(!is_new(fd))));
    for (round, size) in [0, 5000, 100_000, 1 << 20, 100_000, 5000].into_iter().enumerate() {
        let bytes = bytes_of(round, size);
        pool.scan(&bytes, |fd| {
            check(fd, &bytes);
            assert!(!is_new(fd));
        });
    }
    assert_no_children();
}

fn auto_reuses_files() {
    let pool = Pool::with(&options(POOL_AUTO)).unwrap();
    scans_as_ever(&pool);
    assert!(!has_memfd() || pool.counts().hits > 0, "{:?}", pool.counts());
}

pub fn where_a_step_is_refused_auto_scans_all_the_same() {
    in_fork(|| {
        give_up_rights();
        // This process is like one after setuid(2): it may not map its user.
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }, 0);
        let pool = Pool::with(&options(POOL_AUTO)).unwrap();
        let bytes = bytes_of(0, 4 << 20);
        for _ in 0..60 {
            pool.scan(&bytes, |fd| {
                assert!(content(&duplicate(fd)) == bytes && metadata(&duplicate(fd)).nlink() == 0)
            });
        }
        assert_no_children();
    });
    in_fork(|| {
        become_nobody();
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a valid limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &none) }, 0);
        auto_reuses_files();
    });
}

pub fn where_a_step_is_refused_later_scans_get_memfds() {
    for (name, refuse, errnos) in STEPS.iter().filter(|step| step.0 != "madvise MADV_WIPEONFORK") {
        with_new_files(|pool| {
            let bytes = bytes_of(0, 100_000);
            scan_new(&pool, &bytes, |fd| check(fd, &bytes));
            refuse(errnos[0]);
            pool.trim(0);
            for round in 0..20 {
                let bytes = bytes_of(round, 100_000);
                pool.scan(&bytes, |fd| {
                    assert!(!is_new(fd), "{name}");
                    check(fd, &bytes);
                });
            }
            let lent = begin_stream(&pool, &pool.options(0), &bytes, 0).expect("a stream");
            check(lent.fd, &bytes);
            assert_no_children();
        });
    }
}

/// A filter may kill the process that makes a call, instead of refusing it.
pub fn auto_tries_nothing_where_calls_are_filtered() {
    in_fork(|| {
        refuse(libc::SYS_uname, libc::EPERM);
        auto_reuses_files();
        // Who asks for it takes the risk.
        if let Some(pool) = try_new_files(1 << 20) {
            let bytes = bytes_of(0, 100_000);
            scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        }
    });
}

/// A process that has given up its rights is not dumpable, so that its files in /proc are root's.
pub fn a_process_that_may_not_map_its_user_is_refused() {
    in_fork(|| {
        give_up_rights();
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }, 0);
        is_refused("write setgroups");
        // SAFETY: as above.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
    });
}

pub fn in_a_chroot_it_works_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("proc")).unwrap();
    for has_rights in [true, false] {
        in_fork(|| {
            let mounted = crate::faults::conditions::mounted(
                c"proc",
                c"proc",
                &folder.path().join("proc"),
                "",
            )
            .unwrap();
            // It ends with the namespace of this child.
            std::mem::forget(mounted);
            std::os::unix::fs::chroot(folder.path()).expect("this test needs root");
            std::env::set_current_dir("/").unwrap();
            if !has_rights {
                become_nobody();
                return is_refused("unshare");
            }
            match Pool::with(&options(POOL_NEW_FILES)) {
                Ok(pool) => {
                    let bytes = bytes_of(0, 100_000);
                    scan_new(&pool, &bytes, |fd| check(fd, &bytes));
                }
                // The file system has to be mounted somewhere first, and the root is no mount of
                // its own that could be made private.
                Err(failure) => {
                    let expected = if has_mount_setattr() {
                        ["mount MS_PRIVATE"; 2]
                    } else {
                        ["mount_setattr", "mount MS_PRIVATE"]
                    };
                    assert!(expected.contains(&failure.op.as_str()), "{failure:?}");
                    is_refused(&failure.op);
                }
            }
        });
    }
}

pub fn without_processes_to_be_had_it_is_refused_and_tried_again() {
    in_fork(|| {
        become_nobody();
        // SAFETY: all-zero is a valid limit, and it is writable.
        let before = unsafe {
            let mut before: libc::rlimit = std::mem::zeroed();
            assert_eq!(libc::getrlimit(libc::RLIMIT_NPROC, &mut before), 0);
            before
        };
        let limit = |count| {
            let limit = libc::rlimit { rlim_cur: count, ..before };
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) }, 0);
        };
        limit(0);
        is_refused("clone");
        let pool = Pool::with(&options(POOL_AUTO)).unwrap();
        for round in 0..100 {
            let bytes = bytes_of(round, 1 << 20);
            pool.scan(&bytes, |fd| {
                assert!(!is_new(fd));
                check(fd, &bytes);
            });
        }
        limit(before.rlim_cur);
        if has_mount_setattr() {
            let bytes = bytes_of(0, 1 << 20);
            scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        }
    });
}

pub fn where_the_next_child_would_begin_a_namespace_it_is_refused() {
    in_fork(|| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0, "this test needs root");
        is_refused("stat pid_for_children");
        auto_reuses_files();
        // The first child is the first process there, and the namespace ends with it.
        in_fork(|| assert_eq!(std::process::id(), 1));
    });
}

/// Gives up one capability for good: `CAP_SYS_ADMIN`, without which mounting needs a user
/// namespace.
fn give_up_mounting() {
    let header = [0x2008_0522u32, 0];
    let mut sets = [0u32; 6];
    // SAFETY: as long as the structs of capset(2), version 3.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()), 0);
        (0..3).for_each(|set| sets[set] &= !(1 << 21));
        assert_eq!(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()), 0);
    }
}

/// Plays a server that starts as root and becomes another user. Its file system may know root
/// alone.
pub fn a_process_that_gives_up_its_rights_goes_on_with_memfds() {
    for may_mount in [true, false] {
        for method in [POOL_NEW_FILES, POOL_AUTO] {
            in_fork(|| {
                if !may_mount {
                    give_up_mounting();
                }
                if !has_mount_setattr() {
                    return;
                }
                let pool = Pool::with(&options(method)).unwrap();
                let bytes = bytes_of(0, 1 << 20);
                scan_new(&pool, &bytes, |fd| check(fd, &bytes));
                let lent = begin_new(&pool, &bytes);
                give_up_rights();
                assert_eq!(content(&duplicate(lent.fd)), bytes);
                for round in 0..300 {
                    let bytes = bytes_of(round, 100_000);
                    pool.scan(&bytes, |fd| check(fd, &bytes));
                    if round % 10 == 0 {
                        let lent =
                            begin_stream(&pool, &pool.options(0), &bytes, 0).expect("a stream");
                        check(lent.fd, &bytes);
                    }
                }
                assert_no_children();
            });
        }
    }
}
