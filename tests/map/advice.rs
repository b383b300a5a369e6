//! Tests bytefd_map_advise: every advice the kernel has, for any bytes, and what is lost.

use std::ffi::c_int;

use super::kinds::{Kind, kinds, private, shared};
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::hosts;
use crate::support::map::{Map, map_with, page_size};

/// All advice that the header lists, by number.
const ALL: [c_int; 27] = [
    0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 100, 101,
    102, 103,
];

const DONT_NEED: c_int = 4;
const FREE: c_int = 8;
const REMOVE: c_int = 9;
const DONT_NEED_LOCKED: c_int = 24;
const COLLAPSE: c_int = 25;
const GUARD_INSTALL: c_int = 102;
const GUARD_REMOVE: c_int = 103;

fn loses(advice: c_int, is_private: bool) -> bool {
    match advice {
        DONT_NEED | DONT_NEED_LOCKED => is_private,
        FREE | REMOVE | 100 | GUARD_INSTALL => true,
        _ => false,
    }
}

/// Calls madvise(2) for the pages that hold these bytes. Returns the errno, if there is one.
fn kernel(map: &Map, start: usize, length: usize, advice: c_int) -> Option<c_int> {
    let address = map.data().addr() + start;
    let head = address % page_size();
    let at = map.data().wrapping_add(start).wrapping_sub(head);
    // SAFETY: pages of the map, and advice that keeps their bytes.
    match unsafe { libc::madvise(at.cast(), head + length, advice) } {
        0 => None,
        _ => std::io::Error::last_os_error().raw_os_error(),
    }
}

/// Returns whether the kernel knows the advice, which it checks first, even without pages.
fn is_known(map: &Map, advice: c_int) -> bool {
    let at = map.data().wrapping_sub(map.data().addr() % page_size());
    // SAFETY: no pages are given.
    let status = unsafe { libc::madvise(at.cast(), 0, advice) };
    status == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL)
}

pub fn every_advice_that_keeps_the_bytes_is_answered_as_by_the_kernel() {
    let length = 10 * page_size() + 77;
    as_nobody(|| {
        for kind in kinds() {
            for advice in ALL.into_iter().filter(|advice| !loses(*advice, kind == Kind::Private)) {
                let made = kind.filled(length);
                for (start, count) in [(0, length), (1, 1), (page_size() - 1, 2), (4000, 9000)] {
                    let outcome =
                        made.map.advise(start, count, advice, 0).map_err(|failure| failure.errno);
                    // Whether huge pages are available changes from one moment to the next.
                    let expected = match kernel(&made.map, start, count, advice) {
                        _ if advice == COLLAPSE && is_known(&made.map, advice) => outcome.err(),
                        Some(libc::EINVAL) if !is_known(&made.map, advice) => {
                            Some(libc::EOPNOTSUPP)
                        }
                        answer => answer,
                    };
                    assert_eq!(
                        outcome.err(),
                        expected,
                        "advice {advice} for {kind:?}, {count} bytes from {start}"
                    );
                    // Undone, so that the next is not answered otherwise.
                    let _ = made.map.advise(0, TO_END, GUARD_REMOVE, 0);
                }
                made.map.advise(0, TO_END, 0, 0).expect("NORMAL");
                assert!(made.map.bytes() == pattern(length), "advice {advice} for {kind:?}");
                if let Some(content) = made.content(kind) {
                    assert!(content == pattern(length), "advice {advice} for {kind:?}");
                }
            }
        }
    });
}

