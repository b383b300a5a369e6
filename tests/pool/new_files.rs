//! Tests pools that make a new file for each scan, on a file system of their own: what is promised
//! of the files.

mod kept;
mod refused;
mod unseen;

use std::os::fd::FromRawFd;

use kept::*;
use refused::*;
use unseen::*;

use super::*;
use crate::support::abi::{POOL_AUTO, POOL_NEW_FILES, POOL_REUSE, TRUST_CALLBACK};

tests![;
    alone:
    a_new_file_keeps_every_promise,
    files_that_a_memfd_is_cheaper_for_keep_every_promise,
    a_mode_does_not_depend_on_the_umask,
    a_file_has_the_name_that_was_asked_for,
    the_borrower_cannot_change_a_new_file_in_any_way,
    a_stream_becomes_a_new_file,
    new_files_are_not_lent_trusted,
    every_scan_counts_as_a_miss,
    a_borrower_that_closes_the_number_does_no_harm,
    a_size_above_the_limit_of_the_process_is_efbig,
    bytes_that_are_lost_are_efault,
    auto_tries_new_files_where_they_may_be_cheaper,
    auto_makes_no_file_system_for_few_or_small_scans,
    // kept
    whatever_is_kept_of_a_scan_shows_what_it_showed,
    a_full_file_system_gives_way_to_a_memfd,
    a_stream_that_does_not_fit_goes_on_as_a_memfd,
    trimming_to_nothing_closes_the_file_system,
    a_child_makes_its_own_file_system,
    out_of_descriptors_scans_work_or_are_emfile,
    a_pool_that_is_closed_leaves_nothing_and_its_files_stay,
    // refused
    each_step_that_is_refused_is_named,
    each_text_that_is_refused_is_named,
    a_step_at_which_the_child_is_killed_is_named,
    where_a_step_is_refused_auto_scans_all_the_same,
    where_a_step_is_refused_later_scans_get_memfds,
    auto_tries_nothing_where_calls_are_filtered,
    a_process_that_may_not_map_its_user_is_refused,
    in_a_chroot_it_works_or_is_refused,
    without_processes_to_be_had_it_is_refused_and_tried_again,
    where_the_next_child_would_begin_a_namespace_it_is_refused,
    a_process_that_gives_up_its_rights_goes_on_with_memfds,
    // unseen
    nothing_of_the_setup_is_seen,
    many_threads_and_signals_do_not_disturb_the_setup,
    a_process_with_mounts_of_its_own_can_have_one,
];

/// Returns whether the kernel can mount read-only what is mounted nowhere, Linux 5.12. Asks the
/// kernel and not the library.
pub fn has_mount_setattr() -> bool {
    // SAFETY: no descriptor and no attributes.
    unsafe { libc::syscall(libc::SYS_mount_setattr, -1, c"".as_ptr(), 0, null_mut::<u8>(), 0) };
    std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS)
}

pub fn options(method: u32) -> PoolOptions {
    PoolOptions { method, ..PoolOptions::default() }
}

/// Makes a pool of new files. If the kernel is too old for one, checks that the refused step is
/// named.
pub fn try_new_files(max_bytes: usize) -> Option<Pool> {
    let made = Pool::with(&PoolOptions { max_bytes: max_bytes as u64, ..options(POOL_NEW_FILES) });
    if has_mount_setattr() {
        return Some(made.expect("a pool of new files"));
    }
    let failure = made.map(drop).expect_err("too old a kernel");
    assert_eq!(
        (failure.errno, failure.op.as_str()),
        (libc::EOPNOTSUPP, "mount_setattr"),
        "{failure:?}"
    );
    None
}

/// Runs `work` with a pool of new files in a child: once with the rights of the tests, and once
/// without any.
pub fn with_new_files(work: impl Fn(Pool)) {
    for has_rights in [true, false] {
        in_fork(|| {
            if !has_rights {
                become_nobody();
            }
            if let Some(pool) = try_new_files(64 << 20) {
                work(pool);
            }
        });
    }
}

/// Gives up all rights for good, except the right to map the own user.
pub fn become_nobody() {
    give_up_rights();
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
}

pub fn give_up_rights() {
    // SAFETY: touches no memory.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(65_534, 65_534, 65_534), 0);
            assert_eq!(libc::setresuid(65_534, 65_534, 65_534), 0);
        }
    }
}

/// Returns whether a descriptor stands for a file of such a file system, and not for a memfd, by
/// its name.
pub fn is_new(fd: c_int) -> bool {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("/proc is mounted");
    let link = link.to_string_lossy();
    assert!(link.ends_with(" (deleted)"), "{link}");
    !link.starts_with("/memfd:")
}

