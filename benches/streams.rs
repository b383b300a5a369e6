//! What it costs to make a descriptor of what is read or written piece by piece, beside a `Vec` that is wrapped: `make bench`.

#[path = "common/mod.rs"]
mod common;

use std::fmt::Write;
use std::fs::File;
use std::io::{PipeReader, Read, Seek, Write as _};
use std::os::fd::AsRawFd;

use bytefd::{MapWriter, Pool, StreamOptions, WrapOptions, wrap};

const SIZES: [usize; 5] = [1 << 10, 64 << 10, 1 << 20, 8 << 20, 64 << 20];

/// What a pipe holds at most, so that whoever writes it does not play a part up to here.
const PIPE: usize = 1 << 20;

/// A reader that knows nothing but to read.
struct Reader<'a>(&'a [u8]);

impl Read for Reader<'_> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(room)
    }
}

fn main() -> std::io::Result<()> {
    let bytes: Vec<u8> =
        (0..SIZES[4] as u64 / 8).flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    let mut text =
        common::host() + "\n\nInto a descriptor: microseconds of read_to_end or write_all into a Vec, and of ";
    text += "wrapping that (median);\nand how many times as long it takes without the Vec (median of the ratios), ";
    text += "with the length known, and into a pool\n\n";
    let _ = writeln!(text, "{:>8}{:>22}{:>12}{:>8}{:>8}{:>8}", "", "", "Vec, µs", "", "hint", "pool");
    for size in SIZES {
        of_size(&bytes[..size], &mut text)?;
    }
    common::keep("streams", &text)
}

fn of_size(bytes: &[u8], text: &mut String) -> std::io::Result<()> {
    let rounds = if bytes.len() > PIPE { 11 } else { 201 };
    let (options, plain) = (WrapOptions::new(), StreamOptions::new());
    let hint = StreamOptions::new().size_hint(bytes.len() as u64);
    let pools = [Pool::new(256 << 20), Pool::new(256 << 20)];
    let [pool, other] = &pools;
    let whole = |mut reader: Box<dyn Read + '_>| {
        let mut whole = Vec::new();
        reader.read_to_end(&mut whole).map(|_| whole).expect("read")
    };
    let file = File::from(wrap(bytes)?);
    let rewound = || {
        (&file).rewind().expect("a place");
        &file
    };
    let mut put = |name: &str, ways: &mut [Box<dyn FnMut() + '_>]| {
        let times = common::measure(ways, rounds, 1);
        let _ = write!(text, "{:>8}{name:>22}{:>12.1}", common::size_name(bytes.len()), times.of(0) / 1e3);
        for (way, beside) in [(1, 0), (2, 0), (4, 3)].into_iter().take(if ways.len() > 2 { 3 } else { 1 }) {
            let _ = write!(text, "{:>8.2}", 1.0 / times.speedup(way, beside));
        }
        text.push('\n');
    };
    put(
        "reader",
        &mut [
            Box::new(|| drop(wrap(&whole(Box::new(Reader(bytes)))))),
            Box::new(|| drop(options.wrap_reader(Reader(bytes), &plain))),
            Box::new(|| drop(options.wrap_reader(Reader(bytes), &hint))),
            Box::new(|| drop(other.scan(&whole(Box::new(Reader(bytes))), |_| ()))),
            Box::new(|| drop(pool.scan_begin_reader(Reader(bytes), &options, &plain))),
        ],
    );
    put(
        "file",
        &mut [
            Box::new(|| drop(wrap(&whole(Box::new(rewound()))))),
            Box::new(|| drop(options.wrap_stream(rewound(), &plain))),
            Box::new(|| drop(options.wrap_stream(rewound(), &hint))),
            Box::new(|| drop(other.scan(&whole(Box::new(rewound())), |_| ()))),
            Box::new(|| drop(pool.scan_begin_stream(rewound(), &options, &plain))),
        ],
    );
    put(
        "pipe",
        &mut [
            Box::new(|| through_a_pipe(bytes, |pipe| drop(wrap(&whole(Box::new(pipe)))))),
            Box::new(|| through_a_pipe(bytes, |pipe| drop(options.wrap_stream(pipe, &plain)))),
            Box::new(|| through_a_pipe(bytes, |pipe| drop(options.wrap_stream(pipe, &hint)))),
            Box::new(|| through_a_pipe(bytes, |pipe| drop(other.scan(&whole(Box::new(pipe)), |_| ())))),
            Box::new(|| through_a_pipe(bytes, |pipe| drop(pool.scan_begin_stream(pipe, &options, &plain)))),
        ],
    );
    for piece in [16, 4096] {
        put(
            &format!("writes of {piece} B"),
            &mut [
                Box::new(|| drop(wrap(&written(Vec::new(), bytes, piece)))),
                Box::new(|| drop(written(MapWriter::default(), bytes, piece).seal())),
            ],
        );
    }
    Ok(())
}

fn written<W: std::io::Write>(mut to: W, bytes: &[u8], piece: usize) -> W {
    bytes.chunks(piece).try_for_each(|piece| to.write_all(piece)).expect("written");
    to
}

/// Writing to it is a part of all ways.
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
