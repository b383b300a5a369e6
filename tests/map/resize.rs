//! Tests bytefd_map_resize: it makes maps and their files larger and smaller.

use std::os::unix::fs::{FileExt, MetadataExt};

use super::kinds::{Kind, Made, OFFSET, kinds, shared};
use super::unmapped::address_space;
use crate::faults::conditions::{End, in_child, read_in_child};
use crate::support::abi::*;
use crate::support::fd::{file, pattern};
use crate::support::map::{Map, huge_page_size, map, page_size, region_at};

/// Returns lengths around the page boundaries, up and down.
fn lengths() -> Vec<usize> {
    let page = page_size();
    let offset = OFFSET % page;
    vec![
        1,
        0,
        100,
        page - 1,
        page,
        page + 1,
        page - offset,
        page - offset + 1,
        10 * page,
        3 * page + 7,
        2,
        40 * page,
        0,
        5,
    ]
}

fn zeros_from(model: &mut Vec<u8>, length: usize) {
    model.truncate(length);
    model.resize(length, 0);
}

pub fn maps_grow_with_zeros_and_shrink() {
    let flags_of = |kind| {
        if kind == Kind::File {
            vec![0, NO_RESERVE, POPULATE]
        } else {
            vec![0, POPULATE, MLOCK | NO_FORK]
        }
    };
    for kind in kinds() {
        for flags in flags_of(kind) {
            for reserve in [0, 100, 5 * page_size(), 1 << 30] {
                let mut made = kind.with(10, flags, reserve);
                let mut model = vec![0; 10];
                for length in lengths() {
                    made.map.resize(length).expect("resized");
                    zeros_from(&mut model, length);
                    assert_eq!(made.map.length(), length);
                    assert!(
                        made.map.bytes() == model,
                        "{kind:?} to {length} bytes, {reserve} kept, flags {flags}"
                    );
                    if let Some(content) = made.content(kind) {
                        assert!(content == model, "the file of {kind:?} at {length} bytes");
                    }
                    model = pattern(length);
                    made.map.store(0, &model);
                    // These bytes do not belong to the map, and must not be seen again.
                    let rest = (page_size() - (kind.head() + length) % page_size()) % page_size();
                    if length > 0 && rest > 0 {
                        // SAFETY: the rest of the map's last page.
                        unsafe { made.map.data().add(length).write_bytes(0xaa, rest) };
                    }
                }
            }
        }
    }
}

pub fn within_the_reserve_the_address_stays() {
    for kind in kinds() {
        for start in [0, 10, 100_000] {
            let mut made = kind.with(start, 0, 100_000);
            let address = made.map.data();
            for length in [0, 1, 4096, 99_999, 50, 100_000, 0, 100_000] {
                made.map.resize(length).expect("resized");
                assert_eq!(made.map.data(), address, "{kind:?} at {length} bytes");
            }
            made.map.store(0, &pattern(100_000));
            // Beyond it, it may move, and goes on.
            for length in [100_001, 1 << 20, 5 << 20, 70] {
                made.map.resize(length).expect("resized");
                let kept = length.min(70);
                assert!(made.map.part(0, kept) == pattern(kept), "{kind:?} at {length} bytes");
                made.map.store(length - 1, b"!");
                let part = made.map.part(length - 1, 1);
                assert_eq!(part, b"!");
            }
        }
    }
}

/// In a child, whose other threads cannot map anything there.
pub fn the_reserve_is_not_for_other_mappings() {
    const RESERVE: usize = 1 << 20;
    let is_reserved = |map: &Map| {
        let (start, page) = (map.data().addr(), page_size());
        let rest = region_at((start + map.length()).next_multiple_of(page));
        rest.permissions() == "---p" && rest.end() >= start + RESERVE
    };
    let end = in_child(|| {
        let made: Vec<_> = kinds().map(|kind| kind.with(100, 0, RESERVE)).collect();
        i32::from(!made.iter().all(|made| is_reserved(&made.map)))
    });
    assert_eq!(end, End::Exited(0));
}

