//! What the tests stand on: the test main, the loaded library, and a look at what the process holds.

pub mod abi;
pub mod fd;
pub mod hosts;
mod leaks;
pub mod map;
pub mod named;
pub mod share;
pub mod tools;

use std::process::{Command, ExitCode};

use leaks::Holdings;

/// One test: a function that panics when what its name says does not hold.
pub struct Test {
    pub name: &'static str,
    pub run: fn(),
    /// In a process of its own.
    pub alone: bool,
}

/// `tests![a, b; alone: c]` lists functions of the module it stands in.
#[macro_export]
macro_rules! tests {
    ($($shared:ident),* $(,)? $(; alone: $($alone:ident),* $(,)?)?) => {
        pub const TESTS: &[$crate::support::Test] = &[
            $($crate::support::Test { name: stringify!($shared), run: $shared, alone: false },)*
            $($($crate::support::Test { name: stringify!($alone), run: $alone, alone: true },)*)?
        ];
    };
}

/// Set in the process that runs one `alone` test: its full name.
const ALONE: &str = "BYTEFD_TEST_ALONE";

/// Set to `wrap,map`: only the tests of these groups exist.
pub const GROUPS: &str = "BYTEFD_TEST_GROUPS";

pub fn run(groups: &'static [(&'static str, &'static [Test])]) -> ExitCode {
    hosts::become_chosen();
    let chosen = std::env::var(GROUPS).ok();
    let is_chosen = |group: &str| chosen.as_ref().is_none_or(|chosen| chosen.split(',').any(|name| name == group));
    let groups = || groups.iter().filter(|(group, _)| is_chosen(group));
    let named = || groups().flat_map(|(group, tests)| tests.iter().map(move |t| (format!("{group}::{}", t.name), t)));

    if let Ok(name) = std::env::var(ALONE) {
        let (_, test) = named().find(|(n, _)| *n == name).expect("a test of that name");
        let before = Holdings::now();
        (test.run)();
        return before.compare();
    }
    let trials = named().map(|(name, test)| {
        let child = name.clone();
        let (run, alone) = (test.run, test.alone);
        libtest_mimic::Trial::test(name, move || {
            if alone {
                return in_child(&child);
            }
            run();
            Ok(())
        })
    });
    let before = Holdings::now();
    let conclusion = libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials.collect());
    let leaks = before.compare();
    if conclusion.has_failed() { conclusion.exit_code() } else { leaks }
}

fn in_child(name: &str) -> Result<(), libtest_mimic::Failed> {
    let program = std::env::current_exe().expect("this program's path");
    let output = Command::new(program).env(ALONE, name).output().expect("this program runs again");
    if output.status.success() {
        // What was left out, and why.
        print!("{}", tools::said(&output));
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Err(format!("{}\n{said}", output.status).into())
}
