//! What a map costs, side by side with what people do today: `make bench`.

#[path = "common/mod.rs"]
mod common;

use std::ffi::{CString, c_void};
use std::fmt::Write;
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};

use bytefd::ffi::*;

const MAPPED: usize = 256 << 20;
const BUILT: usize = 64 << 20;
/// Bytes of one copy, and of what an encoder writes at a time.
const PIECE: usize = 64 << 10;

fn main() -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    let piece: Vec<u8> =
        (0..PIECE as u64 / 8).flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    for _ in 0..MAPPED / PIECE {
        file.write_all(&piece)?;
    }
    let mut text = common::host() + "\n";
    whole_maps(&mut text, file.path());
    copies(&mut text, file.path());
    built(&mut text, &piece);
    common::keep("maps", &text)
}

/// One line for each way: its time, and how many times as long as that of the first one it is.
fn report(
    text: &mut String,
    title: &str,
    names: &[&str],
    ways: &mut [Box<dyn FnMut() + '_>],
    rounds: usize,
    repeats: u32,
) {
    let times = common::measure(ways, rounds, repeats);
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "\n{title}: microseconds (median), and how many times as long as the first (median of the ratios)"
    );
    for (way, name) in names.iter().enumerate() {
        let _ = writeln!(text, "{name:>34} {:>12.2}   {:.3}", times.of(way) / 1e3, 1.0 / times.speedup(way, 0));
    }
}

/// A map of a whole file, for reading.
trait Bytes: Sized {
    fn open(path: &Path) -> Self;
    fn bytes(&self) -> &[u8];
}

/// What a C program writes.
struct Plain(*mut c_void, usize);

impl Bytes for Plain {
    fn open(path: &Path) -> Plain {
        let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: a string, a writable struct, and a mapping of its own.
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
        // SAFETY: mapped, and nobody changes the file.
        unsafe { std::slice::from_raw_parts(self.0.cast(), self.1) }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // SAFETY: made in `open`.
        unsafe { libc::munmap(self.0, self.1) };
    }
}

impl Bytes for memmap2::Mmap {
    fn open(path: &Path) -> memmap2::Mmap {
        // SAFETY: nobody changes the file.
        unsafe { memmap2::Mmap::map(&File::open(path).expect("opened")) }.expect("mapped")
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

/// map_file, as C programs call it.
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
        // SAFETY: the map lives, and nobody changes the file.
        unsafe {
            let map = self.0.as_ref();
            std::slice::from_raw_parts(bytefd_map_data(map).cast(), bytefd_map_length(map))
        }
    }
}

impl<const FLAGS: u64> Drop for Ours<FLAGS> {
    fn drop(&mut self) {
        // SAFETY: made by bytefd, and used no more.
        bytefd_map_close(Some(unsafe { Box::from_raw(self.0) }));
    }
}

fn options(access: u32, flags: u64) -> bytefd_map_options {
    let size = size_of::<bytefd_map_options>();
    bytefd_map_options { size, offset: 0, length: usize::MAX, file_size: 0, reserve: 0, flags, access, mode: 0 }
}

/// Looks at the bytes of a map.
type Read = fn(&[u8]) -> u64;

fn sequentially(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(8).fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("8 bytes"))))
}

fn at_random(bytes: &[u8]) -> u64 {
    let mut at = 1u64;
    (0..100_000).fold(0, |sum, _| {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sum + u64::from(bytes[(at >> 33) as usize % bytes.len()])
    })
}

/// Opens, reads and closes.
fn life<'a, M: Bytes>(path: &'a Path, read: Read) -> Box<dyn FnMut() + 'a> {
    Box::new(move || {
        black_box(read(M::open(path).bytes()));
    })
}

fn whole_maps(text: &mut String, path: &Path) {
    const NAMES: [&str; 4] = ["open, fstat, mmap, munmap in C", "memmap2", "map_file", "map_file, guarded"];
    let reads = [
        ("opened and closed", (|bytes| bytes.len() as u64) as Read, 301, 50),
        ("read sequentially", sequentially, 21, 1),
        ("100 000 bytes read at random", at_random, 21, 1),
    ];
    for (what, read, rounds, repeats) in reads {
        let mut ways = [
            life::<Plain>(path, read),
            life::<memmap2::Mmap>(path, read),
            life::<Ours<0>>(path, read),
            life::<Ours<BYTEFD_MAP_GUARD>>(path, read),
        ];
        report(text, &format!("{}, {what}", common::size_name(MAPPED)), &NAMES, &mut ways, rounds, repeats);
    }
    // Without what opening costs: the same bytes through maps that are open.
    let (plain, guarded) = (Plain::open(path), Ours::<BYTEFD_MAP_GUARD>::open(path));
    let mut ways: [Box<dyn FnMut()>; 2] = [
        Box::new(|| _ = black_box(sequentially(plain.bytes()))),
        Box::new(|| _ = black_box(sequentially(guarded.bytes()))),
    ];
    report(text, "256 MiB, open already, read sequentially", &["mmap in C", "map_file, guarded"], &mut ways, 21, 1);
}

