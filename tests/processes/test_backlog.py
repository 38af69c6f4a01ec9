"""What a destination is owed beyond its memory: every entry once, each flow by age, no version overtaken."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.delivery import fair
from router.delivery.fair import FairQueue
from router.delivery.sender import FlowName, Item
from router.processes import backlog as module
from router.processes.backlog import Backlog
from router.processes.pace import FIRST_RATE, PORTION_S, RETURN_S
from router.spool import ledger as ledger_module
from router.spool.faults import SpoolFull
from router.spool.ledger import Ledger
from router.spool.record import Entry, Location
from router.spool.states import DeliveryState, Mark, Owed
from tests.spool.spool_fixtures import record_of
from tests.support.owed import item

NOW = 10**18


class Memory:
    """The part of a Destination that a backlog uses; `take` delivers in its place."""

    name = "A"

    def __init__(self) -> None:
        self.is_up = True
        self.came_back_at = float("-inf")
        self.is_backlogged = False
        self.queue = FairQueue()
        self.items: list[Item] = []

    def room(self, flow: FlowName) -> int:
        return self.queue.room(flow)

    def held_of(self, flow: FlowName) -> int:
        return self.queue.held_of(flow)

    def offer(self, one: Item) -> bool:
        if self.queue.room(one.flow) <= 0:
            return False
        self.refill([one], not self.is_backlogged)
        return True

    def refill(self, items: Iterable[Item], is_last: bool) -> None:
        for one in items:
            self.queue.enter(one)
            self.items.append(one)
        self.is_backlogged = not is_last

    def surrender(self) -> bool:
        self.queue = FairQueue()
        self.items.clear()
        return True

    def take(self, choice: int) -> Item | None:
        """Take one of the items that no older version of their instance is before."""
        seen: set[str] = set()
        free = [one for one in self.items if not (one.sop_instance in seen or seen.add(one.sop_instance))]
        if not free:
            return None
        one = free[choice % len(free)]
        self.items.remove(one)
        self.queue.leave(one)
        return one


class Setting:
    """A ledger that writes only when told to, and the backlog of destination A."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.memory = Memory()
        self.backlog = Backlog(self.memory, ledger)  # type: ignore[arg-type]
        self.last = 0
        self.owed: dict[int, str] = {}
        self.delivered: list[int] = []

    def arrive(self, flow: str = "AE", study: str = "1.1", uid: str = "") -> None:
        self.last += 1
        record = record_of(
            self.last, ("A",), study_uid=study, calling_ae_title=flow, sop_instance=uid or f"1.9.{self.last}"
        )
        entry = Entry(self.last, record, Location(1, self.last * 1000, 100, 7))
        self.ledger.add([entry])
        self.owed[self.last] = record.sop_instance
        if self.backlog.must_wait:
            self.backlog.leave((flow, study), self.last)
        else:
            self.backlog.offer(item_of(Owed(entry, Mark(self.last, "A", DeliveryState.PENDING, NOW))))

    def fetch(self) -> None:
        while self.backlog.fetch(item_of) == module.SCAN_PAUSE_S:
            pass

    def deliver(self, choice: int = 0) -> bool:
        if self.memory.is_backlogged and self.memory.is_up:
            self.fetch()
        one = self.memory.take(choice)
        if one is None and self.memory.is_backlogged:
            self.ledger.flush()  # what holds it up may be settled, and not written yet
            self.fetch()
            one = self.memory.take(choice)
        if one is None or one.entry_id is None:
            return False
        self.delivered.append(one.entry_id)
        self.backlog.held.discard(one.entry_id)
        self.ledger.mark([Mark(one.entry_id, "A", DeliveryState.DELIVERED, NOW)])
        return True

    def deliver_all(self) -> None:
        self.memory.is_up = True
        while self.deliver():
            pass

    def check(self) -> None:
        held = [one.entry_id for one in self.memory.items]
        assert len(held) == len(set(held))
        assert self.backlog.held == set(held)


def item_of(owed: Owed) -> Item:
    record = owed.entry.record
    one = item(owed.seq, record.sop_instance)
    one.flow = (record.calling_ae_title, record.study_uid)
    return one


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    monkeypatch.setattr(ledger_module, "FLUSH_INTERVAL_S", 3600.0)
    ledger = Ledger(tmp_path / "ledger.sqlite", now_ns=lambda: NOW)
    yield Setting(ledger)
    ledger.close()


