"""Nothing is lost and nobody sleeps through: in one process step by step, between two at full speed."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from functools import partial

import pytest

from router.errors import LimitReached
from router.handoff.channel import RING_BYTES_MIN, Channel, ChannelEnd, Outbox
from router.handoff.ticket import RECORD_BYTES_MAX
from router.wire.codec import CODEC_NAME
from tests.support.forked import Forked, wait_for

RECORDS = 100_000
ROUNDS = 3_000
two_processes = pytest.mark.skipif(
    CODEC_NAME == "reference", reason="the twin's ring is for one process at a time"
)
BIG = b"x" * RECORD_BYTES_MAX


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel.create(RING_BYTES_MIN)
    yield channel
    channel.close()


@pytest.fixture
def ends(channel: Channel) -> tuple[ChannelEnd, ChannelEnd]:
    acceptor, worker = channel.acceptor_end(), channel.worker_end()
    acceptor.clear()
    worker.clear()
    return acceptor, worker


def is_ringing(end: ChannelEnd) -> bool:
    return bool(select.select([end.fileno()], [], [], 0)[0])


def fill(end: ChannelEnd) -> int:
    count = 0
    while end.send(BIG):
        count += 1
    return count


def test_tickets_go_down_and_receipts_come_up(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    acceptor, worker = ends
    assert acceptor.send(b"ticket 1")
    assert acceptor.send(b"ticket 2")
    assert worker.send(b"receipt")
    assert worker.receive_many() == [b"ticket 1", b"ticket 2"]
    assert worker.receive_many() == []
    assert acceptor.receive_many() == [b"receipt"]


def test_a_doorbell_rings_once_and_only_for_a_sleeper(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    acceptor, worker = ends
    acceptor.send(b"1")
    assert not is_ringing(worker)
    assert not worker.sleep()
    worker.receive_many()
    assert worker.sleep()
    acceptor.send(b"2")
    assert is_ringing(worker)
    worker.clear()
    acceptor.send(b"3")
    assert not is_ringing(worker)
    assert worker.receive_many() == [b"2", b"3"]


def test_a_doorbell_that_cannot_be_rung_loses_no_record(
    ends: tuple[ChannelEnd, ChannelEnd], monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptor, worker = ends
    assert worker.sleep()

    with monkeypatch.context() as patch:
        patch.setattr("router.handoff.channel.ring_bell", lambda _: None)
        assert acceptor.send(b"1")
        assert acceptor.send(b"2")
    assert not is_ringing(worker)
    assert worker.receive_many() == [b"1", b"2"]


def test_clearing_a_silent_doorbell_does_nothing(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    ends[0].clear()
    assert not is_ringing(ends[0])


def test_a_full_ring_refuses_and_tells_when_there_is_room(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    acceptor, worker = ends
    count = fill(acceptor)
    assert count >= 2
    assert not is_ringing(acceptor)
    assert len(worker.receive_many(1)) == 1
    assert is_ringing(acceptor)
    assert acceptor.send(BIG)
    assert len(worker.receive_many()) == count


def test_room_made_unseen_is_told_before_sleep(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    acceptor, worker = ends
    acceptor.send(BIG)
    worker.receive_many()
    fill(acceptor)
    worker.start_over()  # makes room without looking whether anybody waits for it
    assert not is_ringing(acceptor)
    assert worker.sleep()
    assert is_ringing(acceptor)


def test_opening_an_end_rings_for_what_a_predecessor_may_have_left(channel: Channel) -> None:
    worker = channel.worker_end()
    worker.clear()
    acceptor = channel.acceptor_end()
    assert is_ringing(worker)
    assert acceptor.receive_many() == []


def test_a_successor_finds_what_waits_and_where_to_go_on(channel: Channel) -> None:
    first = channel.acceptor_end()
    first.send(b"from the first")
    position = first.send_position
    del first
    second = Channel.attach(tuple(os.dup(fd) for fd in channel.fds()))  # type: ignore[arg-type]
    end = second.acceptor_end()
    assert end.send_position == position
    end.send(b"from the second")
    assert channel.worker_end().receive_many() == [b"from the first", b"from the second"]
    del end
    second.close()


def test_starting_over_drops_what_waits_and_names_the_position(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    acceptor, worker = ends
    acceptor.send(b"lost")
    position = acceptor.send_position
    assert worker.start_over() == (1, position)
    acceptor.send(b"kept")
    assert worker.receive_many() == [b"kept"]
    assert worker.start_over()[0] == 2


@pytest.mark.parametrize("ring_bytes", [0, RING_BYTES_MIN - 64, RING_BYTES_MIN + 1])
def test_ring_sizes_that_do_not_work_are_refused(ring_bytes: int) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Channel.create(ring_bytes)


def test_other_memory_is_no_channel(channel: Channel) -> None:
    fd = os.memfd_create("other")
    os.ftruncate(fd, 4096)
    with pytest.raises(ValueError, match="not a channel"):
        Channel.attach((fd, *channel.fds()[1:]))
    os.pwrite(fd, os.pread(channel.fds()[0], 64, 0), 0)
    with pytest.raises(ValueError, match="has 4096 bytes"):
        Channel.attach((fd, *channel.fds()[1:]))
    os.close(fd)


def test_the_memory_cannot_change_its_size(channel: Channel) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(channel.fds()[0], 0)


def test_an_outbox_keeps_the_order_over_a_full_ring(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    acceptor, worker = ends
    outbox = Outbox(worker, records_max=10)
    count = fill(worker)
    outbox.send(BIG)
    for number in range(5):
        outbox.send(b"%d" % number)  # small enough to slip into the ring past the one that waits
    assert len(outbox) == 6
    received = acceptor.receive_many()
    assert outbox.flush()
    received += acceptor.receive_many()
    assert received == [BIG] * (count + 1) + [b"%d" % number for number in range(5)]


def test_an_outbox_is_bounded(ends: tuple[ChannelEnd, ChannelEnd]) -> None:
    outbox = Outbox(ends[1], records_max=2)
    fill(ends[1])
    outbox.send(BIG)
    outbox.send(BIG)
    with pytest.raises(LimitReached, match="outbox records"):
        outbox.send(BIG)
    assert not outbox.flush()


def receive_waiting(end: ChannelEnd, outbox: Outbox) -> list[bytes]:
    """Wait for records as the processes do: drain, announce, look again, sleep."""
    while True:
        records = end.receive_many()
        outbox.flush()
        if records:
            return records
        if end.sleep():
            outbox.flush()
            wait_for(end.fileno())
            end.clear()


def flush_waiting(end: ChannelEnd, outbox: Outbox) -> None:
    """Wait for room as the processes do: try, announce, try again, sleep."""
    while not outbox.flush():
        if end.sleep() and not outbox.flush():
            wait_for(end.fileno())
        end.clear()


def send_numbers(end: ChannelEnd, first: int, last: int) -> None:
    outbox = Outbox(end, records_max=last - first)
    for number in range(first, last):
        outbox.send(b"%d" % number)
    flush_waiting(end, outbox)


def send_part(channel: Channel, first: int, last: int) -> None:
    send_numbers(channel.acceptor_end(), first, last)


@two_processes
def test_two_processes_exchange_every_record_both_ways(channel: Channel) -> None:
    def echo() -> None:
        end = channel.worker_end()
        outbox, count = Outbox(end, records_max=RECORDS), 0
        while count < RECORDS:
            records = receive_waiting(end, outbox)
            count += len(records)
            for record in records:
                outbox.send(b"-" + record)
        flush_waiting(end, outbox)

    child = Forked(echo)
    end = channel.acceptor_end()
    outbox = Outbox(end, records_max=RECORDS)
    received: list[bytes] = []
    for number in range(RECORDS):
        outbox.send(b"%d" % number)
        if number % 97 == 0:
            received += end.receive_many()
            outbox.flush()
    while len(received) < RECORDS:
        received += receive_waiting(end, outbox)
    assert received == [b"-%d" % number for number in range(RECORDS)]
    assert child.join() == 0


@two_processes
def test_neither_side_sleeps_through_when_both_sleep_every_time(channel: Channel) -> None:
    def echo() -> None:
        end = channel.worker_end()
        outbox = Outbox(end, records_max=1)
        for _ in range(ROUNDS):
            (record,) = receive_waiting(end, outbox)
            outbox.send(record)

    child = Forked(echo)
    end = channel.acceptor_end()
    outbox = Outbox(end, records_max=1)
    for number in range(ROUNDS):
        outbox.send(b"%d" % number)
        assert receive_waiting(end, outbox) == [b"%d" % number]
    assert child.join() == 0


@two_processes
def test_a_producer_may_be_replaced_in_the_middle(channel: Channel) -> None:
    total, parts = 20_000, 8
    worker = channel.worker_end()
    outbox = Outbox(worker, 1)
    received: list[bytes] = []
    for part in range(parts):
        first = part * total // parts
        child = Forked(partial(send_part, channel, first, first + total // parts))
        while len(received) < first + total // parts:
            received += receive_waiting(worker, outbox)
        assert child.join() == 0
    assert received == [b"%d" % number for number in range(total)]


@two_processes
def test_a_killed_consumer_leaves_the_channel_to_the_next(channel: Channel) -> None:
    def consume_for_ever() -> None:
        end = channel.worker_end()
        outbox = Outbox(end, 16)
        while True:
            outbox.send(receive_waiting(end, outbox)[-1])

    end = channel.acceptor_end()
    outbox = Outbox(end, records_max=RECORDS)
    sent = 0
    for _ in range(10):
        child = Forked(consume_for_ever)
        seen = -1
        target = sent + 500
        while sent < target:
            outbox.send(b"%d" % sent)
            sent += 1
        while seen < target - 1:  # woken through every death so far
            seen = max(int(record) for record in receive_waiting(end, outbox))
        assert child.kill() == -9
