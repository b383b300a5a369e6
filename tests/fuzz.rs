//! Tests random inputs: the bytes of a committed corpus, changed at random and decoded into calls.
//! `tests/fuzz/corpus/` has one file for each target. `make fuzz` tries many times as many inputs.

mod control;
mod driver;
mod names;
mod operations;
mod options;
mod regions;

use control::*;
use names::*;
use operations::*;
use options::*;
use regions::*;

use crate::faults::conditions::{End, be_silent, in_child};
use crate::support::hosts;
use crate::tests;

// Each in a process of its own, so that a crash or a leak of one belongs to that one.
tests![
    no_input_of_the_corpus_is_there_twice;
    alone:
    any_option_struct_is_refused_or_does_what_it_asks,
    any_operations_on_a_map_agree_with_the_model,
    any_control_messages_are_received_or_refused_without_a_leak,
    any_name_is_refused_or_is_the_name,
    any_line_of_proc_maps_is_read_as_the_reference_reads_it,
    every_target_notices_a_kernel_that_lies,
];

const TARGETS: [&str; 5] = ["control", "names", "operations", "options", "regions"];

fn no_input_of_the_corpus_is_there_twice() {
    for target in TARGETS {
        let mut inputs = driver::corpus(target);
        let count = inputs.len();
        inputs.sort();
        inputs.dedup();
        assert!(inputs.len() == count && count > 4, "{target}: {} of {count}", inputs.len());
    }
}

/// Each target fails where a system call reports success and has done nothing, or finds no seals on
/// a sealed file. The parser makes no system calls; it is replaced by a wrong one.
fn every_target_notices_a_kernel_that_lies() {
    const F_ADD_SEALS: u64 = libc::F_ADD_SEALS as u64;
    const F_GET_SEALS: u64 = libc::F_GET_SEALS as u64;
    type Lie = (&'static str, fn(), fn());
    let lies: [Lie; 5] = [
        (
            "options",
            || hosts::refuse_value(libc::SYS_fcntl, 1, F_ADD_SEALS, 0),
            any_option_struct_is_refused_or_does_what_it_asks,
        ),
        (
            "operations",
            || hosts::refuse(libc::SYS_process_vm_readv, 0),
            any_operations_on_a_map_agree_with_the_model,
        ),
        (
            "control",
            || hosts::refuse_value(libc::SYS_fcntl, 1, F_GET_SEALS, 0),
            any_control_messages_are_received_or_refused_without_a_leak,
        ),
        ("names", || hosts::refuse(libc::SYS_linkat, 0), any_name_is_refused_or_is_the_name),
        ("regions", || {}, lines_that_are_read_wrong),
    ];
    for (name, lie, target) in lies {
        let end = in_child(|| {
            be_silent();
            lie();
            i32::from(std::panic::catch_unwind(target).is_err())
        });
        assert_eq!(end, End::Exited(1), "{name}");
    }
}
