"""The lane of C-STORE-RQs: the octets of the general way, and every operation told once, in order."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _codec.framing import COMMAND
from router.standard.dimse_fields import (
    C_STORE_RSP,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    ERROR_COMMENT,
    NO_DATASET,
    STATUS,
)
from router.standard.uids import CT_IMAGE_STORAGE
from tests.support.raw_peer import command, pdata, pdv
from tests.support.send_wire import CONTEXT, ERROR, Wire, by_the_general_way, response


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


# The octets


@pytest.mark.parametrize(
    "maximum_length",
    [8, 100, 511, 517, 518, 519, 1024, 4095, 16384, 65542, 262144, 1 << 20, (1 << 20) + 7, 0],
)
@pytest.mark.parametrize("sizes", [(1,), (2,), (4000, 1), (65536, 65536, 77), (300, 0, 512, 3), (0, 5)])
def test_the_octets_are_those_of_the_general_way(maximum_length: int, sizes: tuple[int, ...]) -> None:
    wire = Wire(maximum_length)
    buffers = [bytes([65 + i]) * size for i, size in enumerate(sizes)]
    took = wire.send("1.2.34", *buffers)
    if took:
        octets = wire.flush()
        assert octets == by_the_general_way(maximum_length, 1, "1.2.34", buffers)
        assert wire.counted == len(octets)
    else:
        assert 0 < maximum_length < 1024 or sum(sizes) // maximum_length > 200
        assert wire.arrived() == b""
    wire.close()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(518, 3000),
    st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    st.lists(st.integers(1, 9).map(str), min_size=1, max_size=8),
)
def test_the_octets_are_those_of_the_general_way_however_the_dataset_lies(
    maximum_length: int, sizes: list[int], components: list[str]
) -> None:
    wire = Wire(maximum_length)
    uid = ".".join(components)
    buffers = [os.urandom(size) for size in sizes]
    if wire.send(uid, *buffers):
        assert wire.flush() == by_the_general_way(maximum_length, 1, uid, buffers)
    else:
        assert sum(sizes) == 0
    wire.close()


def test_an_empty_dataset_and_a_uid_too_long_are_left_to_the_general_way(wire: Wire) -> None:
    assert not wire.send("1.2", b"", b"")
    assert not wire.send("1" * 65)
    assert not wire.lane.send_item(CONTEXT, "1" * 65, "1.2", [b"x"], print, print)
    assert wire.arrived() == b""
    assert wire.told == []


def test_a_dataset_in_too_many_pieces_is_left_to_the_general_way(wire: Wire) -> None:
    assert not wire.send("1.2", *[b"x"] * 600)
    assert not wire.send("1.3", bytes(300 * 16378))
    assert wire.arrived() == b""


# A full socket


def test_what_the_socket_does_not_take_goes_on_behind_it_and_nothing_mixes() -> None:
    wire = Wire(send_buffer=4096)
    first, second = os.urandom(1 << 20), b"second"
    assert wire.send("1.1", first[: 1 << 19], first[1 << 19 :])
    assert wire.rest
    assert not wire.send("1.2", second), "octets of two messages would mix"
    octets = wire.flush()
    assert octets == by_the_general_way(16384, 1, "1.1", [first])
    assert wire.send("1.2", second)
    (again,) = {wire.flush()}
    assert again[24:] == by_the_general_way(16384, wire.lane.next_message_id() - 1, "1.2", [second])[24:]
    wire.close()


def test_an_early_answer_gives_the_memory_back_only_when_the_request_is_out() -> None:
    wire = Wire(send_buffer=4096)
    assert wire.send("1.1", bytes(1 << 20))
    assert wire.receive(response(1)) == []
    assert wire.told == []
    assert wire.lane.has_answers
    wire.flush()
    wire.lane.settle()
    assert wire.told == [("1.1", 0)]
    wire.close()


def test_an_early_answer_is_no_success_if_the_request_never_left() -> None:
    wire = Wire(send_buffer=4096)
    assert wire.send("1.1", bytes(1 << 20))
    wire.receive(response(1))
    wire.is_closing = True
    wire.lane.end(ERROR)
    assert wire.told == [("1.1", ERROR)]
    wire.close()


def test_a_send_that_fails_is_told_by_the_end_of_the_association(wire: Wire) -> None:
    wire.far.close()
    assert wire.send("1.1")
    assert wire.rest  # the transport meets the same error
    wire.lane.end(ERROR)
    assert wire.told == [("1.1", ERROR)]


# Responses


@pytest.mark.parametrize("split", [1 << 20, 1, 7, 13, 60])
def test_responses_are_taken_however_they_arrive(wire: Wire, split: int) -> None:
    for number in range(1, 5):
        assert wire.send(f"1.{number}")
    octets = response(2, 0xB000) + response(1) + response(4, 0xA700) + response(3)
    assert wire.receive(octets, split) == []
    assert wire.told == [("1.2", 0xB000), ("1.1", 0), ("1.4", 0xA700), ("1.3", 0)]


@pytest.mark.parametrize("split", [1 << 20, 1])
def test_a_response_in_fragments_is_taken(wire: Wire, split: int) -> None:
    assert wire.send("1.1")
    whole = response(1)[12:]
    octets = pdata(pdv(CONTEXT, 1, whole[:10]), pdv(CONTEXT, 1, whole[10:30]))
    octets += pdata(pdv(CONTEXT, 3, whole[30:]))
    assert wire.receive(octets, split) == []
    octets = pdata(pdv(CONTEXT, 1, whole), pdv(CONTEXT, 3, b""))
    assert wire.send("1.2")
    assert wire.receive(octets.replace(b"\x02\x00\x00\x00\x01\x00", b"\x02\x00\x00\x00\x02\x00"), split) == []
    assert wire.told == [("1.1", 0), ("1.2", 0)]


def test_an_error_comment_and_unknown_elements_do_no_harm(wire: Wire) -> None:
    assert wire.send("1.1")
    assert wire.receive(response(1, 0xC001, elements={ERROR_COMMENT: "no", 0x5190: b"ab"})) == []
    assert wire.told == [("1.1", 0xC001)]


@pytest.mark.parametrize(
    "octets",
    [
        response(9),
        response(1, elements={COMMAND_FIELD: 0x8030}),
        response(1, elements={COMMAND_FIELD: 0x0001}),
        response(1, elements={COMMAND_DATA_SET_TYPE: 1}),
        command(CONTEXT, {COMMAND_FIELD: C_STORE_RSP, COMMAND_DATA_SET_TYPE: NO_DATASET, STATUS: 0}),
        pdata(pdv(CONTEXT, 3, response(1)[12:-1])),
        pdata(pdv(CONTEXT, 3, b"\1")),
    ],
)
def test_what_is_no_response_to_a_request_of_the_lanes_is_left(wire: Wire, octets: bytes) -> None:
    assert wire.send("1.1")
    assert wire.receive(octets) == [COMMAND]
    assert wire.told == []
    wire.lane.end(ERROR)
    assert wire.told == [("1.1", ERROR)]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (response(1, context_id=1), 2),
        (response(1, elements={STATUS: (0, 0)}), 6),
        (response(1, elements={STATUS: b""}), 6),
    ],
)
def test_a_response_that_violates_is_answered_when_those_before_it_are_told(
    wire: Wire, octets: bytes, reason: int
) -> None:
    assert wire.send("1.1")
    assert wire.send("1.2")
    assert wire.receive(response(2) + octets) == []
    assert wire.told == [("1.2", 0)]
    assert [fault for fault, _ in wire.faults] == [reason]
    wire.lane.end(ERROR)
    assert wire.told == [("1.2", 0), ("1.1", ERROR)]


# Every operation is told once, in order


def test_the_end_tells_those_answered_and_then_the_others_oldest_first(wire: Wire) -> None:
    for number in range(1, 5):
        assert wire.send(f"1.{number}")
    wire.reader.feed(response(3), 0, len(response(3)))
    wire.lane.end(ERROR)
    wire.lane.end(ERROR)
    wire.lane.settle()
    assert wire.told == [("1.3", 0), ("1.1", ERROR), ("1.2", ERROR), ("1.4", ERROR)]
    assert not wire.send("1.5")
    assert not wire.lane.is_usable


def test_a_user_that_fails_keeps_nobody_else_from_being_told(wire: Wire) -> None:
    def broken(*_: Any) -> None:
        raise MemoryError

    def send_broken() -> None:
        assert wire.lane.send_item(CONTEXT, CT_IMAGE_STORAGE, "1.9", [b"x"], broken, broken)

    send_broken()
    assert wire.send("1.2")
    for octets in (response(1), response(2)):
        wire.reader.feed(octets, 0, len(octets))
    with pytest.raises(MemoryError):
        wire.lane.settle()
    wire.lane.settle()
    assert wire.told == [("1.2", 0)]
    send_broken()
    assert wire.send("1.4")
    with pytest.raises(MemoryError):
        wire.lane.end(ERROR)
    assert wire.told == [("1.2", 0), ("1.4", ERROR)]


def test_an_association_that_ends_while_answers_are_told_forgets_nobody() -> None:
    wire = Wire(send_buffer=4096)
    told = wire.told

    def end(status: int, seconds: float) -> None:
        told.append(("1.1", status))
        wire.is_closing = True
        wire.lane.end(ERROR)

    assert wire.lane.send_item(CONTEXT, CT_IMAGE_STORAGE, "1.1", [b"x"], end, lambda *_: None)
    assert wire.send("1.2")
    assert wire.send("1.3", bytes(1 << 20))
    for number in (1, 3):
        octets = response(number)
        wire.reader.feed(octets, 0, len(octets))
    wire.lane.settle()
    assert told == [("1.1", 0), ("1.2", ERROR), ("1.3", ERROR)]
    assert not wire.lane.has_answers
    wire.close()


# Message IDs


def test_message_ids_go_round_and_pass_those_in_progress(wire: Wire) -> None:
    assert wire.send("1.1")
    for _ in range(65533):
        wire.lane.next_message_id()
    assert wire.send("1.2")
    assert wire.receive(response(65535)) == []
    assert wire.told == [("1.2", 0)]
    assert wire.lane.next_message_id() == 2, "1 is in progress"
    wire.others.update((3, 4))  # of the general way
    assert wire.send("1.3")
    assert wire.receive(response(5) + response(1)) == []
    assert wire.told == [("1.2", 0), ("1.3", 0), ("1.1", 0)]


# The deadline, and descriptors


def test_a_response_is_late_from_when_its_request_was_out() -> None:
    wire = Wire(send_buffer=4096)
    wire.lane.deadline_s = 30.0
    assert wire.send("1.1", bytes(1 << 20))
    now = wire.lane.oldest_began()
    assert now is not None
    assert not wire.lane.is_late(now + 100.0)
    wire.flush()
    assert not wire.lane.is_late(now + 100.0)  # out just now
    assert not wire.lane.is_late(now + 129.0)
    assert wire.lane.is_late(now + 130.0)
    wire.receive(response(1))
    assert not wire.lane.is_late(now + 1000.0)
    wire.close()


def test_what_was_out_at_once_is_late_by_when_it_was_sent(wire: Wire) -> None:
    assert wire.send("1.1")
    began = wire.lane.oldest_began()
    assert began is not None
    assert not wire.lane.is_late(began + 1e6)  # no deadline
    wire.lane.deadline_s = 30.0
    assert not wire.lane.is_late(began + 29.9)
    assert wire.lane.is_late(began + 30.1)


def test_no_descriptor_is_left() -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for is_ended in (True, False):
        for _ in range(20):
            wire = Wire()
            assert wire.send("1.1")
            if is_ended:
                wire.lane.end(ERROR)
            wire.close()
            wire.reader.use_lane(None)
            del wire
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
