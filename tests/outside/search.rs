//! A search tool over files that others make shorter while it reads.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytefd::{Advice, Map, MapOptions};

#[derive(Debug, PartialEq)]
enum Found {
    /// The offsets of the matches.
    At(Vec<usize>),
    /// The file became shorter meanwhile.
    Truncated,
}

fn search(path: &Path, needle: &[u8]) -> bytefd::Result<Found> {
    // A guarded map ends exactly where the file ends by now.
    let map = MapOptions::new().guard(true).open(path)?;
    map.advise(.., Advice::Sequential)?;
    match places(&map, needle) {
        Err(error) if error.errno() == libc::EIO => Ok(Found::Truncated),
        places => places.map(Found::At),
    }
}

fn places(map: &Map, needle: &[u8]) -> bytefd::Result<Vec<usize>> {
    let mut window = vec![0; 64 << 10];
    let (mut start, mut found) = (0, Vec::new());
    loop {
        let part = &mut window[..(map.len() - start).min(64 << 10)];
        map.read_exact_at(part, start)?;
        let at = part.windows(needle.len()).enumerate().filter(|(_, bytes)| *bytes == needle);
        found.extend(at.map(|(at, _)| start + at));
        if start + part.len() == map.len() {
            return Ok(found);
        }
        // A match may cross the border.
        start += part.len() - (needle.len() - 1);
    }
}

fn log(name: &str, length: usize) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::write(&path, vec![b'.'; length]).unwrap();
    path
}

#[test]
fn what_is_there_is_found_also_across_windows() {
    let path = log("whole", 200_000);
    let mut content = std::fs::read(&path).unwrap();
    let places = [0, 65_533, 131_072, 199_995];
    places.iter().for_each(|at| content[*at..*at + 5].copy_from_slice(b"ERROR"));
    std::fs::write(&path, content).unwrap();
    assert_eq!(search(&path, b"ERROR").unwrap(), Found::At(places.to_vec()));
    assert_eq!(search(&path, b"absent").unwrap(), Found::At(vec![]));
    std::fs::write(&path, "").unwrap();
    assert_eq!(search(&path, b"ERROR").unwrap(), Found::At(vec![]));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_that_becomes_shorter_while_it_is_searched_is_an_answer_and_no_crash() {
    let path = log("shrinking", 1 << 20);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = File::options().write(true).open(&path).unwrap();
            while !is_done.load(Relaxed) {
                file.set_len(4096).unwrap();
                file.set_len(1 << 20).unwrap();
            }
        });
        for _ in 0..200 {
            match search(&path, b"ERROR").unwrap() {
                Found::At(places) => assert!(places.is_empty()),
                Found::Truncated => {}
            }
        }
        is_done.store(true, Relaxed);
    });
    // And for sure, not by chance.
    File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
    let map = MapOptions::new().guard(true).open(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(places(&map, b"ERROR").unwrap_err().errno(), libc::EIO);
    std::fs::remove_file(&path).unwrap();
}
