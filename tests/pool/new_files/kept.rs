//! Tests what is kept of new files, and what there is room for.

use super::*;
use crate::faults::conditions::with_free_descriptors;

pub fn whatever_is_kept_of_a_scan_shows_what_it_showed() {
    with_new_files(|pool| {
        const SIZE: usize = 300_000;
        let old = bytes_of(1, SIZE);
        let (mut reader, writer) = std::io::pipe().unwrap();
        // SAFETY: a number that is ours; what fits into the pipe.
        unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20) };
        let (duplicate_of_it, of_its_own, shared, private, path_only) =
            scan_new(&pool, &old, |fd| {
                splice_all(open_again(fd, libc::O_RDONLY).as_raw_fd(), writer.as_raw_fd(), 60_000);
                // SAFETY: new mappings.
                let map = |sharing| unsafe {
                    libc::mmap(null_mut(), SIZE, libc::PROT_READ, sharing, fd, 0)
                };
                let (shared, private) = (map(libc::MAP_SHARED), map(libc::MAP_PRIVATE));
                assert!(shared != libc::MAP_FAILED && private != libc::MAP_FAILED);
                (
                    duplicate(fd),
                    open_again(fd, libc::O_RDONLY),
                    shared,
                    private,
                    open_again(fd, libc::O_PATH),
                )
            });
        let inodes: Vec<u64> = (0..50)
            .map(|round| {
                let bytes = bytes_of(100 + round, SIZE);
                scan_new(&pool, &bytes, |fd| {
                    check(fd, &bytes);
                    inode(fd)
                })
            })
            .collect();
        assert!(!inodes.contains(&inode(duplicate_of_it.as_raw_fd())));
        for mapping in [shared, private] {
            // SAFETY: mapped above.
            let seen = unsafe { std::slice::from_raw_parts(mapping.cast::<u8>(), SIZE) };
            assert!(seen == old);
            // SAFETY: as above, and not used again.
            unsafe { libc::munmap(mapping, SIZE) };
        }
        let later = open_again(path_only.as_raw_fd(), libc::O_RDONLY);
        assert!(
            content(&duplicate_of_it) == old
                && content(&of_its_own) == old
                && content(&later) == old
        );
        let mut piped = vec![0; 60_000];
        std::io::Read::read_exact(&mut reader, &mut piped).unwrap();
        assert!(piped == old[..60_000], "pages in flight show what they showed");
    });
}

/// Returns whether no process can change the file of a number: it is a memfd.
fn is_sealed(fd: c_int) -> bool {
    seals(&duplicate(fd)) & libc::F_SEAL_WRITE != 0
}

pub fn a_full_file_system_gives_way_to_a_memfd() {
    for has_rights in [true, false] {
        for max_bytes in [0, 5000, 1 << 20, 3 << 20] {
            in_fork(|| {
                if !has_rights {
                    become_nobody();
                }
                let Some(pool) = try_new_files(max_bytes) else { return };
                for size in [100_000, 2 << 20] {
                    let bytes = bytes_of(size, size);
                    // More than fit, all at the same time.
                    let lent: Vec<Lent> = (0..34).map(|_| pool.begin(0, &bytes)).collect();
                    lent.iter().for_each(|lent| check(lent.fd, &bytes));
                    let in_it = lent.iter().filter(|lent| is_new(lent.fd)).count();
                    assert!(
                        in_it * size <= max_bytes.next_multiple_of(page_size()),
                        "{in_it} times {size}"
                    );
                    assert!(lent.iter().all(|lent| is_new(lent.fd) != is_sealed(lent.fd)));
                    drop(lent);
                    if size <= max_bytes {
                        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
                    }
                }
            });
        }
    }
}

pub fn a_stream_that_does_not_fit_goes_on_as_a_memfd() {
    in_fork(|| {
        let Some(pool) = try_new_files(1 << 20) else { return };
        for size in [500_000, 1 << 20, (1 << 20) + 4097, 5 << 20] {
            let bytes = bytes_of(size, size);
            for _ in 0..3 {
                let lent = begin_stream(&pool, &pool.options(0), &bytes, 0).expect("a stream");
                check(lent.fd, &bytes);
                assert!(!is_new(lent.fd) || size <= 1 << 20);
            }
        }
    });
}

