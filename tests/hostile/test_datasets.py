"""Hostile datasets (rows 36, 37, 40, 42 and 51): what a worker stores, byte for byte, and what it refuses.

The worker is real but for its spool, which is in memory.
"""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path

import pytest

from router.processes import logs
from router.standard.dimse_fields import STATUS
from router.standard.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from router.standard.uids import CT_IMAGE_STORAGE
from router.wire.pdus import ProposedContext
from tests.codec.octets import UNDEFINED, implicit_element, long_element, sequence, short_element
from tests.support.live_acceptor import LiveAcceptor, live_acceptor
from tests.support.live_worker import LiveWorker
from tests.support.raw_peer import (
    STORE_CONTEXT,
    RawPeer,
    associate_rq,
    command,
    pdata,
    pdv,
    raw_peer,
    store_rq,
)
from tests.support.scripted_scp import run, until

EXPLICIT, IMPLICIT, DEFLATED = 3, 5, 7
CONTEXTS = tuple(
    ProposedContext(context_id, CT_IMAGE_STORAGE, (syntax,))
    for context_id, syntax in (
        (EXPLICIT, EXPLICIT_VR_LITTLE_ENDIAN),
        (IMPLICIT, IMPLICIT_VR_LITTLE_ENDIAN),
        (DEFLATED, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN),
    )
)
SEQUENCE, ITEM, PIXELS = 0x00081140, 0xFFFEE000, 0x7FE00010
HEAD = short_element(0x00080016, "UI", CT_IMAGE_STORAGE.encode() + b"\0") + short_element(
    0x00080018, "UI", b"1.2.3\0"
)
IMPLICIT_HEAD = implicit_element(0x00080016, CT_IMAGE_STORAGE.encode() + b"\0") + implicit_element(
    0x00080018, b"1.2.3\0"
)
OPEN = struct.pack("<HH2sxxI", 8, 0x1140, b"SQ", UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
OPEN_IMPLICIT = struct.pack("<HHI", 8, 0x1140, UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)


def nested(depth: int, implicit: bool = False) -> bytes:
    """Sequences of undefined length in each other."""
    data = b""
    for _ in range(depth):
        data = sequence([data])
        data = (
            implicit_element(SEQUENCE, b"", length=UNDEFINED)
            if implicit
            else long_element(SEQUENCE, "SQ", b"", length=UNDEFINED)
        ) + data
    return data


def nested_in_lengths(depth: int) -> bytes:
    """Sequences of defined length in each other, of which an implicit VR does not say that they are any."""
    data = b""
    for _ in range(depth):
        data = implicit_element(SEQUENCE, implicit_element(ITEM, data))
    return data


REFUSED: dict[str, tuple[int, bytes]] = {
    "37-65-sequences": (EXPLICIT, HEAD + nested(65)),
    "37-480-sequences": (EXPLICIT, HEAD + nested(480)),
    "37-480-sequences-implicit": (IMPLICIT, IMPLICIT_HEAD + nested(480, implicit=True)),
    "37-480-sequences-by-length": (IMPLICIT, IMPLICIT_HEAD + nested_in_lengths(480)),
    "37-100000-never-closed": (EXPLICIT, HEAD + OPEN * 100_000),
    "37-100000-spilled": (
        IMPLICIT,
        IMPLICIT_HEAD + implicit_element(0x00090010, bytes(2 << 20)) + OPEN_IMPLICIT * 100_000,
    ),
    "37-behind-the-pixels": (EXPLICIT, HEAD + long_element(PIXELS, "OW", bytes(300_000)) + nested(65)),
    "36-no-head": (EXPLICIT, b"\x07\0\x05\0\0\x01\0\0" + HEAD),
}  # fmt: skip
MALFORMED: dict[str, tuple[int, bytes]] = {
    "36-truncated-value": (EXPLICIT, HEAD + long_element(PIXELS, "OW", bytes(90), length=4096)),
    "36-truncated-head": (EXPLICIT, HEAD + b"\xe0\x7f\x10\0OW"),
    "36-length-fffffffe": (EXPLICIT, HEAD + long_element(PIXELS, "OW", bytes(90), length=0xFFFFFFFE)),
    "36-undefined-length-of-text": (EXPLICIT, HEAD + long_element(0x00204000, "UT", b"", length=UNDEFINED)),
    "36-delimiter-outside": (EXPLICIT, HEAD + implicit_element(0xFFFEE0DD, b"")),
    "36-item-leaves-its-sequence": (
        EXPLICIT,
        HEAD + long_element(SEQUENCE, "SQ", implicit_element(ITEM, b"", length=1000)),
    ),
    "36-sequence-never-closed": (EXPLICIT, HEAD + OPEN),
    "36-odd-in-total": (EXPLICIT, HEAD + long_element(PIXELS, "OB", b"odd")),
    "36-truncated-value-spilled": (
        IMPLICIT,
        IMPLICIT_HEAD + implicit_element(PIXELS, bytes(2 << 20), length=3 << 20),
    ),
}
PASSED: dict[str, tuple[int, bytes]] = {
    "37-64-sequences": (EXPLICIT, HEAD + nested(64)),
    "37-64-sequences-implicit": (IMPLICIT, IMPLICIT_HEAD + nested(64, implicit=True)),
    "36-odd-values": (EXPLICIT, HEAD + short_element(0x00080060, "CS", b"odd") * 2),
    "36-implicit-under-explicit": (EXPLICIT, IMPLICIT_HEAD + nested(3, implicit=True)),
    "36-value-like-a-sequence": (IMPLICIT, IMPLICIT_HEAD + implicit_element(PIXELS, OPEN_IMPLICIT[8:] * 90)),
    "40-deflated": (DEFLATED, zlib.compress(HEAD, wbits=-15)),
}


async def send(live: LiveAcceptor, context_id: int, dataset: bytes) -> int:
    """Store one dataset on an association of its own; return the status."""
    async with raw_peer(live.port) as peer:
        await peer.associate(associate_rq(presentation_contexts=CONTEXTS))
        return await store_one(peer, context_id, dataset)


async def store_one(peer: RawPeer, context_id: int, dataset: bytes) -> int:
    await peer.send(command(context_id, store_rq()))
    for start in range(0, len(dataset), 100_000):
        is_last = start + 100_000 >= len(dataset)
        await peer.send(pdata(pdv(context_id, 2 if is_last else 0, dataset[start : start + 100_000])))
    return int((await peer.read_response())[STATUS])


def try_one(
    folder: Path, context_id: int, dataset: bytes, status: int, fault: str = "", **limits: str
) -> None:
    """Send a dataset; what is answered with success is kept as it is, anything else not at all."""

    async def test() -> None:
        async with live_acceptor(folder) as live:
            worker = LiveWorker(live, **limits)
            assert await send(live, context_id, dataset) == status
            assert worker.datasets == ({"1.2.3": dataset} if status == 0 else {})
            for kind in ("nesting", "malformed"):
                assert worker.counted("structure_refused", fault=kind) == (kind == fault)

    run(test())


@pytest.mark.parametrize("row", REFUSED)
def test_what_crashes_archives_is_refused(tmp_path: Path, row: str) -> None:
    try_one(tmp_path, *REFUSED[row], 0xC000, "nesting" if row.startswith("37") else "")


@pytest.mark.parametrize("row", MALFORMED)
def test_what_is_merely_wrong_passes_as_it_is(tmp_path: Path, row: str) -> None:
    try_one(tmp_path, *MALFORMED[row], 0)


@pytest.mark.parametrize("row", MALFORMED)
def test_what_is_merely_wrong_is_refused_under_the_strict_policy(tmp_path: Path, row: str) -> None:
    try_one(tmp_path, *MALFORMED[row], 0xC000, "malformed", structure_scan="strict")


@pytest.mark.parametrize("policy", ["off", "nesting", "strict"])
@pytest.mark.parametrize("row", PASSED)
def test_what_is_well_formed_passes_under_every_policy(tmp_path: Path, row: str, policy: str) -> None:
    try_one(tmp_path, *PASSED[row], 0, structure_scan=policy)


def test_row_37_passes_where_the_scan_is_switched_off(tmp_path: Path) -> None:
    try_one(tmp_path, *REFUSED["37-behind-the-pixels"], 0, structure_scan="off")


def test_row_40_a_deflated_gigabyte_is_not_inflated(tmp_path: Path) -> None:
    deflater = zlib.compressobj(9, wbits=-15)
    bomb = deflater.compress(HEAD + long_element(PIXELS, "OW", b"", length=1 << 30))
    bomb += b"".join(deflater.compress(bytes(1 << 20)) for _ in range(64)) + deflater.flush()
    try_one(tmp_path, DEFLATED, bomb, 0, structure_scan="strict")


def test_row_42_a_dataset_that_never_ends_is_refused_and_kept_nowhere(tmp_path: Path) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path, limits="instance_max_gb = 0.002") as live:
            worker = LiveWorker(live)
            dataset = IMPLICIT_HEAD + implicit_element(PIXELS, bytes(8 << 20), length=0xFFFFFFF0)
            assert await send(live, IMPLICIT, dataset) == 0xA700
            assert not worker.datasets
            await until(lambda: not live.acceptor.stage.rejects_associations)
            assert await send(live, IMPLICIT, IMPLICIT_HEAD) == 0

    run(test())


