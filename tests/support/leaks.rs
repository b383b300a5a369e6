//! What is held: descriptors and mappings of files by this process, names in /dev/shm by nobody.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// How often, and how far apart, one looks again at what seems to have leaked.
const LOOKS: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);

pub struct Holdings(BTreeMap<String, usize>);

impl Holdings {
    pub fn now() -> Holdings {
        // Loaded for good by the first test that asks; not a leak.
        super::abi::load();
        let mut counts = BTreeMap::new();
        // Names are for the process that runs all tests: while it does, some come and go.
        let names =
            if std::env::var_os(super::ALONE).is_none() { names_left() } else { Vec::new() };
        let names = names.into_iter().map(|name| format!("name /dev/shm/{name}"));
        for thing in descriptors().chain(mappings()).chain(names) {
            *counts.entry(thing).or_default() += 1;
        }
        Holdings(counts)
    }

    /// Prints what there is more of than before. What is open for a moment only, as by a C library
    /// that gives the memory of ended threads back, is no leak: it is gone when one looks again.
    pub fn compare(&self) -> ExitCode {
        let mut more = self.more_now();
        for _ in 0..LOOKS {
            if more.is_empty() {
                break;
            }
            std::thread::sleep(PAUSE);
            let now = self.more_now();
            more.retain(|thing, _| now.contains_key(thing));
        }
        for (thing, (before, after)) in &more {
            eprintln!("LEAKED: {thing}: {before} before the tests, {after} after");
        }
        if more.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// What there is more of than before: how many, before and now.
    pub fn more_now(&self) -> BTreeMap<String, (usize, usize)> {
        let before = |thing: &String| self.0.get(thing).copied().unwrap_or(0);
        let both =
            Holdings::now().0.into_iter().map(|(thing, count)| (before(&thing), thing, count));
        both.filter(|(before, _, count)| count > before)
            .map(|(before, thing, count)| (thing, (before, count)))
            .collect()
    }
}

pub fn descriptors() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted");
    let numbers: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    // The descriptor of the directory itself is closed by now, so that its link cannot be read.
    numbers.into_iter().filter_map(|path| {
        Some(format!("descriptor of {}", std::fs::read_link(path).ok()?.display()))
    })
}

/// Mappings of anything but programs and libraries, which the loader maps, and what is known of
/// them (`.debug`), which a backtrace maps for good. The C library does the same with its table of
/// character sets.
pub fn mappings() -> impl Iterator<Item = String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let lines: Vec<String> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].to_string()))
        .filter(|path| {
            !path.contains(".so")
                && !path.ends_with(".debug")
                && !path.ends_with("/gconv-modules.cache")
        })
        .filter(|path| !is_program(path))
        .map(|path| format!("mapping of {path}"))
        .collect();
    lines.into_iter()
}

fn is_program(path: &str) -> bool {
    std::env::current_exe().is_ok_and(|program| program.to_str() == Some(path))
}

/// Names of ours in /dev/shm that this process has made up, or one that is gone, and owned ones
/// that nobody holds. Other processes that live, such as another run of the tests, still remove
/// theirs.
pub fn names_left() -> Vec<String> {
    let own = std::process::id() as libc::pid_t;
    // SAFETY: signal 0 is none.
    let lives = |process| unsafe { libc::kill(process, 0) == 0 } || last_errno() != libc::ESRCH;
    let is_held = |name: &String| name.starts_with("bytefd-owned.") && is_held(name);
    // What another one is going to remove, also where nobody holds it for a moment.
    let is_others = |name: &String| maker(name).is_some_and(|maker| maker != own && lives(maker));
    let is_left = |name: &String| !is_held(name) && !is_others(name);
    names().into_iter().filter(is_left).collect()
}

/// Those that are left and were not `before`. Others have a hidden name for a moment before they
/// hold it, and remove it when they are done.
pub fn names_left_since(before: &[String]) -> Vec<String> {
    let now = || names_left().into_iter().filter(|name| !before.contains(name)).collect::<Vec<_>>();
    let mut left = now();
    for _ in 0..20 {
        if left.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        let still = now();
        left.retain(|name| still.contains(name));
    }
    left
}

/// Whether a process holds an owned name. What this process holds is a descriptor or a mapping,
/// which are looked at as such.
fn is_held(name: &str) -> bool {
    let Ok(path) = std::ffi::CString::new(format!("/dev/shm/{name}")) else { return false };
    // SAFETY: a string. Without the descriptor that others count.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC);
        if fd < 0 {
            // It cannot be told without a free descriptor.
            return last_errno() == libc::EMFILE;
        }
        let is_held = libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) != 0;
        libc::close(fd);
        is_held
    }
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("bytefd")).collect()
}

/// The process in a name that a test has made up: its end.
fn maker(name: &str) -> Option<libc::pid_t> {
    name.rsplit('-').next()?.parse().ok()
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
