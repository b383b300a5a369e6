//! Measures maps side by side with what programs do today: `make bench`.

#[path = "common/mod.rs"]
mod common;

use std::ffi::{CString, c_void};
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::time::Duration;

use bytefd::ffi::*;

use common::{Nanos, Task};

const MAPPED: usize = 256 << 20;
const BUILT: usize = 64 << 20;
/// Number of bytes in one copy, and in one write of an encoder.
const PIECE: usize = 64 << 10;
const PIECES: usize = MAPPED / PIECE;

/// Time for the rounds of a process, unless they take longer.
const TIME: Duration = Duration::from_millis(300);

const OPENED: &[&str] =
    &["open, fstat, mmap, munmap in C", "memmap2", "map_file", "map_file, guarded"];
const COPIED: &[&str] = &["memcpy out of the map", "bytefd_map_read", "bytefd_map_read, guarded"];

const TASKS: [Task; 9] = [
    Task {
        title: "256 MiB, opened and closed",
        names: OPENED,
        measure: |path| lives(path, |bytes| bytes.len() as u64, 50),
    },
    Task {
        title: "256 MiB, read sequentially",
        names: OPENED,
        measure: |path| lives(path, sequentially, 1),
    },
    Task {
        title: "256 MiB, 100 000 bytes read at random",
        names: OPENED,
        measure: |path| lives(path, at_random, 1),
    },
    Task {
        title: "256 MiB, open already, read sequentially",
        names: &["mmap in C", "map_file, guarded"],
        measure: open_already,
    },
    Task {
        title: "64 KiB copied out of a map",
        names: COPIED,
        measure: |path| copies(path, &[0], 50),
    },
    Task {
        title: "256 MiB copied out of a map, 64 KiB at a time",
        names: COPIED,
        measure: |path| copies(path, &(0..PIECES).collect::<Vec<_>>(), 1),
    },
    Task {
        title: "the same in no order",
        names: COPIED,
        // The odd factor gives each number once.
        measure: |path| {
            copies(
                path,
                &(0..PIECES).map(|number| number * 1_664_525 % PIECES).collect::<Vec<_>>(),
                1,
            )
        },
    },
    Task {
        title: "64 MiB built in pieces of 64 KiB, sealed",
        names: &["Vec, shm_wrap_buffer", "MapWriter"],
        measure: built_in_pieces,
    },
    Task {
        title: "64 MiB, length known, filled and sealed",
        names: &["malloc, shm_wrap_buffer", "bytefd_map_memory, bytefd_map_seal"],
        measure: built_of_known_length,
    },
];

fn main() -> std::io::Result<()> {
    common::compare("maps", &TASKS, || {
        let mut file = tempfile::NamedTempFile::new()?;
        let piece = common::pattern(PIECE);
        (0..PIECES).try_for_each(|_| file.write_all(&piece))?;
        Ok(file)
    })
}

/// A map of a whole file, for reading.
trait Bytes: Sized {
    fn open(path: &Path) -> Self;
    fn bytes(&self) -> &[u8];
}

/// The map that a C program writes by hand.
struct Plain(*mut c_void, usize);

