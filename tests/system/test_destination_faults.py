"""One destination is ill, in every way there is: the others do not notice, and nothing is lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.process import REPOSITORY, free_port, peer_process
from router.bench.instances import instance_uid
from router.delivery.fair import FLOW_MAX, QUANTUM_INSTANCES
from tests.support.fast_peers import fast_sender, fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.router_process import RouterProcess, router_process

pytestmark = pytest.mark.system

COUNT = 300
DEADLINE_S = 60.0
QUICK: dict[str, Any] = {"dimse_s": 1, "acse_s": 1, "retry_first_s": 0.1, "retry_max_s": 0.5}


@contextmanager
def ill(directory: Path, manner: str, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.peers.sick", manner, str(port)]
    with peer_process(manner, command, directory, environment={"PYTHONPATH": str(REPOSITORY)}) as peer:
        peer.wait_listening(port)
        yield


def circuits(router: RouterProcess) -> dict[str, str]:
    return {row["destination"]: row["circuit"] for row in router.ask("/destinations")["destinations"]}


@pytest.mark.parametrize("manner", ["rejecting", "busy", "refusing", "aborting", "silent", "zero-window"])
def test_the_healthy_one_gets_all_meanwhile_and_the_ill_one_when_it_is_well(
    tmp_path: Path, manner: str
) -> None:
    port = free_port()
    with (
        fast_sink(tmp_path, "up") as up,
        router_process(tmp_path, {"UP": up.port, "ILL": {"port": port, **QUICK}}) as router,
    ):
        with ill(tmp_path, manner, port):
            sent = send_all(tmp_path, router.port, kind="small", count=COUNT, associations=2)
            assert all(attempt.acknowledged for attempt in sent)
            up.wait_for(COUNT)
            wait_until(lambda: circuits(router)["ILL"] != "closed", DEADLINE_S, lambda: f"{circuits(router)}")
            assert circuits(router)["UP"] == "closed"
            assert router.owed("ILL") == COUNT
        with fast_sink(tmp_path, "well", port=port) as well:
            wait_until(
                lambda: not router.owed("ILL", "pending", "retrying"), DEADLINE_S, lambda: str(router.queue())
            )
            router.ask("/queue/retry", {"destination": "ILL", "state": "dead"})
            well.wait_for(COUNT)
            assert compare(sent, well.received()).kept_the_promise
            wait_until(lambda: not router.owed("ILL"), DEADLINE_S, lambda: str(router.queue()))
            wait_until(lambda: circuits(router)["ILL"] == "closed", DEADLINE_S, lambda: f"{circuits(router)}")
        assert compare(sent, up.received()).kept_the_promise
        assert router.metric("dicom_router_destination_circuit_opened_total", destination="ILL") >= 1
        gauge = partial(
            router.metric, "dicom_router_destination_circuit", destination="ILL", circuit="closed"
        )
        wait_until(lambda: gauge() == 1, DEADLINE_S, lambda: "the gauge does not follow")


def test_one_that_comes_and_goes_gets_everything_in_the_end(tmp_path: Path) -> None:
    port = free_port()
    with (
        fast_sink(tmp_path, "up") as up,
        router_process(tmp_path, {"UP": up.port, "FLAPS": {"port": port, **QUICK}}) as router,
        fast_sender(tmp_path, router.port, kind="small", count=1500, associations=2) as sender,
    ):
        for _ in range(4):
            with fast_sink(tmp_path, "flaps", port=port, delay_s=0.002):
                time.sleep(0.4)
            time.sleep(0.2)
        sent = sender.finish()
        up.wait_for(1500)
        with fast_sink(tmp_path, "flaps", port=port) as flaps:
            flaps.wait_for(1500)
            for sink in (up, flaps):
                result = compare(sent, sink.received())
                assert result.kept_the_promise, str(result)
        assert router.metric("dicom_router_queue_depth", destination="FLAPS", state="dead") == 0


@pytest.mark.parametrize("how", ["abort", "crash", "hang"])
def test_an_instance_that_the_destination_cannot_bear_is_quarantined_and_the_queue_moves_on(
    tmp_path: Path, how: str
) -> None:
    poison = instance_uid(0, 20)
    port = free_port()
    with router_process(
        tmp_path, {"PACS": {"port": port, **QUICK, "associations_max": 2, "operations_max": 16}}
    ) as router:
        with fast_sink(tmp_path, "pacs", port=port, window=16, poison=[poison], poison_how=how):
            sent = send_all(tmp_path, router.port, kind="small", count=60, associations=2)
            end = time.monotonic() + DEADLINE_S
            while not router.owed("PACS", "dead"):
                start = len(sent)
                sent += send_all(
                    tmp_path, router.port, name=f"more-{start}", kind="small", start=start, count=5
                )
                assert time.monotonic() < end, str(router.queue())
            (dead,) = router.queue(state="dead")
            assert (dead["sop_instance"], dead["last_error"]) == (poison, "poison")
            wait_until(
                lambda: not router.owed("PACS", "pending", "retrying"),
                DEADLINE_S,
                lambda: str(router.queue()),
            )
        with fast_sink(tmp_path, "pacs", port=port) as mended:
            router.ask("/queue/retry", {"state": "dead"})
            mended.wait_for(len(sent))
            assert compare(sent, mended.received()).kept_the_promise


def test_a_small_study_does_not_wait_for_a_huge_one(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path, "pacs", delay_s=0.005) as pacs,
        router_process(
            tmp_path, {"PACS": {"port": pacs.port, "associations_max": 1, "operations_max": 1}}
        ) as router,
    ):
        send_all(tmp_path, router.port, name="huge", calling="HUGE", kind="small", count=1000)
        small = send_all(tmp_path, router.port, name="small", calling="SMALL", kind="small", count=5, run=1)
        before = len(pacs.taken())
        pacs.wait_for_uids({attempt.uid for attempt in small})
        order = [record.uid for record in pacs.taken()]
        places = [order.index(attempt.uid) for attempt in small]
        assert places == sorted(places)
        assert places[-1] <= before + 3 * QUANTUM_INSTANCES
        assert len(order) < 1000


def test_after_an_outage_a_small_study_does_not_wait_for_a_huge_one_that_is_older(tmp_path: Path) -> None:
    """The huge one is longer than what is held in memory: most of both is in the ledger only."""
    port = free_port()
    huge_count = 2 * FLOW_MAX
    with router_process(
        tmp_path, {"PACS": {"port": port, **QUICK, "associations_max": 1, "operations_max": 1}}
    ) as router:
        huge = send_all(
            tmp_path, router.port, name="huge", calling="HUGE", kind="small", count=huge_count, associations=4
        )
        small = send_all(tmp_path, router.port, name="small", calling="SMALL", kind="small", count=5, run=1)
        with fast_sink(tmp_path, "pacs", port=port, delay_s=0.001) as pacs:
            pacs.wait_for(huge_count + 5)
            order = list(dict.fromkeys(record.uid for record in pacs.taken()))
            assert compare([*huge, *small], pacs.received()).kept_the_promise
        places = [order.index(attempt.uid) for attempt in small]
        assert places[-1] <= 16 * QUANTUM_INSTANCES


def test_what_a_destination_refuses_for_good_goes_to_its_alternate(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path, "strict", fail_times=-1, fail_status="A900") as strict,
        fast_sink(tmp_path, "other") as other,
        router_process(
            tmp_path,
            {"STRICT": {"port": strict.port, "attempts_max": 2, "alternate": "OTHER"}, "OTHER": other.port},
            rules=[{"name": "all", "to": ["STRICT"]}],
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=10)
        other.wait_for(10)
        assert compare(sent, other.received()).kept_the_promise
        wait_until(lambda: not router.owed("OTHER"), DEADLINE_S, lambda: str(router.queue()))
        diverted = router.queue(state="diverted")
        assert {(row["destination"], row["last_status"]) for row in diverted} == {("STRICT", "A900")}
        assert len(diverted) == 10
        assert router.owed("STRICT") == 0
        assert router.metric("dicom_router_diverted_total", destination="STRICT") == 10


def test_an_alternate_takes_over_what_another_has_been_down_for_too_long_for(tmp_path: Path) -> None:
    """Also what comes while it takes over, and over a crash of the worker in the middle."""
    port = free_port()
    with (
        fast_sink(tmp_path, "other", delay_s=0.002) as other,
        router_process(
            tmp_path,
            {
                "DOWN": {"port": port, **QUICK, "alternate": "OTHER", "alternate_after_s": 1},
                "OTHER": {"port": other.port, "alternate": "DOWN", "alternate_after_s": 0},
            },
            rules=[{"name": "all", "to": ["DOWN"]}],
        ) as router,
    ):
        sent = send_all(tmp_path, router.port, name="first", kind="small", count=1500, associations=4)
        assert all(attempt.acknowledged for attempt in sent)
        other.wait_for(100)
        pid = router.kill("worker")
        router.wait_restarted("worker", pid)
        sent += send_all(tmp_path, router.port, name="second", kind="small", count=100, run=1)
        other.wait_for(1600)
        wait_until(
            lambda: not router.owed("DOWN") and not router.owed("OTHER"),
            DEADLINE_S,
            lambda: str(router.queue()),
        )
        result = compare(sent, other.received())
        assert result.kept_the_promise, str(result)
        with fast_sink(tmp_path, "down", port=port) as down:
            more = send_all(tmp_path, router.port, name="third", kind="small", count=10, run=2)
            reached = {attempt.uid for attempt in more}
            wait_until(
                lambda: reached <= {r.uid for r in [*down.taken(), *other.taken()]},
                DEADLINE_S,
                lambda: str(router.queue()),
            )
            wait_until(
                lambda: circuits(router)["DOWN"] == "closed", DEADLINE_S, lambda: str(circuits(router))
            )
            last = send_all(tmp_path, router.port, name="fourth", kind="small", count=10, run=3)
            down.wait_for_uids({attempt.uid for attempt in last})
