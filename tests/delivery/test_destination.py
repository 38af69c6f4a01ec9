"""What one destination does with what it is owed: order, blame, waiting, giving up."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from router.delivery.fair import FLOW_MAX
from router.delivery.retry import ErrorClass
from router.spool.faults import RecordDamaged, Unreadable
from router.standard.dimse_fields import AFFECTED_SOP_INSTANCE_UID
from router.standard.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import MR_IMAGE_STORAGE
from router.wire.pdus import Abort, AssociateRJ, ContextResult, ReleaseRP, encode_pdu
from tests.support.owed import Bytes, Outcomes, destination, facing, item, offer_all
from tests.support.scripted_scp import Message, Peer, acceptance, run, scripted_acceptor, until


def uid_of(message: Message) -> str:
    return str(message.command.get(AFFECTED_SOP_INSTANCE_UID, ""))


def test_instances_arrive_whole_and_by_age() -> None:
    async def test() -> None:
        async with facing() as (acceptor, one, outcomes):
            items = [item(seq, payload=Bytes(b"ab" * seq, b"cd")) for seq in range(1, 21)]
            offer_all(one, items)
            await until(lambda: len(outcomes.delivered_items) == 20)
            assert acceptor.uids() == [each.sop_instance for each in items]
            assert [m.dataset for m in acceptor.messages] == [b"ab" * seq + b"cd" for seq in range(1, 21)]
            assert len(acceptor.peers) == 1
            assert one.queued == one.in_flight == 0
            assert all(each.payload.readers == 0 for each in items)

    run(test())


def test_a_window_is_filled_only_as_far_as_the_peer_grants() -> None:
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        await peer.accept(window=3)
        waiting: list[Message] = []
        for _ in range(3):
            message = await peer.read_message()
            assert message is not None
            waiting.append(message)
        most = max(most, one_holder[0].in_flight)
        for message in reversed(waiting):
            peer.respond(message)
        await peer.serve()

    one_holder: list[Any] = []

    async def test() -> None:
        async with facing(script, operations_max=16) as (_, one, outcomes):
            one_holder.append(one)
            offer_all(one, [item(seq) for seq in range(1, 11)])
            await until(lambda: len(outcomes.delivered_items) == 10)
            assert most == 3

    run(test())


def test_two_versions_of_an_instance_are_never_in_flight_together() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(window=16)
        await peer.serve()

    async def test() -> None:
        async with facing(script, operations_max=16) as (_, one, outcomes):
            offer_all(one, [item(1, "1.9"), item(2, "1.9"), item(3, "1.8"), item(4, "1.9")])
            await until(lambda: len(outcomes.delivered_items) == 4)
            versions = [each.seq for each, _ in outcomes.delivered_items if each.sop_instance == "1.9"]
            assert versions == [1, 2, 4]
            assert one.queued == 0

    run(test())


def test_a_later_version_in_another_transfer_syntax_waits_for_the_earlier() -> None:
    """Its presentation context may be there already while the earlier one's must first be negotiated."""

    async def test() -> None:
        async with facing(associations_max=2) as (_, one, outcomes):
            offer_all(one, [item(1, "1.1", transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)])
            await until(lambda: len(outcomes.delivered_items) == 1)
            offer_all(
                one,
                [item(2, "1.9"), item(3, "1.9", transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)],
            )
            await until(lambda: len(outcomes.delivered_items) == 3)
            assert outcomes.uids()[1:] == ["1.9", "1.9"]
            assert [each.seq for each, _ in outcomes.delivered_items] == [1, 2, 3]

    run(test())


def test_a_warning_is_a_delivery() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: 0xB007)

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            assert outcomes.delivered_items[0][1] == 0xB007

    run(test())


def test_a_refused_instance_is_dead_after_its_attempts_and_its_neighbours_pass() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda message: 0xA900 if uid_of(message) == "1.2.2" else 0)

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


def test_a_newer_version_waits_for_the_retry_of_the_older() -> None:
    answers = iter([0xC000, 0, 0])

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: next(answers))

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            offer_all(one, [item(1, "1.9"), item(2, "1.9")])
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert [each.seq for each, _ in outcomes.delivered_items] == [1, 2]

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
            if uid_of(message) == "1.2.2":
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


