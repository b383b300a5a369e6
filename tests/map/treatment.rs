//! Locks, protects, reads in and flushes any bytes of a map.

use std::ffi::c_int;

use super::huge_memory::present;
use super::kinds::{Kind, Made, kinds, private};
use crate::faults::conditions::*;
use crate::support::abi::{self, *};
use crate::support::fd::{Failure, pattern, result};
use crate::support::hosts;
use crate::support::map::{Map, Region, map, map_with, page_size, region_at};

const PAGES: usize = 6;

fn all() -> impl Iterator<Item = (Kind, Made)> {
    kinds().map(|kind| (kind, kind.filled(PAGES * page_size())))
}

/// Returns what the kernel says about the page of this byte.
fn at(map: &Map, byte: usize) -> Region {
    region_at(map.data().addr() + byte)
}

pub fn locks_are_for_the_pages_of_the_bytes_and_do_not_add_up() {
    let page = page_size();
    for (kind, made) in all() {
        let (map, second) = (&made.map, kind.second_page());
        let is_locked = |byte| at(map, byte).has_flag("lo");
        map.mlock(second + page - 1, 2).expect("locked");
        for (byte, expected) in [(second - 1, false), (second, true), (second + 2 * page - 1, true)]
        {
            assert_eq!(is_locked(byte), expected, "{kind:?}, byte {byte}");
        }
        assert!(!is_locked(second + 2 * page));
        map.mlock(second, 1).expect("locked again");
        map.munlock(second + 5, 1).expect("unlocked");
        assert!(!is_locked(second) && is_locked(second + page));
        map.mlock(0, TO_END).expect("all of it");
        assert!(is_locked(0) && is_locked(map.length() - 1));
        map.munlock(second, TO_END).expect("from there to the end");
        assert!(is_locked(0) && !is_locked(second) && !is_locked(map.length() - 1));
        map.munlock(0, TO_END).expect("unlocked");
        assert!(map.bytes() == pattern(map.length()));
    }
}

pub fn a_lock_past_the_end_of_the_file_is_enomem() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let options =
        MapOptions { length: 3 * page_size(), flags: BEYOND_EOF, ..MapOptions::default() };
    let map = map(&file, &options).expect("mapped");
    assert_eq!(map.mlock(0, TO_END).expect_err("refused").errno, libc::ENOMEM);
}

pub fn a_lock_beyond_the_limit_is_refused() {
    for (_, made) in all() {
        for (limit, errno) in [(0, libc::EPERM), (page_size() as u64, libc::ENOMEM)] {
            let locked = || {
                with_limit(libc::RLIMIT_MEMLOCK, limit, || as_nobody(|| made.map.mlock(0, TO_END)))
            };
            let failure = locked().expect_err("refused");
            assert_eq!((failure.errno, failure.op.as_str()), (errno, "mlock"));
        }
        assert!(made.map.bytes() == pattern(made.map.length()));
    }
}

pub fn protections_are_for_the_pages_of_the_bytes() {
    let page = page_size();
    for (kind, made) in all() {
        let (map, second) = (&made.map, kind.second_page());
        let (sharing, bytes) =
            (if kind == Kind::Private { 'p' } else { 's' }, pattern(map.length()));
        let permissions = |byte| at(map, byte).permissions().to_string();
        let address = |byte| map.data().wrapping_add(byte);
        for (protection, shown) in [(0, "---"), (1, "r--"), (3, "rw-")] {
            map.protect(second + 1, page, protection).expect("protected");
            for byte in [second, second + 2 * page - 1] {
                assert_eq!(
                    permissions(byte),
                    format!("{shown}{sharing}"),
                    "{kind:?}, protection {protection}"
                );
                let read = End::Exited(bytes[byte].into());
                assert_eq!(
                    read_in_child(address(byte)),
                    if protection == 0 { End::Killed(libc::SIGSEGV) } else { read }
                );
                let stored =
                    if protection == 3 { End::Exited(0) } else { End::Killed(libc::SIGSEGV) };
                assert_eq!(store_in_child(address(byte), bytes[byte]), stored);
            }
            assert_eq!(permissions(second - 1), format!("rw-{sharing}"));
            assert_eq!(permissions(second + 2 * page), format!("rw-{sharing}"));
        }
        map.protect(0, TO_END, 1).expect("all of it");
        assert_eq!(permissions(0), permissions(map.length() - 1));
        assert_eq!(store_in_child(address(0), 1), End::Killed(libc::SIGSEGV));
        map.protect(0, TO_END, 3).expect("and back");
        assert!(map.bytes() == bytes);
    }
}

