"""A ticket that cannot be handled is answered all the same, and stands in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from router.errors import SpoolError
from router.handoff.ticket import Receipt
from router.processes.handling import Handling
from router.standard.statuses import OUT_OF_RESOURCES
from tests.support.handoff import Pair
from tests.support.live_worker import NO_FORWARDING


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


class Broke(Handling):
    """A handling in which reading the attributes fails."""

    error: BaseException = MemoryError()

    def _attributes(self, *_: Any) -> Any:
        raise self.error


def handling() -> Broke:
    config = SimpleNamespace(router=SimpleNamespace(workers=1), limits=SimpleNamespace(structure_scan="off"))
    spool = SimpleNamespace(payloads=None)
    worker = SimpleNamespace(config=config, spool=spool, forwarding=NO_FORWARDING)
    return Broke(worker)  # type: ignore[arg-type]


def take_one(handling: Handling, pair: Pair) -> Receipt:
    receipts: list[Receipt] = []
    assert pair.dispatcher.submit(pair.ticket(slots=2), receipts.append)
    (ticket,) = pair.intakes[0].receive()
    handling.take(pair.intakes[0], ticket)
    pair.dispatcher.drain(0)
    return receipts[0]


def test_a_ticket_without_memory_for_it_is_refused_and_gives_its_slots_back(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    broke = handling()
    caplog.set_level("ERROR")
    for _ in range(3):
        assert take_one(broke, pair).status == OUT_OF_RESOURCES
    assert caplog.text.count("MemoryError") == 3
    assert pair.slab.slots_used == 0
    assert broke.in_progress == 0


def test_a_dataset_that_cannot_be_read_now_is_no_dataset_that_cannot_be_parsed(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    broke = handling()
    broke.error = SpoolError("cannot read a spilled dataset")
    assert take_one(broke, pair).status == OUT_OF_RESOURCES
    assert "Traceback" not in caplog.text
