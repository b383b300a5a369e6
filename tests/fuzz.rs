//! Random inputs: bytes of a committed corpus, changed at random, and decoded into calls.
//! `tests/fuzz/corpus/` has one file for each target. `make fuzz` tries many times as many.

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
