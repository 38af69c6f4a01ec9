"""One destination does not answer for the whole test; the other gets everything meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.process import free_port
from tests.support.fast_peers import fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.router_process import router_process

pytestmark = pytest.mark.system

COUNT = 600
ONE_AT_A_TIME = {"associations_max": 1, "operations_max": 1}


@pytest.mark.parametrize("ack", ["stored", "delivered"])
def test_on_return_all_is_delivered_in_order_of_age(tmp_path: Path, ack: str) -> None:
    port = free_port()
    with ExitStack() as stack:
        up = stack.enter_context(fast_sink(tmp_path, "up"))
        router = stack.enter_context(
            router_process(
                tmp_path,
                {"UP": up.port, "DOWN": {"port": port, **ONE_AT_A_TIME}},
                router={"ack": ack, "ack_fallback": "stored"},
            )
        )
        sent = send_all(tmp_path, router.port, kind="small", count=COUNT)
        assert [attempt.status for attempt in sent] == [0] * COUNT
        up.wait_for(COUNT)
        assert router.owed("DOWN") == COUNT
        wait_until(lambda: router.owed("UP") == 0, 10, lambda: "the ledger does not settle")
        down = stack.enter_context(fast_sink(tmp_path, "down", port=port))
        down.wait_for(COUNT)
        in_order_of_age = [attempt.uid for attempt in sent]
        assert list(dict.fromkeys(record.uid for record in down.taken())) == in_order_of_age
        for sink in (up, down):
            result = compare(sent, sink.received())
            assert result.kept_the_promise, str(result)
        router.stop()


def test_what_comes_during_the_return_queues_behind_what_waited(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        router = stack.enter_context(router_process(tmp_path, {"DOWN": {"port": port, **ONE_AT_A_TIME}}))
        first = send_all(tmp_path, router.port, name="first", kind="small", count=300, run=1)
        down = stack.enter_context(fast_sink(tmp_path, "down", port=port, delay_s=0.005))
        down.wait_for(10)
        second = send_all(tmp_path, router.port, name="second", kind="small", count=100, run=2)
        down.wait_for(400)
        order = list(dict.fromkeys(record.uid for record in down.taken()))
        assert order == [attempt.uid for attempt in [*first, *second]]


@pytest.mark.parametrize("manner", ["silent", "rejects", "aborts"])
def test_a_healthy_destination_gets_everything_while_the_other(tmp_path: Path, manner: str) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    options: dict[str, dict[str, Any]] = {
        "silent": {"gate": gate},
        "rejects": {"reject": (2, 3, 2)},
        "aborts": {"abort_all": 1},
    }
    with ExitStack() as stack:
        up = stack.enter_context(fast_sink(tmp_path, "up"))
        sick = stack.enter_context(fast_sink(tmp_path, "sick", **options[manner]))
        router = stack.enter_context(
            router_process(
                tmp_path, {"UP": up.port, "SICK": {"port": sick.port, "dimse_s": 1, "attempts_max": 1000}}
            )
        )
        sent = send_all(tmp_path, router.port, kind="small", count=300, associations=2)
        up.wait_for(300)
        assert all(attempt.acknowledged for attempt in sent)
        assert sick.taken() == []
        wait_until(
            lambda: router.metric("dicom_router_delivery_errors_total", destination="SICK") > 0,
            20,
            lambda: "no delivery error was counted",
        )
        assert router.owed("SICK") == 300
        assert router.metric("dicom_router_delivery_errors_total", destination="UP") == 0
        sick.peer.stop()
        gate.unlink()
        well = stack.enter_context(fast_sink(tmp_path, "well", port=sick.port))
        well.wait_for(300)
        result = compare(sent, well.received())
        assert result.kept_the_promise, str(result)


def test_a_permanent_refusal_is_dead_after_its_attempts_and_never_dropped(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path, "strict", fail_times=-1, fail_status="A900") as strict,
        fast_sink(tmp_path, "up") as up,
        router_process(
            tmp_path, {"STRICT": {"port": strict.port, "attempts_max": 2}, "UP": up.port}
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=20)
        assert all(attempt.acknowledged for attempt in sent)
        up.wait_for(20)
        wait_until(lambda: router.owed("STRICT", "dead") == 20, 30, lambda: f"{router.queue()} are not dead")
        attempts = [record.uid for record in strict.received()]
        assert {uid: attempts.count(uid) for uid in attempts} == {attempt.uid: 2 for attempt in sent}
        assert router.owed("UP") == 0


def test_a_temporary_refusal_is_tried_until_it_is_taken(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path, fail_times=2, fail_status="A700") as busy,
        router_process(tmp_path, {"BUSY": {"port": busy.port, "attempts_max": 1}}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=20)
        busy.wait_for(20)
        assert compare(sent, busy.received()).kept_the_promise
        wait_until(lambda: router.owed("BUSY") == 0, 10, lambda: f"{router.queue()} is still owed")
