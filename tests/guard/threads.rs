//! Many threads that lose pages at the same time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::memory::*;
use crate::support::abi::*;
use crate::support::map::page_size;
use crate::support::rounds;

pub const THREADS: usize = 8;

/// Runs `body` with a number in so many threads, all together.
pub fn together(body: impl Fn(usize) + Sync) {
    let ready = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (ready, body) = (&ready, &body);
            scope.spawn(move || {
                ready.wait();
                body(thread);
            });
        }
    });
}

/// Replaced a second time, a page would lose what the first thread has stored.
pub fn no_store_into_a_page_that_many_threads_lose_is_forgotten() {
    let (page, pages) = (page_size(), 64);
    let file = file(pages);
    for access in [WRITE, PRIVATE] {
        for _ in 0..20 {
            file.as_file().set_len((pages * page) as u64).expect("grown");
            let map = guarded(&file, access);
            file.as_file().set_len(0).expect("cut");
            together(|thread| {
                for at in (0..pages * page).step_by(page) {
                    put(&map, at + thread, thread as u8 + 1);
                    assert_eq!(byte(&map, at + thread), thread as u8 + 1);
                }
            });
            let expected: Vec<u8> = (1..=THREADS as u8).collect();
            assert!(
                (0..pages * page).step_by(page).all(|at| map.part(at, THREADS) == expected)
                    && is_lost(&map)
            );
        }
    }
}

pub fn threads_lose_pages_of_their_own() {
    let (page, pages) = (page_size(), 32 * THREADS);
    let file = file(pages);
    let map = guarded(&file, WRITE);
    cut(&file, 0);
    together(|thread| {
        for at in (thread * page..pages * page).step_by(THREADS * page) {
            assert_eq!(byte(&map, at), 0);
            put(&map, at, thread as u8 + 1);
        }
    });
    assert!((0..pages).all(|at| usize::from(byte(&map, at * page)) == at % THREADS + 1));
}

pub fn maps_come_and_go_while_others_lose_pages() {
    let page = page_size();
    together(|thread| {
        let file = file(2);
        for round in 0..100 {
            file.as_file().set_len(2 * page as u64).expect("grown");
            let map = guarded(&file, [READ, WRITE, PRIVATE][(round + thread) % 3]);
            assert!(!is_lost(&map), "of another's loss");
            file.as_file().set_len(page as u64).expect("cut");
            assert_eq!(byte(&map, page), 0);
            assert!(is_lost(&map));
        }
    });
}

pub fn a_map_that_grows_and_shrinks_beside_others_that_lose_pages_is_not_lost() {
    let page = page_size();
    let file = file(2);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                file.as_file().set_len(2 * page as u64).expect("grown");
                let map = guarded(&file, READ);
                file.as_file().set_len(0).expect("cut");
                assert_eq!((byte(&map, page), is_lost(&map)), (0, true));
            }
        });
        let mut map = guarded_memory(1);
        for round in 0..rounds(500) {
            map.resize([40, 1, 300, 7, 0][round % 5] * page).expect("resized");
            assert!(!is_lost(&map));
        }
        is_over.store(true, Relaxed);
    });
}

pub fn thousands_of_guarded_maps_are_opened_and_closed() {
    let page = page_size();
    let file = file(2);
    for round in 0..3 {
        file.as_file().set_len(2 * page as u64).expect("grown");
        let mut maps: Vec<_> = (0..1000).map(|_| guarded(&file, READ)).collect();
        file.as_file().set_len(page as u64).expect("cut");
        // Every other one goes, and the rest are still guarded.
        let mut number = 0;
        maps.retain(|_| {
            number += 1;
            number % 2 == round % 2
        });
        for map in &maps {
            assert_eq!((is_lost(map), byte(map, page), is_lost(map)), (false, 0, true));
        }
    }
}
