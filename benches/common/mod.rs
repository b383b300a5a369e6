//! The common part of the benches: new processes, rounds in which every way runs once, and figures
//! from their times.
//!
//! A bench is a list of rows. Its program executes itself for every row, [`PROCESSES`] times; each
//! of these processes measures the row alone and prints one line of numbers. A way that is fast in
//! one process and slow in another shows as a range.
#![allow(dead_code, reason = "no bench uses all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Number of new processes for each row.
pub const PROCESSES: usize = 6;

/// Number of first rounds, which fill caches and pools. If one of them takes all the time, it is
/// the only one.
const WARM_UP: usize = 2;
/// Smallest number of rounds that are measured, even if they take longer than the time.
const ROUNDS: usize = 3;

/// Returns what this process has to measure, if [`in_fresh_processes`] started it: the number of a
/// row, and its parent's path.
pub fn told() -> Option<(usize, PathBuf)> {
    let mut arguments = std::env::args_os().skip(1);
    let is_told = arguments.next()? == "row";
    let row = is_told.then(|| arguments.next()?.to_str()?.parse().ok()).flatten()?;
    Some((row, arguments.next()?.into()))
}

/// Prints the numbers of such a process.
pub fn answer(numbers: impl IntoIterator<Item = f64>) -> std::io::Result<()> {
    let numbers: Vec<String> = numbers.into_iter().map(|number| number.to_string()).collect();
    println!("{}", numbers.join(" "));
    Ok(())
}

/// Measures rows `0..rows` and returns the numbers of each row's processes. The rows take turns, so
/// that a disturbance hits one process of each.
pub fn in_fresh_processes(rows: usize, given: &Path) -> std::io::Result<Vec<Vec<Vec<f64>>>> {
    let mut numbers = vec![Vec::with_capacity(PROCESSES); rows];
    for process in 0..PROCESSES {
        eprintln!("process {} of {PROCESSES} for each of {rows} rows", process + 1);
        for (row, numbers) in numbers.iter_mut().enumerate() {
            let mut program = Command::new(std::env::current_exe()?);
            let output = program
                .arg("row")
                .arg(row.to_string())
                .arg(given)
                .stderr(Stdio::inherit())
                .output()?;
            assert!(output.status.success(), "row {row}: {}", output.status);
            let line = String::from_utf8_lossy(&output.stdout);
            numbers.push(
                line.split_whitespace().map(|number| number.parse().expect("a number")).collect(),
            );
        }
    }
    Ok(numbers)
}

/// Several ways to do the same. The others are compared with the first.
pub struct Task {
    pub title: &'static str,
    pub names: &'static [&'static str],
    /// Measures the ways. The path is that of the file that [`compare`] has made.
    pub measure: fn(&Path) -> Nanos,
}

/// Runs a whole bench of tasks.
pub fn compare<G: AsRef<Path>>(
    name: &str,
    tasks: &[Task],
    make: impl FnOnce() -> std::io::Result<G>,
) -> std::io::Result<()> {
    if let Some((row, given)) = told() {
        return answer((tasks[row].measure)(&given).into_iter().map(median));
    }
    let given = make()?;
    let numbers = in_fresh_processes(tasks.len(), given.as_ref())?;
    let mut text = format!(
        "{}\n\nMicroseconds (median), and how many times as long as the first: minimum, median and \
         maximum over {PROCESSES} \
         processes\nof the ratio of the medians of each.\n",
        host(),
    );
    for (task, processes) in tasks.iter().zip(numbers) {
        text += &format!("\n{}\n", task.title);
        for (way, name) in task.names.iter().enumerate() {
            let micros = median(processes.iter().map(|times| times[way])) / 1e3;
            let ratio = range(processes.iter().map(|times| times[way] / times[0]));
            text += &format!("{name:>36} {micros:>12.2}   {ratio}\n");
        }
    }
    keep(name, &text)
}

/// Nanoseconds, `[way][round]`.
pub type Nanos = Vec<Vec<f64>>;

/// Runs every way once in every round until the time is over.
///
/// What ran right before changes how long a way takes: it leaves huge or small pages for the next
/// file, and caches full or empty. So the order is another one in every round.
pub fn measure(ways: &mut [Box<dyn FnMut() + '_>], repeats: u32, time: Duration) -> Nanos {
    let mut nanos = vec![Vec::new(); ways.len()];
    let mut order: Vec<usize> = (0..ways.len()).collect();
    let mut random = u64::from(std::process::id());
    let mut begun = Instant::now();
    let mut warm_up = WARM_UP;
    while nanos[0].len() < ROUNDS || begun.elapsed() < time {
        for last in (1..order.len()).rev() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            order.swap(last, (random >> 33) as usize % (last + 1));
        }
        for &way in &order {
            let start = Instant::now();
            for _ in 0..repeats {
                ways[way]();
            }
            nanos[way].push(start.elapsed().as_nanos() as f64 / f64::from(repeats));
        }
        if warm_up > 0 {
            warm_up = if begun.elapsed() < time { warm_up - 1 } else { 0 };
            nanos.iter_mut().for_each(Vec::clear);
            begun = Instant::now();
        }
    }
    nanos
}

/// A middle value, and the values around it.
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

/// Returns minimum, median and maximum.
pub fn range(values: impl IntoIterator<Item = f64>) -> Spread {
    spread(values, 0.0, 1.0)
}

/// Returns first quartile, median and third quartile.
pub fn quartiles(values: impl IntoIterator<Item = f64>) -> Spread {
    spread(values, 0.25, 0.75)
}

fn spread(values: impl IntoIterator<Item = f64>, low: f64, high: f64) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    // Between two values the result is in proportion.
    let at = |part: f64| {
        let place = part * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        if below == above { below } else { below + (above - below) * place.fract() }
    };
    Spread { low: at(low), median: at(0.5), high: at(high) }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    range(values).median
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [low, median, high] = [self.low, self.median, self.high].map(figure);
        f.pad(&format!("{low} {median} {high}"))
    }
}

/// Returns a number with three significant digits.
pub fn figure(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "-".into(),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Prints the result and writes it to benches/results. The previous result is kept, for comparison.
pub fn keep(name: &str, text: &str) -> std::io::Result<()> {
    print!("{text}");
    let path = results().join(format!("{name}.txt"));
    if path.exists() {
        std::fs::rename(&path, results().join(format!("{name}.previous.txt")))?;
    }
    std::fs::write(path, text)
}

pub fn results() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results"))
}

/// Returns kernel and settings, without which no figure means anything.
pub fn host() -> String {
    let read = |path| {
        std::fs::read_to_string(path)
            .map_or("unknown".into(), |text: String| text.trim().to_string())
    };
    let chosen = |path| {
        let words: String = read(path);
        words.split(['[', ']']).nth(1).unwrap_or("unknown").to_string()
    };
    let processor = read("/proc/cpuinfo");
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("of an unknown kind");
    format!(
        "Linux {}, {} processors ({}), shmem_enabled={}. Absolute times are this machine's; \
         compare within one run only.",
        read("/proc/sys/kernel/osrelease"),
        std::thread::available_parallelism().map_or(0, |count| count.get()),
        processor.trim_start_matches([' ', '\t', ':']),
        chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
    )
}

pub fn size_name(size: usize) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..1_048_576 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}

/// Returns bytes in which no two pages are equal.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64 / 8)
        .flat_map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}
