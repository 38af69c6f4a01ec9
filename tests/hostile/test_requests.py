"""Hostile octets in place of an association request, and hostile requests (rows 1-20 and 50).

Every row ends with an honest C-ECHO on a new association and with nothing left of the hostile one.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from router.standard.uids import CT_IMAGE_STORAGE, VERIFICATION
from router.wire import codec
from router.wire.pdus import AssociateAC, decode_pdu
from tests.support.hostile_octets import (
    APPLICATION,
    CT,
    ECHO,
    IMPLEMENTATION,
    IMPLICIT,
    MAXIMUM_LENGTH,
    context,
    identity,
    item,
    pdu,
    request,
    user,
)
from tests.support.live_acceptor import live_acceptor
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    abort_pdu,
    command,
    echo_rq,
    pdata,
    pdv,
    raw_peer,
)
from tests.support.scripted_scp import run, until

AA_1 = abort_pdu(0, 0)
CLOSED = b""


def rejected(result: int, source: int, reason: int) -> bytes:
    return bytes([3, 0, 0, 0, 0, 4, 0, result, source, reason])


def overruns() -> dict[str, bytes]:
    """Each level, each type: an item that claims one byte, and 64 KiB, more than its parent holds."""
    uid, window = b"1.2.3.4", bytes(4)
    role = len(uid).to_bytes(2, "big") + uid + b"\x01\x01"
    inner = {0x51: bytes(4), 0x52: uid, 0x53: window, 0x54: role, 0x55: b"X", 0x56: role, 0x57: role}
    inner |= {0x58: identity(1, b"me")[4:], 0x59: bytes(2)}
    rows: dict[str, bytes] = {}
    for more in (1, 0xFFFF):
        for kind, content in ((0x10, APPLICATION[4:]), (0x20, CT[4:]), (0x50, user()[4:])):
            others = {0x10: APPLICATION, 0x20: ECHO, 0x50: user()}
            del others[kind]
            last = item(kind, content, min(0xFFFF, len(content) + more))
            rows[f"item-{kind:x}-{more}"] = request(*others.values(), last)
        for kind, content in ((0x30, uid), (0x40, IMPLICIT)):
            part = item(kind, content, min(0xFFFF, len(content) + more))
            rows[f"item-{kind:x}-{more}"] = request(APPLICATION, item(0x20, b"\x01\0\0\0" + part), user())
        for kind, content in inner.items():
            part = item(kind, content, min(0xFFFF, len(content) + more))
            rows[f"item-{kind:x}-{more}"] = request(APPLICATION, ECHO, user(part))
    return rows


def lying_fields() -> dict[str, bytes]:
    """Lengths inside user sub-items that leave the sub-item."""
    long = (200).to_bytes(2, "big")
    return {
        f"field-of-{kind:x}": request(APPLICATION, ECHO, user(item(kind, long + b"1.2.3\x01\x01")))
        for kind in (0x54, 0x56, 0x57)
    } | {
        "identity-primary": request(APPLICATION, ECHO, user(identity(1, b"me", length=2000))),
        "identity-secondary": request(APPLICATION, ECHO, user(item(0x58, b"\x02\0\0\x02me\0\x09x"))),
        "identity-cut": request(APPLICATION, ECHO, user(item(0x58, b"\x01"))),
        "maximum-length-3": request(APPLICATION, ECHO, item(0x50, item(0x51, bytes(3)) + IMPLEMENTATION)),
        "item-head-cut": request(APPLICATION, ECHO, user(), b"\x20\x00\x00"),
    }


MANY = [context(2 * n % 256 + 1, VERIFICATION.encode(), IMPLICIT) for n in range(3000)]

ANSWERED: dict[str, tuple[bytes, bytes]] = {
    "1-http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", AA_1),
    "1-tls": (bytes.fromhex("16030100f5010000f10303") + bytes(240), AA_1),
    "2-unknown-type-0": (pdu(0, bytes(4)), AA_1),
    "2-unknown-type-8": (pdu(8, bytes(4)), AA_1),
    "2-unknown-type-ff": (pdu(0xFF, bytes(4)), AA_1),
    "3-p-data": (pdata(pdv(1, 3, b"x")), AA_1),
    "3-release-rq": (RELEASE_RQ, AA_1),
    "3-release-rp": (RELEASE_RP, AA_1),
    "3-ac": (b"\x02" + request()[1:], AA_1),
    "3-rj": (rejected(1, 1, 1), AA_1),
    "4-abort": (abort_pdu(2, 1), CLOSED),
    "5-length-ffffffff": (request(length=0xFFFFFFFF), AA_1),
    "5-length-7fffffff": (request(length=0x7FFFFFFF), AA_1),
    "5-length-over-the-cap": (request(length=262145), AA_1),
    "6-length-0": (pdu(1, b""), AA_1),
    "6-length-10": (pdu(1, bytes(10)), AA_1),
    "6-length-67": (pdu(1, bytes(67)), AA_1),
    **{f"7-{name}": (octets, AA_1) for name, octets in overruns().items()},
    **{f"7-{name}": (octets, AA_1) for name, octets in lying_fields().items()},
    "8-version-0": (request(version=0), rejected(1, 2, 2)),
    "8-version-fffe": (request(version=0xFFFE), rejected(1, 2, 2)),
    "10-wrong-application-context": (request(item(0x10, b"1.2.3"), ECHO, user()), rejected(1, 1, 2)),
    "10-no-application-context": (request(ECHO, user()), rejected(1, 1, 2)),
    "12-even-id-0": (request(APPLICATION, context(0, VERIFICATION.encode(), IMPLICIT), user()), AA_1),
    "12-even-id-2": (request(APPLICATION, context(2, VERIFICATION.encode(), IMPLICIT), user()), AA_1),
    "12-even-id-254": (request(APPLICATION, context(254, VERIFICATION.encode(), IMPLICIT), user()), AA_1),
    "13-id-twice": (request(APPLICATION, ECHO, ECHO, user()), AA_1),
    "13-3000-contexts": (request(APPLICATION, *MANY, user()), AA_1),
    "13-129-contexts": (request(APPLICATION, *MANY[:129], user()), AA_1),
    "14-2000-transfer-syntaxes": (
        request(APPLICATION, context(1, VERIFICATION.encode(), *[IMPLICIT] * 2000), user()),
        AA_1,
    ),
    "17-called-blank": (request(called=b" "), rejected(1, 1, 7)),
    "19-maximum-length-1": (
        request(APPLICATION, ECHO, item(0x50, item(0x51, b"\0\0\0\x01") + IMPLEMENTATION)),
        rejected(1, 1, 1),
    ),
    "19-maximum-length-5": (
        request(APPLICATION, ECHO, item(0x50, item(0x51, b"\0\0\0\x05") + IMPLEMENTATION)),
        rejected(1, 1, 1),
    ),
}

ACCEPTED: dict[str, tuple[bytes, dict[int, int]]] = {
    "9-version-ffff": (request(version=0xFFFF), {1: 0, 3: 0}),
    "11-no-context": (request(APPLICATION, user()), {}),
    "11-context-without-transfer-syntax": (
        request(APPLICATION, context(1, VERIFICATION.encode()), CT, user()),
        {1: 4, 3: 0},
    ),
    "11-context-without-anything": (request(APPLICATION, context(1, None), user()), {1: 3}),
    "13-128-contexts": (
        request(APPLICATION, *MANY[:128], user()),
        {2 * n + 1: 0 for n in range(128)},
    ),
    "15-empty-abstract-syntax": (
        request(APPLICATION, context(1, b"", IMPLICIT), context(5, VERIFICATION.encode(), IMPLICIT), user()),
        {1: 3, 5: 0},
    ),
    "15-65-characters": (request(APPLICATION, context(1, b"1." + b"2" * 63, IMPLICIT), user()), {1: 3}),
    "15-not-a-uid": (request(APPLICATION, context(1, b"../../etc/passwd", IMPLICIT), user()), {1: 3}),
    "15-query": (request(APPLICATION, context(1, b"1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT), user()), {1: 3}),
    "16-unknown-item": (request(APPLICATION, item(0x99, b"what"), ECHO, user()), {1: 0}),
    "16-unknown-sub-item": (request(APPLICATION, ECHO, user(item(0x99, b"what"))), {1: 0}),
    "18-nul": (request(called=b"RO\0UTER", calling=b"\0"), {1: 0, 3: 0}),
    "18-crlf-escape": (request(calling=b"A\r\nlevel=\x1b[31m"), {1: 0, 3: 0}),
    "18-path": (request(calling=b"../../../etc"), {1: 0, 3: 0}),
    "18-braces-quotes": (request(calling=b'{} "%s" {0}'), {1: 0, 3: 0}),
    "18-high-octets": (request(calling=bytes(range(0xF0, 0x100))), {1: 0, 3: 0}),
    "19-maximum-length-0": (
        request(APPLICATION, ECHO, item(0x50, item(0x51, bytes(4)) + IMPLEMENTATION)),
        {1: 0},
    ),
    "19-maximum-length-12": (
        request(APPLICATION, ECHO, item(0x50, item(0x51, b"\0\0\0\x0c") + IMPLEMENTATION)),
        {1: 0},
    ),
    "19-maximum-length-ffffffff": (
        request(APPLICATION, ECHO, item(0x50, item(0x51, b"\xff" * 4) + IMPLEMENTATION)),
        {1: 0},
    ),
    "19-no-maximum-length": (request(APPLICATION, ECHO, item(0x50, IMPLEMENTATION)), {1: 0}),
    "19-no-user-information": (request(APPLICATION, ECHO), {1: 0}),
    "50-identity-type-0": (request(APPLICATION, ECHO, user(identity(0, b"me"))), {1: 0}),
    "50-identity-type-6": (request(APPLICATION, ECHO, user(identity(6, b"me"))), {1: 0}),
    "50-identity-type-255": (request(APPLICATION, ECHO, user(identity(255, b"me"))), {1: 0}),
    "50-passcode": (request(APPLICATION, ECHO, user(identity(2, b"me", b"SECRET"))), {1: 0}),
    "14-50-identity-64-kib": (request(APPLICATION, ECHO, user(identity(5, b"j" * 65000))), {1: 0}),
}


@pytest.mark.parametrize("row", ANSWERED)
def test_the_answer_is_the_standards(tmp_path: Path, row: str) -> None:
    octets, expected = ANSWERED[row]

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.send(octets)
                assert await peer.read_pdu() == expected
                if expected:
                    live.pass_time(monotonic() + 31)
                    assert await peer.read_rest() == []
            await live.echo()
            assert live.stored == []

    run(test())


@pytest.mark.parametrize("row", ACCEPTED)
def test_what_must_be_tolerated_is_served(tmp_path: Path, row: str) -> None:
    octets, results = ACCEPTED[row]

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.send(octets)
                ac = decode_pdu(await peer.read_pdu())
                assert isinstance(ac, AssociateAC)
                assert {one.context_id: one.result for one in ac.presentation_contexts} == results
                if results.get(ECHO_CONTEXT) == 0:
                    await peer.send(command(ECHO_CONTEXT, echo_rq()))
                    answer = await _read_whole_response(peer)
                    assert answer[0x0900] == 0
                await peer.send(RELEASE_RQ)
                assert await peer.read_pdu() == RELEASE_RP
            await live.echo()

    run(test())


async def _read_whole_response(peer: RawPeer) -> dict[int, Any]:
    """Read one response in however many fragments."""
    octets = b""
    while True:
        pdu_octets = await peer.read_pdu()
        assert pdu_octets[:1] == b"\x04"
        octets += pdu_octets[12:]
        if pdu_octets[11] & 2:
            return codec.decode_command(octets)


@pytest.mark.parametrize("split", [1, 7])
def test_a_request_in_pieces_is_accepted(tmp_path: Path, split: int) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live, raw_peer(live.port) as peer:
            octets = request()
            for start in range(0, len(octets), split):
                await peer.send(octets[start : start + split])
            assert (await peer.read_pdu())[:1] == b"\x02"

    run(test())


def test_row_1_is_decided_on_the_first_octet(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live, raw_peer(live.port) as peer:
            await peer.send(b"G")
            assert await peer.read_pdu() == AA_1

    run(test())


def test_row_5_is_decided_on_the_head(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live, raw_peer(live.port) as peer:
            await peer.send(request(length=0xFFFFFFFF)[:6])
            assert await peer.read_pdu() == AA_1

    run(test())


SOURCES = """
[sources.CT]
calling_ae_titles = ["MODALITY"]
"""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"calling": b"STRANGER"}, rejected(1, 1, 3)),
        ({"calling": b"MODAL\0ITY"}, rejected(1, 1, 3)),
        ({"calling": b"modality"}, rejected(1, 1, 3)),
        ({"called": b"OTHER"}, rejected(1, 1, 7)),
        ({"called": b"../ROUTER"}, rejected(1, 1, 7)),
    ],
)
def test_row_18_titles_not_on_the_lists_are_rejected(
    tmp_path: Path, fields: dict[str, bytes], expected: bytes
) -> None:
    async def test() -> None:
        router = 'called_ae_titles = ["ROUTER"]'
        async with live_acceptor(tmp_path, router, SOURCES) as live:
            async with raw_peer(live.port) as peer:
                await peer.send(request(**fields))  # type: ignore[arg-type]
                assert await peer.read_pdu() == expected
            await live.echo()

    run(test())


def test_rows_18_and_50_leave_one_clean_line_in_the_log_and_no_passcode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live, raw_peer(live.port) as peer:
            await peer.send(
                request(APPLICATION, ECHO, user(identity(2, b"me", b"SECRET")), calling=b'A\r\nB\x1b[31m\0"x')
            )
            await peer.read_pdu()

    with caplog.at_level(logging.DEBUG):
        run(test())
    lines = [record.getMessage() for record in caplog.records]
    about = [line for line in lines if "calling=" in line and "MODALITY" not in line]
    assert len(about) == 1
    assert about[0].isprintable()
    assert not any("SECRET" in line for line in lines)


def test_row_20_half_a_request_is_given_up_by_artim_in_total(tmp_path: Path) -> None:
    """One octet a second does not stretch it, and nobody else has to wait meanwhile."""

    async def test() -> None:
        async with live_acceptor(tmp_path) as live, raw_peer(live.port) as slow:
            begun = monotonic()
            for second, octet in enumerate(request()[:29]):
                await slow.send(bytes([octet]))
                live.pass_time(begun + second)
            await live.echo()
            live.pass_time(monotonic() + 31)
            assert await slow.read_rest() == []

    run(test())


def test_row_20_a_hundred_of_them_hold_up_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, "associations_max = 2") as live:
            connections = [raw_peer(live.port) for _ in range(100)]
            peers = await asyncio.gather(*[one.__aenter__() for one in connections])
            for peer in peers:
                await peer.send(request()[:100])
            await live.echo()
            await until(lambda: len(live.acceptor.driver.connections) == 100)
            live.pass_time(monotonic() + 31)
            assert await asyncio.gather(*[peer.read_rest() for peer in peers]) == [[]] * 100
            for one in connections:
                await one.__aexit__(None, None, None)

    run(test())


def test_a_request_that_we_fail_to_answer_is_aborted_and_not_left_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timer runs in Sta3."""

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:

            def fail(*_: object) -> None:
                raise RuntimeError("no decision")

            monkeypatch.setattr(live.acceptor, "decide", fail)
            async with raw_peer(live.port) as peer:
                await peer.send(request())
                assert await peer.read_pdu() == abort_pdu(2, 0)
            monkeypatch.undo()
            await live.echo()

    run(test())


def test_the_tables_are_what_they_say() -> None:
    """A good request is accepted with these items; so each row differs in what it names only."""
    ac_contexts = {1: VERIFICATION, 3: CT_IMAGE_STORAGE}
    assert [octets[4] for octets in (ECHO, CT)] == list(ac_contexts)
    assert MAXIMUM_LENGTH[4:] == (16384).to_bytes(4, "big")
