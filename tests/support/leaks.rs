//! What is held: descriptors and mappings of files by this process, names in /dev/shm by nobody.

use std::collections::BTreeMap;
use std::process::ExitCode;

pub struct Holdings(BTreeMap<String, usize>);

impl Holdings {
    pub fn now() -> Holdings {
        // Loaded for good by the first test that asks; not a leak.
        super::abi::load();
        let mut counts = BTreeMap::new();
        // Names are for the process that runs all tests: while it does, some come and go.
        let names = if std::env::var_os(super::ALONE).is_none() { names() } else { Vec::new() };
        for thing in descriptors().chain(mappings()).chain(names) {
            *counts.entry(thing).or_default() += 1;
        }
        Holdings(counts)
    }

    /// Prints what there is more of than before.
    pub fn compare(&self) -> ExitCode {
        let mut more = self.more_now();
        // Other programs, and this one on another host, have names for a moment; what is left behind stays.
        for _ in 0..50 {
            if !more.keys().any(|thing| thing.starts_with(NAME)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            let now = self.more_now();
            more.retain(|thing, _| !thing.starts_with(NAME) || now.contains_key(thing));
        }
        for (thing, (before, after)) in &more {
            eprintln!("LEAKED: {thing}: {before} before the tests, {after} after");
        }
        if more.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// What there is more of than before: how many, before and now.
    fn more_now(&self) -> BTreeMap<String, (usize, usize)> {
        let before = |thing: &String| self.0.get(thing).copied().unwrap_or(0);
        let both = Holdings::now().0.into_iter().map(|(thing, count)| (before(&thing), thing, count));
        both.filter(|(before, _, count)| count > before)
            .map(|(before, thing, count)| (thing, (before, count)))
            .collect()
    }
}

/// What names begin with here.
const NAME: &str = "name /dev/shm/";

fn descriptors() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let numbers: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    // The descriptor of the directory itself is closed by now, so that its link cannot be read.
    numbers.into_iter().filter_map(|path| Some(format!("descriptor of {}", std::fs::read_link(path).ok()?.display())))
}

/// Mappings of anything but programs and libraries, which the loader maps, and what is known of them (`.debug`), which a
/// backtrace maps for good.
fn mappings() -> impl Iterator<Item = String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let lines: Vec<String> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].to_string()))
        .filter(|path| !path.contains(".so") && !path.ends_with(".debug") && !is_program(path))
        .map(|path| format!("mapping of {path}"))
        .collect();
    lines.into_iter()
}

fn is_program(path: &str) -> bool {
    std::env::current_exe().is_ok_and(|program| program.to_str() == Some(path))
}

/// Only ours: other programs use /dev/shm too.
fn names() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("bytefd")).map(|name| format!("{NAME}{name}")).collect()
}
