"""Two conversations linked in memory: bytes go across in pieces of any size, time is a number."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from router.protocol.association import Association, Limits
from router.protocol.indications import MessageReceived
from router.protocol.negotiation import (
    Roles,
    SupportedContext,
    SupportedContexts,
    negotiate_as_acceptor,
)
from router.protocol.states import State
from router.protocol.upper_layer import Role
from router.services import establish
from router.services.conversation import Conversation, Services, Task
from router.services.establish import Acceptance
from router.services.reply import RESPONDERS_OF_REFUSAL
from router.services.steps import Procedure
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.wire.pdus import AssociateAC, AssociateRQ, ProposedContext
from router.wire.user_information import RoleSelection, UserInformation

STEPS_MAX = 100_000
"""A pump that goes on longer is two sides that talk for ever."""


class Side:
    """One association with its conversation, as a driver would hold them.

    record: as a raw peer, keep the messages that come in `recorded` and leave the conversation out.
    """

    def __init__(self, role: Role, services: Services, operations_max: int) -> None:
        self.association = Association(role, Limits(operations_max=operations_max))
        self.conversation = Conversation(self.association, services)
        self.inbound = bytearray()
        self.is_closed = False
        self.record = False
        self.recorded: list[MessageReceived] = []

    def send(self, *args: Any, **kwargs: Any) -> None:
        """Queue one message, as an ill-behaved peer may."""
        self.association.send_message(*args, **kwargs)

    def feed(self, split: int) -> bool:
        """Take up to split bytes of what has come; return whether anything moved."""
        association = self.association
        moved = bool(association.indications)
        if association.blocked:
            association.resume()
        if not association.blocked and self.inbound:
            piece = bytes(self.inbound[:split])
            consumed = association.receive(piece, 0, len(piece))
            del self.inbound[:consumed]
            moved = moved or consumed > 0 or not association.blocked
        if self.record:
            while association.indications and isinstance(association.indications[0], MessageReceived):
                self.recorded.append(association.indications[0])
                association.indications.popleft()
        self.conversation.pump()
        return moved


class Pair:
    """A requestor and an acceptor. split: how many bytes arrive at once."""

    def __init__(
        self,
        requestor_services: Services = RESPONDERS_OF_REFUSAL,
        acceptor_services: Services = RESPONDERS_OF_REFUSAL,
        *,
        split: int = 1 << 20,
        operations_max: int = 1,
    ) -> None:
        self.requestor = Side(Role.REQUESTOR, requestor_services, operations_max)
        self.acceptor = Side(Role.ACCEPTOR, acceptor_services, operations_max)
        self.split = split
        self.now = 0.0

    def establish(
        self, abstract_syntaxes: Iterable[str], transfer_syntax: str = IMPLICIT_VR_LITTLE_ENDIAN
    ) -> None:
        """Open contexts 1, 3, 5, ... for these; both sides get both roles in all but the first."""
        syntaxes = list(abstract_syntaxes)
        both = [RoleSelection(uid, True, True) for uid in syntaxes[1:]]
        rq = AssociateRQ(
            "SCP",
            "SCU",
            tuple(
                ProposedContext(2 * number + 1, uid, (transfer_syntax,))
                for number, uid in enumerate(syntaxes)
            ),
            UserInformation(maximum_length=16382, role_selections=tuple(both)),
        )
        supported = [SupportedContext(uid, (transfer_syntax,), Roles(True, True)) for uid in syntaxes]

        def decide(rq: AssociateRQ) -> Acceptance:
            outcome = negotiate_as_acceptor(rq, SupportedContexts(supported))
            information = UserInformation(maximum_length=16382, role_selections=outcome.role_selections)
            ac = AssociateAC(rq.called_ae_title, rq.calling_ae_title, outcome.results, information)
            return Acceptance(ac, outcome.accepted, self.acceptor.association.operations_max)

        answering = self.acceptor.conversation.start(establish.respond(self.acceptor.association, decide))
        asking = self.requestor.conversation.start(
            establish.request(self.requestor.association, rq, acse_s=30)
        )
        self.acceptor.association.transport_opened()
        self.requestor.association.transport_opened()
        self.pump()
        assert answering.result is True
        assert isinstance(asking.result, AssociateAC)

    def pump(self) -> None:
        """Carry bytes both ways until nothing moves any more."""
        for _ in range(STEPS_MAX):
            moved = self._carry(self.requestor, self.acceptor) | self._carry(self.acceptor, self.requestor)
            moved |= self.requestor.feed(self.split) | self.acceptor.feed(self.split)
            moved |= self._close(self.requestor, self.acceptor) | self._close(self.acceptor, self.requestor)
            if not moved:
                return
        raise AssertionError("the two sides never come to rest")

    def answer_to(
        self, context_id: int, command: dict[int, Any], dataset: Iterable[bytes] | None = None
    ) -> MessageReceived:
        """Send one message to the acceptor from a raw requestor; return the one answer."""
        self.requestor.record = True
        self.requestor.recorded.clear()
        self.requestor.send(context_id, command, dataset)
        self.pump()
        (answer,) = self.requestor.recorded
        return answer

    def pass_time(self, seconds: float) -> None:
        """Let time pass on both sides, deadlines included."""
        self.now += seconds
        for side in (self.requestor, self.acceptor):
            side.conversation.expire(self.now)
        self.pump()

    def start(self, side: Side, procedure: Procedure[Any], message_id: int | None = None) -> Task:
        """Start a procedure on one side and carry what it sends."""
        task = side.conversation.start(procedure, None, message_id)
        self.pump()
        return task

    def run(self, procedure: Procedure[Any], message_id: int | None = None, side: Side | None = None) -> Any:
        """Run a procedure, the requestor's by default, to its end; return its result or raise its error."""
        task = self.start(side or self.requestor, procedure, message_id)
        if not task.done:
            raise AssertionError("the procedure still waits for something")
        if task.error is not None:
            raise task.error
        return task.result

    def each(self, task: Task) -> Generator[MessageReceived, None, None]:
        """Give what a task emits; leaving the loop early abandons it, as ProcedureIterator does."""
        try:
            while True:
                self.pump()
                if task.emitted:
                    yield task.emitted.popleft()
                    if not task.done:
                        task.resume()
                elif task.done:
                    break
                else:
                    raise AssertionError("the procedure still waits for something")
        finally:
            task.conversation.abandon(task)
        if task.error is not None:
            raise task.error

    @staticmethod
    def _carry(sender: Side, receiver: Side) -> bool:
        moved = False
        while buffers := sender.association.next_output():
            moved = True
            if not receiver.is_closed:
                for buffer in buffers:
                    receiver.inbound += buffer
        return moved

    @staticmethod
    def _close(side: Side, other: Side) -> bool:
        association = side.association
        if side.is_closed or not association.close_connection or association.has_output:
            return False
        side.is_closed = True
        if association.state is not State.STA1:
            association.transport_closed()
        side.conversation.pump()
        if not other.inbound and not other.is_closed:
            other.is_closed = True
            other.association.transport_closed()
            other.conversation.pump()
        return True
