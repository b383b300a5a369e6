//! Pages past the end of the file, which are lost in growing runs: no order of access takes more
//! mappings than there may be, and nothing that the file still has is lost.

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::memory::*;
use super::threads::{THREADS, together};
use crate::faults::conditions::{End, in_child};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{Map, map, map_with, page_size};
use crate::support::{random, rounds};

/// Mappings of the process within the map.
fn mappings(map: &Map) -> usize {
    let text = std::fs::read_to_string("/proc/self/maps").expect("the list of mappings");
    let start = map.data().addr();
    let ranges = text.lines().map(|line| {
        let (range, _) = line.split_once(' ').expect("a range");
        let (from, to) = range.split_once('-').expect("two addresses");
        [from, to].map(|address| usize::from_str_radix(address, 16).expect("a number"))
    });
    ranges.filter(|[from, to]| *from < start + map.length() && start < *to).count()
}

/// Numbers in an order that is always the same and looks like none.
fn shuffle(numbers: &mut [usize]) {
    let mut state = 88172645463325252u64;
    for at in (1..numbers.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        numbers.swap(at, state as usize % (at + 1));
    }
}

/// Every second page in this order, and all of them from behind.
fn orders(pages: usize) -> [Vec<usize>; 4] {
    let forwards: Vec<usize> = (1..pages).step_by(2).collect();
    let backwards = forwards.iter().rev().copied().collect();
    let mut random = forwards.clone();
    shuffle(&mut random);
    [forwards, backwards, random, (1..pages).rev().collect()]
}

pub fn a_gibibyte_is_survived_in_any_order() {
    let length: usize = 1 << 30;
    let file = file(0);
    for order in orders(length / page_size()) {
        for threads in [1, THREADS] {
            let end = in_child(|| {
                file.as_file().set_len(length as u64).expect("sparse");
                let map = guarded(&file, READ);
                cut(&file, 1);
                std::thread::scope(|scope| {
                    for thread in 0..threads {
                        let (map, order) = (&map, &order);
                        scope.spawn(move || {
                            let pages = order.iter().skip(thread).step_by(threads);
                            pages.for_each(|page| assert_eq!(byte(map, page * page_size()), 0));
                        });
                    }
                });
                assert!(is_lost(&map) && byte(&map, 0) == 0);
                assert!(mappings(&map) < 200, "{} mappings", mappings(&map));
                0
            });
            assert_eq!(end, End::Exited(0), "{threads} threads, pages {:?}", &order[..3]);
        }
    }
}

/// Neither what is stored into replaced pages, nor what the file still has.
pub fn no_store_is_forgotten_in_any_order() {
    let (page, pages) = (page_size(), 4096);
    let kept = pages / 3;
    for access in [WRITE, PRIVATE] {
        for mut order in orders(pages) {
            let file = file(pages);
            let map = guarded(&file, access);
            cut(&file, kept * page);
            order.retain(|number| *number >= kept);
            together(|thread| {
                for number in order.iter().skip(thread).step_by(THREADS) {
                    put(&map, number * page, *number as u8 | 1);
                    assert_eq!(byte(&map, number * page), *number as u8 | 1);
                }
            });
            assert!(order.iter().all(|number| byte(&map, number * page) == *number as u8 | 1));
            assert!(map.part(0, kept * page) == pattern(kept * page), "what the file has");
            put(&map, 0, 7);
            let is_stored = std::fs::read(&file).expect("read")[0] == 7;
            assert_eq!(
                (is_stored, byte(&map, 0), mappings(&map) < 200),
                (access == WRITE, 7, true)
            );
        }
    }
}

