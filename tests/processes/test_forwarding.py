"""The forward lane and the general way come to the same: receipts, deliveries, counts, slots given back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from router.delivery.retry import ErrorClass, Failure
from router.handoff.ticket import encode_record
from router.standard.dimse_fields import AFFECTED_SOP_INSTANCE_UID, COMMAND_DATA_SET_TYPE, STATUS
from router.standard.transfer_syntaxes import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from router.wire import codec
from router.wire.codec import CODEC_NAME
from tests.support.forwarding_scenes import answering, both, busy_connections, falling, one_by_one, outcome
from tests.support.forwarding_world import SLOT, SLOTS, World, configuration, dataset
from tests.support.raw_peer import command, pdata, pdv
from tests.support.scripted_scp import (
    Message,
    Peer,
    ScriptedAcceptor,
    response,
    until,
)

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")

UIDS = [f"1.2.{number}" for number in range(1, 9)]


def test_instances_go_to_every_destination_and_are_answered_once(tmp_path: Path) -> None:
    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS)

    found = both(tmp_path, scene, {"A": None, "B": None})
    assert found["statuses"] == [0] * len(UIDS)
    assert found["A"] == found["B"] == UIDS
    assert found["in lane"] >= 2 * (len(UIDS) - 1)


@pytest.mark.parametrize("status", [0xB000, 0xB007, 0x0107])
def test_a_warning_is_a_success_and_counted_as_what_it_is(tmp_path: Path, status: int) -> None:
    def status_of(message: Message) -> int:
        return status if message.command[AFFECTED_SOP_INSTANCE_UID] == UIDS[4] else 0

    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS)

    found = both(tmp_path, scene, {"A": answering(status_of), "B": None})
    assert found["statuses"] == [0] * len(UIDS)


@pytest.mark.parametrize("status", [0xA900, 0xC123, 0x0122])
def test_a_refusal_by_one_of_two_falls_back_to_the_spool(tmp_path: Path, status: int) -> None:
    def status_of(message: Message) -> int:
        return status if message.command[AFFECTED_SOP_INSTANCE_UID] == UIDS[4] else 0

    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS[:6])
        ledger = one.worker.spool.ledger
        await until(ledger.counts)

    found = both(tmp_path, scene, {"A": answering(status_of), "B": None}, more="attempts_max = 1")
    assert found["statuses"] == [0] * 6
    assert found["B"] == UIDS[:6]


@pytest.mark.parametrize("use_lane", [True, False])
def test_an_abort_in_the_middle_loses_nothing(tmp_path: Path, use_lane: bool) -> None:
    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await one_by_one(one, UIDS)
        await until(lambda: set(peers["A"].uids()) == set(peers["B"].uids()) == set(UIDS))

    found = outcome(tmp_path, use_lane, scene, {"A": falling, "B": None})
    assert found["statuses"] == [0] * len(UIDS)
    assert found["in lane"] or not use_lane


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_destination_that_never_answers_makes_it_fall_back(tmp_path: Path, use_lane: bool) -> None:
    def status_of(message: Message) -> int | None:
        return None if message.command[AFFECTED_SOP_INSTANCE_UID] == UIDS[3] else 0

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await one_by_one(one, UIDS[:4])
        assert one.worker.spool.writer.appended_seq == 1
        for peer in peers["A"].peers:
            peer.writer.close()
        peers["A"].script = answering(lambda _: 0)
        await until(lambda: peers["A"].uids().count(UIDS[3]) >= 2)

    found = outcome(tmp_path, use_lane, scene, {"A": answering(status_of), "B": None}, ack_wait_s=0.3)
    assert found["statuses"] == [0] * 4
    assert found["B"] == UIDS[:4]


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_second_destination_that_is_not_ready_is_sent_to_the_general_way(
    tmp_path: Path, use_lane: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = busy_connections(monkeypatch)

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await one_by_one(one, UIDS[:3])
        busy.add(one.worker.owing.destinations["B"]._pool.associations[0].connection)
        one.submit(UIDS[3])
        await one.answered()
        busy.clear()
        await one_by_one(one, UIDS[4:6])
        assert one.worker.forwarding.in_progress == 0

    found = outcome(tmp_path, use_lane, scene, {"A": None, "B": None})
    assert found["statuses"] == [0] * 6
    assert found["A"] == found["B"] == UIDS[:6]


@pytest.mark.parametrize("use_lane", [True, False])
def test_versions_that_wait_too_long_together_are_stored_in_the_order_of_their_arrival(
    tmp_path: Path, use_lane: bool
) -> None:
    versions = [dataset(UIDS[3], name=f"V{number}") for number in range(3)]

    def status_of(message: Message) -> int | None:
        return None if message.command[AFFECTED_SOP_INSTANCE_UID] == UIDS[3] else 0

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await one_by_one(one, UIDS[:2])
        for octets in versions:
            one.submit(UIDS[3], octets)
        await until(lambda: one.worker.handling.in_progress == 3 and UIDS[3] in peers["A"].uids())
        one.worker.handling.expire(monotonic() + 1e6)
        one.worker.handling.storing.sync()
        one.worker._try_to_take_durable()
        await one.answered()
        ledger, payloads = one.worker.spool.ledger, one.worker.spool.payloads
        owed = [row for row in ledger.study("1.9") if row.mark.destination == "A"]
        assert [b"".join(payloads.open_payload(row.entry.location)) for row in owed] == versions
        for peer in peers["A"].peers:
            peer.writer.close()
        peers["A"].script = answering(lambda _: 0)
        await until(lambda: peers["A"].uids().count(UIDS[3]) >= 4)

    outcome(tmp_path, use_lane, scene, {"A": answering(status_of)}, more="associations_max = 1")


def test_the_second_version_of_an_instance_waits_for_the_first(tmp_path: Path) -> None:
    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS[:2])
        for number in range(6):
            one.submit("1.2.77", dataset("1.2.77", name=f"V{number}"))
        await one.answered()

    found = both(tmp_path, scene, {"A": answering(lambda _: 0, 8)}, more="operations_max = 8")
    assert found["statuses"] == [0] * 8
    names = found["octets A"]
    assert len(names) == 8


RULES = """
[[rules]]
name = "by study"
when = {{ {key} = "{value}" }}
to = ["B"]
stop = true
[[rules]]
name = "rest"
to = ["A"]
"""


@pytest.mark.parametrize(
    ("key", "value", "odd"),
    [
        ("StudyInstanceUID", "1.9.5", {"study": "1.9.5"}),
        ("SeriesInstanceUID", "1.9.5", {"series": "1.9.5"}),
        ("SOPInstanceUID", "1.2.4", {}),
        ("Modality", "MR", {"modality": "MR"}),
        ("PatientName", "X^Y", {"name": "X^Y"}),
    ],
)
def test_instances_that_differ_in_one_value_that_a_rule_looks_at_part_ways(
    tmp_path: Path, key: str, value: str, odd: dict[str, str]
) -> None:
    async def scene(one: World, _: Any) -> None:
        for number, uid in enumerate(UIDS):
            one.submit(uid, dataset(uid, **(odd if number in (3, 6) else {})))
            await one.answered()

    found = both(tmp_path, scene, {"A": None, "B": None}, rules=RULES.format(key=key, value=value))
    expected = [UIDS[3]] if key == "SOPInstanceUID" else [UIDS[3], UIDS[6]]
    assert found["B"] == expected


def test_instances_that_differ_in_their_sender_part_ways(tmp_path: Path) -> None:
    async def scene(one: World, _: Any) -> None:
        for number, uid in enumerate(UIDS):
            one.submit(uid, calling_ae_title="ODD" if number == 5 else "MODALITY")
            await one.answered()

    rules = RULES.format(key="calling_ae_title", value="ODD")
    assert both(tmp_path, scene, {"A": None, "B": None}, rules=rules)["B"] == [UIDS[5]]


def test_attributes_in_the_next_slot_decide_too(tmp_path: Path) -> None:
    def split_at_slot(uid: str, name: str) -> bytes:
        """The first slot ends with an element: before the patient's name in (0010,0010)."""
        plain = dataset(uid, name=name)
        at = plain.index(b"\x10\x00\x10\x00PN")
        missing = SLOT - at - 12
        filler = b"\x09\x00\x01\x10OB\0\0" + missing.to_bytes(4, "little") + b"x" * missing
        return plain[:at] + filler + plain[at:]

    async def scene(one: World, _: Any) -> None:
        for number, uid in enumerate(UIDS):
            one.submit(uid, split_at_slot(uid, "X^Y" if number in (2, 5) else "A^B"))
            await one.answered()

    rules = RULES.format(key="PatientName", value="X^Y")
    assert both(tmp_path, scene, {"A": None, "B": None}, rules=rules)["B"] == [UIDS[2], UIDS[5]]


