//! Tests children of fork(2) that go on without executing a program.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::*};

use super::*;
use crate::support::abi::TRUST_CALLBACK;
use crate::support::map::page_size;

/// Makes a pool that keeps files, some of them for trusted callbacks.
fn warm() -> Pool {
    let pool = Pool::new(PLENTY);
    for flags in [0, TRUST_CALLBACK] {
        let several: Vec<Lent> =
            (0..5).map(|round| pool.begin(flags, &bytes_of(round, 1 + round * 9000))).collect();
        drop(several);
        for round in 0..10 {
            let bytes = bytes_of(round, round * 3000);
            pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
        }
    }
    pool
}

/// Scans, which shows whether the pool works as ever.
fn works(pool: &Pool) {
    for round in 0..20 {
        let bytes = bytes_of(100 + round, round * 1777);
        pool.scan(&bytes, |fd| check(fd, &bytes));
        pool.scan_with(TRUST_CALLBACK, &bytes, |fd| check_content(fd, &bytes));
    }
    assert!(!has_memfd() || pool.lends_again());
}

pub fn a_child_has_an_empty_pool_and_closes_what_it_inherited() {
    type Use = fn(&Pool);
    let first_uses: [(&str, Use); 4] = [
        ("counting", |pool| assert_eq!(pool.counts().cached_bytes, 0)),
        ("trimming", |pool| pool.trim(usize::MAX)),
        ("a scan", |pool| pool.scan(b"child", |fd| check(fd, b"child"))),
        ("a trusted scan", |pool| {
            pool.scan_with(TRUST_CALLBACK, b"child", |fd| check_content(fd, b"child"))
        }),
    ];
    let pool = warm();
    let kept = memory_files();
    assert!(!has_memfd() || (pool.counts().cached_bytes > 0 && kept.len() > 2));
    for (name, first_use) in first_uses {
        in_fork(|| {
            first_use(&pool);
            let left: Vec<_> =
                memory_files().into_iter().filter(|file| kept.contains(file)).collect();
            assert_eq!(left, [], "what was inherited is closed by {name}");
            assert!(memory_files().len() <= 1);
            assert!(pool.counts().cached_bytes <= page_size() as u64);
            works(&pool);
        });
    }
    assert_eq!(memory_files(), kept, "the parent's are open");
    works(&pool);
}

pub fn a_child_of_a_child_has_an_empty_pool() {
    let pool = warm();
    for child_uses_it in [false, true] {
        in_fork(|| {
            if child_uses_it {
                works(&pool);
            }
            let inherited = memory_files();
            in_fork(|| {
                assert_eq!(pool.counts().cached_bytes, 0);
                assert!(!memory_files().iter().any(|file| inherited.contains(file)));
                works(&pool);
            });
            works(&pool);
        });
    }
    works(&pool);
}

/// Runs a child that takes turns with its parent.
fn alternate(child_turn: impl Fn(usize), parent_turn: impl Fn(usize)) {
    use std::io::{Read, Write};
    let (mut parent, mut child) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut byte = [0];
    let process = fork(|| {
        // Otherwise the child would wait for a parent that has failed.
        // SAFETY: a number of this process.
        unsafe { libc::close(parent.as_raw_fd()) };
        let mut byte = [0];
        let mut turn = 0;
        while child.read(&mut byte).unwrap() == 1 {
            child_turn(turn);
            turn += 1;
            child.write_all(&byte).unwrap();
        }
    });
    drop(child);
    for turn in 0..30 {
        parent.write_all(&byte).unwrap();
        parent_turn(turn);
        parent.read_exact(&mut byte).expect("the child lives");
        parent_turn(turn);
    }
    drop(parent);
    wait_for(process);
}

pub fn a_child_that_scans_does_not_disturb_its_parent() {
    let pool = warm();
    let turn = |mark: u8| {
        let pool = &pool;
        move |turn: usize| {
            for flags in [0, TRUST_CALLBACK] {
                let bytes = vec![mark; 1 + turn * 1234];
                pool.scan_with(flags, &bytes, |fd| {
                    for _ in 0..5 {
                        check_content(fd, &bytes);
                    }
                });
            }
        }
    };
    alternate(turn(b'c'), turn(b'p'));
    works(&pool);
}

pub fn a_child_that_trims_or_destroys_does_not_disturb_its_parent() {
    let pool = warm();
    let kept = pool.counts();
    let files = memory_files();
    in_fork(|| pool.trim(0));
    in_fork(|| {
        works(&pool);
        pool.trim(0);
    });
    in_fork(|| {
        // SAFETY: the child's copy, used no more.
        unsafe { (abi::load().pool_close)(pool.0) };
        assert_eq!(memory_files(), []);
    });
    in_fork(|| {
        works(&pool);
        // SAFETY: as above.
        unsafe { (abi::load().pool_close)(pool.0) };
        assert_eq!(memory_files(), []);
    });
    assert_eq!((pool.counts(), memory_files()), (kept, files));
    works(&pool);
}

