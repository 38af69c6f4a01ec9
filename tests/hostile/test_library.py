"""The same octets sent to a server of the library: what it does otherwise than the router is listed.

One server takes all rows, each followed by an honest C-ECHO; at the end it holds no association, no thread
and no descriptor more than at its start.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest

from router import AE, ALL_TRANSFER_SYNTAXES, evt
from router.standard.dimse_fields import STATUS
from router.standard.uids import CT_IMAGE_STORAGE, VERIFICATION
from router.wire import codec
from router.wire.pdus import AssociateAC, decode_pdu, encode_pdu
from tests.hostile import test_messages, test_requests
from tests.hostile.message_octets import DATASET
from tests.support.raw_peer import ECHO_CONTEXT, RELEASE_RP, RELEASE_RQ, associate_rq, command, echo_rq
from tests.support.threads import busy_threads

WAIT_S = 15.0
LEFT_S = 60.0
PDU_MAX_BYTES = test_messages.PDU_MAX_BYTES

NOT_THE_ROUTERS: dict[str, bytes] = {}
"""Rows that the library answers otherwise, and how."""

STATUSES = {"33-class-is-not-the-contexts": 0x0122}


class Peer:
    """One connection to the server, blocking."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self.sock.settimeout(WAIT_S)

    def send(self, octets: bytes) -> None:
        """Send octets; a connection that is gone is no error."""
        try:
            self.sock.sendall(octets)
        except ConnectionError:
            return

    def read_pdu(self) -> bytes:
        """Read one PDU; b"" at the end of the connection."""
        head = self._exactly(6)
        return head and head + self._exactly(int.from_bytes(head[2:], "big"))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionError:
                return b""
            if not part:
                return b""
            data += part
        return data

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def until(condition: Any) -> None:
    """Wait until the condition holds."""
    end = monotonic() + LEFT_S
    while not condition():
        assert monotonic() < end
        sleep(0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    stored: list[bytes] = []

    def on_store(event: evt.Event) -> int:
        stored.append(event.encoded_dataset(include_meta=False))
        return 0x0000

    ae = AE("ROUTER")
    ae.maximum_pdu_size = PDU_MAX_BYTES
    ae.acse_timeout = ae.network_timeout = ae.dimse_timeout = WAIT_S
    for uid in (VERIFICATION, CT_IMAGE_STORAGE):
        ae.add_supported_context(uid, ALL_TRANSFER_SYNTAXES)
    one = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    echo(one.server_address[1])
    threads, descriptors = busy_threads(), len(os.listdir("/proc/self/fd"))
    one.stored = stored
    yield one
    until(lambda: not ae.active_associations)
    until(lambda: busy_threads() <= threads)
    until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    one.shutdown()


def echo(port: int) -> None:
    """An honest peer must be served."""
    with Peer(port) as peer:
        peer.send(encode_pdu(associate_rq()))
        assert peer.read_pdu()[:1] == b"\x02"
        peer.send(command(ECHO_CONTEXT, echo_rq()))
        assert codec.decode_command(peer.read_pdu()[12:])[STATUS] == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP


@pytest.mark.parametrize("row", test_requests.ANSWERED)
def test_a_hostile_request_is_answered_as_by_the_router(server: Any, row: str) -> None:
    octets, expected = test_requests.ANSWERED[row]
    with Peer(server.server_address[1]) as peer:
        peer.send(octets)
        assert peer.read_pdu() == NOT_THE_ROUTERS.get(row, expected)
    echo(server.server_address[1])


@pytest.mark.parametrize("row", test_requests.ACCEPTED)
def test_a_strange_request_is_served_as_by_the_router(server: Any, row: str) -> None:
    octets, results = test_requests.ACCEPTED[row]
    with Peer(server.server_address[1]) as peer:
        peer.send(octets)
        ac = decode_pdu(peer.read_pdu())
        assert isinstance(ac, AssociateAC)
        assert {one.context_id: one.result for one in ac.presentation_contexts} == results
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
    echo(server.server_address[1])


@pytest.mark.parametrize("row", test_messages.ABORTED)
def test_a_violation_is_aborted_as_by_the_router(server: Any, row: str) -> None:
    octets, expected = test_messages.ABORTED[row]
    server.stored.clear()
    with Peer(server.server_address[1]) as peer:
        peer.send(encode_pdu(associate_rq()))
        assert peer.read_pdu()[:1] == b"\x02"
        peer.send(octets)
        assert peer.read_pdu() == NOT_THE_ROUTERS.get(row, expected)
    echo(server.server_address[1])
    assert not server.stored


@pytest.mark.parametrize("row", test_messages.ANSWERED)
def test_a_wrong_message_gets_the_routers_status(server: Any, row: str) -> None:
    octets, status = test_messages.ANSWERED[row]
    server.stored.clear()
    with Peer(server.server_address[1]) as peer:
        peer.send(encode_pdu(associate_rq()))
        assert peer.read_pdu()[:1] == b"\x02"
        peer.send(octets)
        assert codec.decode_command(peer.read_pdu()[12:])[STATUS] == STATUSES.get(row, status)
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
    echo(server.server_address[1])
    assert server.stored == ([DATASET] if status == 0 else [])