/// A piece that the caches hold, and all of a file in pieces, in order and at random.
fn copies(text: &mut String, path: &Path) {
    let (plain, guarded) = (Ours::<0>::open(path), Ours::<BYTEFD_MAP_GUARD>::open(path));
    let mut target = vec![1u8; PIECE];
    let target: *mut u8 = target.as_mut_ptr();
    let read = |map: &bytefd_map, offset| {
        let mut copied = 0;
        // SAFETY: room for a piece, which the map has.
        let status = unsafe { bytefd_map_read(Some(map), offset, target.cast(), PIECE, &mut copied, null_mut()) };
        assert_eq!((status, copied), (0, PIECE));
    };
    const ALL: usize = MAPPED / PIECE;
    let orders = [
        ("64 KiB copied out of a map", vec![0], 301, 50),
        ("256 MiB copied out of a map, 64 KiB at a time", (0..ALL).collect(), 21, 1),
        // An odd factor makes each number once of each.
        ("the same in no order", (0..ALL).map(|number| number * 1_664_525 % ALL).collect::<Vec<_>>(), 21, 1),
    ];
    for (what, pieces, rounds, repeats) in orders {
        let offsets = || pieces.iter().map(|number| number * PIECE);
        let mut ways: [Box<dyn FnMut()>; 3] = [
            Box::new(|| {
                for offset in offsets() {
                    let from = black_box(plain.bytes())[offset..].as_ptr();
                    // SAFETY: as above.
                    unsafe { std::ptr::copy_nonoverlapping(from, black_box(target), PIECE) }
                }
            }),
            // SAFETY: the map lives.
            Box::new(|| offsets().for_each(|offset| read(unsafe { &*plain.0 }, offset))),
            // SAFETY: the same.
            Box::new(|| offsets().for_each(|offset| read(unsafe { &*guarded.0 }, offset))),
        ];
        let names = ["memcpy out of the map", "bytefd_map_read", "bytefd_map_read, guarded"];
        report(text, what, &names, &mut ways, rounds, repeats);
    }
}

/// As an encoder does it, piece by piece; and with the length known before.
fn built(text: &mut String, piece: &[u8]) {
    let wrapped = |bytes: &[u8]| {
        // SAFETY: a valid buffer.
        let fd = unsafe { shm_wrap_buffer(bytes.as_ptr().cast(), bytes.len(), null(), null_mut()) };
        assert!(fd >= 0);
        // SAFETY: ours.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    };
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
    report(text, "64 MiB built in pieces of 64 KiB, sealed", &["Vec, shm_wrap_buffer", "MapWriter"], &mut ways, 31, 1);
    let mut ways: [Box<dyn FnMut() + '_>; 2] = [
        Box::new(|| {
            let mut buffer = Vec::with_capacity(BUILT);
            (0..BUILT / PIECE).for_each(|_| buffer.extend_from_slice(piece));
            wrapped(&buffer);
        }),
        Box::new(|| {
            let mut map = null_mut();
            // SAFETY: options and a writable pointer; the map has room for all pieces; it is closed once.
            unsafe {
                assert_eq!(bytefd_map_memory(BUILT, &options(0, BYTEFD_MAP_POPULATE), &mut map, null_mut()), 0);
                let start: *mut u8 = bytefd_map_data(map.as_ref()).cast();
                (0..BUILT / PIECE).for_each(|i| start.add(i * PIECE).copy_from_nonoverlapping(piece.as_ptr(), PIECE));
                let fd = bytefd_map_seal(map.as_mut(), 0, null_mut());
                assert!(fd >= 0);
                drop(OwnedFd::from_raw_fd(fd));
                bytefd_map_close(Some(Box::from_raw(map)));
            }
        }),
    ];
    let names = ["malloc, shm_wrap_buffer", "bytefd_map_memory, bytefd_map_seal"];
    report(text, "64 MiB, length known, filled and sealed", &names, &mut ways, 31, 1);
}
