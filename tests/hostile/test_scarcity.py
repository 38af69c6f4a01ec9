"""What many or strange peers use up: places, descriptors, memory, series, log lines (rows 1, 47, 52)."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import struct
from pathlib import Path

import pytest

from router.standard.dimse_fields import (
    STATUS,
)
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.wire.pdus import ProposedContext
from tests.support.hostile_octets import pdu, request
from tests.support.live_acceptor import LiveAcceptor, live_acceptor
from tests.support.raw_peer import (
    RELEASE_RP,
    RELEASE_RQ,
    abort_pdu,
    associate_rq,
    dataset_of,
    raw_peer,
    store,
)
from tests.support.scripted_scp import run, until


@pytest.mark.parametrize(
    "opening", [b"", b"\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", b"\x16\x03\x01", b"GET /"]
)
def test_row_1_probes_and_stray_octets_cost_a_counter_and_no_line(
    tmp_path: Path, opening: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            slot = live.child.page.slot("probes", listener="main", probe="stray" if opening else "silent")
            for _ in range(50):
                async with raw_peer(live.port) as peer:
                    await peer.send(opening)
                    if opening:
                        assert await peer.read_pdu() == abort_pdu(0, 0)
            await until(lambda: live.child.page.cells[slot] == 50)
            assert live.acceptor.slab.slots_used == 0

    with caplog.at_level(logging.INFO):
        run(test())
    assert [record for record in caplog.records if "peer=" in record.getMessage()][1:] == []


@pytest.mark.parametrize(
    "request_octets",
    [
        pdu(0x01, struct.pack(">HH16s16s32x", 1, 0, b"ROUTER", b"A") + b"\x20\x00\xff\xff\x01"),
        pdu(0x01, b"\0\1\0\0"),
        b"\x01\x00\xff\xff\xff\xff",
    ],
    ids=["item too long", "too short", "4 GB"],
)
def test_a_request_that_cannot_be_read_is_told_in_a_line_that_says_why(
    tmp_path: Path, request_octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What speaks DICOM, and wrongly, somebody has to mend; what does not is a probe."""

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            page = live.child.page
            violations = page.slot("violations", listener="main", answer="abort")
            async with raw_peer(live.port) as peer:
                await peer.send(request_octets)
                assert await peer.read_pdu() == abort_pdu(0, 0)
            await until(lambda: page.cells[violations] == 1)
            assert page.cells[page.slot("probes", listener="main", probe="stray")] == 0

    with caplog.at_level(logging.WARNING):
        run(test())
    (line,) = [record.getMessage() for record in caplog.records if "peer=127.0.0.1" in record.getMessage()]
    assert "end=violation why=" in line


def test_row_52_no_series_and_no_memory_grows_with_what_peers_call_themselves(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            cells = len(live.child.page.cells)
            for n in range(300):
                async with raw_peer(live.port) as peer:
                    context = ProposedContext(
                        1, f"1.2.840.10008.5.1.4.1.1.2.{n}", (IMPLICIT_VR_LITTLE_ENDIAN,)
                    )
                    rq = associate_rq(
                        calling_ae_title=f"AE{n}", called_ae_title=f"R{n}", presentation_contexts=(context,)
                    )
                    assert (await peer.associate(rq))[:1] == b"\x02"
            await until(lambda: not live.acceptor.incoming)
            acceptor = live.acceptor
            assert len(live.child.page.cells) == cells
            assert set(acceptor._open_by_source) <= {""}
            assert len(acceptor._log_limit._peers) == 1

    run(test())


def test_row_47_a_lack_of_descriptors_delays_and_does_not_end_the_accepting(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            peers = [raw_peer(live.port) for _ in range(60)]
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 80, hard))
                opened = await asyncio.gather(*[one.__aenter__() for one in peers])
                await asyncio.gather(*[peer.send(request()[:50]) for peer in opened])
                await until(lambda: len(live.acceptor.driver.connections) >= 10)
                await asyncio.sleep(0)
            finally:
                for one in peers:
                    await one.__aexit__(None, None, None)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await live.echo()

    run(test())


def test_row_47_too_many_associations_are_rejected_for_now(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, "associations_max = 3") as live:
            peers = [raw_peer(live.port) for _ in range(200)]
            opened = await asyncio.gather(*[one.__aenter__() for one in peers])
            answers = await asyncio.gather(*[peer.associate() for peer in opened])
            accepted = [answer for answer in answers if answer[:1] == b"\x02"]
            assert len(accepted) == 3
            assert {answer for answer in answers if answer not in accepted} == {
                bytes([3, 0, 0, 0, 0, 4, 0, 2, 3, 2])
            }
            for one in peers:
                await one.__aexit__(None, None, None)
            await until(lambda: not live.acceptor.incoming)
            await live.echo()

    run(test())


def test_row_47_one_source_cannot_take_the_places_of_others(tmp_path: Path) -> None:
    sources = '[sources.CT]\ncalling_ae_titles = ["CT1"]\nassociations_max = 1\n'

    async def test() -> None:
        async with live_acceptor(tmp_path, 'unknown_sources = "accept"', sources) as live:
            async with raw_peer(live.port) as first, raw_peer(live.port) as second:
                assert (await first.associate(associate_rq(calling_ae_title="CT1")))[:1] == b"\x02"
                answer = await second.associate(associate_rq(calling_ae_title="CT1"))
                assert answer == bytes([3, 0, 0, 0, 0, 4, 0, 2, 3, 2])
                await live.echo()
            await until(lambda: not live.acceptor.incoming)
            async with raw_peer(live.port) as third:
                assert (await third.associate(associate_rq(calling_ae_title="CT1")))[:1] == b"\x02"

    run(test())


def test_many_datasets_with_too_little_memory_arrive_all_and_whole(tmp_path: Path) -> None:
    """Twelve senders of nine slots each on a slab of sixteen: they must not wait for each other for ever."""

    async def one_sender(live: LiveAcceptor, number: int) -> None:
        async with raw_peer(live.port) as peer:
            await peer.associate()
            for n in range(3):
                await peer.send(store(n, f"1.2.{number}.{n}", bytes([number]) * 580_000))
                assert (await peer.read_response())[STATUS] == 0
            await peer.send(RELEASE_RQ)
            assert await peer.read_pdu() == RELEASE_RP

    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            await asyncio.gather(*[one_sender(live, number) for number in range(12)])
            stored = {ticket.sop_instance: dataset for ticket, dataset in live.stored}
            assert len(stored) == 36
            for number in range(12):
                for n in range(3):
                    uid = f"1.2.{number}.{n}"
                    assert stored[uid] == dataset_of(uid, bytes([number]) * 580_000)

    run(test())
