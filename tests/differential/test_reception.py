"""A lane that is fed and one whose octets take the short cut from the socket: the same responses, tickets,
slots."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.wire import codec
from router.wire.codec import CODEC_NAME, Reception
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RQ,
    STORE_CONTEXT,
    abort_pdu,
    command,
    echo_rq,
    pdata,
    pdv,
    store_rq,
)
from tests.support.store_receiver import Receiver, usual

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")

SLOT_BYTES = 128 << 10  # scatter windows pay
SLOTS = 20
FIRST_BYTES = 32 << 10
STAGING_BYTES = 256 << 10


class Fed(Receiver):
    """An association whose octets are fed, as under back-pressure; its slots are large."""

    spill_bytes = 4 * SLOT_BYTES
    instance_max_bytes = 6 * SLOT_BYTES

    def __init__(self, window: int, folder: str) -> None:
        super().__init__(True, window, folder, slot_bytes=SLOT_BYTES)


class Connected(Fed):
    """An association as drivers/connection.py has it: its octets come from a socket."""

    def __init__(self, window: int, folder: str, reads_socket: bool) -> None:
        self.traffic = codec.Traffic()
        self.written = b""
        self.advances = 0
        self.is_held = self.is_over = False
        self.general = 0
        self.staging = memoryview(bytearray(STAGING_BYTES))
        self.reception: Any = Reception(self, self.traffic, self.staging, self.staging[:FIRST_BYTES])
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self._fd = self.near.fileno() if reads_socket else -1
        super().__init__(window, folder)
        self.association.use_reception(self.reception, self, None, self._fd)
        self.general = 0

    # What a reception calls

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.staging[:FIRST_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        self.traffic.received += nbytes
        self.take_event(codec.NEED_DATA, self.staging, 0, nbytes)

    def take_event(self, event: int, data: Any, start: int, end: int) -> None:
        if event == codec.NEED_DATA:
            consumed = self.association.receive(data, start, end)
        else:
            consumed = self.association.take_event(event, data, start, end)
        self.inbound += bytes(data[consumed:end])
        self.go_on()

    def go_on(self) -> None:
        self.general += 1
        self.advance()

    def advance(self) -> None:
        self.advances += 1
        super().advance()

    def get_write_buffer_size(self) -> int:
        """As the transport's."""
        return len(self.written)

    def is_closing(self) -> bool:
        """As the transport's."""
        return self.is_over

    def write(self, octets: bytes) -> None:
        """As the transport's: what did not go at once."""
        self.written += octets

    # What the event loop does

    @property
    def is_paused(self) -> bool:
        """Whether nothing may be read."""
        return self.association.blocked or bool(self.inbound)

    def feed(self, octets: bytes, split: int) -> None:
        """Let octets come in, so many at a time."""
        pieces = [octets[start : start + split] for start in range(0, len(octets), split)]
        while pieces and not self.is_paused:
            piece = pieces.pop(0)
            while piece:
                piece = piece[self.far.send(piece) :]
                self.read_what_is_there()
        if pieces:
            self.inbound += b"".join(pieces)
        self.advance()

    def read_what_is_there(self) -> None:
        """Read until nothing comes, as libuv does; what comes while reading is paused is kept."""
        while True:
            try:
                if self.is_paused:
                    self.inbound += self.near.recv(1 << 20)
                    continue
                count = self.near.recv_into(self.reception.get_buffer(-1))
            except BlockingIOError:
                return
            self.reception.buffer_updated(count)

    def close(self) -> None:
        super().close()
        self.reception.close()
        self.near.close()
        self.far.close()


Steps = list[tuple[Any, ...]]


def played(receiver: Receiver, steps: Steps) -> dict[str, Any]:
    """Play a script and return what it comes to."""
    try:
        for name, *arguments in steps:
            getattr(receiver, name)(*arguments)
        receiver.settle()
        receiver.close()
        receiver.settle()
        return receiver.result()
    finally:
        receiver.inlet = receiver.lane = None  # type: ignore[assignment]
        receiver.association.use_lane = None  # type: ignore[method-assign, assignment]
        receiver.pair.close()


