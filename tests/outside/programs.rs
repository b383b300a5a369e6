//! Plays programs outside this repository, and tests what they must not be able to do. None of it
//! needs `unsafe`.
#![forbid(unsafe_code)]

mod body;
mod bytes;
mod cache;
mod child;
mod counter;
mod json;
mod messages;
mod refused;
mod scans;
mod search;
mod sound;
mod tokio;
mod traits;

use std::process::Command;

/// Runs this program again, with one test only, which finds that it [`is_child`].
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program's path"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env("OUTSIDE_CHILD", "1");
    command
}

fn is_child() -> bool {
    std::env::var_os("OUTSIDE_CHILD").is_some()
}

/// Returns pseudo-random bytes, different everywhere.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
