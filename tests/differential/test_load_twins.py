"""Invariant: the load tool's compiled hot path and its twin take, count, patch and answer alike."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import _codec.load
import router.bench.reference
from router.bench import wire
from router.bench.instances import SECONDARY_CAPTURE_STORAGE, instance_uid
from router.bench.layout import Layout
from tests.differential.twins import QUICK, damaged, outcome, pieces

TWINS = (_codec.load, router.bench.reference)
WINDOW = 3
CONSTANTS = [name for name in dir(router.bench.reference) if name.isupper() and hasattr(_codec.load, name)]


def test_the_constants_are_equal() -> None:
    assert len(CONSTANTS) >= 7
    for name in CONSTANTS:
        assert getattr(_codec.load, name) == getattr(router.bench.reference, name), name


@QUICK
@given(
    st.lists(st.integers(-3, 60), min_size=3, max_size=3), st.integers(0, 10**10 - 1), st.integers(0, 65535)
)
def test_images_are_patched_alike(offsets: list[int], number: int, message_id: int) -> None:
    def patched(module: Any) -> bytes:
        image = module.Image(bytearray(50), *offsets)
        image.patch(number, message_id)
        return bytes(image.head)

    compiled, reference = (outcome(patched, module) for module in TWINS)
    assert compiled == reference


def answer(message_id: int, number: int, status: int = 0) -> bytes:
    """Encode a C-STORE-RSP."""
    fields = wire.decode_command(
        wire.c_store_rq(SECONDARY_CAPTURE_STORAGE, instance_uid(1, number), message_id)
    )
    return wire.command_pdu(1, wire.response(fields, status))


def places(pdu: bytes) -> tuple[int, int]:
    """Return where Message ID and the last digits of the UID stand in an answer."""
    found = {name: (start + 12, end + 12) for name, start, end in wire.command_elements(pdu[12:])}
    return found[wire.MESSAGE_ID_BEING_RESPONDED_TO][0], found[wire.AFFECTED_SOP_INSTANCE_UID][1] - 10


ANSWERS = st.builds(
    answer, st.integers(0, WINDOW + 1), st.integers(0, WINDOW), st.sampled_from([0, 0, 0xA700])
)


@QUICK
@given(st.lists(damaged(ANSWERS), max_size=5), st.integers(0, 2**45))
def test_answers_are_taken_alike(answers: list[bytes], now_ns: int) -> None:
    def taken(module: Any) -> tuple[Any, ...]:
        counts = array("q", bytes(8 * module.CELLS))
        lane = module.Lane(WINDOW, counts)
        begun = [lane.begin(number, 1000 * number) for number in range(WINDOW)]
        lane.learn(answer(1, 0), *places(answer(1, 0)))
        data = bytearray(b"".join(answers))
        position = lane.take(data, 0, len(data), now_ns)
        return (
            begun,
            position,
            lane.free,
            counts.tolist(),
            [outcome(lane.end, number, now_ns) for number in range(5)],
        )

    compiled, reference = (outcome(taken, module) for module in TWINS)
    assert compiled == reference


@pytest.mark.parametrize("module", TWINS)
def test_an_answer_about_another_instance_is_not_taken(module: Any) -> None:
    lane = module.Lane(WINDOW, array("q", bytes(8 * module.CELLS)))
    message_id = lane.begin(5, 0)
    lane.learn(answer(1, 0), *places(answer(1, 0)))
    wrong, right = bytearray(answer(message_id, 6)), bytearray(answer(message_id, 5))
    assert lane.take(wrong, 0, len(wrong), 1) == 0
    assert lane.take(right, 0, len(right), 1) == len(right)
    assert lane.take(right, 0, len(right), 1) == 0, "the same answer again"


def store(number: int, message_id: int, dataset: bytes, step: int) -> bytes:
    """Encode a C-STORE-RQ, its dataset in fragments of `step` octets."""
    command = wire.c_store_rq(SECONDARY_CAPTURE_STORAGE, instance_uid(1, number), message_id)
    parts = [wire.command_pdu(1, command)]
    for start in range(0, max(1, len(dataset)), step):
        last = wire.LAST_FRAGMENT if start + step >= len(dataset) else 0
        part = dataset[start : start + step]
        parts.append(wire.pdata_head(1, last, len(part)) + part)
    return b"".join(parts)


STORES = st.builds(
    store, st.integers(0, 99), st.integers(0, 65535), st.binary(max_size=60), st.sampled_from([1, 20, 100])
)


@QUICK
@given(damaged(st.lists(STORES, max_size=4).map(b"".join)), st.lists(st.integers(0, 900), max_size=6))
def test_stores_are_skimmed_alike(stream: bytes, cuts: list[int]) -> None:
    def skimmed(module: Any) -> tuple[Any, ...]:
        skimmer, out, rest, seen = module.Skimmer(), bytearray(), b"", []
        command = wire.c_store_rq(SECONDARY_CAPTURE_STORAGE, instance_uid(1, 0), 1)
        Layout.of(1, command).show(skimmer, 1, command, 20)
        for now_ns, piece in enumerate(pieces(stream, cuts), 1):
            data = bytearray(rest + piece)
            position = skimmer.skim(data, 0, len(data), out, now_ns)
            rest = bytes(data[position:])
            place = skimmer.pdv_left, skimmer.is_last, skimmer.dataset_bytes, skimmer.is_plain
            seen.append((position, *place))
        counts = skimmer.instances, skimmer.octets, skimmer.odd_sizes, skimmer.last_ns
        return seen, bytes(out), counts, skimmer.take_numbers(), skimmer.instances

    compiled, reference = (outcome(skimmed, module) for module in TWINS)
    assert compiled == reference


@pytest.mark.parametrize("module", TWINS)
@pytest.mark.parametrize("step", [2, 100])
def test_whole_stores_go_through_at_any_split(module: Any, step: int) -> None:
    stream = b"".join(store(number, number, bytes(100), step) for number in range(3))
    command = wire.c_store_rq(SECONDARY_CAPTURE_STORAGE, instance_uid(1, 0), 1)
    for size in (1, 7, len(stream)):
        skimmer, out, rest = module.Skimmer(), bytearray(), b""
        Layout.of(1, command).show(skimmer, 1, command, 100)
        for start in range(0, len(stream), size):
            data = bytearray(rest + stream[start : start + size])
            rest = bytes(data[skimmer.skim(data, 0, len(data), out, 1) :])
        assert (rest, skimmer.instances, skimmer.octets, skimmer.odd_sizes) == (b"", 3, 300, 0)
        assert bytes(out) == b"".join(answer(number, number) for number in range(3))
        assert array("Q", skimmer.take_numbers()).tolist() == [10**10 + number for number in range(3)]