pub fn advice_that_loses_content_must_say_so() {
    let length = 3 * page_size();
    for kind in kinds() {
        let made = kind.filled(length);
        for advice in ALL.into_iter().filter(|advice| loses(*advice, kind == Kind::Private)) {
            for (start, count) in [(0, 0), (0, length), (1, 1)] {
                let failure = made.map.advise(start, count, advice, 0).expect_err("refused");
                assert_eq!(
                    (failure.errno, failure.op.as_str()),
                    (libc::EINVAL, "madvise"),
                    "advice {advice}"
                );
            }
        }
        assert!(made.map.bytes() == pattern(length));
    }
    // Of a file, too.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, "hello").expect("written");
    let map = map_with(&file, PRIVATE, 0).expect("mapped");
    map.store(0, b"J");
    assert_eq!(map.advise(0, TO_END, DONT_NEED, 0).expect_err("refused").errno, libc::EINVAL);
    assert_eq!(map.bytes(), b"Jello");
}

/// Gives the advice for bytes that are not whole pages, if the kernel does this with this kind of
/// memory.
fn lose(map: &Map, start: usize, length: usize, advice: c_int) -> bool {
    match map.advise(start, length, advice, LOSE_CONTENT) {
        Ok(()) => true,
        Err(failure) if failure.errno == libc::EOPNOTSUPP => !is_known(map, advice),
        // Not for this kind.
        Err(failure) => {
            assert_eq!(failure.errno, libc::EINVAL, "advice {advice}: {failure:?}");
            false
        }
    }
}

pub fn only_whole_pages_are_lost() {
    let page = page_size();
    let length = 5 * page;
    for kind in kinds() {
        for advice in [DONT_NEED, DONT_NEED_LOCKED, FREE, REMOVE] {
            let made = kind.filled(length);
            let second = kind.second_page();
            // No whole page is among these, so there is nothing to lose.
            for (start, count) in
                [(second + 1, page - 1), (second, page - 1), (second + 1, 2 * page - 2)]
            {
                lose(&made.map, start, count, advice);
                assert!(
                    made.map.bytes() == pattern(length),
                    "advice {advice} for {kind:?}, {count} from {start}"
                );
            }
            let mut expected = pattern(length);
            let is_lost = lose(&made.map, second - 1, 2 * page, advice);
            let seen = made.map.bytes();
            let page_again = &seen[second..second + page];
            if is_lost && loses(advice, kind == Kind::Private) && is_known(&made.map, advice) {
                let is_zero = page_again.iter().all(|byte| *byte == 0);
                assert!(
                    is_zero || advice == FREE && *page_again == expected[second..second + page]
                );
                expected[second..second + page].copy_from_slice(page_again);
            }
            assert!(seen == expected, "advice {advice} for {kind:?}: the neighbours");
            if let Some(content) = made.content(kind) {
                assert!(content == expected, "a hole in the file");
            }
        }
    }
    // These must work wherever this runs.
    assert!(lose(&private(page), 0, TO_END, DONT_NEED));
    let Some(map) = shared(2 * page, &MapOptions::default()) else { return };
    map.store(0, &pattern(2 * page));
    map.advise(0, page + 1, REMOVE, LOSE_CONTENT).expect("removed");
    assert!(
        map.part(0, page).iter().all(|byte| *byte == 0)
            && map.part(page, page) == pattern(2 * page)[page..]
    );
    // A last page that the map does not fill may have bytes that are not the map's.
    let map = private(page + 5);
    map.store(0, &pattern(page + 5));
    map.advise(0, TO_END, DONT_NEED, LOSE_CONTENT).expect("lost");
    assert!(map.part(0, page).iter().all(|byte| *byte == 0));
    assert_eq!(map.part(page, 5), pattern(page + 5)[page..]);
}

