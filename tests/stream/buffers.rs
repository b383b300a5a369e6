//! Tests streams that begin in buffers and go on in a file: what must hold at whatever length they
//! end, and whatever length was expected.

use std::fs::File;
use std::io::{Error, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::null_mut;

use bytefd::{Pool, StreamOptions, WrapOptions};

use super::limits::counted;
use super::sources::{assert_as_wrapped, pipe};
use crate::faults::conditions::{leaves_nothing, with_limit};
use crate::support::fd::{pattern, seals};
use crate::support::hosts::has_memfd;
use crate::support::share::plain_write;

const PACKET: usize = 4096;

/// Returns the lengths at which one buffer ends and the next begins, and at which the file does,
/// with and without the room for a packet.
fn lengths() -> impl Iterator<Item = usize> {
    let ends = [16 << 10, 80 << 10, 336 << 10, 1 << 20, 2 << 20, 4 << 20];
    let ends =
        ends.into_iter().enumerate().flat_map(|(index, end)| [end, end + PACKET * (index + 1)]);
    ends.flat_map(|end| [end - 1, end, end + 1])
}

/// Returns hints: nothing, too little, exactly as much, too much, and more than there can be.
fn hints(length: usize) -> [u64; 7] {
    let length = length as u64;
    [0, 1, length - 1, length, length + 1, 3 * length, u64::MAX]
}

/// Gives at most `piece` bytes at once, and then ends with `end`. Overwrites all of the buffer.
struct Pieces<'a> {
    bytes: &'a [u8],
    piece: usize,
    end: Option<i32>,
}

impl<'a> Pieces<'a> {
    fn new(bytes: &'a [u8], piece: usize) -> Pieces<'a> {
        Pieces { bytes, piece, end: None }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        let count = room.len().min(self.piece).min(self.bytes.len());
        let (given, rest) = self.bytes.split_at(count);
        room[..count].copy_from_slice(given);
        room[count..].fill(b'#');
        self.bytes = rest;
        match self.end {
            Some(errno) if count == 0 => Err(Error::from_raw_os_error(errno)),
            _ => Ok(count),
        }
    }
}

fn wrap(reader: impl Read, hint: u64) -> bytefd::Result<OwnedFd> {
    WrapOptions::new().wrap_reader(reader, &StreamOptions::new().size_hint(hint))
}

pub fn every_length_around_a_buffer_is_exact_whatever_was_expected() {
    let bytes = pattern((5 << 20) + 5);
    for length in lengths().chain([bytes.len()]) {
        let bytes = &bytes[..length];
        for hint in hints(length) {
            assert_as_wrapped(&wrap(bytes, hint).expect("a descriptor"), bytes);
        }
        for piece in [997, 4095, 4097, 70_001] {
            assert_as_wrapped(&wrap(Pieces::new(bytes, piece), 0).expect("a descriptor"), bytes);
            assert_as_wrapped(
                &wrap(Pieces::new(bytes, piece), length as u64).expect("a descriptor"),
                bytes,
            );
        }
    }
}

pub fn every_length_of_a_file_is_exact_whatever_was_expected() {
    let bytes = pattern((5 << 20) + 5);
    for length in lengths().chain([bytes.len()]) {
        let bytes = &bytes[..length];
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        for hint in hints(length) {
            file.rewind().expect("a place");
            let options = StreamOptions::new().size_hint(hint);
            assert_as_wrapped(
                &WrapOptions::new().wrap_stream(&file, &options).expect("a descriptor"),
                bytes,
            );
        }
    }
}

/// Content stays in memory if it is larger than the threshold only together with what lies before
/// the offset.
pub fn what_a_file_has_before_its_offset_is_not_expected() {
    let bytes = pattern(3 << 20);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("written");
    file.seek(SeekFrom::Start(1 << 20)).expect("a place");
    let options = WrapOptions::new().spill_threshold(2 << 20);
    let fd = options.wrap_stream(&file, &StreamOptions::new()).expect("a descriptor");
    assert_as_wrapped(&fd, &bytes[1 << 20..]);
}

/// This also holds where a buffer has less room left than a packet.
pub fn packets_are_never_cut_whatever_was_expected() {
    const COUNT: usize = 40;
    let packet = pattern(4095);
    let bytes = packet.repeat(COUNT);
    for hint in hints(bytes.len()).into_iter().chain([4095, 4096, 3 * 4095 + 1, 16 << 10]) {
        let (reader, writer) = pipe(libc::O_DIRECT);
        let packet = &packet;
        std::thread::scope(|scope| {
            scope.spawn(move || (0..COUNT).for_each(|_| plain_write(&writer, packet)));
            let options = StreamOptions::new().size_hint(hint);
            assert_as_wrapped(
                &WrapOptions::new().wrap_stream(&reader, &options).expect("a descriptor"),
                &bytes,
            );
        });
    }
}

pub fn every_length_around_a_buffer_goes_through_a_pool() {
    let (pool, bytes) = (Pool::new(64 << 20), pattern((5 << 20) + 5));
    for length in lengths().chain([bytes.len(), 1, 0]) {
        let bytes = &bytes[..length];
        for hint in [0, 1, length as u64, u64::MAX] {
            let options = StreamOptions::new().size_hint(hint);
            let lent =
                pool.scan_begin_reader(Pieces::new(bytes, 50_000), &WrapOptions::new(), &options);
            let lent = lent.expect("a descriptor");
            let mut content = Vec::new();
            File::from(lent.as_fd().try_clone_to_owned().expect("a copy"))
                .read_to_end(&mut content)
                .expect("read");
            assert!(content == bytes, "{length} bytes, {hint} expected");
        }
    }
}

pub fn a_reader_that_fails_anywhere_leaves_nothing() {
    let (pool, bytes) = (Pool::new(64 << 20), pattern((5 << 20) + 5));
    for length in lengths().chain([bytes.len(), 1, 0]) {
        let failing =
            || Pieces { end: Some(libc::ENETDOWN), ..Pieces::new(&bytes[..length], 70_001) };
        let error = leaves_nothing(|| wrap(failing(), 0)).expect_err("it fails");
        assert_eq!(error.errno(), libc::ENETDOWN);
        let error = pool.scan_begin_reader(failing(), &WrapOptions::new(), &StreamOptions::new());
        assert_eq!(error.expect_err("it fails").errno(), libc::ENETDOWN);
    }
    let lent = pool
        .scan_begin_reader(&b"hello"[..], &WrapOptions::new(), &StreamOptions::new())
        .expect("a descriptor");
    assert_eq!(std::fs::read(bytefd::path(&lent)).expect("read"), b"hello");
}

/// A reader that looks at the process whenever it is asked for bytes.
struct Watched<'a, F>(&'a [u8], F);

