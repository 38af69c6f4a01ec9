"""SIGTERM finishes what is in flight and leaves in order; SIGHUP applies what can be applied live."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.peers.process import accepts_connections
from router.bench import wire
from tests.support.fast_peers import fast_sender, fast_sink, send_all, wait_until
from tests.support.ledger import compare
from tests.support.router_process import destination, router_process
from tests.support.streams import PduStream

pytestmark = pytest.mark.system


@pytest.mark.parametrize("ack", ["stored", "delivered"])
def test_sigterm_during_load_exits_0_and_keeps_every_promise(tmp_path: Path, ack: str) -> None:
    with ExitStack() as stack:
        sink = stack.enter_context(fast_sink(tmp_path, delay_s=0.003))
        router = stack.enter_context(router_process(tmp_path, {"SINK": sink.port}, router={"ack": ack}))
        sender = stack.enter_context(
            fast_sender(tmp_path, router.port, kind="small", count=20_000, associations=4)
        )
        sender.wait_acknowledged(300)
        router.stop()
        sent = sender.finish()
        assert not accepts_connections(router.port)
        # Each of the four had at most one operation under way, and its loss was visible.
        assert sum(not attempt.acknowledged for attempt in sent) <= 4
        router.start()
        sink.wait_for_uids({attempt.uid for attempt in sent if attempt.acknowledged})
        result = compare(sent, sink.received())
        assert result.kept_the_promise, str(result)
        router.stop()


def test_sigterm_releases_the_associations_with_destinations(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(tmp_path, {"SINK": {"port": sink.port, "idle_s": 600}}) as router,
    ):
        sent = send_all(tmp_path, router.port, kind="small", count=50, associations=2)
        sink.wait_for(50)
        assert all(attempt.acknowledged for attempt in sent)
        router.stop()
        opened = {record.association for record in sink.received()}
        wait_until(
            lambda: set(sink.endings()) >= opened, 10, lambda: f"only {sink.endings()} ended of {opened}"
        )
        assert {sink.endings()[number] for number in opened} == {"released"}


def test_an_idle_association_is_released_after_its_time(tmp_path: Path) -> None:
    with (
        fast_sink(tmp_path) as sink,
        router_process(tmp_path, {"SINK": {"port": sink.port, "idle_s": 0.3}}) as router,
    ):
        send_all(tmp_path, router.port, kind="small", count=5)
        sink.wait_for(5)
        wait_until(lambda: "released" in sink.endings().values(), 20, lambda: f"{sink.endings()}")


def test_sigterm_is_not_held_up_by_an_idle_sender(tmp_path: Path) -> None:
    with (
        router_process(tmp_path, {}, rules=[]) as router,
        socket.create_connection(("127.0.0.1", router.port), timeout=30) as sock,
    ):
        stream = PduStream(sock)
        sock.sendall(wire.associate_rq("ROUTER", "IDLE", [(1, wire.VERIFICATION, ["1.2.840.10008.1.2"])]))
        assert stream.read_pdu()[0] == wire.ASSOCIATE_AC
        router.stop()
        # Closed in order or aborted; never left hanging.
        assert sock.recv(10)[:1] in {b"", b"\x05", b"\x07"}


def test_sighup_applies_rules_and_destinations_live(tmp_path: Path) -> None:
    with ExitStack() as stack:
        old, new = (stack.enter_context(fast_sink(tmp_path, name)) for name in ("old", "new"))
        router = stack.enter_context(router_process(tmp_path, {"OLD": old.port}))
        workers = [process["pid"] for process in router.processes()]
        first = send_all(tmp_path, router.port, name="first", kind="small", count=20, run=1)
        old.wait_for(20)
        router.tables["destinations.NEW"] = destination("NEW", new.port)
        router.rules = [{"name": "small", "when": {"Modality": ["OT"]}, "to": ["NEW"]}]
        generation = router.metric("dicom_router_config_generation")
        router.reload()
        wait_until(
            lambda: router.metric("dicom_router_config_generation") > generation,
            20,
            lambda: "no reload is counted",
        )
        second = send_all(tmp_path, router.port, name="second", kind="small", count=20, run=2)
        new.wait_for(20)
        assert {record.uid for record in old.taken()} == {attempt.uid for attempt in first}
        assert {record.uid for record in new.taken()} == {attempt.uid for attempt in second}
        assert [process["pid"] for process in router.processes()] == workers


def test_a_sender_keeps_its_association_over_a_reload(tmp_path: Path) -> None:
    with ExitStack() as stack:
        sink = stack.enter_context(fast_sink(tmp_path))
        router = stack.enter_context(router_process(tmp_path, {"SINK": sink.port}))
        sender = stack.enter_context(fast_sender(tmp_path, router.port, kind="small", count=3000))
        sender.wait_acknowledged(100)
        generation = router.metric("dicom_router_config_generation")
        router.rules.append({"name": "again", "to": ["SINK"]})
        router.reload()
        wait_until(
            lambda: router.metric("dicom_router_config_generation") > generation,
            20,
            lambda: "no reload is counted",
        )
        sent = sender.finish()
        assert [attempt.status for attempt in sent] == [0] * 3000
        sink.wait_for(3000)


def test_a_faulty_configuration_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}) as router:
        router.rules = [{"name": "broken", "to": ["NOWHERE"]}]
        router.reload()
        wait_until(
            lambda: router.metric("dicom_router_config_reload_failures_total") == 1,
            20,
            lambda: "no failure counted",
        )
        assert "NOWHERE" in router.log()
        send_all(tmp_path, router.port, kind="small", count=3)
        sink.wait_for(3)


def test_a_setting_that_needs_a_restart_is_named(tmp_path: Path) -> None:
    with fast_sink(tmp_path) as sink, router_process(tmp_path, {"SINK": sink.port}) as router:
        router.tables["router"]["workers"] = 2
        router.reload()
        wait_until(
            lambda: "router.workers" in router.log(), 20, lambda: "the setting is not named in the log"
        )
        send_all(tmp_path, router.port, kind="small", count=3)
        sink.wait_for(3)
