"""Whatever part of a stream is received through scatter windows, it comes to what feeding comes to."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _codec.framing import DATASET_END, NEED_DATA, PduReader
from _codec.scatter_window import ScatterWindow
from tests.codec.octets import COMMAND as COMMAND_BIT
from tests.codec.octets import LAST, pdata, pdu, pdv
from tests.codec.test_direct_window import ODD_ENDS, Receipt, announced, noise

SLOT = 100_000
FRAGMENTS = st.sampled_from((1, 500, 4_096, 8_000, 8_000, 8_000, 16_370, 40_000))


class Scattered(Receipt):
    """A reader that is fed, but between long PDUs receives from a socket into scatter windows."""

    def __init__(self, seed: int, biggest: int) -> None:
        super().__init__(False, seed, biggest)
        self.windows = 0
        self.window = ScatterWindow(self.reader)
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)

    def run(self, stream: bytes) -> None:
        at = 0
        while at < len(stream):
            size = self._random.choice((1, 3, 7, 11, 12, 13, 100, self._biggest, self._biggest))
            piece = stream[at : at + size]
            window = self.window
            if not window.lay_out():
                goes_on = self.feed(piece)
            else:
                self.windows += 1
                self.far.sendall(piece)
                count = window.receive(self.near.fileno())
                assert count == min(len(piece), window.size)
                left = len(piece) - count
                assert left == 0 or self.near.recv(left) == piece[count:]
                piece = piece[:count]
                event, rest = window.advance(count)
                goes_on = (event == NEED_DATA or self.take(event)) and self.feed(rest)
            at += len(piece)
            if not goes_on:
                return
        self.events.append(("mid message", self.reader.mid_message, self.reader.dataset_bytes))
        self._keep()
        self.events.append(("dataset so far", bytes(self._dataset)))


def outcomes(stream: bytes, seed: int, biggest: int) -> int:
    """Receive a stream both ways; return how many windows there were."""
    plain, scattered = Receipt(False, seed, 1 << 20), Scattered(seed, biggest)
    with scattered.near, scattered.far:
        plain.run(stream)
        scattered.run(stream)
    assert scattered.events == plain.events
    return scattered.windows


def dataset(fragment: int, count: int, tail: int) -> bytes:
    """A dataset in fragments as long as each other, and a last one that is not."""
    pdus = [pdata(pdv(1, 0, noise(fragment, n))) for n in range(count)]
    return announced(b"".join(pdus) + pdata(pdv(1, LAST, noise(tail, 99))))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(FRAGMENTS, st.integers(0, 12), st.integers(0, 9_000)), min_size=1, max_size=4),
    st.sampled_from(ODD_ENDS),
    st.integers(0, 1 << 16),
    st.sampled_from((9_000, 30_000, 120_000)),
)
def test_windows_change_nothing(
    datasets: list[tuple[int, int, int]], odd: bytes, seed: int, biggest: int
) -> None:
    stream = b"".join(dataset(*one) for one in datasets)
    outcomes(stream + odd + dataset(9_000, 3, 5), seed, biggest)
    outcomes(stream[:-1], seed, biggest)
    begun = announced(pdata(pdv(1, 0, noise(datasets[0][0]))) * 5)
    outcomes(begun + odd + stream, seed, biggest)


@pytest.mark.parametrize("odd", ODD_ENDS)
def test_every_odd_end_comes_to_the_same_behind_long_fragments(odd: bytes) -> None:
    begun = announced(pdata(pdv(1, 0, noise(8_000))) * 9)
    assert sum(outcomes(begun + odd + dataset(8_000, 2, 5), seed, 30_000) for seed in range(8)) > 8


@pytest.mark.parametrize(
    "inside",
    [
        pdata(pdv(1, 0, noise(3_000)), pdv(1, 0, noise(4_988))),
        pdata(pdv(1, 0, noise(7_999))),
        pdata(pdv(1, 0, noise(8_001))),
        pdata(pdv(1, 0, b"")),
        pdata(),
        pdu(7, b"\0\0\2\1"),
    ],
)
def test_what_differs_from_the_fragments_around_it_is_put_right(inside: bytes) -> None:
    same = pdata(pdv(1, 0, noise(8_000)))
    stream = announced(same * 3 + inside + same * 4)
    for seed in range(8):
        outcomes(stream, seed, 120_000)


def test_a_dataset_that_comes_whole_needs_no_copy() -> None:
    reader = reader_in_dataset(bytearray(SLOT))
    octets = pdata(pdv(1, 0, noise(8_000))) * 6 + pdata(pdv(1, LAST, noise(100)))
    near, far = socket.socketpair()
    with near, far:
        assert reader.feed(octets, 0, 20) == NEED_DATA
        far.sendall(octets[20:])
        window = ScatterWindow(reader)
        assert window.lay_out()
        count = window.receive(near.fileno())
        assert count == len(octets) - 20
        assert window.advance(count) == (DATASET_END, b"")
        assert reader.filled == 48_100


def test_a_window_tells_the_end_of_the_stream_and_errors() -> None:
    reader = reader_in_dataset(bytearray(SLOT))
    octets = pdata(pdv(1, 0, noise(8_000)))
    reader.feed(octets, 0, len(octets))
    near, far = socket.socketpair()
    with near:
        near.setblocking(False)
        window = ScatterWindow(reader)
        assert window.lay_out()
        assert window.receive(near.fileno()) is None
        far.close()
        assert window.receive(near.fileno()) == 0
    closed, other = os.pipe()
    os.close(closed)
    os.close(other)
    with pytest.raises(OSError, match="descriptor"):
        window.receive(closed)


def test_there_is_no_window_where_it_does_not_pay() -> None:
    reader = reader_in_dataset(bytearray(SLOT))
    window = ScatterWindow(reader)
    assert not window.lay_out()  # nothing is known of the fragments
    with pytest.raises(ValueError, match="beyond the scatter window"):
        window.advance(1)
    octets = pdata(pdv(1, 0, noise(8_000)))
    reader.feed(octets, 0, len(octets))
    assert window.lay_out()
    with pytest.raises(ValueError, match="beyond the scatter window"):
        window.advance(window.size + 1)
    assert window.advance(0) == (NEED_DATA, b"")
    with pytest.raises(ValueError, match="not laid out"):
        window.receive(0)
    reader.feed(octets[:3], 0, 3)
    assert not window.lay_out()  # in the middle of a head


def reader_in_dataset(sink: bytearray) -> PduReader:
    """A reader that has read a command set, with this buffer for the dataset."""
    reader = PduReader(0)
    reader.set_contexts((1,))
    octets = pdata(pdv(1, COMMAND_BIT | LAST, b"command"))
    reader.feed(octets, 0, len(octets))
    reader.expect_dataset(True)
    reader.attach(sink)
    return reader