/// A page of memory takes no address space of a huge one.
pub fn small_memory_is_not_aligned_to_huge_pages() {
    let huge = huge_page_size();
    if huge == 0 {
        return println!("SKIPPED: this kernel has no huge pages");
    }
    let maps: Vec<_> = (0..8).filter_map(|_| shared(100, &MapOptions::default())).collect();
    let is_aligned = |map: &Map| map.data().addr() % huge == 0;
    assert!(maps.is_empty() || !maps.iter().all(is_aligned));
}

pub fn the_rest_of_a_file_stays_as_it_is() {
    let page = page_size();
    for reserve in [0, 1 << 20] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let content = pattern(10 * page);
        std::fs::write(&file, &content).expect("written");
        let seen = || std::fs::read(&file).expect("read");
        let options = MapOptions {
            offset: 1001,
            length: 2000,
            access: WRITE,
            reserve,
            ..MapOptions::default()
        };
        let mut map = map(&file, &options).expect("mapped");
        for length in [1, 0, 2 * page, 7 * page + 5, 100, 10 * page - 1001, 10 * page - 1002, 3] {
            // The file goes on after the map, unless the map was at its end.
            if map.length() == 10 * page - 1001 {
                break;
            }
            map.resize(length).expect("resized");
            assert!(
                map.bytes() == content[1001..1001 + length] && seen() == content,
                "{length} bytes"
            );
        }
        map.resize(10 * page - 1002).expect("shrunk");
        assert!(seen() == content[..10 * page - 1], "at the end of the file that is cut off");
        map.resize(10 * page + 7).expect("grown");
        let mut expected = content[..10 * page - 1].to_vec();
        expected.resize(1001 + 10 * page + 7, 0);
        assert!(seen() == expected && map.bytes() == expected[1001..]);
    }
}

pub fn other_maps_of_the_file_see_it() {
    for kind in [Kind::File, Kind::Part] {
        let mut made = kind.with(3 * page_size(), 0, 0);
        let path = made.file.as_ref().expect("a file").path().to_path_buf();
        let other = map(
            &path,
            &MapOptions { length: 20 * page_size(), flags: BEYOND_EOF, ..MapOptions::default() },
        );
        let other = other.expect("mapped");
        made.map.resize(10 * page_size()).expect("grown");
        made.map.store(10 * page_size() - 1, b"!");
        let offset = if kind == Kind::Part { OFFSET } else { 0 };
        assert_eq!(other.part(offset + 10 * page_size() - 1, 1), b"!");
        made.map.resize(1).expect("shrunk");
        assert_eq!(
            read_in_child(other.data().wrapping_add(9 * page_size())),
            End::Killed(libc::SIGBUS)
        );
        assert_eq!(other.part(offset, 1), [0]);
    }
    let Some(mut map) = shared(100, &MapOptions::default()) else { return };
    let fd = map.descriptor().expect("kept").try_clone_to_owned().expect("dup");
    map.resize(9000).expect("grown");
    map.store(8999, b"!");
    let mut seen = [0];
    file(&fd).read_exact_at(&mut seen, 8999).expect("read");
    assert_eq!((&seen, file(&fd).metadata().expect("fstat").len()), (b"!", 9000));
    map.resize(0).expect("shrunk");
    assert_eq!(file(&fd).metadata().expect("fstat").len(), 0);
    map.resize(5).expect("grown");
    file(&fd).write_all_at(b"hello", 0).expect("written");
    assert_eq!(map.bytes(), b"hello");
}

