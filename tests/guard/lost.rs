//! Pages that get lost while a program uses them.

use std::os::unix::fs::FileExt;

use super::memory::*;
use crate::faults::conditions::*;
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{map, map_with, page_size};
use crate::support::rounds;

pub fn lost_pages_are_zeros_and_the_check_fails_from_then_on() {
    let page = page_size();
    for access in [READ, WRITE, PRIVATE] {
        let file = file(4);
        let map = guarded(&file, access);
        assert!(map.bytes() == pattern(4 * page) && !is_lost(&map));
        cut(&file, page + 100);
        assert!(map.part(0, page + 100) == pattern(page + 100));
        assert!(!is_lost(&map), "nothing was replaced yet");
        assert_eq!(byte(&map, 3 * page), 0);
        assert!(is_lost(&map));
        assert!(map.part(0, page + 100) == pattern(page + 100));
        assert!(map.part(2 * page, 2 * page).iter().all(|byte| *byte == 0));

        file.as_file().set_len(4 * page as u64).expect("grown");
        file.as_file().write_all_at(&[1], 3 * page as u64).expect("written");
        assert_eq!(byte(&map, 3 * page), 0, "what was replaced stays");
        assert!(is_lost(&map), "for good");
        // Another map of the file has lost nothing.
        let other = guarded(&file, access);
        assert_eq!((byte(&other, 3 * page), is_lost(&other)), (1, false));
    }
}

pub fn a_map_that_is_not_guarded_is_never_lost() {
    let file = file(2);
    let map = map_with(&file, READ, 0).expect("mapped");
    let other = guarded(&file, READ);
    cut(&file, 0);
    assert_eq!(byte(&other, 0), 0);
    assert!(is_lost(&other) && !is_lost(&map));
    assert_eq!(read_in_child(map.data()), End::Killed(libc::SIGBUS));
}

pub fn stores_into_lost_pages_stay_in_the_process() {
    let page = page_size();
    for access in [WRITE, PRIVATE] {
        let file = file(3);
        let map = guarded(&file, access);
        cut(&file, page);
        put(&map, 2 * page + 7, 7);
        map.store(page, &[8; 10]);
        assert_eq!(
            (byte(&map, 2 * page + 7), byte(&map, page + 9), byte(&map, page + 10)),
            (7, 8, 0)
        );
        assert!(is_lost(&map));
        file.as_file().set_len(3 * page as u64).expect("grown");
        let bytes = std::fs::read(&file).expect("read");
        assert!(bytes[..page] == pattern(page) && bytes[page..].iter().all(|byte| *byte == 0));
    }
}

pub fn a_map_that_has_lost_pages_cannot_be_flushed() {
    let page = page_size();
    for access in [READ, WRITE] {
        let file = file(2);
        let map = guarded(&file, access);
        cut(&file, page);
        map.flush(0, TO_END, libc::MS_ASYNC).expect("nothing was replaced yet");
        assert_eq!(byte(&map, page), 0);
        for (offset, length, how) in
            [(0, 0, libc::MS_SYNC), (0, 1, libc::MS_ASYNC), (page, 1, libc::MS_SYNC)]
        {
            assert_eq!(map.flush(offset, length, how).expect_err("lost").errno, libc::EIO);
        }
    }
}

pub fn a_part_of_a_file_is_guarded_too() {
    let page = page_size();
    for (offset, length) in
        [(1, 3 * page), (page + 5, 10), (2 * page - 1, 2 * page), (page, 2 * page)]
    {
        let file = file(5);
        let options =
            MapOptions { offset: offset as u64, length, flags: GUARD, ..MapOptions::default() };
        let map = map(&file, &options).expect("mapped");
        assert!(map.bytes() == pattern(5 * page)[offset..offset + length]);
        cut(&file, 0);
        assert!(map.bytes() == vec![0; length] && is_lost(&map));
    }
}

pub fn pages_past_the_end_are_zeros_and_lost() {
    let page = page_size();
    let file = file(1);
    let options =
        MapOptions { length: 3 * page, flags: GUARD | BEYOND_EOF, ..MapOptions::default() };
    let map = map(&file, &options).expect("mapped");
    file.as_file().set_len(2 * page as u64).expect("grown");
    assert!(map.part(0, page) == pattern(page) && byte(&map, page) == 0 && !is_lost(&map));
    assert!(byte(&map, 2 * page) == 0 && is_lost(&map));
}

pub fn an_empty_guarded_map_is_never_lost() {
    let file = file(0);
    assert!(!is_lost(&guarded(&file, READ)) && !is_lost(&guarded_memory(0)));
}

pub fn reading_goes_on_while_another_process_changes_the_length() {
    let (page, pages) = (page_size(), 16);
    let file = file(pages);
    let fd = std::os::fd::AsRawFd::as_raw_fd(file.as_file());
    let original = pattern(pages * page);
    let rounds = rounds(2000);
    // SAFETY: the child makes system calls only, and ends.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            for round in 0..rounds {
                libc::ftruncate(fd, ((round * 7 % (pages + 1)) * page) as libc::off_t);
            }
            libc::_exit(libc::ftruncate(fd, 0));
        }
        child
    };
    assert!(child > 0);
    let mut status = 0;
    let mut lost = 0;
    // SAFETY: our child, and a number that can be written.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        let map = guarded(&file, READ);
        for at in (0..map.length()).step_by(64) {
            let byte = byte(&map, at);
            assert!(byte == 0 || byte == original[at], "byte {at} is {byte}");
        }
        lost += usize::from(is_lost(&map));
    }
    assert_eq!(status, 0);
    println!("{lost} maps lost pages");
}

/// tmpfs, where a store finds that there is no space left.
pub fn a_full_file_system_under_a_store_is_survived() {
    let page = page_size();
    let (folder, _mounted) = small_file_system(16 * page / 1024);
    let path = folder.path().join("sparse");
    let options = MapOptions {
        access: WRITE,
        flags: CREATE | NO_RESERVE | GUARD,
        file_size: 64 * page as u64,
        ..MapOptions::default()
    };
    let map = map(&path, &options).expect("mapped");
    for at in (0..64 * page).step_by(page) {
        put(&map, at, 1);
    }
    assert!(is_lost(&map));
    assert!((0..64 * page).step_by(page).all(|at| byte(&map, at) == 1));
    let bytes = std::fs::read(&path).expect("read");
    // (Growing made the last page.)
    let reached = bytes.iter().step_by(page).take_while(|byte| **byte == 1).count();
    assert!(0 < reached && reached < 16, "{reached} pages found room before one did not");

    // A copy stops there instead, and loses nothing.
    let other = map_with(&path, WRITE, GUARD).expect("mapped");
    let copied = other.write(0, &pattern(64 * page)).expect("some");
    assert_eq!((copied, is_lost(&other)), (reached * page, false));
    assert!(std::fs::read(&path).expect("read")[..copied] == pattern(copied));
    drop((map, other));
}