pub fn protections_that_a_map_was_not_made_for_are_eacces() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    for (access, flags) in
        [(READ, 0), (READ, EXECUTE), (WRITE, 0), (PRIVATE, 0), (WRITE, EXECUTE), (PRIVATE, EXECUTE)]
    {
        let map = map_with(&file, access, flags).expect("mapped");
        for protection in 0..8 {
            let errno = match protection {
                // Nobody may write or execute what cannot be read.
                2 | 4 | 6 => Some(libc::EINVAL),
                _ if protection & 2 != 0 && access == READ => Some(libc::EACCES),
                _ if protection & 4 != 0 && flags != EXECUTE => Some(libc::EACCES),
                _ => None,
            };
            let outcome = map.protect(0, TO_END, protection).map_err(|failure| failure.errno);
            assert_eq!(
                outcome.err(),
                errno,
                "access {access}, flags {flags}, protection {protection}"
            );
        }
        for protection in [8, 9, 1 << 16, 1 << 24, i32::MIN, -1] {
            assert_eq!(
                map.protect(0, TO_END, protection).expect_err("refused").errno,
                libc::EINVAL
            );
        }
    }
}

pub fn prefetched_pages_are_there() {
    let page = page_size();
    for kind in kinds() {
        let made = kind.with(PAGES * page, NO_RESERVE, 0);
        made.map.prefetch(kind.second_page() - 1, page + 2).expect("read in");
        assert!(present(&made.map) >= 3, "{kind:?}");
        made.map.prefetch(0, TO_END).expect("read in");
        assert_eq!(present(&made.map), PAGES + usize::from(kind == Kind::Part), "{kind:?}");
        assert!(made.map.bytes().iter().all(|byte| *byte == 0));
    }
}

pub fn prefetching_what_does_not_exist_is_eio() {
    let page = page_size();
    for access in [READ, WRITE, PRIVATE] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, pattern(3 * page)).expect("written");
        let map = map_with(&file, access, 0).expect("mapped");
        file.as_file().set_len(page as u64 + 1).expect("cut");
        map.prefetch(0, 2 * page).expect("these exist, and what follows in their last page");
        for (start, length) in [(0, TO_END), (2 * page, 1), (2 * page - 1, 2), (page + 100, page)] {
            let failure = map.prefetch(start, length).expect_err("cut off");
            assert_eq!(failure.errno, libc::EIO, "{length} bytes from {start}: {failure:?}");
        }
        file.as_file().set_len(3 * page as u64).expect("grown");
        map.prefetch(0, TO_END).expect("they are back");
        map.protect(0, 1, 0).expect("protected");
        assert_eq!(map.prefetch(0, 1).expect_err("cannot be read").errno, libc::EIO);
    }
}

/// Plays Linux before 5.14.
pub fn a_kernel_that_does_not_populate_prefetches_all_the_same() {
    hosts::refuse_value(libc::SYS_madvise, 2, 22, libc::EINVAL);
    prefetched_pages_are_there();
    prefetching_what_does_not_exist_is_eio();
}

pub fn flushing_may_invalidate_but_not_what_is_locked() {
    for (kind, made) in all().filter(|(kind, _)| *kind != Kind::Private) {
        let second = kind.second_page();
        for how in [libc::MS_SYNC | libc::MS_INVALIDATE, libc::MS_ASYNC | libc::MS_INVALIDATE] {
            made.map.flush(second + 1, 5000, how).expect("flushed");
            made.map.mlock(second, 1).expect("locked");
            for (start, length) in [(0, TO_END), (second, 1), (second - 1, 2)] {
                assert_eq!(
                    made.map.flush(start, length, how).expect_err("locked").errno,
                    libc::EBUSY,
                    "{kind:?}"
                );
                made.map.flush(start, length, libc::MS_SYNC).expect("flushed");
            }
            made.map.flush(0, 1, how).expect("that page is not locked");
            made.map.munlock(second, 1).expect("unlocked");
        }
        assert!(made.map.bytes() == pattern(made.map.length()));
        let content = made.content(kind);
        assert!(content.is_none_or(|content| content == pattern(made.map.length())));
    }
}

