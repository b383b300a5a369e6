//! Plays real failures around every function that makes a descriptor. Checks the answer, and that
//! nothing is left.

mod buffers;
pub mod conditions;
pub mod every_way;
mod file_systems;
mod fuse;
mod hosts;
mod limits;
mod places;
mod processes;
mod report;
pub mod signals;
pub mod traced;

use buffers::*;
use file_systems::*;
use fuse::*;
use hosts::*;
use limits::*;
use places::*;
use processes::*;
use report::*;

use crate::tests;

/// Tests that take gibibytes of memory, and the time to fill them.
pub mod large {
    use super::*;

    tests![more_than_two_gibibytes_arrive_whole];
}

tests![;
    alone:
    // buffers
    memory_that_cannot_be_read_is_efault,
    a_source_whose_file_was_made_shorter_is_efault,
    // limits
    a_size_above_the_limit_is_efbig_and_no_signal,
    without_descriptors_every_backend_is_emfile,
    with_few_descriptors_it_works_or_is_emfile,
    without_descriptors_reopen_is_emfile,
    a_list_of_segments_without_memory_is_enomem,
    no_descriptor_above_the_standard_streams_leaves_no_name,
    a_limit_of_three_descriptors_is_emfile_and_leaves_no_name,
    // file_systems
    a_full_shm_is_enospc_while_memfd_goes_on,
    a_full_shm_is_an_error_where_memfd_is_missing,
    a_full_folder_for_temporary_files_is_enospc,
    temporary_files_go_where_tmpdir_says_if_that_can_be,
    a_read_only_shm_is_passed_over,
    a_missing_shm_is_passed_over,
    no_backend_at_all_names_all_three,
    no_backend_at_all_names_all_three_whatever_the_label,
    without_proc_only_what_needs_it_fails,
    without_proc_and_memfd_a_read_only_description_cannot_be_had,
    // fuse
    descriptors_are_refused_for_their_seals_before_their_file_system_is_asked,
    a_descriptor_with_the_number_of_a_standard_stream_is_refused_before_it_is_moved,
    what_asks_a_file_system_ends_once_that_answers,
    a_file_that_cannot_be_mapped_shared_is_mapped_privately,
    a_file_grows_where_the_file_system_cannot_reserve,
    a_file_system_that_takes_no_more_is_enospc_and_has_what_it_had,
    named_memory_is_made_where_there_is_neither_o_tmpfile_nor_link,
    a_stream_is_read_from_any_file_system,
    a_file_that_another_machine_cuts_is_lost_pages,
    what_cannot_be_read_is_lost_pages,
    // places
    all_works_on_a_file_system_of_a_process,
    all_works_on_a_file_system_that_knows_little,
    all_but_shared_mappings_works_where_there_are_none,
    all_works_on_ext2,
    all_works_on_ext4,
    all_works_on_an_overlay,
    // hosts
    a_kernel_without_the_noexec_flags_gives_all_other_seals,
    a_host_that_forbids_memfd_gives_shm,
    a_kernel_without_memfd_gives_shm,
    a_host_that_forbids_executable_memory_files_is_obeyed,
    a_kernel_that_refuses_shared_maps_of_sealed_files_gets_a_read_only_description,
    // processes
    standard_streams_that_are_closed_stay_closed,
    no_call_blocks_or_handles_a_signal,
    scans_nested_ten_deep_close_all_they_opened,
    a_program_started_in_a_scan_does_not_have_the_descriptor,
    a_process_killed_at_the_first_byte_leaves_no_name,
    a_process_killed_at_any_moment_leaves_no_content_in_shm,
    // report
    a_report_under_a_file_size_limit_is_whole_and_no_signal,
    a_report_with_few_descriptors_is_whole_or_emfile,
    a_report_without_descriptors_is_emfile,
    a_report_that_does_not_fit_is_erange_and_leaves_the_buffer_alone,
    a_report_takes_no_memory_of_the_size_of_a_large_huge_page,
];
