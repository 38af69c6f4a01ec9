"""Networks that are late, slow, cut, half closed, dribbling, silent or bent, on both sides of the router.

An honest C-ECHO is answered all the while, straight at the router's own port.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.peers.process import HOST, PeerFailed
from router.bench import wire
from tests.support.chaos_proxy import DOWN, Plan, chaos_proxy
from tests.support.streams import PduStream, PeerGone
from tests.system.stand import BrokenPromise, Outcome, Stand, roles_alive, stand

HARMLESS_TO_CONTENT = ("pass", "delay", "throttle", "cut", "reset", "half_close", "dribble", "stall")
IMPLICIT_VR = "1.2.840.10008.1.2"
ECHO_EVERY_S = 0.3
BEND_AGAIN_S = 0.2
ECHO_S = 10.0
"""An echo that takes longer is missing; on an idle machine it takes milliseconds."""

SHORT = {"dimse_s": 3, "artim_s": 3}
DESTINATION_SHORT = {"dimse_s": 3, "acse_s": 3, "connect_s": 2}


def bad_network(directory: Path, seed: int, seconds: float) -> Outcome:
    """Load through faulty relays before and behind the router. Raises BrokenPromise, PeerFailed."""
    here_plan = Plan(seed, HARMLESS_TO_CONTENT, at_bytes_max=1 << 18)
    # A bit turned on its way to a destination would be counted against the router: answers only.
    there_plan = Plan(seed + 1, (*HARMLESS_TO_CONTENT, "corrupt"), (DOWN,), 1 << 12)
    with stand(directory, start=False, router=SHORT) as here:
        with (
            chaos_proxy(here.router.port, here_plan) as entry,
            chaos_proxy(here.fast.port, there_plan) as way_to_fast,
            chaos_proxy(here.slow.port, Plan(seed + 2, HARMLESS_TO_CONTENT, at_bytes_max=1 << 18)) as way,
        ):
            for name, port in (("FAST", way_to_fast.port), ("SLOW", way.port)):
                here.router.tables[f"destinations.{name}"].update({**DESTINATION_SHORT, "port": port})
            here.entry_ports = {"ONE": entry.port, "TWO": entry.port}
            here.router.start()
            with honest_echoes(here) as echoes:
                stop = here.load(kind="mr", timeout=4, associations=4)
                time.sleep(seconds)
            for proxy in (entry, way_to_fast, way):
                proxy.calm()
                proxy.drop_all()
            faults = sum(fault.kind != "pass" for p in (entry, way_to_fast, way) for _, fault in p.done)
            outcome = here.settle("bad networks", stop, faults)
            _same_children(here)
            here.router.stop()
            outcome.seeds = [seed]
            outcome.note = f"{len(echoes)} honest C-ECHOs, the slowest {max(echoes):.2f} s"
            return outcome


def bent_bits(directory: Path, seed: int, seconds: float) -> Outcome:
    """Turn bits on the way of one sender; the other's instances arrive as they were sent."""
    plan = Plan(seed, ("corrupt",), at_bytes_max=1 << 12)  # heads and commands rather than pixels
    with stand(directory, router=SHORT) as here, chaos_proxy(here.router.port, plan) as entry:
        here.entry_ports = {"ONE": entry.port}
        with honest_echoes(here) as echoes:
            here.load(timeout=2)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(BEND_AGAIN_S)
                entry.drop_all()  # a bit is bent once in a connection
        (here.directory / "stop-0").touch()
        here.senders["ONE"][0].finish(90)
        one, here.senders["ONE"] = here.senders["ONE"], []
        outcome = _settle_two(here)
        outcome.runs = len(entry.done)
        outcome.seeds = [seed]
        outcome.note = f"{len(echoes)} honest C-ECHOs; {len(one[0].sent())} bent instances apart"
        _same_children(here)
        here.router.stop()
        return outcome


def _settle_two(here: Stand) -> Outcome:
    """Compare what sender TWO was told with what SLOW has of it; ONE's may have become anything."""
    from tests.support.ledger import compare
    from tests.system.stand import wait_until_taken

    here.senders["TWO"][0].finish(90)
    sent = here.sent("TWO")
    wait_until_taken(here.slow, sent, here.router)
    uids = {attempt.uid for attempt in sent}
    outcome = Outcome("bits turned in one sender's stream", 1)
    result = compare(sent, [one for one in here.slow.received() if one.uid in uids])
    outcome.add(result)
    outcome.seconds = time.monotonic() - here.started
    if not result.kept_the_promise:
        raise BrokenPromise(f"bent bits: {result}")
    return outcome


def _same_children(here: Stand) -> None:
    """Insist that no process of the router has ended."""
    if here.router.metric("dicom_router_process_restarts_total"):
        raise PeerFailed(f"a process ended: {roles_alive(here.router)}\n{here.router.log()}")


@contextmanager
def honest_echoes(here: Stand) -> Iterator[list[float]]:
    """Ask a C-ECHO of the router again and again; the list gets the seconds of each. Raises PeerFailed."""
    seconds: list[float] = []
    failures: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(ECHO_EVERY_S):
            began = time.monotonic()
            try:
                echo(here.router.port)
            except (OSError, PeerGone) as error:
                failures.append(f"after {time.monotonic() - began:.1f} s: {error!r}")
            seconds.append(time.monotonic() - began)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield seconds
    finally:
        done.set()
        thread.join(2 * ECHO_S)
    if failures or not seconds:
        raise PeerFailed(f"{len(failures)} of {len(seconds)} honest C-ECHOs had no answer: {failures[:3]}")


def echo(port: int) -> None:
    """Associate, ask one C-ECHO, release. Raises OSError, PeerGone."""
    with socket.create_connection((HOST, port), timeout=ECHO_S) as sock:
        stream = PduStream(sock)
        sock.sendall(wire.associate_rq("ROUTER", "HONEST", [(1, wire.VERIFICATION, [IMPLICIT_VR])]))
        pdu_type, _ = stream.read_pdu()
        if pdu_type != wire.ASSOCIATE_AC:
            raise PeerGone(f"PDU type {pdu_type} in place of an A-ASSOCIATE-AC")
        command = {
            wire.AFFECTED_SOP_CLASS_UID: wire.VERIFICATION,
            wire.COMMAND_FIELD: wire.C_ECHO_RQ,
            wire.MESSAGE_ID: 1,
            wire.COMMAND_DATA_SET_TYPE: wire.NO_DATASET,
        }
        sock.sendall(wire.command_pdu(1, wire.encode_command(command)))
        pdu_type, pdu = stream.read_pdu()
        if pdu_type != wire.P_DATA_TF:
            raise PeerGone(f"PDU type {pdu_type} in place of a C-ECHO-RSP")
        _, _, payload = stream.fragments(pdu)[0]
        if wire.uint(wire.decode_command(payload)[wire.STATUS]) != 0:
            raise PeerGone("C-ECHO failed")
        with suppress(OSError):
            sock.sendall(wire.RELEASE_RQ_PDU)
            stream.read_pdu()
