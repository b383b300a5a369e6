//! What a descriptor costs, side by side with what people do today: `make bench`.
//!
//! Every round runs every way once on the same bytes, one after the other, so that a disturbance hits all of them. What is
//! reported is the median over the rounds of the ratio within a round, and the medians themselves.

mod chart;
mod threads;
mod ways;

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use ways::{Run, WAYS};

const SIZES: [usize; 9] = [0, 64, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20, 512 << 20];
const LARGEST: usize = SIZES[SIZES.len() - 1];

fn main() -> std::io::Result<()> {
    let words = (0..LARGEST as u64 / 8).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    let measured = |size| {
        let ways = WAYS.iter().map(|(_, make)| make(size)).collect();
        Row { size, nanos: measure(ways, &bytes[..size]) }
    };
    let rows: Vec<Row> = SIZES.into_iter().map(measured).collect();

    let table = table(&rows) + &threads::table(&bytes);
    print!("{table}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
    keep(&folder.join("sizes.txt"), &folder.join("sizes.previous.txt"), &table)?;
    chart::draw(&rows, &ways::host(), &folder.join("sizes.svg"))
}

/// Writes the result and keeps the one before, so that a change can be compared.
fn keep(path: &Path, previous: &Path, text: &str) -> std::io::Result<()> {
    if path.exists() {
        std::fs::rename(path, previous)?;
    }
    std::fs::write(path, text)
}

/// The times of one size: `nanos[way][round]`.
pub struct Row {
    size: usize,
    nanos: Vec<Vec<f64>>,
}

fn measure(mut ways: Vec<Run>, bytes: &[u8]) -> Vec<Vec<f64>> {
    // Small ones are repeated within a measurement, because reading the clock takes as long as they do.
    let (rounds, repeats) = match bytes.len() {
        0..=4096 => (301, 50),
        4097..=262_144 => (301, 10),
        262_145..=4_194_304 => (151, 1),
        4_194_305..=67_108_864 => (31, 1),
        _ => (7, 1),
    };
    let mut nanos = vec![Vec::with_capacity(rounds); ways.len()];
    for round in 0..rounds + 2 {
        for (way, nanos) in ways.iter_mut().zip(&mut nanos) {
            let start = Instant::now();
            for _ in 0..repeats {
                way(bytes);
            }
            // The first rounds fill caches and pools.
            if round >= 2 {
                nanos.push(start.elapsed().as_nanos() as f64 / f64::from(repeats));
            }
        }
    }
    nanos
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Row {
    fn time(&self, way: usize) -> f64 {
        median(self.nanos[way].iter().copied())
    }

    /// How many times as fast as `other`.
    fn speedup(&self, way: usize, other: usize) -> f64 {
        median(self.nanos[other].iter().zip(&self.nanos[way]).map(|(other, own)| other / own))
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{}\n\nMicroseconds (median), and in brackets how many times as fast as the usual recipe (median of the ratios):\n\n{:>8}",
        ways::host(),
        "",
    );
    // Writing to a String does not fail.
    for (name, _) in WAYS {
        let _ = write!(text, "{name:>19}");
    }
    for row in rows {
        let _ = write!(text, "\n{:>8}", size_name(row.size));
        for way in 0..WAYS.len() {
            let ratio = format!("({:.2})", row.speedup(way, ways::RECIPE));
            let _ = write!(text, "{:>10.2} {ratio:>8}", row.time(way) / 1e3);
        }
    }
    text.push_str("\n\nHow many times as long (median of the ratios):\n");
    for (title, way, other) in [
        ("shm_wrap_buffer, of a plain memfd", ways::WRAP, ways::MEMFD),
        ("a scan with a pool, of one memcpy", ways::POOL, ways::MEMCPY),
    ] {
        let _ = write!(text, "  {title}:");
        for row in rows.iter().filter(|row| row.size >= 64) {
            let _ = write!(text, "  {} {:.2}", size_name(row.size), 1.0 / row.speedup(way, other));
        }
        text.push('\n');
    }
    text
}

fn size_name(size: usize) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..1_048_576 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}
