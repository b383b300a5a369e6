//! Tests hosts on which it cannot be proved that no other process holds a file: every scan has a
//! new file, as without a pool.

use super::*;
use crate::support::abi::TRUST_CALLBACK;
use crate::support::hosts::{refuse, refuse_flags, refuse_value};

/// <fcntl.h>, F_SETLEASE.
const SET_LEASE: u64 = 1024;

fn every_scan_has_a_new_file() {
    let pool = Pool::new(PLENTY);
    let mut kept = Vec::new();
    for round in 0..20 {
        for flags in [0, TRUST_CALLBACK] {
            let bytes = bytes_of(kept.len(), round * 999);
            pool.scan_with(flags, &bytes, |fd| {
                check(fd, &bytes);
                kept.push((bytes.clone(), duplicate(fd)));
            });
        }
    }
    for (bytes, fd) in &kept {
        assert!(content(fd) == *bytes);
    }
    let counts = pool.counts();
    assert_eq!((counts.hits, counts.misses, counts.cached_bytes), (0, 40, 0));
    pool.trim(0);
}

/// Unmounts /proc, in a mount namespace of its own.
fn lose_proc() {
    // SAFETY: valid strings and NULL where it may be.
    unsafe {
        assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "this test needs root");
        let private = libc::MS_REC | libc::MS_PRIVATE;
        assert_eq!(
            libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                c"none".as_ptr(),
                private,
                std::ptr::null()
            ),
            0
        );
        assert_eq!(libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH), 0);
    }
    assert!(std::fs::metadata("/proc/self").is_err());
}

pub fn without_proc_every_scan_has_a_new_file() {
    if !has_memfd() {
        return;
    }
    in_fork(|| {
        lose_proc();
        every_scan_has_a_new_file();
    });
}

pub fn where_leases_are_refused_every_scan_has_a_new_file() {
    for errno in [libc::EACCES, libc::EINVAL, libc::EPERM, libc::ENOLCK, libc::ENOSYS] {
        in_fork(|| {
            refuse_value(libc::SYS_fcntl, 1, SET_LEASE, errno);
            every_scan_has_a_new_file();
        });
    }
}

pub fn without_memfd_every_scan_has_a_new_file() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        in_fork(|| {
            refuse(libc::SYS_memfd_create, errno);
            every_scan_has_a_new_file();
        });
    }
}

/// Linux before 4.14 cannot mark memory that children find empty.
pub fn where_forks_cannot_be_seen_every_scan_has_a_new_file() {
    for errno in [libc::EINVAL, libc::EPERM, libc::ENOSYS] {
        in_fork(|| {
            refuse(libc::SYS_madvise, errno);
            every_scan_has_a_new_file();
        });
    }
    in_fork(|| {
        refuse_value(libc::SYS_madvise, 2, libc::MADV_WIPEONFORK as u64, libc::EINVAL);
        every_scan_has_a_new_file();
    });
}

/// Plays Linux before 6.6.
pub fn without_direct_access_to_memory_files_files_are_lent_again() {
    in_fork(|| {
        refuse_flags(libc::SYS_openat, 2, libc::O_DIRECT as u64, libc::EINVAL);
        let pool = Pool::new(PLENTY);
        for round in 0..20 {
            let bytes = bytes_of(round, 5000);
            pool.scan(&bytes, |fd| check(fd, &bytes));
        }
        assert!(!has_memfd() || pool.counts().hits == 19);
    });
}

pub fn without_direct_access_whatever_the_kernel_says_scans_work() {
    for errno in [libc::EPERM, libc::EACCES, libc::EOPNOTSUPP, libc::ENOSYS] {
        in_fork(|| {
            refuse_flags(libc::SYS_openat, 2, libc::O_DIRECT as u64, errno);
            let pool = Pool::new(PLENTY);
            for round in 0..20 {
                let bytes = bytes_of(round, 5000);
                pool.try_scan(0, &bytes, |fd| check(fd, &bytes))
                    .unwrap_or_else(|failure| panic!("{errno}: {failure:?}"));
            }
        });
    }
}

/// The host loses features after the pool has found everything it needs.
pub fn what_goes_away_later_is_noticed() {
    if !has_memfd() {
        return;
    }
    let losses: [(&str, fn()); 8] = [
        ("leases, EACCES", || refuse_value(libc::SYS_fcntl, 1, SET_LEASE, libc::EACCES)),
        ("leases, EINVAL", || refuse_value(libc::SYS_fcntl, 1, SET_LEASE, libc::EINVAL)),
        ("leases, EAGAIN", || refuse_value(libc::SYS_fcntl, 1, SET_LEASE, libc::EAGAIN)),
        ("memfd_create", || refuse(libc::SYS_memfd_create, libc::ENOSYS)),
        ("O_DIRECT", || refuse_flags(libc::SYS_openat, 2, libc::O_DIRECT as u64, libc::EINVAL)),
        ("madvise", || refuse(libc::SYS_madvise, libc::EINVAL)),
        ("/proc", lose_proc),
        ("opening files", || refuse(libc::SYS_openat, libc::EACCES)),
    ];
    let mut wrong = String::new();
    for (what, lose) in losses {
        let outcome = std::panic::catch_unwind(|| {
            in_fork(|| {
                let pool = Pool::new(PLENTY);
                let sizes = [0, 100, 5000, 100_000, 5000, 100];
                for flags in [0, TRUST_CALLBACK] {
                    for (round, size) in sizes.into_iter().chain(sizes).enumerate() {
                        let bytes = bytes_of(round, size);
                        pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
                    }
                }
                lose();
                for (round, size) in sizes.into_iter().chain(sizes).enumerate() {
                    let bytes = bytes_of(100 + round, size);
                    pool.scan(&bytes, |fd| check(fd, &bytes));
                    pool.scan_with(TRUST_CALLBACK, &bytes, |fd| check_content(fd, &bytes));
                }
            })
        });
        if outcome.is_err() {
            wrong += &format!("a scan fails once this is gone: {what}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Plays a server that starts as root, and scans before and after it becomes another user. Leases
/// and modes are the owner's.
pub fn a_process_that_gives_up_its_rights_goes_on_scanning() {
    in_fork(|| {
        let pool = Pool::new(PLENTY);
        let several: Vec<Lent> = (0..5)
            .flat_map(|_| [0, TRUST_CALLBACK])
            .map(|flags| pool.begin(flags, b"warm"))
            .collect();
        drop(several);
        assert!(!has_memfd() || pool.lends_again());
        let lent = pool.begin(0, b"begun as root");
        // SAFETY: touches no memory.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0, "this test needs root");
            assert_eq!(libc::setresgid(65_534, 65_534, 65_534), 0);
            assert_eq!(libc::setresuid(65_534, 65_534, 65_534), 0);
        }
        check(lent.fd, b"begun as root");
        drop(lent);
        for round in 0..20 {
            let bytes = bytes_of(round, 10 + round * 300);
            pool.scan(&bytes, |fd| check(fd, &bytes));
            pool.scan_with(TRUST_CALLBACK, &bytes, |fd| check_content(fd, &bytes));
        }
        assert!(!has_memfd() || pool.lends_again(), "{:?}", pool.counts());
    });
}
