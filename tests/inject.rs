//! Plays faults at every system call of every exported function: each errno of its manual page,
//! EINTR, and short counts. Each fault is played at the first, second, third and last occurrence of
//! the system call, and at all of them. It is played in a process that calls the function for the
//! first time, and in a process that has called it before. A trace shows which system calls the
//! function makes.
//!
//! After each fault the process lives. The call has failed with that errno, or worked with the
//! right result. No descriptor, mapping, name, segment or child is left, and the same call works
//! again. `exceptions` lists all other results, with their reasons.
//!
//! `make test` plays every errno at the first occurrence in a new process, and a quarter of the
//! rest. `make inject` (BYTEFD_TEST_INJECT=all) plays all of it, and many more signals.

mod combinations;
mod exceptions;
mod manual;
mod planted;
mod scenarios;
mod stage;
mod tracer;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use combinations::{Ground, Tally};
use exceptions::EXCEPTIONS;
use planted::PLANTED;
use scenarios::{FAMILIES, Scenario};
use stage::FOLDERS;

use crate::faults::conditions::{be_silent, hide};
use crate::support::abi;
use crate::tests;

tests![
    every_exported_function_has_a_scenario;
    alone:
    what_is_planted_is_found,
    every_fault_is_survived_and_told,
    no_signal_in_a_storm_changes_a_result,
];

/// Set to `all` for every combination.
const WHICH: &str = "BYTEFD_TEST_INJECT";

/// Set to a part of a scenario's name to run only scenarios with that part.
const ONLY: &str = "BYTEFD_TEST_INJECT_ONLY";

fn is_full() -> bool {
    std::env::var_os(WHICH).is_some_and(|which| which == "all")
}

fn every_exported_function_has_a_scenario() {
    let exported: BTreeSet<&str> = include_str!("../bytefd.map")
        .lines()
        .filter_map(|line| line.trim().strip_suffix(';'))
        .filter(|name| name.contains('_'))
        .collect();
    let played: BTreeSet<&str> =
        FAMILIES.iter().flat_map(|scenarios| *scenarios).map(Scenario::function).collect();
    assert_eq!(played, exported, "functions with a scenario, and those that are exported");
}

/// Gives this process a file system and a table of segments of its own, so that whatever is left
/// shows. Gives the heap enough memory for every call, so that the C library asks for none in
/// between.
fn prepare() -> Vec<crate::faults::conditions::Mounted> {
    let mounted = FOLDERS.map(|folder| hide(folder, "")).into();
    assert_eq!(
        // SAFETY: concerns this process only.
        unsafe { libc::unshare(libc::CLONE_NEWIPC) },
        0,
        "{}",
        std::io::Error::last_os_error()
    );
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid struct; of memory nothing is used that is freed.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &limit);
        #[cfg(target_env = "gnu")]
        {
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
            libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
            libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        }
        let pieces: Vec<_> = (0..100).map(|_| libc::malloc(100_000)).collect();
        pieces.into_iter().for_each(|piece| libc::free(piece));
    }
    mounted
}

/// Returns all scenarios, or those that are asked for.
fn chosen() -> Vec<&'static Scenario> {
    let only = std::env::var(ONLY).unwrap_or_default();
    let all = FAMILIES.iter().flat_map(|scenarios| *scenarios);
    all.filter(|scenario| scenario.name.contains(&only)).collect()
}

fn every_fault_is_survived_and_told() {
    let scenarios = chosen();
    report(divide(scenarios.len(), |ground, index| {
        write_out(scenarios[index].function(), &ground.tally(scenarios[index]))
    }));
}

/// Runs `work` for each number in as many processes as there are processors. Returns the lines that
/// they wrote.
fn divide(count: usize, work: impl Fn(&Ground, usize) -> String) -> Vec<String> {
    // Loaded, and never called: what a process that calls it for the first time has.
    abi::load();
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping of zeros, for this process and its children.
    let next = unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        );
        assert_ne!(at, libc::MAP_FAILED);
        &*at.cast::<AtomicUsize>()
    };
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let children: Vec<_> = (0..workers)
        .map(|_| {
            crate::pool::fork(|| {
                let _mounted = prepare();
                be_silent();
                let ground = Ground::new(is_full());
                loop {
                    let index = next.fetch_add(1, SeqCst);
                    if index >= count {
                        break;
                    }
                    let work = std::panic::AssertUnwindSafe(|| work(&ground, index));
                    let lines = std::panic::catch_unwind(work);
                    let lines = lines.unwrap_or_else(|_| {
                        format!("failure of the harness: {}", ground.told.text())
                    });
                    for line in lines.lines() {
                        // One write(2) each, no more than a pipe takes at once.
                        let line = format!("{line}\n");
                        (&writer)
                            .write_all(&line.as_bytes()[line.len().saturating_sub(4000)..])
                            .expect("heard");
                    }
                }
            })
        })
        .collect();
    drop(writer);
    let lines = BufReader::new(reader).lines().map(|line| line.expect("a line")).collect();
    children.into_iter().for_each(crate::pool::wait_for);
    // SAFETY: mapped above, and not used again.
    assert_eq!(unsafe { libc::munmap((&raw const *next).cast_mut().cast(), 4096) }, 0);
    lines
}