def test_what_comes_while_there_is_room_is_held_at_once(setting: Setting) -> None:
    for _ in range(10):
        setting.arrive()
    assert len(setting.memory.items) == 10
    assert not setting.memory.is_backlogged
    setting.deliver_all()
    assert setting.delivered == list(range(1, 11))


def test_nothing_is_held_for_a_destination_that_is_down(setting: Setting) -> None:
    setting.memory.is_up = False
    for _ in range(100):
        setting.arrive()
    assert setting.memory.items == []
    assert setting.memory.is_backlogged
    setting.deliver_all()
    assert setting.delivered == list(range(1, 101))
    assert not setting.memory.is_backlogged
    setting.arrive()
    assert len(setting.memory.items) == 1, "and afterwards it is held at once again"


def test_a_study_that_outgrows_its_part_goes_on_in_the_ledger_and_others_do_not_wait_for_it(
    setting: Setting,
) -> None:
    for _ in range(fair.FLOW_MAX + 500):
        setting.arrive("HUGE")
    setting.arrive("SMALL")
    setting.fetch()
    assert setting.memory.held_of(("HUGE", "1.1")) == fair.FLOW_MAX
    assert setting.memory.held_of(("SMALL", "1.1")) == 1
    setting.deliver_all()
    assert sorted(setting.delivered) == list(range(1, fair.FLOW_MAX + 502))


def test_a_younger_version_by_another_sender_waits_for_the_older_one_in_the_ledger(setting: Setting) -> None:
    for _ in range(fair.FLOW_MAX):
        setting.arrive("HUGE")
    setting.arrive("HUGE", uid="1.7")
    setting.arrive("OTHER", uid="1.7")
    older, younger = setting.last - 1, setting.last
    setting.backlog.fetch(item_of)
    assert younger not in setting.backlog.held
    setting.deliver_all()
    assert setting.delivered.index(older) < setting.delivered.index(younger)


def test_what_is_owed_from_now_on_is_found_however_old_it_is(setting: Setting) -> None:
    for _ in range(5):
        setting.arrive()
    setting.deliver_all()
    setting.ledger.flush()
    entry = Entry(6, record_of(6, ("B",)), Location(1, 6000, 100, 7))
    setting.ledger.add([entry])
    setting.last = 6
    setting.arrive()
    setting.ledger.divert([Mark(6, "B", DeliveryState.DIVERTED, NOW)], "A")
    setting.backlog.insert(("MODALITY", "1.2.0"), 6)
    setting.deliver_all()
    assert sorted(setting.delivered) == [1, 2, 3, 4, 5, 6, 7]


def test_what_is_given_back_and_what_came_since_are_fetched_by_age(setting: Setting) -> None:
    for _ in range(4):
        setting.arrive()
    for one in setting.memory.items[2:]:
        setting.memory.queue.take_out(lambda item, one=one: item is one)  # type: ignore[misc]
        setting.backlog.give_back(one.flow, one.seq)
    del setting.memory.items[2:]
    setting.check()
    for flow in ("AE", "OTHER", "OTHER"):
        setting.last += 1
        record = record_of(setting.last, ("A",), study_uid="1.1", calling_ae_title=flow)
        setting.ledger.add([Entry(setting.last, record, Location(1, setting.last * 1000, 100, 7))])
    setting.backlog.leave_run([(("AE", "1.1"), 5), (("OTHER", "1.1"), 6)], 7)
    assert setting.backlog.must_wait
    setting.deliver_all()
    assert setting.delivered == list(range(1, 8))
    assert not setting.backlog.must_wait


