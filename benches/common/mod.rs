//! What the benches share: rounds in which every way runs once, and what is made of their times.

use std::path::Path;
use std::time::Instant;

/// The times of some ways of doing the same: `nanos[way][round]`.
pub struct Times(Vec<Vec<f64>>);

/// Runs every way once in every round, `repeats` times each, one after the other, so that a disturbance hits all of them.
pub fn measure(ways: &mut [impl FnMut()], rounds: usize, repeats: u32) -> Times {
    let mut nanos = vec![Vec::with_capacity(rounds); ways.len()];
    for round in 0..rounds + 2 {
        for (way, nanos) in ways.iter_mut().zip(&mut nanos) {
            let start = Instant::now();
            for _ in 0..repeats {
                way();
            }
            // The first rounds fill caches and pools.
            if round >= 2 {
                nanos.push(start.elapsed().as_nanos() as f64 / f64::from(repeats));
            }
        }
    }
    Times(nanos)
}

impl Times {
    /// Nanoseconds, the median over the rounds.
    pub fn of(&self, way: usize) -> f64 {
        median(self.0[way].iter().copied())
    }

    /// How many times as fast as `other`: the median of the ratios within a round.
    pub fn speedup(&self, way: usize, other: usize) -> f64 {
        median(self.0[other].iter().zip(&self.0[way]).map(|(other, own)| other / own))
    }
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints the result and writes it to benches/results; the one before is kept, so that a change can be compared.
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

/// Kernel and settings, without which no figure means anything.
pub fn host() -> String {
    let read = |path| std::fs::read_to_string(path).map_or("unknown".into(), |text: String| text.trim().to_string());
    let chosen = |path| {
        let words: String = read(path);
        words.split(['[', ']']).nth(1).unwrap_or("unknown").to_string()
    };
    format!(
        "Linux {}, {} processors, shmem_enabled={}. Absolute times are this machine's; compare within one run only.",
        read("/proc/sys/kernel/osrelease"),
        std::thread::available_parallelism().map_or(0, |count| count.get()),
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
