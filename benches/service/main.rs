//! Measures a service that has uploads in memory and hands them to an engine: hand-over and engine
//! together. `make bench`.
//!
//! A row is an engine and a size. Each of its processes runs all ways on the same upload, one after
//! the other, in rounds.

#[path = "../common/mod.rs"]
mod common;
mod engines;

use std::fmt::Write;
use std::io::{Seek, Write as _};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use common::{quartiles, size_name};
use engines::{ENGINES, Engine};

const SIZES: [usize; 3] = [4 << 10, 256 << 10, 16 << 20];
const TIME: Duration = Duration::from_millis(500);

/// Hands an upload to an engine and returns what the engine found.
type Way<'a> = Box<dyn Fn(&dyn Engine, &[u8]) -> String + 'a>;

const NAMES: [&str; 5] = ["disk file", "plain memfd", "bytefd::scan", "pool", "memory"];

fn ways(pool: &bytefd::Pool) -> [Way<'_>; NAMES.len()] {
    [
        Box::new(disk_file),
        Box::new(plain_memfd),
        Box::new(|engine, upload| {
            bytefd::scan(upload, |fd| engine.scan_descriptor(fd)).expect("scanned")
        }),
        Box::new(|engine, upload| {
            pool.scan(upload, |fd| engine.scan_descriptor(fd)).expect("scanned")
        }),
        Box::new(|engine, upload| engine.scan_memory(upload)),
    ]
}

fn disk_file(engine: &dyn Engine, upload: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(upload).expect("written");
    file.rewind().expect("a file");
    engine.scan_descriptor(file.as_file().as_fd())
}

fn plain_memfd(engine: &dyn Engine, upload: &[u8]) -> String {
    // SAFETY: a valid name; the descriptor is ours.
    let fd = unsafe {
        let fd =
            libc::memfd_create(c"upload".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    };
    let mut file = std::fs::File::from(fd);
    file.write_all(upload).expect("written");
    file.rewind().expect("a file");
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(number, libc::F_ADD_SEALS, 0xf) }, 0);
    engine.scan_descriptor(file.as_fd())
}

/// Returns an upload that begins like a picture, and that no engine has scanned before.
fn upload(size: usize) -> Vec<u8> {
    let mut upload = common::pattern(size);
    let header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0";
    upload[..header.len()].copy_from_slice(header);
    upload
}

fn main() -> std::io::Result<()> {
    if let Some((row, socket)) = common::told() {
        return common::answer(measure(
            ENGINES[row / SIZES.len()].2,
            SIZES[row % SIZES.len()],
            &socket,
        ));
    }
    let clamd = engines::Daemon::start()?;
    let socket = clamd.socket();
    let numbers = common::in_fresh_processes(ENGINES.len() * SIZES.len(), &socket)?;
    let mut text = format!(
        "{}\n\nAn upload handed to an engine, and looked at: microseconds, and in brackets how \
         many times as long as with a disk\n\
         file in {} in the same round. Each is first quartile, median and third quartile of the \
         rounds of {} processes.\n",
        common::host(),
        std::env::temp_dir().display(),
        common::PROCESSES,
    );
    for (number, (engine, interfaces, open)) in ENGINES.into_iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{engine} ({interfaces})");
        if let Err(why) = open(&socket) {
            let _ = writeln!(text, ": not measured: {why}");
            continue;
        }
        let rows = SIZES.iter().zip(&numbers[number * SIZES.len()..]);
        let line = |way: usize| {
            let fields = rows.clone().map(|(_, processes)| {
                let rounds =
                    || processes.iter().flat_map(|numbers| numbers.chunks_exact(NAMES.len()));
                let times = quartiles(rounds().map(|round| round[way] / 1e3));
                let ratios = quartiles(rounds().map(|round| round[way] / round[0]));
                format!("{:>26}{:>18}", times.to_string(), format!("({ratios})"))
            });
            format!("{:>14}{}\n", NAMES[way], fields.collect::<String>())
        };
        let sizes: String = SIZES.iter().map(|size| format!("{:>44}", size_name(*size))).collect();
        let _ = writeln!(text, "\n{:>14}{sizes}", "");
        text.extend((0..NAMES.len()).map(line));
    }
    common::keep("service", &text)
}

/// Returns the times of all rounds, one round after the other, with a time for each way. Empty if
/// there is no such engine.
fn measure(open: engines::Open, size: usize, socket: &Path) -> Vec<f64> {
    let Ok(engine) = open(socket) else { return Vec::new() };
    let engine = &*engine;
    let pool = bytefd::PoolOptions::new().create().expect("a pool");
    let ways = ways(&pool);
    let clean = &upload(size)[..];
    check(engine, &ways, clean);

    let runs =
        ways.iter().map(|way| Box::new(move || drop(way(engine, clean))) as Box<dyn FnMut() + '_>);
    let nanos = common::measure(&mut runs.collect::<Vec<_>>(), 1, TIME);
    (0..nanos[0].len()).flat_map(|round| nanos.iter().map(move |way| way[round])).collect()
}

/// Checks that all ways give the same answer, and that the engine finds the mark.
fn check(engine: &dyn Engine, ways: &[Way<'_>], clean: &[u8]) {
    let mut marked = clean.to_vec();
    marked[..engines::MARK.len()].copy_from_slice(engines::MARK);
    let said = |way: &Way<'_>| (way(engine, clean), way(engine, &marked));
    let expected = said(&ways[0]);
    assert_ne!(expected.0, expected.1, "the mark was not found");
    for (way, name) in ways.iter().zip(NAMES) {
        assert_eq!(said(way), expected, "{name}");
    }
}
