"""The lane of a group commit: what counts as durable, when the owner is woken, what a failed sync leaves."""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from _codec.commit_lane import CommitLane

DEADLINE_S = 60.0
REST_S = 0.01


@pytest.fixture
def bell() -> Iterator[int]:
    descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "segment", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def unsyncable() -> Iterator[int]:
    """A descriptor on which fdatasync fails with EINVAL."""
    descriptor = os.open("/dev/zero", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def rings(bell: int) -> int:
    """Return how often the bell has rung since this was asked last."""
    try:
        return os.eventfd_read(bell)
    except BlockingIOError:
        return 0


def test_nothing_is_durable_before_the_lane_is_served(bell, file):
    lane = CommitLane(bell)
    lane.request(file, 3, 7, 4096)
    assert (lane.synced_seq, lane.taken()[:3], rings(bell)) == (0, (0, 0, 0), 0)


def test_what_was_requested_is_durable_after_a_sync_and_the_owner_is_told(bell, file):
    lane = CommitLane(bell)
    lane.request(file, 3, 7, 4096)
    assert not lane.serve(REST_S)
    *place, groups, seconds = lane.taken()
    assert lane.last_s == seconds
    assert (lane.synced_seq, place, groups, rings(bell)) == (7, [3, 7, 4096], 1, 1)
    assert seconds > 0


def test_a_request_that_was_not_begun_is_replaced(bell, file):
    lane = CommitLane(bell)
    for seq in (5, 6, 7):
        lane.request(file, 1, seq, 100 * seq)
    lane.serve(REST_S)
    assert lane.taken()[:4] == (1, 7, 700, 1)
    assert rings(bell) == 1


def test_what_is_asked_for_twice_is_synced_once(bell, file):
    lane = CommitLane(bell)
    for _ in range(2):
        lane.request(file, 1, 5, 500)
        lane.serve(REST_S)
    assert (lane.taken()[3], rings(bell)) == (1, 1)


def test_what_is_requested_during_a_sync_waits_for_the_next(bell, file):
    seen: list[tuple[int, int]] = []

    def before() -> None:
        seen.append((lane.synced_seq, rings(bell)))
        if len(seen) == 1:
            lane.request(file, 1, 2, 200)

    lane = CommitLane(bell, before)
    lane.request(file, 1, 1, 100)
    lane.serve(REST_S)
    assert seen == [(0, 0), (1, 1)]
    assert lane.taken()[:4] == (1, 2, 200, 2)


def test_a_call_ends_serving_after_what_was_requested(bell, file):
    lane = CommitLane(bell)
    lane.call()
    lane.request(file, 1, 1, 100)
    assert lane.serve(DEADLINE_S)
    assert lane.synced_seq == 1
    assert not lane.serve(REST_S)


@pytest.fixture
def served(bell) -> Iterator[tuple[CommitLane, list[bool]]]:
    """A lane that a thread serves, and what serving it has returned."""
    lane, ends = CommitLane(bell), []
    thread = threading.Thread(target=lambda: ends.append(lane.serve(DEADLINE_S)))
    thread.start()
    yield lane, ends
    lane.call()
    thread.join(DEADLINE_S)
    assert ends == [True]


def test_a_call_wakes_a_sleeping_thread(served):
    lane, _ = served
    lane.call()


def test_a_request_wakes_a_sleeping_thread(bell, file, served):
    lane, ends = served
    lane.request(file, 1, 1, 100)
    assert select.select([bell], [], [], DEADLINE_S)[0]
    assert (lane.synced_seq, ends) == (1, [])


def test_a_failed_sync_is_an_error_and_nothing_is_durable_by_it(bell, file, unsyncable):
    lane = CommitLane(bell)
    lane.request(file, 1, 1, 100)
    lane.serve(REST_S)
    lane.request(unsyncable, 1, 2, 200)
    with pytest.raises(OSError, match="Invalid") as caught:
        lane.serve(REST_S)
    assert caught.value.errno == errno.EINVAL
    assert lane.taken()[:4] == (1, 1, 100, 1)
    assert rings(bell) == 1


def test_after_a_failed_sync_there_is_no_other(bell, file, unsyncable):
    syncs: list[None] = []
    lane = CommitLane(bell, lambda: syncs.append(None))
    lane.request(unsyncable, 1, 1, 100)
    with pytest.raises(OSError, match="Invalid"):
        lane.serve(REST_S)
    lane.request(file, 1, 2, 200)
    with pytest.raises(OSError, match="Invalid") as caught:
        lane.serve(REST_S)
    assert (caught.value.errno, lane.synced_seq, len(syncs)) == (errno.EINVAL, 0, 1)


def test_the_bell_is_the_lanes_own(file):
    bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    other = os.dup(bell)
    lane = CommitLane(bell)
    os.close(bell)
    lane.request(file, 1, 1, 100)
    lane.serve(REST_S)
    assert rings(other) == 1
    os.close(other)


def test_a_bell_that_is_none_is_an_error():
    with pytest.raises(OSError, match="Bad file"):
        CommitLane(-1)
