"""What one destination does with an instance it could not deliver: blame, waiting, giving up."""

from __future__ import annotations

from collections import Counter
from typing import Any

from router.delivery.retry import ErrorClass
from router.spool.faults import RecordDamaged, Unreadable
from router.standard.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from router.wire.pdus import Abort, ReleaseRP, encode_pdu
from tests.support.owed import Bytes, facing, item, offer_all
from tests.support.scripted_scp import Peer, run, until


def test_a_refused_instance_is_dead_after_its_attempts_and_its_neighbours_pass() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda message: 0xA900 if message.uid == "1.2.2" else 0)

    async def test() -> None:
        async with facing(script, attempts_max=3) as (acceptor, one, outcomes):
            offer_all(one, [item(1), item(2), item(3)])
            await until(lambda: outcomes.dead_items)
            assert outcomes.uids() == ["1.2.1", "1.2.3"]
            assert Counter(acceptor.uids())["1.2.2"] == 3
            assert [failure.status for _, failure in outcomes.failures] == [0xA900, 0xA900]
            assert one.is_up
            assert one.queued == 0

    run(test())


def test_a_busy_peer_sets_the_destination_back_and_nothing_is_counted_against_the_instance() -> None:
    answers = iter([0xA700] * 5)

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: next(answers, 0))

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert sorted(outcomes.uids()) == ["1.2.1", "1.2.2"]
            assert len(outcomes.failures) == 5
            assert not outcomes.dead_items
            assert all(each.attempts == 0 for each, _ in outcomes.failures)
            assert one.is_up

    run(test())


def test_poison_dies_alone_and_its_neighbours_pass() -> None:
    """The peer aborts whenever it gets instance 2; the others in flight with it are innocent."""

    async def script(peer: Peer) -> None:
        await peer.accept(window=4)
        while (message := await peer.read_message()) is not None:
            if message.uid == "1.2.2":
                peer.send(encode_pdu(Abort(0, 0)))
                return
            peer.respond(message)
        if peer.last_pdu[:1] == b"\x05":
            peer.send(encode_pdu(ReleaseRP()))

    async def test() -> None:
        async with facing(script, operations_max=4) as (acceptor, one, outcomes):
            offer_all(one, [item(seq) for seq in range(1, 7)])
            await until(lambda: len(outcomes.delivered_items) == 5)
            while not outcomes.dead_items:
                seq = len(outcomes.delivered_items) + 100
                offer_all(one, [item(seq)])
                await until(lambda seq=seq: outcomes.dead_items or f"1.2.{seq}" in outcomes.uids())
            assert [each.sop_instance for each, _ in outcomes.dead_items] == ["1.2.2"]
            assert [each.sop_instance for each, _ in outcomes.failures] == ["1.2.2"] * 3
            assert outcomes.dead_items[0][1].error_class is ErrorClass.POISON
            # Once with others under way, which proves nothing, and three times alone.
            assert Counter(acceptor.uids())["1.2.2"] == 4

    run(test())


def test_a_peer_that_drops_every_association_is_not_hammered() -> None:
    """Each loss sets the destination back; without that this is a tight loop."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.read_message()

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (acceptor, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: outcomes.failures)
            await until(lambda: not acceptor.open)
            assert len(acceptor.peers) == 1
            assert not one.is_up
            assert one.queued == 2

    run(test())


def test_an_immediate_instance_is_returned_at_the_first_failure() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: 0xA700)

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (_, one, outcomes):
            offer_all(one, [item(1, is_immediate=True), item(2, is_immediate=True), item(3)])
            await until(lambda: len(outcomes.returned_items) == 2)
            assert [each.seq for each, _ in outcomes.returned_items] == [1, 2]
            assert one.queued == 1
            assert not one.is_up

    run(test())


def test_what_is_damaged_in_the_spool_dies_alone_however_many_there_are() -> None:
    """They all fail at once, without the network: neither recursion nor a dictionary changed underfoot."""

    async def test() -> None:
        async with facing(attempts_max=1) as (_, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            broken = [
                item(
                    seq,
                    payload=Bytes(b"xx", trouble=RecordDamaged("checksum mismatch")),
                    transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN if seq % 500 == 0 else "1.2.840.10008.1.2",
                )
                for seq in range(2, 1000)
            ]
            offer_all(one, [*broken, item(1000)])
            await until(lambda: len(outcomes.dead_items) == len(broken) and not one.queued + one.in_flight)
            assert outcomes.uids() == ["1.2.1", "1.2.1000"]
            assert one.in_flight == 0

    run(test())


def test_what_cannot_be_read_just_now_waits_without_count_and_its_neighbours_pass() -> None:
    async def test() -> None:
        async with facing(attempts_max=1, retry_first_s=0.01, retry_max_s=0.01) as (acceptor, one, outcomes):
            payload = Bytes(b"xx", trouble=Unreadable("no descriptor"))
            offer_all(one, [item(1, payload=payload), item(2)])
            await until(lambda: len(outcomes.failures) >= 3 and outcomes.delivered_items)
            assert {failure.error_class for _, failure in outcomes.failures} == {ErrorClass.UNREADABLE}
            assert outcomes.failures[0][0].attempts == 0
            payload.recover()
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert not outcomes.dead_items
            assert acceptor.uids() == ["1.2.2", "1.2.1"]

    run(test())


def test_a_spool_that_fails_in_the_middle_of_a_dataset_aborts_and_does_not_blame_the_peer() -> None:
    async def test() -> None:
        async with facing(attempts_max=1) as (acceptor, one, outcomes):
            bad = Bytes(b"ab" * 100_000, is_streamed=True, trouble=RecordDamaged("checksum mismatch"))
            offer_all(one, [item(1, payload=bad), item(2)])
            await until(lambda: outcomes.dead_items and outcomes.delivered_items)
            assert outcomes.dead_items[0][1].error_class is ErrorClass.SPOOL
            assert outcomes.uids() == ["1.2.2"]
            assert one.is_up
            assert bad.readers == 0
            assert acceptor.uids() == ["1.2.2"]

    run(test())


def test_a_payload_that_breaks_its_promises_aborts_its_association_only() -> None:
    async def test() -> None:
        async with facing() as (acceptor, one, outcomes):
            odd = Bytes(b"abc", b"def", is_streamed=True)
            offer_all(one, [item(1, payload=odd), item(2)])
            await until(lambda: outcomes.failures and outcomes.delivered_items)
            assert outcomes.failures[0][0].seq == 1
            assert outcomes.uids() == ["1.2.2"]
            assert acceptor.uids() == ["1.2.2"]

    run(test())


def test_a_payload_that_fails_otherwise_than_foreseen_hurts_its_instance_only() -> None:
    class Broken(Bytes):
        def buffers(self) -> Any:
            raise AssertionError("nothing there any more")

    async def test() -> None:
        async with facing(attempts_max=1) as (_, one, outcomes):
            offer_all(one, [item(1, payload=Broken()), item(2)])
            await until(lambda: outcomes.failures and outcomes.delivered_items)
            assert outcomes.failures[0][1].error_class is ErrorClass.UNREADABLE
            assert not outcomes.dead_items
            assert one.in_flight == 0

    run(test())
