//! Runs programs that are given a descriptor.

use std::process::Command;

use super::client::{Answer, Lent};
use crate::support::tools;

/// Returns the output of a program that gets the path of a descriptor as its last argument.
pub fn told_the_path(program: &[&str], lent: &Lent) -> Answer {
    answer(Command::new(program[0]).args(&program[1..]).arg(lent.path()))
}

/// Returns the output of a program that has the descriptor as its standard input.
pub fn fed(program: &[&str], lent: &Lent) -> Answer {
    answer(Command::new(program[0]).args(&program[1..]).stdin(lent.duplicate()))
}

/// Returns the output of a program, or its complaint if it fails.
pub fn answer(command: &mut Command) -> Answer {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if output.status.success() { Ok(output.stdout) } else { Err(tools::said(&output)) }
}
