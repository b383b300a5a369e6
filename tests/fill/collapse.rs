//! Tests huge pages that the library makes by collapsing: what may prevent that, and what it may
//! leave behind.

use super::*;
use crate::pool::in_fork;
use crate::support::hosts::{refuse, refuse_value};
use crate::support::rounds;

tests![;
    alone:
    without_collapsing_contents_are_right,
    a_kernel_without_huge_pages_gets_right_contents,
    a_host_without_sys_gets_right_contents,
    where_all_memory_is_locked_contents_are_right,
    forks_of_other_threads_do_not_keep_a_file_from_being_sealed,
    no_address_space_stays_behind,
    no_address_space_stays_behind_after_failures,
    without_address_space_contents_are_right,
];

/// Plays old kernels, kernels without memory to spare, and kernels with other troubles.
fn without_collapsing_contents_are_right() {
    for errno in [libc::EINVAL, libc::ENOMEM, libc::EAGAIN, libc::EBUSY, libc::EPERM, libc::ENOSYS]
    {
        in_fork(|| {
            refuse(libc::SYS_madvise, errno);
            large_contents_are_right();
        });
    }
    // After it has worked.
    in_fork(|| {
        large_contents_are_right();
        refuse_value(libc::SYS_madvise, 2, 25, libc::EINVAL);
        large_contents_are_right();
    });
}

fn a_kernel_without_huge_pages_gets_right_contents() {
    in_fork(|| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) }, 0);
        large_contents_are_right();
    });
}

/// Containers may hide /sys.
fn a_host_without_sys_gets_right_contents() {
    in_fork(|| {
        // SAFETY: valid strings and NULL where it may be.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0, "this test needs root");
            let (none, private) = (c"none".as_ptr(), libc::MS_REC | libc::MS_PRIVATE);
            assert_eq!(libc::mount(none, c"/".as_ptr(), none, private, null()), 0);
            assert_eq!(libc::mount(none, c"/sys".as_ptr(), c"tmpfs".as_ptr(), 0, null()), 0);
        }
        large_contents_are_right();
    });
}

fn where_all_memory_is_locked_contents_are_right() {
    in_fork(|| {
        assert_eq!(
            // SAFETY: touches no memory.
            unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) },
            0,
            "this test needs root"
        );
        large_contents_are_right();
    });
}

/// Returns the numbers of mappings, and of pages of address space.
fn address_space() -> (usize, usize) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    (maps.lines().count(), pages.split(' ').next().unwrap().parse().unwrap())
}

fn no_address_space_stays_behind() {
    let bytes = pattern(4 * MIB);
    let repeat = |times: usize| {
        for _ in 0..times {
            wrap_default(&bytes);
            wrap_segments(&[segment(&bytes[..HUGE + 1]), segment(&bytes[HUGE + 1..])]).unwrap();
        }
    };
    repeat(3);
    let before = address_space();
    repeat(50);
    assert_eq!(address_space(), before);
}

fn no_address_space_stays_behind_after_failures() {
    let map = unreadable_at(5 * MIB);
    let _ = address_space();
    fail_at(&map, 0);
    let before = address_space();
    let page = page_size();
    for offset in [0, page, HUGE - page, HUGE, HUGE + page] {
        for _ in 0..20 {
            fail_at(&map, offset);
        }
    }
    assert_eq!(address_space(), before);
}

fn without_address_space_contents_are_right() {
    in_fork(|| {
        let all = pattern(5 * MIB + 1);
        let mut seen = vec![0; all.len() + 1];
        wrap_default(&all);
        let limit = |bytes: u64| {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        };
        // None at all, and too little for a huge page.
        let now = address_space().1 as u64 * page_size() as u64;
        for bytes in [0, now + MIB as u64, now + 3 * MIB as u64] {
            for size in [MIB, HUGE, HUGE + MIB, 5 * MIB + 1] {
                limit(bytes);
                let fd = wrap(&all[..size], &WrapOptions::default());
                limit(libc::RLIM_INFINITY);
                let fd = fd.expect("a descriptor");
                assert_eq!(metadata(&fd).len() as usize, size);
                // SAFETY: a valid buffer.
                let count =
                    unsafe { libc::pread(fd.as_raw_fd(), seen.as_mut_ptr().cast(), seen.len(), 0) };
                assert!(seen[..count as usize] == all[..size]);
            }
        }
    });
}

/// A child that is forked during the fill inherits every mapping of that moment, and lives on.
fn forks_of_other_threads_do_not_keep_a_file_from_being_sealed() {
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let bytes = pattern(8 * MIB);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                // SAFETY: the child only sleeps and ends.
                unsafe {
                    let child = libc::fork();
                    if child == 0 {
                        libc::usleep(2_000);
                        libc::_exit(0);
                    }
                    libc::waitpid(child, null_mut(), 0);
                }
            }
        });
        let wrapped: Vec<_> =
            (0..rounds(30)).map(|_| wrap_with(&bytes, 0, AUTO).map(drop)).collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        wrapped.into_iter().for_each(|result| result.expect("sealed"));
    });
    check(&wrap_default(&bytes), &bytes);
}
