//! Tests files, descriptors and memory as maps, and what can be done with a map.

mod access;
mod advice;
mod appended;
mod arguments;
mod copies;
mod create;
mod descriptors;
mod files;
mod flush;
mod growth_refused;
mod huge_files;
mod huge_memory;
pub mod kinds;
mod memory;
pub mod model;
mod no_file;
mod permission;
mod ranges;
mod resize;
mod resize_refused;
mod sealed;
mod treatment;
mod unmapped;

use access::*;
use advice::*;
use appended::*;
use arguments::*;
use copies::*;
use create::*;
use descriptors::*;
use files::*;
use flush::*;
use growth_refused::*;
use huge_files::*;
use huge_memory::*;
use memory::*;
use model::*;
use no_file::*;
use permission::*;
use ranges::*;
use resize::*;
use resize_refused::*;
use sealed::*;
use treatment::*;
use unmapped::*;

use crate::tests;

tests![
    // arguments
    no_options_map_the_whole_file_for_reading,
    unknown_flags_are_einval,
    unknown_accesses_are_einval,
    options_that_contradict_are_einval,
    offsets_and_lengths_no_file_can_have_are_einval,
    a_length_of_0_is_einval_and_says_how_to_mean_the_end,
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
    what_has_no_shared_mappings_is_mapped_for_reading,
    an_empty_map_begins_with_a_page,
    a_map_with_a_descriptor_knows_how_long_the_file_is_now,
    a_guarded_map_reads_what_the_file_has_now,
    what_is_no_regular_file_is_refused,
    a_fifo_is_refused_without_being_opened,
    a_writer_that_waits_for_a_fifo_is_not_woken,
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
    a_store_to_a_read_map_is_sigsegv,
    a_file_made_shorter_is_sigbus,
    many_threads_map_and_close,
    many_threads_use_one_map,
    // create
    a_created_file_is_empty,
    a_file_that_another_process_creates_and_removes_is_there_for_each_map,
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
    a_refused_flush_says_which_bytes_it_was_asked_for,
    an_unknown_way_of_flushing_is_einval,
    a_private_map_cannot_be_flushed,
    a_read_map_flushes,
    // advice
    advice_that_loses_content_must_say_so,
    only_whole_pages_are_lost,
    guard_pages_are_sigsegv_until_they_are_removed,
    advice_about_children_and_dumps_is_followed,
    there_is_no_other_advice,
    // copies
    copies_are_exact,
    nothing_is_written_to_a_map_for_reading,
    bad_buffers_are_efault,
    null_buffers_are_einval_unless_they_are_empty,
    a_file_made_shorter_ends_a_copy_and_not_the_process,
    protected_pages_end_a_copy,
    // descriptors
    a_descriptor_maps_for_what_it_was_opened_for,
    the_descriptor_stays_the_callers_and_keeps_its_offset,
    a_descriptor_of_anything_but_a_regular_file_is_refused,
    what_is_no_open_descriptor_is_ebadf,
    options_for_paths_are_einval_for_descriptors,
    a_sealed_file_maps_for_all_but_writing,
    maps_that_keep_no_descriptor_leave_record_locks_alone,
    // huge_memory
    populated_memory_is_all_there,
    // model
    any_operations_leave_the_bytes_that_they_should,
    // no_file
    memory_is_zeros_that_can_be_written,
    no_memory_at_all_is_an_empty_map,
    private_memory_is_copied_for_children_and_shared_memory_is_theirs_too,
    the_descriptor_of_shared_memory_is_the_memory,
    children_find_what_the_flags_say,
    locked_memory_is_locked_and_there,
    options_that_make_no_sense_for_memory_are_einval,
    // resize
    maps_grow_with_zeros_and_shrink,
    within_the_reserve_the_address_stays,
    the_reserve_is_not_for_other_mappings,
    small_memory_is_not_aligned_to_huge_pages,
    the_rest_of_a_file_stays_as_it_is,
    other_maps_of_the_file_see_it,
    growing_reserves_the_space_unless_told_not_to,
    an_empty_map_grows,
    new_pages_are_treated_as_the_old_ones,
    what_cannot_be_resized_is_einval,
    a_map_that_must_move_and_is_not_all_alike_is_efault,
    // resize_refused
    more_than_there_can_be_is_refused,
    what_is_sealed_against_it_is_eperm,
    // treatment
    locks_are_for_the_pages_of_the_bytes_and_do_not_add_up,
    a_lock_past_the_end_of_the_file_is_enomem,
    protections_are_for_the_pages_of_the_bytes,
    protections_that_a_map_was_not_made_for_are_eacces,
    prefetched_pages_are_there,
    prefetching_what_does_not_exist_is_eio,
    flushing_may_invalidate_but_not_what_is_locked,
    a_length_of_0_is_nothing_for_all_but_unmap,
    ranges_outside_of_the_map_are_einval_for_all,
    refusals_say_what_was_asked_for_and_what_there_is;
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
    // advice
    every_advice_that_keeps_the_bytes_is_answered_as_by_the_kernel,
    advice_that_the_kernel_does_not_know_is_eopnotsupp,
    // copies
    a_full_file_system_ends_a_copy_and_not_the_process,
    without_process_vm_readv_copies_are_the_same,
    // descriptors
    a_file_opened_for_appending_grows_to_its_size_without_fallocate,
    kept_descriptors_are_no_standard_streams,
    // huge_memory
    large_shared_memory_is_of_huge_pages_where_the_kernel_makes_them,
    large_private_memory_is_of_huge_pages_where_the_host_allows_them,
    reserved_huge_pages_that_are_not_there_are_enomem,
    reserved_huge_pages_make_memory_that_is_resized_and_sealed,
    // huge_files
    a_part_of_a_huge_page_is_mapped_and_unmapped,
    a_huge_page_that_is_not_there_is_no_signal,
    a_file_of_huge_pages_grows_by_whole_ones,
    files_of_huge_pages_are_maps_as_others,
    a_file_on_hugetlbfs_is_mapped_by_its_path,
    // no_file
    the_file_size_limit_counts_for_shared_memory_only,
    without_address_space_memory_is_enomem,
    without_descriptors_only_shared_memory_is_emfile,
    where_memfd_is_refused_only_private_memory_is_had,
    a_locked_memory_beyond_the_limit_is_refused,
    more_populated_memory_than_there_can_be_is_enomem,
    // resize
    maps_that_moved_leave_no_address_space_behind,
    // resize_refused
    growing_past_the_file_size_limit_is_efbig_and_no_signal,
    growing_on_a_full_file_system_is_enospc,
    growing_by_zeros_on_a_full_file_system_is_enospc,
    more_locked_memory_than_allowed_is_refused,
    without_address_space_growing_is_enomem,
    a_mapping_that_the_kernel_refuses_takes_growth_back,
    // sealed
    memory_becomes_a_sealed_descriptor,
    the_map_stays_for_reading_only,
    only_shared_memory_can_be_sealed,
    what_others_did_with_the_descriptor_does_not_show,
    a_descriptor_that_is_inherited_is_close_on_exec_once_sealed,
    while_others_have_it_mapped_for_writing_it_is_ebusy_and_as_it_was,
    what_is_sealed_against_seals_is_eperm_and_as_it_was,
    memory_of_another_user_is_eperm_and_as_it_was,
    what_was_stored_behind_the_end_is_not_in_it,
    maps_of_the_descriptor_for_reading_do_not_matter,
    sealing_waits_for_a_child_as_long_as_it_is_told,
    a_peer_that_maps_the_descriptor_for_reading_does_not_matter,
    a_seal_that_fails_leaves_the_map_as_it_was,
    memory_that_becomes_shorter_while_it_is_sealed_is_eio,
    shared_memory_is_read_by_others_while_it_is_written,
    a_shared_map_that_is_not_sealed_is_for_reading_and_can_be_sealed_later,
    without_descriptors_it_is_sealed_or_emfile_and_as_it_was,
    // treatment
    a_lock_beyond_the_limit_is_refused,
    a_kernel_that_does_not_populate_prefetches_all_the_same,
    // unmapped
    whole_pages_go_and_what_is_around_stays,
    the_pages_at_both_ends_go_as_a_whole,
    operations_on_bytes_that_are_gone_are_einval,
    front_middle_and_back_go_in_any_order_and_more_than_once,
    closing_leaves_alone_what_others_mapped_into_a_hole,
    closing_gives_all_address_space_back,
    closing_reports_that_the_kernel_unmapped_nothing,
];