fn done(call: impl FnOnce(&mut Error) -> c_int) -> Result<(), Failure> {
    let mut error = Error::untouched();
    let status = call(&mut error);
    result(status, &error).map(|status| assert_eq!(status, 0))
}

pub fn a_length_of_0_is_nothing_for_all_but_unmap() {
    for (kind, made) in all() {
        let (map, length) = (&made.map, made.map.length());
        for start in [0, 1, page_size(), length] {
            if kind != Kind::Private {
                map.flush(start, 0, libc::MS_SYNC).expect("nothing");
            }
            map.advise(start, 0, libc::MADV_REMOVE, LOSE_CONTENT).expect("nothing");
            map.advise(start, 0, libc::MADV_DONTNEED, LOSE_CONTENT).expect("nothing");
            map.mlock(start, 0).expect("nothing");
            map.munlock(start, 0).expect("nothing");
            map.protect(start, 0, libc::PROT_NONE).expect("nothing");
            map.prefetch(start, 0).expect("nothing");
            assert_eq!(map.read(start, &mut []).expect("nothing"), 0);
            assert_eq!(map.write(start, &[]).expect("nothing"), 0);
            // SAFETY: refused before a page goes.
            let unmapped =
                done(|error| unsafe { (abi::load().map_unmap)(map.raw(), start, 0, error) });
            let failure = unmapped.expect_err("refused");
            assert_eq!((failure.errno, failure.op.as_str()), (libc::EINVAL, "length"));
        }
        assert!(!map.region().has_flag("lo") && map.bytes() == pattern(length), "{kind:?}");
    }
}

pub fn ranges_outside_of_the_map_are_einval_for_all() {
    let abi = abi::load();
    for (kind, made) in all() {
        let (map, length) = (&made.map, made.map.length());
        for (start, count) in [
            (0, length + 1),
            (length, 1),
            (length + 1, 0),
            (length + 1, TO_END),
            (1, TO_END - 1),
            (usize::MAX, 1),
        ] {
            let outcomes = [
                map.flush(start, count, libc::MS_SYNC),
                map.advise(start, count, 0, 0),
                map.advise(start, count, 4, LOSE_CONTENT),
                map.mlock(start, count),
                map.munlock(start, count),
                map.protect(start, count, 0),
                map.prefetch(start, count),
                // No buffer is as long as the longest.
                map.read(start, &mut vec![0; count.min(2 * length)]).map(drop),
                map.write(start, &vec![0; count.min(2 * length)]).map(drop),
                // SAFETY: refused before a page goes.
                done(|error| unsafe { (abi.map_unmap)(map.raw(), start, count, error) }),
            ];
            for outcome in outcomes {
                assert_eq!(
                    outcome.expect_err("refused").errno,
                    libc::EINVAL,
                    "{kind:?}, {count} from {start}"
                );
            }
        }
        assert!(map.bytes() == pattern(length));
    }
}

pub fn refusals_say_what_was_asked_for_and_what_there_is() {
    let mut map = private(5000);
    for failure in [
        map.advise(4000, 2000, 0, 0).expect_err("refused"),
        map.mlock(4000, 2000).expect_err("refused"),
        map.protect(4000, 2000, 1).expect_err("refused"),
        map.prefetch(4000, 2000).expect_err("refused"),
        map.unmap(4000, 2000).expect_err("refused"),
    ] {
        assert_eq!(failure.op, "range");
        for number in ["4000", "6000", "5000"] {
            assert!(failure.message.contains(number), "{failure:?}");
        }
    }
    let failure = map.resize(usize::MAX).expect_err("refused");
    assert!(
        failure.message.contains("5000") && failure.message.contains(&usize::MAX.to_string()),
        "{failure:?}"
    );
}