/// The scan began before the fork: each process ends its own copy of it.
pub fn a_file_lent_before_a_fork_is_kept_by_neither_wrongly() {
    let bytes = bytes_of(0, 9000);
    for flags in [0, TRUST_CALLBACK] {
        for child_uses_it_first in [false, true] {
            let pool = warm();
            let lent = pool.begin(flags, &bytes);
            let file = inode(lent.fd);
            in_fork(|| {
                check_content(lent.fd, &bytes);
                if child_uses_it_first {
                    works(&pool);
                }
                // SAFETY: the child's copy of the handle, used no more.
                assert_eq!(unsafe { (abi::load().scan_end)(lent.handle) }, 0);
                assert!(!memory_files().iter().any(|open| open.1 == file));
                works(&pool);
            });
            works(&pool);
            check_content(lent.fd, &bytes);
            drop(lent);
            works(&pool);
        }
    }
}

pub fn a_child_made_in_a_callback_keeps_what_it_saw() {
    let pool = warm();
    let old = bytes_of(0, 9000);
    let (mut child, mut file) = (0, 0);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let dropped = pool.counts().dropped;
    pool.scan(&old, |fd| {
        file = inode(fd);
        child = fork(|| {
            use std::io::Read;
            reader.read_exact(&mut [0]).unwrap();
            check_content(fd, &old);
        });
    });
    for round in 0..50 {
        let bytes = bytes_of(round + 1, 9000);
        pool.scan(&bytes, |fd| {
            check(fd, &bytes);
            assert_ne!(inode(fd), file);
        });
    }
    assert!(!has_memfd() || pool.counts().dropped == dropped + 1);
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    wait_for(child);
}

/// Forks in a callback; the child returns from scan_bytes and does `then`.
fn child_returns(flags: u64, in_callback: impl Fn(&Pool), then: impl Fn(&Pool)) {
    let pool = warm();
    for round in 0..10 {
        let bytes = bytes_of(round, 500 + round * 2000);
        let mut child = -1;
        pool.scan_with(flags, &bytes, |fd| {
            // SAFETY: this process has one thread, so the child may do what it likes.
            child = unsafe { libc::fork() };
            assert!(child >= 0);
            if child == 0 {
                in_callback(&pool);
            }
            if flags == 0 || child != 0 {
                check_content(fd, &bytes);
            }
        });
        if child == 0 {
            leave(|| then(&pool));
        }
        works(&pool);
        wait_for(child);
        works(&pool);
    }
}

pub fn a_child_made_in_a_callback_may_return_from_the_scan() {
    child_returns(0, |_| {}, |_| {});
    child_returns(
        0,
        |_| {},
        |pool| {
            assert_eq!(pool.counts().cached_bytes, 0);
            assert_eq!(memory_files(), [], "what was lent is closed, and what was inherited");
            works(pool);
        },
    );
}

pub fn a_child_made_in_a_callback_may_scan_and_return() {
    child_returns(0, works, works);
}

pub fn a_child_made_in_a_trusted_callback_may_return_from_the_scan() {
    child_returns(TRUST_CALLBACK, |_| {}, works);
    child_returns(TRUST_CALLBACK, works, works);
}

/// Forks again and again while other threads scan, and does `work` in each child.
fn fork_while_others_scan(pool: &Pool, work: impl Fn(usize)) {
    let is_over = AtomicBool::new(false);
    let mut failed = false;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (pool, is_over) = (&pool, &is_over);
            scope.spawn(move || {
                for round in 0.. {
                    if is_over.load(Relaxed) {
                        return;
                    }
                    let bytes = vec![thread + 1; 1 + round * 97 % 20_000];
                    let flags = if round % 5 == 0 { TRUST_CALLBACK } else { 0 };
                    pool.scan_with(flags, &bytes, |fd| check_content(fd, &bytes));
                }
            });
        }
        for round in 0..rounds(100) {
            let child = fork(|| work(round));
            failed = std::panic::catch_unwind(|| wait_for(child)).is_err();
            if failed {
                break;
            }
        }
        is_over.store(true, Relaxed);
    });
    assert!(!failed);
    works(pool);
}

/// A deadlock shows as a child that never ends.
pub fn forks_while_others_scan_never_lock_up() {
    let pool = warm();
    fork_while_others_scan(&pool, |round| {
        let bytes = vec![200; 1 + round];
        pool.scan(&bytes, |fd| check_content(fd, &bytes));
        pool.scan_with(TRUST_CALLBACK, &bytes, |fd| check_content(fd, &bytes));
        pool.trim(0);
        assert_eq!(pool.counts().cached_bytes, 0);
    });
}