/// What was replaced reads zero for good and is said to be lost; all else shows the file, also when
/// it is long again.
pub fn only_what_is_past_the_end_is_replaced() {
    let (page, pages) = (page_size(), 64);
    let file = file(0);
    let original = pattern(pages * page);
    let cases = (
        0..pages,
        0..pages * page,
        prop::collection::vec(0..pages, 1..8),
        prop::sample::select(vec![READ, WRITE]),
    );
    proptest!(random(60), |((first, size, touched, access) in cases)| {
        std::fs::write(&file, &original).expect("written");
        let offset = (first * page) as u64;
        let options = MapOptions { access, flags: GUARD, offset, ..MapOptions::default() };
        let map = map(&file, &options).expect("mapped");
        file.as_file().set_len(size as u64).expect("cut");
        let kept = size.div_ceil(page).saturating_sub(first);
        let touched = touched.into_iter().map(|at| at % (pages - first));
        let lost: Vec<usize> = touched.filter(|at| *at >= kept).collect();
        lost.iter().for_each(|at| assert_eq!(byte(&map, at * page), 0));
        prop_assert_eq!(is_lost(&map), !lost.is_empty());

        std::fs::write(&file, &original).expect("written");
        let mut bytes = vec![0; page];
        let mut replaced = 0;
        for at in 0..pages - first {
            match map.read(at * page, &mut bytes) {
                Ok(count) => {
                    let start = (first + at) * page;
                    prop_assert!(count == page && bytes == original[start..start + page]);
                    prop_assert!(!lost.contains(&at));
                    prop_assert_eq!(byte(&map, at * page), bytes[0]);
                }
                Err(failure) => {
                    prop_assert!(failure.errno == libc::EIO && at >= kept);
                    prop_assert!(map.part(at * page, page) == vec![0; page]);
                    replaced += 1;
                }
            }
        }
        prop_assert!(replaced < 1 << lost.len(), "{} pages for {}", replaced, lost.len());
    });
}

/// A program that closes what is not its own, and has another file under the number of the map's.
pub fn a_number_that_stands_for_another_file_tells_nothing() {
    let (page, pages) = (page_size(), 64);
    let file = file(pages);
    let empty = tempfile::tempfile().expect("a file");
    for is_closed in [false, true] {
        let map = guarded(&file, WRITE);
        cut(&file, page);
        let number = map.descriptor().expect("a file").as_raw_fd();
        let end = in_child(|| {
            // SAFETY: the child's own number.
            unsafe {
                match is_closed {
                    true => assert_eq!(libc::close(number), 0),
                    false => assert_eq!(libc::dup2(empty.as_raw_fd(), number), number),
                }
            }
            let touched = [9, 33, 17, 2, 63, 40, 12, 5];
            assert!(touched.iter().all(|at| byte(&map, at * page) == 0));
            put(&map, 0, 7);
            let mut first = [0];
            // Through another number.
            file.as_file().read_exact_at(&mut first, 0).expect("read");
            i32::from(first[0]) + i32::from(is_lost(&map))
        });
        assert_eq!(end, End::Exited(8));
        file.as_file().set_len((pages * page) as u64).expect("grown");
    }
}

/// Pages that are unmapped while others are lost can be somebody else's at once.
pub fn what_comes_to_lie_in_an_unmapped_part_is_not_replaced_with_others() {
    let (page, pages) = (page_size(), 64);
    let file = file(0);
    for _ in 0..rounds(50) {
        file.as_file().set_len((pages * page) as u64).expect("grown");
        let mut map = map_with(&file, READ, GUARD).expect("mapped");
        file.as_file().set_len(0).expect("cut");
        let start = map.data().addr();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for at in 0..pages / 2 {
                    let lost = std::ptr::with_exposed_provenance::<u8>(start + at * page);
                    // SAFETY: this half stays mapped until the scope ends.
                    assert_eq!(unsafe { lost.read_volatile() }, 0);
                }
            });
            let others: Vec<Own> = (pages / 2..pages)
                .rev()
                .filter_map(|at| {
                    map.unmap(at * page, page).expect("unmapped");
                    Own::at(start + at * page)
                })
                .collect();
            std::thread::yield_now();
            assert!(others.iter().all(Own::is_whole), "somebody else's memory");
        });
    }
}

/// A page of memory that holds a one.
struct Own(*mut u8);

impl Own {
    /// Where nothing is mapped.
    fn at(address: usize) -> Option<Own> {
        let (protection, at) =
            (libc::PROT_READ | libc::PROT_WRITE, std::ptr::without_provenance_mut(address));
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: no mapping is replaced.
        let placed = unsafe { libc::mmap(at, page_size(), protection, flags, -1, 0) };
        if placed == libc::MAP_FAILED {
            return None;
        }
        assert_eq!(placed, at);
        // SAFETY: mapped just now.
        unsafe { placed.cast::<u8>().write_volatile(1) };
        Some(Own(placed.cast()))
    }

    fn is_whole(&self) -> bool {
        // SAFETY: mapped until the drop.
        unsafe { self.0.read_volatile() == 1 }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: mapped by `at`.
        assert_eq!(unsafe { libc::munmap(self.0.cast(), page_size()) }, 0);
    }
}
