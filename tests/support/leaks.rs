//! Lists what is held: descriptors and mappings of files by this process, and names in /dev/shm by
//! no process.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// How often, and how far apart, a suspected leak is looked at again.
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

    /// Prints what there is more of than before. Descriptors that are open only for a moment are no
    /// leak: they are gone at the next look. For example, a C library opens some when it frees the
    /// memory of ended threads.
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

    /// Returns what there is more of than before: how many, before and now.
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

/// Returns the mappings of files. Leaves out programs and libraries, which the loader maps, and
/// their debug files (`.debug`), which a backtrace maps for good. Leaves out the C library's table
/// of character sets, which is also mapped for good.
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

/// Returns names of this library in /dev/shm that no process needs: those that this process or an
/// ended one has made up, and owned names that no process holds. Other processes that live, such as
/// another run of the tests, still remove theirs.
pub fn names_left() -> Vec<String> {
    let own = std::process::id() as libc::pid_t;
    // SAFETY: signal 0 is none.
    let lives = |process| unsafe { libc::kill(process, 0) == 0 } || last_errno() != libc::ESRCH;
    let is_held = |name: &String| name.starts_with("bytefd-owned.") && is_held(name);
    // Another process is going to remove these, even if no process holds them for a moment.
    let is_others = |name: &String| maker(name).is_some_and(|maker| maker != own && lives(maker));
    let is_left = |name: &String| !is_held(name) && !is_others(name);
    names().into_iter().filter(is_left).collect()
}

/// Returns the names that are left and were not there `before`. Other processes have a hidden name
/// for a moment before they hold it, and remove it when they are done.
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

/// Returns whether a process holds an owned name. This process holds names by descriptors or
/// mappings, which are looked at as such.
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

/// Returns the process number at the end of a name that a test has made up.
fn maker(name: &str) -> Option<libc::pid_t> {
    name.rsplit('-').next()?.parse().ok()
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
