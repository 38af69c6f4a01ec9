"""Fair among flows, by age within: who goes before whom, and how much is held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.delivery.fair import (
    FLOW_MAX,
    IDLE_MAX,
    LANES_KEPT,
    QUANTUM_BYTES,
    QUANTUM_INSTANCES,
    QUEUE_HARD_MAX,
    QUEUE_MAX,
    FairQueue,
)
from router.delivery.sender import Item
from tests.support.owed import item


def of(flow: str, seq: int, *, size: int = 100, sop_class: str = "1.2.3", uid: str = "") -> Item:
    one = item(seq, uid, sop_class=sop_class)
    one.flow = (flow, "study")
    one.dataset_bytes = size
    return one


def enter(queue: FairQueue, items: list[Item]) -> None:
    for one in items:
        queue.enter(one)


def leave_all(queue: FairQueue, most: int = 10**9) -> list[Item]:
    """Take what leaves first, again and again."""
    taken: list[Item] = []
    while len(taken) < most and (key := queue.next_key(())) is not None:
        one = queue.pop(key)
        queue.leave(one)
        taken.append(one)
    return taken


def test_one_flow_leaves_by_age() -> None:
    queue = FairQueue()
    enter(queue, [of("A", seq) for seq in range(1, 500)])
    assert [one.seq for one in leave_all(queue)] == list(range(1, 500))
    assert queue.held == 0


def test_flows_that_arrive_mixed_leave_by_age_whoever_sent_them() -> None:
    queue = FairQueue()
    enter(queue, [of("ABC"[seq % 3], seq) for seq in range(1, 300)])
    assert [one.seq for one in leave_all(queue)] == list(range(1, 300))


def test_a_small_study_waits_for_one_quantum_of_a_huge_one_that_came_first() -> None:
    queue = FairQueue()
    enter(queue, [of("huge", seq) for seq in range(1, 1001)])
    enter(queue, [of("small", seq) for seq in range(1001, 1004)])
    order = leave_all(queue)
    last_of_small = max(place for place, one in enumerate(order) if one.flow[0] == "small")
    assert last_of_small < QUANTUM_INSTANCES + 3
    assert [one.seq for one in order if one.flow[0] == "huge"] == list(range(1, 1001))


def test_a_small_study_that_comes_later_waits_for_one_quantum_too() -> None:
    queue = FairQueue()
    enter(queue, [of("huge", seq) for seq in range(1, 1001)])
    leave_all(queue, 300)
    enter(queue, [of("small", seq) for seq in range(1001, 1011)])
    order = [one.flow[0] for one in leave_all(queue)]
    assert order.index("small") <= QUANTUM_INSTANCES
    assert "huge" not in order[order.index("small") : order.index("small") + 10]


def test_two_huge_studies_share_whichever_came_first() -> None:
    queue = FairQueue()
    enter(queue, [of("A", seq) for seq in range(1, 641)])
    enter(queue, [of("B", seq) for seq in range(641, 1281)])
    order = [one.flow[0] for one in leave_all(queue, 640)]
    assert abs(order.count("A") - order.count("B")) <= QUANTUM_INSTANCES


def test_a_flow_of_large_objects_has_its_turn_by_bytes() -> None:
    queue = FairQueue()
    enter(queue, [of("large", seq, size=QUANTUM_BYTES) for seq in range(1, 11)])
    enter(queue, [of("small", seq) for seq in range(11, 11 + 4 * QUANTUM_INSTANCES)])
    order = [one.flow[0] for one in leave_all(queue, 4 + 3 * QUANTUM_INSTANCES)]
    assert order.count("large") <= 4


def test_a_sender_of_one_at_a_time_cannot_keep_a_study_waiting() -> None:
    """Its next instance comes when the last has left, and is younger than a whole quantum of the other."""
    queue = FairQueue()
    enter(queue, [of("study", seq) for seq in range(1, 641)])
    seq, order = 1000, []
    enter(queue, [of("single", seq)])
    for _ in range(320):
        (one,) = leave_all(queue, 1)
        order.append(one.flow[0])
        if one.flow[0] == "single":
            seq += 1
            enter(queue, [of("single", seq)])
    assert order.count("study") >= 160


def test_lanes_share_the_turns() -> None:
    queue = FairQueue()
    enter(queue, [of("A", seq, sop_class="1.2.3") for seq in range(1, 200)])
    enter(queue, [of("B", seq, sop_class="1.2.4") for seq in range(200, 203)])
    order = [one.flow[0] for one in leave_all(queue)]
    assert order.index("B") <= QUANTUM_INSTANCES


def test_what_comes_back_takes_its_old_place() -> None:
    queue = FairQueue()
    enter(queue, [of("A", seq) for seq in range(1, 100)])
    key = queue.next_key(())
    assert key is not None
    first, second = queue.pop(key), queue.pop(key)
    for _ in range(60):
        queue.leave(queue.pop(key))
    queue.push(second)
    queue.push(first)
    assert [one.seq for one in leave_all(queue, 3)] == [1, 2, 63]


def test_a_lane_that_is_passed_over_does_not_hold_up_the_others() -> None:
    queue = FairQueue()
    enter(queue, [of("A", 1, sop_class="1.2.3"), of("A", 2, sop_class="1.2.4")])
    first = queue.next_key(())
    assert first is not None
    second = queue.next_key([first])
    assert second is not None
    assert queue.pop(second).seq == 2
    assert queue.next_key([first]) is None


def test_a_flow_holds_so_much_and_short_ones_get_in_even_when_long_ones_fill_all() -> None:
    queue = FairQueue()
    assert queue.room(("A", "study")) == FLOW_MAX
    enter(queue, [of("A", seq) for seq in range(FLOW_MAX)])
    enter(queue, [of("B", seq) for seq in range(QUEUE_MAX - FLOW_MAX)])
    assert queue.room(("A", "study")) == queue.room(("B", "study")) == 0
    assert queue.room(("C", "study")) == QUANTUM_INSTANCES
    enter(queue, [of("C", seq) for seq in range(QUANTUM_INSTANCES)])
    assert queue.room(("C", "study")) == 0
    for number in range((QUEUE_HARD_MAX - QUEUE_MAX) // QUANTUM_INSTANCES - 1):
        enter(queue, [of(f"D{number}", seq) for seq in range(QUANTUM_INSTANCES)])
    assert queue.held == QUEUE_HARD_MAX
    assert queue.room(("E", "study")) == 0


def test_flows_and_lanes_are_forgotten_when_nothing_is_left_of_them() -> None:
    queue = FairQueue()
    for number in range(10 * LANES_KEPT):
        enter(queue, [of(f"F{number}", number, sop_class=f"1.2.{number}")])
        leave_all(queue)
    assert queue.held == 0
    assert len(queue.lanes) <= LANES_KEPT
    assert queue.held_of(("F1", "study")) == 0


def test_draining_a_lane_takes_all_of_it_by_its_order() -> None:
    queue = FairQueue()
    enter(queue, [of("A", seq, sop_class="1.2.3" if seq % 2 else "1.2.4") for seq in range(1, 11)])
    assert [one.seq for one in queue.drain(of("A", 1).key)] == [1, 3, 5, 7, 9]
    assert [one.seq for one in leave_all(queue)] == [2, 4, 6, 8, 10]


def test_a_later_version_is_parked_until_the_earlier_has_left_and_can_be_taken_out() -> None:
    queue = FairQueue()
    enter(queue, [of("A", 1, uid="1.9"), of("B", 2, uid="1.9"), of("A", 3, uid="1.9"), of("A", 4)])
    key = of("A", 1).key
    first = queue.pop(key)
    assert queue.pop(key).seq == 4
    assert queue.next_key(()) is None
    assert queue.take_out(lambda one: one.seq == 2) is not None
    assert queue.take_out(lambda one: one.seq == 2) is None
    queue.leave(first)
    assert [one.seq for one in leave_all(queue)] == [3]


def test_immediate_instances_are_taken_out_wherever_they_wait() -> None:
    queue = FairQueue()
    items = [of("A", 1, uid="1.9"), of("A", 2, uid="1.9"), of("B", 3), of("B", 4)]
    for one in items[1:3]:
        one.is_immediate = True
    enter(queue, items)
    assert queue.has_immediate()
    assert [one.seq for one in queue.take_out_immediate()] == [2, 3]
    assert not queue.has_immediate()
    assert queue.held == 2
    assert [one.seq for one in leave_all(queue)] == [1, 4]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3 * QUANTUM_BYTES)), max_size=300))
def test_every_flow_leaves_whole_and_by_age(arrivals: list[tuple[int, int]]) -> None:
    queue = FairQueue()
    items = [of(str(flow), seq, size=size) for seq, (flow, size) in enumerate(arrivals)]
    enter(queue, items)
    order = leave_all(queue)
    assert sorted(one.seq for one in order) == list(range(len(items)))
    for flow in range(6):
        seqs = [one.seq for one in order if one.flow[0] == str(flow)]
        assert seqs == sorted(seqs)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_no_flow_gets_more_than_a_quantum_ahead(count: int) -> None:
    queue = FairQueue()
    each = 5 * QUANTUM_INSTANCES
    for flow in range(count):
        enter(queue, [of(str(flow), flow * each + seq) for seq in range(each)])
    served = [0] * count
    for one in leave_all(queue):
        served[int(one.flow[0])] += 1
        behind = [number for number in served if number < each]
        assert not behind or max(served) - min(behind) <= 2 * QUANTUM_INSTANCES


def test_the_memory_of_flows_that_hold_nothing_is_bounded() -> None:
    queue = FairQueue()
    enter(queue, [of("stays", 0, sop_class="1.2.9")])
    for number in range(1, 20 * IDLE_MAX):
        enter(queue, [of(f"F{number}", number)])
        key = of("", 0).key
        queue.leave(queue.pop(key))
    assert len(queue._flows) <= IDLE_MAX + 2
    assert queue.held == 1


def test_what_waits_untried_is_let_go_but_for_what_only_memory_knows() -> None:
    queue = FairQueue()
    waiting = [of("A", seq, sop_class=f"1.2.{seq % 2}") for seq in range(1, 9)]
    enter(queue, waiting)
    enter(queue, [of("B", 9, uid=waiting[2].sop_instance)])
    waiting[3].is_suspect = True
    waiting[4].tries = 1
    under_way = queue.pop(waiting[1].key)
    assert sorted(one.seq for one in queue.take_out_untried()) == [1, 6, 7, 8]
    assert queue.held == 5
    assert [one.seq for one in leave_all(queue)] == [3, 4, 5, 9]
    queue.leave(under_way)
    assert queue.held == 0
    assert not queue.versions
