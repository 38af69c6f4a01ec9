"""Whatever part of a stream is received in its place, what comes of it is what feeding alone comes to."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _codec.framing import (
    COMMAND,
    DATASET_END,
    NEED_DATA,
    PDU,
    SINK_FULL,
    UNRECOGNISED,
    VIOLATION,
    PduReader,
)
from tests.codec.octets import COMMAND as COMMAND_BIT
from tests.codec.octets import LAST, pdata, pdu, pdv

SLOT = 300_000
DIRECT_MIN = 4096
PDU_MAX = 200_000


class Receipt:
    """A reader with sinks of SLOT bytes, fed as an event loop does; `events` is what it reported."""

    def __init__(self, uses_windows: bool, seed: int, biggest: int) -> None:
        self.reader = PduReader(PDU_MAX)
        self.reader.set_contexts((1, 3))
        self.events: list[object] = []
        self.sinks: list[bytearray] = []
        self.windows = 0
        self._uses_windows = uses_windows
        self._random = random.Random(seed)
        self._biggest = biggest
        self._dataset = bytearray()

    def take(self, event: int) -> bool:
        """Act on an event as an association does; False after a violation."""
        reader = self.reader
        if event == COMMAND:
            self.events.append(("command", reader.command, reader.context_id))
            reader.expect_dataset(reader.command != b"no dataset")
        elif event == SINK_FULL:
            self._keep()
            self.sinks.append(bytearray(b"\xee" * SLOT))
            reader.attach(self.sinks[-1])
        elif event == DATASET_END:
            self._keep()
            reader.attach(None)
            self.events.append(("dataset", bytes(self._dataset)))
            self._dataset.clear()
        elif event == PDU:
            self.events.append(("pdu", reader.pdu_type, reader.pdu))
        elif event in (VIOLATION, UNRECOGNISED):
            offset = reader.violation_offset
            self.events.append((event, reader.violation_reason, reader.violation_text, offset))
            return False
        return True

    def _keep(self) -> None:
        if self.sinks:
            self._dataset += self.sinks[-1][: self.reader.filled]
            self.sinks.clear()

    def feed(self, data: bytes) -> bool:
        at = 0
        while at < len(data):
            event = self.reader.feed(data, at, len(data))
            at = self.reader.consumed
            if event != NEED_DATA and not self.take(event):
                return False
        return True

    def run(self, stream: bytes) -> None:
        """Receive a stream piece by piece, into whatever window there is."""
        at = 0
        reader = self.reader
        while at < len(stream):
            size = self._random.choice((1, 3, 7, 11, 12, 13, 100, self._biggest, self._biggest))
            piece = stream[at : at + size]
            window = reader.direct_window() if self._uses_windows else None
            if window is not None:
                self.windows += 1
                piece = piece[: len(window)]
                window[: len(piece)] = piece
                event = reader.advance(len(piece))
                goes_on = event == NEED_DATA or self.take(event)
            else:
                goes_on = self.feed(piece)
            at += len(piece)
            if not goes_on:
                return
        self.events.append(("mid message", reader.mid_message, reader.dataset_bytes))
        self._keep()
        self.events.append(("dataset so far", bytes(self._dataset)))


def outcomes(stream: bytes, seed: int, biggest: int) -> tuple[list[object], int]:
    """Receive a stream both ways; return the events, and how many windows there were."""
    plain, windows = Receipt(False, seed, 1 << 20), Receipt(True, seed, biggest)
    plain.run(stream)
    windows.run(stream)
    assert windows.events == plain.events
    return windows.events, windows.windows


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def announced(octets: bytes) -> bytes:
    return pdata(pdv(1, COMMAND_BIT | LAST, b"command")) + octets


def long_dataset(sizes: list[int]) -> bytes:
    """A dataset with one fragment in each P-DATA-TF."""
    last = len(sizes) - 1
    pdus = [pdata(pdv(1, LAST if n == last else 0, noise(size, n))) for n, size in enumerate(sizes)]
    return announced(b"".join(pdus))


SIZES = st.lists(st.sampled_from((0, 1, 11, 70_000, 65_524, 65_530, 65_536, 100_000)), min_size=1, max_size=6)
SEEDS = st.integers(0, 1 << 16)
BIGGEST = st.sampled_from((70_000, 65_548, 250_000, 1 << 20))

ODD_ENDS = (
    b"",
    pdu(7, b"\0\0\2\1"),
    pdu(5, bytes(4)),
    pdata(),
    pdata(pdv(1, 0, b"")),
    pdata(pdv(1, 0, b""), pdv(1, LAST, b"tail")),
    pdata(pdv(1, 0, b"a"), pdv(1, 0, noise(66_000)), pdv(1, LAST, b"z")),
    pdata(pdv(1, LAST, b"")) + pdata(pdv(3, COMMAND_BIT | LAST, b"no dataset")),
    pdata(pdv(3, 0, noise(66_000))),
    pdata(pdv(5, 0, b"x")),
    pdata(pdv(1, COMMAND_BIT | LAST, b"command in between")),
    b"\x04\0\0\0\0\x03abc",
    b"\x04\0\0\0\x20\0\0\0\x30\0\1\0" + bytes(8192),
    b"\x04\0\0\xff\xff\xff\0\0\0\x10\1\0",
    b"\x04\0\0\0\0\x10\0\0\0\1\1\0" + bytes(10),
    b"\x09\0\0\0\0\0",
    b"\x01\0\0\0\0\1x",
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(SIZES, st.sampled_from(ODD_ENDS), SIZES, SEEDS, BIGGEST)
def test_windows_change_nothing(
    before: list[int], odd: bytes, after: list[int], seed: int, biggest: int
) -> None:
    """What odd end follows long fragments of a dataset that is not over, and another message behind it."""
    stream = long_dataset(before)
    head = stream[:-1]
    outcomes(stream + long_dataset(after), seed, biggest)
    open_dataset = long_dataset([*before, 1])[: len(stream)].replace(b"", b"")
    outcomes(open_dataset + odd + long_dataset(after), seed, biggest)
    outcomes(head, seed, biggest)


@pytest.mark.parametrize("odd", ODD_ENDS)
@pytest.mark.parametrize("biggest", [70_000, 250_000])
def test_every_odd_end_comes_to_the_same_behind_long_fragments(odd: bytes, biggest: int) -> None:
    begun = announced(pdata(pdv(1, 0, noise(66_000))) * 2)
    windows = sum(outcomes(begun + odd + long_dataset([5]), seed, biggest)[1] for seed in range(12))
    assert windows > 3
