"""Question: what does handing one instance from an acceptor to a worker and back cost, in CPU of both sides?

Unit: time per instance (or per call where the name says so). Method: pytest-benchmark in one process, both
sides in turn, so nothing waits and both sides' work adds up; the two-process case counts wall time of a
full exchange. What would make it lie: a busy neighbour on the same core (compare minima), and batches
unlike those of the router (one record a wake-up costs two system calls more than a batch of 32).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from router.handoff.ticket import decode_record, encode_record
from router.metrics.page import MetricsPage
from tests.support.forked import Forked, wait_for
from tests.support.handoff import SLOT, Pair, make_ticket

BATCH = 32
EXCHANGED = 10_000


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair(slots=2 * BATCH)
    yield pair
    pair.close()


def test_allocate_and_free_one_slot(benchmark: BenchmarkFixture, pair: Pair) -> None:
    slab = pair.slab

    def once() -> None:
        index = slab.allocate()
        assert index is not None
        slab.free(index)

    benchmark(once)


def test_encode_and_decode_one_ticket(benchmark: BenchmarkFixture) -> None:
    ticket = make_ticket(1 << 40, (1, 2, 3), "1.2.826.0.1.3680043.8.498.123456789012345678901234567890")
    benchmark(lambda: decode_record(encode_record(ticket)))


def test_choose_the_views_of_three_slots(benchmark: BenchmarkFixture, pair: Pair) -> None:
    benchmark(lambda: pair.slab.chain((1, 2, 3), 2 * SLOT + 100))


def test_lend_answer_and_release_a_batch(benchmark: BenchmarkFixture, pair: Pair) -> None:
    intake, dispatcher = pair.intakes[0], pair.dispatcher
    answered = 0

    def on_receipt(_: object) -> None:
        nonlocal answered
        answered += 1

    def batch() -> None:
        for _ in range(BATCH):
            dispatcher.submit(pair.ticket(), on_receipt)
        for ticket in intake.receive():
            intake.answer(ticket, 0, release=True)
        intake.sleep()
        dispatcher.drain(0)

    benchmark(batch)
    benchmark.extra_info["instances per round"] = BATCH
    assert answered >= BATCH
    assert pair.slab.slots_used == 0


def test_two_processes_exchange_instances(benchmark: BenchmarkFixture, pair: Pair) -> None:
    def work() -> None:
        intake, taken = pair.intakes[0], 0
        while taken < EXCHANGED:
            tickets = intake.receive()
            taken += len(tickets)
            for ticket in tickets:
                intake.answer(ticket, 0, release=True)
            if not tickets and intake.sleep():
                wait_for(intake.fileno())

    def exchange() -> None:
        child, sent = Forked(work), 0
        dispatcher, slab = pair.dispatcher, pair.slab
        while sent < EXCHANGED or slab.slots_used:
            while sent < EXCHANGED and slab.slots_free:
                dispatcher.submit(pair.ticket(), lambda _: None)
                sent += 1
            wait_for(dispatcher.fileno(0))
            while not dispatcher.drain(0):
                pass
        assert child.join() == 0

    benchmark.pedantic(exchange, rounds=5)  # type: ignore[no-untyped-call]
    benchmark.extra_info["instances per round"] = EXCHANGED
    benchmark.extra_info["cores"] = os.cpu_count()


def test_count_one(benchmark: BenchmarkFixture) -> None:
    page = MetricsPage.create()
    cells, slot = page.cells, page.slot("echoes", listener="main")

    def once() -> None:
        cells[slot] += 1

    benchmark(once)


def test_observe_one_duration(benchmark: BenchmarkFixture) -> None:
    page = MetricsPage.create()
    slot = page.slot("store_seconds")
    benchmark(lambda: page.observe(slot, 0.0123))
