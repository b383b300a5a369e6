//! Guarded maps that are resized, sealed, protected, and of which parts are unmapped.

use std::os::fd::AsRawFd;

use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::{content, pattern};
use crate::support::map::{Map, map, map_with, memory, page_size};

pub fn a_resized_map_is_guarded_as_far_as_it_goes() {
    let page = page_size();
    for reserve in [0, 100 * page] {
        let file = file(2);
        let options = MapOptions { access: WRITE, flags: GUARD, reserve, ..MapOptions::default() };
        let mut map = map(&file, &options).expect("mapped");
        for pages in [3, 50, 1, 0, 7, 70] {
            map.resize(pages * page).expect("resized");
            assert!(!is_lost(&map) && map.length() == pages * page);
        }
        map.store(0, &pattern(page));
        cut(&file, page);
        assert_eq!(byte(&map, 69 * page), 0);
        assert!(is_lost(&map));

        // What replaces a page belongs to no file, and cannot grow with the rest.
        assert_eq!(map.resize(71 * page).expect_err("lost").errno, libc::EIO);
        map.resize(2 * page).expect("resized");
        assert_eq!(byte(&map, page), 0);
        assert!(is_lost(&map) && map.part(0, page) == pattern(page));
    }
}

pub fn what_comes_to_lie_behind_a_smaller_map_is_not_guarded() {
    let page = page_size();
    let file = file(3);
    let mut map = guarded(&file, WRITE);
    let behind = map.data().wrapping_add(page);
    map.resize(page).expect("resized");
    let stranger = Stranger::at(behind);
    assert_eq!(read_in_child(stranger.address()), End::Killed(libc::SIGBUS));
    drop(stranger);
    drop(map);
}

pub fn what_comes_to_lie_where_a_map_has_moved_away_is_not_guarded() {
    let page = page_size();
    let file = file(2);
    let mut map = guarded(&file, WRITE);
    let before = map.data();
    // In its way, unless something is already.
    let blocker = Stranger::place(before.wrapping_add(2 * page));
    map.resize(4 * page).expect("resized");
    assert_ne!(map.data(), before);
    let stranger = Stranger::at(before);
    assert_eq!(read_in_child(stranger.address()), End::Killed(libc::SIGBUS));
    drop((stranger, blocker));
    cut(&file, page);
    assert!(byte(&map, 3 * page) == 0 && is_lost(&map));
}

pub fn what_comes_to_lie_in_a_closed_map_is_not_guarded() {
    let file = file(1);
    let map = guarded(&file, READ);
    let address = map.data();
    drop(map);
    let stranger = Stranger::at(address);
    assert_eq!(read_in_child(stranger.address()), End::Killed(libc::SIGBUS));
}

pub fn what_comes_to_lie_in_an_unmapped_part_is_not_guarded() {
    let page = page_size();
    let file = file(6);
    let mut map = guarded(&file, READ);
    let at = |number: usize| map.data().wrapping_add(number * page);
    let (first, middle, last) = (at(0), at(3), at(5));
    // Of the pages 2 and 4 only some bytes, so these stay.
    map.unmap(2 * page + 1, 2 * page).expect("unmapped");
    for place in [first, last] {
        map.unmap(place.addr() - first.addr(), page).expect("unmapped");
    }
    for place in [first, middle, last] {
        assert_eq!(read_in_child(place), End::Killed(libc::SIGSEGV));
        let stranger = Stranger::at(place);
        assert_eq!(read_in_child(stranger.address()), End::Killed(libc::SIGBUS));
    }
    assert!(map.part(2 * page, page) == pattern(6 * page)[2 * page..3 * page]);
    assert!(map.part(4 * page, page) == pattern(6 * page)[4 * page..5 * page]);
    cut(&file, page);
    assert!([1, 2, 4].iter().all(|number| byte(&map, number * page) == 0) && is_lost(&map));
}

