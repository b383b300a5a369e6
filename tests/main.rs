//! Tests the exported functions as a program uses them: with the freshly built shared library, the
//! real kernel and real clients.
//!
//! `cargo test --test suite [NAME]` runs the tests. Afterwards the process must hold no descriptor,
//! mapping or name in /dev/shm that it did not hold before. A test marked `alone` runs in a process
//! of its own, because it changes limits, system call filters or mounts for good.
//!
//! The environment says what runs, and how:
//! - `BYTEFD_TEST_GROUPS=wrap,map`: only the tests of these groups; `fast` stands for those of
//!   [`FAST`].
//! - `BYTEFD_TEST_HOST=no-memfd` (or another name in `support::hosts`): on a host that lacks
//!   something.
//! - `BYTEFD_TEST_LIBRARY=dist/lib/libbytefd.so`: with another build of the library.
//! - `BYTEFD_TEST_ROUNDS=20` (or 0.25): multiplies the attempts of tests that are random or wait
//!   for a coincidence.
//! - `BYTEFD_TEST_INJECT=all`: every fault at every system call, and not a part;
//!   `BYTEFD_TEST_INJECT_ONLY=map_seal`: only scenarios with this in their name.
//! - `BYTEFD_TEST_GUEST_GROUPS=wrap`: guests of `kernels` and `arm64` run only these groups.
//! - `BYTEFD_TEST_FAIL_FAST=1`: ends at the first failure.
//! - `BYTEFD_TEST_STARTS=1`: says which test starts.
// The oldest compiler builds the library alone.
#![allow(clippy::incompatible_msrv)]

mod abi;
mod adopt;
mod budget;
mod c;
mod clients;
mod code_blocks;
mod documents;
mod execution;
mod faults;
mod fill;
mod fuzz;
mod go;
mod guard;
mod header;
mod hosts;
mod inject;
mod install;
mod kernels;
mod library;
mod map;
mod matrix;
mod mistakes;
mod named;
mod package;
mod pool;
mod programs;
mod reopen;
mod reproducible;
mod rust;
mod scan;
mod share;
mod soak;
mod stream;
mod support;
mod targets;
mod trust;
mod vocabulary;
mod wrap;

use std::process::ExitCode;

use support::Suite;

/// Groups that take seconds, and need neither compilers nor clients nor another kernel: what `make
/// check` runs.
const FAST: &[&str] = &[
    "wrap",
    "reopen",
    "scan",
    "pool",
    "pool_native",
    "new_files",
    "fill",
    "huge",
    "collapse",
    "budget",
    "map",
    "adopt",
    "guard",
    "faults",
    "header",
    "documents",
    "execution",
    "kernel",
    "guest",
    "rust",
    "named",
    "share",
    "stream",
    "trust",
    "mistakes",
    "vocabulary",
    "fuzz",
];

static SUITE: Suite = Suite { groups: GROUPS, fast: FAST };

const GROUPS: &[(&str, &[support::Test])] = &[
    ("wrap", wrap::TESTS),
    ("reopen", reopen::TESTS),
    ("scan", scan::TESTS),
    ("pool", pool::TESTS),
    ("pool_native", pool::native::TESTS),
    ("new_files", pool::new_files::TESTS),
    ("fill", fill::TESTS),
    ("huge", fill::huge::TESTS),
    ("collapse", fill::collapse::TESTS),
    ("budget", budget::TESTS),
    ("map", map::TESTS),
    ("adopt", adopt::TESTS),
    ("guard", guard::TESTS),
    ("faults", faults::TESTS),
    ("large", faults::large::TESTS),
    ("inject", inject::TESTS),
    ("header", header::TESTS),
    ("documents", documents::TESTS),
    ("code_blocks", code_blocks::TESTS),
    ("library", library::TESTS),
    ("abi", abi::TESTS),
    ("install", install::TESTS),
    ("install_users", install::users::TESTS),
    ("reproducible", reproducible::TESTS),
    ("go", go::TESTS),
    ("go_module", go::module::TESTS),
    ("c", c::TESTS),
    ("c_examples", c::examples::TESTS),
    ("c_scand", c::scand::TESTS),
    ("programs", programs::TESTS),
    ("withfd", programs::withfd::TESTS),
    ("doctor", programs::doctor::TESTS),
    ("manual", programs::manual::TESTS),
    ("clients", clients::TESTS),
    ("clients", clients::page::TESTS),
    ("clients", clients::archives::TESTS),
    ("clients", clients::buses::TESTS),
    ("clients", clients::children::TESTS),
    ("clients", clients::crypto::TESTS),
    ("clients", clients::documents::TESTS),
    ("clients", clients::gdbus::TESTS),
    ("clients", clients::journald::TESTS),
    ("clients", clients::kernel::TESTS),
    ("clients", clients::libraries::TESTS),
    ("execution", execution::TESTS),
    ("hosts", hosts::TESTS),
    ("kernel", kernels::facts::TESTS),
    ("guest", kernels::guest::TESTS),
    ("alarm", support::alarm::TESTS),
    ("kernels", kernels::TESTS),
    ("arm64", kernels::arm64::TESTS),
    ("musl", targets::musl::TESTS),
    ("targets", targets::others::TESTS),
    ("rust", rust::TESTS),
    ("matrix", matrix::TESTS),
    ("named", named::TESTS),
    ("named_clients", named::clients::TESTS),
    ("share", share::TESTS),
    ("stream", stream::TESTS),
    ("soak", soak::TESTS),
    ("trust", trust::TESTS),
    ("mistakes", mistakes::TESTS),
    ("vocabulary", vocabulary::TESTS),
    ("package", package::TESTS),
    ("fuzz", fuzz::TESTS),
];

fn main() -> ExitCode {
    if matrix::peer::is_one() {
        return matrix::peer::main();
    }
    if kernels::guest::is_init() {
        kernels::guest::init();
    }
    support::run(&SUITE)
}
