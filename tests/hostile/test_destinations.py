"""Hostile destinations (row 54): what an acceptor may do to our storage SCU.

Every row ends with the destination set back or the instance tried again, nothing of the association left,
another destination unaffected, and the instance delivered once the peer behaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from router.delivery.retry import ErrorClass
from router.standard.dimse_fields import (
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    STATUS,
)
from router.wire.pdus import AssociateAC, ContextResult, encode_pdu
from router.wire.user_information import AsynchronousOperationsWindow, UserInformation
from tests.support.hostile_octets import pdu
from tests.support.owed import Outcomes, destination, item, offer_all
from tests.support.raw_peer import RELEASE_RP, RELEASE_RQ, abort_pdu, command, echo_rq, pdata, pdv
from tests.support.scripted_scp import Peer, acceptance, honest, response, run, scripted_acceptor, until

IMPLICIT = "1.2.840.10008.1.2"
UNRECOGNISED, UNEXPECTED, INVALID = abort_pdu(2, 1), abort_pdu(2, 2), abort_pdu(2, 6)

Hostility = Callable[[Peer], Awaitable[None]]


def answers(octets: bytes) -> Hostility:
    """Answer the association request with these octets."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        peer.send(octets)
        await peer.read_pdu()

    return script


def accepts_with(change: Callable[[AssociateAC], AssociateAC | bytes]) -> Hostility:
    """Answer with a changed acceptance."""

    async def script(peer: Peer) -> None:
        ac = change(acceptance(await peer.read_request()))
        peer.send(ac if isinstance(ac, bytes) else encode_pdu(ac))
        await peer.read_pdu()

    return script


