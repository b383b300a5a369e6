//! Uses each exported function in small scenarios. Each prepares what it needs, makes the call, and
//! checks what must hold after the call and after its failure.

mod maps;
mod named;
mod ranges;
mod scans;
mod sockets;
mod wraps;

use std::ffi::c_int;

use super::stage::Stage;
use crate::support::fd::Failure;

pub struct Scenario {
    /// The exported function, a colon, and a description of the use.
    pub name: &'static str,
    pub run: fn(&Stage),
}

impl Scenario {
    pub fn function(&self) -> &'static str {
        self.name.split_once(": ").expect("a function and what is done with it").0
    }
}

/// All scenarios.
pub const FAMILIES: [&[Scenario]; 6] = [
    wraps::SCENARIOS,
    scans::SCENARIOS,
    maps::SCENARIOS,
    ranges::SCENARIOS,
    sockets::SCENARIOS,
    named::SCENARIOS,
];

/// `scenarios![ "function: what is done": run, … ]`.
macro_rules! scenarios {
    ($($name:literal: $run:expr,)*) => {
        pub const SCENARIOS: &[Scenario] = &[$(Scenario { name: $name, run: $run },)*];
    };
}
use scenarios;

/// Returns the result of a function that has no error to write to.
fn bare(status: c_int) -> Result<c_int, Failure> {
    if status >= 0 {
        Ok(status)
    } else {
        Err(Failure { errno: -status, op: String::new(), message: String::new() })
    }
}
