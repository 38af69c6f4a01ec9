"""Datasets in memory: their chunks serve again, and never while somebody still has the dataset."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from router.api.received_datasets import FIRST_CHUNK_BYTES, MemorySink, ReceivedDataset
from tests.api.conftest import Pair
from tests.support.datasets import CT, instance

SIZES = [0, 1, FIRST_CHUNK_BYTES, FIRST_CHUNK_BYTES + 1, 300_000, 3_000_000]


def received(content: bytes) -> ReceivedDataset:
    sink, position = MemorySink(), 0
    while position < len(content):
        buffer = sink.next_buffer()
        assert buffer is not None
        count = min(len(buffer), len(content) - position)
        buffer[:count] = content[position : position + count]
        sink.filled(count)
        position += count
    dataset = sink.finish()
    assert isinstance(dataset, ReceivedDataset)
    return dataset


@pytest.mark.parametrize("size", SIZES)
def test_what_was_received_is_there_as_often_as_it_is_asked_for(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    dataset = received(content)
    assert len(dataset) == size
    assert dataset.getvalue() == dataset.getvalue() == content


def test_a_dataset_that_is_kept_is_not_overwritten() -> None:
    kept = received(b"a" * 2_000_000)
    read = received(b"b" * 2_000_000)
    assert read.getvalue() == b"b" * 2_000_000
    for letter in (b"c", b"d"):
        received(letter * 2_000_000)
        gc.collect()
    assert kept.getvalue() == b"a" * 2_000_000
    assert read.getvalue() == b"b" * 2_000_000


def test_events_that_handlers_keep_have_their_own_datasets(ours: Pair) -> None:
    kept: list[Any] = []

    def handle(event: Any) -> int:
        kept.append(event)
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [CT])
    for number in range(6):
        assert assoc.send_c_store(instance(number, pixel_bytes=700_000)).Status == 0x0000
    for number, event in enumerate(kept):
        assert event.dataset.PatientID == f"P{number}"
        assert len(event.request.DataSet.getvalue()) > 700_000
