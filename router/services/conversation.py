"""Run the procedures of one association: who waits for what, and what an arriving indication sets going.

Both drivers use it; it is itself without I/O. The driver brings bytes and time; the conversation steps
generators.
Routing of an indication, in one place:
- a response goes to the procedure that waits for its Message ID; one nobody asked for is a violation of the
  peer's, or silently dropped if its procedure was abandoned earlier: the last one frees the Message ID;
- a request starts the responder of its service, whatever else is going on (PS3.7 Annex D.3.3.3 windows
  permitting), and as long as it is being answered no wait for a response that was under way runs out: the
  peer may owe us that response only because it waits for ours (C-STORE inside C-GET);
- C-CANCEL-RQ marks the operation it names (PS3.7 section 9.3.2.3);
- what concerns the association goes to the main procedure; its end is thrown into every procedure.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Container, Mapping
from typing import Any

from router.errors import (
    AssociationAborted,
    AssociationRejected,
    DeadlineExceeded,
    LocalMisuse,
    PeerViolation,
)
from router.protocol.association import Association
from router.protocol.indications import (
    Aborted,
    AssociateRejected,
    ConnectionClosed,
    Indication,
    MessageReceived,
)
from router.protocol.messages import release_dataset
from router.protocol.states import State
from router.services.message_ids import MESSAGE_ID_MAX, following
from router.services.response import is_last, unasked
from router.services.steps import Call, Deferred, Emit, NextIndication, Procedure
from router.standard.dimse_fields import (
    C_CANCEL_RQ,
    COMMAND_FIELD,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    RESPONSE_BIT,
)

logger = logging.getLogger(__name__)

ABANDONED_MAX = 256
"""Message IDs of abandoned operations whose late responses are dropped silently; the oldest gives way."""

INBOX_MAX = 4096
"""Indications that wait for a procedure which is not listening; a peer that sends more is aborted."""

UNRECOGNISED = 0
"""Key in Services for the answer to any Command Field that is not served."""

DUPLICATE = -1
"""Key in Services for the answer to a Message ID that is still in progress."""

Respond = Callable[[Association, MessageReceived], Procedure[None]]
Services = Mapping[int, Respond]
"""Command Field of a request to its respond() procedure."""


class Task:
    """One procedure under way.

    message_id: that of the request of ours whose response it waits for. held: requests of the peer's that
    came meanwhile and are being answered; its deadline stands still. holds: the tasks this one so holds.
    output_entry: what it sent is out when this entry of the association's output is.
    """

    __slots__ = (
        "conversation",
        "deadline",
        "deadline_name",
        "done",
        "emitted",
        "error",
        "held",
        "holds",
        "inbox",
        "is_responder",
        "message_id",
        "on_change",
        "output_entry",
        "procedure",
        "responding_to",
        "result",
        "timeout_s",
        "waiting",
    )

    def __init__(self, conversation: Conversation, procedure: Procedure[Any]) -> None:
        self.conversation = conversation
        self.procedure = procedure
        self.message_id: int | None = None
        self.is_responder = False
        self.responding_to: int | None = None
        self.waiting = False
        self.deadline: float | None = None
        self.deadline_name = ""
        self.timeout_s: float | None = None
        self.output_entry = 0
        self.held = 0
        self.holds: tuple[Task, ...] = ()
        self.inbox: deque[Indication] | None = None
        self.emitted: deque[Any] | None = None
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.on_change: Callable[[Task], None] | None = None

    def resume(self) -> None:
        """Go on after an Emit whose value was taken."""
        self.conversation.step(self, None)


class Conversation:
    """The procedures of one association. Not thread-safe: its driver's thread alone calls it.

    now: the driver's clock, in seconds, kept up to date by it. on_settled: called when a Deferred let a
    procedure go on. on_ended: told first, and once, that the association is over. on_unasked: shown a
    response that no procedure waits for; True: it is somebody's. on_message: shown every
    message that arrived, before it is handled. end: the first indication that said that the association is
    over; ended: what procedures are told.
    """

    def __init__(self, association: Association, services: Services) -> None:
        self.association = association
        self.services = services
        self.tasks: dict[Task, None] = {}
        self.now = 0.0
        self.ended: BaseException | None = None
        self.end: Aborted | AssociateRejected | ConnectionClosed | None = None
        self.on_ended: Callable[[BaseException], None] | None = None
        self.on_settled: Callable[[], None] | None = None
        self.on_unasked: Callable[[MessageReceived], bool] | None = None
        self.on_message: Callable[[MessageReceived], None] | None = None
        self._by_message_id: dict[int, Task] = {}
        self._main: Task | None = None
        self._unclaimed: deque[Indication] = deque()
        self._early: deque[MessageReceived] = deque()
        self._answering: dict[int, Task] = {}
        self._abandoned: dict[int, None] = {}

    @property
    def message_ids(self) -> Container[int]:
        """The Message IDs of our operations in progress; the same object for good."""
        return self._by_message_id

    @property
    def is_busy(self) -> bool:
        """Whether an operation of either side is in progress."""
        return bool(self._answering or self._by_message_id or self.association.lane_open)

    def start(
        self,
        procedure: Procedure[Any],
        on_change: Callable[[Task], None] | None = None,
        message_id: int | None = None,
    ) -> Task:
        """Start a procedure and step it to its first wait.

        on_change: called when it is done and at each Emit. message_id: that of the request it sends; None:
        it is the association's main procedure and gets what concerns the association as a whole.
        Raises LocalMisuse if an operation of ours with this Message ID is in progress.
        """
        if message_id in self._by_message_id:
            raise LocalMisuse(f"Message ID {message_id} is that of an operation in progress")
        task = Task(self, procedure)
        task.on_change = on_change
        task.message_id = message_id
        if message_id is None:
            self._main = task
            if self._unclaimed:
                task.inbox, self._unclaimed = self._unclaimed, deque()
        else:
            self._by_message_id[message_id] = task
        self.tasks[task] = None
        self.step(task, None)
        return task

    def free_message_id(self, wanted: int) -> int:
        """Return wanted, or the next Message ID that no operation of ours has, abandoned ones included."""
        for _ in range(MESSAGE_ID_MAX + 1):
            if wanted not in self._by_message_id and wanted not in self._abandoned:
                return wanted
            wanted = following(wanted)
        raise LocalMisuse(f"all {MESSAGE_ID_MAX} Message IDs are in use")

    def pump(self) -> None:
        """Hand every indication the association has reported to whom it concerns."""
        indications = self.association.indications
        while indications:
            indication = indications.popleft()
            if type(indication) is MessageReceived:
                self._route_message(indication)
            elif isinstance(indication, Aborted | AssociateRejected | ConnectionClosed):
                self._end(indication)
            elif self._main is not None:
                self._deliver(self._main, indication)
            else:
                # A peer may ask for the release in the moment between establishing and whatever comes next.
                self._unclaimed.append(indication)

    def abandon(self, task: Task) -> None:
        """Stop a procedure whose consumer has gone; responses still to come for it are dropped."""
        if task.done:
            return
        if task.message_id is not None and not self._has_last(task):
            self._abandoned[task.message_id] = None
            if len(self._abandoned) > ABANDONED_MAX:
                del self._abandoned[next(iter(self._abandoned))]
        self._finish(task, None, None)
        task.procedure.close()

    def abort(self, source: int = 0, reason: int = 0, text: str = "") -> None:
        """Abort the association and end every procedure at once, without waiting for the connection to
        close."""
        self.association.abort(source, reason, text)
        self._end(Aborted(source, reason, False, text or "aborted by us"))
        self.pump()

    def next_deadline(self) -> float | None:
        """Return the earliest time at which expire() has something to do."""
        deadlines = [task.deadline for task in self.tasks if task.deadline is not None]
        return min(deadlines) if deadlines else None

    def expire(self, now: float) -> None:
        """Throw DeadlineExceeded into each procedure whose wait is over.

        Where the driver confirms what is out, the wait for a response begins when its request is.
        """
        self.now = now
        if self._early:
            early, self._early = self._early, deque()
            for message in early:
                self._route_response(message)
        late = [task for task in self.tasks if task.deadline is not None and task.deadline <= now]
        for task in late:
            if task.done or task.deadline is None:
                continue
            if task.message_id is not None and not self.association.output.is_out(task.output_entry):
                task.deadline = now + (task.timeout_s or 0.0)
            else:
                self.step(task, DeadlineExceeded(task.deadline_name, task.timeout_s or 0.0))

    def step(self, task: Task, value: Any) -> None:
        """Run the procedure to its next wait. An exception as value is thrown into it."""
        task.waiting = False
        task.deadline = None
        try:
            self._run(task, value)
        except StopIteration as stop:
            self._finish(task, stop.value, None)
        except PeerViolation as violation:
            self.association.violate(violation)
            self._finish(task, None, violation)
            self.pump()
        except Exception as error:
            self._finish(task, None, error)

    def _run(self, task: Task, value: Any) -> None:
        procedure = task.procedure
        while True:
            if isinstance(value, BaseException):
                step = procedure.throw(value)
            else:
                step = procedure.send(value)
            if type(step) is Call:
                value = self._call(step)
                if type(value) is Deferred:
                    if not value.is_settled:
                        value.then(lambda settled: self._settle(task, settled))
                        return
                    value = value.value
            elif type(step) is NextIndication:
                if task.inbox:
                    value = task.inbox.popleft()
                elif self.ended is not None:
                    value = self.ended
                else:
                    self._wait(task, step)
                    return
            else:
                assert type(step) is Emit
                if step.is_last:
                    self._expect(task, None)
                self._emit(task, step.value)
                return

    def _settle(self, task: Task, value: Any) -> None:
        if task.done:
            return
        self.step(task, value)
        if self.on_settled is not None:
            self.on_settled()

    @staticmethod
    def _call(step: Call) -> Any:
        try:
            return step.function(*step.args)
        except Exception as error:
            return error

    def _wait(self, task: Task, step: NextIndication) -> None:
        task.waiting = True
        if not task.output_entry or step.message_id != task.message_id:
            task.output_entry = self.association.output.queued
        if step.message_id != task.message_id:
            self._expect(task, step.message_id)
        task.timeout_s = step.timeout_s
        if step.timeout_s is not None:
            task.deadline_name = step.deadline_name
            if not task.held:
                task.deadline = self.now + step.timeout_s

    def _expect(self, task: Task, message_id: int | None) -> None:
        """Route responses to another Message ID than before to this procedure; None: none any more."""
        if message_id in self._by_message_id:
            raise LocalMisuse(f"Message ID {message_id} is that of an operation in progress")
        if task.message_id is not None:
            self._by_message_id.pop(task.message_id, None)
        task.message_id = message_id
        if message_id is not None:
            self._by_message_id[message_id] = task

    def _emit(self, task: Task, value: Any) -> None:
        if task.emitted is None:
            task.emitted = deque()
        task.emitted.append(value)
        if task.on_change is not None:
            task.on_change(task)

    def _finish(self, task: Task, result: Any, error: BaseException | None) -> None:
        task.done = True
        task.waiting = False
        task.deadline = None
        task.result = result
        task.error = error
        self.tasks.pop(task, None)
        if task is self._main:
            self._main = None
            if error is not None and self.association.state is State.STA3:
                # The peer awaits an answer that will not come, and no timer runs in Sta3.
                logger.error("no answer to an association request: %s: %s", type(error).__name__, error)
                self.association.abort(2, 0, "no answer to the association request")
        if task.message_id is not None:
            self._by_message_id.pop(task.message_id, None)
        if task.responding_to is not None:
            self._answering.pop(task.responding_to, None)
            self.association.cancelled.discard(task.responding_to)
        if task.is_responder:
            self.association.request_answered()
            if task.holds:
                self._let_go(task)
            if error is not None and not isinstance(error, AssociationAborted | AssociationRejected):
                logger.error("responder failed: %s: %s", type(error).__name__, error)
        if task.on_change is not None:
            task.on_change(task)

    def _deliver(self, task: Task, indication: Indication) -> None:
        if task.waiting:
            self.step(task, indication)
            return
        if task.inbox is None:
            task.inbox = deque()
        if len(task.inbox) >= INBOX_MAX:
            self.association.violate(PeerViolation(f"more than {INBOX_MAX} responses wait", reason=0))
            return
        task.inbox.append(indication)

    def _route_message(self, message: MessageReceived) -> None:
        if self.on_message is not None:
            self.on_message(message)
        field = message.command[COMMAND_FIELD]
        if field & RESPONSE_BIT:
            self._route_response(message)
        elif field == C_CANCEL_RQ:
            self._cancel(message)
        else:
            self._respond(message, field)

    def _route_response(self, message: MessageReceived) -> None:
        message_id = message.command.get(MESSAGE_ID_BEING_RESPONDED_TO)
        if self._abandoned and message_id in self._abandoned:
            release_dataset(message)
            if is_last(self.association, message):
                del self._abandoned[message_id]
            return
        task = self._by_message_id.get(message_id) if isinstance(message_id, int) else None
        if task is not None and not self.association.output.is_out(task.output_entry):
            self._hold_early(message)
        elif task is not None:
            self._deliver(task, message)
        elif self.on_unasked is None or not self.on_unasked(message):
            self.association.violate(unasked(message))

    def _hold_early(self, message: MessageReceived) -> None:
        """Keep a response to a request that is still being sent until it is out: its dataset's memory must
        not be given back before."""
        if len(self._early) >= INBOX_MAX:
            self.association.violate(PeerViolation(f"more than {INBOX_MAX} responses wait", reason=0))
            return
        self._early.append(message)

    def _has_last(self, task: Task) -> bool:
        """Whether the last response to the task's request has come and was not taken yet."""
        return any(
            type(indication) is MessageReceived and is_last(self.association, indication)
            for indication in task.inbox or ()
        )

    def _cancel(self, message: MessageReceived) -> None:
        message_id = message.command.get(MESSAGE_ID_BEING_RESPONDED_TO)
        if isinstance(message_id, int) and message_id in self._answering:
            self.association.cancelled.add(message_id)

    def _respond(self, message: MessageReceived, field: int) -> None:
        message_id = message.command.get(MESSAGE_ID)
        if isinstance(message_id, int) and (
            message_id in self._answering or self.association.is_in_lane(message_id)
        ):
            task = Task(self, self.services[DUPLICATE](self.association, message))
        else:
            respond = self.services.get(field) or self.services[UNRECOGNISED]
            task = Task(self, respond(self.association, message))
            if isinstance(message_id, int):
                task.responding_to = message_id
                self._answering[message_id] = task
        task.is_responder = True
        if self._by_message_id:
            task.holds = self._hold_deadlines()
        self.tasks[task] = None
        self.step(task, None)

    def _hold_deadlines(self) -> tuple[Task, ...]:
        waiting = tuple(self._by_message_id.values())
        for task in waiting:
            task.held += 1
            task.deadline = None
        return waiting

    def _let_go(self, task: Task) -> None:
        for held in task.holds:
            held.held -= 1
            if not held.held and held.waiting and held.timeout_s is not None:
                held.deadline = self.now + held.timeout_s
        task.holds = ()

    def _end(self, indication: Aborted | AssociateRejected | ConnectionClosed) -> None:
        if self.ended is None:
            self.end = indication
            if isinstance(indication, Aborted):
                self.ended = AssociationAborted(indication.source, indication.reason, indication.text)
            elif isinstance(indication, AssociateRejected):
                self.ended = AssociationRejected(indication.result, indication.source, indication.reason)
            else:
                self.ended = AssociationAborted(0, 0, indication.text)
            if self.on_ended is not None:
                self.on_ended(self.ended)
        for task in list(self.tasks):
            if task.waiting and not task.inbox:
                self.step(task, self.ended)
