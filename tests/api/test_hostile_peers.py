"""Peers that break the rules: each gets the Standard's answer, and no thread of ours ever dies of it.

What is sent to an SCP are the rows of tests/hostile, which the router's acceptor is tested with.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from router.protocol.negotiation import SupportedContext, SupportedContexts, negotiate_as_acceptor
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    DATASET_PRESENT,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    STATUS,
)
from router.wire import codec
from router.wire.pdus import AssociateAC, AssociateRQ, ProposedContext, encode_pdu
from router.wire.user_information import UserInformation
from tests.api.conftest import Pair
from tests.hostile.test_messages import ABORTED, ANSWERED
from tests.support.datasets import CT, DEFLATED, STUDY_FIND, VERIFICATION, query
from tests.support.hostile_octets import APPLICATION, ECHO, item, request, user
from tests.support.raw_acceptor import RawAcceptor, raw_acceptor
from tests.support.raw_peer import RELEASE_RQ, abort_pdu, associate_rq, command, pdata, pdv

WAIT_S = 30
NOT_DEFLATED = b"\xff" * 20
"""No dataset in a deflated transfer syntax, and nothing that pydicom would read all the same."""


@pytest.fixture(autouse=True)
def no_thread_dies(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[pytest.LogCaptureFixture]:
    """Fail if an exception ends a thread, or is logged as something that nobody expected."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    yield caplog
    assert died == []
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.fixture
def port(ours: Pair) -> int:
    handlers = [(ours.scp.evt.EVT_C_STORE, lambda event: 0x0000)]
    return int(ours.serve([VERIFICATION, CT], handlers, acse_timeout=10).server_address[1])


