"""Invariant: whatever a peer sends, on either side, an association ends by the Standard's rules and no
procedure of ours raises; what we send are whole PDUs; at the end nothing is left in progress.

Allowed exceptions: none. (Errors thrown into the procedures of an association that ended are theirs.)
"""

from __future__ import annotations

from functools import partial

from router.errors import RouterError
from router.protocol.association import Association, Limits
from router.protocol.negotiation import AnyStorage, check_request, negotiate_as_acceptor
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.conversation import Conversation, Services
from router.services.establish import Acceptance
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Procedure
from router.standard.dimse_fields import C_ECHO_RQ, C_STORE_RQ
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ, decode_pdu, encode_pdu
from router.wire.user_information import UserInformation
from tests.codec.octets import pdata, pdv
from tests.fuzz.octets import Octets
from tests.support.hostile_octets import request
from tests.support.raw_peer import RELEASE_RP, RELEASE_RQ, associate_rq, command, echo_rq, store
from tests.support.scripted_scp import acceptance

LIMITS = Limits(pdu_max_bytes=20_000, control_pdu_max_bytes=20_000, command_max_bytes=2000)
SERVICES: Services = {
    **RESPONDERS_OF_REFUSAL,
    C_ECHO_RQ: partial(c_echo.respond, on_echo=lambda _: Reply(0)),
    C_STORE_RQ: partial(c_store.respond, on_store=lambda _: Reply(0)),
}
RQ = associate_rq()
RSP = {0x00000100: 0x8030, 0x00000120: 1, 0x00000800: 0x0101, 0x00000900: 0}


def decide(rq: AssociateRQ) -> Acceptance | AssociateRJ:
    """Accept all storage."""
    rejection = check_request(rq, ())
    if rejection is not None:
        return rejection
    outcome = negotiate_as_acceptor(rq, AnyStorage())
    ac = AssociateAC(rq.called_ae_title, rq.calling_ae_title, outcome.results, UserInformation(20_000))
    return Acceptance(ac, outcome.accepted)


def accept(association: Association) -> Procedure[None]:
    """Be an acceptor."""
    if (yield from establish.respond(association, decide)):
        yield from release.respond(association)


def ask(association: Association) -> Procedure[None]:
    """Be a requestor: associate, C-ECHO, release."""
    yield from establish.request(association, RQ, 30.0)
    yield from c_echo.request(association, 1, 1, 30.0)
    yield from release.request(association, 30.0)


def check(data: bytes) -> None:
    """Be one side of an association whose peer sends these octets."""
    octets = Octets(data)
    role = Role.REQUESTOR if octets.number(2) else Role.ACCEPTOR
    begins_well, split = octets.number(4), 1 + octets.number(600)
    association = Association(role, LIMITS)
    conversation = Conversation(association, SERVICES)
    task = conversation.start(ask(association) if role is Role.REQUESTOR else accept(association))
    association.transport_opened()
    conversation.pump()
    sent = bytearray()
    stream = octets.rest()
    if begins_well:
        stream = (encode_pdu(acceptance(RQ)) if role is Role.REQUESTOR else request()) + stream
    _feed(association, conversation, stream, split, sent)
    association.transport_closed()
    conversation.pump()
    assert conversation.ended is not None
    assert task.done
    assert task.error is None or isinstance(task.error, RouterError), task.error
    assert not conversation.is_busy
    assert not association.mid_message
    _check_output(bytes(sent))


def _feed(
    association: Association, conversation: Conversation, stream: bytes, split: int, sent: bytearray
) -> None:
    """Bring the stream in pieces, as a driver does."""
    at, turns = 0, 0
    while at < len(stream) and not association.close_connection:
        turns += 1
        assert turns < 10 * len(stream) + 100, "no progress"
        if association.blocked and not association.resume():
            conversation.pump()
            continue
        piece = stream[at : at + split]
        at += association.receive(piece, 0, len(piece))
        conversation.pump()
        while association.has_output:
            for buffer in association.next_output():
                sent += buffer


def _check_output(sent: bytes) -> None:
    at = 0
    while at < len(sent):
        end = at + 6 + int.from_bytes(sent[at + 2 : at + 6], "big")
        assert end <= len(sent), "half a PDU was sent"
        decode_pdu(sent[at:end])
        at = end


def seeds() -> list[bytes]:
    """Return exchanges that go well, on both sides."""
    echo = command(1, echo_rq(1))
    return [
        bytes([0, 1, 2, 0]) + echo + store(2) + RELEASE_RQ,
        bytes([0, 1, 0, 7]) + store(2, payload=bytes(300), fragment=64) + echo,
        bytes([0, 0, 1, 0]) + request() + echo + RELEASE_RQ,
        bytes([1, 1, 2, 0]) + command(1, RSP) + RELEASE_RP,
        bytes([1, 0, 1, 0]) + encode_pdu(acceptance(RQ)) + command(1, RSP) + RELEASE_RQ,
        bytes([1, 1, 2, 0]) + echo + pdata(pdv(1, 1, b"\0\0")),
    ]
