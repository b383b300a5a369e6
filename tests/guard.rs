//! BYTEFD_MAP_GUARD: maps that survive the loss of their pages, and a program that otherwise
//! notices nothing.

mod changes;
mod copies;
mod disposition;
mod forks;
mod handlers_afterwards;
mod handlers_before;
mod lost;
mod memory;
mod runs;
mod signals;
mod threads;

use changes::*;
use copies::*;
use forks::*;
use handlers_afterwards::*;
use handlers_before::*;
use lost::*;
use runs::*;
use signals::*;
use threads::*;

use crate::tests;

tests![
    // lost
    lost_pages_are_zeros_and_the_check_fails_from_then_on,
    a_map_that_is_not_guarded_is_never_lost,
    stores_into_lost_pages_stay_in_the_process,
    a_map_that_has_lost_pages_cannot_be_flushed,
    a_part_of_a_file_is_guarded_too,
    pages_past_the_end_are_zeros_and_lost,
    an_empty_guarded_map_is_never_lost,
    reading_goes_on_while_another_process_changes_the_length,
    // threads
    no_store_into_a_page_that_many_threads_lose_is_forgotten,
    threads_lose_pages_of_their_own,
    maps_come_and_go_while_others_lose_pages,
    a_map_that_grows_and_shrinks_beside_others_that_lose_pages_is_not_lost,
    thousands_of_guarded_maps_are_opened_and_closed,
    // runs
    no_store_is_forgotten_in_any_order,
    only_what_is_past_the_end_is_replaced,
    // changes
    a_resized_map_is_guarded_as_far_as_it_goes,
    what_replaces_a_protected_page_is_protected_too,
    a_map_for_reading_is_replaced_for_reading,
    memory_that_was_made_shorter_is_not_sealed,
    private_memory_is_guarded_without_need,
    // copies
    a_guarded_copy_ends_where_pages_are_lost,
    the_source_of_a_guarded_copy_may_be_lost,
    a_copy_by_the_kernel_ends_where_pages_are_lost,
    pages_that_were_replaced_are_not_copied,
    a_buffer_that_is_lost_is_replaced_if_it_is_guarded,
    a_copy_from_or_into_a_protected_page_is_no_signal,
    a_missing_part_is_refused_and_the_rest_is_copied,
    // signals
    any_access_is_survived;
    alone:
    // lost
    a_full_file_system_under_a_store_is_survived,
    // runs
    a_gibibyte_is_survived_in_any_order,
    a_number_that_stands_for_another_file_tells_nothing,
    what_comes_to_lie_in_an_unmapped_part_is_not_replaced_with_others,
    // forks: what a child allocates another thread may be allocating too
    a_child_survives_too_and_loses_pages_of_its_own,
    a_child_tells_its_own_loss,
    a_child_forked_while_threads_lose_pages_survives,
    what_a_child_has_where_a_map_is_missing_is_not_guarded,
    a_child_has_guarded_maps_that_its_own_children_do_not_have,
    a_copy_where_a_child_has_no_map_is_eio,
    // changes: nobody else may take an address that is asked for, or have a child that maps what is
    // to be sealed
    a_guarded_memory_is_sealed_and_still_guarded,
    what_comes_to_lie_behind_a_smaller_map_is_not_guarded,
    what_comes_to_lie_where_a_map_has_moved_away_is_not_guarded,
    what_comes_to_lie_in_a_closed_map_is_not_guarded,
    what_comes_to_lie_in_an_unmapped_part_is_not_guarded,
    a_guarded_map_in_the_hole_of_another_loses_pages_of_its_own,
    a_refused_seal_leaves_the_map_guarded,
    // copies
    a_copy_through_a_pipe_ends_where_pages_are_lost,
    a_bad_buffer_is_efault_or_a_signal_if_the_map_is_guarded,
    a_copy_by_a_thread_that_blocks_the_signal_is_no_signal,
    a_copy_after_the_program_has_put_another_handler_in_place_is_no_signal,
    // handlers_before: what is done about SIGBUS concerns the whole process
    where_nothing_was_done_a_fault_kills,
    a_map_that_is_not_guarded_kills_as_ever,
    a_handler_from_before_gets_what_is_not_guarded,
    a_handler_from_before_is_told_where_and_why,
    a_handler_that_is_reset_runs_once,
    a_handler_from_before_has_the_signals_blocked_that_it_asked_for,
    a_handler_that_reports_and_dies_does_so_only_for_what_is_not_guarded,
    rusts_own_handlers_see_what_is_theirs,
    // handlers_afterwards
    a_handler_from_afterwards_that_passes_on_changes_nothing,
    the_guard_is_back_in_place_at_the_next_map,
    handlers_that_pass_on_to_each_other_come_to_an_end,
    copies_of_the_library_pass_on_to_each_other_and_come_to_an_end,
    a_handler_that_resets_the_signal_ends_no_guard,
    a_guard_that_cannot_be_in_place_is_refused,
    // signals
    interrupted_calls_are_restarted_if_they_were_without_a_guard,
    a_fault_that_zeros_do_not_mend_goes_on,
    a_thread_that_blocks_the_signal_is_not_saved,
    the_handler_runs_on_an_alternate_stack_and_keeps_errno,
];