impl Bytes for Plain {
    fn open(path: &Path) -> Plain {
        let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: a string, a writable struct, and a new mapping.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            assert!(fd >= 0);
            let mut stat: libc::stat = std::mem::zeroed();
            assert_eq!(libc::fstat(fd, &mut stat), 0);
            let length = stat.st_size as usize;
            let at = libc::mmap(null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
            assert_ne!(at, libc::MAP_FAILED);
            libc::close(fd);
            Plain(at, length)
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes are mapped, and no process changes the file.
        unsafe { std::slice::from_raw_parts(self.0.cast(), self.1) }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // SAFETY: `open` made the mapping, and nothing uses it any more.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

impl Bytes for memmap2::Mmap {
    fn open(path: &Path) -> memmap2::Mmap {
        // SAFETY: no process changes the file.
        unsafe { memmap2::Mmap::map(&File::open(path).expect("opened")) }.expect("mapped")
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

/// map_file, called as a C program does.
struct Ours<const FLAGS: u64>(*mut bytefd_map);

impl<const FLAGS: u64> Bytes for Ours<FLAGS> {
    fn open(path: &Path) -> Ours<FLAGS> {
        let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        let mut map = null_mut();
        // SAFETY: a string, options and a writable pointer.
        assert_eq!(unsafe { map_file(path.as_ptr(), &options(0, FLAGS), &mut map, null_mut()) }, 0);
        Ours(map)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the map lives, and no process changes the file.
        unsafe {
            let map = self.0.as_ref();
            std::slice::from_raw_parts(bytefd_map_data(map).cast(), bytefd_map_length(map))
        }
    }
}

impl<const FLAGS: u64> Drop for Ours<FLAGS> {
    fn drop(&mut self) {
        // SAFETY: bytefd made the map, and nothing uses it any more.
        bytefd_map_close(Some(unsafe { Box::from_raw(self.0) }));
    }
}

fn options(access: u32, flags: u64) -> bytefd_map_options {
    let size = size_of::<bytefd_map_options>();
    bytefd_map_options {
        size,
        offset: 0,
        length: usize::MAX,
        file_size: 0,
        reserve: 0,
        flags,
        access,
        mode: 0,
    }
}

/// Reads the bytes of a map.
type Read = fn(&[u8]) -> u64;

fn sequentially(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(8).fold(0, |sum, word| {
        sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("8 bytes")))
    })
}

fn at_random(bytes: &[u8]) -> u64 {
    let mut at = 1u64;
    (0..100_000).fold(0, |sum, _| {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sum + u64::from(bytes[(at >> 33) as usize % bytes.len()])
    })
}

/// Opens a map, reads it and closes it.
fn life<'a, M: Bytes>(path: &'a Path, read: Read) -> Box<dyn FnMut() + 'a> {
    Box::new(move || {
        black_box(read(M::open(path).bytes()));
    })
}

fn lives(path: &Path, read: Read, repeats: u32) -> Nanos {
    let mut ways = [
        life::<Plain>(path, read),
        life::<memmap2::Mmap>(path, read),
        life::<Ours<0>>(path, read),
        life::<Ours<BYTEFD_MAP_GUARD>>(path, read),
    ];
    common::measure(&mut ways, repeats, TIME)
}

/// Reads maps that are open already.
fn open_already(path: &Path) -> Nanos {
    let (plain, guarded) = (Plain::open(path), Ours::<BYTEFD_MAP_GUARD>::open(path));
    let mut ways: [Box<dyn FnMut()>; 2] = [
        Box::new(|| _ = black_box(sequentially(plain.bytes()))),
        Box::new(|| _ = black_box(sequentially(guarded.bytes()))),
    ];
    common::measure(&mut ways, 1, TIME)
}

/// Copies the pieces of these numbers, one after the other.
fn copies(path: &Path, pieces: &[usize], repeats: u32) -> Nanos {
    let (plain, guarded) = (Ours::<0>::open(path), Ours::<BYTEFD_MAP_GUARD>::open(path));
    let mut target = vec![1u8; PIECE];
    let target: *mut u8 = target.as_mut_ptr();
    let read = |map: &bytefd_map, offset| {
        let mut copied = 0;
        // SAFETY: the target has room for a piece, and the map has the piece.
        let status = unsafe {
            bytefd_map_read(Some(map), offset, target.cast(), PIECE, &mut copied, null_mut())
        };
        assert_eq!((status, copied), (0, PIECE));
    };
    let offsets = || pieces.iter().map(|number| number * PIECE);
    let mut ways: [Box<dyn FnMut()>; 3] = [
        Box::new(|| {
            for offset in offsets() {
                let from = black_box(plain.bytes())[offset..].as_ptr();
                // SAFETY: the same as above.
                unsafe { std::ptr::copy_nonoverlapping(from, black_box(target), PIECE) }
            }
        }),
        // SAFETY: the map lives.
        Box::new(|| offsets().for_each(|offset| read(unsafe { &*plain.0 }, offset))),
        // SAFETY: the map lives.
        Box::new(|| offsets().for_each(|offset| read(unsafe { &*guarded.0 }, offset))),
    ];
    common::measure(&mut ways, repeats, TIME)
}

fn wrapped(bytes: &[u8]) {
    // SAFETY: a valid buffer.
    let fd = unsafe { shm_wrap_buffer(bytes.as_ptr().cast(), bytes.len(), null(), null_mut()) };
    assert!(fd >= 0);
    // SAFETY: the descriptor is ours.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// Builds the content piece by piece, like an encoder.
fn built_in_pieces(_: &Path) -> Nanos {
    let piece = &common::pattern(PIECE)[..];
    let mut ways: [Box<dyn FnMut() + '_>; 2] = [
        Box::new(|| {
            let mut buffer = Vec::new();
            (0..BUILT / PIECE).for_each(|_| buffer.extend_from_slice(piece));
            wrapped(&buffer);
        }),
        Box::new(|| {
            let mut writer = bytefd::MapWriter::new().expect("memory");
            (0..BUILT / PIECE).for_each(|_| writer.write_all(piece).expect("memory"));
            let fd = writer.seal().expect("sealed");
            assert!(fd.as_raw_fd() >= 0);
        }),
    ];
    common::measure(&mut ways, 1, TIME)
}

fn built_of_known_length(_: &Path) -> Nanos {
    let piece = &common::pattern(PIECE)[..];
    let mut ways: [Box<dyn FnMut() + '_>; 2] = [
        Box::new(|| {
            let mut buffer = Vec::with_capacity(BUILT);
            (0..BUILT / PIECE).for_each(|_| buffer.extend_from_slice(piece));
            wrapped(&buffer);
        }),
        Box::new(|| {
            let mut map = null_mut();
            // SAFETY: options and a writable pointer. The map has room for all pieces, and is
            // closed once.
            unsafe {
                assert_eq!(
                    bytefd_map_memory(
                        BUILT,
                        &options(0, BYTEFD_MAP_POPULATE),
                        &mut map,
                        null_mut()
                    ),
                    0
                );
                let start: *mut u8 = bytefd_map_data(map.as_ref()).cast();
                (0..BUILT / PIECE).for_each(|i| {
                    start.add(i * PIECE).copy_from_nonoverlapping(piece.as_ptr(), PIECE)
                });
                let fd = bytefd_map_seal(map.as_mut(), 0, null_mut());
                assert!(fd >= 0);
                drop(OwnedFd::from_raw_fd(fd));
                bytefd_map_close(Some(Box::from_raw(map)));
            }
        }),
    ];
    common::measure(&mut ways, 1, TIME)
}