def test_a_run_of_more_flows_than_can_be_kept_is_looked_for_in_the_ledger(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLOWS_MAX", 2)
    for number in range(1, 6):
        record = record_of(number, ("A",), study_uid="1.1", calling_ae_title=f"AE{number}")
        setting.ledger.add([Entry(number, record, Location(1, number * 1000, 100, 7))])
    setting.backlog.leave_run([((f"AE{number}", "1.1"), number) for number in range(1, 6)], 5)
    assert setting.backlog.is_scanning
    setting.deliver_all()
    assert sorted(setting.delivered) == list(range(1, 6))


def test_all_that_waits_can_be_left_to_the_ledger(setting: Setting) -> None:
    for _ in range(10):
        setting.arrive()
    assert setting.backlog.forget_held()
    assert setting.backlog.held == set()
    setting.deliver_all()
    assert setting.delivered == list(range(1, 11))


STEP = st.one_of(
    st.tuples(st.just("arrive"), st.integers(0, 2), st.integers(0, 5)),
    st.tuples(st.just("arrive"), st.integers(0, 2), st.integers(0, 5)),
    st.tuples(st.just("deliver"), st.integers(0, 9), st.just(0)),
    st.tuples(st.sampled_from(["down", "up", "flush", "fetch", "again", "forget"]), st.just(0), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=120))
@example(  # every flow there is room for waits for one there is no room for
    steps=[*(("arrive", flow, 0) for flow in (0, 1, 2, 0)), ("forget", 0, 0), ("arrive", 1, 0)]
)
def test_every_entry_is_delivered_once_and_no_version_overtakes_another(
    steps: list[tuple[str, int, int]],
) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        patch.multiple(fair, FLOW_MAX=4, QUEUE_MAX=6, QUEUE_HARD_MAX=10, QUANTUM_INSTANCES=2),
        patch.multiple(
            module, FLOW_MAX=4, QUANTUM_INSTANCES=2, FLOWS_MAX=2, FETCH_MAX=3, FETCH_FLOWS_MAX=2, SCAN_MAX=3
        ),
        patch.object(ledger_module, "FLUSH_INTERVAL_S", 3600.0),
    ):
        ledger = Ledger(Path(directory) / "ledger.sqlite", now_ns=lambda: NOW)
        try:
            setting = Setting(ledger)
            for step, first, second in steps:
                play(setting, step, first, second)
                setting.check()
            setting.deliver_all()
        finally:
            ledger.close()
    assert sorted(setting.delivered) == sorted(setting.owed)
    for uid in set(setting.owed.values()):
        versions = [seq for seq in setting.delivered if setting.owed[seq] == uid]
        assert versions == sorted(versions)


def play(setting: Setting, step: str, first: int, second: int) -> None:
    if step == "arrive":
        setting.arrive(f"AE{first}", uid=f"1.5.{second}" if second < 3 else "")
    elif step == "deliver":
        if setting.memory.is_up:
            setting.deliver(first)
    elif step in ("down", "up"):
        setting.memory.is_up = step == "up"
    elif step == "flush":
        setting.ledger.flush()
    elif step == "again":
        setting.backlog.look_again()
    elif step == "forget":
        setting.backlog.forget_held()
    elif setting.memory.is_up:
        setting.backlog.fetch(item_of)


def test_what_is_left_behind_although_a_younger_one_was_adopted_is_found_again(setting: Setting) -> None:
    """As of one run of the entry lane: it has sent the second, the general way is given the first."""
    for number in (1, 2):
        record = record_of(number, ("A",), study_uid="1.1", calling_ae_title="AE")
        setting.ledger.add([Entry(number, record, Location(1, number * 1000, 100, 7))])
    setting.last = 2
    setting.backlog.adopt(2)
    setting.memory.is_up = False
    setting.backlog.leave(("AE", "1.1"), 1)
    setting.memory.is_up = True
    setting.fetch()
    assert [one.entry_id for one in setting.memory.items] == [1]


def test_a_ledger_that_cannot_be_read_for_a_moment_costs_nothing_of_what_is_owed(setting: Setting) -> None:
    setting.memory.is_up = False
    for number in range(6):
        setting.arrive(study=f"1.{number % 3}")
    setting.memory.is_up = True
    original, asked = setting.ledger.due_of_flow, 0

    def due_of_flow(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise SpoolFull("the ledger is busy")
        return original(*arguments)

    with patch.object(setting.ledger, "due_of_flow", due_of_flow):
        with pytest.raises(SpoolFull):
            setting.fetch()
        assert len(setting.memory.items) == 2
        setting.fetch()
    assert sorted(one.entry_id or 0 for one in setting.memory.items) == list(range(1, 7))
    assert setting.backlog.held == set(range(1, 7))


def test_one_that_came_back_is_given_what_it_missed_in_portions(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 50.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    setting.memory.is_up = False
    for _ in range(100):
        setting.arrive()
    setting.memory.is_up = True
    setting.memory.came_back_at = now
    assert setting.backlog.fetch(item_of) == PORTION_S
    assert len(setting.memory.items) == PORTION_S * FIRST_RATE
    assert setting.backlog.fetch(item_of) == PORTION_S
    assert len(setting.memory.items) == PORTION_S * FIRST_RATE
    assert setting.memory.is_backlogged
    now += RETURN_S
    assert setting.backlog.fetch(item_of) is None
    assert len(setting.memory.items) == 100
    assert not setting.memory.is_backlogged