pub fn a_guarded_map_in_the_hole_of_another_loses_pages_of_its_own() {
    let page = page_size();
    let (file, other) = (file(3), file(1));
    let mut outer = guarded(&file, READ);
    outer.unmap(page, page).expect("unmapped");
    let hole = outer.data().wrapping_add(page);
    // The kernel chooses the address of a map. It takes the hole sooner or later, if all others are
    // taken. Maps without a guard take them, because the library maps a page of its own for each
    // guard, which could lie in the hole.
    let mut maps = Vec::new();
    while maps.len() < 500 && maps.last().is_none_or(|map: &Map| map.data() != hole) {
        maps.push(map_with(&other, WRITE, 0).expect("mapped"));
    }
    drop(maps.pop());
    let inner = guarded(&other, WRITE);
    if inner.data() != hole {
        return println!("SKIPPED: this kernel puts no map into the hole");
    }
    cut(&other, 0);
    put(&inner, 0, 7);
    assert_eq!((byte(&inner, 0), is_lost(&inner), is_lost(&outer)), (7, true, false));
    drop(outer);
    assert_eq!(byte(&inner, 0), 7);
}

pub fn what_replaces_a_protected_page_is_protected_too() {
    let page = page_size();
    let file = file(4);
    let map = guarded(&file, WRITE);
    map.protect(page, page, libc::PROT_READ).expect("protected");
    map.protect(2 * page, page, libc::PROT_NONE).expect("protected");
    cut(&file, 0);
    assert_eq!([0, page, 3 * page].map(|at| byte(&map, at)), [0; 3]);
    put(&map, 0, 1);
    put(&map, 3 * page, 1);
    assert_eq!(store_in_child(map.data().wrapping_add(page), 1), End::Killed(libc::SIGSEGV));
    assert_eq!(read_in_child(map.data().wrapping_add(2 * page)), End::Killed(libc::SIGSEGV));
    map.protect(0, TO_END, libc::PROT_READ | libc::PROT_WRITE).expect("protected");
    put(&map, page, 2);
    put(&map, 2 * page, 3);
    assert_eq!([0, 1, 2, 3].map(|number| byte(&map, number * page)), [1, 2, 3, 1]);
}

pub fn a_map_for_reading_is_replaced_for_reading() {
    let file = file(1);
    let map = guarded(&file, READ);
    cut(&file, 0);
    assert_eq!(byte(&map, 0), 0);
    assert_eq!(store_in_child(map.data(), 1), End::Killed(libc::SIGSEGV));
}

pub fn a_guarded_memory_is_sealed_and_still_guarded() {
    let page = page_size();
    let mut map = guarded_memory(3);
    let sealed = map.seal().expect("sealed");
    assert!(
        content(&sealed) == pattern(3 * page) && map.bytes() == pattern(3 * page) && !is_lost(&map)
    );
    assert_eq!(store_in_child(map.data(), 1), End::Killed(libc::SIGSEGV));
}

pub fn memory_that_was_made_shorter_is_not_sealed() {
    let page = page_size();
    for is_touched in [false, true] {
        let mut map = guarded_memory(3);
        cut(map.descriptor().expect("memory"), page);
        if is_touched {
            assert_eq!(byte(&map, 2 * page), 0);
        }
        assert_eq!(map.seal().expect_err("lost").errno, libc::EIO);
        assert!(map.part(0, page) == pattern(page) && byte(&map, 2 * page) == 0);
        put(&map, 0, 1);
        assert!(is_lost(&map));
    }
}

pub fn a_refused_seal_leaves_the_map_guarded() {
    let page = page_size();
    let mut map = guarded_memory(3);
    let other = format!("/proc/self/fd/{}", map.descriptor().expect("memory").as_raw_fd());
    let other = map_with(other, WRITE, 0).expect("mapped");
    assert_eq!(map.seal().expect_err("mapped by another").errno, libc::EBUSY);
    drop(other);
    cut(map.descriptor().expect("memory"), page);
    put(&map, 2 * page, 7);
    assert_eq!((byte(&map, 2 * page), is_lost(&map)), (7, true));
}

pub fn private_memory_is_guarded_without_need() {
    let page = page_size();
    let options = MapOptions { access: PRIVATE, flags: GUARD, ..MapOptions::default() };
    let mut map = memory(2 * page, &options).expect("memory");
    put(&map, page, 1);
    map.resize(5 * page).expect("resized");
    assert_eq!((byte(&map, page), byte(&map, 4 * page), is_lost(&map)), (1, 0, false));
}
