"""What a peer that dribbles comes to, on a clock and a connection that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from router.drivers import channel as module
from router.drivers.channel import Channel, ConnectionTimeouts
from router.drivers.pace import PROGRESS_MIN_BYTES
from router.errors import AssociationAborted, DeadlineExceeded
from router.protocol.association import Association, Limits
from router.protocol.states import State
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.standard.dimse_fields import C_STORE_RQ
from router.standard.uids import CT_IMAGE_STORAGE
from router.wire.pdus import encode_pdu
from tests.support.driver_pair import ECHO_CONTEXT, RQ, STORE_CONTEXT, accept_all
from tests.support.raw_peer import command, echo_rq, store

IDLE_S = 60.0
DIMSE_S = 30.0


class Line:
    """A connection: `inbound` is what arrives, `room` how many bytes it takes, `taken` what it took."""

    can_scatter = False
    is_costly = False
    has_hidden_bytes = False

    def __init__(self) -> None:
        self.sock = self
        self.inbound = bytearray()
        self.room = 1 << 20
        self.taken = b""
        self.is_closed = False

    def receive_into(self, buffer: memoryview) -> int | None:
        count = min(len(buffer), len(self.inbound))
        buffer[:count] = self.inbound[:count]
        del self.inbound[:count]
        return count or None

    def send(self, buffers: Any) -> int:
        octets = b"".join(buffers)[: self.room]
        self.room -= len(octets)
        self.taken += octets
        return len(octets)

    def close(self) -> None:
        self.is_closed = True


class Scene:
    """One channel, its line and its clock."""

    def __init__(self, role: Role, timeouts: ConnectionTimeouts, clock: list[float]) -> None:
        self.clock = clock
        self.line = Line()
        self.association = Association(role, Limits(pdu_max_bytes=16382))
        self.answer = Deferred()
        services = {
            **RESPONDERS_OF_REFUSAL,
            C_STORE_RQ: lambda a, m: c_store.respond(a, m, lambda _: self.answer),
        }
        self.channel = Channel(self.association, services, self.line, timeouts)  # type: ignore[arg-type]

    def hear(self, octets: bytes) -> None:
        self.line.inbound += octets
        self.move(0.0)

    def move(self, seconds: float) -> None:
        """Let time pass, and do what a driver does then."""
        self.clock[0] += seconds
        channel = self.channel
        channel.conversation.now = self.clock[0]
        channel._receive()
        channel.advance_owned()
        if self.clock[0] >= channel._next_timer():
            channel._expire(self.clock[0])
        channel.advance_owned()

    def is_over(self) -> bool:
        return self.association.state in (State.STA1, State.STA13)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def scp(clock: list[float]) -> Scene:
    scene = Scene(Role.ACCEPTOR, ConnectionTimeouts(30.0, IDLE_S), clock)

    def serve() -> Iterator[Any]:
        assert (yield from establish.respond(scene.association, accept_all))
        yield from release.respond(scene.association)

    scene.channel.conversation.start(serve())  # type: ignore[arg-type]
    scene.association.transport_opened()
    scene.hear(encode_pdu(RQ))
    scene.line.taken = b""
    return scene


@pytest.fixture
def scu(clock: list[float]) -> Scene:
    scene = Scene(Role.REQUESTOR, ConnectionTimeouts(30.0, IDLE_S), clock)
    scene.channel.conversation.start(establish.request(scene.association, RQ, 10.0))
    scene.association.transport_opened()
    scene.move(0.0)
    answer = accept_all(RQ)
    scene.hear(encode_pdu(answer.ac))
    scene.channel.conversation.start(release.respond(scene.association))
    return scene


def test_single_bytes_of_a_message_are_no_progress(scp: Scene) -> None:
    octets = store(payload=bytes(2000))
    scp.hear(octets[:200])
    for position in range(200, 270):
        scp.hear(octets[position : position + 1])
        scp.move(1.0)
        if scp.is_over():
            break
    assert position == 200 + IDLE_S - 1
    assert scp.line.taken.startswith(b"\x07\0\0\0\0\4\0\0\2\0")
    assert scp.channel.conversation.end is not None
    assert "hardly a byte for 60 s in the middle of a PDU or message" in str(scp.channel.conversation.end)


@pytest.mark.parametrize(
    "octets", [b"\x04\0\0\0\1\0\0\0\0\xf0\1\3", b"\1\0\0\3\xff\0" + bytes(100), b"\5\0\0\0\0\4\0\0\0"]
)
def test_single_bytes_of_any_pdu_are_no_progress(scp: Scene, octets: bytes) -> None:
    began, octets = scp.clock[0], octets + bytes(200)
    for position in range(20):
        if scp.is_over():
            break
        scp.hear(octets[position : position + 1])
        if octets[0] == 5 and position == 8:
            octets = octets[:9]  # all but the last of its octets
        scp.move(10.0)
    assert scp.clock[0] == began + IDLE_S


def test_a_slow_message_that_moves_on_may_take_as_long_as_it_likes(scp: Scene) -> None:
    octets = store(payload=bytes(20 * PROGRESS_MIN_BYTES))
    for start in range(0, len(octets), PROGRESS_MIN_BYTES):
        assert not scp.is_over()
        scp.hear(octets[start : start + PROGRESS_MIN_BYTES])
        scp.move(IDLE_S - 1)
    assert not scp.is_over()
    scp.answer.settle(Reply(0))
    scp.move(0.0)
    assert scp.line.taken


def test_each_message_has_its_own_time(scp: Scene) -> None:
    half = command(ECHO_CONTEXT, echo_rq(1))
    for _ in range(10):
        scp.hear(half[:20])
        scp.move(IDLE_S - 1)
        scp.hear(half[20:])
        assert not scp.is_over()


def test_nothing_is_expected_of_a_peer_that_is_not_read(scp: Scene) -> None:
    scp.hear(store(1) + store(2, payload=bytes(5000)))
    assert scp.association.blocked
    for _ in range(10):
        scp.move(IDLE_S)
    assert not scp.is_over()


def test_single_bytes_taken_are_no_progress(scp: Scene) -> None:
    scp.line.room = 0
    scp.hear(command(ECHO_CONTEXT, echo_rq(1)))
    began = scp.clock[0]
    while not scp.is_over() and scp.clock[0] < began + 2 * IDLE_S:
        scp.line.room = 1
        scp.move(1.0)
    assert scp.clock[0] == began + IDLE_S
    assert scp.line.is_closed


def echo_of(scene: Scene) -> Any:
    task = scene.channel.conversation.start(
        c_echo.request(scene.association, ECHO_CONTEXT, 1, DIMSE_S), message_id=1
    )
    scene.move(0.0)
    return task


def test_a_response_that_dribbles_is_late(scu: Scene) -> None:
    task = echo_of(scu)
    answer = command(ECHO_CONTEXT, {**echo_rq(1), 0x0100: 0x8030, 0x0120: 1, 0x0900: 0})
    for position in range(len(answer) - 1):
        scu.hear(answer[position : position + 1])
        scu.move(1.0)
        if task.done:
            break
    assert isinstance(task.error, DeadlineExceeded)
    assert position < 2 * DIMSE_S


def test_a_request_that_is_hardly_taken_is_late(scu: Scene) -> None:
    instance = c_store.Instance(CT_IMAGE_STORAGE, "1.2.3", (bytes(100_000),))
    scu.line.room = 0
    task = scu.channel.conversation.start(
        c_store.request(scu.association, STORE_CONTEXT, 1, instance, DIMSE_S), message_id=1
    )
    began = scu.clock[0]
    while not task.done and scu.clock[0] < began + 3 * DIMSE_S:
        scu.line.room = 1
        scu.move(1.0)
    assert isinstance(task.error, DeadlineExceeded)
    assert scu.clock[0] < began + 2 * DIMSE_S


def test_a_request_that_leaves_slowly_is_not(scu: Scene) -> None:
    instance = c_store.Instance(CT_IMAGE_STORAGE, "1.2.3", (bytes(40 * PROGRESS_MIN_BYTES),))
    scu.line.room = 0
    task = scu.channel.conversation.start(
        c_store.request(scu.association, STORE_CONTEXT, 1, instance, DIMSE_S), message_id=1
    )
    while scu.association.has_output or scu.channel._unsent:
        scu.line.room = PROGRESS_MIN_BYTES
        scu.move(DIMSE_S - 1)
        assert not task.done
    scu.move(DIMSE_S - 1)
    assert not task.done
    scu.move(2.0)
    assert isinstance(task.error, DeadlineExceeded | AssociationAborted)