def check(window: int, steps: Steps) -> Connected:
    """Play a script with a fed lane, and with receptions that read the socket and that do not."""
    receivers: list[Callable[[str], Receiver]] = [
        lambda folder: Fed(window, folder),
        lambda folder: Connected(window, folder, reads_socket=False),
        lambda folder: Connected(window, folder, reads_socket=True),
    ]
    results = []
    for make in receivers:
        with tempfile.TemporaryDirectory() as folder:
            receiver = make(folder)
            results.append(played(receiver, steps))
    assert results[1] == results[0]
    assert results[2] == results[0]
    assert isinstance(receiver, Connected)
    return receiver


SIZES = st.sampled_from((2, 100, 4000, 33_000, 100_000, SLOT_BYTES, SLOT_BYTES + 1, 300_000))
FRAGMENTS = st.sampled_from((4000, 16_370, 16_370, 60_000))
SPLITS = st.sampled_from((1 << 20, 1 << 20, 100_000, 20_000, 997))
stores = st.builds(
    # No PDU that is too long: what was answered before it depends on how much of it was read with it.
    lambda number, size, fragment, per_pdu: usual(
        number, f"1.2.{number}", size, fragment=fragment, per_pdu=per_pdu if fragment < 30_000 else 1
    ),
    st.integers(1, 5),
    SIZES,
    FRAGMENTS,
    st.sampled_from((1, 1, 1, 2)),
)
echoes = st.integers(1, 5).map(lambda number: command(ECHO_CONTEXT, echo_rq(number)))
feeds = st.tuples(
    st.just("feed"), st.lists(stores | stores | echoes, min_size=1, max_size=5).map(b"".join), SPLITS
)
works = st.tuples(st.just("work"), st.sampled_from((0, 0, 0xA700)), st.booleans(), st.integers(0, 4))
LONG = usual(9, size=300_000, fragment=16_370)
ENDS: list[Steps] = [
    [],
    [("feed", RELEASE_RQ, 1 << 20)],
    [("feed", LONG + RELEASE_RQ, 1 << 20)],
    [("feed", LONG[:-5000], 1 << 20)],
    [("feed", LONG[:-5000], 70_000), ("feed", abort_pdu(0, 0), 7)],
    [("feed", LONG[: 4 * 16_382] + RELEASE_RQ, 1 << 20)],
    [("feed", LONG[: 4 * 16_382] + command(STORE_CONTEXT, store_rq()), 1 << 20)],
    [("feed", LONG[: 4 * 16_382] + pdata(pdv(5, 2, b"x")), 1 << 20)],
    [("feed", LONG + b"\x09\0\0\0\0\0", 1 << 20), ("feed", LONG, 1 << 20)],
]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 4), st.lists(feeds | feeds | works, min_size=1, max_size=5), st.sampled_from(ENDS))
def test_whatever_comes_it_comes_to_what_feeding_comes_to(window: int, steps: Steps, end: Steps) -> None:
    check(window, [*steps, *end])


@pytest.mark.parametrize("end", ENDS)
def test_every_end_comes_to_the_same(end: Steps) -> None:
    check(2, [("feed", usual(1, size=100) + LONG, 1 << 20), *end])


def test_a_long_dataset_is_received_past_the_event_loop() -> None:
    reads: list[int] = []

    class Counted(Connected):
        def read_what_is_there(self) -> None:
            before = self.traffic.received
            buffer = self.reception.get_buffer(-1)
            count = self.near.recv_into(buffer)
            self.reception.buffer_updated(count)
            reads.append(self.traffic.received - before)

    with tempfile.TemporaryDirectory() as folder:
        receiver = Counted(1, folder, reads_socket=True)
        octets = usual(1, size=300_000, fragment=16_370)
        reads.clear()
        receiver.feed(octets, 1 << 20)
        result = played(receiver, [("work",)])
    assert reads[0] > 4 * FIRST_BYTES
    assert sum(reads) == len(octets)
    assert [ticket[1] for ticket in result["tickets"]] == [bytes([1]) * 300_000]