@pytest.mark.parametrize("syntax", [IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN])
@pytest.mark.parametrize("scan", ["off", "nesting", "strict"])
def test_every_encoding_and_policy_comes_to_the_same(tmp_path: Path, syntax: str, scan: str) -> None:
    async def scene(one: World, _: Any) -> None:
        for number, uid in enumerate(UIDS[:6]):
            octets = dataset(uid, syntax, padding=3000 * number)
            if number == 4:
                octets = octets[:-3]  # cut: malformed for the strict
            one.submit(uid, octets, transfer_syntax=syntax)
            await one.answered()

    found = both(tmp_path, scene, {"A": None}, scan=scan)
    assert found["statuses"] == [0, 0, 0, 0, 0xC000 if scan == "strict" else 0, 0]


def test_what_cannot_be_forwarded_is_refused_alike(tmp_path: Path) -> None:
    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS[:3])
        one.submit(UIDS[3], dataset("1.2.99"))
        one.submit(UIDS[4], b"\x08\x00\x16\x00zz\x02\x001\x00" + dataset(UIDS[4]))
        await one.answered()
        await one_by_one(one, UIDS[7:])

    found = both(tmp_path, scene, {"A": None})
    assert found["statuses"] == [0, 0, 0, 0xA900, 0xC000, 0]


