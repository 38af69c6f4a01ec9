"""Hostile destinations, octet by octet (row 54): the rows of acceptors turned towards our storage SCU.

As in test_destinations: the violation gets the Standard's abort, a healthy destination does not notice, and
the instance is delivered once the peer behaves. What must be tolerated is delivered at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from router.delivery.retry import ErrorClass
from router.standard.dimse_fields import COMMAND_DATA_SET_TYPE, COMMAND_FIELD, MESSAGE_ID_BEING_RESPONDED_TO
from router.wire import codec
from router.wire.pdus import encode_pdu
from tests.hostile.test_destinations import (
    ABORTED,
    INVALID,
    Hostility,
    accepts_and_sends,
    accepts_with,
    answers,
    must_be_aborted,
    rsp,
    try_hostility,
)
from tests.support.hostile_octets import item as octets_of_item
from tests.support.hostile_octets import pdu
from tests.support.owed import Bytes, Outcomes, destination, item, offer_all
from tests.support.raw_peer import abort_pdu, command, pdata, pdv, raw_acceptor
from tests.support.scripted_scp import Message, Peer, acceptance, run, scripted_acceptor, until

UNEXPECTED_PARAMETER = abort_pdu(2, 5)
DATASET = b"\x08\x00\x16\x00\x04\x00\x00\x001.2\x00"


def changed_items(change: Callable[[bytes], bytes]) -> Hostility:
    """Accept with the items behind the fixed fields changed."""

    def octets(ac: bytes) -> bytes:
        body = ac[6:74] + change(ac[74:])
        return pdu(2, body)

    return accepts_with(lambda ac: octets(encode_pdu(ac)))


def with_item_length(kind: int, more: int) -> Callable[[bytes], bytes]:
    """Let the first item or sub-item of a kind claim more octets than there are."""

    def change(items: bytes) -> bytes:
        at = items.index(bytes([kind, 0]))
        length = int.from_bytes(items[at + 2 : at + 4], "big") + more
        return items[:at] + items[at : at + 2] + min(length, 0xFFFF).to_bytes(2, "big") + items[at + 4 :]

    return change


def with_context_id(context_id: int) -> Callable[[bytes], bytes]:
    """Give the first presentation context another id."""

    def change(items: bytes) -> bytes:
        at = items.index(b"\x21\0") + 4
        return items[:at] + bytes([context_id]) + items[at + 1 :]

    return change


RSP = codec.encode_command(
    {COMMAND_FIELD: 0x8001, MESSAGE_ID_BEING_RESPONDED_TO: 1, COMMAND_DATA_SET_TYPE: 0x0101, 0x0900: 0}
)


def raw_pdv(length: int, rest: bytes) -> bytes:
    return pdu(4, length.to_bytes(4, "big") + rest)


VIOLATIONS: dict[str, tuple[Hostility, bytes]] = {
    **{
        f"7-item-{kind:x}-{more}": (changed_items(with_item_length(kind, more)), INVALID)
        for kind in (0x10, 0x21, 0x40, 0x50, 0x51)
        for more in (600, 0xFFFF)
    },
    "6-acceptance-of-length-0": (answers(pdu(2, b"")), INVALID),
    "12-even-id": (changed_items(with_context_id(2)), INVALID),
    "23-pdv-length-0": (accepts_and_sends(raw_pdv(0, b"\x01\x03")), INVALID),
    "23-pdv-length-1": (accepts_and_sends(raw_pdv(1, b"\x01\x03")), INVALID),
    "23-pdv-longer-than-the-pdu": (accepts_and_sends(raw_pdv(len(RSP) + 3, b"\x01\x03" + RSP)), INVALID),
    "23-pdv-length-80000000": (accepts_and_sends(raw_pdv(0x80000000, b"\x01\x03" + RSP)), INVALID),
    "23-pdv-length-ffffffff": (accepts_and_sends(raw_pdv(0xFFFFFFFF, b"\x01\x03" + RSP)), INVALID),
    "24-ten-thousand-empty-fragments": (
        accepts_and_sends(pdata(pdv(1, 1, b"")) + pdata(*[pdv(1, 1, b"")] * 10_000)),
        INVALID,
    ),
    "24-ten-thousand-without-a-pdv": (accepts_and_sends(pdata() * 10_000), INVALID),
    "26-context-even": (accepts_and_sends(pdata(pdv(2, 3, RSP))), INVALID),
    "27-data-before-command": (accepts_and_sends(pdata(pdv(1, 2, DATASET))), UNEXPECTED_PARAMETER),
    "27-command-not-last-then-data": (
        accepts_and_sends(pdata(pdv(1, 1, RSP), pdv(1, 2, DATASET))),
        UNEXPECTED_PARAMETER,
    ),
    "29-element-overruns": (accepts_and_sends(pdata(pdv(1, 3, RSP[:-2]))), INVALID),
    "29-random": (accepts_and_sends(pdata(pdv(1, 3, bytes(range(7, 200))))), INVALID),
    "29-empty-command": (accepts_and_sends(pdata(pdv(1, 3, b""))), INVALID),
    "45-release-of-length-0": (accepts_and_sends(b"\x05\0\0\0\0\0"), INVALID),
}  # fmt: skip


def responds_with(octets: bytes, split: int = 0) -> Hostility:
    """Accept, and answer every store with these octets, in pieces of so many."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        while await peer.read_message():
            for start in range(0, len(octets), split or len(octets)):
                peer.send(octets[start : start + (split or len(octets))])
                await peer.writer.drain()

    return script


