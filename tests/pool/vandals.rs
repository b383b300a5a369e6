//! Tests callbacks that change what they were lent, through a description of their own or by its
//! number. Later scans are right.

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::fs::PermissionsExt;

use super::*;

/// Scans with `harm` in every third scan, at sizes that grow and shrink. All other scans must be
/// right. A harmed file is not reused.
fn scans_are_right_beside(what: &str, harm: impl Fn(c_int, usize)) {
    let dropped = scans_beside(what, harm);
    assert!(!shows_each_change() || dropped > 0, "{what}");
}

/// Does the same with a function that changes nothing.
fn files_are_lent_again_beside(what: &str, harm: impl Fn(c_int, usize)) {
    assert_eq!(scans_beside(what, harm), 0, "{what}: nothing is held or changed");
}

/// Makes the scans. Returns how many files were dropped.
fn scans_beside(what: &str, harm: impl Fn(c_int, usize)) -> u64 {
    let pool = Pool::new(PLENTY);
    for (round, size) in
        SIZES.into_iter().chain(SIZES.into_iter().rev()).chain([5000; 12]).enumerate()
    {
        for step in 0..3 {
            let bytes = bytes_of(round * 3 + step, size);
            pool.scan(&bytes, |fd| {
                check(fd, &bytes);
                if step == 1 {
                    harm(fd, size);
                }
            });
        }
    }
    assert!(!has_memfd() || pool.lends_again(), "{what}");
    pool.counts().dropped
}

pub fn callbacks_that_change_the_file_through_a_description_of_their_own_disturb_nobody() {
    if !has_memfd() {
        return;
    }
    let truncate = |fd: c_int, size: usize| {
        let writable = open_again(fd, libc::O_RDWR);
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::ftruncate(writable.as_raw_fd(), size as i64) }, 0);
    };
    let punch = |fd: c_int, start: usize, length: usize| {
        let writable = open_again(fd, libc::O_RDWR);
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        assert_eq!(
            // SAFETY: touches no memory.
            unsafe { libc::fallocate(writable.as_raw_fd(), mode, start as i64, length as i64) },
            0
        );
    };
    scans_are_right_beside("writing", |fd, size| {
        let writable = open_again(fd, libc::O_RDWR);
        std::os::unix::fs::FileExt::write_all_at(&file(&writable), &vec![b'X'; size + 9000], 0)
            .unwrap();
    });
    scans_are_right_beside("truncating to 0", |fd, _| truncate(fd, 0));
    scans_are_right_beside("truncating by O_TRUNC", |fd, _| {
        drop(open_again(fd, libc::O_RDWR | libc::O_TRUNC))
    });
    scans_are_right_beside("truncating to a half", |fd, size| truncate(fd, size / 2));
    scans_are_right_beside("growing", |fd, size| truncate(fd, size * 3 + 10_000));
    scans_are_right_beside("growing to a tebibyte", |fd, _| truncate(fd, 1 << 40));
    scans_are_right_beside("punching all out", |fd, size| punch(fd, 0, size + 1));
    scans_are_right_beside("punching a page out", |fd, _| punch(fd, 4096, 4096));
    scans_are_right_beside("storing through a mapping", |fd, size| {
        let (writable, length) = (open_again(fd, libc::O_RDWR), size.next_multiple_of(page_size()));
        if length == 0 {
            return;
        }
        // SAFETY: a new mapping of pages that the file has, removed at once.
        unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(
                null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                writable.as_raw_fd(),
                0,
            );
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>().write_bytes(b'X', length);
            assert_eq!(libc::munmap(at, length), 0);
        }
    });
    files_are_lent_again_beside("moving the offset", |fd, _| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::lseek(fd, 12_345, libc::SEEK_SET) }, 12_345);
    });
    files_are_lent_again_beside("changing the status flags", |fd, _| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | libc::O_APPEND) }, 0);
    });
}

