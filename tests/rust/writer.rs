//! Compares MapWriter with a vector, and checks what it leaves behind.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytefd::MapWriter;

use crate::faults::conditions::{
    file_size_signal_kills, leaves_nothing, with_free_descriptors, with_limit,
};
use crate::support::fd::{content, is_close_on_exec, mode, offset, pattern, seals};
use crate::support::hosts;

/// Makes a writer. Returns `None` on hosts without memory files.
fn writer() -> Option<MapWriter> {
    match MapWriter::new() {
        Ok(writer) => Some(writer),
        Err(error) => {
            assert!(!hosts::has_memfd(), "{error}");
            println!("SKIPPED: a writer: there are no memory files on this host");
            None
        }
    }
}

/// Seals what was written, which must be `expected`.
fn check(writer: MapWriter, expected: &[u8]) {
    assert!(writer.written() == expected.len() && writer.as_slice() == expected);
    let sealed = writer.seal().unwrap();
    assert!(sealed[..] == *expected);
    let fd = OwnedFd::from(sealed);
    assert_eq!((seals(&fd) & 0xf, mode(&fd), offset(&fd)), (0xf, 0o400, 0));
    assert!(is_close_on_exec(&fd));
    assert!(content(&fd) == expected, "{} bytes", expected.len());
}

/// Returns the lengths at which it grows: what the first byte gets, twice that, whole huge pages.
fn boundaries() -> impl Iterator<Item = usize> {
    let about = [16 << 10, 32 << 10, 64 << 10, 1 << 20, 2 << 20, 4 << 20, 6 << 20];
    about.into_iter().flat_map(|size| [size - 1, size, size + 1])
}

pub fn a_writer_writes_what_a_vector_does() {
    for size in [0, 1, 4095, 4096, 4097].into_iter().chain(boundaries()) {
        let Some(mut writer) = writer() else { return };
        let bytes = pattern(size);
        writer.write_all(&bytes).unwrap();
        writer.flush().unwrap();
        check(writer, &bytes);
    }
}

pub fn a_writer_takes_pieces_of_any_size() {
    for piece in [1, 7, 4095, 65_535, 65_537, 999_983, (2 << 20) + 1] {
        let Some(mut writer) = writer() else { return };
        let bytes = pattern((5 << 20) + 77);
        let length = if piece < 1000 { 200_001 } else { bytes.len() };
        let (mut model, mut first) = (Vec::new(), None);
        for part in bytes[..length].chunks(piece) {
            assert_eq!(writer.write(part).unwrap(), part.len());
            model.extend_from_slice(part);
            assert!(writer.written() == model.len());
            if model.len() > 1 << 20 {
                let start = writer.as_slice().as_ptr();
                assert_eq!(*first.get_or_insert(start), start, "growing a large one moves nothing");
            }
        }
        check(writer, &model);
    }
}

pub fn whole_streams_are_copied_into_a_writer() {
    let bytes = pattern((3 << 20) + 5);
    let Some(mut writer) = writer() else { return };
    assert_eq!(std::io::copy(&mut &bytes[..], &mut writer).unwrap(), bytes.len() as u64);
    let mut reader = writer.as_slice();
    let mut again = Vec::new();
    reader.read_to_end(&mut again).unwrap();
    assert!(again == bytes);
    write!(writer, "and {}", 42).unwrap();
    check(writer, &[&bytes[..], b"and 42"].concat());
}

pub fn spare_room_is_written_in_place() {
    let Some(mut writer) = writer() else { return };
    let mut model = Vec::new();
    for (room, used) in
        [(0, 0), (1, 1), (5, 3), (100_000, 7), (1, 0), (3 << 20, 3 << 20), (70_000, 70_000), (0, 0)]
    {
        let spare = writer.spare(room).unwrap();
        assert!(spare.len() >= room);
        // More than is used, which is not to be seen.
        spare[..room].copy_from_slice(&pattern(room));
        writer.advance(used);
        model.extend_from_slice(&pattern(room)[..used]);
        assert!(writer.as_slice() == model);
    }
    let Some(mut other) = self::writer() else { return };
    other.spare(10).unwrap().fill(b'!');
    other.write_all(b"hello").unwrap();
    check(other, b"hello");
    check(writer, &model);
}

