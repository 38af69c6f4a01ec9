"""Names, IDs and passcodes planted in what peers send appear nowhere outside the spool.

Sent well and ill formed, refused, held, retried and dead, with the log at its most talkative, so that every
line that could quote a value has its chance.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.peers.process import HOST, PeerFailed, free_port
from router.bench import wire
from router.bench.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    SECONDARY_CAPTURE_STORAGE,
    element,
    instance_uid,
)
from tests.support.fast_peers import fast_sink, wait_until
from tests.support.hostile_octets import APPLICATION, context, identity, request, user
from tests.support.router_process import RouterProcess, router_process
from tests.support.streams import PduStream, PeerGone
from tests.system.stand import BrokenPromise, Outcome

CANARY = "ZQCANARY"
NAME, PATIENT_ID = f"{CANARY}NAME^FIRST", f"{CANARY}ID42"
PLANTED = {
    (0x0008, 0x0050): ("SH", f"{CANARY}ACC"),
    (0x0008, 0x0090): ("PN", f"{CANARY}REFERRER"),
    (0x0008, 0x1030): ("LO", f"{CANARY}STUDY"),
    (0x0010, 0x0010): ("PN", NAME),
    (0x0010, 0x0020): ("LO", PATIENT_ID),
    (0x0010, 0x1000): ("LO", f"{CANARY}OTHER"),
    (0x0010, 0x2160): ("SH", f"{CANARY}GROUP"),
    (0x0010, 0x4000): ("LT", f"{CANARY}COMMENT"),
}
STUDY = "2.25.7001"
PAGES = ("/", "/live", "/ready", "/metrics", "/destinations", "/queue", "/queue/counts", f"/studies/{STUDY}")
ANSWER_S = 10.0


def plant_canaries(directory: Path) -> Outcome:
    """Send canaries in every way that may be quoted; look for them everywhere. Raises BrokenPromise."""
    destinations: dict[str, int | dict[str, object]] = {}
    outcome = Outcome("canaries outside the spool")
    rules: list[dict[str, object]] = [
        {"name": "named", "when": {"PatientName": "ZQ*", "PatientID": "ZQ*"}, "to": ["DOWN", "REFUSING"]},
    ]
    with fast_sink(directory, "refusing", fail_status="C000", fail_times=-1) as refusing:
        destinations = {
            "DOWN": free_port(),
            "REFUSING": {"port": refusing.port, "attempts_max": 1},
        }
        with router_process(directory, destinations, rules, log={"level": "debug"}) as router:
            outcome.runs, outcome.acknowledged = _send_all(router.port)
            wait_until(
                lambda: router.owed("REFUSING", "dead") > 0, 30, lambda: f"nothing is dead\n{router.log()}"
            )
            places = _places(router)
            router.stop()
            places["router.log"] = router.log_path.read_text(errors="replace")
    if "CANARIES" not in places["router.log"] or '"dead"' not in places["/queue"]:
        raise PeerFailed("the log or the queue does not know of the senders at all")
    found = {place for place, text in places.items() if CANARY in text}
    if found:
        quotes = [line for place in found for line in places[place].splitlines() if CANARY in line]
        raise BrokenPromise(f"canaries in {sorted(found)}: {quotes[:3]}")
    outcome.note = f"{len(places)} places looked at"
    return outcome


def _send_all(port: int) -> tuple[int, int]:
    """Return how many messages were sent, and how many were acknowledged."""
    statuses = [_send(port, uid, data, secret) for uid, data, secret in _messages()]
    return len(statuses), statuses.count(0)


def _messages() -> list[tuple[str, bytes, bytes]]:
    """Return (SOP Instance UID of the command, dataset, user identity) of each message."""
    good = _dataset(instance_uid(9, 1))
    passcode = identity(2, f"{CANARY}USER".encode(), f"{CANARY}PASS".encode())
    kerberos = identity(3, f"{CANARY}TICKET".encode())
    name_at = good.index(NAME.encode())
    return [
        (instance_uid(9, 1), good, passcode),
        (instance_uid(9, 1), good, kerberos),
        (instance_uid(9, 2), _dataset(instance_uid(9, 2)), b""),
        (instance_uid(9, 3), good, b""),  # another UID in the dataset
        (instance_uid(9, 1), good[: name_at + 4], b""),  # cut in the name
        (instance_uid(9, 1), good[:name_at] + good[name_at + 3 :], b""),  # lengths that do not fit
        (instance_uid(9, 1), f"{CANARY}NOTADATASET".encode() * 9, b""),
        (f"1.2.{CANARY}", good, b""),  # a UID that is none
        (f"{CANARY}" * 9, good, b""),
    ]


def _dataset(uid: str) -> bytes:
    elements: dict[tuple[int, int], tuple[str, str | int]] = {
        (0x0008, 0x0016): ("UI", SECONDARY_CAPTURE_STORAGE),
        (0x0008, 0x0018): ("UI", uid),
        (0x0008, 0x0060): ("CS", "OT"),
        (0x0020, 0x000D): ("UI", STUDY),
        (0x0020, 0x000E): ("UI", "2.25.7002"),
        (0x0020, 0x4000): ("LT", "x" * 300),
        **PLANTED,
    }
    return b"".join(element(*tag, *elements[tag]) for tag in sorted(elements))


def _send(port: int, uid: str, dataset: bytes, secret: bytes) -> int | None:
    """Send one instance on an association of its own; return the status, None without an answer."""
    contexts = context(1, SECONDARY_CAPTURE_STORAGE.encode(), EXPLICIT_VR_LITTLE_ENDIAN.encode())
    with suppress(OSError, PeerGone, KeyError, ValueError):
        with socket.create_connection((HOST, port), timeout=ANSWER_S) as sock:
            stream = PduStream(sock)
            sub_items = [secret] if secret else []
            sock.sendall(request(APPLICATION, contexts, user(*sub_items), calling=b"CANARIES"))
            if stream.read_pdu()[0] != wire.ASSOCIATE_AC:
                return None
            dataset += bytes(len(dataset) % 2)
            command = wire.command_pdu(1, wire.c_store_rq(SECONDARY_CAPTURE_STORAGE, uid, 1))
            sock.sendall(command + wire.pdata_head(1, wire.LAST_FRAGMENT, len(dataset)) + dataset)
            pdu_type, pdu = stream.read_pdu()
            if pdu_type == wire.P_DATA_TF:
                return wire.uint(wire.decode_command(stream.fragments(pdu)[0][2])[wire.STATUS])
    return None


def _places(router: RouterProcess) -> dict[str, str]:
    """Return the text of everything that may be read without reading the spool."""
    places = {page: router.get(page)[1] for page in PAGES}
    places |= {f"/queue/0-{number}": router.get(f"/queue/0-{number}")[1] for number in range(1, 6)}
    places["queue ls"] = router.command("queue", "ls", "--config", str(router.config_path)).stdout
    for process in router.tree():
        places[f"arguments of {process.pid}"] = " ".join(process.cmdline())
        with suppress(psutil.AccessDenied):
            places[f"environment of {process.pid}"] = str(process.environ())
    return places
