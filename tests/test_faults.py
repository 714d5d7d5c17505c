"""Each fault in ARCHITECTURE.md's table is made to happen by a test."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = (TESTS.parent / "ARCHITECTURE.md").read_text().partition("## What fails")[2].partition("\n## ")[0]

FAULTS = {
    "a worker is killed, at any instant": {
        "test_transport_worker.py": ["test_no_task_is_lost_when_workers_are_killed"],
        "test_dead_letters_trouble.py": ["test_a_worker_killed_before_it_acknowledges_leaves_one_letter"],
        "test_torture.py": ["test_half_a_minute_of_torture_breaks_no_promise"],
    },
    "a save is delivered twice, or late, or before the one it follows": {
        "test_tasks.py": ["test_the_librarys_saves_make_one_log_and_a_repeated_one_changes_nothing"],
        "test_archive.py": ["test_a_save_before_its_beginning_waits_and_is_attached_when_that_comes"],
        "test_archive_s3.py": ["test_any_order_any_cut_any_repetition_gives_the_same_bytes"],
    },
    "the store is down, hangs, throttles, is full, or refuses the credentials": {
        "test_store_away.py": [
            "test_uploads_wait_in_the_queue_while_the_store_is_down_and_while_it_hangs",
            "test_a_store_that_is_full_or_throttles_is_waited_for_and_read_from",
            "test_refused_credentials_are_denied_to_reads_and_waited_for",
        ],
    },
    "a worker is stopped, or its machine sleeps, in the middle of a fold": {
        "protocol/test_protocol.py": ["test_a_fold_that_was_stopped_for_hours_is_given_up"],
        "test_archive_s3.py": ["test_a_fold_that_takes_too_long_is_given_up_and_made_anew"],
    },
    "the store loses its answer to a PUT": {
        "test_store_away.py": ["test_a_save_whose_answer_was_lost_is_found_to_be_there"],
    },
    "the store does not honour conditional writes": {
        "test_worker_start.py": ["test_a_store_that_ignores_conditions_ends_the_worker"],
        "test_probe.py": ["test_a_store_that_lacks_something_is_refused_by_name"],
    },
    "Redis, the broker, is away": {
        "sink/test_broker_away.py": [
            "test_from_the_start",
            "test_in_mid_session",
            "test_one_that_accepts_and_never_answers",
        ],
        "test_redis_away.py": ["test_work_goes_on_within_two_seconds_of_the_return_of_redis"],
    },
    "Redis is killed": {
        "test_stack.py": ["test_redis_keeps_what_it_acknowledged_over_a_kill"],
        "test_transport_worker.py": ["test_a_worker_outlives_restarts_of_redis"],
    },
    "Redis is full": {
        "sink/test_broker_away.py": ["test_from_the_start"],
        "test_transport.py": ["test_a_full_redis_is_drained"],
        "test_full_redis.py": ["test_a_worker_outlives_a_full_redis_at_its_start_and_at_a_reconnect"],
    },
    "Redis becomes a replica, or its disk is full": {
        "test_endings.py": ["test_what_ends_while_redis_is_a_replica_is_told_when_it_is_none_any_more"],
        "test_full_disk.py": ["test_with_fsync_everysec_redis_refuses_all_writes_and_goes_on_when_there_is_room"],
    },
    "a machine's clock is wrong": {
        "test_clock.py": [
            "test_questions_are_answered_whatever_the_clock_says",
            "test_check_names_the_clock_and_finds_the_rest_well",
            "test_a_real_worker_says_that_a_question_was_too_old",
        ],
    },
    "Redis has lost the hints": {
        "test_archive.py": ["test_a_save_without_a_hint_looks_once_and_the_next_is_one_put_again"],
        "test_hints.py": ["test_tidy_finds_what_the_due_list_has_lost"],
    },
    "two writers save histories that part": {
        "test_archive_s3.py": ["test_sixteen_writers_that_part_are_one_main_line_and_fifteen_strays"],
        "test_end_to_end.py": ["test_two_writers_that_do_not_know_of_each_other_both_stay_whole"],
    },
    "two writers append": {
        "test_archive_s3.py": ["test_four_writers_that_append_have_each_line_once_and_in_order"],
        "test_appends.py": ["test_eight_writers_and_two_workers_of_which_one_is_killed_twice"],
    },
    "an append comes before what its writer sent first": {
        "test_stream.py": [
            "test_what_comes_too_early_waits_in_the_store",
            "test_a_compaction_places_what_has_waited",
        ],
    },
    "an undo, an edit, an older or a newer history after a restart": {
        "test_end_to_end.py": [
            "test_an_undo_leaves_the_old_line_whole_and_goes_on_in_a_branch",
            "test_an_edit_in_place_is_seen",
            "test_another_machine_with_an_older_history_changes_nothing_and_can_go_on",
            "test_another_machine_sends_only_what_the_store_lacks",
        ],
    },
    "a task that can never succeed (a broken payload, an unknown name, revoked, expired)": {
        "test_dead_letters.py": [
            "test_a_poisonous_payload_is_buried_whole_and_comes_back_when_it_is_replayed",
            "test_what_is_no_task_is_buried",
            "test_a_revoked_upload_is_buried_and_stored_when_it_is_replayed",
            "test_an_upload_that_has_expired_is_buried_but_not_a_read",
        ],
    },
    "a message that kills whoever takes it": {
        "test_killers.py": [
            "test_a_message_that_kills_ten_children_is_buried_and_the_worker_goes_on",
            "test_a_message_that_kills_ten_workers_is_buried",
            "test_lost_connections_and_an_operators_restarts_do_not_count",
        ],
    },
    "what waits for its beginning, and that has parted from the log": {
        "test_archive.py": ["test_lines_that_came_before_the_stray_they_continue_become_one_when_it_comes"],
    },
    "another program overwrites the base": {
        "test_waiting.py": [
            "test_a_base_that_another_program_has_overwritten_and_a_payload_of_a_newer_library_wait",
        ],
    },
    "a payload from a newer library": {
        "test_waiting.py": [
            "test_a_base_that_another_program_has_overwritten_and_a_payload_of_a_newer_library_wait",
        ],
        "test_memory.py": ["test_memory_is_flat_however_many_uploads_wait_for_a_newer_worker"],
    },
    "an operator deletes a session": {
        "test_delete.py": [
            "test_a_deleted_session_reads_as_one_that_never_was",
            "test_a_late_save_is_told_so_and_what_it_wrote_is_swept_away",
        ],
    },
    "a resolved pointer has no bytes": {
        "test_reader.py": [
            "test_nothing_in_the_range_is_no_match",
            "test_a_key_that_is_no_log_of_ours_is_denied",
            "test_a_refusal_of_the_store_is_denied_and_anything_else_a_backend_error",
        ],
        "test_tasks.py": ["test_a_pointer_is_answered_by_bytes_or_by_a_fault"],
    },
}


def test_each_fault_of_the_table_is_here_and_no_other() -> None:
    rows = [line.split("|")[1].strip() for line in TABLE.splitlines() if line.startswith("| ")][2:]
    assert rows == list(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_there_is_a_test_that_makes_it_happen(fault: str) -> None:
    for file, names in FAULTS[fault].items():
        nodes = ast.walk(ast.parse((TESTS / file).read_text()))
        missing = set(names) - {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        assert not missing, file
