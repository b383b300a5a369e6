//! Tests bytefd_map_unmap, which unmaps parts of a map before the rest.

use std::os::fd::AsRawFd;

use super::kinds::{Kind, Made, kinds};
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{self, Failure, pattern};
use crate::support::hosts;
use crate::support::map::{Map, map_fd, memory, page_size};

const PAGES: usize = 8;

/// Makes a map of each kind, with address space after it.
fn all() -> impl Iterator<Item = (Kind, Made)> {
    kinds().flat_map(|kind| {
        [0, 1 << 30].map(|reserve| {
            let made = kind.with(PAGES * page_size(), 0, reserve);
            made.map.store(0, &pattern(PAGES * page_size()));
            (kind, made)
        })
    })
}

/// Returns whether anything is mapped at this byte. Asks the kernel: mincore(2) answers ENOMEM if
/// not.
fn is_mapped(map: &Map, at: usize) -> bool {
    let address = map.data().wrapping_add(at);
    let start = address.wrapping_sub(address.addr() % page_size());
    // SAFETY: one page, and a byte for it.
    unsafe { libc::mincore(start.cast(), 1, &mut 0) == 0 }
}

fn is_einval<T: std::fmt::Debug>(outcome: Result<T, Failure>) {
    let failure = outcome.expect_err("refused");
    assert_eq!(failure.errno, libc::EINVAL, "{failure:?}");
}

/// A foreign mapping in the place of a page. The map must no longer unmap that page.
struct Stranger(*mut u8);

impl Stranger {
    fn at(address: *mut u8) -> Stranger {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: nothing is replaced.
        let at = unsafe { libc::mmap(address.cast(), page_size(), access, flags, -1, 0) };
        assert_eq!(at.cast(), address, "{}", std::io::Error::last_os_error());
        // SAFETY: mapped just now.
        unsafe { address.write_volatile(b'?') };
        Stranger(address)
    }

    /// Ends it. Returns whether it was still the same.
    fn end(self) -> bool {
        // SAFETY: a page for the answer; the page itself is this test's.
        unsafe {
            let is_mapped = libc::mincore(self.0.cast(), 1, &mut 0) == 0;
            let is_same = is_mapped && self.0.read_volatile() == b'?';
            is_same && libc::munmap(self.0.cast(), page_size()) == 0
        }
    }
}

pub fn whole_pages_go_and_what_is_around_stays() {
    let page = page_size();
    let all_bytes = pattern(PAGES * page);
    for (kind, mut made) in all() {
        let second = kind.second_page();
        // Bytes of the second to fourth page, whole is the third.
        made.map.unmap(second + 1, 2 * page + 5).expect("unmapped");
        let (gone, there) = (
            second + page,
            [0, second - 1, second + page - 1, second + 2 * page, PAGES * page - 1],
        );
        assert!(!is_mapped(&made.map, gone) && !is_mapped(&made.map, gone + page - 1), "{kind:?}");
        for at in there {
            assert_eq!(made.map.part(at, 1), all_bytes[at..at + 1], "{kind:?}, byte {at}");
        }
        assert_eq!(read_in_child(made.map.data().wrapping_add(gone)), End::Killed(libc::SIGSEGV));
        assert_eq!(made.map.length(), PAGES * page, "it keeps its length");
        // Less than a page is nothing.
        made.map.unmap(second + 3 * page, page - 1).expect("nothing to unmap");
        made.map.unmap(second + 3 * page + 1, page - 1).expect("nothing to unmap");
        assert!(is_mapped(&made.map, second + 3 * page));
        let file = made.content(kind);
        assert!(file.is_none_or(|content| content == all_bytes), "the file has all of it");
    }
}

/// The first and the last page belong to the map, even if the map does not fill them.
pub fn the_pages_at_both_ends_go_as_a_whole() {
    let page = page_size();
    let file = fd::wrap_with(&pattern(3 * page), 0, AUTO).expect("a descriptor");
    let part = MapOptions { offset: 5, length: 2 * page, ..MapOptions::default() };
    let mut map = map_fd(file.as_raw_fd(), &part).expect("mapped");
    let last = 2 * page - 1;
    map.unmap(0, page - 5).expect("unmapped");
    assert!(!is_mapped(&map, 0) && is_mapped(&map, page - 5) && is_mapped(&map, last));
    map.unmap(2 * page - 5, TO_END).expect("unmapped");
    assert!(!is_mapped(&map, last));
    assert_eq!(map.part(page - 5, page), pattern(3 * page)[page..2 * page]);
}

