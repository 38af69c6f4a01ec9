"""A doorbell that rings: the lanes take what is theirs, the general way the rest, and nobody sleeps over a
record."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from router.handoff.channel import RING_BYTES_MIN, Channel, ChannelEnd
from router.handoff.ticket import Ticket, decode_record
from router.wire.codec import CODEC_NAME, EntryLane, ReceiptBell
from tests.support.handoff import Pair

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there are no lanes")


class Inlet:
    """Store lanes that take every receipt but those that begin with an x."""

    def __init__(self, end: ChannelEnd) -> None:
        self.end = end
        self.taken: list[bytes] = []
        self.flushed = 0
        self.flush_error: Exception | None = None
        self.late: list[bytes] = []  # come while responses are sent

    def take(self, worker: int) -> bytes | None:
        assert worker == 3
        ring = self.end.rings()[1]
        while (record := ring.pop()) is not None:
            if record.startswith(b"x"):
                return record
            self.taken.append(record)
        return None

    def flush(self) -> None:
        self.flushed += 1
        for record in self.late:
            self.send(record)
        self.late = []
        if self.flush_error is not None:
            raise self.flush_error

    def send(self, record: bytes) -> None:
        raise NotImplementedError


class Bell:
    """An acceptor's end of a channel with a bell, and the worker's that rings it."""

    def __init__(self) -> None:
        self.channel = Channel.create(RING_BYTES_MIN)
        self.near, self.far = self.channel.acceptor_end(), self.channel.worker_end()
        self.inlet = Inlet(self.near)
        self.inlet.send = self.far.send  # type: ignore[assignment, method-assign]
        self.link = SimpleNamespace(index=3, backlog=deque(), recount_position=0)
        self.waiting: deque[int] = deque()
        self.left: list[bytes | None] = []
        inlet: Any = self.inlet
        self.bell = ReceiptBell(
            *self.near.bell(), self.left.append, inlet, self.link, (deque[int](), self.waiting)
        )

    @property
    def is_asleep(self) -> bool:
        """Whether the next record rings."""
        self.near.clear()
        self.far.send(b"knock")
        try:
            return os.eventfd_read(self.near.fileno()) > 0
        except BlockingIOError:
            return False


@pytest.fixture
def one() -> Iterator[Bell]:
    bell = Bell()
    yield bell
    bell.channel.close()


def test_the_lanes_take_all_and_the_next_record_rings(one: Bell) -> None:
    for record in (b"1", b"2"):
        one.far.send(record)
    one.bell.rung()
    assert (one.inlet.taken, one.inlet.flushed, one.left) == ([b"1", b"2"], 1, [])
    assert one.is_asleep


def test_what_comes_while_responses_are_sent_is_taken_too(one: Bell) -> None:
    one.inlet.late = [b"2"]
    one.far.send(b"1")
    one.bell.rung()
    assert (one.inlet.taken, one.left) == ([b"1", b"2"], [])
    assert one.is_asleep


def test_a_record_that_is_no_lanes_goes_on_with_all_behind_it(one: Bell) -> None:
    for record in (b"1", b"x2", b"3"):
        one.far.send(record)
    one.bell.rung()
    assert (one.inlet.taken, one.left) == ([b"1"], [b"x2"])
    assert one.near.receive_many() == [b"3"]


def test_what_is_not_the_lanes_to_see_to_is_left_whole(one: Bell) -> None:
    one.far.send(b"1")
    for hold, release in (
        (partial(one.link.backlog.append, 1), one.link.backlog.clear),
        (partial(one.waiting.append, 1), one.waiting.clear),
        (
            partial(setattr, one.link, "recount_position", None),
            partial(setattr, one.link, "recount_position", 0),
        ),
    ):
        hold()
        one.bell.rung()
        assert (one.inlet.taken, one.left) == ([], [None])
        release()
        one.left.clear()
    one.bell.rung()
    assert (one.inlet.taken, one.left) == ([b"1"], [])


def test_a_peer_that_waits_for_room_is_told(one: Bell) -> None:
    while one.far.send(b"1" * 1000):
        pass
    one.bell.rung()
    assert one.left == [None]
    assert set(one.inlet.taken) == {b"1" * 1000}


def test_an_error_is_raised_when_the_general_way_has_seen_to_the_rest(one: Bell) -> None:
    one.inlet.flush_error = RuntimeError("not sent")
    one.far.send(b"1")
    with pytest.raises(RuntimeError, match="not sent"):
        one.bell.rung()
    assert one.left == [None]


def test_a_peer_that_never_ends_does_not_keep_the_loop(one: Bell) -> None:
    def again() -> None:
        one.far.send(b"again")

    inlet: Any = SimpleNamespace(take=one.inlet.take, flush=again)
    bell = ReceiptBell(*one.near.bell(), one.left.append, inlet, one.link, ())
    one.far.send(b"1")
    bell.rung()
    assert one.left == [None]
    assert 1 < len(one.inlet.taken) < 100


# A worker's


class Tickets:
    """An intake with a bell, before a lane that takes every ticket but those of UID 9."""

    def __init__(self) -> None:
        self.pair = Pair(slots=8)
        self.intake = self.pair.start_worker(0, tickets_max=4)
        self.pair.dispatcher.drain(0)
        self.left: list[bytes | None] = []
        self.syncs = 0
        spool: Any = SimpleNamespace(large_from_bytes=1 << 20)
        nothing: Any = None
        self.entries = EntryLane(spool, nothing, nothing, nothing, nothing, nothing)
        self.writes = False
        self.taken = 0
        bell = self.intake.open_bell(self.left.append, self.sync)
        assert bell is not None
        self.bell = bell
        lane: Any = self
        bell.use(lane, self.entries)

    def take(self, port: Any) -> bytes | None:
        """As a forwarder's."""
        ring = self.intake._end.rings()[1]
        while (record := ring.pop()) is not None:
            ticket = decode_record(record)
            if isinstance(ticket, Ticket) and ticket.sop_instance == "1.2.9":
                return record
            self.taken += isinstance(ticket, Ticket)
            self.entries.has_written = self.writes
        return None

    def submit(self, uid: str) -> None:
        assert self.pair.dispatcher.submit(self.pair.ticket(uid=uid), lambda _: None)

    def sync(self) -> None:
        self.syncs += 1


