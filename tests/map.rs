//! map_file and what is done with a map.

mod access;
mod appended;
mod arguments;
mod create;
mod files;
mod flush;
mod growth_refused;
mod memory;
mod permission;
mod ranges;

use access::*;
use appended::*;
use arguments::*;
use create::*;
use files::*;
use flush::*;
use growth_refused::*;
use memory::*;
use permission::*;
use ranges::*;

use crate::tests;

tests![
    // arguments
    no_options_map_the_whole_file_for_reading,
    null_arguments_are_einval,
    null_handles_are_accepted_where_the_header_says_so,
    a_failure_may_go_without_an_error_object,
    unknown_flags_are_einval,
    unknown_accesses_are_einval,
    options_that_contradict_are_einval,
    offsets_and_lengths_no_file_can_have_are_einval,
    a_struct_smaller_than_the_first_version_is_einval,
    a_larger_struct_is_accepted_if_the_rest_is_zero,
    padding_is_no_member,
    // ranges
    every_range_shows_the_bytes_of_the_file_or_says_what_is_wrong,
    a_range_beyond_the_end_shows_zeros_in_the_last_page,
    a_range_past_the_end_is_enxio_and_says_what_was_asked,
    an_empty_range_at_the_end_is_an_empty_map,
    an_empty_file_is_a_valid_map,
    stores_beyond_the_end_never_reach_the_file,
    pages_past_the_end_are_sigbus_until_the_file_grows,
    a_page_at_the_end_of_a_sparse_tebibyte_maps,
    offsets_above_four_gibibytes_map,
    // files
    a_leased_file_is_waited_for,
    directories_are_eisdir,
    a_fifo_is_refused_without_being_opened,
    a_writer_that_waits_for_a_fifo_is_not_woken,
    sockets_and_devices_are_enodev,
    files_of_proc_and_sys_are_enodev,
    the_memory_of_a_process_is_enodev,
    a_part_of_a_file_of_proc_is_enodev_too,
    no_file_is_enoent,
    paths_that_lead_nowhere_say_why,
    symbolic_links_are_followed,
    a_dangling_link_is_an_error_even_when_creating,
    a_path_may_hold_any_bytes,
    a_wrapped_descriptor_maps_by_its_path,
    a_sealed_file_cannot_be_mapped_for_writing,
    a_map_outlives_the_name_of_its_file,
    only_maps_for_writing_keep_a_descriptor,
    // access
    stores_reach_the_file_and_other_maps,
    any_store_does_what_the_access_promises,
    private_stores_never_reach_the_file,
    what_others_write_shows_in_a_read_map,
    a_store_to_a_read_map_is_sigsegv,
    a_file_made_shorter_is_sigbus,
    many_threads_map_and_close,
    many_threads_use_one_map,
    // create
    a_created_file_is_empty,
    an_existing_file_is_kept,
    a_smaller_file_grows_with_zeros,
    a_larger_file_keeps_its_size,
    a_range_in_the_grown_part_maps,
    growing_reserves_the_space,
    without_reserve_the_file_is_sparse,
    bytes_scribbled_past_the_end_do_not_become_content,
    many_threads_create_one_file,
    a_refused_range_leaves_no_created_file,
    a_refused_range_gives_a_grown_file_its_size_back,
    // memory
    execute_maps_executable,
    populate_reads_the_pages_in,
    lock_keeps_the_pages_in,
    no_fork_hides_the_map_from_children,
    an_empty_map_takes_every_flag,
    // flush
    any_range_of_bytes_flushes,
    a_range_outside_the_map_is_einval,
    a_refused_flush_says_which_bytes_it_was_asked_for,
    an_unknown_way_of_flushing_is_einval,
    a_private_map_cannot_be_flushed,
    a_read_map_flushes,
    null_cannot_be_flushed;
    alone:
    // files
    growing_a_file_of_proc_writes_nothing_to_it,
    growing_a_file_of_sys_writes_nothing_to_it,
    growing_the_memory_of_a_process_is_enodev,
    // create
    a_created_file_has_the_mode_asked_for_less_the_umask,
    a_file_grows_where_fallocate_is_unknown,
    reserved_space_survives_a_full_disk,
    // growth_refused
    growth_past_the_file_size_limit_is_efbig,
    growth_on_a_full_file_system_is_enospc,
    growth_by_zeros_on_a_full_file_system_is_enospc,
    a_mapping_the_kernel_refuses_takes_growth_and_creation_back,
    a_lock_that_is_refused_takes_growth_and_creation_back,
    no_address_space_is_enomem_and_leaves_no_created_file,
    no_descriptor_is_emfile_and_leaves_no_created_file,
    no_descriptor_above_the_standard_streams_leaves_no_created_file,
    growth_ends_though_signals_interrupt_it,
    // appended
    bytes_appended_before_growth_past_the_limit_stay,
    bytes_appended_during_growth_on_a_full_file_system_stay,
    bytes_appended_during_growth_by_zeros_on_a_full_file_system_stay,
    bytes_appended_during_growth_whose_map_is_refused_stay,
    bytes_appended_during_growth_without_fallocate_whose_map_is_refused_stay,
    a_name_that_another_process_takes_is_not_removed,
    // permission
    each_access_needs_its_permission,
    a_read_only_file_system_refuses_writing_only,
    lock_beyond_the_limit_is_an_error_with_nothing_left,
];