pub fn growing_reserves_the_space_unless_told_not_to() {
    for kind in [Kind::File, Kind::Part] {
        for (flags, is_reserved) in [(0, true), (NO_RESERVE, false)] {
            let mut made = kind.with(10, flags, 0);
            made.map.resize(10 << 20).expect("grown");
            let blocks =
                made.file.as_ref().expect("a file").as_file().metadata().expect("fstat").blocks()
                    * 512;
            assert_eq!(blocks >= 10 << 20, is_reserved, "{kind:?}: {blocks} bytes");
        }
    }
}

pub fn an_empty_map_grows() {
    for kind in kinds() {
        for flags in [0, MLOCK, POPULATE, NO_FORK] {
            for reserve in [0, 1 << 20] {
                let mut made = kind.with(0, flags, reserve);
                made.map.resize(0).expect("nothing to do");
                made.map.resize(10_000).expect("grown");
                assert!(made.map.bytes().iter().all(|byte| *byte == 0));
                assert_eq!(made.map.region().has_flag("lo"), flags == MLOCK);
                assert_eq!(made.map.region().has_flag("dc"), flags == NO_FORK);
            }
        }
    }
}

/// The options of the map apply to new pages too.
pub fn new_pages_are_treated_as_the_old_ones() {
    for kind in kinds() {
        for reserve in [0, 1 << 20] {
            let mut made = kind.with(100, MLOCK | NO_FORK, reserve);
            made.map.resize(10 * page_size()).expect("grown");
            let last =
                crate::support::map::region_at(made.map.data().addr() + 10 * page_size() - 1);
            assert!(last.has_flag("lo") && last.has_flag("dc"), "{kind:?}, {reserve} kept");
        }
    }
}

fn is_einval(map: &mut Map, length: usize) {
    let before = (map.data(), map.length());
    let failure = map.resize(length).expect_err("refused");
    assert_eq!(
        (failure.errno, failure.op.as_str()),
        (libc::EINVAL, "resize"),
        "{}",
        failure.message
    );
    assert_eq!((map.data(), map.length()), before);
}

pub fn what_cannot_be_resized_is_einval() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, pattern(100)).expect("written");
    for access in [READ, PRIVATE] {
        let mut map = map(&file, &MapOptions { access, ..MapOptions::default() }).expect("mapped");
        for length in [0, 1, 200] {
            is_einval(&mut map, length);
        }
        assert!(map.bytes() == pattern(100));
    }
    assert!(std::fs::read(&file).expect("read") == pattern(100));
    for kind in kinds() {
        let mut made = kind.filled(100);
        for length in [isize::MAX as usize + 1, usize::MAX] {
            is_einval(&mut made.map, length);
        }
        assert!(made.map.bytes() == pattern(100));
    }
}

/// Runs alone, because other threads map and unmap too.
pub fn maps_that_moved_leave_no_address_space_behind() {
    let before = address_space();
    for kind in kinds() {
        for reserve in [0, 100_000, 1 << 24] {
            let mut made: Made = kind.with(10, 0, reserve);
            for length in [200_000, 0, 5 << 20, 1, (1 << 24) + (1 << 20), 7] {
                made.map.resize(length).expect("resized");
            }
            drop(made);
            // The allocator takes and gives some.
            assert!(address_space() < before + (512 << 10), "{kind:?}, {reserve} kept");
        }
    }
}

pub fn a_map_that_must_move_and_is_not_all_alike_is_efault() {
    let page = page_size();
    for kind in kinds() {
        let mut made = kind.filled(4 * page);
        made.map.protect(kind.second_page(), 1, 1).expect("protected");
        let failure = made.map.resize(1 << 24).expect_err("refused");
        assert_eq!(failure.errno, libc::EFAULT, "{kind:?}: {failure:?}");
        assert!(made.map.bytes() == pattern(4 * page));
        assert!(
            made.content(kind).is_none_or(|content| content == pattern(4 * page)),
            "the file as it was"
        );
        made.map.protect(0, TO_END, 3).expect("all alike");
        made.map.resize(9 * page).expect("grown");
        assert!(made.map.part(0, 4 * page) == pattern(4 * page));
    }
}
