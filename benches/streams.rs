//! Measures what it costs to make a descriptor of bytes that are read or written piece by piece,
//! beside a `Vec` that is wrapped: `make bench`.
// The oldest supported compiler builds the library alone.
#![allow(clippy::incompatible_msrv)]

#[path = "common/mod.rs"]
mod common;

use std::fs::File;
use std::io::{PipeReader, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use bytefd::{MapWriter, Pool, StreamOptions, WrapOptions, wrap};

use common::{Nanos, Task};

/// Time for the rounds of a process, unless they take longer.
const TIME: Duration = Duration::from_millis(200);

const READ: &[&str] = &[
    "read_to_end, wrap",
    "without the Vec",
    "with the length known",
    "read_to_end, pool",
    "into a pool",
];
const WRITTEN: &[&str] = &["write_all into a Vec, wrap", "MapWriter"];

/// The rows of a size.
const fn tasks<const SIZE: usize>(titles: [&'static str; 5]) -> [Task; 5] {
    let [reader, file, pipe, small, large] = titles;
    [
        Task { title: reader, names: READ, measure: from_reader::<SIZE> },
        Task { title: file, names: READ, measure: from_file::<SIZE> },
        Task { title: pipe, names: READ, measure: from_pipe::<SIZE> },
        Task { title: small, names: WRITTEN, measure: from_writes::<SIZE, 16> },
        Task { title: large, names: WRITTEN, measure: from_writes::<SIZE, 4096> },
    ]
}

/// Capacity of a pipe. Up to this size the writer does not take part in the time.
const PIPE: usize = 1 << 20;

/// A reader that can do nothing but read.
struct Reader<'a>(&'a [u8]);

impl Read for Reader<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(room)
    }
}

fn main() -> std::io::Result<()> {
    let tasks = [
        tasks::<1024>([
            "1 KiB from a reader",
            "1 KiB from a file",
            "1 KiB from a pipe",
            "1 KiB, 16 bytes at a time",
            "1 KiB, 4096 bytes at a time",
        ]),
        tasks::<65536>([
            "64 KiB from a reader",
            "64 KiB from a file",
            "64 KiB from a pipe",
            "64 KiB, 16 bytes at a time",
            "64 KiB, 4096 bytes at a time",
        ]),
        tasks::<1048576>([
            "1 MiB from a reader",
            "1 MiB from a file",
            "1 MiB from a pipe",
            "1 MiB, 16 bytes at a time",
            "1 MiB, 4096 bytes at a time",
        ]),
        tasks::<8388608>([
            "8 MiB from a reader",
            "8 MiB from a file",
            "8 MiB from a pipe",
            "8 MiB, 16 bytes at a time",
            "8 MiB, 4096 bytes at a time",
        ]),
    ];
    common::compare("streams", tasks.as_flattened(), || Ok(""))
}

fn whole(mut reader: impl Read) -> Vec<u8> {
    let mut whole = Vec::new();
    reader.read_to_end(&mut whole).expect("read");
    whole
}

/// Returns what is known of the stream, and a pool for either way.
fn prepared(size: usize) -> (WrapOptions, StreamOptions, StreamOptions, [Pool; 2]) {
    let hint = StreamOptions::new().size_hint(size as u64);
    (WrapOptions::new(), StreamOptions::new(), hint, [Pool::new(256 << 20), Pool::new(256 << 20)])
}

fn from_reader<const SIZE: usize>(_: &Path) -> Nanos {
    let bytes = &common::pattern(SIZE)[..];
    let (options, plain, hint, [pool, other]) = prepared(SIZE);
    let mut ways: [Box<dyn FnMut() + '_>; 5] = [
        Box::new(|| drop(wrap(&whole(Reader(bytes))))),
        Box::new(|| drop(options.wrap_reader(Reader(bytes), &plain))),
        Box::new(|| drop(options.wrap_reader(Reader(bytes), &hint))),
        Box::new(|| drop(other.scan(&whole(Reader(bytes)), |_| ()))),
        Box::new(|| drop(pool.scan_begin_reader(Reader(bytes), &options, &plain))),
    ];
    common::measure(&mut ways, 1, TIME)
}

fn from_file<const SIZE: usize>(_: &Path) -> Nanos {
    let file = File::from(wrap(&common::pattern(SIZE)).expect("a file"));
    let rewound = || {
        (&file).rewind().expect("a place");
        &file
    };
    let (options, plain, hint, [pool, other]) = prepared(SIZE);
    let mut ways: [Box<dyn FnMut() + '_>; 5] = [
        Box::new(|| drop(wrap(&whole(rewound())))),
        Box::new(|| drop(options.wrap_stream(rewound(), &plain))),
        Box::new(|| drop(options.wrap_stream(rewound(), &hint))),
        Box::new(|| drop(other.scan(&whole(rewound()), |_| ()))),
        Box::new(|| drop(pool.scan_begin_stream(rewound(), &options, &plain))),
    ];
    common::measure(&mut ways, 1, TIME)
}

fn from_pipe<const SIZE: usize>(_: &Path) -> Nanos {
    let bytes = &common::pattern(SIZE)[..];
    let (options, plain, hint, [pool, other]) = prepared(SIZE);
    let mut ways: [Box<dyn FnMut() + '_>; 5] = [
        Box::new(|| through_a_pipe(bytes, |pipe| drop(wrap(&whole(pipe))))),
        Box::new(|| through_a_pipe(bytes, |pipe| drop(options.wrap_stream(pipe, &plain)))),
        Box::new(|| through_a_pipe(bytes, |pipe| drop(options.wrap_stream(pipe, &hint)))),
        Box::new(|| through_a_pipe(bytes, |pipe| drop(other.scan(&whole(pipe), |_| ())))),
        Box::new(|| {
            through_a_pipe(bytes, |pipe| drop(pool.scan_begin_stream(pipe, &options, &plain)))
        }),
    ];
    common::measure(&mut ways, 1, TIME)
}

fn from_writes<const SIZE: usize, const PIECE: usize>(_: &Path) -> Nanos {
    let bytes = &common::pattern(SIZE)[..];
    let mut ways: [Box<dyn FnMut() + '_>; 2] = [
        Box::new(|| drop(wrap(&written(Vec::new(), bytes, PIECE)))),
        Box::new(|| drop(written(MapWriter::default(), bytes, PIECE).seal())),
    ];
    common::measure(&mut ways, 1, TIME)
}

fn written<W: std::io::Write>(mut to: W, bytes: &[u8], piece: usize) -> W {
    bytes.chunks(piece).try_for_each(|piece| to.write_all(piece)).expect("written");
    to
}

/// Passes bytes through a pipe. All ways include the writing.
fn through_a_pipe(bytes: &[u8], read: impl FnOnce(PipeReader)) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE) };
    let (before, rest) = bytes.split_at(bytes.len().min(PIPE));
    writer.write_all(before).expect("written");
    std::thread::scope(|scope| {
        if rest.is_empty() {
            drop(writer);
        } else {
            scope.spawn(move || writer.write_all(rest));
        }
        read(reader);
    });
}
