//! Tests bytefd_wrap_stream: it puts all bytes of a stream, and nothing more, into a descriptor.

mod buffers;
mod limits;
mod places;
mod readers;
mod sources;
mod waiting;

use buffers::*;
use limits::*;
use places::*;
use readers::*;
use sources::*;
use waiting::*;

use crate::tests;

tests![
    // buffers
    every_length_around_a_buffer_is_exact_whatever_was_expected,
    every_length_of_a_file_is_exact_whatever_was_expected,
    what_a_file_has_before_its_offset_is_not_expected,
    packets_are_never_cut_whatever_was_expected,
    every_length_around_a_buffer_goes_through_a_pool,
    // sources
    a_stream_becomes_what_wrapping_its_bytes_gives,
    every_length_is_exact,
    pieces_of_any_size_are_joined,
    a_file_is_taken_from_its_present_offset,
    a_socket_is_taken_to_its_end,
    a_pipe_that_does_not_block_is_waited_for,
    packets_are_never_cut,
    a_time_limit_of_a_socket_is_eagain,
    sources_that_cannot_be_read_say_why,
    the_source_stays_the_callers,
    rust_readers_give_the_same,
    rust_readers_that_lie_or_fail_are_errors,
    a_time_limit_with_a_rust_reader_is_einval,
    // readers
    what_a_c_function_reads_is_all_there,
    a_c_function_that_fails_or_lies_is_an_error,
    a_c_function_that_reads_may_use_the_library,
    // limits
    a_limit_exactly_met_is_fine_and_one_more_is_efbig,
    // places
    up_to_the_threshold_it_is_memory_and_above_it_a_file,
    // waiting
    what_comes_in_time_is_taken,
    a_timeout_of_0_takes_what_is_there_and_does_not_wait,
    numbers_that_are_no_limit_are_einval_and_named,
    a_terminal_whose_other_side_is_closed_is_at_its_end,
    a_timeout_ends_the_call_although_the_other_end_goes_on_sending;
    alone:
    // buffers
    a_reader_that_fails_anywhere_leaves_nothing,
    a_file_that_another_has_mapped_is_sealed_all_the_same,
    a_child_forked_while_a_stream_is_read_has_no_mapping_of_it,
    a_wrong_hint_takes_no_memory,
    // sources
    reading_goes_on_though_signals_interrupt,
    standard_streams_that_are_closed_are_not_returned,
    // limits
    a_refused_stream_leaves_nothing,
    the_file_size_limit_is_efbig_and_no_signal,
    a_file_size_limit_that_falls_while_a_read_waits_is_efbig_and_no_signal,
    without_descriptors_it_is_emfile_with_nothing_left,
    the_content_is_not_held_twice,
    // places
    what_is_spilled_is_an_unlinked_file_in_tmpdir,
    a_full_folder_for_temporary_files_is_enospc_with_nothing_left,
    without_memory_files_it_is_a_read_only_file,
    without_memory_files_the_threshold_still_counts,
    // waiting
    a_timeout_ends_the_call_although_the_other_end_never_pauses,
    a_socket_that_does_not_block_and_has_nothing_is_eagain_at_once,
    a_signal_handler_ends_a_call_that_is_interruptible_and_no_other,
    streams_are_scanned_with_and_without_a_pool,
    a_stream_above_the_threshold_is_scanned_on_disk_and_not_in_a_pool,
];