TEXTS = [
    b"\r\nlevel=error fake",
    b"\x1b[31m\x07",
    b"{0}%s%n",
    "\u202eright".encode(),
    b"\x1b$B\xff\xff",
    b"\0" * 20,
]


@pytest.mark.parametrize("text", TEXTS)
def test_row_51_hostile_text_in_tags_stays_out_of_the_log_and_passes_as_it_is(
    tmp_path: Path, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    text += b" " * (len(text) % 2)
    elements = [(0x00080005, "CS"), (0x00080060, "CS"), (0x00100010, "PN"), (0x0020000D, "UI")]
    dataset = HEAD + b"".join(short_element(tag, vr, text) for tag, vr in elements)
    with caplog.at_level(logging.DEBUG):
        try_one(tmp_path, EXPLICIT, dataset, 0)
    lines = [record.getMessage() for record in caplog.records]
    assert all(line.isprintable() for line in lines)
    assert not any("fake" in line or "right" in line for line in lines)


def test_refusals_of_one_peer_fill_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with live_acceptor(tmp_path) as live:
            worker = LiveWorker(live)
            async with raw_peer(live.port) as peer:
                await peer.associate(associate_rq(presentation_contexts=CONTEXTS))
                for _ in range(logs.PEER_LINES_MAX + 30):
                    assert await store_one(peer, EXPLICIT, HEAD + nested(65)) == 0xC000
            assert worker.counted("structure_refused", fault="nesting") == logs.PEER_LINES_MAX + 30
            assert worker.counted("log_lines_suppressed") == 30

    with caplog.at_level(logging.INFO):
        run(test())
    lines = [record.getMessage() for record in caplog.records if "refused=C000" in record.getMessage()]
    assert len(lines) == logs.PEER_LINES_MAX


def test_the_store_context_is_one_of_them() -> None:
    assert STORE_CONTEXT == EXPLICIT
