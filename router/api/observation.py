"""What an association tells its observers: PDUs, primitives, messages and transitions, as they happen.

It hangs on the protocol core by its two hooks (the state machine's observer and the messages that are sent),
so that an association nobody observes pays next to nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from router.api import events as evt
from router.api.dimse_messages import message_of
from router.api.handlers import log_message, log_pdu
from router.api.pdu import pdu_of
from router.api.pdu_primitives import A_ABORT, A_P_ABORT, A_RELEASE, associate_request, associate_response
from router.drivers.pdu_tap import PduTap
from router.protocol import association as core
from router.protocol.indications import Aborted, AssociateRejected, MessageReceived
from router.protocol.messages import Buffer, CommandSet
from router.protocol.states import Action, Event
from router.protocol.upper_layer import Role, Transition
from router.wire.pdus import Abort, AssociateRJ

if TYPE_CHECKING:
    from collections.abc import Iterable

    from router.api.association_state import AssociationState

_RELEASE_RECEIVED = frozenset({Action.AR_2, Action.AR_8})
_RELEASE_ANSWERED = frozenset({Action.AR_3, Action.AR_10})
_RELEASE_ANSWER_SENT = frozenset({Action.AR_4, Action.AR_9})


class ObservedAssociation(core.Association):
    """The protocol core of one association, which tells what it sends and how its state changes."""

    def __init__(self, owner: AssociationState, role: Role, limits: core.Limits) -> None:
        from router.api.received_datasets import sink_opener

        self.observation = Observation(owner, self)
        super().__init__(role, limits, sink_opener(owner), self.observation.on_transition)

    def send_message(
        self, context_id: int, command: CommandSet, dataset: Iterable[Buffer] | None = None
    ) -> None:
        super().send_message(context_id, command, dataset)
        self.observation.on_message_sent(context_id, command, dataset)


class Observation:
    """Turn what the core reports into log lines and notification events of one association."""

    def __init__(self, owner: AssociationState, association: ObservedAssociation) -> None:
        self._owner = owner
        self._association = association

    def make_tap(self) -> PduTap | None:
        """Return a tap if somebody wants to see PDUs, else None."""
        handlers = self._owner._handlers
        wanted = (evt.EVT_DATA_RECV, evt.EVT_DATA_SENT, evt.EVT_PDU_RECV, evt.EVT_PDU_SENT)
        if not any(handlers.has(event) for event in wanted):
            return None
        return PduTap(
            lambda data: self._show_pdu(data, evt.EVT_DATA_RECV, evt.EVT_PDU_RECV),
            lambda data: self._show_pdu(data, evt.EVT_DATA_SENT, evt.EVT_PDU_SENT),
        )

    def _show_pdu(
        self, data: bytes, data_event: evt.NotificationEvent, pdu_event: evt.NotificationEvent
    ) -> None:
        handlers = self._owner._handlers
        handlers.notify(self._owner, data_event, {"data": data})
        if handlers.has(pdu_event):
            pdu = pdu_of(data)
            if pdu is not None:
                handlers.notify(self._owner, pdu_event, {"pdu": pdu})

    # Messages

    def on_message_received(self, message: MessageReceived) -> None:
        """Take note of a message that arrived, before it is handled."""
        owner = self._owner
        if owner._is_logging:
            log_message(message.command, is_sent=False)
        if owner._handlers.has(evt.EVT_DIMSE_RECV):
            shown = message_of(message.command, message.dataset, message.context_id)
            owner._handlers.notify(owner, evt.EVT_DIMSE_RECV, {"message": shown})

    def on_message_sent(self, context_id: int, command: CommandSet, dataset: Iterable[Buffer] | None) -> None:
        """Take note of a message that is on its way."""
        owner = self._owner
        if owner._is_logging:
            log_message(command, is_sent=True)
        if owner._handlers.has(evt.EVT_DIMSE_SENT):
            # A dataset that is streamed is gone when it has been sent: it is not kept for observers.
            kept = b"".join(dataset) if isinstance(dataset, list | tuple) else None
            shown = message_of(command, kept, context_id)
            owner._handlers.notify(owner, evt.EVT_DIMSE_SENT, {"message": shown})

    # Transitions

    def on_transition(self, transition: Transition) -> None:
        """Take note of a step of the state machine."""
        owner = self._owner
        if owner._handlers.has(evt.EVT_FSM_TRANSITION):
            attrs = {
                "action": transition.action.name.replace("_", "-"),
                "current_state": str(transition.state),
                "fsm_event": f"Evt{transition.event.value}",
                "next_state": str(transition.next_state),
            }
            owner._handlers.notify(owner, evt.EVT_FSM_TRANSITION, attrs)
        self._primitives(transition)

    def _primitives(self, transition: Transition) -> None:
        action = transition.action
        association = self._association
        if action is Action.AE_2:
            assert association.rq is not None
            log_pdu_of(self._owner, association.rq, True)
            self._tell(evt.EVT_ACSE_SENT, partial(associate_request, association.rq))
            self._owner._handlers.notify(self._owner, evt.EVT_REQUESTED, {})
        elif action is Action.AE_6:
            assert association.rq is not None
            log_pdu_of(self._owner, association.rq, False)
            self._tell(evt.EVT_ACSE_RECV, partial(associate_request, association.rq))
        elif action in (Action.AE_3, Action.AE_7):
            assert association.ac is not None
            self._tell_answer(association.ac, is_sent=action is Action.AE_7)
        elif action is Action.AE_4:
            found = next(i for i in association.indications if isinstance(i, AssociateRejected))
            self._tell_answer(AssociateRJ(found.result, found.source, found.reason), is_sent=False)
        elif action is Action.AE_8:
            assert self._owner._rejection is not None
            self._tell_answer(self._owner._rejection, is_sent=True)
        elif action is Action.AR_1:
            self._tell(evt.EVT_ACSE_SENT, A_RELEASE)
        elif action in _RELEASE_RECEIVED:
            self._tell(evt.EVT_ACSE_RECV, A_RELEASE)
        elif action in _RELEASE_ANSWERED:
            self._tell(evt.EVT_ACSE_RECV, _affirmative)
        elif action in _RELEASE_ANSWER_SENT:
            self._tell(evt.EVT_ACSE_SENT, _affirmative)
        else:
            self._tell_abort(transition)

    def _tell_answer(self, answer: Any, is_sent: bool) -> None:
        rq = self._association.rq
        assert rq is not None
        log_pdu_of(self._owner, answer, is_sent)
        event = evt.EVT_ACSE_SENT if is_sent else evt.EVT_ACSE_RECV
        self._tell(event, lambda: associate_response(rq, answer))

    def _tell_abort(self, transition: Transition) -> None:
        if transition.action is Action.AA_1 and transition.event is Event.ABORT_REQUEST:
            abort = self._owner._abort_sent
            log_pdu_of(self._owner, abort, True)
            self._tell(
                evt.EVT_ACSE_SENT, lambda: _abort_primitive(abort.source, abort.reason, abort.reason == 0)
            )
        elif transition.action in (Action.AA_3, Action.AA_4, Action.AA_8):
            found = next(i for i in self._association.indications if isinstance(i, Aborted))
            log_pdu_of(self._owner, Abort(found.source, found.reason), not found.by_peer)
            self._tell(evt.EVT_ACSE_RECV, lambda: _abort_primitive(found.source, found.reason))

    def _tell(self, event: evt.NotificationEvent, make: Any) -> None:
        owner = self._owner
        if owner._handlers.has(event):
            owner._handlers.notify(owner, event, {"primitive": make()})


def log_pdu_of(owner: AssociationState, pdu: Any, is_sent: bool) -> None:
    """Log a PDU unless logging was switched off for the association."""
    if owner._is_logging:
        log_pdu(pdu, is_sent)


def _affirmative() -> A_RELEASE:
    primitive = A_RELEASE()
    primitive.result = "affirmative"
    return primitive


def _abort_primitive(source: int, reason: int, is_user: bool = False) -> A_ABORT | A_P_ABORT:
    if source == 2 and not is_user:
        provider = A_P_ABORT()
        provider._provider_reason = reason
        return provider
    user = A_ABORT()
    user._abort_source = source
    return user
