//! Tests properties of the memory: executable, read in, locked, hidden from children.

use crate::faults::conditions::{End, read_in_child};
use crate::support::abi::*;
use crate::support::fd::pattern;
use crate::support::map::{map, map_with, page_size};

const PAGES: usize = 64;

fn file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(PAGES * page_size())).expect("written");
    file
}

pub fn execute_maps_executable() {
    let file = file();
    for (access, plain, executable) in
        [(READ, "r--p", "r-xp"), (WRITE, "rw-s", "rwxs"), (PRIVATE, "rw-p", "rwxp")]
    {
        assert_eq!(map_with(&file, access, 0).expect("mapped").region().permissions(), plain);
        assert_eq!(
            map_with(&file, access, EXECUTE).expect("mapped").region().permissions(),
            executable
        );
    }
}

pub fn populate_reads_the_pages_in() {
    let file = file();
    for access in [READ, WRITE, PRIVATE] {
        assert_eq!(map_with(&file, access, 0).expect("mapped").region().bytes("Rss"), 0);
        let map = map_with(&file, access, POPULATE).expect("mapped");
        assert_eq!(map.region().bytes("Rss"), PAGES * page_size());
        let mut resident = [0u8; PAGES];
        assert_eq!(
            // SAFETY: the map's pages, and a byte for each.
            unsafe { libc::mincore(map.data().cast(), map.length(), resident.as_mut_ptr()) },
            0
        );
        assert!(resident.iter().all(|page| page & 1 == 1));
    }
    // Pages that cannot be read in are no reason to fail.
    let options =
        MapOptions { length: 4 << 20, flags: POPULATE | BEYOND_EOF, ..MapOptions::default() };
    assert!(
        map(&file, &options).expect("mapped").part(0, PAGES * page_size())
            == pattern(PAGES * page_size())
    );
}

pub fn lock_keeps_the_pages_in() {
    let file = file();
    for access in [READ, WRITE, PRIVATE] {
        let map = map(
            &file,
            &MapOptions { access, flags: MLOCK, offset: 5000, length: 10, ..MapOptions::default() },
        );
        let map = map.expect("mapped");
        assert!(map.region().has_flag("lo"));
        assert_eq!(
            map.region().bytes("Rss"),
            page_size(),
            "whole pages, though it shows ten bytes"
        );
        assert!(!map_with(&file, access, 0).expect("mapped").region().has_flag("lo"));
    }
}

pub fn no_fork_hides_the_map_from_children() {
    let file = file();
    for access in [READ, WRITE, PRIVATE] {
        let map = map_with(&file, access, 0).expect("mapped");
        assert_eq!(read_in_child(map.data()), End::Exited(pattern(1)[0].into()));
        let hidden = map_with(&file, access, NO_FORK).expect("mapped");
        assert!(hidden.region().has_flag("dc"));
        assert_eq!(read_in_child(hidden.data()), End::Killed(libc::SIGSEGV));
        assert!(hidden.bytes() == map.bytes());
    }
}

pub fn an_empty_map_takes_every_flag() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for flags in [
        EXECUTE,
        POPULATE,
        MLOCK,
        NO_RESERVE,
        BEYOND_EOF,
        NO_FORK,
        EXECUTE | POPULATE | MLOCK | NO_FORK,
    ] {
        for access in [READ, WRITE, PRIVATE] {
            assert_eq!(map_with(&file, access, flags).expect("mapped").length(), 0);
        }
    }
}