def accepts_and_sends(octets: bytes) -> Hostility:
    """Accept, and send these octets when the request has come."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.read_message()
        peer.send(octets)
        while (await peer.read_pdu())[0] == 4:
            pass

    return script


def with_results(*results: ContextResult) -> Callable[[AssociateAC], AssociateAC]:
    return lambda ac: replace(ac, presentation_contexts=results)


def with_maximum_length(length: int) -> Callable[[AssociateAC], AssociateAC]:
    return lambda ac: replace(ac, user_information=UserInformation(maximum_length=length))


def with_result_octet(result: int) -> Callable[[AssociateAC], bytes]:
    def change(ac: AssociateAC) -> bytes:
        octets = bytearray(encode_pdu(ac))
        at = octets.index(b"\x21\x00")
        octets[at + 6] = result
        return bytes(octets)

    return change


def rsp(message_id: int = 1, **changes: int) -> bytes:
    fields = {
        COMMAND_FIELD: changes.get("field", 0x8001),
        MESSAGE_ID_BEING_RESPONDED_TO: message_id,
        COMMAND_DATA_SET_TYPE: changes.get("dataset", 0x0101),
        STATUS: 0,
    }
    return command(changes.get("context", 1), fields)


WITHOUT_STATUS = command(
    1, {COMMAND_FIELD: 0x8001, MESSAGE_ID_BEING_RESPONDED_TO: 1, COMMAND_DATA_SET_TYPE: 0x0101}
)

ABORTED: dict[str, tuple[Hostility, bytes]] = {
    "context-not-proposed": (
        accepts_with(with_results(ContextResult(1, 0, IMPLICIT), ContextResult(77, 0, IMPLICIT))),
        INVALID,
    ),
    "context-twice": (
        accepts_with(lambda ac: encode_pdu(ac)[:2] + _with_second_context(encode_pdu(ac))),
        INVALID,
    ),
    "result-5": (accepts_with(with_result_octet(5)), INVALID),
    "result-255": (accepts_with(with_result_octet(255)), INVALID),
    "transfer-syntax-not-offered": (
        accepts_with(with_results(ContextResult(1, 0, "1.2.840.10008.1.2.4.90"))),
        INVALID,
    ),
    "maximum-length-1": (accepts_with(with_maximum_length(1)), INVALID),
    "maximum-length-7": (accepts_with(with_maximum_length(7)), INVALID),
    "garbage": (answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"), UNRECOGNISED),
    "zeros": (answers(bytes(1000)), UNRECOGNISED),
    "request": (accepts_with(lambda ac: b"\x01" + encode_pdu(ac)[1:]), UNEXPECTED),
    "data-for-an-answer": (answers(pdata(pdv(1, 3, b"x"))), UNEXPECTED),
    "release-for-an-answer": (answers(RELEASE_RQ), UNEXPECTED),
    "acceptance-of-4-gigabytes": (answers(pdu(2, b"", 0xFFFFFFFF)), INVALID),
    "acceptance-of-length-3": (answers(pdu(2, bytes(3))), INVALID),
    "response-with-a-wrong-id": (accepts_and_sends(rsp(2)), UNEXPECTED),
    "response-of-another-service": (accepts_and_sends(rsp(field=0x8030)), UNEXPECTED),
    "response-without-a-status": (accepts_and_sends(WITHOUT_STATUS), INVALID),
    "response-on-an-unknown-context": (accepts_and_sends(rsp(context=5)), INVALID),
    "second-acceptance": (accepts_and_sends(b"\x02" + pdu(2, bytes(68))[1:]), UNEXPECTED),
    "unknown-pdu": (accepts_and_sends(pdu(0x0F, bytes(4))), UNRECOGNISED),
    "garbage-for-a-response": (accepts_and_sends(b"\xff" * 5000), UNRECOGNISED),
    "endless-command": (accepts_and_sends(pdata(pdv(1, 1, bytes(16000))) * 5), INVALID),
    "release-in-the-middle-of-a-message": (
        accepts_and_sends(pdata(pdv(1, 1, b"\0\0")) + RELEASE_RQ),
        UNEXPECTED,
    ),
    "p-data-over-the-announced-length": (accepts_and_sends(pdu(4, b"", 1 << 30)), INVALID),
}

ENDED: dict[str, tuple[Hostility, ErrorClass]] = {
    "rejection-out-of-the-table": (answers(pdu(3, b"\0\x09\x09\x09")), ErrorClass.REJECTED_TRANSIENT),
    "rejection-of-zeros": (answers(pdu(3, bytes(4))), ErrorClass.REJECTED_TRANSIENT),
    "abort-out-of-the-table": (answers(abort_pdu(77, 88)), ErrorClass.CONNECT),
    "close-at-once": (lambda peer: _nothing(), ErrorClass.CONNECT),
    "close-after-the-request": (answers(b""), ErrorClass.TIMEOUT),
    "never-ending-acceptance": (answers(pdu(2, bytes(100), 200_000)), ErrorClass.TIMEOUT),
    "no-answer-to-the-store": (accepts_and_sends(b""), ErrorClass.TIMEOUT),
    "half-a-response": (accepts_and_sends(rsp()[:20]), ErrorClass.TIMEOUT),
    "only-requests-of-its-own": (accepts_and_sends(command(1, echo_rq()) * 50), ErrorClass.TIMEOUT),
}  # fmt: skip


def _with_second_context(ac: bytes) -> bytes:
    """Return PDU-length and body of an acceptance whose first context stands twice."""
    at = ac.index(b"\x21\x00")
    end = at + 4 + int.from_bytes(ac[at + 2 : at + 4], "big")
    body = ac[6:end] + ac[at:end] + ac[end:]
    return len(body).to_bytes(4, "big") + body


async def _nothing() -> None:
    return


async def try_hostility(script: Hostility, seen: Callable[[Outcomes, Peer], bool]) -> Outcomes:
    """Send to a hostile destination, then behave; another destination must not notice."""
    outcomes, others = Outcomes(), Outcomes()
    is_hostile = True
    pdus: list[bytes] = []

    async def either(peer: Peer) -> None:
        if not is_hostile:
            await honest(peer)
            return
        await script(peer)
        pdus.append(peer.last_pdu)

    async with (
        scripted_acceptor(either) as hostile,
        scripted_acceptor() as good,
        destination(hostile.port, outcomes, dimse_s=0.3, acse_s=0.3) as one,
        destination(good.port, others) as other,
    ):
        one._driver.start()
        offer_all(one, [item(1)])
        offer_all(other, [item(seq) for seq in range(1, 11)])
        await until(lambda: len(others.delivered_items) == 10)
        await until(lambda: outcomes.failures or outcomes.unreached)
        await until(lambda: pdus and seen(outcomes, hostile.peers[0]))
        assert other.is_up
        is_hostile = False
        await until(lambda: outcomes.delivered_items)
        assert not outcomes.dead_items
        assert one.in_flight == one.queued == 0
        await until(lambda: one.is_up)
    return outcomes


async def must_be_aborted(script: Hostility, expected: bytes) -> None:
    """As try_hostility; the last that the peer gets is the expected A-ABORT."""
    last: list[bytes] = []

    def seen(outcomes: Outcomes, peer: Peer) -> bool:
        last[:] = [peer.last_pdu]
        return peer.last_pdu[:1] == b"\x07"

    await try_hostility(script, seen)
    assert last == [expected]


@pytest.mark.parametrize("row", ABORTED)
def test_a_violation_is_answered_with_the_standards_abort(row: str) -> None:
    run(must_be_aborted(*ABORTED[row]))


@pytest.mark.parametrize("row", ENDED)
def test_every_other_end_is_a_failure_that_is_tried_again(row: str) -> None:
    script, error_class = ENDED[row]

    async def test() -> None:
        outcomes = await try_hostility(script, lambda outcomes, peer: True)
        failures = outcomes.unreached or [failure for _, failure in outcomes.failures]
        assert failures[0].error_class is error_class

    run(test())


def test_a_flood_of_responses_is_an_abort_at_the_second() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        message = await peer.read_message()
        assert message is not None
        peer.send(response(message) * 10_000)
        await peer.read_pdu()

    async def test() -> None:
        outcomes = Outcomes()
        async with scripted_acceptor(script) as acceptor, destination(acceptor.port, outcomes) as one:
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            await until(lambda: acceptor.peers[0].last_pdu == UNEXPECTED)
            await until(lambda: one.associations_open == 0)

    run(test())


def test_a_flood_of_requests_is_refused_one_by_one_and_not_collected() -> None:
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        message = await peer.read_message()
        assert message is not None
        dataset = pdata(pdv(1, 0, bytes(16000))) * 500 + pdata(pdv(1, 2, b""))
        peer.send(command(1, {**echo_rq(9), COMMAND_DATA_SET_TYPE: 1}) + dataset)
        peer.respond(message)
        sent.set()
        await peer.read_message()
        await peer.serve()

    async def test() -> None:
        outcomes = Outcomes()
        async with scripted_acceptor(script) as acceptor, destination(acceptor.port, outcomes) as one:
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items and len(acceptor.messages) == 2)
            refusal = acceptor.peers[0].messages[1].command
            assert refusal[STATUS] == 0x0211
            assert one.associations_open == 1

    run(test())


def test_a_window_larger_than_proposed_is_not_used() -> None:
    async def script(peer: Peer) -> None:
        rq = await peer.read_request()
        ac = acceptance(rq)
        window = AsynchronousOperationsWindow(0, 0)
        peer.send(
            encode_pdu(replace(ac, user_information=UserInformation(65536, asynchronous_operations=window)))
        )
        await peer.read_message()
        await peer.serve()

    async def test() -> None:
        outcomes = Outcomes()
        async with (
            scripted_acceptor(script) as acceptor,
            destination(acceptor.port, outcomes, operations_max=2, dimse_s=5.0) as one,
        ):
            offer_all(one, [item(seq) for seq in range(1, 10)])
            await until(lambda: len(acceptor.messages) >= 2)
            assert one.in_flight <= 2
            acceptor.peers[0].respond(acceptor.messages[0])
            await until(lambda: len(outcomes.delivered_items) == 9)

    run(test())


def test_the_answer_to_our_release_may_be_anything() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        message = await peer.read_message()
        assert message is not None
        peer.respond(message)
        await peer.read_pdu()
        peer.send([RELEASE_RQ, b"\xff" * 100, abort_pdu(9, 9), RELEASE_RP + b"\xff" * 100][peer.number % 4])
        if peer.number % 4 == 0:
            assert (await peer.read_pdu())[0] == 6
            peer.send(RELEASE_RP)
        await peer.read_pdu()

    async def test() -> None:
        outcomes = Outcomes()
        async with (
            scripted_acceptor(script) as acceptor,
            destination(acceptor.port, outcomes, idle_s=0, acse_s=0.5) as one,
        ):
            for seq in range(1, 9):
                offer_all(one, [item(seq)])
                await until(lambda seq=seq: len(outcomes.delivered_items) == seq)
                one.tend(float("inf"))
                await until(lambda: not one._driver.connections)
            assert not outcomes.failures
            assert one.is_up
            assert len(acceptor.peers) == 8

    run(test())