/// Scans until the file is on the pool's file system. Whether it is depends on the cost of earlier
/// scans, but both ways are tried again and again.
pub fn scan_new<R>(pool: &Pool, bytes: &[u8], callback: impl FnOnce(c_int) -> R) -> R {
    assert!(bytes.len() >= 4096, "smaller ones are memfds");
    let (mut callback, mut result) = (Some(callback), None);
    for _ in 0..5000 {
        pool.scan(bytes, |fd| {
            if is_new(fd) {
                result = callback.take().map(|callback| callback(fd));
            }
        });
        if let Some(result) = result {
            return result;
        }
    }
    panic!("no file of {} bytes is on the pool's file system", bytes.len());
}

/// Begins scans as [`Pool::begin`] does, until the file is on the pool's file system.
pub fn begin_new(pool: &Pool, bytes: &[u8]) -> Lent {
    let mut lent = (0..5000).map(|_| pool.begin(0, bytes));
    lent.find(|lent| is_new(lent.fd)).expect("a file of the pool's file system")
}

/// The sizes of scans with new files.
pub const SIZES_OF_NEW: [usize; 8] =
    [4096, 5000, 65_536, 65_537, 300_000, 1 << 20, (2 << 20) + 4097, 5 << 20];

pub fn a_new_file_keeps_every_promise() {
    with_new_files(|pool| {
        for (round, size) in SIZES_OF_NEW.into_iter().chain(SIZES_OF_NEW).enumerate() {
            let bytes = bytes_of(round, size);
            scan_new(&pool, &bytes, |fd| {
                check(fd, &bytes);
                let fd = duplicate(fd);
                assert_eq!(access_mode(&fd), libc::O_RDONLY);
                assert!(is_close_on_exec(&fd) && fd.as_raw_fd() > 2);
                assert_eq!(seals(&fd), libc::F_SEAL_SEAL, "it is not sealed, and cannot be");
            });
        }
    });
}

pub fn files_that_a_memfd_is_cheaper_for_keep_every_promise() {
    with_new_files(|pool| {
        for (round, size) in [0, 1, 5, 100, 4095].into_iter().cycle().take(50).enumerate() {
            let bytes = bytes_of(round, size);
            pool.scan(&bytes, |fd| {
                assert!(!is_new(fd));
                assert!(seals(&duplicate(fd)) & libc::F_SEAL_WRITE != 0, "a memfd is sealed");
                check(fd, &bytes);
            });
        }
    });
}

pub fn a_mode_does_not_depend_on_the_umask() {
    for umask in [0, 0o400, 0o777] {
        with_new_files(|pool| {
            // SAFETY: touches no memory.
            unsafe { libc::umask(umask) };
            let bytes = bytes_of(0, 100_000);
            scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        });
    }
}

pub fn a_file_has_the_name_that_was_asked_for() {
    with_new_files(|pool| {
        let longest = "n".repeat(200);
        for name in ["page", longest.as_str(), "with spaces, and (deleted)"] {
            let text = std::ffi::CString::new(name).unwrap();
            let options = WrapOptions { name: text.as_ptr(), ..pool.options(0) };
            let bytes = bytes_of(0, 100_000);
            let mut seen = false;
            for _ in 0..5000 {
                scan::scan(&bytes, Some(&options), |fd| {
                    seen = is_new(fd);
                    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
                    assert!(link.to_string_lossy().contains(name), "{link:?}");
                    0
                })
                .expect("a scan");
                if seen {
                    break;
                }
            }
            assert!(seen);
        }
    });
}