def test_a_peer_that_aborts_as_soon_as_it_has_accepted_is_not_hammered() -> None:
    async def script(peer: Peer) -> None:
        rq = await peer.read_request()
        peer.send(encode_pdu(acceptance(rq)) + encode_pdu(Abort(2, 0)))

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (acceptor, one, _):
            offer_all(one, [item(1)])
            await until(lambda: not one.is_up)
            await until(lambda: not acceptor.open)
            assert len(acceptor.peers) == 1

    run(test())


def test_a_peer_that_releases_as_soon_as_it_has_accepted_is_answered_and_not_hammered() -> None:
    async def script(peer: Peer) -> None:
        rq = await peer.read_request()
        peer.send(encode_pdu(acceptance(rq)) + b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00")
        answers.append((await peer.read_pdu())[0])

    answers: list[int] = []

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (acceptor, one, _):
            offer_all(one, [item(1)])
            await until(lambda: not one.is_up)
            await until(lambda: not acceptor.open)
            assert len(acceptor.peers) == 1
            assert answers == [6]

    run(test())


def test_an_abort_while_opening_is_nobodys_poison() -> None:
    """Instances that were never sent cannot have made the peer abort."""
    is_down = False

    async def script(peer: Peer) -> None:
        if is_down:
            return
        await peer.accept()
        await peer.serve()

    async def test() -> None:
        nonlocal is_down
        async with facing(script, idle_s=0) as (acceptor, one, outcomes):
            for round_ in range(1, 5):
                is_down = True
                one.tend(float("inf"))
                await until(lambda: not acceptor.open)
                offer_all(one, [item(round_)])
                await until(lambda: not one.is_up)
                is_down = False
                await until(lambda r=round_: len(outcomes.delivered_items) == r)
            assert all(each.aborts == 0 for each, _ in outcomes.delivered_items)
            assert not outcomes.dead_items

    run(test())


def test_a_permanent_rejection_counts_against_the_oldest_only() -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        peer.send(encode_pdu(AssociateRJ(1, 1, 7)))

    async def test() -> None:
        async with facing(script, attempts_max=2) as (_, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: len(outcomes.dead_items) == 1)
            assert outcomes.dead_items[0][0].seq == 1
            assert outcomes.dead_items[0][1].error_class is ErrorClass.REJECTED_PERMANENT
            await until(lambda: len(outcomes.dead_items) == 2)
            assert one.queued == 0

    run(test())


def test_a_transient_rejection_is_tried_again_for_ever() -> None:
    async def script(peer: Peer) -> None:
        if peer.number < 6:
            await peer.read_request()
            peer.send(encode_pdu(AssociateRJ(2, 3, 1)))
            return
        await peer.accept()
        await peer.serve()

    async def test() -> None:
        async with facing(script, attempts_max=1) as (_, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: outcomes.delivered_items)
            assert not outcomes.dead_items

    run(test())


def test_a_refused_context_does_not_hold_up_the_others() -> None:
    async def script(peer: Peer) -> None:
        rq = await peer.read_request()
        whole = acceptance(rq)
        results = tuple(
            ContextResult(result.context_id, 3, "") if context.abstract_syntax == MR_IMAGE_STORAGE else result
            for context, result in zip(rq.presentation_contexts, whole.presentation_contexts, strict=True)
        )
        peer.send(encode_pdu(type(whole)(*(
            whole.called_ae_title, whole.calling_ae_title, results, whole.user_information
        ))))  # fmt: skip
        await peer.serve()

    async def test() -> None:
        async with facing(script, attempts_max=2) as (_, one, outcomes):
            offer_all(one, [item(1, sop_class=MR_IMAGE_STORAGE), item(2), item(3)])
            await until(lambda: len(outcomes.delivered_items) == 2 and outcomes.dead_items)
            assert outcomes.dead_items[0][1].error_class is ErrorClass.NO_CONTEXT
            assert outcomes.dead_items[0][0].seq == 1
            assert one.is_up

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


def test_immediate_instances_are_returned_when_no_association_can_be_opened() -> None:
    async def test() -> None:
        outcomes = Outcomes()
        async with scripted_acceptor() as acceptor:
            port = acceptor.port
        async with destination(port, outcomes, retry_first_s=60.0, retry_max_s=60.0) as one:
            older = item(1, "1.9")
            offer_all(one, [older, item(2, "1.9", is_immediate=True), item(3, is_immediate=True)])
            await until(lambda: len(outcomes.returned_items) == 2)
            assert {failure.error_class for _, failure in outcomes.returned_items} == {ErrorClass.CONNECT}
            assert one.queued == 1

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


def test_a_retired_association_on_which_an_operation_fails_gives_its_place_back() -> None:
    """Retired for want of a context, it must not be waited for once it has failed."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        if peer.number == 0:
            await peer.read_message()
            await gone.wait()
            return
        await peer.serve()

    gone = asyncio.Event()

    async def test() -> None:
        async with facing(script, dimse_s=0.3) as (acceptor, one, outcomes):
            offer_all(one, [item(1)])
            await until(lambda: len(acceptor.messages) == 1)
            offer_all(one, [item(2, sop_class=MR_IMAGE_STORAGE)])
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert outcomes.failures[0][1].error_class is ErrorClass.TIMEOUT
            assert one.associations_open == 1
            gone.set()

    run(test())


def test_what_does_not_fit_waits_in_the_ledger_and_is_fetched_by_age() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(window=16)
        await peer.serve()

    async def test() -> None:
        async with facing(script, operations_max=16) as (acceptor, one, outcomes):
            items = [item(seq) for seq in range(1, FLOW_MAX + 200)]
            outcomes.backlog = [each for each in items if not one.offer(each)]
            assert len(outcomes.backlog) == 199
            assert one.is_backlogged
            assert one.room(items[0].flow) == 0
            one.pump()
            await until(lambda: len(outcomes.delivered_items) == len(items))
            assert acceptor.uids() == [each.sop_instance for each in items]
            assert outcomes.hungry_calls >= 1
            assert not one.is_backlogged
            assert one.room(items[0].flow) == FLOW_MAX

    run(test())


def test_wake_up_ends_the_wait_for_the_destination_and_for_single_instances() -> None:
    answers = iter([0xC000, 0xA700])

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: next(answers, 0))

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (_, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: len(outcomes.failures) == 2)
            assert one.queued == 2
            one.wake_up()
            await until(lambda: len(outcomes.delivered_items) == 2)

    run(test())


def test_an_instance_that_waits_can_be_withdrawn_wherever_it_waits() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda _: 0xC000)

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (_, one, outcomes):
            offer_all(one, [item(1, "1.9"), item(2, "1.9"), item(3, "1.9")])
            await until(lambda: outcomes.failures)
            assert one.queued == 3
            assert one.withdraw(2)
            assert one.queued == 2
            assert one.withdraw(1)
            await until(lambda: len(outcomes.failures) == 2)
            assert outcomes.failures[1][0].seq == 3
            assert not one.withdraw(2)
            assert one.withdraw(3)
            assert one.queued == 0

    run(test())


def test_an_immediate_instance_can_be_recalled_until_it_is_sent() -> None:
    hold = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await hold.wait()
        await peer.serve()

    async def test() -> None:
        async with facing(script) as (_, one, outcomes):
            items = [item(seq, is_immediate=True) for seq in (1, 2, 3)]
            offer_all(one, items)
            await until(lambda: one.in_flight)
            assert not one.recall(items[0])
            assert one.recall(items[1])
            assert not one.recall(items[1])
            hold.set()
            await until(lambda: len(outcomes.delivered_items) == 2)
            assert outcomes.uids() == ["1.2.1", "1.2.3"]
            assert one.queued == 0

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


def test_closing_does_not_wait_for_instances_that_are_far_from_their_retry() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.serve(lambda message: 0xC000 if uid_of(message) == "1.2.1" else 0)

    async def test() -> None:
        async with facing(script, retry_first_s=60.0, retry_max_s=60.0) as (_, one, outcomes):
            offer_all(one, [item(1), item(2)])
            await until(lambda: outcomes.failures)
            async with asyncio.timeout(10):
                await one.close(1000.0)
            assert outcomes.uids() == ["1.2.2"]

    run(test())