@pytest.fixture
def tickets() -> Iterator[Tickets]:
    one = Tickets()
    one.bell.rung()
    one.left.clear()
    yield one
    one.pair.close()


def test_tickets_go_to_the_lane_and_what_it_wrote_is_synced_once(tickets: Tickets) -> None:
    tickets.submit("1.2.1")
    tickets.bell.rung()
    assert (tickets.taken, tickets.syncs, tickets.left) == (1, 0, [])
    tickets.writes = True
    tickets.submit("1.2.2")
    tickets.submit("1.2.3")
    tickets.bell.rung()
    tickets.bell.rung()
    assert (tickets.taken, tickets.syncs, tickets.left) == (3, 1, [])


def test_a_ticket_that_the_lane_leaves_goes_on_by_the_general_way(tickets: Tickets) -> None:
    for uid in ("1.2.1", "1.2.9", "1.2.2"):
        tickets.submit(uid)
    tickets.bell.rung()
    (record,) = tickets.left
    assert record is not None
    taken = tickets.intake.take_record(record)
    assert taken is not None
    assert (tickets.taken, taken.sop_instance) == (1, "1.2.9")
    assert [ticket.sop_instance for ticket in tickets.intake.receive()] == ["1.2.2"]


def test_without_a_lane_everything_takes_the_general_way(tickets: Tickets) -> None:
    tickets.bell.use(None, None)
    tickets.submit("1.2.1")
    tickets.bell.rung()
    assert tickets.left == [None]
    assert len(tickets.intake.receive()) == 1


def test_no_more_is_taken_than_may_be_held(tickets: Tickets) -> None:
    for uid in range(5):
        tickets.submit(f"1.2.{uid}")
    assert len(tickets.intake.receive()) == 4
    tickets.bell.rung()
    assert (tickets.taken, tickets.left) == (0, [None])
