"""Many connections, and too many: whoever is known is served all the while, and the accept loop lives on.

How long an honest C-ECHO takes is said in the output (-s). Its bound is wide, since the machine of a test
run may be busy with anything. Alone on a machine, 30 s of flood and 1 s for each C-ECHO:

    FLOOD_S=30 FLOOD_LIMIT_S=1 python -m pytest -s tests/system/test_flood.py
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.peers.process import HOST, REPOSITORY
from router.wire.pdus import encode_pdu
from tests.support.fast_peers import fast_sender, fast_sink, wait_until
from tests.support.raw_peer import ECHO_CONTEXT, RELEASE_RP, RELEASE_RQ, associate_rq, command, echo_rq
from tests.support.router_process import RouterProcess, router_process

pytestmark = pytest.mark.system

SECONDS = float(os.environ.get("FLOOD_S", "5"))
LIMIT_S = float(os.environ.get("FLOOD_LIMIT_S", "10"))
KNOWN = {"known": {"calling_ae_titles": ["KNOWN"]}}
RATE = 1000


def read_pdu(sock: socket.socket) -> bytes:
    data = b""
    while len(data) < 6 or len(data) < 6 + int.from_bytes(data[2:6], "big"):
        received = sock.recv(4096)
        if not received:
            raise ConnectionError(f"closed after {len(data)} octets")
        data += received
    return data


def echo_s(port: int, calling: str = "KNOWN") -> float:
    """Make an association, a C-ECHO and a release; return how long all of it took."""
    began = time.monotonic()
    with closing(socket.create_connection((HOST, port), timeout=60)) as sock:
        sock.sendall(encode_pdu(associate_rq(calling_ae_title=calling)))
        assert read_pdu(sock)[:1] == b"\x02"
        sock.sendall(command(ECHO_CONTEXT, echo_rq(1)))
        assert read_pdu(sock)[:1] == b"\x04"
        sock.sendall(RELEASE_RQ)
        assert read_pdu(sock) == RELEASE_RP
    return time.monotonic() - began


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Let this process have as many descriptors as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def echoes_during(router: RouterProcess, seconds: float) -> list[float]:
    """Send one C-ECHO after the other for so long; return how long each took."""
    end = time.monotonic() + seconds
    taken = []
    while time.monotonic() < end:
        taken.append(echo_s(router.port))
        time.sleep(0.05)
    return taken


def flooded(tmp_path: Path, seconds: float, address: str) -> list[float]:
    """Flood a router from an address; return how long a known sender's C-ECHOs took meanwhile."""
    sections = {"router": {"acceptors": 2}, "sources": KNOWN}
    with many_descriptors(), router_process(tmp_path, {}, rules=[], **sections) as router:
        program = ["-m", "tests.support.flood", str(router.port), str(RATE), str(seconds), address]
        with subprocess.Popen([sys.executable, *program], cwd=REPOSITORY, stdout=subprocess.PIPE) as flood:
            taken = echoes_during(router, seconds)
            told = json.loads(flood.communicate(timeout=seconds + 60)[0])
        print(f"flood {told}; {len(taken)} echoes, longest {max(taken):.3f} s")
        assert told["opened"] >= 0.3 * RATE * seconds, told
        wait_until(
            lambda: router.metric("dicom_router_pending_connections") == 0,
            60,
            lambda: f"{router.metric('dicom_router_pending_connections')} are still pending",
        )
        assert router.metric("dicom_router_connections_turned_away_total", cause="pending") > 0
        assert router.log_path.read_text().count("\n") < 400  # a peer's lines a minute, from two acceptors
        assert echo_s(router.port) < LIMIT_S
        return taken


@pytest.mark.parametrize("address", ["127.0.0.2", "127.0.0.1"], ids=["another-address", "same-address"])
def test_a_known_sender_is_served_in_a_flood_from_an_unknown_one(tmp_path: Path, address: str) -> None:
    assert max(flooded(tmp_path, SECONDS, address)) < LIMIT_S


def test_2000_associations_are_open_and_50_of_them_busy(tmp_path: Path) -> None:
    request = encode_pdu(associate_rq(calling_ae_title="KNOWN"))
    with ExitStack() as stack:
        stack.enter_context(many_descriptors())
        sink = stack.enter_context(fast_sink(tmp_path))
        limits = {"acceptors": 2, "associations_max": 2000, "pending_max": 2100}
        router = stack.enter_context(
            router_process(tmp_path, {"SINK": sink.port}, router=limits, sources=KNOWN)
        )
        idle = []
        for number in range(1950):
            sock = stack.enter_context(closing(socket.create_connection((HOST, router.port), timeout=60)))
            sock.sendall(request)
            idle.append(sock)
            if number % 100 == 99:
                assert [read_pdu(one)[:1] for one in idle[-100:]] == [b"\x02"] * 100
        for sock in idle[1900:]:
            assert read_pdu(sock)[:1] == b"\x02"
        sender = stack.enter_context(
            fast_sender(
                tmp_path, router.port, kind="small", count=2000, associations=50, calling="KNOWN", timeout=90
            )
        )
        taken = echoes_during(router, 3)
        open_now = router.metric("dicom_router_inbound_associations_open")
        print(f"{open_now:g} open; {len(taken)} echoes, longest {max(taken):.3f} s")
        sent = sender.finish(110)
        assert len({attempt.uid for attempt in sent if attempt.acknowledged}) == 2000
        assert open_now >= 1950
        assert max(taken) < LIMIT_S
        idle[0].sendall(command(ECHO_CONTEXT, echo_rq(1)))
        assert read_pdu(idle[0])[:1] == b"\x04"
        sink.wait_for(2000)


def test_an_acceptor_without_descriptors_turns_away_and_lives_on(tmp_path: Path) -> None:
    with router_process(tmp_path, {}, rules=[]) as router:
        acceptor = router.pid_of("acceptor")
        before = len(os.listdir(f"/proc/{acceptor}/fd"))
        _, hard = resource.prlimit(acceptor, resource.RLIMIT_NOFILE)
        with closing(socket.create_connection((HOST, router.port), timeout=60)) as early:
            early.sendall(encode_pdu(associate_rq()))
            assert read_pdu(early)[:1] == b"\x02"
            resource.prlimit(acceptor, resource.RLIMIT_NOFILE, (before + 20, hard))
            crowd = [socket.create_connection((HOST, router.port), timeout=60) for _ in range(60)]
            wait_until(
                lambda: (
                    router.metric("dicom_router_connections_turned_away_total", cause="descriptors") >= 30
                ),
                60,
                router.log,
            )
            early.sendall(command(ECHO_CONTEXT, echo_rq(1)))
            assert read_pdu(early)[:1] == b"\x04"
            for sock in crowd:
                sock.close()
            wait_until(lambda: len(os.listdir(f"/proc/{acceptor}/fd")) <= before + 3, 60, router.log)
            assert echo_s(router.port, "ANYBODY") < LIMIT_S
        said = [line for line in router.log_path.read_text().splitlines() if "accept=failed" in line]
        assert 1 <= len(said) <= 5
        assert router.pid_of("acceptor") == acceptor
