//! Tests that nothing of an earlier scan is visible to a later scan: neither in the file nor past
//! its end.

use super::*;
use crate::support::abi::TRUST_CALLBACK;
use crate::support::hosts::refuse_value;

/// The byte that earlier scans contain. No later scan has it.
const SECRET: u8 = b'S';

/// Looks at everything that a callback can see, and more: makes the file larger through a writable
/// description. Then the file has its size again.
fn look_everywhere(fd: c_int, bytes: &[u8]) {
    check(fd, bytes);
    look_behind(fd, bytes);
}

fn look_behind(fd: c_int, bytes: &[u8]) {
    if !has_memfd() {
        return;
    }
    let writable = open_again(fd, libc::O_RDWR);
    let far = bytes.len() + 3 * page_size();
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::ftruncate(writable.as_raw_fd(), far as i64) }, 0);
    let seen = content(&writable);
    assert!(seen[..bytes.len()] == *bytes);
    let residue = seen[bytes.len()..].iter().filter(|byte| **byte != 0).count();
    assert_eq!(residue, 0, "bytes behind the end of {} that are not 0", bytes.len());
    // SAFETY: as above.
    assert_eq!(unsafe { libc::ftruncate(writable.as_raw_fd(), bytes.len() as i64) }, 0);
}

/// Scans `before` bytes while `leave` does something, and then scans of all sizes near it. These
/// must not see what was left. A changed file is lent again only to trusted callbacks.
fn nothing_is_left_of(leave: impl Fn(c_int, usize)) {
    for flags in [0, TRUST_CALLBACK] {
        nothing_is_left(flags, &leave);
    }
}

fn nothing_is_left(flags: u64, leave: &impl Fn(c_int, usize)) {
    let look = if flags == 0 { look_everywhere } else { look_behind };
    let page = page_size();
    let befores = [1, 100, page - 1, page, page + 1, 5 * page - 7, 40 * page + 3];
    for before in befores {
        let afters = [
            0,
            1,
            50,
            before / 2,
            before - 1,
            before,
            before + 1,
            before + 30,
            before + page,
            3 * before,
        ];
        for warm in [0, 1, 3] {
            for after in afters {
                let pool = Pool::new(PLENTY);
                for _ in 0..warm {
                    pool.scan_with(flags, &vec![SECRET; before], |_| {});
                }
                pool.scan_with(flags, &vec![SECRET; before], |fd| leave(fd, before));
                let bytes = vec![b'-'; after];
                pool.scan_with(flags, &bytes, |fd| look(fd, &bytes));
                let bytes = vec![b'+'; after + 10];
                pool.scan_with(flags, &bytes, |fd| look(fd, &bytes));
                assert!(flags == 0 || pool.counts().dropped == 0);
            }
        }
    }
}

pub fn the_rest_of_the_last_page_reads_zero() {
    nothing_is_left_of(|_, _| {});
}

pub fn stores_behind_the_end_are_never_seen_again() {
    nothing_is_left_of(scribble);
}

/// Fills the rest of the last page through a mapping of its own, and unmaps it.
fn scribble(fd: c_int, size: usize) {
    if !has_memfd() {
        return;
    }
    let writable = open_again(fd, libc::O_RDWR);
    let length = size.next_multiple_of(page_size());
    // SAFETY: a new mapping of whole pages that the file has, removed at once.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let at =
            libc::mmap(null_mut(), length, protection, libc::MAP_SHARED, writable.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        at.cast::<u8>().add(size).write_bytes(SECRET, length - size);
        assert_eq!(libc::munmap(at, length), 0);
    }
}

pub fn bytes_written_behind_the_end_are_never_seen_again() {
    let write = |fd: c_int, at: usize, length: usize| {
        let writable = open_again(fd, libc::O_RDWR);
        std::os::unix::fs::FileExt::write_all_at(
            &file(&writable),
            &vec![SECRET; length],
            at as u64,
        )
        .unwrap();
        writable
    };
    if !has_memfd() {
        return;
    }
    nothing_is_left_of(|fd, size| drop(write(fd, size, 3 * page_size())));
    nothing_is_left_of(|fd, size| drop(write(fd, size + (1 << 20), 100)));
    // Written, and cut off again, with a size that is not the one it had.
    nothing_is_left_of(|fd, size| {
        let writable = write(fd, size, 10_000);
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::ftruncate(writable.as_raw_fd(), size as i64 + 5) }, 0);
    });
}

pub fn space_reserved_behind_the_end_is_gone() {
    if !has_memfd() {
        return;
    }
    nothing_is_left_of(|fd, size| {
        let writable = open_again(fd, libc::O_RDWR);
        // SAFETY: touches no memory.
        let status = unsafe {
            libc::fallocate(writable.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, size as i64, 1 << 20)
        };
        assert_eq!(status, 0);
        scribble(fd, size);
    });
}

pub fn a_file_that_a_callback_grows_shows_zeros() {
    let pool = Pool::new(PLENTY);
    pool.scan(&vec![SECRET; 3 << 20], |_| {});
    for size in
        [(3 << 20) - 1, 2 << 20, 900_000, 400_001, 100_000, 30_000, 9000, 4096, 4095, 1000, 1]
    {
        let bytes = vec![b'-'; size];
        pool.scan(&bytes, |fd| look_everywhere(fd, &bytes));
    }
}

pub fn where_kept_pages_cannot_be_mapped_nothing_is_seen_either() {
    if !has_memfd() {
        return;
    }
    for (before, after) in
        [(100, 100), (100, 200), (5000, 5000), (5000, 5100), (5000, 60), (5000, 12_000)]
    {
        let pool = Pool::new(PLENTY);
        let (secret, bytes) = (vec![SECRET; before], vec![b'-'; after]);
        pool.scan(&secret, |fd| scribble(fd, before));
        // No address space for the mapping of the kept file; what the callback maps has room again.
        let before_limit = set_address_space(0);
        pool.scan(&bytes, |fd| {
            set_address_space(before_limit);
            look_everywhere(fd, &bytes);
        });
    }
}

/// Sets the soft limit and returns the one before.
pub fn set_address_space(bytes: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a writable, then a valid limit.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &mut limit), 0);
        let before = std::mem::replace(&mut limit.rlim_cur, bytes);
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
        before
    }
}

pub fn where_mappings_cannot_be_hidden_from_children_nothing_is_seen_either() {
    refuse_value(libc::SYS_madvise, 2, libc::MADV_DONTFORK as u64, libc::EINVAL);
    nothing_is_left_of(scribble);
}
