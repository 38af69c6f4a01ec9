"""The sinks that need nothing from outside."""

from __future__ import annotations

import pytest

from router.errors import LimitReached
from router.protocol.indications import MessageReceived
from router.protocol.messages import CHUNK_BYTES, MemorySink, NullSink, release_dataset


def pour(sink: MemorySink | NullSink, data: bytes) -> None:
    while data:
        buffer = sink.next_buffer()
        assert buffer is not None
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        sink.filled(count)
        data = data[count:]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES])
def test_a_dataset_in_memory_is_what_was_sent(size: int) -> None:
    sink = MemorySink()
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    pour(sink, data)
    assert sink.finish() == data


def test_an_unused_buffer_adds_nothing() -> None:
    sink = MemorySink()
    assert sink.next_buffer() is not None
    sink.filled(0)
    assert sink.finish() == b""


def test_memory_is_bounded() -> None:
    sink = MemorySink(bytes_max=CHUNK_BYTES)
    pour(sink, bytes(CHUNK_BYTES))
    with pytest.raises(LimitReached, match="dataset_bytes"):
        sink.next_buffer()


def test_a_discarded_dataset_is_forgotten() -> None:
    sink = MemorySink()
    pour(sink, bytes(1000))
    sink.discard()
    assert sink.finish() == b""


def test_a_null_sink_holds_nothing_however_much_comes() -> None:
    sink = NullSink("answer")
    first = sink.next_buffer()
    pour(sink, bytes(10 * CHUNK_BYTES))
    assert sink.next_buffer() is first
    assert sink.finish() == "answer"
    sink.discard()


def test_only_what_knows_how_is_released() -> None:
    class Lent:
        released = 0

        def release(self) -> None:
            self.released += 1

    lent = Lent()
    release_dataset(MessageReceived(1, {}, lent))
    release_dataset(MessageReceived(1, {}, b"bytes"))
    release_dataset(MessageReceived(1, {}, None))
    assert lent.released == 1
