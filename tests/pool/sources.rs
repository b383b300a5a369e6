//! Tests bytes that are lost while they are scanned: EFAULT, never zeros and never a signal.

use std::path::Path;

use super::*;
use crate::support::abi::{GUARD, MapOptions, TRUST_CALLBACK};
use crate::support::map::{Map, map};

/// Returns whether the kernel says what memory is, PROCMAP_QUERY. Asks the kernel and not the
/// library.
pub fn tells_anonymous_memory() -> bool {
    let maps = std::fs::File::open("/proc/self/maps").expect("/proc is mounted");
    // `struct procmap_query`: its size, and at the third place the address.
    let mut query = [0u64; 13];
    (query[0], query[2]) = (size_of_val(&query) as u64, (&raw const query).addr() as u64);
    // SAFETY: as long as the struct.
    unsafe { libc::ioctl(maps.as_raw_fd(), 0xc068_6611_u32 as _, query.as_mut_ptr()) == 0 }
}

/// A mapped file that has lost everything from `cut` on.
pub enum Lost {
    /// mmap(2), shared or private.
    Plain(*mut u8, usize),
    /// A guarded map. Its lost pages were touched, or not.
    Guarded(Map),
}

impl Lost {
    pub fn bytes(&self) -> &[u8] {
        match self {
            // SAFETY: mapped by `lost`. Only the library reads what is lost.
            Lost::Plain(at, size) => unsafe { std::slice::from_raw_parts(*at, *size) },
            // SAFETY: as above.
            Lost::Guarded(map) => unsafe { std::slice::from_raw_parts(map.data(), map.length()) },
        }
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        if let Lost::Plain(at, size) = self {
            // SAFETY: mapped by `lost`.
            assert_eq!(unsafe { libc::munmap(at.cast(), *size) }, 0);
        }
    }
}

/// Makes all kinds of sources of `size` bytes, cut off at `cut`.
pub fn lost(path: &Path, size: usize, cut: usize) -> Vec<(&'static str, Lost)> {
    let page = page_size();
    let fresh = || std::fs::write(path, pattern(size)).unwrap();
    let plain = |sharing| {
        fresh();
        let file = std::fs::File::open(path).unwrap();
        // SAFETY: a new mapping.
        let at =
            unsafe { libc::mmap(null_mut(), size, libc::PROT_READ, sharing, file.as_raw_fd(), 0) };
        assert_ne!(at, libc::MAP_FAILED);
        std::fs::File::options().write(true).open(path).unwrap().set_len(cut as u64).unwrap();
        Lost::Plain(at.cast(), size)
    };
    let guarded = |is_touched| {
        fresh();
        let guarded = map(path, &MapOptions { flags: GUARD, ..MapOptions::default() }).unwrap();
        std::fs::File::options().write(true).open(path).unwrap().set_len(cut as u64).unwrap();
        if is_touched {
            for lost in (cut.next_multiple_of(page)..size).step_by(page) {
                // SAFETY: within the map, and guarded.
                assert_eq!(unsafe { guarded.data().add(lost).read_volatile() }, 0);
            }
        }
        Lost::Guarded(guarded)
    };
    vec![
        ("shared", plain(libc::MAP_SHARED)),
        ("private", plain(libc::MAP_PRIVATE)),
        ("guarded", guarded(false)),
        ("guarded, replaced", guarded(true)),
    ]
}

/// Returns no pool, and pools with and without trust, which have a file of this size and others.
fn modes(size: usize) -> Vec<(&'static str, Option<Pool>, u64)> {
    let warm = |flags| {
        let pool = Pool::new(PLENTY);
        for size in [size, size, size, 10, 3 * size] {
            pool.scan_with(flags, &pattern(size), |_| {});
        }
        Some(pool)
    };
    vec![
        ("no pool", None, 0),
        ("a new pool", Some(Pool::new(PLENTY)), 0),
        ("a pool", warm(0), 0),
        ("a trusted callback", warm(TRUST_CALLBACK), TRUST_CALLBACK),
    ]
}

fn options(pool: &Option<Pool>, flags: u64) -> WrapOptions {
    pool.as_ref().map_or_else(WrapOptions::default, |pool| pool.options(flags))
}

pub fn lost_bytes_are_efault_in_every_mode() {
    let (folder, page) = (tempfile::tempdir_in("/dev/shm").unwrap(), page_size());
    let path = folder.path().join("file");
    for (size, cut) in [
        (100, 0),
        (page, 0),
        (3 * page, page),
        (3 * page - 7, 2 * page),
        (3 << 20, (3 << 20) - page),
    ] {
        for (mode, pool, flags) in &modes(size) {
            for (what, source) in &lost(&path, size, cut) {
                let said = format!("{mode}, {what}, {size} bytes cut off at {cut}");
                let failure = scan::scan(source.bytes(), Some(&options(pool, *flags)), |_| {
                    panic!("called back: {said}")
                });
                assert_eq!(failure.expect_err(&said).errno, libc::EFAULT, "{said}");
                let (begun, _) = scan::begin(source.bytes(), &options(pool, *flags));
                assert_eq!(begun.expect_err(&said).errno, libc::EFAULT, "{said}");
                // The bytes that are not lost can be scanned.
                let there = &source.bytes()[..cut];
                scan::scan(there, Some(&options(pool, *flags)), |fd| {
                    check_content(fd, &pattern(size)[..cut]);
                    0
                })
                .expect(&said);
            }
            if let Some(pool) = pool {
                assert!(!has_memfd() || pool.lends_again());
            }
        }
        for (what, source) in &lost(&path, size, cut) {
            let failure = wrap(source.bytes(), &WrapOptions::default());
            assert_eq!(failure.expect_err(what).errno, libc::EFAULT, "{what}, {size} bytes");
        }
    }
}