/// Writes a tally in lines: "count", "exception" or "failure", and more.
fn write_out(function: &str, tally: &Tally) -> String {
    let Tally { tried, told, overcome, exceptions, failures, skipped } = tally;
    let mut text = format!("count {function} {tried} {told} {overcome}\n");
    exceptions.iter().for_each(|number| text += &format!("exception {number}\n"));
    failures
        .iter()
        .for_each(|failure| text += &format!("failure {}\n", failure.replace('\n', " | ")));
    skipped.iter().for_each(|reason| text += &format!("skipped {function}: {reason}\n"));
    text
}

/// Says what was tried, and panics with what failed.
fn report(lines: Vec<String>) {
    let (mut counts, mut failures) = (BTreeMap::<String, [usize; 3]>::new(), Vec::new());
    let mut found = vec![0; EXCEPTIONS.len()];
    let mut skipped: Vec<String> = Vec::new();
    for line in lines {
        let (kind, rest) = line.split_once(' ').expect("a kind");
        match kind {
            "count" => {
                let fields: Vec<_> = rest.split(' ').collect();
                let sums = counts.entry(fields[0].into()).or_default();
                for (sum, field) in sums.iter_mut().zip(&fields[1..]) {
                    *sum += field.parse::<usize>().expect("a number");
                }
            }
            "exception" => found[rest.parse::<usize>().expect("a number")] += 1,
            "skipped" => {
                println!("SKIPPED: {rest}");
                skipped.push(rest.to_string());
            }
            _ => failures.push(rest.to_string()),
        }
    }
    for (function, [tried, told, overcome]) in counts.iter().filter(|_| is_full()) {
        println!("inject: {function}: {tried} combinations, {told} told, {overcome} overcome");
    }
    for (exception, count) in
        EXCEPTIONS.iter().zip(&found).filter(|(_, count)| is_full() && **count > 0)
    {
        let name = |part: &'static str| if part.is_empty() { "any" } else { part };
        println!(
            "inject: exception: {} ({}), {} {}: {}, {count} times",
            exception.why,
            name(exception.scenario),
            name(exception.call),
            name(exception.fault),
            exception.found
        );
    }
    let exceptions: usize = found.iter().sum();
    // Those of a process that has been asked for all.
    let is_whole = is_full() && std::env::var_os(ONLY).is_none();
    for (exception, _) in
        EXCEPTIONS.iter().zip(&found).filter(|(_, count)| is_whole && **count == 0)
    {
        let scenario = exception.scenario;
        if !scenario.is_empty() && skipped.iter().any(|skipped| skipped.starts_with(scenario)) {
            continue;
        }
        failures.push(format!("an exception that no longer occurs: {}", exception.why));
    }
    let sum = |index: usize| counts.values().map(|sums| sums[index]).sum::<usize>();
    let [tried, told, overcome] = [0, 1, 2].map(sum);
    println!(
        "inject: {tried} combinations, {told} told, {overcome} overcome, {exceptions} exceptions, \
         {} failures",
        failures.len()
    );
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Calls that are written wrong on purpose, each in another way.
fn what_is_planted_is_found() {
    let lines = divide(PLANTED.len(), |ground, index| {
        let (scenario, _) = &PLANTED[index];
        let Tally { tried, failures, .. } = ground.tally(scenario);
        assert!(tried > 4, "{}: {tried} combinations", scenario.name);
        // A line must fit into a pipe.
        let failures = failures.into_iter().take(3).collect::<Vec<_>>();
        let failures = failures.join(" | ").replace('\n', " ");
        format!("{index} {failures}")
    });
    assert_eq!(lines.len(), PLANTED.len(), "{lines:#?}");
    for line in lines {
        let (index, failures) = line.split_once(' ').expect("an index");
        let (scenario, found) = &PLANTED[index.parse::<usize>().expect("an index")];
        let is_right = found.map_or(failures.is_empty(), |found| failures.contains(found));
        assert!(is_right, "{}: expected {found:?}, found {failures:?}", scenario.name);
    }
}

fn no_signal_in_a_storm_changes_a_result() {
    let scenarios = chosen();
    let rounds = crate::support::rounds(if is_full() { 40 } else { 5 });
    let lines =
        divide(scenarios.len(), |ground, index| match ground.storm(scenarios[index], rounds) {
            Ok(signals) => format!("signals {signals}"),
            Err(failure) => format!("failure {}", failure.replace('\n', " | ")),
        });
    let signals =
        |line: &String| line.strip_prefix("signals ").and_then(|count| count.parse::<u64>().ok());
    let (calm, failures): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| signals(line).is_some());
    let signals: u64 = calm.iter().filter_map(signals).sum();
    println!(
        "inject: storms: {} scenarios, {signals} signals, {} failures",
        scenarios.len(),
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(signals > scenarios.len() as u64, "the storms are none");
}
