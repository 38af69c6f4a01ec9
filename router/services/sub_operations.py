"""Sub-operations of a C-GET or C-MOVE: perform one after the other, count them, and say how it ended.

PS3.7 sections 9.1.3, 9.1.4; PS3.4 sections C.4.2, C.4.3. How one C-STORE is performed differs between the two
services and is given by them; everything else is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from router.errors import PeerViolation
from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.services.failed_instances import encode_failed_instances
from router.services.query import UNABLE_TO_PROCESS, is_cancelled
from router.services.reply import Reply, send_reply
from router.services.response import PENDING_STATUSES
from router.services.steps import Call, Deferred, Procedure
from router.standard.dimse_fields import (
    NUMBER_OF_COMPLETED_SUBOPERATIONS,
    NUMBER_OF_FAILED_SUBOPERATIONS,
    NUMBER_OF_REMAINING_SUBOPERATIONS,
    NUMBER_OF_WARNING_SUBOPERATIONS,
)
from router.standard.statuses import (
    CANCEL,
    OUT_OF_RESOURCES_FOR_SUBOPERATIONS,
    OUT_OF_RESOURCES_TO_COUNT_MATCHES,
    PENDING,
    SUBOPERATIONS_WITH_FAILURES,
    SUCCESS,
    StatusClass,
    status_class,
)

SUBOPERATIONS_MAX = 0xFFFF
"""The numbers of sub-operations are of VR US."""


class SubOperation(Protocol):
    """One C-STORE to perform; what else it needs is between its maker and who performs it."""

    @property
    def sop_instance(self) -> str:
        """The SOP Instance UID, for the list of failed ones; empty if it is not known."""


@dataclass(frozen=True, slots=True)
class FailedSubOperation:
    """A C-STORE that cannot even be tried: no fitting context, or a dataset that cannot be encoded."""

    sop_instance: str = ""


SubOperations = Iterator[SubOperation | FailedSubOperation | Reply | Deferred | None]
"""What a handler gives: sub-operations, then perhaps a reply with a final status to end with.

An item may be a Deferred of one of these; None, given or deferred, is the end as running out is.
"""


def _do_nothing() -> None:
    pass


@dataclass(slots=True)
class Retrieval:
    """What a handler answers to a C-GET or C-MOVE that it performs.

    total: how many sub-operations there will be, at most 65535; more are not asked for. close: called once
    when they are over, before the final response; it may return a Deferred.
    """

    total: int
    sub_operations: SubOperations
    close: Callable[[], Any] = _do_nothing


Perform = Callable[[Any], Procedure[int | None]]
"""Perform one sub-operation; the result is the status of its response, None if there was none."""


@dataclass(slots=True)
class Tally:
    """How many sub-operations are to come, and how those performed ended."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_instances: list[str] = field(default_factory=list)

    def count(self, status: int | None, sop_instance: str) -> None:
        """Take note of one that is over. status: that of its response, None if there was none."""
        self.remaining -= 1
        outcome = StatusClass.FAILURE if status is None else status_class(status)
        if outcome is StatusClass.SUCCESS:
            self.completed += 1
        elif outcome is StatusClass.WARNING:
            self.warning += 1
        else:
            self.failed += 1
            if sop_instance:
                self.failed_instances.append(sop_instance)

    def give_up(self) -> None:
        """Count those still to come as failed."""
        self.failed += self.remaining
        self.remaining = 0

    def final_status(self) -> int:
        """Return the status that says how it went (PS3.4 Tables C.4-2 and C.4-3)."""
        if not self.failed and not self.warning:
            return SUCCESS
        if not self.completed and not self.warning:
            return OUT_OF_RESOURCES_FOR_SUBOPERATIONS
        return SUBOPERATIONS_WITH_FAILURES

    def elements(self, with_remaining: bool) -> dict[int, Any]:
        """Return the counts as command elements; remaining ones go with pending and cancel only."""
        counts: dict[int, Any] = {
            NUMBER_OF_COMPLETED_SUBOPERATIONS: self.completed,
            NUMBER_OF_FAILED_SUBOPERATIONS: self.failed,
            NUMBER_OF_WARNING_SUBOPERATIONS: self.warning,
        }
        if with_remaining:
            counts[NUMBER_OF_REMAINING_SUBOPERATIONS] = self.remaining
        return counts


