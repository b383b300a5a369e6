//! What a descriptor costs, side by side with what people do today: `make bench`.
//!
//! Every round runs every way once on the same bytes, one after the other, so that a disturbance hits all of them. What is
//! reported is the median over the rounds of the ratio within a round, and the medians themselves.

mod chart;
#[path = "../common/mod.rs"]
mod common;
mod threads;
mod ways;

use std::fmt::Write;

use common::{Times, size_name};
use ways::WAYS;

const SIZES: [usize; 9] = [0, 64, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20, 512 << 20];
const LARGEST: usize = SIZES[SIZES.len() - 1];

fn main() -> std::io::Result<()> {
    let words = (0..LARGEST as u64 / 8).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    let measured = |size| {
        let mut ways: Vec<_> = WAYS.iter().map(|(_, make)| make(size)).collect();
        let mut runs: Vec<_> = ways.iter_mut().map(|way| || way(&bytes[..size])).collect();
        // Small ones are repeated within a measurement, because reading the clock takes as long as they do.
        let (rounds, repeats) = match size {
            0..=4096 => (301, 50),
            4097..=262_144 => (301, 10),
            262_145..=4_194_304 => (151, 1),
            4_194_305..=67_108_864 => (31, 1),
            _ => (7, 1),
        };
        Row { size, times: common::measure(&mut runs, rounds, repeats) }
    };
    let rows: Vec<Row> = SIZES.into_iter().map(measured).collect();

    common::keep("sizes", &(table(&rows) + &threads::table(&bytes)))?;
    chart::draw(&rows, &common::host(), &common::results().join("sizes.svg"))
}

/// What one size takes.
pub struct Row {
    size: usize,
    times: Times,
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{}\n\nMicroseconds (median), and in brackets how many times as fast as the usual recipe (median of the ratios):\n\n{:>8}",
        common::host(),
        "",
    );
    // Writing to a String does not fail.
    for (name, _) in WAYS {
        let _ = write!(text, "{name:>19}");
    }
    for row in rows {
        let _ = write!(text, "\n{:>8}", size_name(row.size));
        for way in 0..WAYS.len() {
            let ratio = format!("({:.2})", row.times.speedup(way, ways::RECIPE));
            let _ = write!(text, "{:>10.2} {ratio:>8}", row.times.of(way) / 1e3);
        }
    }
    text.push_str("\n\nHow many times as long (median of the ratios):\n");
    for (title, way, other) in [
        ("shm_wrap_buffer, of a plain memfd", ways::WRAP, ways::MEMFD),
        ("a scan with a pool, of one memcpy", ways::POOL, ways::MEMCPY),
    ] {
        let _ = write!(text, "  {title}:");
        for row in rows.iter().filter(|row| row.size >= 64) {
            let _ = write!(text, "  {} {:.2}", size_name(row.size), 1.0 / row.times.speedup(way, other));
        }
        text.push('\n');
    }
    text
}