def test_what_the_lane_takes_whole_passes_by_the_general_way() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(4, folder, reads_socket=True)
        for number in range(1, 5):
            octets = usual(number, f"1.2.{number}", size=50_000 * number)
            receiver.far.sendall(octets)
            receiver.read_what_is_there()
        assert receiver.general == 0
        assert receiver.lane is not None
        assert receiver.lane.instances == 4
        receiver.far.sendall(command(ECHO_CONTEXT, echo_rq(7)))
        receiver.read_what_is_there()
        assert receiver.general == 1
        played(receiver, [("work",)])


def test_output_that_waits_has_everything_received_told() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(4, folder, reads_socket=True)
        receiver.association.send_whole(b"waits")
        receiver.far.sendall(usual(1))
        receiver.read_what_is_there()
        assert receiver.general == 1
        assert receiver.out.endswith(b"waits")
        played(receiver, [("work",)])


def test_a_response_goes_to_the_socket_at_once_if_nothing_waits() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(1, folder, reads_socket=True)
        receiver.reception.send(b"response")
        assert receiver.far.recv(100) == b"response"
        assert receiver.traffic.sent == 8
        before = receiver.out
        receiver.association.send_whole(b"first")
        receiver.reception.send(b"second")
        receiver.advance()
        assert receiver.out == before + b"firstsecond"
        played(receiver, [])


def test_nothing_goes_past_what_waits_or_after_the_end() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(1, folder, reads_socket=True)
        assert not receiver.reception.has_unsent()
        receiver.written = b"waits"
        assert receiver.reception.has_unsent()
        receiver.written = b""
        receiver.is_over = True
        assert receiver.reception.has_unsent()
        receiver.is_over = False
        receiver.association.abort()
        receiver.advance()
        assert receiver.reception.has_unsent()
        receiver.reception.send(b"response")
        with pytest.raises(BlockingIOError):
            receiver.far.recv(1)
        played(receiver, [])
        assert receiver.reception.has_unsent()


def test_a_response_under_tls_goes_the_general_way() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(1, folder, reads_socket=False)
        receiver.reception.send(b"response")
        receiver.advance()
        assert receiver.out.endswith(b"response")
        played(receiver, [])


def test_what_the_socket_does_not_take_of_a_response_waits_in_the_transport() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(1, folder, reads_socket=True)
        octets = bytes(range(256)) * 8192
        receiver.reception.send(octets)
        assert receiver.traffic.sent == len(octets)
        taken = len(octets) - len(receiver.written)
        assert 0 < taken < len(octets)
        assert receiver.written == octets[taken:]
        receiver.far.close()
        receiver.written = b""
        receiver.reception.send(b"too late")
        assert receiver.written == b"too late"
        played(receiver, [])


def test_a_response_lets_go_on_what_was_held() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(1, folder, reads_socket=True)
        receiver.is_held = True
        before = receiver.advances
        receiver.reception.send(b"response")
        assert receiver.advances == before + 1
        played(receiver, [])


def test_the_end_of_the_stream_is_left_to_the_event_loop() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(1, folder, reads_socket=True)
        octets = usual(1, size=300_000, fragment=16_370)[:FIRST_BYTES]
        receiver.far.sendall(octets)
        receiver.far.shutdown(socket.SHUT_WR)
        receiver.reception.buffer_updated(receiver.near.recv_into(receiver.reception.get_buffer(-1)))
        assert receiver.near.recv(1) == b""
        assert receiver.association.is_receiving
        played(receiver, [])


def test_an_association_that_is_over_hears_nothing_more() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Connected(1, folder, reads_socket=True)
        receiver.association.abort()
        octets = usual(1, size=100_000) + bytes(100)
        receiver.far.sendall(octets)
        receiver.read_what_is_there()
        assert receiver.lane is not None
        assert receiver.lane.instances == 0
        played(receiver, [("work",)])
        assert receiver.tickets == []