pub fn counting_more_than_was_spare_panics_and_counts_nothing() {
    let Some(mut writer) = writer() else { return };
    writer.write_all(b"hello").unwrap();
    let room = writer.spare(0).unwrap().len();
    for count in [room + 1, usize::MAX] {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.advance(count)))
            .unwrap_err();
    }
    check(writer, b"hello");
}

/// A library that takes all memory would cause the out-of-memory killer to run, which should choose
/// this process.
pub fn more_than_there_can_be_is_an_error_and_the_writer_goes_on() {
    std::fs::write("/proc/self/oom_score_adj", "1000").unwrap();
    let Some(mut writer) = writer() else { return };
    writer.write_all(b"hello").unwrap();
    for room in [usize::MAX, isize::MAX as usize, 1 << 60] {
        let error = writer.spare(room).unwrap_err();
        assert!(
            [libc::EINVAL, libc::EFBIG, libc::ENOMEM, libc::ENOSPC].contains(&error.errno()),
            "{error}"
        );
    }
    writer.write_all(b" world").unwrap();
    check(writer, b"hello world");
}

/// Lost bytes are not zeros, even if a guard shows zeros in their place.
pub fn bytes_that_a_guard_has_replaced_are_not_written() {
    let Some(mut writer) = writer() else { return };
    let file = tempfile::tempfile().unwrap();
    file.set_len(10_000).unwrap();
    let map = bytefd::MapOptions::new().guard(true).map_fd(&file).unwrap();
    file.set_len(0).unwrap();
    // SAFETY: lost pages read zero in a guarded map.
    let lost = unsafe { map.as_slice() };
    assert_eq!(lost[0], 0);
    // The second write finds room that the first has left.
    for before in [0, 5] {
        writer.write_all(&b"hello"[..before]).unwrap();
        let error = writer.write(&lost[..10]).unwrap_err();
        let error = error.get_ref().and_then(|error| error.downcast_ref::<bytefd::Error>());
        assert_eq!(error.map(bytefd::Error::errno), Some(libc::EFAULT));
        assert_eq!(writer.as_slice(), &b"hello"[..before]);
    }
}

pub fn a_writer_works_where_so_much_address_space_cannot_be_kept() {
    let bytes = pattern((9 << 20) + 1);
    let Some(unlimited) = writer() else { return };
    drop(unlimited);
    let writer = leaves_nothing(|| {
        with_limit(libc::RLIMIT_AS, 4 << 30, || {
            let mut writer = MapWriter::new().unwrap();
            bytes.chunks(10_007).for_each(|part| writer.write_all(part).unwrap());
            assert!(writer.as_slice() == bytes);
            let error = writer.spare(8 << 30).unwrap_err();
            assert_eq!(error.errno(), libc::ENOMEM, "{error}");
            writer.as_slice().to_vec()
        })
    });
    assert!(writer == bytes);
    with_limit(libc::RLIMIT_AS, 4 << 30, || {
        let mut writer = MapWriter::new().unwrap();
        writer.write_all(&bytes).unwrap();
        check(writer, &bytes);
    });
}

pub fn a_writer_past_the_file_size_limit_says_so_and_keeps_what_it_has() {
    file_size_signal_kills();
    let Some(mut writer) = writer() else { return };
    with_limit(libc::RLIMIT_FSIZE, 1 << 20, || {
        writer.write_all(&pattern(1 << 20)).unwrap();
        let error = writer.write(b"!").unwrap_err();
        let error =
            error.get_ref().and_then(|inner| inner.downcast_ref::<bytefd::Error>()).expect("ours");
        assert_eq!(error.errno(), libc::EFBIG);
    });
    check(writer, &pattern(1 << 20));
}

/// std cannot use vfork(2) to start a program as another user, so it forks. The child has all
/// mappings for a moment.
pub fn sealing_beside_forks_neither_fails_nor_loses() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return println!("SKIPPED: sealing beside forks: only root can start programs as a user");
    }
    let Some(_) = writer() else { return };
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                assert!(Command::new("/bin/true").uid(0).status().unwrap().success());
            }
        });
        // A panic ends the other thread too.
        let _ends = Ends(&is_over);
        let large = pattern((1 << 20) + 1);
        for turn in 0..1000 {
            let bytes = if turn % 20 == 0 { &large } else { &large[..turn] };
            let mut writer = MapWriter::new().unwrap();
            writer.write_all(bytes).unwrap();
            // A machine with other work can keep a child for longer than the default.
            let sealed = writer.seal_timeout(None);
            let sealed = sealed.unwrap_or_else(|failure| panic!("turn {turn}: {failure}"));
            assert!(sealed[..] == *bytes);
        }
    });
}

