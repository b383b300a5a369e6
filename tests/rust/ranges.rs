//! Maps through Rust's ranges: all kinds of them, also such as overflow, with every method that takes one.

use std::ops::{Bound, RangeBounds};

use bytefd::{Access, Advice, Flush, Map, MapOptions, Protection};

use crate::support::hosts;

const LENGTH: usize = 10_000;

fn maps() -> Vec<Map> {
    let options = MapOptions::new();
    let private = options.clone().access(Access::Private).memory(LENGTH).unwrap();
    let shared = hosts::has_memfd().then(|| options.memory(LENGTH).unwrap());
    shared.into_iter().chain([private]).collect()
}

/// All methods that leave the map as it is; none may do a thing before it has looked at the range.
fn results(map: &Map, range: impl RangeBounds<usize> + Clone) -> Vec<bytefd::Result<()>> {
    vec![
        map.advise(range.clone(), Advice::Normal),
        map.advise_losing(range.clone(), Advice::Normal),
        map.lock(range.clone()),
        map.unlock(range.clone()),
        map.protect(range.clone(), Protection::ReadWrite),
        map.prefetch(range.clone()),
        if map.access() == Access::Private { map.advise(range, Advice::Normal) } else { map.flush(range, Flush::Sync) },
    ]
}

pub fn every_kind_of_range_names_its_bytes() {
    use Bound::{Excluded, Included, Unbounded};
    let inside: [(Bound<usize>, Bound<usize>); 12] = [
        (Unbounded, Unbounded),
        (Unbounded, Excluded(0)),
        (Unbounded, Excluded(LENGTH)),
        (Unbounded, Included(LENGTH - 1)),
        (Included(0), Unbounded),
        (Included(LENGTH), Unbounded),
        (Included(LENGTH), Excluded(LENGTH)),
        (Included(4095), Included(4096)),
        (Excluded(0), Unbounded),
        (Excluded(LENGTH - 1), Unbounded),
        (Excluded(5), Excluded(6)),
        (Excluded(5), Included(5)),
    ];
    let outside: [(Bound<usize>, Bound<usize>); 12] = [
        (Unbounded, Excluded(LENGTH + 1)),
        (Unbounded, Included(LENGTH)),
        (Unbounded, Included(usize::MAX)),
        (Unbounded, Excluded(usize::MAX)),
        (Included(LENGTH + 1), Unbounded),
        (Included(usize::MAX), Unbounded),
        (Excluded(LENGTH), Unbounded),
        (Excluded(usize::MAX), Unbounded),
        (Excluded(usize::MAX), Included(usize::MAX)),
        (Included(2), Excluded(1)),
        (Included(usize::MAX), Included(usize::MAX)),
        (Excluded(6), Excluded(6)),
    ];
    for mut map in maps() {
        for range in inside {
            for result in results(&map, range) {
                result.unwrap_or_else(|error| panic!("{range:?}: {error}"));
            }
        }
        for range in outside {
            let unmapped = map.unmap(range);
            for result in results(&map, range).into_iter().chain([unmapped]) {
                let error = result.expect_err("outside");
                assert_eq!((error.errno(), error.op()), (libc::EINVAL, "range"), "{range:?}");
            }
        }
        map.unmap(1..2).unwrap();
        map.unmap(..).unwrap();
        map.advise(.., Advice::Normal).unwrap_err();
    }
}

pub fn copies_end_where_the_map_does() {
    for map in maps() {
        assert_eq!(map.write_at(LENGTH - 5, b"there").unwrap(), 5);
        let mut seen = [0; 5];
        assert_eq!(map.read_at(LENGTH - 5, &mut seen).unwrap(), 5);
        assert_eq!(&seen, b"there");
        for at in [LENGTH - 4, LENGTH, usize::MAX] {
            assert_eq!(map.read_at(at, &mut seen).unwrap_err().errno(), libc::EINVAL);
            assert_eq!(map.write_at(at, &seen).unwrap_err().errno(), libc::EINVAL);
        }
        assert_eq!(map.read_at(LENGTH, &mut []).unwrap(), 0);
    }
}

pub fn a_sealed_map_is_for_reading_only() {
    for mut map in maps().into_iter().filter(|map| map.access() == Access::Write) {
        map.write_at(0, b"hello").unwrap();
        map.resize(5).unwrap();
        let fd = map.seal().unwrap();
        assert_eq!(std::fs::read(bytefd::path(&fd)).unwrap(), b"hello");
        assert_eq!((map.access(), map.len()), (Access::Read, 5));
        // SAFETY: nobody can change it.
        unsafe {
            assert_eq!(map.as_slice(), b"hello");
            assert!(map.as_mut_slice().is_none());
        }
        map.resize(6).unwrap_err();
        map.write_at(0, b"J").unwrap_err();
    }
}

pub fn advice_has_the_kernels_numbers() {
    let known: Vec<u32> = (0..200).filter(|number| Advice::from_number(*number).is_some()).collect();
    assert_eq!(known, [&[0, 1, 2, 3, 4][..], &(8..=25).collect::<Vec<_>>(), &(100..=103).collect::<Vec<_>>()].concat());
    for number in known {
        assert_eq!(Advice::from_number(number).map(|advice| advice as u32), Some(number));
    }
}
