//! bytefd_wrap_stream: all that comes, and nothing more, as a descriptor.

mod limits;
mod places;
mod sources;

use limits::*;
use places::*;
use sources::*;

use crate::tests;

tests![
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
    // limits
    a_limit_exactly_met_is_fine_and_one_more_is_efbig,
    // places
    up_to_the_threshold_it_is_memory_and_above_it_a_file;
    alone:
    // sources
    reading_goes_on_though_signals_interrupt,
    standard_streams_that_are_closed_are_not_returned,
    // limits
    a_refused_stream_leaves_nothing,
    the_file_size_limit_is_efbig_and_no_signal,
    without_descriptors_it_is_emfile_with_nothing_left,
    the_content_is_not_held_twice,
    // places
    what_is_spilled_is_an_unlinked_file_in_tmpdir,
    a_full_folder_for_temporary_files_is_enospc_with_nothing_left,
    without_memory_files_it_is_a_read_only_file,
    without_memory_files_the_threshold_still_counts,
];
