"""Many instances over one association, pipelined within the window that was granted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Pair
from tests.api.test_negotiation import primitives
from tests.support.datasets import CT, instance, write


def window(side: Any, invoked: int) -> Any:
    item = primitives(side).AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = invoked
    return item


def test_instances_go_one_by_one_without_a_window(pair: Pair) -> None:
    received: list[str] = []

    def handle(event: Any) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        return 0xA700 if len(received) == 2 else 0x0000

    if pair.scu.__name__ != "router":
        pytest.skip("pynetdicom has no send_c_store_many")
    server = pair.serve([CT], [(pair.scp.evt.EVT_C_STORE, handle)])
    assoc = pair.associate(server, [CT])
    items = [instance(number) for number in range(5)]
    results = list(assoc.send_c_store_many(items))
    assert [item for item, _ in results] == items
    assert [status.Status for _, status in results] == [0, 0xA700, 0, 0, 0]
    assert received == [f"1.2.3.{number}" for number in range(5)]


def test_as_many_are_in_flight_as_were_granted(ours: Pair) -> None:
    inside = threading.Barrier(4)
    most: list[int] = []
    running: list[int] = []

    def handle(event: Any) -> int:
        running.append(1)
        most.append(len(running))
        inside.wait(20)
        running.pop()
        return 0x0000

    evt = ours.scp.evt
    handlers = [(evt.EVT_ASYNC_OPS, lambda event: (4, 1)), (evt.EVT_C_STORE, handle)]
    server = ours.serve([CT], handlers)
    assoc = ours.associate(server, [CT], ext_neg=[window(ours.scu, 8)])
    results = list(assoc.send_c_store_many(instance(number) for number in range(8)))
    assert [status.Status for _, status in results] == [0] * 8
    assert max(most) == 4


def test_what_cannot_be_sent_does_not_stop_the_rest(ours: Pair, tmp_path: Path) -> None:
    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, lambda event: 0)])
    assoc = ours.associate(server, [CT])
    other = instance(2)
    other.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    good = write(instance(3), tmp_path / "good.dcm")
    items = [instance(1), other, tmp_path / "missing.dcm", good]
    results = list(assoc.send_c_store_many(items))
    assert [item for item, _ in results] == items
    assert [status.Status for _, status in results] == [0x0000, 0x0122, 0x0110, 0x0000]
    assert "ErrorComment" in results[1][1]


def test_after_an_abort_all_that_is_left_has_an_empty_status(ours: Pair) -> None:
    count = []

    def handle(event: Any) -> int:
        count.append(1)
        if len(count) == 2:
            event.assoc.abort()
        return 0x0000

    server = ours.serve([CT], [(ours.scp.evt.EVT_C_STORE, handle)])
    assoc = ours.associate(server, [CT])
    results = list(assoc.send_c_store_many(instance(number) for number in range(4)))
    assert [status.get("Status") for _, status in results] == [0, None, None, None]


def test_it_may_be_left_early(ours: Pair) -> None:
    evt = ours.scp.evt
    handlers = [(evt.EVT_ASYNC_OPS, lambda event: (4, 1)), (evt.EVT_C_STORE, lambda event: 0)]
    server = ours.serve([CT], handlers)
    assoc = ours.associate(server, [CT], ext_neg=[window(ours.scu, 4)])
    for _, status in assoc.send_c_store_many(instance(number) for number in range(100)):
        assert status.Status == 0
        break
    assert assoc.send_c_store(instance(1)).Status == 0
    assoc.release()
    assert assoc.is_released