def accepts_and_serves(change: Callable[[bytes], bytes]) -> Hostility:
    """Accept with changed octets, and serve honestly."""

    async def script(peer: Peer) -> None:
        peer.send(change(encode_pdu(acceptance(await peer.read_request()))))
        await peer.serve()

    return script


def with_more_items(more: bytes) -> Callable[[bytes], bytes]:
    return lambda ac: pdu(2, ac[6:] + more)


def with_maximum_length(length: int) -> Hostility:
    async def script(peer: Peer) -> None:
        ac = acceptance(await peer.read_request())
        information = replace(ac.user_information, maximum_length=length)
        peer.send(encode_pdu(replace(ac, user_information=information)))
        await peer.serve()

    return script


TOLERATED: dict[str, Hostility] = {
    "9-version-ffff": accepts_and_serves(lambda ac: ac[:6] + b"\xff\xff" + ac[8:]),
    "10-another-application-context": accepts_and_serves(
        lambda ac: ac.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9")
    ),
    "16-unknown-item": accepts_and_serves(with_more_items(octets_of_item(0x99, b"what"))),
    "18-titles-not-echoed": accepts_and_serves(
        lambda ac: ac[:10] + b'\r\n../{}"\x1b\0' * 3 + b"xx" + ac[42:]
    ),
    "19-maximum-length-0": with_maximum_length(0),
    "19-maximum-length-12": with_maximum_length(12),
    "19-maximum-length-ffffffff": with_maximum_length(0xFFFFFFFF),
    "39-reserved-bits": responds_with(pdata(pdv(1, 0xFF, RSP))),
    "24-some-empty-fragments": responds_with(pdata() + pdata(pdv(1, 1, b"")) * 20 + pdata(pdv(1, 3, RSP))),
    "38-odd-fragments": responds_with(
        b"".join(pdata(pdv(1, 1, RSP[at : at + 1])) for at in range(len(RSP))) + pdata(pdv(1, 3, b""))
    ),
    "20-one-octet-at-a-time": responds_with(pdata(pdv(1, 3, RSP)), split=1),
}


@pytest.mark.parametrize("row", VIOLATIONS)
def test_a_violation_is_answered_with_the_standards_abort(row: str) -> None:
    run(must_be_aborted(*VIOLATIONS[row]))


@pytest.mark.parametrize("row", TOLERATED)
def test_what_must_be_tolerated_delivers(row: str) -> None:
    async def test() -> None:
        outcomes = Outcomes()
        async with scripted_acceptor(TOLERATED[row]) as acceptor, destination(acceptor.port, outcomes) as one:
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            assert acceptor.messages[0].dataset == DATASET
        assert not outcomes.failures

    run(test())


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("at", ["before-the-answer", "in-the-answer", "in-the-response"])
def test_row_44_an_end_at_any_time_is_tried_again(how: str, at: str) -> None:
    async def script(peer: Peer) -> None:
        if at == "in-the-response":
            await peer.accept()
            await peer.read_message()
            peer.send(rsp()[:20])
        else:
            ac = encode_pdu(acceptance(await peer.read_request()))
            peer.send(ac[:100] if at == "in-the-answer" else b"")
        await peer.writer.drain()
        if how == "rst":
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def test() -> None:
        outcomes = await try_hostility(_then_end(script), lambda *_: True)
        failures = outcomes.unreached or [failure for _, failure in outcomes.failures]
        assert failures[0].error_class in (ErrorClass.CONNECT, ErrorClass.ABORTED, ErrorClass.TIMEOUT)

    run(test())


