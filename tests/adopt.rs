//! Tests bytefd_adopt: it returns a descriptor for the memory of the buffer, or refuses and changes
//! nothing.

pub mod memory;
mod neighbours;
mod refused;
mod shared;
mod stacks;

use neighbours::*;
use refused::*;
use shared::*;
use stacks::*;

use crate::tests;

tests![
    // shared
    buffer_and_descriptor_are_the_same_memory,
    every_page_is_there,
    memory_that_was_never_touched_is_zeros,
    any_part_of_a_mapping_can_be_adopted,
    several_mappings_become_one_file,
    a_name_of_the_callers_own_is_no_obstacle,
    buffer_and_descriptor_live_on_without_each_other,
    another_map_of_the_file_is_the_buffer_too,
    another_process_that_has_the_descriptor_sees_and_changes_the_buffer,
    seals_say_who_may_change_it,
    a_file_made_shorter_makes_the_buffer_a_sigbus,
    children_share_from_then_on_and_had_a_copy_before,
    threads_adopt_at_the_same_time,
    rust_gets_the_same,
    // refused
    what_is_no_whole_pages_is_einval,
    other_protections_are_eacces,
    other_memory_than_private_and_anonymous_is_eopnotsupp,
    memory_of_a_runtime_is_eopnotsupp,
    what_is_adopted_cannot_be_adopted_again,
    // stacks
    a_buffer_beside_a_stack_is_adopted,
    the_stacks_of_other_threads_are_eopnotsupp,
    the_stack_of_this_thread_is_eopnotsupp,
    a_stack_of_its_own_making_is_seen_while_its_thread_waits;
    alone:
    // shared
    readers_never_notice,
    // stacks
    a_buffer_beside_the_first_threads_record_is_adopted,
    a_stack_of_its_own_making_is_seen_by_the_thread_on_it,
    // refused
    what_is_not_all_mapped_is_enomem,
    the_stack_of_the_first_thread_is_eopnotsupp,
    a_size_above_the_limit_leaves_the_buffer_as_it_was,
    without_descriptors_the_buffer_is_as_it_was,
    standard_streams_that_are_closed_are_not_returned,
    where_memfd_is_refused_the_buffer_is_as_it_was,
    without_proc_the_buffer_is_as_it_was,
    a_replacement_the_kernel_refuses_leaves_the_buffer_as_it_was,
    without_a_free_mapping_the_buffer_is_as_it_was,
    memory_that_is_sealed_is_eperm,
    memory_that_would_have_to_be_locked_is_eagain,
    // neighbours
    an_allocator_goes_on_beside_an_adopted_buffer,
];