pub fn lost_bytes_in_one_of_many_segments_are_efault() {
    let (folder, page) = (tempfile::tempdir_in("/dev/shm").unwrap(), page_size());
    let path = folder.path().join("file");
    let good = pattern(5 * page);
    for (mode, pool, flags) in &modes(12 * page) {
        for (what, source) in &lost(&path, 2 * page, 0) {
            for parts in [
                [&good[..], source.bytes(), &good[..]],
                [source.bytes(), &good, &good],
                [&good, &good, source.bytes()],
            ] {
                let iov: Vec<_> = parts
                    .map(|part| libc::iovec {
                        iov_base: part.as_ptr() as *mut _,
                        iov_len: part.len(),
                    })
                    .to_vec();
                let (mut handle, mut error) = (null_mut(), Error::untouched());
                // SAFETY: valid segments and options, and two writable objects.
                let status = unsafe {
                    let begin = abi::load().scan_begin_iov;
                    begin(iov.as_ptr(), iov.len(), &options(pool, *flags), &mut handle, &mut error)
                };
                assert_eq!((status, handle), (-libc::EFAULT, null_mut()), "{mode}, {what}");
            }
        }
    }
}

/// The library copies what is anonymous memory, and the kernel everything else: both in the same
/// way.
pub fn bytes_of_files_and_of_memory_are_copied_as_they_are() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = folder.path().join("file");
    let pool = Pool::new(PLENTY);
    for (round, size) in
        SIZES.into_iter().chain(SIZES.into_iter().rev()).chain([5000; 6]).enumerate()
    {
        let bytes = bytes_of(round, size);
        std::fs::write(&path, &bytes).unwrap();
        let file = map(&path, &MapOptions::default()).unwrap();
        let mapped =
            // SAFETY: mapped, and nobody changes the file.
            if size == 0 { &[] } else { unsafe { std::slice::from_raw_parts(file.data(), size) } };
        let of_file = |fd| check(fd, &bytes);
        if round % 3 == 0 { pool.scan(&bytes, of_file) } else { pool.scan(mapped, of_file) }
    }
    assert_eq!(pool.counts().dropped, 0);
}

/// The parent's memory at an address is anonymous; the child's there is a file that was made
/// shorter.
pub fn a_child_does_not_ask_about_its_parents_memory() {
    let (folder, size) = (tempfile::tempdir_in("/dev/shm").unwrap(), 20 * page_size());
    let path = folder.path().join("file");
    let pool = Pool::new(PLENTY);
    let (protection, private) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, read and unmapped below.
    let at = unsafe { libc::mmap(null_mut(), size, protection, private, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    // SAFETY: mapped; what the child does to it is what the library must find out.
    let bytes = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), size) };
    for _ in 0..3 {
        pool.scan(bytes, |_| {});
    }
    in_fork(|| {
        // The pool of the child has a file too.
        for _ in 0..3 {
            pool.scan(&pattern(size), |fd| check(fd, &pattern(size)));
        }
        std::fs::write(&path, pattern(size)).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        // SAFETY: the place of the mapping above.
        let placed = unsafe {
            libc::mmap(
                at,
                size,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_FIXED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_eq!(placed, at);
        file.set_len(1).unwrap();
        assert_eq!(pool.try_scan(0, bytes, |_| {}).unwrap_err().errno, libc::EFAULT);
    });
    pool.scan(bytes, |fd| check(fd, &vec![0; size]));
    // SAFETY: mapped above, and not used again.
    assert_eq!(unsafe { libc::munmap(at, size) }, 0);
}

/// A callback keeps an O_PATH descriptor, which cannot be noticed. Another thread cuts the file off
/// by it whenever it can.
pub fn a_file_that_is_cut_off_during_later_scans_raises_no_signal() {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
    if !has_memfd() {
        return;
    }
    let pool = Pool::new(PLENTY);
    let (kept, is_over, cuts) =
        (Mutex::new(None::<OwnedFd>), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                let Some(fd) = kept.lock().unwrap().take() else { continue };
                let path =
                    std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
                // Until the file is not used any more. The mode is what its owner needs, and not
                // root.
                for _ in 0..20 {
                    // SAFETY: a string.
                    unsafe {
                        libc::chmod(path.as_ptr(), 0o600);
                        cuts.fetch_add((libc::truncate(path.as_ptr(), 1) == 0).into(), SeqCst);
                        libc::chmod(path.as_ptr(), 0o400);
                    }
                }
            }
        });
        let bytes = pattern(1 << 20);
        let mut round = 0;
        while round < rounds(2000) || cuts.load(SeqCst) < 100 {
            round += 1;
            pool.scan(&bytes, |fd| {
                kept.lock().unwrap().get_or_insert_with(|| open_again(fd, libc::O_PATH));
            });
        }
        is_over.store(true, SeqCst);
    });
    pool.scan(&pattern(1 << 20), |fd| check(fd, &pattern(1 << 20)));
}
