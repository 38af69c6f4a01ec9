"""Invariant: a control PDU of the peer's is decoded or is a violation with a reason; a decoded request can be
checked, negotiated, answered and logged whatever it says; a decoded acceptance is negotiated or a violation;
what can be encoded again decodes to the same.

Allowed exceptions: PeerViolation from decoding and from negotiating as requestor; LocalMisuse from encoding
what the peer sent (values that we must not send).
"""

from __future__ import annotations

from router.errors import LocalMisuse, PeerViolation
from router.protocol.negotiation import (
    AnyStorage,
    check_request,
    negotiate_as_acceptor,
    negotiate_as_requestor,
)
from router.standard.printable import printable
from router.wire.pdus import AssociateAC, AssociateRQ, Pdu, ProposedContext, decode_pdu, encode_pdu
from router.wire.user_information import UserInformation
from tests.support.hostile_octets import APPLICATION, CT, ECHO, identity, item, pdu, request, user
from tests.support.raw_peer import RELEASE_RQ, abort_pdu, associate_rq
from tests.support.scripted_scp import acceptance

PROPOSED = AssociateRQ(
    "CALLED",
    "CALLING",
    tuple(ProposedContext(n, "1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2",)) for n in (1, 3, 5)),
    UserInformation(maximum_length=16384),
)


def check(data: bytes) -> None:
    """Decode one PDU and do with it what we do."""
    if len(data) < 6:
        return
    octets = data[:2] + (len(data) - 6).to_bytes(4, "big") + data[6:]
    try:
        decoded = decode_pdu(octets)
    except PeerViolation as violation:
        assert 0 <= violation.reason <= 6
        assert str(violation).isprintable()
        return
    if isinstance(decoded, AssociateRQ):
        _take_request(decoded)
    elif isinstance(decoded, AssociateAC):
        try:
            negotiate_as_requestor(PROPOSED, decoded)
        except PeerViolation as violation:
            assert str(violation).isprintable()
    _encode_again(decoded)


def _take_request(rq: AssociateRQ) -> None:
    assert printable(rq.calling_ae_title).isprintable()
    rejection = check_request(rq, ("ROUTER",))
    outcome = negotiate_as_acceptor(rq, AnyStorage())
    assert [one.context_id for one in outcome.results] == [one.context_id for one in rq.presentation_contexts]
    if rejection is None:
        answer = encode_pdu(
            AssociateAC(
                rq.called_ae_title,
                rq.calling_ae_title,
                outcome.results,
                UserInformation(maximum_length=16384, role_selections=outcome.role_selections),
            )
        )
        assert isinstance(decode_pdu(answer), AssociateAC)


def _encode_again(decoded: Pdu) -> None:
    try:
        octets = encode_pdu(decoded)
    except LocalMisuse:
        return
    assert decode_pdu(octets) == decoded


def seeds() -> list[bytes]:
    """Return requests and acceptances, good ones and strange ones."""
    rq = associate_rq()
    role = item(0x54, b"\0\x071.2.3.4\x01\x01")
    return [
        request(),
        request(APPLICATION, ECHO, CT, user(role, identity(2, b"me", b"pw"), item(0x53, bytes(4)))),
        request(APPLICATION, ECHO, item(0x99, b"what"), user(item(0x55, b"NAME"), item(0x56, b"\0\x011\0"))),
        pdu(2, request()[6:]),
        b"".join([b"\x02", request()[1:]]),
        bytes([3, 0, 0, 0, 0, 4, 0, 1, 1, 1]),
        RELEASE_RQ,
        abort_pdu(2, 1),
        encode_pdu(acceptance(rq)),
        encode_pdu(acceptance(PROPOSED)),
    ]
