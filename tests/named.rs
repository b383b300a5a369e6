//! Tests what processes share by name, path, key, lock and word.

pub mod clients;
mod dmabuf;
mod file_lock;
mod futex;
mod killed;
mod memory;
mod names;
mod sweep;
mod sysv;
mod temporary_file;

use dmabuf::*;
use file_lock::*;
use futex::*;
use killed::*;
use memory::*;
use names::*;
use sweep::*;
use sysv::*;
use temporary_file::*;

use crate::tests;

tests![
    // names
    a_name_is_the_same_with_and_without_its_slash,
    a_name_may_have_255_bytes,
    a_name_may_be_any_bytes,
    arguments_that_mean_nothing_are_refused,
    // memory
    memory_is_made_whole_or_opened_as_it_is,
    a_descriptor_is_for_what_was_asked,
    owned_memory_is_made_and_opened_again_by_its_owner,
    what_is_no_memory_is_left_alone_and_named,
    the_c_library_opens_and_removes_it,
    what_the_c_library_makes_is_opened_and_removed,
    memory_outlives_its_name,
    a_name_goes_with_its_value_in_rust,
    more_bytes_than_a_file_can_have_are_efbig,
    // sweep
    what_nobody_owns_or_somebody_holds_is_left_alone,
    a_sweep_fills_no_struct_that_is_too_small,
    // temporary_file
    a_temporary_file_is_a_real_file_at_a_real_path,
    a_closed_temporary_file_leaves_nothing,
    a_temporary_file_is_where_and_as_its_options_say,
    options_for_temporary_files_that_mean_nothing_are_refused,
    suffixes_that_are_no_suffixes_are_refused,
    a_null_temporary_file_has_no_path_and_is_closed,
    // sysv
    a_segment_is_made_and_found_by_its_key,
    a_segment_is_made_only_if_there_is_none,
    a_transient_segment_goes_with_its_last_user,
    a_segment_without_a_key_is_found_by_its_number,
    segments_that_are_not_there_are_refused,
    options_for_segments_that_mean_nothing_are_refused,
    the_c_library_and_the_library_see_one_segment,
    a_removed_segment_lives_until_the_last_has_closed_it,
    every_operation_of_a_map_holds_for_a_segment,
    // dmabuf
    what_cannot_be_a_dma_buf_is_refused,
    a_dma_buf_shows_the_same_memory,
    // file_lock
    a_lock_excludes_another_description,
    ranges_that_touch_do_not_overlap,
    a_lock_to_the_end_is_to_any_end,
    a_new_lock_of_a_description_replaces_its_old_one,
    duplicates_share_a_lock_until_the_last_is_closed,
    locks_and_those_of_fcntl_see_each_other,
    locks_that_cannot_be_are_refused,
    a_wait_for_a_lock_ends_with_its_timeout,
    a_lock_ends_with_its_value_in_rust,
    // futex
    a_word_that_has_changed_is_not_waited_for,
    a_word_whose_page_is_gone_is_efault,
    a_wait_ends_with_its_time,
    a_word_that_is_none_is_refused,
    arguments_for_a_wait_that_mean_nothing_are_refused,
    a_word_in_a_map_for_reading_can_be_waited_for;
    alone:
    // names
    names_that_are_no_names_are_refused,
    an_owned_name_may_have_255_bytes_too,
    a_refusal_leaves_no_name_and_no_descriptor,
    // memory
    memory_shorter_than_asked_is_enxio_with_both_numbers,
    the_mode_is_what_was_asked_whatever_the_umask_says,
    a_name_that_many_create_is_created_once,
    a_name_that_many_open_or_create_is_never_short,
    memory_has_its_space_or_is_enospc,
    memory_that_can_only_be_read_is_opened_and_not_made,
    memory_above_the_file_size_limit_is_efbig_and_no_signal,
    without_a_place_for_it_memory_is_enoent,
    without_proc_memory_is_opened_and_made,
    without_descriptors_memory_is_emfile,
    memory_of_another_user_is_eacces,
    memory_that_another_user_has_made_is_eperm_unless_asked_for,
    memory_is_made_whole_where_there_is_no_o_tmpfile,
    memory_has_no_number_of_a_standard_stream,
    // sweep
    what_a_killed_process_has_left_is_swept_by_any_other,
    names_that_are_no_text_are_swept,
    what_is_named_otherwise_or_is_no_file_is_not_swept,
    a_holder_that_nobody_has_waited_for_is_gone,
    a_holder_whose_first_thread_has_ended_is_not_gone,
    what_holds_a_name_is_its_description,
    the_last_that_owns_a_name_holds_it,
    a_holder_that_executes_another_program_keeps_what_that_inherits,
    a_name_is_held_across_containers,
    without_proc_names_are_made_held_and_swept,
    a_sweep_beside_those_who_open_removes_nothing_that_is_held,
    what_somebody_else_has_locked_exclusively_is_ebusy,
    hidden_names_are_swept_wherever_they_are_made,
    names_of_any_mode_are_swept,
    without_flock_nothing_is_owned,
    memory_of_another_user_is_not_swept,
    a_sweep_goes_on_after_a_failure_and_counts_it,
    what_is_mounted_in_a_directory_of_the_dead_is_not_swept,
    each_user_sweeps_what_is_its_own_and_nothing_that_is_mounted,
    // temporary_file
    a_temporary_file_has_its_modes_whatever_the_umask_says,
    a_temporary_file_is_in_tmp_where_shm_is_missing,
    a_temporary_file_has_a_real_path_where_shm_is_a_symbolic_link,
    a_temporary_file_that_finds_no_room_leaves_nothing,
    a_temporary_file_is_closed_without_a_free_descriptor,
    a_closed_temporary_file_leaves_no_folder_without_permissions,
    a_forked_child_removes_no_temporary_file_of_its_parent,
    what_is_mounted_in_the_directory_of_a_temporary_file_stays,
    // sysv
    a_store_to_a_segment_for_reading_is_sigsegv,
    a_segment_of_another_user_is_eacces,
    a_segment_lives_in_a_child_after_its_maker,
    a_segment_is_detached_once,
    a_transient_segment_of_a_killed_process_is_gone_without_any_sweep,
    // file_lock
    a_lock_is_waited_for_until_it_is_ended,
    a_lock_is_waited_for_until_its_last_descriptor_is_closed,
    a_lock_is_waited_for_until_its_holder_is_killed,
    shared_locks_of_many_processes_keep_an_exclusive_one_out,
    a_lock_is_waited_for_though_signals_interrupt,
    a_signal_ends_an_interruptible_wait_for_a_lock,
    // futex
    two_processes_play_ping_pong,
    as_many_are_woken_as_asked,
    a_wait_lasts_its_time_though_signals_interrupt,
    a_signal_ends_an_interruptible_wait_for_a_word,
    a_waiter_whose_waker_is_killed_comes_back,
    // killed
    a_process_killed_at_any_moment_leaves_nothing_that_is_not_swept,
];