pub fn operations_on_bytes_that_are_gone_are_einval() {
    let page = page_size();
    for (kind, mut made) in all() {
        let gone = kind.second_page();
        made.map.unmap(gone, page).expect("unmapped");
        let map = &mut made.map;
        for (start, length) in
            [(0, TO_END), (gone, 1), (gone + page - 1, 2), (gone - 1, 2), (0, PAGES * page)]
        {
            let count = length.min(PAGES * page);
            is_einval(map.advise(start, length, 0, 0));
            is_einval(map.mlock(start, length));
            is_einval(map.munlock(start, length));
            is_einval(map.protect(start, length, 1));
            is_einval(map.prefetch(start, length));
            is_einval(map.flush(start, length, libc::MS_SYNC));
            is_einval(map.read(start, &mut vec![0; count]));
            is_einval(map.write(start, &vec![0; count]));
        }
        is_einval(map.resize(1));
        is_einval(map.resize(PAGES * page + 1));
        is_einval(map.seal());
        for (start, length) in [(0, gone), (gone + page, TO_END), (gone + page, 1)] {
            map.advise(start, length, 0, 0).expect("there");
            map.prefetch(start, length).expect("there");
            map.protect(start, length, 1).expect("there");
            map.protect(start, length, 3).expect("there");
        }
        map.write(0, b"hello").expect("written");
        assert_eq!(map.part(0, 5), b"hello");
        is_einval(map.unmap(0, PAGES * page + 1));
        is_einval(map.unmap(PAGES * page + 1, TO_END));
        is_einval(map.unmap(0, 0));
    }
}

pub fn front_middle_and_back_go_in_any_order_and_more_than_once() {
    let page = page_size();
    let length = PAGES * page;
    let parts = [
        vec![(0, page), (0, 2 * page)],
        vec![(length - page, page), (length - 2 * page, 2 * page), (length - page, TO_END)],
        vec![(3 * page, page), (3 * page, page), (2 * page, 3 * page)],
        vec![(5 * page, page), (page, page), (3 * page, page), (0, TO_END)],
        vec![(page, 3 * page), (2 * page, 4 * page)],
        vec![(2 * page, page), (4 * page, page), (page, 5 * page)],
        vec![(0, TO_END), (0, TO_END), (1, 1)],
    ];
    for parts in parts {
        for (kind, mut made) in all() {
            let mut is_there = vec![true; length];
            for (start, count) in &parts {
                made.map.unmap(*start, *count).expect("unmapped");
                // An end of the map is also unmapped to the end of its page, because no other bytes
                // are there.
                let head = kind.head();
                let end = if *count == TO_END { length } else { start + count };
                let first = if *start == 0 {
                    0
                } else {
                    (head + start).next_multiple_of(page).saturating_sub(head)
                };
                let last = if end == length {
                    length
                } else {
                    ((head + end) / page * page).saturating_sub(head)
                };
                (first..last.max(first)).for_each(|at| is_there[at] = false);
            }
            for at in (0..length).step_by(page / 2) {
                assert_eq!(
                    is_mapped(&made.map, at),
                    is_there[at],
                    "{kind:?}, {parts:?}, byte {at}"
                );
                assert_eq!(made.map.read(at, &mut [0]).is_ok(), is_there[at]);
            }
        }
    }
}

/// Runs alone, because the address must still be free when the test maps something there.
pub fn closing_leaves_alone_what_others_mapped_into_a_hole() {
    let page = page_size();
    for (kind, mut made) in all() {
        let (second, length) = (kind.second_page(), made.map.length());
        let at = |byte: usize| made.map.data().wrapping_add(byte);
        let holes = [second, second + 2 * page, second + 3 * page];
        let addresses = holes.map(at);
        let (first, last) = (at(0), at(length - 1));
        made.map.unmap(second, page).expect("unmapped");
        let one = Stranger::at(addresses[0]);
        // The next hole is beside another. The last one covers both holes and the stranger.
        made.map.unmap(second + 2 * page, page).expect("unmapped");
        let two = Stranger::at(addresses[1]);
        made.map.unmap(second + 3 * page, page).expect("unmapped");
        made.map.unmap(second, 4 * page).expect("unmapped");
        let three = Stranger::at(addresses[2]);
        is_einval(made.map.write(second, b"!"));
        drop(made);
        for stranger in [one, two, three] {
            assert!(stranger.end(), "{kind:?}");
        }
        let page_of = |address: *mut u8| address.wrapping_sub(address.addr() % page).cast();
        // SAFETY: one page each, and a byte for it.
        let still =
            [first, last].map(|address| unsafe { libc::mincore(page_of(address), 1, &mut 0) == 0 });
        assert_eq!(still, [false, false], "the rest is unmapped");
    }
}

/// Returns the bytes of address space that this process has.
pub fn address_space() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    statm.split(' ').next().expect("a number").parse::<usize>().expect("a number") * page_size()
}

pub fn closing_gives_all_address_space_back() {
    for kind in kinds() {
        for (flags, reserve) in [(0, 0), (0, 1 << 30), (POPULATE, 1 << 30)] {
            let before = address_space();
            let mut made = kind.with(PAGES * page_size(), flags, reserve);
            assert!(address_space() >= before + reserve);
            made.map.unmap(page_size(), 2 * page_size()).expect("unmapped");
            drop(made);
            // The allocator takes and gives some.
            assert!(
                address_space() < before + (256 << 10),
                "{kind:?}, flags {flags}, {reserve} kept"
            );
        }
    }
}

pub fn closing_reports_that_the_kernel_unmapped_nothing() {
    let options = MapOptions { access: PRIVATE, ..MapOptions::default() };
    let map = memory(page_size(), &options).expect("memory");
    let raw = map.raw();
    std::mem::forget(map);
    hosts::refuse(libc::SYS_munmap, libc::ENOMEM);
    // SAFETY: the map is closed once.
    assert_eq!(unsafe { (load().map_close)(raw) }, -libc::ENOMEM);
}
