//! Tests bytefd_send, bytefd_receive, bytefd_peer_credentials and bytefd_verify: descriptors
//! between processes, including untrusted ones.

mod arguments;
mod bad_peers;
mod messages;
mod peers;
mod python;
mod transfers;
mod verify;

use arguments::*;
use bad_peers::*;
use messages::*;
use peers::*;
use python::*;
use transfers::*;
use verify::*;

use crate::tests;

tests![
    // messages
    every_kind_of_socket_carries_bytes_and_descriptors_in_order,
    what_is_received_is_the_same_description,
    the_senders_descriptors_stay_as_they_were,
    the_bytes_go_out_raw,
    what_a_plain_sendmsg_sends_is_received,
    messages_on_a_stream_follow_each_other,
    datagrams_and_packets_may_be_shorter_or_empty,
    a_datagram_carries_253_descriptors_and_not_254,
    without_requirements_anything_is_received,
    requirements_that_are_met_are_no_obstacle,
    rust_sends_and_receives_the_same,
    // transfers
    a_message_larger_than_the_buffer_arrives_whole,
    a_socket_that_does_not_block_says_eagain_at_the_start,
    a_socket_that_does_not_block_is_waited_for_within_a_message,
    a_time_limit_that_passes_is_eagain,
    a_timeout_ends_a_call_that_waits,
    a_timeout_ends_a_message_that_is_not_taken,
    a_timeout_is_for_the_whole_call,
    messages_that_say_their_length_are_received_in_any_pieces,
    // arguments
    what_is_no_unix_socket_is_refused,
    descriptors_that_are_not_open_are_ebadf,
    messages_too_short_for_their_descriptors_are_einval,
    a_stream_message_without_length_is_einval,
    impossible_sizes_are_einval,
    bad_requirements_are_refused_before_anything_is_received,
    bad_transfer_options_are_refused_before_anything_moves,
    a_number_that_became_another_socket_is_eprototype,
    // peers
    the_peer_of_a_pair_is_this_process,
    a_socket_without_other_end_is_enotconn,
    python_sends_and_some_is_received,
    // verify
    each_requirement_is_looked_at,
    missing_seals_are_named,
    a_huge_file_of_holes_can_be_refused,
    more_seals_than_asked_for_are_fine,
    what_is_no_regular_file_is_refused,
    what_cannot_be_read_is_eacces,
    files_without_seals_pass_only_if_none_are_asked_for,
    unknown_and_contradicting_requirements_are_refused,
    verified_bytes_stay_whatever_others_try,
    rust_accepts_only_what_nobody_can_change,
    a_file_of_reserved_huge_pages_is_one_like_any_other;
    alone:
    // messages
    a_stream_carries_more_descriptors_than_one_message_can,
    descriptors_are_close_on_exec_from_birth,
    where_there_is_no_room_descriptors_never_arrive,
    standard_streams_that_are_closed_are_not_received_into,
    // transfers
    sending_goes_on_though_signals_interrupt,
    receiving_goes_on_though_signals_interrupt,
    a_signal_handler_ends_an_interruptible_call,
    some_of_a_stream_is_what_has_arrived,
    // bad_peers
    more_descriptors_than_fit_are_ebadmsg,
    fewer_descriptors_than_fit_are_fine,
    after_a_refusal_the_next_message_is_whole,
    a_refused_message_that_does_not_end_shuts_the_socket_down,
    a_message_that_comes_too_late_shuts_the_socket_down,
    descriptors_that_are_not_what_is_asked_for_are_refused_all_together,
    an_end_that_is_closed_is_enodata_or_econnreset,
    an_end_closed_before_it_has_read_is_econnreset,
    descriptors_that_find_no_number_are_emfile,
    a_datagram_longer_than_the_buffer_is_emsgsize,
    other_control_data_does_no_harm,
    a_process_descriptor_that_finds_no_number_does_no_harm,
    a_flood_of_descriptors_is_ended,
    too_many_descriptors_in_flight_are_etoomanyrefs,
    nobody_at_the_other_end_is_an_error_and_no_signal,
    // peers
    the_peer_is_who_connected_and_who_listens,
    // verify
    files_without_seals_are_refused_before_their_file_system_is_asked,
    a_file_made_shorter_just_before_it_is_sealed_is_too_short,
    an_owner_can_be_required,
    rust_closes_what_it_does_not_accept,
];