def retrieve(
    association: Association,
    message: MessageReceived,
    on_request: Callable[[MessageReceived], Retrieval | Reply | Deferred],
    perform: Perform,
) -> Procedure[None]:
    """Answer one C-GET-RQ or C-MOVE-RQ: a pending response after each sub-operation, then the final one.

    on_request: may answer at once with a final reply. After a C-CANCEL one more item is asked for; if it is
    not final, and the Message ID was not taken out of `association.cancelled`, the answer is FE00H.
    """
    tally = Tally(0)
    try:
        answer: Retrieval | Reply = yield Call(on_request, message)
        if isinstance(answer, Retrieval):
            answer = yield from _perform_all(association, message, answer, perform, tally)
    except PeerViolation:
        raise
    except Exception:
        if association.is_established:
            tally.give_up()
            send_reply(association, message, _final(association, message, Reply(UNABLE_TO_PROCESS), tally))
        raise
    send_reply(association, message, _final(association, message, answer, tally))


def _perform_all(
    association: Association, message: MessageReceived, retrieval: Retrieval, perform: Perform, tally: Tally
) -> Procedure[Reply]:
    """Perform the sub-operations; return the reply to end with."""
    try:
        if not 0 <= retrieval.total <= SUBOPERATIONS_MAX:
            reply = Reply(OUT_OF_RESOURCES_TO_COUNT_MATCHES)
        elif not retrieval.total:
            reply = Reply(SUCCESS)
        else:
            tally.remaining = retrieval.total
            reply = yield from _perform_each(association, message, retrieval.sub_operations, perform, tally)
    except BaseException:
        retrieval.close()
        raise
    yield Call(retrieval.close)
    return reply


def _perform_each(
    association: Association, message: MessageReceived, items: SubOperations, perform: Perform, tally: Tally
) -> Procedure[Reply]:
    while tally.remaining:
        cancelled_before = is_cancelled(association, message)
        item = yield Call(next, items, None)
        if item is None:
            return Reply(SUCCESS)
        if isinstance(item, Reply):
            return item
        if cancelled_before and is_cancelled(association, message):
            return Reply(CANCEL)
        status = None
        if not isinstance(item, FailedSubOperation):
            status = yield from perform(item)
        tally.count(status, item.sop_instance)
        send_reply(association, message, Reply(PENDING, elements=tally.elements(with_remaining=True)))
    return (
        (yield from _last_word(items)) if tally.completed + tally.failed + tally.warning else Reply(SUCCESS)
    )


def _last_word(items: SubOperations) -> Procedure[Reply]:
    """Return the final reply a handler may give after all it announced; more than that is not performed."""
    item = yield Call(next, items, None)
    return item if isinstance(item, Reply) and item.status not in PENDING_STATUSES else Reply(SUCCESS)


def _final(association: Association, message: MessageReceived, reply: Reply, tally: Tally) -> Reply:
    """Complete a final reply: its status if the tally says otherwise, the counts, the failed instances."""
    status = reply.status if reply.status not in PENDING_STATUSES else UNABLE_TO_PROCESS
    if status == SUCCESS:
        status = tally.final_status()
    elif status_class(status) is StatusClass.FAILURE:
        tally.give_up()
    elements = {**tally.elements(with_remaining=status == CANCEL), **reply.elements}
    dataset = reply.dataset
    if status == SUCCESS:
        dataset = None
    elif dataset is None and tally.failed_instances:
        transfer_syntax = association.contexts[message.context_id].transfer_syntax
        dataset = (encode_failed_instances(tally.failed_instances, transfer_syntax),)
    return replace(reply, status=status, elements=elements, dataset=dataset)