/// fchmod needs no more than the descriptor that was lent.
pub fn a_mode_that_a_callback_sets_does_not_stay() {
    scans_are_right_beside("a mode for everybody", |fd, _| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fchmod(fd, 0o666) }, 0);
    });
    scans_are_right_beside("a mode for nobody", |fd, _| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fchmod(fd, 0) }, 0);
    });
}

/// A callback that keeps an O_PATH descriptor can change the mode of a cached file. The pool then
/// drops the file.
pub fn a_mode_that_is_set_between_scans_does_not_stay() {
    if !has_memfd() {
        return;
    }
    let pool = Pool::new(PLENTY);
    for round in 1..5 {
        let mut path = None;
        pool.scan(b"hello", |fd| {
            check(fd, b"hello");
            path = Some(open_again(fd, libc::O_PATH));
        });
        let path = format!("/proc/self/fd/{}", path.as_ref().expect("opened").as_raw_fd());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).expect("another");
        pool.scan(b"hello", |fd| check(fd, b"hello"));
        assert_eq!(pool.counts().dropped, round, "the file of mode 0666");
    }
}

pub fn an_owner_that_a_callback_sets_does_not_stay() {
    use std::os::unix::fs::MetadataExt;
    let pool = Pool::new(PLENTY);
    let mut owner = None;
    for round in 0..4 {
        pool.scan(b"hello", |fd| {
            let is = metadata(&duplicate(fd)).uid();
            assert_eq!(*owner.get_or_insert(is), is, "in scan {round}");
            // SAFETY: touches no memory. Only root can.
            unsafe { libc::fchown(fd, 65_534, 65_534) };
        });
    }
}

/// The callback keeps a writable description, changes everything after the scan, and closes it
/// before the next.
pub fn what_is_changed_between_scans_does_not_stay() {
    use std::os::unix::fs::MetadataExt;
    if !has_memfd() {
        return;
    }
    let pool = Pool::new(PLENTY);
    for round in 0..4 {
        let mut kept = None;
        pool.scan(&[round; 5], |fd| {
            // SAFETY: touches no memory. The mode of files is their owner's to change.
            assert_eq!(unsafe { libc::fchmod(fd, 0o600) }, 0);
            kept = Some(open_again(fd, libc::O_RDWR));
            // SAFETY: as above.
            assert_eq!(unsafe { libc::fchmod(fd, 0o400) }, 0);
        });
        let kept = kept.unwrap();
        let length = 2 * page_size();
        // SAFETY: a mapping of the file's new size, written and removed.
        unsafe {
            assert_eq!(libc::ftruncate(kept.as_raw_fd(), length as i64 - 1), 0);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let at =
                libc::mmap(null_mut(), length, protection, libc::MAP_SHARED, kept.as_raw_fd(), 0);
            at.cast::<u8>().write_bytes(b'X', length);
            libc::munmap(at, length);
            libc::fchmod(kept.as_raw_fd(), 0o666);
        }
        drop(kept);
        let bytes = vec![b'n'; length - 1];
        pool.scan(&bytes, |fd| {
            check(fd, &bytes);
            let fd = duplicate(fd);
            assert_eq!(metadata(&fd).mode() & 0o777, 0o400);
            assert_eq!(
                mapped(&fd, libc::PROT_READ, libc::MAP_SHARED).unwrap()[length - 1],
                0,
                "past the end"
            );
        });
    }
}

/// Scanners mark what they have found clean.
pub fn an_attribute_that_a_callback_sets_does_not_stay() {
    let pool = Pool::new(PLENTY);
    let name = c"user.scanned".as_ptr();
    for round in 0..4 {
        pool.scan(b"hello", |fd| {
            // SAFETY: a string, and no or a valid buffer. Where the file takes no attributes there
            // is nothing to find.
            unsafe {
                let length = libc::fgetxattr(fd, name, null_mut(), 0);
                assert_eq!(length, -1, "scan {round} has an attribute of the one before");
                libc::fsetxattr(fd, name, c"clean".as_ptr().cast(), 5, 0);
            }
        });
    }
}