@pytest.mark.parametrize("use_lane", [True, False])
@pytest.mark.parametrize("slot", [SLOTS, 10**6, 2**32, 2**40])
def test_a_ticket_that_names_a_slot_of_nobodys_is_refused_and_stops_nothing(
    tmp_path: Path, use_lane: bool, slot: int
) -> None:
    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS[:3])
        one.submit(UIDS[3])
        (loan,) = one.dispatcher._links[0].loans.values()
        forged = loan.ticket._replace(ticket_id=1, slots=(slot,))
        assert one.dispatcher._links[0].end.send(encode_record(forged))
        await one_by_one(one, UIDS[4:6])
        await until(lambda: one.dispatcher.counts.stray_records)

    found = outcome(tmp_path, use_lane, scene, {"A": None})
    assert found["A"] == UIDS[:6]


@pytest.mark.parametrize("unmatched", ["discard", "reject", "hold"])
def test_what_no_rule_matches_is_answered_alike(tmp_path: Path, unmatched: str) -> None:
    async def scene(one: World, _: Any) -> None:
        for number, uid in enumerate(UIDS):
            one.submit(uid, dataset(uid, modality="MR" if number % 2 else "CT"))
            await one.answered()

    rules = '[[rules]]\nname = "ct"\nwhen = { Modality = "CT" }\nto = ["A"]\n'
    found = both(tmp_path, scene, {"A": None}, rules=rules, unmatched=unmatched)
    assert found["A"] == UIDS[::2]


