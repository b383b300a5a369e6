//! Children made by fork, and guards.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::Failure;
use crate::support::map::{Map, map, map_with, page_size};

pub fn a_child_survives_too_and_loses_pages_of_its_own() {
    let page = page_size();
    for access in [READ, WRITE, PRIVATE] {
        let file = file(3);
        let map = guarded(&file, access);
        cut(&file, 0);
        assert_eq!(byte(&map, 0), 0);
        let end = in_child(|| {
            assert!(is_lost(&map), "since before");
            i32::from(byte(&map, 2 * page) + byte(&map, 0))
        });
        assert_eq!(end, End::Exited(0));
        // What the child has replaced, this process has not.
        file.as_file().set_len(3 * page as u64).expect("grown");
        std::fs::write(&file, vec![5; 3 * page]).expect("written");
        assert_eq!(byte(&map, 2 * page), 5);
    }
}

pub fn a_child_tells_its_own_loss() {
    let page = page_size();
    let file = file(2);
    let map = guarded(&file, WRITE);
    cut(&file, page);
    let end = in_child(|| {
        i32::from(is_lost(&map)) + 2 * i32::from(byte(&map, page)) + 4 * i32::from(is_lost(&map))
    });
    assert_eq!(end, End::Exited(4));
    assert!(!is_lost(&map));
}

/// A child does not wait for a thread that was replacing a page and that it does not have.
pub fn a_child_forked_while_threads_lose_pages_survives() {
    let (page, pages) = (page_size(), 64);
    let file = file(pages);
    let is_over = AtomicBool::new(false);
    let shared = guarded(&file, WRITE);
    cut(&file, 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let options = MapOptions {
                        length: pages * page,
                        flags: GUARD | BEYOND_EOF,
                        ..MapOptions::default()
                    };
                    let own = map(&file, &options).expect("mapped");
                    (0..pages).for_each(|at| assert_eq!(byte(&own, at * page), 0));
                }
            });
        }
        for _ in 0..100 {
            // Without allocating: the other threads may have been.
            let end = in_child(|| (0..pages).map(|at| i32::from(byte(&shared, at * page))).sum());
            assert_eq!(end, End::Exited(0));
        }
        is_over.store(true, Relaxed);
    });
    assert!(!is_lost(&shared));
}

/// What a child maps where its parent has a map that children do not have is the child's own.
pub fn what_a_child_has_where_a_map_is_missing_is_not_guarded() {
    let page = page_size();
    let hide: [fn(&tempfile::NamedTempFile) -> Map; 2] = [
        |file| map_with(file, READ, GUARD | NO_FORK).expect("mapped"),
        |file| {
            let map = guarded(file, READ);
            map.advise(0, TO_END, libc::MADV_DONTFORK, 0).expect("advised");
            map
        },
    ];
    for hide in hide {
        let file = file(2);
        let map = hide(&file);
        assert_eq!(read_in_child(map.data()), End::Killed(libc::SIGSEGV), "not there");
        let strange = |place: *mut u8| {
            let stranger = Stranger::at(place);
            stranger.touch();
            0
        };
        assert_eq!(in_child(|| strange(map.data())), End::Killed(libc::SIGBUS));
        // Also when the child has guards of its own by then, and in its own child.
        let end = in_child(|| {
            let stranger = Stranger::at(map.data());
            let own = guarded(&file, WRITE);
            file.as_file().set_len(page as u64).expect("cut");
            assert!(byte(&own, page) == 0 && is_lost(&own));
            let deeper = in_child(|| {
                stranger.touch();
                0
            });
            assert_eq!(deeper, End::Killed(libc::SIGBUS));
            assert_eq!(in_child(|| i32::from(byte(&own, page))), End::Exited(0));
            stranger.touch();
            0
        });
        assert_eq!(end, End::Killed(libc::SIGBUS));
        assert!(!is_lost(&map), "by what a child did");
        assert_eq!(byte(&map, page), 0);
        assert!(is_lost(&map), "here it is guarded");
        // What replaces its pages is missing in children as well.
        assert_eq!(read_in_child(map.data().wrapping_add(page)), End::Killed(libc::SIGSEGV));
    }
}

/// Neither guarded nor without: what is not there cannot be copied, and that is no signal. The
/// parent notices nothing.
pub fn a_copy_where_a_child_has_no_map_is_eio() {
    let page = page_size();
    for flags in [NO_FORK, NO_FORK | GUARD] {
        let file = file(2);
        let map = map_with(&file, WRITE, flags).expect("mapped");
        let copies = || {
            let mut bytes = vec![0; 2 * page];
            let errno = |outcome: Result<usize, Failure>| {
                outcome.map_or_else(|failure| failure.errno, |_| 0)
            };
            [errno(map.read(0, &mut bytes)), errno(map.write(0, &bytes))]
        };
        assert_eq!(
            in_child(|| i32::from(copies() != [libc::EIO; 2])),
            End::Exited(0),
            "flags {flags}"
        );
        assert_eq!(copies(), [0; 2]);
    }
}

/// A map that a child makes for itself alone is guarded in the child.
pub fn a_child_has_guarded_maps_that_its_own_children_do_not_have() {
    let page = page_size();
    let file = file(2);
    let first = map_with(&file, READ, GUARD | NO_FORK).expect("mapped");
    let end = in_child(|| {
        let own = map_with(&file, READ, GUARD | NO_FORK).expect("mapped");
        file.as_file().set_len(page as u64).expect("cut");
        assert!(byte(&own, page) == 0 && is_lost(&own));
        let end = in_child(|| {
            let stranger = Stranger::at(own.data());
            stranger.touch();
            0
        });
        assert_eq!(end, End::Killed(libc::SIGBUS));
        0
    });
    assert_eq!(end, End::Exited(0));
    assert_eq!((byte(&first, page), is_lost(&first)), (0, true));
}