def _then_end(script: Callable[[Peer], Awaitable[None]]) -> Hostility:
    async def ended(peer: Peer) -> None:
        await script(peer)
        peer.writer.close()

    return ended


def test_row_20_an_acceptance_that_dribbles_in_is_given_up_in_total() -> None:
    async def script(peer: Peer) -> None:
        ac = encode_pdu(acceptance(await peer.read_request()))
        abort = asyncio.ensure_future(peer.read_pdu())
        for octet in ac[:-1]:
            peer.send(bytes([octet]))
            await asyncio.wait([abort], timeout=0.01)
            if abort.done():
                return
        await abort

    async def test() -> None:
        outcomes = await try_hostility(script, lambda *_: True)
        assert outcomes.unreached[0].error_class is ErrorClass.TIMEOUT

    run(test())


def test_row_46_a_destination_that_takes_no_octet_of_the_dataset_is_given_up() -> None:
    async def test() -> None:
        outcomes, others = Outcomes(), Outcomes()
        payload = Bytes(bytes(32 << 20))
        async with (
            raw_acceptor() as frozen,
            scripted_acceptor() as good,
            destination(frozen.port, outcomes, dimse_s=0.5) as one,
            destination(good.port, others) as other,
        ):
            accepting = asyncio.ensure_future(frozen.accept())
            offer_all(one, [item(1, payload=payload)])
            offer_all(other, [item(seq) for seq in range(1, 11)])
            await accepting
            await until(lambda: len(others.delivered_items) == 10)
            await until(lambda: outcomes.failures)
            assert outcomes.failures[0][1].error_class in (ErrorClass.TIMEOUT, ErrorClass.ABORTED)
            await until(lambda: payload.readers == 0)

    run(test())


@pytest.mark.parametrize("maximum_length", [13, 16, 1000, 16385, 0])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_row_38_what_came_in_odd_pieces_leaves_in_even_fragments(
    maximum_length: int, is_streamed: bool
) -> None:
    """Odd fragments crash archives (PS3.8 section E.1); the bytes are those that came."""
    dataset = DATASET + os.urandom(4000)
    parts = [dataset[:512], dataset[512:514], dataset[514:]] if is_streamed else [
        dataset[:1], dataset[1:8], dataset[8:1003], dataset[1003:]
    ]  # fmt: skip

    async def test() -> None:
        outcomes, sizes = Outcomes(), []

        async def script(peer: Peer) -> None:
            ac = acceptance(await peer.read_request())
            information = replace(ac.user_information, maximum_length=maximum_length)
            peer.send(encode_pdu(replace(ac, user_information=information)))
            received, message = b"", None
            while message is None:
                pdu_type, body = await peer.read_pdu()
                assert pdu_type == 4
                while body:
                    length = int.from_bytes(body[:4], "big")
                    if not body[5] & 1:
                        sizes.append(length - 2)
                        received += body[6 : 4 + length]
                    if body[5] == 2:
                        message = Message(1, {}, received)
                    body = body[4 + length :]
            peer.messages.append(message)
            peer.send(pdata(pdv(1, 3, RSP)))
            await peer.read_pdu()

        async with scripted_acceptor(script) as acceptor, destination(acceptor.port, outcomes) as one:
            offer_all(one, [item(1, payload=Bytes(*parts, is_streamed=is_streamed))])
            await until(lambda: outcomes.delivered_items)
            assert acceptor.peers[0].messages[0].dataset == dataset
            assert not any(size % 2 for size in sizes)

    run(test())


def test_the_rows_are_none_of_the_others() -> None:
    assert not VIOLATIONS.keys() & ABORTED.keys()
    assert command(1, {COMMAND_FIELD: 0x8001}) != pdata(pdv(1, 3, RSP))