pub fn the_borrower_cannot_change_a_new_file_in_any_way() {
    with_new_files(|pool| {
        // SAFETY: no preconditions.
        let is_root = unsafe { libc::geteuid() } == 0;
        let bytes = bytes_of(7, 100_000);
        scan_new(&pool, &bytes, |fd| {
            let errno = |status: c_int| {
                assert_eq!(status, -1);
                std::io::Error::last_os_error().raw_os_error().unwrap()
            };
            let opened = |flags| {
                try_open_again(fd, flags).map(drop).map_err(|error| error.raw_os_error().unwrap())
            };
            let for_writing = if is_root { libc::EROFS } else { libc::EACCES };
            for flags in [
                libc::O_RDWR,
                libc::O_WRONLY,
                libc::O_RDONLY | libc::O_TRUNC,
                libc::O_WRONLY | libc::O_APPEND,
            ] {
                let refusal = opened(flags).expect_err("opened for writing");
                assert!(refusal == for_writing || refusal == libc::EROFS, "{flags:#x}: {refusal}");
            }
            let nothing = std::ptr::null();
            let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap();
            // SAFETY: valid strings, and NULL where it may be; nothing of this changes memory of
            // ours.
            unsafe {
                assert_eq!(errno(libc::fchmod(fd, 0o600)), libc::EROFS);
                assert_eq!(errno(libc::fchown(fd, libc::geteuid(), libc::getegid())), libc::EROFS);
                assert_eq!(errno(libc::futimens(fd, nothing)), libc::EROFS);
                assert_eq!(errno(libc::ftruncate(fd, 0)), libc::EINVAL);
                assert_eq!(errno(libc::write(fd, bytes.as_ptr().cast(), 1) as c_int), libc::EBADF);
                assert_eq!(errno(libc::fallocate(fd, 3, 0, 4096)), libc::EBADF);
                assert_eq!(
                    errno(libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_WRITE)),
                    libc::EPERM
                );
                let name = c"user.mark".as_ptr();
                assert_eq!(
                    errno(libc::fsetxattr(fd, name, bytes.as_ptr().cast(), 1, 0)),
                    libc::EROFS
                );
                for folder in [c"/dev/shm/bytefd-test-link", c"/tmp/bytefd-test-link"] {
                    let follow = libc::AT_SYMLINK_FOLLOW;
                    let link = libc::linkat(
                        libc::AT_FDCWD,
                        path.as_ptr(),
                        libc::AT_FDCWD,
                        folder.as_ptr(),
                        follow,
                    );
                    assert_eq!(errno(link), libc::EXDEV);
                }
                let read_write = libc::PROT_READ | libc::PROT_WRITE;
                let map =
                    |protection, sharing| libc::mmap(null_mut(), 4096, protection, sharing, fd, 0);
                assert_eq!(map(read_write, libc::MAP_SHARED), libc::MAP_FAILED);
                let shared = map(libc::PROT_READ, libc::MAP_SHARED);
                assert_ne!(shared, libc::MAP_FAILED);
                assert_eq!(errno(libc::mprotect(shared, 4096, read_write)), libc::EACCES);
                let private = map(read_write, libc::MAP_PRIVATE).cast::<u8>();
                assert_ne!(private.cast(), libc::MAP_FAILED);
                private.write(!bytes[0]);
                libc::munmap(shared, 4096);
                libc::munmap(private.cast(), 4096);
            }
            check(fd, &bytes);
        });
    });
}

/// Calls bytefd_scan_begin_stream with these bytes, through a pipe.
pub fn begin_stream(
    pool: &Pool,
    options: &WrapOptions,
    bytes: &[u8],
    size_hint: u64,
) -> Result<Lent, Failure> {
    use std::io::Write;
    assert_eq!(options.pool, pool.0);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (mut handle, mut error) = (null_mut(), Error::untouched());
    let stream = abi::StreamOptions { size_hint, ..abi::StreamOptions::default() };
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(bytes));
        let fd = reader.as_raw_fd();
        // SAFETY: valid options, and two writable objects.
        let fd = unsafe {
            (abi::load().scan_begin_stream)(fd, options, &stream, &mut handle, &mut error)
        };
        drop(reader);
        result(fd, &error).map(|fd| Lent { fd, handle })
    })
}

pub fn a_stream_becomes_a_new_file() {
    with_new_files(|pool| {
        for (round, size) in [0, 1, 5000, 300_000, 3 << 20].into_iter().enumerate() {
            let bytes = bytes_of(round, size);
            for hint in [0, size as u64, 1 << 20] {
                let mut lent = (0..5000).map(|_| {
                    begin_stream(&pool, &pool.options(0), &bytes, hint).expect("a stream")
                });
                let lent = lent.find(|lent| {
                    check(lent.fd, &bytes);
                    is_new(lent.fd) || size < 4096
                });
                check(lent.expect("a file of the pool's file system").fd, &bytes);
            }
            let spilled = WrapOptions { spill_threshold: 200_000, ..pool.options(0) };
            let lent = begin_stream(&pool, &spilled, &bytes, 0).expect("a stream");
            check_content(lent.fd, &bytes);
        }
    });
}

pub fn new_files_are_not_lent_trusted() {
    with_new_files(|pool| {
        for size in [5, 100_000] {
            let failure =
                pool.try_scan(TRUST_CALLBACK, &vec![1; size], |_| unreachable!()).unwrap_err();
            assert_eq!(
                (failure.errno, failure.op.as_str()),
                (libc::EINVAL, "trust_callback"),
                "{failure:?}"
            );
            let begun = begin_stream(&pool, &pool.options(TRUST_CALLBACK), &[1; 10], 0);
            assert_eq!(begun.map(drop).unwrap_err().errno, libc::EINVAL);
        }
    });
    // With the others they are: the cached file itself.
    for method in [POOL_AUTO, POOL_REUSE] {
        let pool = Pool::with(&options(method)).unwrap();
        for _ in 0..20 {
            let bytes = bytes_of(0, 1 << 20);
            pool.scan_with(TRUST_CALLBACK, &bytes, |fd| {
                assert!(!is_new(fd));
                check_content(fd, &bytes);
            });
        }
        assert_eq!((pool.counts().hits, pool.counts().misses), (19, 1));
    }
}

