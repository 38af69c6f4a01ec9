"""What waits at one destination: in lanes, until a retry, as suspects."""

from __future__ import annotations

from router.delivery.sender import Item
from router.delivery.waiting_items import WaitingItems
from tests.support.owed import item


def waiting_with(*items: Item) -> WaitingItems:
    waiting = WaitingItems()
    for each in items:
        waiting.queue.enter(each)
    return waiting


def pop(waiting: WaitingItems, one: Item) -> Item:
    return waiting.queue.pop(one.key)


def test_a_retry_takes_its_old_place_once_it_is_due() -> None:
    waiting = waiting_with(item(1), item(2))
    first = pop(waiting, item(1))
    waiting.retry_at(5.0, first)
    waiting.take_due(4.9)
    assert waiting.queue.held == 2
    assert waiting.queue.lanes[first.key][0][2].seq == 2
    waiting.take_due(5.0)
    assert not waiting.retrying
    assert [pop(waiting, first).seq for _ in range(2)] == [1, 2]


def test_retry_now_makes_all_due_and_forgets_their_attempts() -> None:
    waiting = waiting_with(item(1), item(2))
    for due in (100.0, 50.0):
        one = pop(waiting, item(1))
        one.attempts = 2
        waiting.retry_at(due, one)
    waiting.retry_now()
    waiting.take_due(0.0)
    assert [(one.seq, one.attempts) for one in (pop(waiting, item(1)), pop(waiting, item(2)))] == [
        (1, 0),
        (2, 0),
    ]


def test_suspects_are_counted_from_their_lane_until_they_are_taken_out() -> None:
    waiting = waiting_with(item(1), item(2), item(3))
    for one in [pop(waiting, item(1)) for _ in range(3)]:
        one.is_suspect = True
        waiting.put_back(one)
    assert waiting.suspects == 3
    assert waiting.take_out(lambda one: one.seq == 2)
    assert waiting.suspects == 2
    first = waiting.take_first(item(1).key)
    assert first is not None
    assert first.seq == 1
    assert waiting.suspects == 1
    assert [one.is_suspect for one in waiting.take_lane(first.key)] == [False]
    assert waiting.suspects == 0
    assert waiting.take_first(first.key) is None


def test_an_item_is_taken_out_from_among_the_retries_and_its_later_version_takes_its_place() -> None:
    waiting = waiting_with(item(1, "1.9"), item(2, "1.9"))
    waiting.retry_at(60.0, pop(waiting, item(1)))
    assert not waiting.queue.has_waiting()
    assert waiting.take_out(lambda one: one.seq == 1)
    assert not waiting.retrying
    assert pop(waiting, item(1)).seq == 2
    assert not waiting.take_out(lambda one: one.seq == 1)
