//! Measures what a descriptor costs, side by side with what programs do today: `make bench`.
//!
//! A row is a size and a number of threads. Each of its processes runs all ways on the same bytes,
//! one after the other, in rounds, and prints the median time of each way.

mod chart;
#[path = "../common/mod.rs"]
mod common;
mod ways;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use common::{Spread, median, range, size_name};
use ways::WAYS;

const SIZES: [usize; 8] = [64, 4 << 10, 64 << 10, 512 << 10, 1 << 20, 4 << 20, 64 << 20, 512 << 20];
const THREADS: [usize; 2] = [1, 8];
/// Largest number of bytes that all threads scan at once. They hold up to six times as much memory:
/// a file in each pool, one that is being made, and the target of memcpy.
const LARGEST: usize = 512 << 20;
/// Time for the rounds of a process, unless they take longer.
const TIME: Duration = Duration::from_millis(600);

/// The answers of one row's processes: `[process][way]`, nanoseconds.
pub struct Row {
    threads: usize,
    size: usize,
    times: Vec<Vec<f64>>,
}

fn main() -> std::io::Result<()> {
    let all = THREADS.iter().flat_map(|&threads| SIZES.iter().map(move |&size| (threads, size)));
    let cases: Vec<_> =
        all.filter(|(threads, size)| threads * size <= LARGEST.min(memory() / 8)).collect();
    if let Some((row, _)) = common::told() {
        let (threads, size) = cases[row];
        return common::answer(measure(threads, size));
    }
    let times = common::in_fresh_processes(cases.len(), Path::new(""))?;
    let rows =
        cases.into_iter().zip(times).map(|((threads, size), times)| Row { threads, size, times });
    let rows: Vec<Row> = rows.collect();
    common::keep("sizes", &text(&rows))?;
    chart::draw(&rows, &common::host(), &common::results().join("sizes.svg"))
}

/// Returns the bytes of physical memory.
fn memory() -> usize {
    // SAFETY: touches no memory.
    unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES) * libc::sysconf(libc::_SC_PAGESIZE)) as usize }
}

/// Returns the median time of each way. A way that is not for this size has an infinite time.
fn measure(threads: usize, size: usize) -> Vec<f64> {
    let bytes = &common::pattern(size)[..];
    // A short time would include reading the clock and starting threads.
    let repeats = (if threads == 1 { 1 << 20 } else { 16 << 20 } / size).clamp(1, 100);
    let ways = WAYS.iter().enumerate().filter(|(way, _)| ways::is_for(*way, size));
    let (numbers, runs): (Vec<_>, Vec<_>) =
        ways.map(|(way, (_, _, make))| (way, make(size, threads))).unzip();
    let together = |run: &ways::Run| {
        let calls = || (0..repeats).for_each(|_| run(bytes));
        if threads == 1 {
            return calls();
        }
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(calls))));
    };
    let mut together: Vec<Box<dyn FnMut() + '_>> =
        runs.iter().map(|run| Box::new(move || together(run)) as Box<dyn FnMut()>).collect();
    let mut medians = vec![f64::INFINITY; WAYS.len()];
    for (way, nanos) in numbers.into_iter().zip(common::measure(&mut together, 1, TIME)) {
        medians[way] = median(nanos) / repeats as f64;
    }
    medians
}

impl Row {
    /// Returns how many times as fast as `other` a way is, over the processes.
    fn speedup(&self, way: impl Fn(&[f64]) -> f64, other: impl Fn(&[f64]) -> f64) -> Spread {
        range(self.times.iter().map(|times| other(times) / way(times)))
    }
}

/// Returns the time of one way in one process.
fn of(way: usize) -> impl Fn(&[f64]) -> f64 {
    move |times| times[way]
}

/// Returns the time of the best of the host's ways, in one process.
fn best(times: &[f64]) -> f64 {
    ways::BY_HAND.into_iter().map(|way| times[way]).fold(f64::INFINITY, f64::min)
}

fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "{}\n\nIn each field: minimum, median and maximum over {} processes of the ratio of the \
         medians of each.\n\
         The best way of the host is the fastest of a plain memfd and of huge pages filled by \
         hand, in each process.\n",
        common::host(),
        common::PROCESSES,
    );
    for threads in THREADS {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.threads == threads).collect();
        let line = |name: &str, field: &dyn Fn(&Row) -> String| {
            let fields: String = rows.iter().map(|row| format!("{:>18}", field(row))).collect();
            format!("{name:>24}{fields}\n")
        };
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n{}\n",
            if threads == 1 { "One thread".into() } else { format!("{threads} threads") }
        );
        text += &line("", &|row| size_name(row.size));
        text += &line("plain memfd, µs", &|row| {
            common::figure(median(row.times.iter().map(|t| t[ways::MEMFD])) / 1e3)
        });
        text += "  times as fast as a plain memfd\n";
        text +=
            &line("best way of the host", &|row| row.speedup(best, of(ways::MEMFD)).to_string());
        for (way, (name, _, _)) in WAYS.iter().enumerate().filter(|(way, _)| *way != ways::MEMFD) {
            text += &line(name, &|row| match ways::is_for(way, row.size) {
                true => row.speedup(of(way), of(ways::MEMFD)).to_string(),
                false => "-".into(),
            });
        }
        text += "  times as fast as the best way of the host\n";
        for way in [ways::WRAP, ways::SCAN] {
            text += &line(WAYS[way].0, &|row| row.speedup(of(way), best).to_string());
        }
        text += "  times as long as one memcpy\n";
        for way in (0..WAYS.len()).filter(|way| ways::is_pool(*way)) {
            text += &line(WAYS[way].0, &|row| row.speedup(of(ways::MEMCPY), of(way)).to_string());
        }
    }
    text
}
