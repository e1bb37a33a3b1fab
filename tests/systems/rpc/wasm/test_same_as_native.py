# SPDX-License-Identifier: Apache-2.0
"""What holds for the native module holds for the plugin: the same tests, in the V8 of a real Envoy.

Left out is what a proxy-wasm host has no function for, see docs/design/wasm-carrier.md: answering with a message, and
ending at once a reply that is on its way.
"""

from __future__ import annotations

import pytest

from tests.systems.rpc.envoy import test_ends, test_frames, test_verdicts

pytestmark = pytest.mark.needs("envoy", "clang-19", "wasm-ld-19", "grpcio")

SAME = {
    test_ends: (
        "test_a_deadline_of_a_second_is_told_from_a_cancellation",
        "test_a_deadline_passes_during_a_delay",
        "test_a_delay_past_the_deadline_ends_with_it_though_the_client_says_nothing",
        "test_a_malformed_timeout_ends_nobody_elses_calls",
        "test_a_server_may_speak_first",
        "test_no_text_of_a_status_begins_or_ends_with_a_blank_on_the_wire",
        "test_nobody_serves",
        "test_the_client_cancels",
        "test_the_client_resets_in_the_middle",
        "test_the_connection_breaks_off",
        "test_the_deadline_passes",
        "test_the_server_breaks_off",
        "test_the_server_ends_it_with_an_error",
    ),
    test_frames: (
        "test_a_body_of_one_megabyte",
        "test_a_compressed_message_is_rejected_or_passes_as_said",
        "test_a_damaged_request_is_rejected",
        "test_a_message_over_the_limit",
        "test_a_reply_without_trailers_is_finished_too",
        "test_a_request_in_frames_of_one_byte_is_rejected_all_the_same",
        "test_a_request_may_end_with_trailers",
        "test_a_request_without_a_message_enters_nothing",
        "test_frames_of_one_byte",
        "test_messages_cut_anywhere",
        "test_random_bytes_never_break_it",
        "test_replies_of_one_byte_frames",
        "test_requests_that_are_not_grpc_do_not_pass",
        "test_several_messages_in_one_piece",
        "test_what_a_server_refuses_before_its_service_hears_of_it_does_not_reach_it",
    ),
    test_verdicts: (
        "test_a_binary_header_whose_value_is_no_base64_is_not_set",
        "test_a_delay_in_a_stream_keeps_the_order",
        "test_a_delay_is_kept",
        "test_a_header_set_for_later_is_read_at_once",
        "test_a_header_that_would_break_the_connection_is_not_set",
        "test_a_rejection_is_a_status_and_the_server_never_hears_of_it",
        "test_a_rejection_is_never_a_success",
        "test_a_reply_may_be_rejected",
        "test_a_route_leads_elsewhere_and_no_client_can_choose_it",
        "test_a_value_that_grpc_refuses_takes_a_header_of_the_reply_away",
        "test_a_value_that_grpc_refuses_takes_the_header_of_the_client_away",
        "test_a_text_made_of_a_message_is_cut_before_it_is_too_large_for_a_header",
        "test_all_kinds_of_methods",
        "test_delays_of_elements_add_up",
        "test_each_message_of_a_stream_is_decided_as_it_comes",
        "test_elements_read_set_and_remove_headers",
        "test_headers_of_a_reply_are_read_when_the_rpc_ends",
        "test_headers_of_a_stream_are_read_with_each_of_its_messages",
        "test_hooks_run_in_chain_order_and_in_reverse",
        "test_later_elements_are_not_entered",
        "test_of_a_header_set_to_nothing_no_value_of_the_client_is_left",
        "test_our_own_replies_carry_however_many_headers_elements_set",
        "test_requests_and_replies_may_be_rewritten",
        "test_the_text_of_a_rejection_arrives_as_written",
        "test_who_is_refused_behind_a_delay_waits_for_it",
    ),
}
slow = test_ends.slow

for module, names in SAME.items():
    globals().update({name: getattr(module, name) for name in names})