/// A cursor's vector grows at every position that is written, and has zeros in gaps.
pub fn a_writer_seeks_as_a_cursor_does() {
    let Some(mut writer) = writer() else { return };
    let mut model = std::io::Cursor::new(Vec::new());
    for (to, bytes) in [
        (SeekFrom::Start(5), pattern(10)),
        (SeekFrom::Start(0), pattern(3)),
        (SeekFrom::Current(4), pattern(1)),
        (SeekFrom::End(100_000), pattern(7)),
        (SeekFrom::End(-5), pattern(300_000)),
        (SeekFrom::Current(-200_000), pattern(50)),
        (SeekFrom::End(3 << 20), pattern(1)),
        (SeekFrom::Start(70), pattern(0)),
    ] {
        assert_eq!(writer.seek(to).unwrap(), model.seek(to).unwrap());
        writer.write_all(&bytes).unwrap();
        model.write_all(&bytes).unwrap();
        assert_eq!(writer.stream_position().unwrap(), model.position());
        assert!(writer.as_slice() == model.get_ref());
    }
    // Bytes that were only in the spare capacity do not show in a gap.
    let end = writer.seek(SeekFrom::End(0)).unwrap();
    writer.spare(100).unwrap().fill(b'?');
    writer.seek(SeekFrom::Current(50)).unwrap();
    writer.write_all(b"!").unwrap();
    model.set_position(end + 50);
    model.write_all(b"!").unwrap();
    for to in [SeekFrom::Current(i64::MIN), SeekFrom::End(-(1 << 40)), SeekFrom::Start(u64::MAX)] {
        assert_eq!(writer.seek(to).unwrap_err().kind(), std::io::ErrorKind::InvalidInput, "{to:?}");
    }
    check(writer, model.get_ref());
}

/// Appending has a way of its own, which must know of all the others.
pub fn a_writer_does_what_a_cursor_does_in_any_order() {
    for seed in 0..crate::support::rounds(12) as u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let Some(mut writer) = writer() else { return };
        let mut model = std::io::Cursor::new(Vec::new());
        for _ in 0..300 {
            let most = [8, 100, 5000, 200_000][random(4)];
            let bytes = pattern(random(most));
            match random(8) {
                0 => {
                    let to = random(model.get_ref().len() + most + 1) as u64;
                    (writer.seek(SeekFrom::Start(to)).unwrap(), model.set_position(to)).0
                }
                1 => {
                    let used = random(bytes.len() + 1);
                    let is_end = model.position() == model.get_ref().len() as u64;
                    let spare = writer.spare(bytes.len()).unwrap();
                    spare[..used].copy_from_slice(&bytes[..used]);
                    if is_end {
                        spare[used..].fill(b'?');
                    }
                    writer.advance(used);
                    if used > 0 { model.write(&bytes[..used]).unwrap() as u64 } else { 0 }
                }
                2 => {
                    let to = SeekFrom::End(0);
                    assert_eq!(writer.seek(to).unwrap(), model.seek(to).unwrap());
                    0
                }
                // A cursor makes a gap also for nothing.
                _ if bytes.is_empty() && model.position() as usize > model.get_ref().len() => 0,
                _ => {
                    writer.write_all(&bytes).unwrap();
                    model.write(&bytes).unwrap() as u64
                }
            };
            assert_eq!(writer.stream_position().unwrap(), model.position(), "seed {seed}");
            assert!(writer.as_slice() == model.get_ref(), "seed {seed}");
        }
        check(writer, model.get_ref());
    }
}

pub fn a_writer_that_is_not_sealed_comes_back_with_its_content() {
    let bytes = pattern(300_000);
    // One of more than 1 MiB has its descriptor already.
    for length in [0, 100, 200_000] {
        let Some(mut writer) = writer() else { return };
        writer.write_all(&bytes[..length]).unwrap();
        let failure = with_free_descriptors(0, || match writer.seal() {
            Err(failure) => failure,
            Ok(sealed) => panic!("{} bytes sealed", sealed.len()),
        });
        assert_eq!(failure.error().errno(), libc::EMFILE);
        let mut writer = failure.into_inner();
        writer.write_all(b"and more").unwrap();
        check(writer, &[&bytes[..length], b"and more"].concat());
    }
}
