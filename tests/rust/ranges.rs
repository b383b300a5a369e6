//! Tests maps with Rust's ranges: all kinds of ranges, even those that overflow, with every method
//! that takes a range.

use std::io::Write;
use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;

use bytefd::{Access, Advice, Discard, Flush, Map, MapOptions, MapWriter, Protection};

use crate::support::hosts;

const LENGTH: usize = 10_000;

fn maps() -> Vec<Map> {
    let options = MapOptions::new();
    let private = options.clone().access(Access::Private).memory(LENGTH).unwrap();
    let shared = hosts::has_memfd().then(|| options.memory(LENGTH).unwrap());
    shared.into_iter().chain([private]).collect()
}

/// Calls all methods that leave the map as it is. None may do anything before it has looked at the
/// range.
fn results(map: &Map, range: impl RangeBounds<usize> + Clone) -> Vec<bytefd::Result<()>> {
    vec![
        map.advise(range.clone(), Advice::Normal),
        map.mlock(range.clone()),
        map.munlock(range.clone()),
        map.prefetch(range.clone()),
        if map.access() == Access::Private {
            map.advise(range, Advice::Normal)
        } else {
            map.flush(range, Flush::Sync)
        },
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
            // SAFETY: nothing is done, and nobody has a slice.
            let others = unsafe {
                [map.discard(range, Discard::DontNeed), map.protect(range, Protection::None)]
            };
            for result in results(&map, range).into_iter().chain([unmapped]).chain(others) {
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
        assert_eq!(map.write_at(b"there", LENGTH - 5).unwrap(), 5);
        let mut seen = [0; 5];
        assert_eq!(map.read_at(&mut seen, LENGTH - 5).unwrap(), 5);
        assert_eq!(&seen, b"there");
        for (at, left) in [(LENGTH - 4, 4), (LENGTH, 0), (LENGTH + 1, 0), (usize::MAX, 0)] {
            assert_eq!(map.read_at(&mut seen, at).unwrap(), left);
            assert_eq!(map.read_exact_at(&mut seen, at).unwrap_err().errno(), libc::EINVAL);
            assert_eq!(map.write_at(&seen, at).unwrap_err().errno(), libc::EINVAL);
        }
        assert_eq!(map.read_at(&mut [], LENGTH).unwrap(), 0);
        map.read_exact_at(&mut [], LENGTH).unwrap();
    }
}

pub fn a_sealed_map_is_for_reading_only() {
    for mut map in maps() {
        let is_shared = map.access() == Access::Write;
        map.write_at(b"hello", 0).unwrap();
        map.resize(5).unwrap();
        let address = map.as_ptr();
        match map.seal() {
            Ok(sealed) => {
                assert!(is_shared);
                assert_eq!((&sealed[..], sealed.as_ptr()), (&b"hello"[..], address.cast_const()));
                assert_eq!(std::fs::read(bytefd::path(&sealed)).unwrap(), b"hello");
            }
            Err(failure) => {
                assert!(!is_shared);
                assert_eq!(
                    (failure.error().errno(), failure.to_string()),
                    (libc::EINVAL, failure.error().to_string())
                );
                let mut seen = [0; 5];
                failure.into_inner().read_exact_at(&mut seen, 0).unwrap();
                assert_eq!(&seen, b"hello", "the bytes come back");
            }
        }
    }
}

/// Takes a value that owns bytes and can be sent, as `bytes::Bytes::from_owner` requires.
fn owned(bytes: impl AsRef<[u8]> + Send + Sync + std::panic::UnwindSafe + 'static) -> Vec<u8> {
    std::thread::spawn(move || bytes.as_ref().to_vec()).join().unwrap()
}

pub fn sealed_bytes_are_owned_shared_and_become_a_descriptor() {
    let sealed = MapWriter::new().unwrap().seal().unwrap();
    assert!(sealed.is_empty());
    let mut writer = MapWriter::default();
    writer.write_all(&[7; (16 << 10) + 1]).unwrap();
    let sealed = writer.seal().unwrap();
    assert!(
        sealed.len() == (16 << 10) + 1 && sealed.as_ptr().addr().is_multiple_of(4096),
        "it is mapped"
    );
    let mut writer = MapWriter::default();
    writer.write_all(b"hello").unwrap();
    let sealed = writer.seal().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(&sealed[..], b"hello"));
        scope.spawn(|| assert_eq!(std::fs::read(bytefd::path(sealed.as_fd())).unwrap(), b"hello"));
    });
    let number = sealed.as_raw_fd();
    assert_eq!(number, sealed.as_fd().as_raw_fd());
    let fd: OwnedFd = sealed.into();
    assert_eq!(fd.as_raw_fd(), number);
    assert_eq!(std::fs::read(bytefd::path(&fd)).unwrap(), b"hello");
    let mut writer = MapWriter::default();
    writer.write_all(b"hello").unwrap();
    assert_eq!(owned(writer.seal().unwrap()), b"hello");
}

pub fn options_take_every_kind_of_range() {
    use Bound::{Excluded, Included, Unbounded};
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "0123456789").unwrap();
    let shown = |range: (Bound<u64>, Bound<u64>)| {
        let map = MapOptions::new().range(range).open(&file).map_err(|error| error.errno())?;
        let mut bytes = vec![0; map.len()];
        map.read_exact_at(&mut bytes, 0).unwrap();
        Ok(String::from_utf8(bytes).unwrap())
    };
    for (range, expected) in [
        ((Unbounded, Unbounded), Ok("0123456789")),
        ((Included(3), Unbounded), Ok("3456789")),
        ((Excluded(3), Unbounded), Ok("456789")),
        ((Unbounded, Included(3)), Ok("0123")),
        ((Included(2), Excluded(5)), Ok("234")),
        ((Included(2), Excluded(2)), Ok("")),
        ((Included(10), Unbounded), Ok("")),
        ((Included(11), Unbounded), Err(libc::ENXIO)),
        ((Included(0), Excluded(11)), Err(libc::ENXIO)),
        ((Included(5), Excluded(4)), Err(libc::EINVAL)),
        ((Excluded(u64::MAX), Unbounded), Err(libc::EINVAL)),
        ((Unbounded, Included(u64::MAX)), Err(libc::EINVAL)),
    ] {
        assert_eq!(shown(range), expected.map(String::from), "{range:?}");
    }
}

pub fn words_are_shared() {
    for map in maps() {
        let word = map.atomic_u32(4096).unwrap();
        std::thread::scope(|scope| {
            (0..4).for_each(|_| {
                _ = scope.spawn(|| (0..1000).for_each(|_| _ = word.fetch_add(1, SeqCst)))
            });
        });
        assert_eq!((word.load(SeqCst), map.load_u32(4096).unwrap()), (4000, 4000));
        for at in [1, 2, 4097, LENGTH - 3, LENGTH, usize::MAX, usize::MAX - 3] {
            assert_eq!(map.atomic_u32(at).unwrap_err().errno(), libc::EINVAL, "{at}");
            assert_eq!(map.load_u32(at).unwrap_err().errno(), libc::EINVAL, "{at}");
        }
    }
    let map = MapOptions::new().open("/proc/self/exe").unwrap();
    let mut first = [0; 4];
    map.read_exact_at(&mut first, 0).unwrap();
    assert_eq!(map.atomic_u32(0).unwrap_err().errno(), libc::EACCES);
    assert_eq!(map.load_u32(0).unwrap(), u32::from_ne_bytes(first));
}