pub fn trimming_to_nothing_closes_the_file_system() {
    with_new_files(|pool| {
        let bytes = bytes_of(0, 100_000);
        assert_eq!(directories().len(), 2);
        let lent = begin_new(&pool, &bytes);
        pool.trim(1);
        assert_eq!(directories().len(), 2);
        pool.trim(0);
        assert_eq!(directories().len(), 0);
        check(lent.fd, &bytes);
        let device = metadata(&duplicate(lent.fd)).dev();
        // A later scan makes another one.
        let other = begin_new(&pool, &bytes);
        assert_eq!(directories().len(), 2);
        assert_ne!(metadata(&duplicate(other.fd)).dev(), device);
        check(lent.fd, &bytes);
    });
}

pub fn a_child_makes_its_own_file_system() {
    with_new_files(|pool| {
        let bytes = bytes_of(0, 100_000);
        let device = |pool: &Pool| scan_new(pool, &bytes, |fd| metadata(&duplicate(fd)).dev());
        let own = device(&pool);
        let inherited = directories();
        assert_eq!(inherited.len(), 2);
        let lent = begin_new(&pool, &bytes);
        for first_use in ["a scan", "counting", "trimming", "closing", "a stream"] {
            in_fork(|| {
                match first_use {
                    "a scan" => assert_ne!(device(&pool), own),
                    "counting" => assert_eq!(pool.counts().lent, 0),
                    "trimming" => pool.trim(usize::MAX),
                    "a stream" => drop(begin_stream(&pool, &pool.options(0), &bytes, 0)),
                    _ => {
                        // SAFETY: the child's copy, used no more.
                        unsafe { (abi::load().pool_close)(pool.0) };
                        assert!(directories().is_empty());
                        return;
                    }
                }
                let is_parents = |fd: &c_int| metadata(&duplicate(*fd)).dev() == own;
                assert!(
                    !directories().iter().any(is_parents),
                    "what was inherited is closed by {first_use}"
                );
                assert_ne!(device(&pool), own);
                // Of the scan that began before the fork the child has its own copy.
                check(lent.fd, &bytes);
                // SAFETY: as above.
                assert_eq!(unsafe { (abi::load().scan_end)(lent.handle) }, 0);
                in_fork(|| assert_ne!(device(&pool), own));
            });
        }
        assert_eq!(directories(), inherited);
        check(lent.fd, &bytes);
        assert_eq!(device(&pool), own);
    });
}

pub fn out_of_descriptors_scans_work_or_are_emfile() {
    with_new_files(|pool| {
        let bytes = bytes_of(0, 100_000);
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        for free in 0..5 {
            with_free_descriptors(free, || {
                for _ in 0..50 {
                    // The pool closes its two directories, so that a descriptor is always
                    // available.
                    pool.scan(&bytes, |fd| {
                        let mut seen = vec![0; bytes.len() + 1];
                        // SAFETY: a valid buffer.
                        let count =
                            unsafe { libc::pread(fd, seen.as_mut_ptr().cast(), seen.len(), 0) };
                        assert!(seen[..count as usize] == bytes);
                    });
                }
            });
            scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        }
        pool.trim(0);
        with_free_descriptors(0, || {
            assert_eq!(
                pool.try_scan(0, &bytes, |_| unreachable!()).unwrap_err().errno,
                libc::EMFILE
            );
            let refused = Pool::with(&options(POOL_NEW_FILES)).map(drop).unwrap_err();
            assert_eq!(refused.errno, libc::EMFILE, "{refused:?}");
        });
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
        Pool::with(&options(POOL_NEW_FILES)).expect("descriptors are there again");
    });
}

pub fn a_pool_that_is_closed_leaves_nothing_and_its_files_stay() {
    with_new_files(|pool| {
        let bytes = bytes_of(0, 100_000);
        let lent = begin_new(&pool, &bytes);
        let stream = begin_stream(&pool, &pool.options(0), &bytes, 0).expect("a stream");
        drop(pool);
        assert!(directories().is_empty());
        check(lent.fd, &bytes);
        check(stream.fd, &bytes);
    });
    // Each file system of these has its own descriptors and files.
    let before = crate::faults::conditions::open_descriptors();
    for round in 0..rounds(50) {
        let Some(pool) = try_new_files(1 << 20) else { return };
        let bytes = bytes_of(round, 10_000);
        scan_new(&pool, &bytes, |fd| check(fd, &bytes));
    }
    assert_eq!(crate::faults::conditions::open_descriptors(), before);
}
