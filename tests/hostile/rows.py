"""The rows of hostile input, and where each is tested: towards our SCP and towards our SCU.

Run `python -m tests.hostile.rows > tests/hostile/README.md`; a test compares, and looks every name up. A name is
FILE:ROW for a row of a table in this folder (all rows that begin so), or FILE::TEST for a test anywhere.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent

HEAD = """\
# Hostile input

<!-- Written by `python -m tests.hostile.rows`. -->

What peers may send, what the Standard answers (PS3.7, PS3.8), and the tests that show it, towards our acceptor (SCP)
and towards our requestor (SCU: a hostile destination). Every test of the acceptor ends with an honest C-ECHO on a new
association and with nothing left: no connection, association, slot, loan, waiting dataset, file or descriptor. Every
test of the requestor ends with a healthy destination undisturbed, nothing left, and the instance delivered once the
peer behaves. A dash: the row cannot occur there. The rows of `requests` and `messages` are sent to a server of the
library too (`test_library.py`), those of `destinations` and `acceptances` to its requestor
(`test_library_requestor.py`): both answer as the router does.

| row | input | answer | towards our SCP | towards our SCU |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One kind of hostile input."""

    number: int
    given: str
    answer: str
    scp: tuple[str, ...]
    scu: tuple[str, ...]


def row(number: int, given: str, answer: str, scp: str, scu: str = "") -> Row:
    """Return a row; scp, scu: names separated by blanks."""
    return Row(number, given, answer, tuple(scp.split()), tuple(scu.split()))


OUT = "tests/delivery/test_destination.py"
ADMIN = "tests/processes/test_admin.py"

ROWS = (
    row(1, "HTTP, TLS, PROXY or no octets at all", "A-ABORT 0/0 on the first octet; a counter, no line in the log",
        "requests:1- requests::test_row_1_is_decided_on_the_first_octet "
        "scarcity::test_row_1_probes_and_stray_octets_cost_a_counter_and_no_line",
        "destinations:garbage destinations:zeros"),
    row(2, "unknown PDU type for a request", "AA-1", "requests:2-", "destinations:unknown-pdu"),
    row(3, "another PDU for a request", "AA-1", "requests:3-",
        "destinations:data-for-an-answer destinations:release-for-an-answer destinations:request"),
    row(4, "A-ABORT for a request", "AA-2", "requests:4-", "destinations:abort-out-of-the-table"),
    row(5, "request or acceptance of 4 GiB", "abort at the head, nothing read",
        "requests:5- requests::test_row_5_is_decided_on_the_head", "destinations:acceptance-of-4-gigabytes"),
    row(6, "request or acceptance too short", "abort", "requests:6-",
        "acceptances:6- destinations:acceptance-of-length-3"),
    row(7, "an item longer than what it lies in, at each level", "abort", "requests:7-", "acceptances:7-"),
    row(8, "protocol version bit 0 clear", "RJ 1/2/2", "requests:8-"),
    row(9, "protocol version FFFFH", "served", "requests:9-", "acceptances:9-"),
    row(10, "another application context", "RJ 1/1/2; in an answer it is not tested", "requests:10-",
        "acceptances:10-"),
    row(11, "no context; a context without transfer syntax", "accepted with what can be", "requests:11-"),
    row(12, "even context id", "abort", "requests:12-", "acceptances:12-"),
    row(13, "an id twice; 129 and 3,000 contexts", "abort", "requests:13-", "destinations:context-twice"),
    row(14, "2,000 transfer syntaxes; an identity of 64 KiB", "bounded work", "requests:14-"),
    row(15, "abstract syntax empty, too long, no UID", "result 3", "requests:15-"),
    row(16, "unknown item or sub-item", "ignored", "requests:16-", "acceptances:16-"),
    row(17, "called AE title blank", "RJ 1/1/7", "requests:17-"),
    row(18, "AE titles of control characters, paths, quotes; not on a list", "served or RJ; one clean line in the log",
        "requests:18- requests::test_row_18_titles_not_on_the_lists_are_rejected "
        "requests::test_rows_18_and_50_leave_one_clean_line_in_the_log_and_no_passcode", "acceptances:18-"),
    row(19, "peer's maximum length 0, 1, 5, FFFFFFFFH", "0: no limit; too small: RJ or abort", "requests:19-",
        "acceptances:19- destinations:maximum-length-1 destinations:maximum-length-7"),
    row(20, "half a PDU and silence; an octet at a time", "a deadline in total; nobody else waits",
        "requests::test_row_20_half_a_request_is_given_up_by_artim_in_total "
        "requests::test_row_20_a_hundred_of_them_hold_up_nobody "
        "ends::test_row_20_a_dataset_that_dribbles_in_is_given_up_and_its_memory_freed",
        "acceptances::test_row_20_an_acceptance_that_dribbles_in_is_given_up_in_total acceptances:20- "
        "destinations:never-ending-acceptance destinations:half-a-response"),
    row(21, "a second request, or an acceptance, on an association", "A-ABORT 2/2", "messages:21-",
        "destinations:second-acceptance"),
    row(22, "unknown PDU type on an association", "A-ABORT 2/1", "messages:22-",
        "destinations:unknown-pdu destinations:garbage-for-a-response"),
    row(23, "PDV length 0, 1, too long, 80000000H, FFFFFFFFH", "A-ABORT 2/6", "messages:23-", "acceptances:23-"),
    row(24, "empty fragments, P-DATA without PDV", "a few pass, 10,000 are A-ABORT 2/6", "messages:24-",
        "acceptances:24-"),
    row(25, "P-DATA longer than announced", "A-ABORT 2/6, unless the source is said to send it",
        "messages:25- messages::test_row_25_longer_pdus_than_announced_are_tolerated_of_a_source_that_is_said_to_send_them",
        "destinations:p-data-over-the-announced-length"),
    row(26, "PDV on a context that is none", "A-ABORT 2/6",
        "messages:26- messages::test_row_26_a_context_that_was_rejected_is_not_one",
        "acceptances:26- destinations:response-on-an-unknown-context"),
    row(27, "fragments out of order", "A-ABORT 2/5", "messages:27-", "acceptances:27-"),
    row(28, "A-RELEASE-RQ in the middle of a message", "A-ABORT 2/2, nothing stored", "messages:28-",
        "destinations:release-in-the-middle-of-a-message"),
    row(29, "a command set that is none", "A-ABORT 2/6", "messages:29-",
        "acceptances:29- destinations:response-without-a-status"),
    row(30, "unknown Command Field", "0211H", "messages:30-",
        "destinations::test_a_flood_of_requests_is_refused_one_by_one_and_not_collected"),
    row(31, "a response nobody waits for", "A-ABORT 2/2", "messages:31-",
        "destinations:response-with-a-wrong-id destinations:response-of-another-service "
        "destinations::test_a_flood_of_responses_is_an_abort_at_the_second"),
    row(32, "C-STORE-RQ without dataset", "C000H", "messages:32-"),
    row(33, "SOP class of the command is not the context's", "0122H", "messages:33-"),
    row(34, "UID of the dataset is not the command's", "A900H",
        "messages::test_row_34_a_dataset_with_another_uid_than_the_command_is_refused"),
    row(35, "instance UID as a path, empty, 5,000 characters, with NUL", "0117H; no file is named from it",
        "messages:35- messages::test_row_35_no_file_is_named_from_what_a_peer_sent"),
    row(36, "truncated, overrunning, odd elements", "passes as it is, or C000H under the strict policy", "datasets:36-"),
    row(37, "sequences nested 65 to 100,000 deep", "C000H, 64 pass", "datasets:37- "
        "datasets::test_row_37_passes_where_the_scan_is_switched_off tests/codec/test_structure.py::"
        "test_a_hundred_thousand_sequences_cost_no_stack"),
    row(38, "odd fragments", "accepted, forwarded in even ones", "messages:38-",
        "acceptances:38- acceptances::test_row_38_what_came_in_odd_pieces_leaves_in_even_fragments"),
    row(39, "reserved bits of the message control header", "not tested (PS3.8 E.2)", "messages:39-", "acceptances:39-"),
    row(40, "a deflated gigabyte", "not inflated",
        "datasets:40- datasets::test_row_40_a_deflated_gigabyte_is_not_inflated "
        "tests/routing/test_attributes.py::test_a_deflate_bomb_inflates_no_more_than_its_head"),
    row(41, "a command set that never ends", "A-ABORT 2/6", "messages:41-", "destinations:endless-command"),
    row(42, "a dataset that never ends", "A700H",
        "datasets::test_row_42_a_dataset_that_never_ends_is_refused_and_kept_nowhere "
        "tests/handoff/test_sink.py::test_an_instance_over_the_limit_passes_by_and_is_refused",
        "destinations::test_a_flood_of_requests_is_refused_one_by_one_and_not_collected"),
    row(43, "requests without waiting; a Message ID in progress", "served in order; 0210H",
        "messages::test_row_43_requests_sent_without_waiting_are_served_one_by_one "
        "messages::test_row_43_a_message_id_still_in_progress_is_refused_where_a_window_was_granted",
        "destinations::test_a_window_larger_than_proposed_is_not_used destinations:only-requests-of-its-own"),
    row(44, "FIN, RST, A-ABORT in the middle", "nothing stored, everything freed",
        "ends::test_row_44_an_end_in_the_middle_of_a_dataset_stores_nothing "
        "ends::test_row_44_an_end_while_the_worker_has_the_instance_leaves_nothing "
        "ends::test_row_44_an_end_while_a_dataset_waits_for_memory_leaves_nothing",
        "acceptances::test_row_44_an_end_at_any_time_is_tried_again destinations:close-at-once"),
    row(45, "A-RELEASE-RQ of length 0; data after a release", "A-ABORT 2/6; ignored",
        "messages:45- ends::test_row_45_what_follows_the_release_is_ignored",
        "acceptances:45- destinations::test_the_answer_to_our_release_may_be_anything"),
    row(46, "a peer that never reads; one that never answers", "dropped in time, no thread held",
        "ends::test_row_46_a_peer_that_never_takes_its_answers_is_dropped",
        "acceptances::test_row_46_a_destination_that_takes_no_octet_of_the_dataset_is_given_up "
        "destinations:no-answer-to-the-store destinations:close-after-the-request"),
    row(47, "a flood of associations; no descriptor left", "RJ 2/3/2; accepting goes on",
        "scarcity::test_row_47_too_many_associations_are_rejected_for_now "
        "scarcity::test_row_47_one_source_cannot_take_the_places_of_others "
        "scarcity::test_row_47_a_lack_of_descriptors_delays_and_does_not_end_the_accepting"),
    row(48, "release collision", "PS3.8 Table 9-10",
        "ends::test_row_48_a_release_collision_is_settled_in_the_standards_order "
        "ends::test_row_48_data_after_the_collision_is_an_abort",
        "destinations::test_the_answer_to_our_release_may_be_anything"),
    row(49, "TLS: old versions, wrong certificates, half a handshake", "closed within the deadline",
        "tls::* tests/drivers/test_tls.py::*",
        "tests/drivers/test_tls.py::test_a_certificate_nobody_trusts_fails_the_connection "
        "tests/drivers/test_tls.py::test_a_server_that_never_answers_the_handshake_exceeds_the_deadline"),
    row(50, "user identity of types 0 and 6, lying lengths, passcodes", "ignored; abort; never logged",
        "requests:50- requests:7-identity requests:14-50- "
        "requests::test_rows_18_and_50_leave_one_clean_line_in_the_log_and_no_passcode"),
    row(51, "tag values with line ends, escapes, overrides", "escaped wherever they are shown",
        "datasets::test_row_51_hostile_text_in_tags_stays_out_of_the_log_and_passes_as_it_is "
        "tests/processes/test_logs.py::test_no_message_ends_its_line_or_drives_a_terminal "
        "tests/apps/test_queue.py::test_ls_with_filters_lists_entries_and_escapes_peers_text"),
    row(52, "a million titles, UIDs, classes", "no series and no memory grows",
        "scarcity::test_row_52_no_series_and_no_memory_grows_with_what_peers_call_themselves "
        "tests/processes/test_logs.py::test_peers_remembered_are_bounded "
        "tests/routing/test_decide.py::test_memory_of_decisions_is_bounded",
        "tests/metrics/test_page.py::test_more_destinations_than_there_is_room_for_share_other"),
    row(53, "input of rules: catastrophic expressions, huge multiplicity, missing and double tags",
        "linear time; defined outcomes",
        "rules:53- rules::test_row_53_an_expression_takes_time_in_proportion_to_its_input "
        "tests/routing/test_pattern.py::test_a_pattern_of_many_stars_never_goes_back "
        "tests/routing/test_attributes.py::test_values_are_bounded_in_number_and_length "
        "tests/routing/test_match.py::test_a_private_element_is_found_by_its_creator_in_any_block"),
    row(54, "hostile destinations", "abort, back-off; others unaffected", "",
        "destinations: acceptances: library_requestor::test_a_violation_is_answered_as_by_the_router "
        "library_requestor::test_every_other_end_is_taken_in_time"),
    row(55, "admin HTTP: slow clients, huge heads and bodies", "bounded; one request a connection",
        f"{ADMIN}::test_a_body_too_long_is_refused {ADMIN}::test_a_connection_serves_one_request "
        f"{ADMIN}::test_silent_connections_are_bounded_and_scrapes_go_on_once_they_are_gone "
        f"{ADMIN}::test_a_web_page_cannot_work_the_queue {ADMIN}::test_a_head_too_long_is_refused "
        f"{ADMIN}::test_what_clients_do_wrong_fills_no_log"),
)  # fmt: skip


def readme() -> str:
    """Return the page."""
    lines = [
        f"| {one.number} | {one.given} | {one.answer} | {_shown(one.scp)} | {_shown(one.scu)} |"
        for one in ROWS
    ]
    return HEAD + "\n".join(lines) + "\n"


def _shown(names: tuple[str, ...]) -> str:
    return "<br>".join(f"`{name}`" for name in names) or "-"


def is_there(name: str) -> bool:
    """Return whether a name finds a test."""
    if "::" in name:
        file, test = name.split("::")
        path = ROOT / file if "/" in file else FOLDER / f"test_{file}.py"
        names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M)
        return bool(names) if test == "*" else test in names
    file, _, prefix = name.partition(":")
    return any(row_name.startswith(prefix) for row_name in table_rows(file))


def table_rows(file: str) -> list[str]:
    """Return the names of all rows of the tables in a file of this folder."""
    module: ModuleType = importlib.import_module(f"tests.hostile.test_{file}")
    tables = [value for name, value in vars(module).items() if name.isupper() and isinstance(value, dict)]
    return [key for table in tables for key in table if isinstance(key, str)]


if __name__ == "__main__":
    print(readme(), end="")
