"""The entry lane and the general way where a destination does not take what it is owed: busy, down, gone."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from router.delivery.destination import Destination
from router.delivery.pool import PooledAssociation
from router.delivery.retry import UNREADABLE_READINGS_MAX, ErrorClass, Failure
from router.processes import pace
from router.spool.states import DeliveryState, Selector
from router.standard.dimse_fields import AFFECTED_SOP_INSTANCE_UID
from router.wire.codec import CODEC_NAME
from tests.support import forwarding_world
from tests.support.forwarding_scenes import answering, both, busy_connections, falling, outcome
from tests.support.forwarding_world import SLOT, SLOTS, World, configuration, dataset
from tests.support.scripted_scp import Message, Peer, ScriptedAcceptor, until
from tests.support.stored_scenes import (
    ONE_BY_ONE,
    UIDS,
    Gate,
    all_settled,
    rows,
    states,
    store,
    store_in_bundles,
)

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")


@pytest.mark.parametrize("status", [0xA900, 0xC123, 0x0122, 0xB007])
def test_a_status_of_one_destination_means_the_same(tmp_path: Path, status: int) -> None:
    def status_of(message: Message) -> int:
        return status if message.command[AFFECTED_SOP_INSTANCE_UID] == UIDS[4] else 0

    found: list[Any] = []

    async def scene(one: World, _: Any) -> None:
        await store(one, UIDS)
        await all_settled(one)
        found.append(rows(one))

    ends = both(
        tmp_path, scene, {"A": answering(status_of), "B": None}, more=f"attempts_max = 1\n{ONE_BY_ONE}"
    )
    assert ends["statuses"] == [0] * len(UIDS)
    assert found[0] == found[1]
    dead = [row for row in found[1] if row[4] is DeliveryState.DEAD]
    assert len(dead) == (0 if status == 0xB007 else 1)


@pytest.mark.parametrize("use_lane", [True, False])
def test_an_abort_in_the_middle_loses_nothing(tmp_path: Path, use_lane: bool) -> None:
    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS)
        await all_settled(one)
        assert set(peers["A"].uids()) == set(peers["B"].uids()) == set(UIDS)

    found = outcome(tmp_path, use_lane, scene, {"A": falling, "B": None})
    assert found["statuses"] == [0] * len(UIDS)


@pytest.mark.parametrize("use_lane", [True, False])
@pytest.mark.parametrize("falls", [False, True])
def test_what_waits_for_a_busy_destination_is_answered_and_delivered_later(
    tmp_path: Path, use_lane: bool, falls: bool
) -> None:
    gate = Gate()

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await until(lambda: len(peers["A"].uids()) == 2)
        gate.open.clear()
        outlet = one.worker.owing.destinations["A"].outlet
        assert outlet is not None
        most = 0
        for number in range(20):
            one.submit(f"1.2.100.{number}", ack="stored")
            one.submit("1.2.77", dataset("1.2.77", name=f"V{number}"), ack="stored")
            await one.answered()
            most = max(most, len(outlet.waiting))
        assert most > 1 or not use_lane
        gate.falls = falls
        gate.open.set()
        await all_settled(one)
        versions = [
            message.dataset
            for peer in peers["A"].peers
            for message in peer.messages
            if message.command.get(AFFECTED_SOP_INSTANCE_UID) == "1.2.77"
        ]
        expected = [dataset("1.2.77", name=f"V{number}") for number in range(20)]
        assert list(dict.fromkeys(versions)) == expected
        assert versions[-1] == expected[-1]
        assert len(rows(one)) == 42

    found = outcome(tmp_path, use_lane, scene, {"A": gate.script}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * 42
    assert set(found["A"]) == {*UIDS[:2], "1.2.77", *(f"1.2.100.{number}" for number in range(20))}


@pytest.mark.parametrize("end", ["answered", "falls", "refused"])
def test_slots_go_back_once_an_instance_is_out_and_a_second_attempt_reads_the_spool(
    tmp_path: Path, end: str
) -> None:
    gate = Gate()
    refused: list[Message] = []

    async def script(peer: Peer) -> None:
        if end != "refused" or peer.number or refused:
            await gate.script(peer)
            return
        await peer.accept()
        while (message := await peer.read_message()) is not None:
            await gate.open.wait()
            uid = message.command[AFFECTED_SOP_INSTANCE_UID]
            is_refused = uid == UIDS[2] and not refused
            peer.respond(message, 0xA700 if is_refused else 0)
            refused.extend([message] * is_refused)

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await all_settled(one)
        gate.open.clear()
        await store(one, UIDS[2:3], octets=dataset(UIDS[2], padding=5 * SLOT))
        await until(lambda: one.slab.slots_used == 0)
        assert states(one) == {DeliveryState.DELIVERED, DeliveryState.PENDING}
        gate.falls = end == "falls"
        gate.open.set()
        await all_settled(one)
        octets = [message.dataset for message in peers["A"].messages if message.dataset]  # no C-ECHO
        assert set(octets[2:]) == {dataset(UIDS[2], padding=5 * SLOT)}
        assert len(octets) == (3 if end == "answered" else 4)
        assert states(one) == {DeliveryState.DELIVERED}

    outcome(tmp_path, True, scene, {"A": script}, more=ONE_BY_ONE)


def test_a_destination_that_stands_still_does_not_keep_the_slots(tmp_path: Path) -> None:
    gate = Gate()

    async def scene(one: World, _: Any) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await until(lambda: one.dispatcher.loans_outstanding == 0)
        gate.open.clear()
        for number in range(3 * SLOTS):
            await store(one, [f"1.2.100.{number}"])
        assert one.slab.slots_used <= SLOTS // 2
        gate.open.set()
        await all_settled(one)

    found = outcome(tmp_path, True, scene, {"A": gate.script}, more=ONE_BY_ONE)
    assert len(found["A"]) == 2 + 3 * SLOTS


def test_what_a_destination_that_is_down_is_owed_costs_the_others_no_general_way(tmp_path: Path) -> None:
    found: list[Any] = []
    made: list[int] = []

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        ill, entries = one.worker.owing.destinations["B"], one.worker.forwarding.entries
        ill.circuit.set_back(Failure(ErrorClass.CONNECT, None, "test"), monotonic(), 1e6)
        if entries is not None:
            general = entries.handled_of
            entries.handled_of = lambda stored: made.append(stored.seq) or general(stored)
        await store(one, UIDS[2:])
        await until(lambda: peers["A"].uids() == UIDS)
        await until(lambda: one.slab.slots_used == 0)
        assert peers["B"].uids() == UIDS[:2]
        ill.wake_up()
        await all_settled(one)
        found.append(rows(one))

    ends = both(tmp_path, scene, {"A": None, "B": None}, more=ONE_BY_ONE)
    assert ends["statuses"] == [0] * len(UIDS)
    assert ends["A"] == ends["B"] == UIDS
    assert found[0] == found[1]
    assert made == []


def test_what_comes_while_a_destination_is_given_what_it_missed_in_portions_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_RATE", 0)  # for now
    monkeypatch.setattr(pace, "RETURN_S", 3600.0)
    many = [f"1.2.100.{number}" for number in range(60)]
    made: list[int] = []

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        back, backlog = one.worker.owing.destinations["B"], one.worker.owing.backlogs["B"]
        back.circuit.set_back(Failure(ErrorClass.CONNECT, None, "test"), monotonic(), 1e6)
        await store_in_bundles(one, many[:40])
        back.wake_up()
        await until(lambda: backlog.is_paced and back.is_up and back.is_idle)
        if (entries := one.worker.forwarding.entries) is not None:
            general = entries.handled_of
            entries.handled_of = lambda stored: made.append(stored.seq) or general(stored)
        await store_in_bundles(one, many[40:])
        await until(lambda: peers["A"].uids() == UIDS[:2] + many)
        assert backlog.must_wait
        monkeypatch.setattr(pace, "FIRST_RATE", 1000)
        await all_settled(one)
        monkeypatch.setattr(pace, "FIRST_RATE", 0)  # for the other way

    ends = both(tmp_path, scene, {"A": None, "B": None}, more=ONE_BY_ONE)
    assert ends["A"] == ends["B"] == UIDS[:2] + many
    assert made == []


def test_what_comes_for_a_destination_that_answers_nothing_stays_in_the_ledger(tmp_path: Path) -> None:
    gate = Gate()
    many = [f"1.2.100.{number}" for number in range(480)]

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await all_settled(one)
        gate.open.clear()
        await store_in_bundles(one, many[:380])
        backlog, entries = one.worker.owing.backlogs["B"], one.worker.forwarding.entries
        assert backlog.must_wait
        assert len(backlog.held) == 1, "the one under way; the rest costs it no memory"
        assert entries is not None
        made: list[int] = []
        general = entries.handled_of
        entries.handled_of = lambda stored: made.append(stored.seq) or general(stored)
        held = set(backlog.held)
        await until(lambda: len(peers["A"].uids()) == 2 + 380)
        for start in range(380, 480, 20):
            await store_in_bundles(one, many[start : start + 20])
            await until(lambda upto=start + 20: peers["A"].uids() == UIDS[:2] + many[:upto])  # type: ignore[misc]
        assert made == [], "nor the others their short cut"
        assert backlog.held == held
        await until(lambda: one.slab.slots_used <= 1)
        gate.open.set()
        await all_settled(one)
        assert not backlog.held
        assert not backlog.must_wait
        await store(one, UIDS[2:])
        await all_settled(one)

    found = outcome(tmp_path, True, scene, {"A": None, "B": gate.script}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * (len(UIDS) + len(many))
    assert found["A"] == found["B"] == UIDS[:2] + many + UIDS[2:]


@pytest.mark.parametrize("use_lane", [True, False])
def test_what_comes_the_general_way_for_a_destination_that_answers_nothing_stays_in_the_ledger_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_lane: bool
) -> None:
    monkeypatch.setattr(PooledAssociation, "open_lane", lambda *_: None)  # as over TLS
    gate = Gate()
    many = [f"1.2.100.{number}" for number in range(480)]

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await all_settled(one)
        gate.open.clear()
        await store_in_bundles(one, many)
        backlog = one.worker.owing.backlogs["B"]
        assert backlog.must_wait
        assert len(backlog.held) == 1, "the one under way"
        await until(lambda: len(peers["A"].uids()) == 2 + len(many))
        await until(lambda: one.slab.slots_used <= 1)
        gate.open.set()
        await all_settled(one)
        assert not backlog.held
        assert not backlog.must_wait

    found = outcome(tmp_path, use_lane, scene, {"A": None, "B": gate.script}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * (2 + len(many))
    assert found["A"] == found["B"] == UIDS[:2] + many


def test_what_waits_for_a_lane_goes_back_to_the_ledger_once_hardly_anything_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding_world, "SLOTS", 4 * SLOTS)  # the half of them is enough for what waits
    gate = Gate()
    many = [f"1.2.100.{number}" for number in range(400)]

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await all_settled(one)
        gate.open.clear()
        outlet = one.worker.owing.destinations["A"].outlet
        assert outlet is not None
        await store_in_bundles(one, many[:65])
        assert len(outlet.waiting) == 64
        await store_in_bundles(one, many[65:])
        assert not outlet.waiting
        assert len(outlet.uids) == 1
        await until(lambda: one.slab.slots_used <= 1)
        gate.open.set()
        await all_settled(one)

    found = outcome(tmp_path, True, scene, {"A": gate.script}, more=ONE_BY_ONE)
    assert found["A"] == UIDS[:2] + many


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_connection_that_is_busy_does_not_delay_the_other_destination(
    tmp_path: Path, use_lane: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = busy_connections(monkeypatch)

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS[:3])
        await all_settled(one)
        busy.add(one.worker.owing.destinations["B"]._pool.associations[0].connection)
        await store(one, [UIDS[3]])
        await until(lambda: UIDS[3] in peers["A"].uids())
        busy.clear()
        await store(one, UIDS[4:])
        await all_settled(one)

    found = outcome(tmp_path, use_lane, scene, {"A": None, "B": None})
    assert sorted(found["A"]) == sorted(found["B"]) == UIDS


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_reload_that_takes_a_destination_away_gives_its_slots_back(tmp_path: Path, use_lane: bool) -> None:
    gate = Gate()

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        gate.open.clear()
        for uid in UIDS[2:6]:
            one.submit(uid, ack="stored")
        await one.answered()
        one.worker._reload(configuration(one.folder, {"B": peers["B"].port}))
        gate.open.set()
        await until(lambda: one.dispatcher.loans_outstanding == 0)
        await store(one, UIDS[6:])
        await until(lambda: set(UIDS) <= set(peers["B"].uids()))

    found = outcome(tmp_path, use_lane, scene, {"A": gate.script, "B": None}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * len(UIDS)
    assert sorted(found["B"]) == UIDS  # over several associations since the reload


def test_what_our_own_disk_cannot_read_is_dead_in_time_kept_and_sent_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.delivery.blame.UNREADABLE_S_MIN", 0.2)
    pread, bad = os.pread, set[int]()

    def reading(descriptor: int, length: int, offset: int) -> bytes:
        if offset in bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, length, offset)

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await store(one, UIDS[:2])
        await all_settled(one)
        destination, ledger = one.worker.owing.destinations["A"], one.worker.spool.ledger
        destination.circuit.set_back(Failure(ErrorClass.CONNECT, None, "test"), monotonic(), 1e6)
        await store(one, UIDS[2:])
        monkeypatch.setattr("os.pread", reading)
        entry = next(o.entry for o in ledger.study("1.9") if o.entry.record.sop_instance == UIDS[3])
        bad.add(entry.location.offset)
        destination.wake_up()
        await all_settled(one)
        dead = [owed for owed in ledger.study("1.9") if owed.mark.state is DeliveryState.DEAD]
        assert [(owed.seq, owed.mark.error_class) for owed in dead] == [(entry.seq, "unreadable")]
        assert sorted(peers["A"].uids()) == [*UIDS[:3], *UIDS[4:]]
        bad.clear()
        assert await asyncio.to_thread(ledger.retry, Selector(destination="A")) == 1
        one.worker.owing.look_again(["A"])
        await until(lambda: sorted(peers["A"].uids()) == UIDS)

    found = outcome(tmp_path, True, scene, {"A": None}, more=ONE_BY_ONE)
    assert found["counted A"]["unreadable"] >= UNREADABLE_READINGS_MAX


async def taken_away(one: World, gate: Gate, port: int) -> Destination:
    """Have A owe three instances, and a reload leave only B; return A, which closes."""
    gate.open.set()
    await store(one, UIDS[:2])
    await all_settled(one)
    gate.open.clear()
    for uid in UIDS[2:5]:
        one.submit(uid, ack="stored")
    await one.answered()
    before = one.worker.owing.destinations["A"]
    one.worker._reload(configuration(one.folder, {"B": port}, more=ONE_BY_ONE))
    return before


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_destination_that_is_wanted_again_while_it_closes_sends_nothing_twice(
    tmp_path: Path, use_lane: bool
) -> None:
    gate = Gate()

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        ports = {name: peer.port for name, peer in peers.items()}
        before = await taken_away(one, gate, ports["B"])
        assert "A" not in one.worker.owing.destinations
        one.worker._reload(configuration(one.folder, ports, more=ONE_BY_ONE))
        assert one.worker.owing.destinations["A"] is before
        await store(one, UIDS[5:])
        gate.open.set()
        await all_settled(one)
        assert not before._is_draining

    found = outcome(tmp_path, use_lane, scene, {"A": gate.script, "B": None}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * len(UIDS)
    assert sorted(found["A"]) == sorted(found["B"]) == UIDS


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_destination_that_is_wanted_again_too_late_begins_anew_when_the_old_one_has_ended(
    tmp_path: Path, use_lane: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.processes.worker.GONE_CLOSE_S", 0.0)
    gate = Gate()

    async def script(peer: Peer) -> None:
        await gate.script(peer)
        if not peer.number:
            await gate.open.wait()  # and leaves the request to release without an answer so long

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        ports = {name: peer.port for name, peer in peers.items()}
        before = await taken_away(one, gate, ports["B"])
        await until(lambda: before._is_draining)
        one.worker._reload(configuration(one.folder, ports, more=ONE_BY_ONE))
        assert one.worker.owing.destinations.get("A") is None or not before.in_flight
        await until(lambda: "A" in one.worker.owing.destinations)
        assert one.worker.owing.destinations["A"] is not before
        assert before.in_flight == 0
        await until(lambda: one.slab.slots_used == 0)
        await store(one, UIDS[5:])
        gate.open.set()
        await all_settled(one)

    found = outcome(tmp_path, use_lane, scene, {"A": script, "B": None}, more=ONE_BY_ONE)
    assert found["statuses"] == [0] * len(UIDS)
    assert sorted(set(found["A"])) == found["B"] == UIDS
    assert len(found["A"]) <= len(UIDS) + 1, "but for the one that was cut off"


@pytest.mark.parametrize("use_lane", [True, False])
def test_what_people_drop_while_it_waits_gives_its_slots_back(tmp_path: Path, use_lane: bool) -> None:
    gate = Gate()

    async def scene(one: World, _: Any) -> None:
        gate.open.set()
        await store(one, UIDS[:2])
        await all_settled(one)
        gate.open.clear()
        await store(one, UIDS[2:])
        assert await asyncio.to_thread(one.worker.spool.ledger.drop, Selector(destination="A")) == 6
        one.worker.owing.forget_settled()
        gate.open.set()
        await until(lambda: one.dispatcher.loans_outstanding == 0)

    outcome(tmp_path, use_lane, scene, {"A": gate.script}, more=ONE_BY_ONE)