pub fn every_scan_counts_as_a_miss() {
    with_new_files(|pool| {
        let lent: Vec<Lent> =
            (0..80).map(|round| pool.begin(0, &bytes_of(round, round * 1000))).collect();
        let PoolStats { hits, misses, dropped, lent: now, cached_bytes, .. } = pool.counts();
        assert_eq!((hits, misses, dropped, now, cached_bytes), (0, 80, 0, 0, 0));
        drop(lent);
        drop(begin_stream(&pool, &pool.options(0), &[1; 10_000], 0));
        assert_eq!(pool.counts().misses, 81);
    });
}

pub fn a_borrower_that_closes_the_number_does_no_harm() {
    with_new_files(|pool| {
        let bytes = bytes_of(0, 100_000);
        let other = scan_new(&pool, &bytes, |fd| {
            // SAFETY: lent, and given back as another file.
            unsafe {
                libc::close(fd);
                let other = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
                assert!(
                    other == fd
                        || (libc::dup3(other, fd, libc::O_CLOEXEC) == fd
                            && libc::close(other) == 0)
                );
                OwnedFd::from_raw_fd(fd)
            }
        });
        assert!(
            metadata(&other).file_type()
                != metadata(&wrap(b"", &WrapOptions::default()).unwrap()).file_type()
        );
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
    });
}

pub fn a_size_above_the_limit_of_the_process_is_efbig() {
    with_new_files(|pool| {
        crate::faults::conditions::file_size_signal_kills();
        let bytes = bytes_of(0, 300_000);
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        let limit = libc::rlimit { rlim_cur: 100_000, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a valid limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        for _ in 0..100 {
            assert_eq!(
                pool.try_scan(0, &bytes, |_| unreachable!()).unwrap_err().errno,
                libc::EFBIG
            );
        }
        let begun = begin_stream(&pool, &pool.options(0), &bytes, 0);
        assert_eq!(begun.map(drop).unwrap_err().errno, libc::EFBIG);
        scan_new(&pool, &bytes[..100_000], |fd| check(fd, &bytes[..100_000]));
    });
}

pub fn bytes_that_are_lost_are_efault() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let path = folder.path().join("file");
    with_new_files(|pool| {
        for (_, lost) in super::sources::lost(&path, 300_000, 8192) {
            for _ in 0..50 {
                let failure = pool.try_scan(0, lost.bytes(), |_| unreachable!()).unwrap_err();
                assert_eq!(failure.errno, libc::EFAULT, "{failure:?}");
            }
        }
        std::fs::remove_file(&path).unwrap();
        let bytes = bytes_of(0, 300_000);
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
    });
}

pub fn auto_tries_new_files_where_they_may_be_cheaper() {
    for has_rights in [true, false] {
        in_fork(|| {
            if !has_rights {
                become_nobody();
            }
            if !has_mount_setattr() {
                return;
            }
            let pool = Pool::with(&options(POOL_AUTO)).unwrap();
            for size in [64 << 10, 1 << 20, 4 << 20] {
                let bytes = bytes_of(size, size);
                scan_new(&pool, &bytes, |fd| check(fd, &bytes));
            }
            assert!(
                !has_memfd() || pool.counts().hits > 0,
                "and reuses files as well: {:?}",
                pool.counts()
            );
            // The size decides which way is cheaper, and trusted callbacks have files of the cache.
            for _ in 0..100 {
                pool.scan(&[1; 60_000], |fd| assert!(!is_new(fd)));
                pool.scan_with(TRUST_CALLBACK, &[1; 1 << 20], |fd| assert!(!is_new(fd)));
            }
        });
    }
}

/// Returns the descriptors of directories that this process has, except those of /proc.
pub fn directories() -> Vec<c_int> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let numbers: Vec<c_int> = entries
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let is_one = |fd: &c_int| {
        let path = format!("/proc/self/fd/{fd}");
        std::fs::metadata(&path).is_ok_and(|stat| stat.is_dir())
            && std::fs::read_link(&path).is_ok_and(|link| link == std::path::Path::new("/"))
    };
    numbers.into_iter().filter(is_one).collect()
}

pub fn auto_makes_no_file_system_for_few_or_small_scans() {
    let before = directories();
    let pool = Pool::with(&options(POOL_AUTO)).unwrap();
    for _ in 0..2000 {
        pool.scan(&[1; 60_000], |_| {});
    }
    pool.scan(&[1; 100_000], |_| {});
    assert_eq!(directories(), before);
    let none = Pool::with(&PoolOptions { max_bytes: 0, ..options(POOL_AUTO) }).unwrap();
    none.scan(&[1; 100_000], |_| {});
    assert_eq!(directories(), before);
}
