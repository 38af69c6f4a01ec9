"""Send one instance over a borrowed association and say how it went.

The protocol is services/c_store.request; here stand only the payload's opening, the time it took and the
judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Protocol

from router.delivery.pool import Key, PooledAssociation
from router.delivery.retry import (
    ErrorClass,
    Failure,
    failure_of_error,
    failure_of_reading,
    failure_of_status,
    is_delivered,
)
from router.errors import SpoolError
from router.protocol.indications import MessageReceived
from router.protocol.messages import Buffer
from router.services import c_store
from router.services.conversation import Task
from router.standard.dimse_fields import STATUS

SLOW_ANSWER_S = 0.035
"""A small instance that takes this long to be answered meets a peer that waits for our ACK: see
rearm_quick_ack."""


SMALL_BYTES = 65536

FlowName = tuple[str, str]
"""Calling AE title and Study Instance UID: what takes turns with others of its kind (fair.py)."""

NO_FLOW: FlowName = ("", "")


class Payload(Protocol):
    """Where an instance's bytes are, for as long as somebody owes them to a destination."""

    def buffers(self) -> Iterable[Buffer]:
        """Return the dataset's bytes in order; they stay unchanged until close().

        Raises SpoolError, also while a long dataset is being read: the association is aborted then.
        """

    def close(self) -> None:
        """Tell that this borrower is done with the bytes of its last buffers()."""


class Item:
    """One instance owed to one destination.

    seq: its age among all instances of this worker. entry_id: its place in the spool; None while it is only
    in memory. attempts: failed ones that count against attempts_max. tries: failed ones that made it wait.
    is_immediate: no retry, the outcome is wanted at once. aborts, passed_before: how often the peer fell
    while this alone was under way, and how many others had passed at the last time. is_suspect: it was under
    way when the peer fell, and goes alone until it is answered. flow, turn: see fair.py. is_taken_over: it
    came here because another destination could not take it. readings, first_reading_at: how often our own
    disk could not read it, and when for the first time, monotonic.
    """

    __slots__ = (
        "aborts",
        "attempts",
        "dataset_bytes",
        "entry_id",
        "first_reading_at",
        "flow",
        "is_immediate",
        "is_suspect",
        "is_taken_over",
        "key",
        "passed_before",
        "payload",
        "readings",
        "received_ns",
        "seq",
        "sop_class",
        "sop_instance",
        "tag",
        "tries",
        "turn",
    )

    def __init__(
        self,
        seq: int,
        sop_class: str,
        sop_instance: str,
        transfer_syntax: str,
        dataset_bytes: int,
        payload: Payload,
    ) -> None:
        self.seq = seq
        self.sop_class = sop_class
        self.sop_instance = sop_instance
        self.key: Key = (sop_class, transfer_syntax)
        self.dataset_bytes = dataset_bytes
        self.payload = payload
        self.entry_id: int | None = None
        self.received_ns = 0
        self.attempts = 0
        self.aborts = 0
        self.tries = 0
        self.passed_before = 0
        self.readings = 0
        self.first_reading_at = 0.0
        self.is_immediate = False
        self.is_suspect = False
        self.is_taken_over = False
        self.flow = NO_FLOW
        self.turn = 0
        self.tag: object = None

    @property
    def is_untried(self) -> bool:
        """Whether nothing is known of it that the ledger does not know."""
        return not (self.is_immediate or self.is_suspect or self.tries or self.aborts)

    def __lt__(self, other: Item) -> bool:
        return self.seq < other.seq


OnSent = Callable[[Item, PooledAssociation, int, "Failure | None", float], None]

NO_STATUS = Failure(ErrorClass.ABORTED, None, "C-STORE-RSP without a Status (PS3.7 section 9.3.1.2)")


def send(association: PooledAssociation, item: Item, dimse_s: float, on_sent: OnSent) -> None:
    """Begin to send; on_sent(item, association, status, failure, seconds) tells the outcome, later or at
    once.

    After a failure whose status is None the association must not be used again (a half-written message).
    """
    started = monotonic()
    try:
        dataset = item.payload.buffers()
    except Exception as error:
        # Whatever it is, this instance cannot be sent now; the destination and its others can.
        on_sent(item, association, 0, failure_of_reading(error), 0.0)
        return
    if isinstance(dataset, list) and _send_over_lane(association, item, dataset, dimse_s, on_sent):
        return
    trouble: list[SpoolError] = []
    if not isinstance(dataset, list):
        dataset = _watched(dataset, trouble)
    connection = association.connection

    def finished(task: Task) -> None:
        seconds = monotonic() - started
        item.payload.close()
        if task.error is not None:
            on_sent(item, association, 0, failure_of_error(trouble[0] if trouble else task.error), seconds)
            return
        if seconds > SLOW_ANSWER_S and item.dataset_bytes < SMALL_BYTES:
            association.ask_for_quick_acks()
        status, failure = _judge(task.result)
        on_sent(item, association, status, failure, seconds)

    if association.lane is not None:
        association.lane.send_gathered()  # no octets of two messages mix
    message_id = association.next_message_id()
    procedure = c_store.request(
        connection.association,
        association.contexts[item.key],
        message_id,
        c_store.Instance(item.sop_class, item.sop_instance, dataset),
        dimse_s,
    )
    connection.start(procedure, finished, message_id)


def _send_over_lane(
    association: PooledAssociation, item: Item, dataset: list[Buffer], dimse_s: float, on_sent: OnSent
) -> bool:
    """Send by the short cut, if the association has one that is ready; False: nothing was sent."""
    lane = association.lane
    if lane is None:
        return False
    lane.deadline_s = dimse_s
    context_id = association.contexts[item.key]
    on_answered, on_failed = lane_callbacks(association, item, on_sent)
    return lane.send_item(
        context_id, item.sop_class, item.sop_instance, dataset, on_answered, on_failed, item.is_immediate
    )


def lane_callbacks(
    association: PooledAssociation, item: Item, on_sent: OnSent
) -> tuple[Callable[[int, float], None], Callable[[BaseException, float], None]]:
    """Return what a lane calls with the status, or with the error, of an item it has sent."""

    def answered(status: int, seconds: float) -> None:
        if seconds > SLOW_ANSWER_S and item.dataset_bytes < SMALL_BYTES:
            association.ask_for_quick_acks()
        item.payload.close()
        failure = None if is_delivered(status) else failure_of_status(status)
        on_sent(item, association, status, failure, seconds)

    def failed(error: BaseException, seconds: float) -> None:
        item.payload.close()
        on_sent(item, association, 0, failure_of_error(error), seconds)

    return answered, failed


def _judge(response: MessageReceived) -> tuple[int, Failure | None]:
    """Return the response's status, and the failure it means, if it does."""
    status = response.command.get(STATUS)
    if not isinstance(status, int):
        return 0, NO_STATUS
    return status, None if is_delivered(status) else failure_of_status(status)


def _watched(dataset: Iterable[Buffer], trouble: list[SpoolError]) -> Iterator[Buffer]:
    """Yield the dataset; note the error of the spool that ends it early, so that the peer is not blamed."""
    try:
        yield from dataset
    except SpoolError as error:
        trouble.append(error)
        raise
