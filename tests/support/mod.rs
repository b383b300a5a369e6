//! Provides what the tests need: the test main, the loaded library, and a look at what the process
//! holds.

pub mod abi;
pub mod alarm;
pub mod fd;
pub mod fuse;
pub mod hosts;
pub mod leaks;
pub mod map;
pub mod named;
pub mod needs;
pub mod share;
pub mod tools;

use std::process::{Command, ExitCode};

use leaks::Holdings;

/// One test: a function that panics when what its name says does not hold.
pub struct Test {
    pub name: &'static str,
    pub run: fn(),
    /// Whether it runs in a process of its own.
    pub alone: bool,
    /// Programs and features that it needs, see [`needs`]. Without them, it counts as ignored.
    pub needs: &'static [&'static str],
}

/// `tests![a, b; alone: c]` lists functions of the module it stands in.
#[macro_export]
macro_rules! tests {
    ($($shared:ident),* $(,)? $(; alone: $($alone:ident),* $(,)?)?) => {
        pub const TESTS: &[$crate::support::Test] = &[
            $($crate::support::Test {
                name: stringify!($shared),
                run: $shared,
                alone: false,
                needs: &[],
            },)*
            $($($crate::support::Test {
                name: stringify!($alone),
                run: $alone,
                alone: true,
                needs: &[],
            },)*)?
        ];
    };
}

/// Set in the process that runs one `alone` test: its full name.
const ALONE: &str = "BYTEFD_TEST_ALONE";

/// Set to `wrap,map` to have only the tests of these groups. `fast` stands for those that `make
/// check` runs.
pub const GROUPS: &str = "BYTEFD_TEST_GROUPS";

/// Set to 1 to end at the first failure.
const FAIL_FAST: &str = "BYTEFD_TEST_FAIL_FAST";

/// Set to 1 to say when a test starts, for a reader who may not see its end.
pub const STARTS: &str = "BYTEFD_TEST_STARTS";

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// Returns the number of attempts for a test that is random, or that waits for a coincidence:
/// `count` times BYTEFD_TEST_ROUNDS, which is 1 unless set, and can be a fraction.
pub fn rounds(count: usize) -> usize {
    let factor = std::env::var(ROUNDS)
        .map_or(1.0, |factor| factor.parse().expect("BYTEFD_TEST_ROUNDS is a number"));
    (count as f64 * factor).ceil() as usize
}

pub const ROUNDS: &str = "BYTEFD_TEST_ROUNDS";

/// Returns the configuration for this many random cases, times the same.
pub fn random(cases: usize) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: rounds(cases) as u32,
        failure_persistence: None,
        ..Default::default()
    }
}

/// The groups of the suite, and which of them are fast.
pub struct Suite {
    pub groups: &'static [(&'static str, &'static [Test])],
    pub fast: &'static [&'static str],
}

pub fn run(suite: &'static Suite) -> ExitCode {
    hosts::become_chosen();
    let chosen = std::env::var(GROUPS).ok();
    let is_chosen = |group: &str| {
        let is_word = |word: &str| word == group || word == "fast" && suite.fast.contains(&group);
        chosen.as_ref().is_none_or(|chosen| chosen.split(',').any(is_word))
    };
    let groups = || suite.groups.iter().filter(|(group, _)| is_chosen(group));
    let named = || {
        groups().flat_map(|(group, tests)| {
            tests.iter().map(move |t| (format!("{group}::{}", t.name), t))
        })
    };

    if let Ok(name) = std::env::var(ALONE) {
        let (_, test) = named().find(|(n, _)| *n == name).expect("a test of that name");
        let before = Holdings::now();
        (test.run)();
        return before.compare();
    }
    let trials = named().map(|(name, test)| {
        let known = name.clone();
        let trial = libtest_mimic::Trial::test(name, move || watch(&known, test));
        match needs::missing(test.needs) {
            Some(need) => trial.with_kind(format!("skipped, no {need}")).with_ignored_flag(true),
            None => trial,
        }
    });
    let before = Holdings::now();
    let arguments = libtest_mimic::Arguments::from_args();
    let conclusion = alarm::set(|| libtest_mimic::run(&arguments, trials.collect()));
    let leaks = before.compare();
    if conclusion.has_failed() { conclusion.exit_code() } else { leaks }
}

/// Runs a test under the alarm.
fn watch(name: &str, test: &Test) -> Result<(), libtest_mimic::Failed> {
    if is_set(STARTS) {
        println!("{name} starts");
    }
    let running = alarm::Running::new(name);
    let outcome = if test.alone {
        in_child(name)
    } else {
        std::panic::catch_unwind(test.run).map_err(text_of)
    };
    drop(running);
    if let (Err(failure), true) = (&outcome, is_set(FAIL_FAST)) {
        eprintln!("test {name} ... FAILED: {failure}");
        alarm::exit_with_children();
    }
    Ok(outcome?)
}

fn text_of(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("test panicked: {}", text.unwrap_or("with something else than a text"))
}

fn in_child(name: &str) -> Result<(), String> {
    let program = std::env::current_exe().expect("this program's path");
    let output = Command::new(program).env(ALONE, name).output().expect("this program runs again");
    if output.status.success() {
        // Shows what was left out, and why.
        print!("{}", tools::said(&output));
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    Err(format!("{}\n{said}", output.status))
}