def test_a_reload_counts_for_the_next_instance(tmp_path: Path) -> None:
    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        ports = {name: peer.port for name, peer in peers.items()}
        await one_by_one(one, UIDS[:3])
        rules = '[[rules]]\nname = "all"\nto = ["B"]\n'
        one.worker._reload(configuration(one.folder, ports, rules=rules))
        await one_by_one(one, UIDS[3:5])
        one.worker._reload(configuration(one.folder, {"A": ports["A"]}))
        await one_by_one(one, UIDS[5:])

    rules = '[[rules]]\nname = "all"\nto = ["A"]\n'
    found = both(tmp_path, scene, {"A": None, "B": None}, rules=rules)
    assert found["A"] == UIDS[:3] + UIDS[5:]
    assert found["B"] == UIDS[3:5]


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_destination_taken_away_with_an_instance_under_way_gives_it_back(
    tmp_path: Path, use_lane: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.processes.worker.GONE_CLOSE_S", 0.1)

    def status_of(message: Message) -> int | None:
        return None if message.command[AFFECTED_SOP_INSTANCE_UID] == UIDS[3] else 0

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await one_by_one(one, UIDS[:3])
        one.submit(UIDS[3])
        await until(lambda: UIDS[3] in peers["B"].uids())
        one.worker._reload(configuration(one.folder, {"A": peers["A"].port}))
        await one.answered()
        await one_by_one(one, UIDS[4:6])

    found = outcome(tmp_path, use_lane, scene, {"A": None, "B": answering(status_of)})
    assert found["statuses"] == [0] * 6
    assert found["A"] == UIDS[:6]


@pytest.mark.parametrize("use_lane", [True, False])
def test_many_at_once_over_a_window_are_all_answered(tmp_path: Path, use_lane: bool) -> None:
    count = 40

    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS)
        for number in range(count):
            one.submit(f"1.3.{number}")
            if number % 8 == 7:
                await asyncio.sleep(0)

        await one.answered()

    scripts = {"A": answering(lambda _: 0, 4), "B": answering(lambda _: 0, 1)}
    found = outcome(tmp_path, use_lane, scene, scripts, more="operations_max = 4")
    assert found["statuses"] == [0] * (count + len(UIDS))
    assert sorted(found["A"]) == sorted(found["B"])


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_response_in_pieces_or_with_a_dataset_is_a_response(tmp_path: Path, use_lane: bool) -> None:
    async def strange(peer: Peer) -> None:
        await peer.accept()
        while (message := await peer.read_message()) is not None:
            plain = response(message)
            if message.command.get(AFFECTED_SOP_INSTANCE_UID) == UIDS[3]:
                for octet in plain:
                    peer.send(bytes([octet]))
                    await peer.writer.drain()
            elif message.command.get(AFFECTED_SOP_INSTANCE_UID) == UIDS[4]:
                fields = {**codec.decode_command(plain[12:]), COMMAND_DATA_SET_TYPE: 1, STATUS: 0xB000}
                peer.send(command(message.context_id, fields) + pdata(pdv(message.context_id, 2, b"abcd")))
            else:
                peer.send(plain)

    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS)
        assert one.worker.spool.writer.appended_seq == 0

    found = outcome(tmp_path, use_lane, scene, {"A": strange})
    assert found["statuses"] == [0] * len(UIDS)
    assert found["A"] == UIDS


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_destination_that_flaps_or_was_set_back_gets_nothing_past_its_queue(
    tmp_path: Path, use_lane: bool
) -> None:
    async def scene(one: World, _: Any) -> None:
        await one_by_one(one, UIDS[:3])
        destination = one.worker.owing.destinations["A"]
        before = one.in_lane
        destination.circuit.is_restrained = True
        destination.circuit._ramp_from = float("inf")
        assert not destination.takes_directly
        await one_by_one(one, UIDS[3:5])
        assert one.in_lane == before
        destination.circuit._ramp_from = None
        destination.circuit.is_restrained = False
        destination.pump()
        await until(lambda: one.worker.owing.destinations["A"].is_idle)
        await one_by_one(one, UIDS[5:])

    found = outcome(tmp_path, use_lane, scene, {"A": None})
    assert found["statuses"] == [0] * len(UIDS)
    assert sorted(found["A"]) == UIDS


@pytest.mark.parametrize("use_lane", [True, False])
def test_a_success_under_way_since_before_a_setback_ends_it(tmp_path: Path, use_lane: bool) -> None:
    gate = asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.accept()
        while (message := await peer.read_message()) is not None:
            if message.command.get(AFFECTED_SOP_INSTANCE_UID) == UIDS[3]:
                await gate.wait()
            peer.respond(message)

    async def scene(one: World, peers: dict[str, ScriptedAcceptor]) -> None:
        await one_by_one(one, UIDS[:3])
        one.submit(UIDS[3])
        await until(lambda: UIDS[3] in peers["A"].uids())
        destination = one.worker.owing.destinations["A"]
        destination.circuit.set_back(Failure(ErrorClass.CONNECT, None, "test"), monotonic(), 1e6)
        destination.is_late = True
        if destination.outlet is not None:
            destination.outlet.is_ill = True
        gate.set()
        await one.answered()
        assert destination.is_up
        assert not destination.is_late

    found = outcome(tmp_path, use_lane, scene, {"A": slow})
    assert found["statuses"] == [0] * 4
