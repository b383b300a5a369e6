//! Measures the cost of a scan with a pool, except time.

use std::process::Command;

use super::*;
use crate::support::abi::{TRUST_CALLBACK, library_path};
use crate::support::{needs, tools};

/// A program in C, between the library and malloc, counts the allocations.
pub fn a_pooled_scan_allocates_nothing_but_its_handle() {
    if !needs::is_here("cc") {
        return println!("SKIPPED: what a scan allocates: there is no cc");
    }
    if !has_memfd() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("allocations");
    let source = tools::repository().join("tests/pool/allocations.c");
    let mut compiler = tools::compiler(None, &source);
    compiler.arg("-rdynamic").arg(source).arg("-I").arg(tools::repository().join("include"));
    tools::run(compiler.arg("-o").arg(&program).arg("-ldl"));
    tools::run(Command::new(&program).arg(library_path()));
}

/// Neither descriptors nor mappings pile up, whatever the sizes.
pub fn scans_in_great_number_hold_no_more_than_one() {
    let holds = || {
        (memory_files().len(), std::fs::read_to_string("/proc/self/maps").unwrap().lines().count())
    };
    let pool = Pool::new(PLENTY);
    let scans = |from: usize| {
        for round in from..from + 2000 {
            let bytes = vec![round as u8; round * 31 % 9000];
            pool.scan_with(if round % 2 == 0 { 0 } else { TRUST_CALLBACK }, &bytes, |_| {});
        }
    };
    scans(0);
    let before = holds();
    scans(2000);
    let after = holds();
    assert!(
        after.0 <= before.0 + 2 && after.1 <= before.1 + 4,
        "{before:?} before, {after:?} after"
    );
    if has_memfd() {
        assert!(after.0 < 20, "{after:?}");
    }
}
