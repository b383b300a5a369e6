//! Eight threads that scan at once, against one: how many times as many scans they make in the same time. As many as there are
//! processors would be all that these allow.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::ways::{POOL, SCAN, Scanner, TRUSTED};
use crate::{median, size_name};

const THREADS: usize = 8;
const ROUNDS: usize = 9;

pub fn table(bytes: &[u8]) -> String {
    let mut text =
        format!("\nScans of {THREADS} threads at once, over those of one in the same time (median of the ratios):\n");
    for (way, name) in [(SCAN, "new files"), (POOL, "one pool"), (TRUSTED, "one pool, trusted")] {
        let _ = write!(text, "  {name}:");
        for size in [64, 4 << 10, 64 << 10, 1 << 20] {
            let scanner = Scanner::new(way);
            let ratio = |_| scans(&scanner, &bytes[..size], THREADS) / scans(&scanner, &bytes[..size], 1);
            let _ = write!(text, "  {} {:.2}", size_name(size), median((0..ROUNDS).map(ratio)));
        }
        text.push('\n');
    }
    text
}

/// How many scans `threads` threads make per second.
fn scans(scanner: &Scanner, bytes: &[u8], threads: usize) -> f64 {
    let is_over = AtomicBool::new(false);
    let start = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let work = || {
            let mut count = 0;
            while !is_over.load(Relaxed) {
                scanner.scan(bytes);
                count += 1;
            }
            count
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        std::thread::sleep(Duration::from_millis(100));
        is_over.store(true, Relaxed);
        running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    count as f64 / start.elapsed().as_secs_f64()
}