class Peer:
    """A socket that reads whole PDUs."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.settimeout(WAIT_S)
        self.close = self.sock.close

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except ConnectionError:
            return  # the other side has heard enough

    def read_pdu(self) -> bytes:
        """Return one PDU; b"" at the end of the connection."""
        try:
            head = self.sock.recv(6, socket.MSG_WAITALL)
            return head + self.sock.recv(int.from_bytes(head[2:]), socket.MSG_WAITALL)
        except ConnectionError:
            return b""

    def associate(self) -> None:
        self.send(encode_pdu(associate_rq()))
        assert self.read_pdu()[:1] == b"\x02"


@pytest.fixture
def peer(port: int) -> Iterator[Peer]:
    with closing(Peer(port)) as connected:
        yield connected


def is_served(ours: Pair, port: int) -> bool:
    with ours.associate(port, [VERIFICATION]) as assoc:
        return bool(assoc.send_c_echo().Status == 0x0000)


BEFORE: dict[str, tuple[bytes, bytes]] = {
    "http": (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", abort_pdu(0, 0)),
    "p-data-first": (pdata(pdv(1, 3, b"")), abort_pdu(0, 0)),
    "release-first": (RELEASE_RQ, abort_pdu(0, 0)),
    "protocol-version-2": (request(version=2), bytes([3, 0, 0, 0, 0, 4, 0, 1, 2, 2])),
    "another-application": (
        request(item(0x10, b"1.2.3"), ECHO, user()), bytes([3, 0, 0, 0, 0, 4, 0, 1, 1, 2]),
    ),
    "item-longer-than-the-pdu": (request(APPLICATION, ECHO, item(0x50, b"", 99)), abort_pdu(0, 0)),
    "four-gigabytes": (b"\x01\0\xff\xff\xff\xff", abort_pdu(0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("row", BEFORE)
def test_what_is_no_request_is_answered_and_counted_and_nothing_else(
    row: str, ours: Pair, port: int, peer: Peer, no_thread_dies: pytest.LogCaptureFixture
) -> None:
    sent, answer = BEFORE[row]
    peer.send(sent)
    told = peer.read_pdu()
    assert told[:1] == answer[:1]
    if answer[:1] == b"\x03":
        assert told == answer
    assert is_served(ours, port)


def test_a_probe_leaves_nothing_but_a_count(ours: Pair, no_thread_dies: pytest.LogCaptureFixture) -> None:
    server = ours.serve([VERIFICATION])
    with no_thread_dies.at_level(logging.WARNING, logger="router"):
        for octets in (b"", b"", b"GET / HTTP/1.1\r\n\r\n"):
            with closing(socket.create_connection(server.server_address)) as probe:
                probe.settimeout(WAIT_S)
                probe.sendall(octets)
                if octets:
                    assert probe.recv(100)[:1] == b"\x07"
        assert is_served(ours, server.server_address[1])
        assert no_thread_dies.text == ""
    assert server.connections_accepted == 4


@pytest.mark.parametrize("row", ABORTED)
def test_what_breaks_the_protocol_is_aborted_for_the_right_reason(
    row: str, ours: Pair, port: int, peer: Peer
) -> None:
    sent, answer = ABORTED[row]
    peer.associate()
    peer.send(sent)
    assert peer.read_pdu() == answer
    assert is_served(ours, port)


@pytest.mark.parametrize("row", ANSWERED)
def test_what_cannot_be_meant_is_answered_and_the_association_goes_on(
    row: str, port: int, peer: Peer
) -> None:
    sent, status = ANSWERED[row]
    peer.associate()
    for _ in range(2):
        peer.send(sent)
        assert codec.decode_command(peer.read_pdu()[12:])[STATUS] == status
    peer.send(RELEASE_RQ)
    assert peer.read_pdu()[:1] == b"\x06"


def test_a_query_that_cannot_be_decoded_is_the_handlers_to_answer(
    ours: Pair, no_thread_dies: pytest.LogCaptureFixture
) -> None:
    def find(event: Any) -> Any:
        try:
            yield (0xFF00, event.identifier) if len(event.identifier.PatientID) else (0xA900, None)
        except Exception:
            yield 0xA900, None

    server = ours.serve([(STUDY_FIND, DEFLATED)], [(ours.scp.evt.EVT_C_FIND, find)])
    with closing(Peer(server.server_address[1])) as peer:
        contexts = (ProposedContext(1, STUDY_FIND, (DEFLATED,)),)
        peer.send(encode_pdu(associate_rq(presentation_contexts=contexts)))
        assert peer.read_pdu()[:1] == b"\x02"
        asked = {
            AFFECTED_SOP_CLASS_UID: STUDY_FIND, COMMAND_FIELD: 0x0020, 0x0110: 1, 0x0700: 0,
            COMMAND_DATA_SET_TYPE: DATASET_PRESENT,
        }  # fmt: skip
        peer.send(command(1, asked) + pdata(pdv(1, 2, NOT_DEFLATED)))
        assert codec.decode_command(peer.read_pdu()[12:])[STATUS] == 0xA900


# The other way round: an SCP that breaks the rules


def response(field: int, message_id: int = 1, **more: Any) -> dict[int, Any]:
    fields = {
        AFFECTED_SOP_CLASS_UID: STUDY_FIND,
        COMMAND_FIELD: field,
        MESSAGE_ID_BEING_RESPONDED_TO: message_id,
        COMMAND_DATA_SET_TYPE: NO_DATASET,
        STATUS: 0,
    }
    return fields | more.get("fields", {})


def without(fields: dict[int, Any], tag: int) -> dict[int, Any]:
    return {key: value for key, value in fields.items() if key != tag}


def accept_everything(rq: AssociateRQ) -> AssociateAC:
    supported = [
        SupportedContext(context.abstract_syntax, context.transfer_syntaxes, None)
        for context in rq.presentation_contexts
    ]
    outcome = negotiate_as_acceptor(rq, SupportedContexts(supported))
    information = UserInformation(maximum_length=16382, implementation_class_uid="1.2.3")
    return AssociateAC(rq.called_ae_title, rq.calling_ae_title, outcome.results, information)


BAD_RESPONSES: dict[str, bytes] = {
    "of-another-service": command(1, response(0x8001)),
    "to-another-message": command(1, response(0x8030, message_id=77)),
    "in-another-context": command(3, response(0x8030)),
    "without-status": command(1, without(response(0x8030), STATUS)),
    "without-message": command(1, without(response(0x8030), MESSAGE_ID_BEING_RESPONDED_TO)),
    "that-is-a-request-never-heard-of": pdata(pdv(1, 3, b"\0\0\0\x01\x02\0\0\0\x30")),
    "of-octets": bytes(range(100)),
    "that-is-a-release": RELEASE_RQ,
    "that-is-an-abort": abort_pdu(2, 0),
}


@pytest.mark.parametrize("row", BAD_RESPONSES)
def test_a_bad_response_is_an_empty_status(row: str, ours: Pair) -> None:
    with raw_acceptor() as acceptor:
        assoc = ours.associate(acceptor.port, [VERIFICATION, CT])
        assert assoc.is_established
        answering = threading.Thread(target=answer_with, args=(acceptor, BAD_RESPONSES[row]))
        answering.start()
        status = assoc.send_c_echo()
        answering.join(WAIT_S)
        assert not status
        assert not assoc.is_established or row == "that-is-a-release"


def test_a_connection_that_is_closed_is_an_empty_status(ours: Pair) -> None:
    with raw_acceptor() as acceptor:
        assoc = ours.associate(acceptor.port, [VERIFICATION])
        answering = threading.Thread(target=answer_with, args=(acceptor, b""))
        answering.start()
        assert not assoc.send_c_echo()
        answering.join(WAIT_S)
        assert assoc.is_aborted


def answer_with(acceptor: RawAcceptor, octets: bytes, sop_class: str = VERIFICATION) -> None:
    acceptor.read_until(sop_class.encode())
    acceptor.send(octets)
    if octets in (RELEASE_RQ, b""):
        acceptor.close()


def test_a_match_that_cannot_be_decoded_is_none_and_the_query_goes_on(ours: Pair) -> None:
    pending = response(0x8020, fields={STATUS: 0xFF00, COMMAND_DATA_SET_TYPE: DATASET_PRESENT})
    octets = command(1, pending) + pdata(pdv(1, 2, NOT_DEFLATED)) + command(1, response(0x8020))
    with raw_acceptor(accept_everything) as acceptor:
        assoc = ours.associate(acceptor.port, [(STUDY_FIND, DEFLATED)])
        answering = threading.Thread(target=answer_with, args=(acceptor, octets, STUDY_FIND))
        answering.start()
        found = list(assoc.send_c_find(query(), STUDY_FIND))
        answering.join(WAIT_S)
        assert [status.Status for status, _ in found] == [0xFF00, 0x0000]
