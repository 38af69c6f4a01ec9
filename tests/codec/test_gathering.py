"""Messages that lanes gather: the same octets as one by one, in fewer system calls, and nothing mixes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _codec.gathering import Gathering
from tests.support.send_wire import ERROR, Wire, by_the_general_way, response

LARGEST_GATHERED_BYTES = 16384


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def test_what_is_gathered_leaves_at_the_end_as_one(wire: Wire) -> None:
    with Gathering():
        for number in range(1, 4):
            assert wire.send(f"1.{number}", bytes([64 + number]) * 2000)
        assert wire.arrived() == b""
        assert wire.traffic.sent == 0
    octets = b"".join(
        by_the_general_way(16384, number, f"1.{number}", [bytes([64 + number]) * 2000])
        for number in range(1, 4)
    )
    assert wire.arrived() == octets
    assert (wire.traffic.sent, wire.rest) == (len(octets), [])
    assert wire.receive(response(1) + response(2) + response(3, 0xA700)) == []
    assert wire.told == [("1.1", 0), ("1.2", 0), ("1.3", 0xA700)]


def test_a_peer_that_rests_gets_at_once_what_a_sender_waits_for(wire: Wire) -> None:
    with Gathering():
        assert wire.send("1.1", is_awaited=True)
        assert wire.arrived() == by_the_general_way(16384, 1, "1.1", [b"data"])
        assert wire.send("1.2", is_awaited=True)
        assert wire.send("1.3", is_awaited=True)
        assert wire.arrived() == b""
    assert wire.arrived() != b""


def test_it_ends_with_the_outermost(wire: Wire) -> None:
    with Gathering():
        with Gathering():
            assert wire.send("1.1")
        assert wire.arrived() == b""
    assert wire.arrived() != b""
    assert wire.send("1.2")
    assert wire.arrived() != b""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 2 * LARGEST_GATHERED_BYTES), min_size=1, max_size=20), st.integers(518, 40000))
def test_the_octets_are_those_of_the_general_way_whatever_is_long_or_short(
    sizes: list[int], maximum_length: int
) -> None:
    wire = Wire(maximum_length, window=32, send_buffer=1 << 22)
    datasets = [os.urandom(size) for size in sizes]
    came = b""
    with Gathering():
        for number, dataset in enumerate(datasets, 1):
            if not wire.send(f"1.{number}", dataset):
                came += wire.flush()
                assert wire.send(f"1.{number}", dataset)
    came += wire.flush()
    expected = [
        by_the_general_way(maximum_length, number, f"1.{number}", [dataset])
        for number, dataset in enumerate(datasets, 1)
    ]
    assert came == b"".join(expected)
    assert wire.counted == len(came)
    wire.close()


def test_the_memory_of_what_is_gathered_is_its_owners_again_at_once(wire: Wire) -> None:
    dataset = bytearray(b"first")
    with Gathering():
        assert wire.send("1.1", dataset)
        dataset[:] = b"other"
    assert wire.arrived().endswith(b"first")


def test_what_the_socket_does_not_take_goes_on_behind_it() -> None:
    wire = Wire(window=64, send_buffer=4096)
    with Gathering():
        for number in range(1, 9):
            assert wire.send(f"1.{number}", bytes([64 + number]) * 7000)
    assert wire.rest
    assert not wire.send("1.9")
    # Those whose requests have left are over; the last is not before its request has left.
    assert wire.receive(response(1) + response(8)) == []
    assert wire.told == [("1.1", 0)]
    octets = wire.flush()
    wire.lane.settle()
    assert wire.told == [("1.1", 0), ("1.8", 0)]
    assert octets == b"".join(
        by_the_general_way(16384, number, f"1.{number}", [bytes([64 + number]) * 7000])
        for number in range(1, 9)
    )
    assert wire.counted == len(octets)
    wire.close()


def test_what_has_come_before_it_in_the_connection_leaves_before_it(wire: Wire) -> None:
    with Gathering():
        assert wire.send("1.1")
        wire.rest.append(b"a message of the general way")
    assert wire.arrived() == b""
    assert wire.flush() == b"a message of the general way" + by_the_general_way(16384, 1, "1.1", [b"data"])


def test_it_leaves_before_a_message_of_the_general_way_if_that_asks(wire: Wire) -> None:
    with Gathering():
        assert wire.send("1.1")
        wire.lane.send_gathered()
        assert wire.arrived() == by_the_general_way(16384, 1, "1.1", [b"data"])
    assert wire.arrived() == b""


def test_what_is_gathered_when_the_association_ends_is_not_sent_and_has_failed(wire: Wire) -> None:
    with Gathering():
        assert wire.send("1.1")
        wire.lane.end(ERROR)
        assert not wire.send("1.2")
    assert wire.arrived() == b""
    assert wire.told == [("1.1", ERROR)]


def test_a_send_that_fails_is_told_by_the_end_of_the_association(wire: Wire) -> None:
    wire.far.close()
    with Gathering():
        assert wire.send("1.1")
    assert wire.rest
    wire.lane.end(ERROR)
    assert wire.told == [("1.1", ERROR)]


def test_it_leaves_although_something_is_raised(wire: Wire) -> None:
    def break_off() -> None:
        with Gathering():
            assert wire.send("1.3")
            raise ValueError("raised")

    with pytest.raises(ValueError, match="raised"):
        break_off()
    assert wire.arrived() != b""


@pytest.mark.parametrize("is_gathered", [True, False])
def test_a_lane_that_cannot_send_the_rest_gives_up_its_connection_and_keeps_no_other_from_sending(
    wire: Wire, is_gathered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Wire):
        def send_rest(self, count: int, rest: list[Any]) -> None:
            raise MemoryError

    broken = Broken(send_buffer=4096)
    if is_gathered:
        with Gathering():
            for number in range(8):
                assert broken.send(f"1.{number}", bytes(7000))
            assert wire.send("2.1")
        assert "could not be sent" in caplog.text
    else:
        with pytest.raises(MemoryError):
            broken.send("1.1", bytes(1 << 20))
        assert wire.send("2.1")
    assert wire.arrived() != b""
    assert not broken.lane.is_usable
    broken.arrived()
    assert broken.far.recv(1) == b""  # nothing follows half a message
    broken.lane.end(ERROR)
    assert {told for _, told in broken.told} == {ERROR}
    broken.close()


def test_an_answer_lets_go_what_its_user_sends_next_together_with_that_of_the_others(wire: Wire) -> None:
    # What arrives together is answered together.
    for number in range(1, 4):
        assert wire.send(f"1.{number}")
    wire.arrived()
    seen: list[bytes] = []

    def send_another(status: int, seconds: float) -> None:
        assert wire.send("2.1")
        seen.append(wire.arrived())

    wire.lane.send_item(3, "1.2", "1.4", [b"x"], send_another, print)
    wire.arrived()
    wire.receive(response(4))
    assert seen == [b""]
    assert wire.arrived() != b""
