"""Hostile octets on an accepted association (rows 21-31, 33-35, 38, 39, 41, 43).

Every row ends with an honest C-ECHO on a new association, with nothing stored that is not whole, and with
nothing left of the hostile one.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    STATUS,
)
from router.standard.uids import CT_IMAGE_STORAGE, MR_IMAGE_STORAGE
from router.wire import codec
from tests.hostile.message_octets import BEGUN, DATASET, HALF, UNEXPECTED
from tests.support.hostile_octets import pdu, request
from tests.support.live_acceptor import live_acceptor
from tests.support.live_worker import LiveWorker
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    STORE_CONTEXT,
    abort_pdu,
    associate_rq,
    command,
    dataset_of,
    echo_rq,
    pdata,
    pdv,
    raw_peer,
    store,
    store_rq,
)
from tests.support.scripted_scp import run

PDU_MAX_BYTES = 256 * 1024
UNRECOGNISED = abort_pdu(2, 1)
UNEXPECTED_PARAMETER = abort_pdu(2, 5)
INVALID = abort_pdu(2, 6)
STORE = codec.encode_command(store_rq())
ECHO = codec.encode_command(echo_rq())
AC = b"\x02" + request()[1:]


def raw_pdv(length: int, rest: bytes) -> bytes:
    """One P-DATA-TF whose only PDV claims this length."""
    return pdu(4, length.to_bytes(4, "big") + rest)


def element(tag: int, length: int, value: bytes = b"") -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, length) + value


def without(fields: dict[int, Any], tag: int) -> dict[int, Any]:
    return {key: value for key, value in fields.items() if key != tag}


def response(message_id: int) -> dict[int, Any]:
    return {
        COMMAND_FIELD: 0x8030,
        MESSAGE_ID_BEING_RESPONDED_TO: message_id,
        COMMAND_DATA_SET_TYPE: NO_DATASET,
        STATUS: 0,
    }


ABORTED: dict[str, tuple[bytes, bytes]] = {
    "21-second-rq": (request(), UNEXPECTED),
    "21-ac": (AC, UNEXPECTED),
    "21-rj": (bytes([3, 0, 0, 0, 0, 4, 0, 1, 1, 1]), UNEXPECTED),
    "21-release-rp": (RELEASE_RP, UNEXPECTED),
    "21-rq-instead-of-the-dataset": (BEGUN + request(), UNEXPECTED),
    "21-ac-instead-of-the-dataset": (BEGUN + AC, UNEXPECTED),
    "21-ac-within-the-dataset": (HALF + AC, UNEXPECTED),
    "22-type-0f": (pdu(0x0F, bytes(4)), UNRECOGNISED),
    "22-type-00-within-the-dataset": (HALF + bytes(100), UNRECOGNISED),
    "22-http": (b"GET / HTTP/1.1\r\n\r\n", UNRECOGNISED),
    "23-pdv-length-0": (raw_pdv(0, b"\x01\x03"), INVALID),
    "23-pdv-length-1": (raw_pdv(1, b"\x01\x03"), INVALID),
    "23-pdv-longer-than-the-pdu": (raw_pdv(len(ECHO) + 3, b"\x01\x03" + ECHO), INVALID),
    "23-pdv-length-80000000": (raw_pdv(0x80000000, b"\x01\x03" + ECHO), INVALID),
    "23-pdv-length-ffffffff": (raw_pdv(0xFFFFFFFF, b"\x01\x03" + ECHO), INVALID),
    "23-five-octets": (pdu(4, b"\0\0\0\x02\x01"), INVALID),
    "24-ten-thousand-empty-fragments": (BEGUN + pdata(*[pdv(STORE_CONTEXT, 0, b"")] * 10_000), INVALID),
    "24-ten-thousand-without-a-pdv": (pdata() * 10_000, INVALID),
    "25-longer-than-announced": (pdu(4, b"", PDU_MAX_BYTES + 1), INVALID),
    "25-four-gigabytes": (pdu(4, b"", 0xFFFFFFFF), INVALID),
    "26-context-never-proposed": (pdata(pdv(5, 3, ECHO)), INVALID),
    "26-context-even": (pdata(pdv(2, 3, ECHO)), INVALID),
    "26-context-0": (pdata(pdv(0, 3, ECHO)), INVALID),
    "27-data-before-command": (pdata(pdv(STORE_CONTEXT, 2, DATASET)), UNEXPECTED_PARAMETER),
    "27-data-after-a-command-without": (
        command(ECHO_CONTEXT, {**echo_rq(), COMMAND_FIELD: 0x0FFF}) + pdata(pdv(ECHO_CONTEXT, 2, DATASET)),
        UNEXPECTED_PARAMETER,
    ),
    "27-command-not-last-then-data": (
        pdata(pdv(STORE_CONTEXT, 1, STORE), pdv(STORE_CONTEXT, 2, DATASET)),
        UNEXPECTED_PARAMETER,
    ),
    "27-other-context-within-the-command": (
        pdata(pdv(STORE_CONTEXT, 1, STORE[:20]), pdv(ECHO_CONTEXT, 3, STORE[20:])),
        UNEXPECTED_PARAMETER,
    ),
    "27-other-context-within-the-dataset": (
        HALF + pdata(pdv(ECHO_CONTEXT, 2, DATASET[20:])),
        UNEXPECTED_PARAMETER,
    ),
    "27-second-command-within-the-dataset": (HALF + BEGUN, UNEXPECTED_PARAMETER),
    "28-release-after-the-command": (BEGUN + RELEASE_RQ, UNEXPECTED),
    "28-release-within-the-dataset": (HALF + RELEASE_RQ, UNEXPECTED),
    "28-release-within-the-command": (pdata(pdv(STORE_CONTEXT, 1, STORE[:20])) + RELEASE_RQ, UNEXPECTED),
    "29-element-overruns": (pdata(pdv(1, 3, element(COMMAND_FIELD, 9999, b"\x30\0"))), INVALID),
    "29-element-head-cut": (pdata(pdv(1, 3, ECHO + b"\0\0\0")), INVALID),
    "29-random": (pdata(pdv(1, 3, bytes(range(7, 200)))), INVALID),
    "29-empty-command": (pdata(pdv(1, 3, b"")), INVALID),
    "29-no-command-field": (command(1, without(echo_rq(), COMMAND_FIELD)), INVALID),
    "29-no-dataset-type": (command(1, without(echo_rq(), COMMAND_DATA_SET_TYPE)), INVALID),
    "29-no-message-id": (command(1, without(echo_rq(), MESSAGE_ID)), INVALID),
    "29-two-command-fields": (command(1, {**echo_rq(), COMMAND_FIELD: (0x30, 0x30)}), INVALID),
    "29-group-8": (pdata(pdv(1, 3, element(0x00080018, 4, b"1.2\0"))), INVALID),
    "31-unsolicited-response": (command(1, response(1)), UNEXPECTED),
    "31-unsolicited-response-with-a-dataset": (
        command(3, {**response(1), COMMAND_FIELD: 0x8020, COMMAND_DATA_SET_TYPE: 1})
        + pdata(pdv(3, 2, DATASET)),
        UNEXPECTED,
    ),
    "41-endless-command": (pdata(pdv(1, 1, bytes(16000))) * 5, INVALID),
    "45-release-of-length-0": (b"\x05\0\0\0\0\0", INVALID),
    "45-release-of-length-5": (b"\x05\0\0\0\0\x05\0\0\0\0\0", INVALID),
}

ANSWERED: dict[str, tuple[bytes, int]] = {
    "24-some-empty-fragments": (
        BEGUN
        + pdata()
        + pdata(*[pdv(STORE_CONTEXT, 0, b"")] * 20)
        + pdata(pdv(STORE_CONTEXT, 0, DATASET), pdv(STORE_CONTEXT, 2, b"")),
        0x0000,
    ),
    "30-unknown-command": (command(1, {**echo_rq(), COMMAND_FIELD: 0x0777}), 0x0211),
    "30-command-0": (command(1, {**echo_rq(), COMMAND_FIELD: 0}), 0x0211),
    "30-unknown-command-with-a-dataset": (
        command(3, {**store_rq(), COMMAND_FIELD: 0x0020}) + pdata(pdv(3, 2, DATASET)),
        0x0211,
    ),
    "32-store-without-a-dataset": (command(3, {**store_rq(), COMMAND_DATA_SET_TYPE: 0x0101}), 0xC000),
    "33-class-is-not-the-contexts": (
        command(3, store_rq(sop_class=MR_IMAGE_STORAGE)) + pdata(pdv(3, 2, DATASET)),
        0x0122,
    ),
    "35-path": (command(3, store_rq(uid="../../..")) + pdata(pdv(3, 2, DATASET)), 0x0117),
    "35-dots": (command(3, store_rq(uid="..")) + pdata(pdv(3, 2, DATASET)), 0x0117),
    "35-empty": (command(3, store_rq(uid="")) + pdata(pdv(3, 2, DATASET)), 0x0117),
    "35-missing": (
        command(3, without(store_rq(), AFFECTED_SOP_INSTANCE_UID)) + pdata(pdv(3, 2, DATASET)),
        0x0117,
    ),
    "35-5000-characters": (command(3, store_rq(uid="1." + "2" * 4998)) + pdata(pdv(3, 2, DATASET)), 0x0117),
    "35-nul-inside": (command(3, store_rq(uid="1.2\0/../x")) + pdata(pdv(3, 2, DATASET)), 0x0117),
    "35-class-missing": (
        command(3, without(store_rq(), AFFECTED_SOP_CLASS_UID)) + pdata(pdv(3, 2, DATASET)),
        0x0212,
    ),
    "38-odd-fragments": (
        BEGUN + b"".join(pdata(pdv(3, 0, DATASET[at : at + 1])) for at in range(len(DATASET)))
        + pdata(pdv(3, 2, b"")),
        0x0000,
    ),
    "39-reserved-bits": (
        pdata(pdv(3, 0xFF, STORE)) + pdata(pdv(3, 0xFC, DATASET[:9]), pdv(3, 0xFE, DATASET[9:])),
        0x0000,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "split"),
    [(row, 0) for row in ABORTED] + [(row, 1) for row in ABORTED if len(ABORTED[row][0]) < 2000],
)
def test_the_abort_is_the_standards(tmp_path: Path, row: str, split: int) -> None:
    octets, expected = ABORTED[row]

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.associate()
                for start in range(0, len(octets), split or len(octets)):
                    await peer.send(octets[start : start + (split or len(octets))])
                assert await peer.read_pdu() == expected
                await peer.send(store() + RELEASE_RQ)
                live.pass_time(monotonic() + 31)
                assert await peer.read_rest() == []
            await live.echo()
            assert live.stored == []

    run(test())


@pytest.mark.parametrize("row", ANSWERED)
def test_the_response_is_the_standards_and_the_association_goes_on(tmp_path: Path, row: str) -> None:
    octets, status = ANSWERED[row]

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.associate()
                await peer.send(octets)
                assert (await peer.read_response())[STATUS] == status
                await peer.send(store(2, "1.2.9"))
                assert (await peer.read_response())[STATUS] == 0
                await peer.send(RELEASE_RQ)
                assert await peer.read_pdu() == RELEASE_RP
            await live.echo()
            stored = [dataset for _, dataset in live.stored]
            assert stored == [DATASET, dataset_of("1.2.9")][0 if status == 0 else 1 :]

    run(test())


def test_row_26_a_context_that_was_rejected_is_not_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                rq = associate_rq()
                contexts = list(rq.presentation_contexts)
                contexts.append(type(contexts[0])(5, "1.2.840.10008.5.1.4.1.2.2.1", ("1.2.840.10008.1.2",)))
                await peer.associate(associate_rq(presentation_contexts=tuple(contexts)))
                await peer.send(pdata(pdv(5, 3, ECHO)))
                assert await peer.read_pdu() == INVALID
            await live.echo()

    run(test())


def test_row_34_a_dataset_with_another_uid_than_the_command_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            worker = LiveWorker(live)
            async with raw_peer(live.port) as peer:
                await peer.associate()
                await peer.send(BEGUN + pdata(pdv(STORE_CONTEXT, 2, dataset_of("1.2.4"))))
                assert (await peer.read_response())[STATUS] == 0xA900
            assert not worker.datasets

    run(test())


def test_row_35_no_file_is_named_from_what_a_peer_sent(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, 'ack = "stored"') as live:
            names: list[str] = []
            live.on_file = names.append
            async with raw_peer(live.port) as peer:
                await peer.associate(associate_rq(calling_ae_title="CT1"))
                await peer.send(store(1, "1.2.3", bytes(3 << 20)))
                assert (await peer.read_response())[STATUS] == 0
            assert [os.path.basename(name).startswith("acceptor-0-1-") for name in names] == [True]
            assert live.stored[0][1] == dataset_of("1.2.3", bytes(3 << 20))

    run(test())


@pytest.mark.parametrize("title", ["CT1", "MODALITY"])
def test_row_25_longer_pdus_than_announced_are_tolerated_of_a_source_that_is_said_to_send_them(
    tmp_path: Path, title: str
) -> None:
    sources = '[sources.CT]\ncalling_ae_titles = ["CT1"]\npdu_tolerance_kb = 512\n'

    async def test() -> None:
        async with live_acceptor(tmp_path, 'unknown_sources = "accept"', sources) as live:
            async with raw_peer(live.port) as peer:
                await peer.associate(associate_rq(calling_ae_title=title))
                await peer.send(store(payload=bytes(600_000), fragment=PDU_MAX_BYTES + 400_000))
                if title == "CT1":
                    assert (await peer.read_response())[STATUS] == 0
                    await peer.send(pdu(4, b"", PDU_MAX_BYTES + (512 << 10) + 1))
                assert await peer.read_pdu() == INVALID
            assert [dataset for _, dataset in live.stored] == (
                [dataset_of(payload=bytes(600_000))] if title == "CT1" else []
            )

    run(test())


@pytest.mark.parametrize("same_id", [False, True])
def test_row_43_requests_sent_without_waiting_are_served_one_by_one(tmp_path: Path, same_id: bool) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            async with raw_peer(live.port) as peer:
                await peer.associate()
                ids = [7 if same_id else n for n in range(1, 41)]
                await peer.send(b"".join(store(n, f"1.2.{at}") for at, n in enumerate(ids)))
                answers = [await peer.read_response() for _ in ids]
                assert [answer[MESSAGE_ID_BEING_RESPONDED_TO] for answer in answers] == ids
                assert {answer[STATUS] for answer in answers} == {0}
            await live.echo()
            assert [ticket.sop_instance for ticket, _ in live.stored] == [f"1.2.{n}" for n in range(40)]

    run(test())


def test_row_43_a_message_id_still_in_progress_is_refused_where_a_window_was_granted(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            live.answers_at_once = False
            async with raw_peer(live.port) as peer:
                await peer.associate(associate_rq(window=4))
                await peer.send(store(7, "1.2.1") + store(7, "1.2.2"))
                assert (await peer.read_response())[STATUS] == 0x0210
                live.answer_all()
                assert (await peer.read_response())[STATUS] == 0
            assert [ticket.sop_instance for ticket, _ in live.stored] == ["1.2.1"]

    run(test())


def test_the_rows_use_a_class_that_is_served() -> None:
    assert store_rq()[AFFECTED_SOP_CLASS_UID] == CT_IMAGE_STORAGE
