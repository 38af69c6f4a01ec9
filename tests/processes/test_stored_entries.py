"""The entry lane and the general way come to the same: what is stored, answered, delivered and remembered."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.spool import ledger_insert
from router.spool.disk import PAGE_BYTES, Disk
from router.spool.faults import SpoolFailed
from router.spool.record import Entry
from router.spool.scan import SegmentScan, Sound
from router.standard.transfer_syntaxes import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE
from router.wire.codec import CODEC_NAME
from tests.spool.spool_fixtures import record_of
from tests.support.forwarding_scenes import answering, both, outcome
from tests.support.forwarding_world import SLOT, SLOTS, World, dataset
from tests.support.ram_disk import ram_folder
from tests.support.scripted_scp import ScriptedAcceptor, until
from tests.support.stored_scenes import ONE_BY_ONE, UIDS, all_settled, rows, store

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")


@pytest.mark.parametrize("is_linked", [True, False])
def test_what_is_stored_is_remembered_and_delivered_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    found: list[Any] = []
    if not is_linked:
        monkeypatch.setattr(ledger_insert, "linked", None)

    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS[:1])
        await all_settled(one)  # the associations are open, the decision is known
        await store(one, UIDS[1:])
        await all_settled(one)
        found.append(rows(one))

    ends = both(tmp_path, scene, {"A": None, "B": None}, more=ONE_BY_ONE)
    assert ends["statuses"] == [0] * len(UIDS)
    assert ends["A"] == ends["B"] == UIDS
    assert ends["in lane"] >= 2 * (len(UIDS) - 1)
    general, lane = found
    assert lane == general
    assert len(lane) == 2 * len(UIDS)


@pytest.mark.parametrize("syntax", [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN])
def test_datasets_of_every_length_and_encoding_are_stored_whole(tmp_path: Path, syntax: str) -> None:
    found: list[Any] = []

    async def scene(one: World, _: Any) -> None:
        for number, uid in enumerate(UIDS):
            octets = dataset(uid, syntax, padding=2 * SLOT * number - 4 * (number % 3))
            one.submit(uid, octets, transfer_syntax=syntax, ack="stored")
            await one.answered()
        await all_settled(one)
        found.append(rows(one))

    both(tmp_path, scene, {"A": None}, more=ONE_BY_ONE)
    assert found[0] == found[1]


def test_many_at_once_are_written_in_runs_and_in_order(tmp_path: Path) -> None:
    found: list[Any] = []

    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS[:2])
        for number in range(40):
            one.submit(f"1.2.100.{number}", ack="stored")
        await one.answered()
        await all_settled(one)
        found.append(rows(one))
        written.append([(entry.seq, entry.record.sop_instance) for entry in scanned(one)])

    written: list[list[tuple[int, str]]] = []
    ends = both(
        tmp_path, scene, {"A": answering(lambda _: 0, 8)}, more="operations_max = 8\nassociations_max = 1"
    )
    assert ends["statuses"] == [0] * 42
    assert found[0] == found[1]
    assert written[0] == written[1]
    assert len(written[0]) == 42


def scanned(one: World) -> list[Entry]:
    """Read the first segment as a recovery does; every record must be sound."""
    entries: list[Entry] = []
    for record in SegmentScan(one.worker.spool.directory.segment_path(1), 1):
        assert isinstance(record, Sound)
        if record.entry is not None:
            entries.append(record.entry)
    return entries


@pytest.fixture(name="ram")
def _ram() -> Iterator[Path]:
    with ram_folder() as folder:
        yield folder


@pytest.mark.parametrize("syntax", [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN])
def test_on_a_ram_disk_the_same_is_stored(ram: Path, syntax: str) -> None:
    found: list[Any] = []

    async def scene(one: World, _: Any) -> None:
        for number, uid in enumerate(UIDS):
            octets = dataset(uid, syntax, padding=2 * SLOT * number - 4 * (number % 3))
            one.submit(uid, octets, transfer_syntax=syntax, ack="stored")
            await one.answered()
        for number in range(40):
            uid = f"1.2.100.{number}"
            one.submit(uid, dataset(uid, syntax), transfer_syntax=syntax, ack="stored")
        await one.answered()
        await all_settled(one)
        found.append(rows(one))
        assert one.worker.spool.writer.begin_run(1000)[5] is not None

    both(ram, scene, {"A": None}, more=ONE_BY_ONE)
    assert found[0] == found[1]
    assert len(found[1]) == len(UIDS) + 40


def test_a_page_that_is_gone_under_a_trailer_costs_no_record(ram: Path) -> None:
    """The pages ahead are mapped already; the file is cut where the next record's dataset ends."""

    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        segment = one.worker.spool.writer._segments.current
        assert segment is not None
        begun = segment.offset
        await store(one, UIDS[2:3])
        await all_settled(one)
        before_dataset = (
            max(owed.entry.location.offset for owed in one.worker.spool.ledger.study("1.9")) - begun
        )
        dataset_at = segment.offset + before_dataset
        least = len(dataset(UIDS[3], padding=2))
        cut = -(-(dataset_at + least) // PAGE_BYTES) * PAGE_BYTES
        octets = dataset(UIDS[3], padding=2 + (cut - dataset_at - least) // 2 * 2)
        os.truncate(segment.path, cut)
        one.submit(UIDS[3], octets, ack="stored")
        await one.answered()
        await all_settled(one)
        assert segment.window is None
        assert octets in [row[1] for row in rows(one)]  # as the spool has it
        assert len(rows(one)) == 4
        sent.append(octets)

    sent: list[bytes] = []
    ends = outcome(ram, True, scene, {"A": None}, more=ONE_BY_ONE)
    assert ends["statuses"] == [0] * 4
    assert sent[0] in ends["octets A"]


def test_a_segment_that_somebody_cut_short_is_written_by_system_calls(ram: Path) -> None:
    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS[:3])
        await all_settled(one)
        segment = one.worker.spool.writer._segments.current
        assert segment is not None
        os.truncate(segment.path, segment.offset)
        for uid in UIDS[3:]:
            one.submit(uid, dataset(uid, padding=2 * SLOT), ack="stored")
        await one.answered()
        await all_settled(one)
        if one.worker.forwarding.entries is not None:
            assert segment.window is None
        found.append(rows(one))

    found: list[Any] = []
    ends = both(ram, scene, {"A": None}, more=ONE_BY_ONE)
    assert ends["statuses"] == [0] * len(UIDS)
    assert found[0] == found[1]
    assert len(found[1]) == len(UIDS)


def test_a_full_disk_refuses_a_whole_run_and_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [False]
    original = Disk.write

    def write(self: Disk, *arguments: Any) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, *arguments)

    monkeypatch.setattr(Disk, "write", write)

    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS[:2])
        full[0] = True
        for uid in UIDS[2:5]:
            one.submit(uid, ack="stored")
        await one.answered()
        full[0] = False
        one.dispatcher._links[0].stage = one.dispatcher._links[0].stage.ACCEPTING
        await store(one, UIDS[5:])
        await all_settled(one)

    ends = both(tmp_path, scene, {"A": None}, more=ONE_BY_ONE)
    assert ends["statuses"] == [0, 0, 0xA700, 0xA700, 0xA700, 0, 0, 0]
    assert ends["A"] == UIDS[:2] + UIDS[5:]