impl<F: FnMut()> Read for Watched<'_, F> {
    fn read(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        (self.1)();
        self.0.read(room)
    }
}

/// Returns the memory files of this process that are not sealed.
fn growing() -> Vec<OwnedFd> {
    let numbers = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    let paths = numbers.map(|entry| entry.expect("a descriptor").path());
    let is_memory = |path: &PathBuf| {
        std::fs::read_link(path).is_ok_and(|to| to.as_os_str().as_bytes().starts_with(b"/memfd:"))
    };
    let files = paths.filter(is_memory).filter_map(|path| {
        File::options().read(true).write(true).open(path).ok().map(OwnedFd::from)
    });
    files.filter(|fd| seals(fd) & libc::F_SEAL_WRITE == 0).collect()
}

/// Another process that has the file mapped for storing keeps it from being sealed. The stream
/// cannot be read again.
pub fn a_file_that_another_has_mapped_is_sealed_all_the_same() {
    let bytes = pattern((5 << 20) + 5);
    for hint in [0, bytes.len() as u64] {
        let mut foreign = Vec::new();
        let fd = wrap(
            Watched(&bytes, || {
                if foreign.is_empty() {
                    foreign.extend(growing().into_iter().map(|fd| {
                        // SAFETY: a new mapping, which nobody looks at.
                        let at = unsafe {
                            let access = libc::PROT_READ | libc::PROT_WRITE;
                            let number = fd.as_raw_fd();
                            libc::mmap(null_mut(), 4096, access, libc::MAP_SHARED, number, 0)
                        };
                        assert_ne!(at, libc::MAP_FAILED);
                        at
                    }));
                }
            }),
            hint,
        );
        let fd = fd.expect("a descriptor");
        assert_eq!(foreign.len(), usize::from(has_memfd()), "files that grow");
        for at in foreign {
            // SAFETY: mapped above, and two bytes of a page.
            unsafe {
                at.cast::<u16>().write(0xffff);
                libc::munmap(at, 4096);
            }
        }
        assert_as_wrapped(&fd, &bytes);
    }
}

/// A mapping would keep the file from being sealed, and see what is read.
pub fn a_child_forked_while_a_stream_is_read_has_no_mapping_of_it() {
    let bytes = pattern((5 << 20) + 5);
    let reading = Watched(&bytes, || {
        // SAFETY: the child only waits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            loop {
                // SAFETY: touches no memory.
                unsafe { libc::pause() };
            }
        }
        assert!(child > 0);
        let maps = std::fs::read_to_string(format!("/proc/{child}/maps")).expect("its mappings");
        // SAFETY: a child of this process, which takes no status.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, null_mut(), 0);
        }
        assert!(!maps.contains("/memfd:bytefd"), "{maps}");
    });
    let fd = wrap(reading, bytes.len() as u64).expect("a descriptor");
    assert_as_wrapped(&fd, &bytes);
}

pub fn a_wrong_hint_takes_no_memory() {
    const MOST: u64 = 2 << 20;
    // This takes the memory that the code itself needs once.
    assert_as_wrapped(&wrap(&b"hello"[..], 5).expect("a descriptor"), b"hello");
    // The peak also counts code, and older kernels count it in batches.
    let (own, peak) = (counted("VmData:") + MOST, counted("VmHWM:") + MOST);
    for hint in [1 << 20, 1 << 30, 1 << 62, u64::MAX] {
        let fd =
            with_limit(libc::RLIMIT_DATA, own, || wrap(&b"hello"[..], hint)).expect("a descriptor");
        assert_as_wrapped(&fd, b"hello");
        let allocated =
            std::os::unix::fs::MetadataExt::blocks(&File::from(fd).metadata().expect("a file"))
                * 512;
        assert!(allocated <= 64 << 10, "{allocated} bytes for 5");
    }
    assert!(counted("VmHWM:") < peak, "{} bytes of memory, {peak} allowed", counted("VmHWM:"));
}
