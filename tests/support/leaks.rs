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
        let mut code = ExitCode::SUCCESS;
        for (thing, count) in Holdings::now().0 {
            let before = self.0.get(&thing).copied().unwrap_or(0);
            if count > before {
                eprintln!("LEAKED: {thing}: {before} before the tests, {count} after");
                code = ExitCode::FAILURE;
            }
        }
        code
    }
}

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
    names.filter(|name| name.contains("bytefd")).map(|name| format!("name /dev/shm/{name}")).collect()
}