pub fn guard_pages_are_sigsegv_until_they_are_removed() {
    let page = page_size();
    let map = private(4 * page);
    map.store(0, &pattern(4 * page));
    if !is_known(&map, GUARD_INSTALL) {
        let failure = map.advise(0, TO_END, GUARD_INSTALL, LOSE_CONTENT).expect_err("refused");
        assert_eq!(failure.errno, libc::EOPNOTSUPP);
        return println!("SKIPPED: guard pages: this kernel has none");
    }
    map.advise(page - 1, 2 * page, GUARD_INSTALL, LOSE_CONTENT).expect("installed");
    assert_eq!(read_in_child(map.data().wrapping_add(page)), End::Killed(libc::SIGSEGV));
    assert_eq!(map.read(page, &mut [0]).expect_err("no such byte").errno, libc::EIO);
    for at in [page - 1, 2 * page] {
        assert_eq!(
            read_in_child(map.data().wrapping_add(at)),
            End::Exited(pattern(4 * page)[at].into())
        );
    }
    map.advise(0, TO_END, GUARD_REMOVE, 0).expect("removed");
    assert!(map.part(page, page).iter().all(|byte| *byte == 0));
    assert!(map.part(2 * page, 2 * page) == pattern(4 * page)[2 * page..]);
}

pub fn advice_about_children_and_dumps_is_followed() {
    let page = page_size();
    for kind in kinds() {
        let made = kind.filled(4 * page);
        let at = kind.second_page() + 3;
        let byte = End::Exited(pattern(4 * page)[at].into());
        let is_there = || read_in_child(made.map.data().wrapping_add(at));
        // The page that holds the byte.
        made.map.advise(at, 1, libc::MADV_DONTFORK, 0).expect("hidden");
        assert_eq!(is_there(), End::Killed(libc::SIGSEGV));
        assert_eq!(read_in_child(made.map.data()), End::Exited(pattern(1)[0].into()));
        made.map.advise(at, 1, libc::MADV_DOFORK, 0).expect("shown");
        assert_eq!(is_there(), byte);

        let is_left_out =
            || crate::support::map::region_at(made.map.data().addr() + at).has_flag("dd");
        made.map.advise(at, 1, libc::MADV_DONTDUMP, 0).expect("left out");
        assert!(is_left_out() && !made.map.region().has_flag("dd"));
        made.map.advise(at, 1, libc::MADV_DODUMP, 0).expect("not left out");
        assert!(!is_left_out());

        if kind == Kind::Private {
            made.map.advise(at, 1, libc::MADV_WIPEONFORK, 0).expect("wiped");
            assert_eq!(is_there(), End::Exited(0));
            made.map.advise(at, 1, libc::MADV_KEEPONFORK, 0).expect("kept");
            assert_eq!(is_there(), byte);
        }
    }
}

pub fn there_is_no_other_advice() {
    for kind in kinds() {
        for length in [0, 5000] {
            let made = kind.with(length, 0, 0);
            for advice in [5, 6, 7, 26, 63, 99, 104, 200, 0xffff, 0x20000, 0x20004, c_int::MIN, -1]
            {
                for flags in [0, LOSE_CONTENT] {
                    let failure = made.map.advise(0, TO_END, advice, flags).expect_err("refused");
                    assert_eq!(
                        (failure.errno, failure.op.as_str()),
                        (libc::EINVAL, "advice"),
                        "{advice}"
                    );
                }
            }
        }
    }
}

/// Plays a kernel that has no advice.
pub fn advice_that_the_kernel_does_not_know_is_eopnotsupp() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(3 * page_size())).expect("written");
    let made: Vec<_> = kinds().map(|kind| kind.filled(3 * page_size()).map).collect();
    let maps: Vec<_> =
        made.into_iter().chain([map_with(&file, READ, 0).expect("mapped")]).collect();
    hosts::refuse(libc::SYS_madvise, libc::EINVAL);
    for map in &maps {
        for advice in ALL {
            let failure = map.advise(1, 5000, advice, LOSE_CONTENT).expect_err("refused");
            assert_eq!(
                (failure.errno, failure.op.as_str()),
                (libc::EOPNOTSUPP, "madvise"),
                "{advice}"
            );
            assert!(failure.message.contains("MADV_"), "{}", failure.message);
        }
        assert!(map.bytes() == pattern(3 * page_size()));
    }
}
