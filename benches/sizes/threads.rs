//! Eight threads at once, against one: how many times as many calls they make in the same time. As many as there are processors
//! would be all that these allow; a plain memfd shows what the kernel allows.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::{median, size_name};
use crate::ways::{POOL, SCAN, Scanner, TRUSTED, plain_memfd};

const THREADS: usize = 8;
const ROUNDS: usize = 9;

pub fn table(bytes: &[u8]) -> String {
    let mut text =
        format!("\nCalls of {THREADS} threads at once, over those of one in the same time (median of the ratios):\n");
    let scanner = |way| {
        let scanner = Scanner::new(way);
        Box::new(move |bytes: &[u8]| scanner.scan(bytes)) as Box<dyn Fn(&[u8]) + Sync>
    };
    let ways = [
        ("plain memfd", Box::new(plain_memfd) as _),
        ("scans, new files", scanner(SCAN)),
        ("scans, one pool", scanner(POOL)),
        ("scans, one pool, trusted", scanner(TRUSTED)),
    ];
    for (name, call) in ways {
        let _ = write!(text, "  {name}:");
        for size in [64, 4 << 10, 64 << 10, 1 << 20, 4 << 20, 64 << 20] {
            let ratio = |_| calls(&call, &bytes[..size], THREADS) / calls(&call, &bytes[..size], 1);
            let _ = write!(text, "  {} {:.2}", size_name(size), median((0..ROUNDS).map(ratio)));
        }
        text.push('\n');
    }
    text
}

/// How many calls `threads` threads make per second.
fn calls(call: &(dyn Fn(&[u8]) + Sync), bytes: &[u8], threads: usize) -> f64 {
    let is_over = AtomicBool::new(false);
    // Some calls of each thread, also of those that take long.
    let time = Duration::from_millis(if bytes.len() > 4 << 20 { 500 } else { 100 });
    let start = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let work = || {
            let mut count = 0;
            while !is_over.load(Relaxed) {
                call(bytes);
                count += 1;
            }
            count
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        std::thread::sleep(time);
        is_over.store(true, Relaxed);
        running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    count as f64 / start.elapsed().as_secs_f64()
}
