"""The store lane and the general way: same octets in, same responses, same tickets, same slots afterwards."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.handoff.sink import Arrivals, ReceivedDataset
from router.handoff.ticket import Receipt, Ticket, pack_constant_parts
from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.messages import NullSink
from router.protocol.negotiation import SupportedContext, SupportedContexts, negotiate_as_acceptor
from router.protocol.upper_layer import Role
from router.services import c_echo, c_store, establish, release
from router.services.conversation import Conversation
from router.services.establish import Acceptance
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply, send_reply
from router.services.steps import Deferred
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_ECHO_RQ,
    C_STORE_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID,
    MOVE_ORIGINATOR_AE_TITLE,
    MOVE_ORIGINATOR_MESSAGE_ID,
    PRIORITY,
)
from router.standard.statuses import OUT_OF_RESOURCES
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE, MR_IMAGE_STORAGE, VERIFICATION
from router.wire import codec
from router.wire.codec import CODEC_NAME, StoreLane
from router.wire.pdus import AssociateAC, encode_pdu
from router.wire.user_information import UserInformation
from tests.support.handoff import SLOT, Pair
from tests.support.octet_feed import OctetFeed
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RQ,
    STORE_CONTEXT,
    abort_pdu,
    associate_rq,
    command,
    echo_rq,
    pdata,
    pdv,
    store_rq,
)

pytestmark = pytest.mark.skipif(CODEC_NAME == "reference", reason="there is no lane")

SLOTS = 8
SPILL = 4 * SLOT
INSTANCE_MAX = 6 * SLOT


class Receiver(OctetFeed):
    """One association of an acceptor's, without sockets, before a dispatcher and a worker.

    It is wired as processes/incoming.py does. out: octets sent. tickets: what the worker took.
    """

    spill_bytes = SPILL
    instance_max_bytes = INSTANCE_MAX

    def __init__(self, use_lane: bool, window: int, folder: str, workers: int = 1, **options: Any) -> None:
        super().__init__()
        self.pair = Pair(workers, SLOTS, **options)
        self.tickets: list[tuple[Any, ...]] = []
        self.unanswered: list[tuple[int, Ticket]] = []
        self.asides: list[Callable[[], None]] = []
        self.counted: Counter[int] = Counter()
        slab = self.pair.slab
        self.arrivals = Arrivals(
            slab, folder, spill_bytes=self.spill_bytes, instance_max_bytes=self.instance_max_bytes,
            run_aside=self.run_aside, name_prefix="lane" if use_lane else "general", clock=self.pair.clock,
        )  # fmt: skip
        self.association = Association(Role.ACCEPTOR, Limits(pdu_max_bytes=65536), self.open_sink)
        services = {
            **RESPONDERS_OF_REFUSAL,
            C_ECHO_RQ: partial(c_echo.respond, on_echo=lambda _: Reply(0)),
            C_STORE_RQ: partial(c_store.respond, on_store=self.on_store),
        }
        self.conversation = Conversation(self.association, services)
        self.window = window
        self.use_lane = use_lane
        self.lane: StoreLane | None = None
        self.conversation.start(self.serve())
        self.association.transport_opened()
        self.feed(encode_pdu(associate_rq(window)), 1 << 20)

    def run_aside(self, function: Callable[[], None], done: Callable[[Future[None]], None]) -> None:
        def later() -> None:
            future: Future[None] = Future()
            try:
                function()
                future.set_result(None)
            except OSError as error:
                future.set_exception(error)
            done(future)

        self.asides.append(later)

    def serve(self) -> Any:
        accepted = yield from establish.respond(self.association, self.decide)
        assert accepted
        if self.use_lane:
            self.open_lane()
        yield from release.respond(self.association)

    def decide(self, rq: Any) -> Acceptance:
        supported = [
            SupportedContext(uid, (IMPLICIT_VR_LITTLE_ENDIAN,)) for uid in (VERIFICATION, CT_IMAGE_STORAGE)
        ]
        outcome = negotiate_as_acceptor(rq, SupportedContexts(supported))
        ac = AssociateAC(
            rq.called_ae_title, rq.calling_ae_title, outcome.results, UserInformation(maximum_length=65536)
        )
        return Acceptance(ac, outcome.accepted, self.window)

    def open_lane(self) -> None:
        inlet = self.pair.dispatcher.open_inlet(min(self.spill_bytes, self.instance_max_bytes))
        assert inlet is not None
        self.inlet = inlet
        self.lane = StoreLane(
            inlet, 42, self.association.operations_max, partial(self.arrivals.adopt, resume=self.advance),
            self.send_whole, self.otherwise,
        )  # fmt: skip
        model = self.ticket(0, (), "", 0, CT_IMAGE_STORAGE, "")
        self.lane.set_context(STORE_CONTEXT, CT_IMAGE_STORAGE.encode(), *pack_constant_parts(model))
        self.association.use_lane(self.lane)

    def send_whole(self, pdus: bytes) -> None:
        if self.association.is_established:
            self.association.send_whole(pdus)

    def otherwise(self, context_id: int, octets: bytes, receipt: Receipt, size: int, seconds: float) -> None:
        if receipt.status:
            self.counted[receipt.status] += 1
        if self.association.is_established:
            request = MessageReceived(context_id, codec.decode_command(octets), None)
            send_reply(self.association, request, Reply(receipt.status, receipt.comment))

    def open_sink(self, association: Association, context: Any, fields: Any) -> Any:
        if fields[COMMAND_FIELD] == C_STORE_RQ:
            return self.arrivals.open(self.advance)
        return NullSink()

    @staticmethod
    def ticket(
        ticket_id: int, slots: tuple[int, ...], file: str, size: int, sop_class: str, uid: str, crc: int = 0
    ) -> Ticket:
        return Ticket(
            ticket_id, slots, file, size, sop_class, uid, IMPLICIT_VR_LITTLE_ENDIAN, "MODALITY", "ROUTER",
            "192.0.2.1", "", "stored", 0, 42, crc,
        )  # fmt: skip

    def on_store(self, message: MessageReceived) -> Any:
        dataset = message.dataset
        assert isinstance(dataset, ReceivedDataset)
        dispatcher = self.pair.dispatcher
        ticket = self.ticket(
            dispatcher.next_ticket_id(), dataset.slots, dataset.file, dataset.dataset_bytes,
            message.command[AFFECTED_SOP_CLASS_UID], message.command[AFFECTED_SOP_INSTANCE_UID], dataset.crc,
        )  # fmt: skip
        answer = Deferred()

        def on_receipt(receipt: Receipt) -> None:
            if receipt.status:
                self.counted[receipt.status] += 1
            answer.settle(Reply(receipt.status, receipt.comment))

        if not dispatcher.submit(ticket, on_receipt):
            dataset.release()
            return Reply(OUT_OF_RESOURCES, "no worker can store now")
        return answer

    def close(self) -> None:
        """The connection is gone."""
        self.inbound = b""
        self.association.transport_closed()
        self.conversation.pump()
        if self.lane is not None:
            self.lane.close()

    # The worker

    def work(self, status: int = 0, release: bool = True, answers: int = 100) -> None:
        """Take what waits, and answer so many tickets, oldest first."""
        for aside in self.asides[:]:
            self.asides.remove(aside)
            aside()
        for index, intake in enumerate(self.pair.intakes):
            for ticket in intake.receive():
                if ticket.file:
                    with open(ticket.file, "rb") as file:
                        octets = file.read()
                    os.unlink(ticket.file)
                else:
                    octets = b"".join(intake.views(ticket))
                shown = ticket._replace(ticket_id=0, slots=(), file=str(bool(ticket.file)), received_ns=0)
                self.tickets.append((index, octets, len(ticket.slots), shown))
                self.unanswered.append((index, ticket))
        for index, ticket in self.unanswered[:answers]:
            self.unanswered.remove((index, ticket))
            intake = self.pair.intakes[index]
            intake.answer(ticket, status, "why" if status else "", release=release)
            if not release:
                intake.release(ticket)
        self.drain()

    def drain(self) -> None:
        """Take the receipts; let those go on that wait for slots."""
        for worker in self.pair.dispatcher.workers:
            self.pair.dispatcher.drain(worker)
        self.arrivals.wake()
        self.advance()

    def settle(self) -> None:
        """Work until nothing moves any more."""
        for _ in range(30):
            self.pair.clock.now += 0.3
            self.work()
        assert self.pair.dispatcher.loans_outstanding == 0

    def result(self) -> dict[str, Any]:
        """What both ways must come to."""
        return {
            "responses": sorted(_pdus(self.out)),
            "tickets": self.tickets,
            "slots": self.pair.slab.slots_used,
            "lent": bytes(self.pair.slab.lent).count(0),
            "files": os.listdir(self.arrivals.incoming),
            "state": self.association.state,
            "counted": +self.counted,
            "violation": str(self.association.violation),
        }


def _pdus(octets: bytes) -> list[bytes]:
    found = []
    while octets:
        size = 6 + int.from_bytes(octets[2:6], "big")
        found.append(octets[:size])
        octets = octets[size:]
    return found


@dataclass
class Play:
    """One script for both ways."""

    window: int = 1
    steps: list[tuple[Any, ...]] = field(default_factory=list)

    def run(self, use_lane: bool, folder: str) -> tuple[dict[str, Any], int]:
        receiver = Receiver(use_lane, self.window, folder)
        try:
            for name, *arguments in self.steps:
                getattr(receiver, name)(*arguments)
            receiver.settle()
            receiver.close()
            receiver.settle()
            taken = receiver.lane.instances if receiver.lane is not None else 0
            return receiver.result(), taken
        finally:
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.association.use_lane = None  # type: ignore[method-assign, assignment]
            receiver.pair.close()

    def check(self) -> int:
        """Run both ways; return how many instances the lane took."""
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            general, _ = self.run(False, one)
            lane, taken = self.run(True, other)
        assert lane == general
        assert lane["slots"] == 0
        return taken


def message(
    fields: dict[int, Any], dataset: bytes | None, pieces: int = 1, fragment: int = 4000, per_pdu: int = 1,
    context_id: int = STORE_CONTEXT,
) -> bytes:  # fmt: skip
    """A message: its command set in so many fragments, so many dataset fragments in each P-DATA-TF."""
    encoded = codec.encode_command(fields)
    size = -(-len(encoded) // pieces)
    cuts = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    pdvs = [pdv(context_id, 3 if n == len(cuts) - 1 else 1, cut) for n, cut in enumerate(cuts)]
    if dataset is not None:
        starts = list(range(0, len(dataset), fragment)) or [0]
        pdvs += [
            pdv(context_id, 2 if start == starts[-1] else 0, dataset[start : start + fragment])
            for start in starts
        ]
    return b"".join(pdata(*pdvs[start : start + per_pdu]) for start in range(0, len(pdvs), per_pdu))


def usual(message_id: int = 1, uid: str = "1.2.3", size: int = 100, **more: Any) -> bytes:
    """A usual C-STORE-RQ."""
    return message(store_rq(message_id, uid), bytes([message_id % 251]) * size, **more)


SIZES = (
    0, 1, 2, 100, SLOT - 1, SLOT, SLOT + 1, 2 * SLOT, 3 * SLOT - 1, 3 * SLOT, 3 * SLOT + 1,
    SPILL - 1, SPILL, SPILL + 1, 5 * SLOT, INSTANCE_MAX - 1, INSTANCE_MAX, INSTANCE_MAX + 1, 9 * SLOT,
)  # fmt: skip

UIDS = (
    "1.2.3", "1.2.4", "1", "", "1.", ".1", "1..2", "1.2a", "01.2", "1.2 ", "1.2\0", "1.2\0\0", " 1.2",
    "1.2\n", "9" * 64, "9" * 65, "1.2\\1.3",
)  # fmt: skip

CHANGES: tuple[dict[int, Any], ...] = (
    {},
    {PRIORITY: 1},
    {PRIORITY: 2},
    {PRIORITY: (0, 0)},
    {PRIORITY: None},
    {MOVE_ORIGINATOR_AE_TITLE: "MOVER", MOVE_ORIGINATOR_MESSAGE_ID: 7},
    {AFFECTED_SOP_CLASS_UID: MR_IMAGE_STORAGE},
    {AFFECTED_SOP_CLASS_UID: VERIFICATION},
    {AFFECTED_SOP_CLASS_UID: CT_IMAGE_STORAGE + "\0\0"},
    {AFFECTED_SOP_CLASS_UID: None},
    {AFFECTED_SOP_INSTANCE_UID: None},
    {COMMAND_DATA_SET_TYPE: 0x0000},
    {COMMAND_DATA_SET_TYPE: 0xFEFE},
    {0x00005110: b"ab"},
    {0x00000003: "1.2"},
    {MESSAGE_ID: 0},
    {MESSAGE_ID: 65535},
    {MESSAGE_ID: (1, 2)},
)

stores = st.builds(
    lambda message_id, uid, change, size, pieces, fragment, per_pdu: message(
        {tag: value for tag, value in {**store_rq(message_id, uid), **change}.items() if value is not None},
        bytes([message_id]) * size,
        pieces,
        fragment,
        per_pdu,
    ),
    st.integers(1, 4),
    st.sampled_from(UIDS[:3]) | st.sampled_from(UIDS),
    st.just({}) | st.sampled_from(CHANGES),
    st.sampled_from((100, SLOT, SLOT + 1)) | st.sampled_from(SIZES),
    st.sampled_from((1, 1, 2, 5)),
    st.sampled_from((2, 128, 1000, 4000, 16000)).map(lambda size: max(size, 64)),
    st.sampled_from((1, 1, 2, 3)),
)
echoes = st.integers(1, 5).map(lambda number: command(ECHO_CONTEXT, echo_rq(number)))
octets = st.lists(stores | stores | echoes, min_size=1, max_size=3).map(b"".join)
splits = st.sampled_from((1 << 20, 1 << 20, 1000, 77, 7))
feeds = st.tuples(st.just("feed"), octets, splits)
works = st.tuples(
    st.just("work"),
    st.sampled_from((0, 0, 0, 0xA700, 0xA900, 0xC000, 0xB000)),
    st.booleans(),
    st.integers(0, 3),
)
ends = st.sampled_from(
    [
        [],
        [("feed", RELEASE_RQ, 1 << 20)],
        [("feed", abort_pdu(0, 0), 1 << 20)],
        [("close",)],
        [("feed", usual(9, size=3 * SLOT)[:-5000], 1 << 20), ("close",)],
        [("feed", usual(9, size=3 * SLOT)[:-5000], 1 << 20), ("feed", abort_pdu(0, 0), 7)],
        [("feed", usual(9, size=3 * SLOT)[:-4012] + RELEASE_RQ, 1 << 20)],
        [("feed", usual(9, size=2 * SLOT)[:-1000] + command(STORE_CONTEXT, store_rq()), 1 << 20)],
        [("feed", usual(9)[:-112] + pdata(pdv(5, 2, b"x")), 1 << 20)],
        [("feed", b"\x09\0\0\0\0\0", 1 << 20)],
    ]
)
plays = st.builds(
    lambda window, steps, end: Play(window, [*steps, *end]),
    st.integers(1, 5),
    st.lists(feeds | feeds | works, min_size=1, max_size=6),
    ends,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(plays)
def test_whatever_comes_both_ways_come_to_the_same(play: Play) -> None:
    play.check()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", [1 << 20, 997])
def test_every_size_comes_to_the_same(size: int, split: int) -> None:
    taken = Play(1, [("feed", usual(1, size=size), split), ("work",)]).check()
    assert taken == int(0 < size <= 3 * SLOT or size == SPILL - 1 or size == SPILL) or size > 3 * SLOT


@pytest.mark.parametrize("uid", UIDS)
def test_every_uid_comes_to_the_same(uid: str) -> None:
    Play(1, [("feed", usual(1, uid), 1 << 20), ("work",)]).check()


@pytest.mark.parametrize("number", range(len(CHANGES)))
@pytest.mark.parametrize("pieces", [1, 3])
def test_every_command_set_comes_to_the_same(number: int, pieces: int) -> None:
    fields = {**store_rq(), **CHANGES[number]}
    fields = {tag: value for tag, value in fields.items() if value is not None}
    octets = message(fields, b"data", pieces) + usual(2)
    Play(2, [("feed", octets, 1 << 20), ("work",)]).check()


def test_the_usual_request_takes_the_lane_and_octet_by_octet_too() -> None:
    for split in (1 << 20, 1):
        assert Play(1, [("feed", usual(1), split), ("work",), ("feed", usual(1), split)]).check() == 2


def test_pipelining_beyond_the_window_and_duplicate_message_ids_come_to_the_same() -> None:
    many = b"".join(usual(number, f"1.2.{number}") for number in range(1, 7))
    assert Play(4, [("feed", many, 1 << 20), ("work", 0, True, 1), ("work",)]).check() >= 4
    twice = usual(1) + usual(1, "1.2.9") + usual(2) + command(ECHO_CONTEXT, echo_rq(1))
    Play(4, [("feed", twice, 1 << 20), ("work",)]).check()


def test_a_slab_that_is_exhausted_makes_both_wait(tmp_path: Any) -> None:
    many = b"".join(usual(number, f"1.2.{number}", size=3 * SLOT) for number in range(1, 6))
    Play(5, [("feed", many, 1 << 20), ("work", 0, True, 1), ("work", 0, True, 1), ("work",)]).check()


def test_a_ring_that_is_full_makes_both_wait() -> None:
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder)
            link = receiver.pair.dispatcher._links[0]
            for size in (2000, 8):
                while link.end.send(bytes(size)):
                    pass
            receiver.feed(usual(1) + usual(2), 1 << 20)
            assert len(link.backlog) == 2
            assert receiver.pair.slab.slots_used == 2
            receiver.settle()
            assert len(_pdus(receiver.out)) == 3
            assert receiver.pair.slab.slots_used == 0
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()


@pytest.mark.parametrize("status", [0, 0xA700])
def test_a_worker_that_restarts_gets_again_what_it_had_not_answered(status: int) -> None:
    results = []
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder)
            receiver.feed(usual(1) + usual(2, "1.2.9", size=2 * SLOT) + usual(3, "1.2.10"), 1 << 20)
            receiver.work(answers=1)
            receiver.unanswered.clear()
            receiver.pair.intakes[0] = receiver.pair.start_worker(0)
            receiver.drain()
            assert receiver.pair.dispatcher.counts.resent == 2
            receiver.work(status)
            receiver.settle()
            results.append(receiver.result())
            assert receiver.pair.slab.slots_used == 0
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()
    assert results[0] == results[1]
    assert len(results[0]["tickets"]) == 5


def test_overdue_loans_are_answered_once_and_give_their_slots_back_late() -> None:
    results = []
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder, receipt_s=30.0)
            receiver.feed(usual(1) + usual(2, "1.2.9", size=2 * SLOT), 1 << 20)
            receiver.work(answers=0)
            late = receiver.pair.dispatcher.expire(1e12)
            assert len(late) == 2
            for loan in late:
                loan.on_receipt(Receipt(loan.ticket.ticket_id, OUT_OF_RESOURCES, "late"))
            receiver.advance()
            assert receiver.pair.slab.slots_used == 3
            receiver.feed(usual(1, "1.2.11"), 1 << 20)  # its Message ID is free again
            receiver.settle()
            results.append(receiver.result())
            assert results[-1]["slots"] == 0
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()
    assert results[0] == results[1]


def test_loans_of_the_lane_outlive_its_acceptor() -> None:
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 4, folder)
            receiver.feed(usual(1) + usual(2, "1.2.9", size=2 * SLOT), 1 << 20)
            receiver.work(answers=0)
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            pair = receiver.pair
            pair.start_acceptor()
            assert pair.slab.slots_used == 3
            pair.intakes[0].receive()  # Recount
            pair.dispatcher.drain(0)
            assert pair.slab.slots_used == 3
            for _, ticket in receiver.unanswered:
                pair.intakes[0].answer(ticket, 0, release=True)
            pair.dispatcher.drain(0)
            assert pair.slab.slots_used == 0
            pair.close()


def test_several_workers_get_the_same_instances_either_way() -> None:
    results = []
    for use_lane in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver(use_lane, 5, folder, workers=3)
            for number in range(20):
                receiver.feed(usual(1 + number % 5, f"1.2.{number}"), 1 << 20)
                if number % 5 == 4:
                    receiver.work()
            receiver.settle()
            results.append(receiver.result())
            receiver.inlet = receiver.lane = None  # type: ignore[assignment]
            receiver.pair.close()
    assert results[0] == results[1]
    assert {index for index, *_ in results[0]["tickets"]} == {0, 1, 2}


def test_a_failure_of_one_association_leaves_the_responses_of_others() -> None:
    with tempfile.TemporaryDirectory() as folder:
        receiver = Receiver(True, 4, folder)
        inlet = receiver.inlet

        def broken(_: bytes) -> None:
            raise MemoryError

        model = receiver.ticket(0, (), "", 0, CT_IMAGE_STORAGE, "")
        other = StoreLane(inlet, 43, 4, lambda *_: None, broken, receiver.otherwise)
        other.set_context(STORE_CONTEXT, CT_IMAGE_STORAGE.encode(), *pack_constant_parts(model))
        reader = codec.PduReader(0)
        reader.set_contexts((STORE_CONTEXT,))
        reader.use_lane(other)
        first = usual(1)
        assert reader.feed(first, 0, len(first)) == codec.NEED_DATA
        receiver.feed(usual(2), 1 << 20)
        receiver.settle()
        assert len(_pdus(receiver.out)) == 2
        reader.use_lane(None)
        del inlet, other, reader
        receiver.inlet = receiver.lane = None  # type: ignore[assignment]
        receiver.pair.close()