def test_an_instance_without_a_study_takes_the_general_way(tmp_path: Path) -> None:
    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS[:3])
        one.submit(UIDS[3], dataset(UIDS[3], study=""), ack="stored")
        one.submit(UIDS[4], dataset(UIDS[4], study="1.2\\3.4"), ack="stored")
        await one.answered()
        await until(lambda: len(peers["A"].uids()) == 5)

    assert sorted(both(tmp_path, scene, {"A": None}, more=ONE_BY_ONE)["A"]) == UIDS[:5]


def test_a_version_that_must_take_the_general_way_is_not_overtaken_in_its_own_run(tmp_path: Path) -> None:
    def versions_of(peers: dict[str, ScriptedAcceptor]) -> list[bytes]:
        return [message.dataset for message in peers["A"].messages if message.dataset][2:]

    large = dataset(UIDS[2], padding=(SLOTS // 2 + 1) * SLOT)  # more slots than may stay on loan
    small = dataset(UIDS[2], name="NEWER")

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        one.submit(UIDS[2], large, ack="stored")
        one.submit(UIDS[2], small, ack="stored")
        await one.answered()
        await until(lambda: len(versions_of(peers)) == 2)
        assert versions_of(peers) == [large, small]

    both(tmp_path, scene, {"A": None}, more=ONE_BY_ONE)


@pytest.mark.parametrize("use_lane", [True, False])
def test_what_comes_after_the_ledger_has_failed_is_refused_and_not_left_without_an_answer(
    tmp_path: Path, use_lane: bool
) -> None:
    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        one.worker.spool.ledger._fail(SpoolFailed("ledger: the disk"))
        one.worker._try_to_take_durable()
        for uid in UIDS[2:4]:  # the acceptor has not been told yet
            one.submit(uid, ack="stored")
        await one.answered()

    found = outcome(tmp_path, use_lane, scene, {"A": None}, more=ONE_BY_ONE)
    assert found["statuses"] == [0, 0, 0xA700, 0xA700]


def test_an_adopted_entry_whose_waiter_has_given_up_is_owed_and_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the worker drains, or the disk takes too long, while it adopts what absent workers left."""

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        record = record_of(1, ("A",), sop_instance=UIDS[2], sop_class=CT_IMAGE_STORAGE)
        seq, location = one.worker.spool.writer.append(record, [dataset(UIDS[2])])
        one.worker.handling.storing.adopt(Entry(seq, record, location)).cancel()
        await store(one, [UIDS[3]])
        await until(lambda: set(peers["A"].uids()) == set(UIDS[:4]))

    outcome(tmp_path, True, scene, {"A": None}, more=ONE_BY_ONE)
    assert "InvalidStateError" not in caplog.text
