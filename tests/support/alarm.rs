//! Ends tests that hang. The alarm counts progress, not seconds since the start: it goes off only
//! after a long time in which no test has started or ended and no [`watched`] program has written a
//! line.
//!
//! In that time, seconds in which the tests' processes are idle count whole, and busy seconds count
//! as the processor time that was used in them. So a machine that is loaded with other work delays
//! the alarm and never sets it off.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::tests;

/// Set to the number of seconds without progress after which a test hangs; the default is 600. The
/// longest step of a test takes a few seconds. A suite that a test runs has to notice before that
/// test's own alarm does, and gets [`HALF`].
pub const PATIENCE: &str = "BYTEFD_TEST_PATIENCE";

/// The patience of a suite within the suite.
pub const HALF: &str = "300";

/// Processes that use less than this share of a processor are idle: they wait, or ask again and
/// again whether they may go on.
const IDLE: f64 = 0.1;

static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// Tests that have started and not ended.
static RUNNING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The last line of each watched program, by its process number.
static SAID: Mutex<BTreeMap<libc::pid_t, String>> = Mutex::new(BTreeMap::new());

/// Notes progress. A hanging test would not make any.
fn progress() {
    PROGRESS.fetch_add(1, Relaxed);
}

/// A test that runs, until this is dropped.
pub struct Running(String);

impl Running {
    pub fn new(name: &str) -> Running {
        progress();
        lock(&RUNNING).push(name.into());
        Running(name.into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        progress();
        lock(&RUNNING).retain(|name| *name != self.0);
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body` with the alarm set.
pub fn set<R>(body: impl FnOnce() -> R) -> R {
    let patience = std::env::var(PATIENCE)
        .map_or(600.0, |seconds| seconds.parse().expect("BYTEFD_TEST_PATIENCE is a number"));
    let tick = f64::min(patience / 20.0, 5.0);
    let (is_over, changed) = (Mutex::new(false), Condvar::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut seen, mut used, mut waited) = (0, 0.0, 0.0);
            let mut over = is_over.lock().expect("no panic");
            loop {
                over =
                    changed.wait_timeout(over, Duration::from_secs_f64(tick)).expect("no panic").0;
                if *over {
                    return;
                }
                let family = family();
                let now: f64 = family.values().map(|process| process.time).sum();
                // Less than before if a process has ended whose parent does not wait for it.
                let busy = f64::max(now - used, 0.0);
                waited += if busy < IDLE * tick { tick } else { busy };
                used = now;
                let progress = PROGRESS.load(Relaxed);
                if seen != progress {
                    (seen, waited) = (progress, 0.0);
                }
                if waited >= patience {
                    go_off(patience, &family);
                }
            }
        });
        let result = body();
        *is_over.lock().expect("no panic") = true;
        changed.notify_all();
        result
    })
}

fn go_off(patience: f64, family: &BTreeMap<libc::pid_t, Process>) -> ! {
    let mut text = format!(
        "\nHUNG: {patience} s without progress in {}. Processes:\n",
        lock(&RUNNING).join(", ")
    );
    for (number, process) in family {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{number}/{file}")).unwrap_or_default()
        };
        let command = read("cmdline").replace('\0', " ");
        let (state, waits) = (process.state, read("wchan"));
        writeln!(text, "{number} {state} {waits} {:.1} s {command}", process.time).expect("memory");
        if let Some(line) = lock(&SAID).get(number) {
            writeln!(text, "    said last: {}", line.trim_end()).expect("memory");
        }
    }
    eprint!("{text}");
    exit_with_children();
}

/// Ends this process as failed, and all that it has started.
pub fn exit_with_children() -> ! {
    for number in family().into_keys().filter(|number| *number != std::process::id() as libc::pid_t)
    {
        // SAFETY: touches no memory.
        unsafe { libc::kill(number, libc::SIGKILL) };
    }
    // SAFETY: tests that still run on other threads do not see this process being taken down.
    unsafe { libc::_exit(101) };
}

struct Process {
    parent: libc::pid_t,
    state: char,
    /// The seconds of processor time, including children that have been waited for.
    time: f64,
}

/// Returns this process and its descendants, by number.
fn family() -> BTreeMap<libc::pid_t, Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: BTreeMap<libc::pid_t, Process> =
        numbers.filter_map(|number| Some((number, Process::of(number)?))).collect();
    let own = std::process::id() as libc::pid_t;
    let is_ours = |mut number: libc::pid_t| {
        // Numbers may be used again while they are read: no chain is longer than there are
        // processes.
        for _ in 0..all.len() {
            match all.get(&number) {
                _ if number == own => return true,
                Some(process) => number = process.parent,
                None => return false,
            }
        }
        false
    };
    let ours: Vec<_> = all.keys().copied().filter(|number| is_ours(*number)).collect();
    let mut all = all;
    all.retain(|number, _| ours.contains(number));
    all
}

impl Process {
    /// Reads proc_pid_stat(5). Returns `None` if the process has ended.
    fn of(number: libc::pid_t) -> Option<Process> {
        let stat = std::fs::read(format!("/proc/{number}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
        // SAFETY: no preconditions.
        let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        let ticks: f64 =
            fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Some(Process {
            parent: fields.get(1)?.parse().ok()?,
            state: fields.first()?.chars().next()?,
            time: ticks / ticks_per_second,
        })
    }
}

/// Runs a program to its end. Returns how it ended and what it printed on both streams. Each line
/// is progress, and is shown at once if starts are.
pub fn watched(command: &mut Command) -> std::io::Result<(ExitStatus, String)> {
    let (said, says) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(says.try_clone()?).stderr(says);
    let mut child = command.spawn()?;
    // The command keeps the writing ends open otherwise.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (number, mut said, mut text) =
        (child.id() as libc::pid_t, BufReader::new(said), String::new());
    loop {
        let mut line = Vec::new();
        if said.by_ref().take(1 << 16).read_until(b'\n', &mut line)? == 0 {
            lock(&SAID).remove(&number);
            return Ok((child.wait()?, text));
        }
        let line = String::from_utf8_lossy(&line);
        text += &line;
        if super::is_set(super::STARTS) {
            print!("{number}: {line}");
        }
        lock(&SAID).insert(number, line.into_owned());
        progress();
    }
}

/// Set in a suite whose alarm is tested, to the way in which its test hangs.
const HANGS: &str = "BYTEFD_TEST_HANGS";

tests![the_alarm_names_a_test_that_hangs, hangs_if_told_to];

/// Hangs asleep, busy, or asking again and again.
fn hangs_if_told_to() {
    let Ok(how) = std::env::var(HANGS) else { return };
    loop {
        match how.as_str() {
            "asleep" => std::thread::park(),
            "busy" => std::hint::spin_loop(),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn the_alarm_names_a_test_that_hangs() {
    for how in ["asleep", "busy", "asking"] {
        let mut suite = Command::new(std::env::current_exe().expect("this program's path"));
        suite.args(["--exact", "alarm::hangs_if_told_to"]).env(HANGS, how).env(PATIENCE, "1");
        let (status, said) = watched(&mut suite).expect("this program runs again");
        assert_eq!(status.code(), Some(101), "{how}: {said}");
        assert!(
            said.contains("HUNG: 1 s without progress in alarm::hangs_if_told_to."),
            "{how}: {said}"
        );
    }
}