pub fn seals_cannot_be_added() {
    if !has_memfd() {
        return;
    }
    files_are_lent_again_beside("sealing", |fd, _| {
        for writable in [open_again(fd, libc::O_RDWR), duplicate(fd)] {
            for seal in [libc::F_SEAL_WRITE, libc::F_SEAL_GROW, libc::F_SEAL_SHRINK, 0x10, 0x20] {
                // SAFETY: touches no memory.
                let status = unsafe { libc::fcntl(writable.as_raw_fd(), libc::F_ADD_SEALS, seal) };
                assert_eq!(status, -1, "seal {seal:#x} was added");
            }
        }
    });
}

pub fn a_callback_may_close_the_number() {
    files_are_lent_again_beside("closing", |fd, _| {
        // SAFETY: on loan, and the header allows it.
        assert_eq!(unsafe { libc::close(fd) }, 0);
    });
}

pub fn a_number_the_callback_gave_to_another_file_stays_that_file() {
    let other = wrap(b"other", &WrapOptions::default()).unwrap();
    let number = std::cell::Cell::new(-1);
    let take_back = || {
        if number.get() >= 0 {
            // SAFETY: made by dup2 below, and left alone since.
            assert_eq!(content(&unsafe { OwnedFd::from_raw_fd(number.replace(-1)) }), b"other");
        }
    };
    files_are_lent_again_beside("dup2", |fd, _| {
        take_back();
        // SAFETY: closes the one on loan and puts another file in its place, as a client that takes
        // over may.
        assert_eq!(unsafe { libc::dup3(other.as_raw_fd(), fd, libc::O_CLOEXEC) }, fd);
        number.set(fd);
    });
    take_back();
}

/// The number stands for the same file, so that no other file can be meant.
pub fn a_number_the_callback_gave_back_as_a_new_description_is_closed() {
    let pool = Pool::new(PLENTY);
    let before = memory_files().len();
    for _ in 0..5 {
        let mut number = -1;
        pool.scan(b"hello", |fd| {
            number = fd;
            let own = open_again(fd, libc::O_RDONLY).into_raw_fd();
            // SAFETY: the one on loan is replaced by the one just opened, whose first number is
            // closed.
            unsafe {
                assert_eq!(libc::dup3(own, fd, libc::O_CLOEXEC), fd);
                assert_eq!(libc::close(own), 0);
            }
        });
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1, "closed");
    }
    assert!(memory_files().len() <= before + 1, "no more than the one file that is kept");
    assert_eq!(pool.counts().dropped, 0);
}

pub fn a_lock_that_a_callback_took_does_not_stay() {
    let pool = Pool::new(PLENTY);
    for _ in 0..5 {
        pool.scan(b"hello", |fd| {
            check(fd, b"hello");
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) }, 0);
            // Refused while others have the file open for writing, and gone with its description.
            // SAFETY: as above.
            unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) };
        });
    }
    assert_eq!(pool.counts().dropped, 0);
}

/// Tests "at most `max_bytes` of memory", whatever the callback did to the file.
pub fn memory_that_a_callback_added_is_not_kept_beyond_the_bound() {
    if !has_memfd() {
        return;
    }
    const BOUND: usize = 1 << 20;
    for flags in [0, libc::FALLOC_FL_KEEP_SIZE] {
        let pool = Pool::new(BOUND);
        for _ in 0..3 {
            pool.scan(b"hello", |fd| {
                let writable = open_again(fd, libc::O_RDWR);
                // SAFETY: touches no memory.
                assert_eq!(unsafe { libc::fallocate(writable.as_raw_fd(), flags, 0, 8 << 20) }, 0);
            });
            let kept: u64 = memory_files().into_iter().map(|(fd, ..)| memory_of(fd)).sum();
            assert!(kept <= BOUND as u64, "{kept} bytes of memory are kept, the bound is {BOUND}");
            assert_eq!(kept, pool.counts().cached_bytes, "what is kept is what is counted");
        }
    }
}
