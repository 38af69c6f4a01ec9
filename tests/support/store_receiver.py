"""One association of an acceptor without sockets, before a dispatcher and a worker, by the lane or not."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

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
    COMMAND_FIELD,
)
from router.standard.statuses import OUT_OF_RESOURCES
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE, VERIFICATION
from router.wire import codec
from router.wire.codec import StoreLane
from router.wire.pdus import AssociateAC, encode_pdu
from router.wire.user_information import UserInformation
from tests.support.handoff import SLOT, Pair
from tests.support.octet_feed import OctetFeed
from tests.support.raw_peer import (
    STORE_CONTEXT,
    associate_rq,
    pdata,
    pdv,
    store_rq,
)

SLOTS = 8
SPILL = 4 * SLOT
INSTANCE_MAX = 6 * SLOT


def accept_storage(rq: Any, window: int) -> Acceptance:
    """Accept Verification and one storage class, and so many operations at once."""
    supported = [
        SupportedContext(uid, (IMPLICIT_VR_LITTLE_ENDIAN,)) for uid in (VERIFICATION, CT_IMAGE_STORAGE)
    ]
    outcome = negotiate_as_acceptor(rq, SupportedContexts(supported))
    ac = AssociateAC(
        rq.called_ae_title, rq.calling_ae_title, outcome.results, UserInformation(maximum_length=65536)
    )
    return Acceptance(ac, outcome.accepted, window)


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
        dispatcher = self.pair.dispatcher
        self.bells: list[Callable[[], object]] = [
            partial(dispatcher.drain, worker) for worker in dispatcher.workers
        ]
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
        accepted = yield from establish.respond(self.association, lambda rq: accept_storage(rq, self.window))
        assert accepted
        if self.use_lane:
            self.open_lane()
        yield from release.respond(self.association)

    def open_lane(self) -> None:
        inlet = self.pair.dispatcher.open_inlet(min(self.spill_bytes, self.instance_max_bytes))
        assert inlet is not None
        self.inlet = inlet
        for worker, drain in enumerate(self.bells):
            bell = self.pair.dispatcher.open_bell(worker, drain, self.arrivals.queues)
            assert bell is not None
            self.bells[worker] = bell.rung
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
        for answer in self.bells:
            answer()
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
