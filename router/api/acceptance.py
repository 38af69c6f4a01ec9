"""How an acceptor decides about a request for an association: handlers first, then rules, then contexts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from router import _config
from router.api import events as evt
from router.api.event import Event
from router.api.negotiation_items import (
    SOPClassCommonExtendedNegotiation,
    UserIdentityNegotiation,
    information_of,
)
from router.api.pdu_primitives import associate_request, associate_response
from router.api.presentation import PresentationContext
from router.errors import AssociationAborted, PeerViolation
from router.protocol.negotiation import (
    AcceptorOutcome,
    Roles,
    SupportedContext,
    SupportedContexts,
    check_request,
    negotiate_as_acceptor,
)
from router.services import establish
from router.services.establish import Acceptance
from router.services.steps import Procedure
from router.standard.reasons import (
    REJECT_LOCAL_LIMIT_EXCEEDED,
    REJECT_NO_REASON_GIVEN,
    REJECT_SOURCE_SERVICE_PROVIDER_ACSE,
    REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION,
    REJECTED_TRANSIENT,
)
from router.standard.sop_classes import is_storage, service_of
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ
from router.wire.user_information import (
    AsynchronousOperationsWindow,
    SOPClassExtended,
    UserIdentityAC,
    UserInformation,
)

if TYPE_CHECKING:
    from router.api.association_state import AssociationState

LOGGER = logging.getLogger("router.acse")

ANSWERED_IDENTITIES = (3, 4, 5)
"""User identity types that a positive response goes with (PS3.7 Annex D.3.3.7)."""

OPERATIONS_MAX = 64
"""Operations of the peer's in progress at once, also when the handler allows any number."""


class Unrestricted(SupportedContexts):
    """As the AE's contexts, and whatever may be stored besides, in the requestor's first transfer syntax."""

    def supports(self, abstract_syntax: str) -> bool:
        return super().supports(abstract_syntax) or _may_be_stored(abstract_syntax)

    def choose_transfer_syntax(self, abstract_syntax: str, offered: Sequence[str]) -> str | None:
        if _may_be_stored(abstract_syntax):
            return offered[0]
        return super().choose_transfer_syntax(abstract_syntax, offered)

    def roles_allowed(self, abstract_syntax: str) -> Roles | None:
        if _may_be_stored(abstract_syntax):
            return Roles(scu=True, scp=True)
        return super().roles_allowed(abstract_syntax)


def _may_be_stored(abstract_syntax: str) -> bool:
    return is_storage(abstract_syntax) or service_of(abstract_syntax) is None


def accept(assoc: AssociationState) -> Procedure[None]:
    """The main procedure of an acceptor: answer the request, then wait for the end."""
    core = assoc._protocol
    assert core is not None
    try:
        is_accepted = yield from establish.respond(core, lambda rq: assoc._invoke(decide, assoc, rq))
    except (AssociationAborted, PeerViolation) as error:
        if core.rq is not None:
            assoc._note_aborted(error)
        return
    if not is_accepted:
        assoc.is_rejected = True
        assoc._leave_server()
        assoc._notify(evt.EVT_REJECTED)
        return
    assoc._notify(evt.EVT_ACCEPTED)
    assoc.is_established = True
    assoc._notify(evt.EVT_ESTABLISHED)
    yield from assoc._watch()


def decide(assoc: AssociationState, rq: AssociateRQ) -> Acceptance | AssociateRJ:
    """Return the answer to a request; handlers of the negotiation events are called here."""
    _note_request(assoc, rq)
    assoc._notify(evt.EVT_REQUESTED)
    rejection = assoc._rejection or _check(assoc, rq)
    if rejection is not None:
        assoc._rejection = rejection
        assoc.acceptor.primitive = associate_response(rq, rejection)
        LOGGER.info("Rejecting Association")
        return rejection
    answers, accepted_response = _user_identity(assoc)
    if not answers:
        assoc._rejection = AssociateRJ(
            REJECTED_TRANSIENT, REJECT_SOURCE_SERVICE_PROVIDER_ACSE, REJECT_NO_REASON_GIVEN
        )
        assoc.acceptor.primitive = associate_response(rq, assoc._rejection)
        LOGGER.info("Rejecting Association: the user identity is not accepted")
        return assoc._rejection
    LOGGER.info("Accepting Association")
    return _accept(assoc, rq, accepted_response)


def _note_request(assoc: AssociationState, rq: AssociateRQ) -> None:
    """Take note of who asks and what it says."""
    primitive = associate_request(rq)
    requestor = assoc.requestor
    requestor._ae_title = rq.calling_ae_title
    requestor._contexts = list(primitive.presentation_context_definition_list)
    requestor.primitive = primitive
    server = assoc._server
    if server is not None:
        server._active[assoc] = None


def _check(assoc: AssociationState, rq: AssociateRQ) -> AssociateRJ | None:
    ae, server = assoc.ae, assoc._server
    called = [assoc.acceptor.ae_title.strip()] if ae.require_called_aet else []
    calling = [title.strip() for title in ae.require_calling_aet]
    rejection = check_request(rq, called, calling or None)
    if rejection is not None:
        return rejection
    if server is not None and ae._acceptors_active() > ae.maximum_associations:
        return AssociateRJ(
            REJECTED_TRANSIENT, REJECT_SOURCE_SERVICE_PROVIDER_PRESENTATION, REJECT_LOCAL_LIMIT_EXCEEDED
        )
    return None


def _user_identity(assoc: AssociationState) -> tuple[bool, UserIdentityAC | None]:
    """Ask who the user is; return whether it is accepted, and what to answer."""
    item = assoc.requestor.user_identity
    if item is None:
        return True, None
    attrs = {
        "user_id_type": item.user_identity_type,
        "primary_field": item.primary_field,
        "secondary_field": item.secondary_field,
    }
    try:
        is_accepted, response = assoc._handlers.ask(Event(assoc, evt.EVT_USER_ID, attrs))
    except Exception:
        LOGGER.exception("Exception in the handler bound to 'evt.EVT_USER_ID'")
        return False, None
    if not is_accepted or not item.positive_response_requested:
        return bool(is_accepted), None
    if response is None or item.user_identity_type not in ANSWERED_IDENTITIES:
        # A positive response of no content says that the identity was verified.
        return True, UserIdentityAC(b"") if assoc._handlers.has(evt.EVT_USER_ID) else None
    return True, UserIdentityAC(bytes(response))


def _accept(assoc: AssociationState, rq: AssociateRQ, identity: UserIdentityAC | None) -> Acceptance:
    extended = _sop_class_extended(assoc)
    _sop_class_common_extended(assoc)
    window = _asynchronous_operations(assoc)
    outcome = negotiate_as_acceptor(rq, _policy(assoc))
    said = information_of(assoc.acceptor.user_information)
    information = UserInformation(
        said.maximum_length,
        said.implementation_class_uid,
        said.implementation_version_name,
        window,
        outcome.role_selections,
        extended,
        user_identity_response=identity,
    )
    ac = AssociateAC(
        rq.called_ae_title,
        rq.calling_ae_title,
        outcome.results,
        information,
        rq.application_context_name,
        1,
    )
    _note_contexts(assoc, rq, outcome)
    assoc.acceptor.primitive = associate_response(rq, ac)
    operations = 1 if window is None else window.invoked or OPERATIONS_MAX
    return Acceptance(ac, outcome.accepted, min(operations, OPERATIONS_MAX))


def _policy(assoc: AssociationState) -> SupportedContexts:
    supported = [
        SupportedContext(context.abstract_uid, context.transfer_uids, _roles_of(context))
        for context in assoc.acceptor.supported_contexts
    ]
    kind = Unrestricted if _config.UNRESTRICTED_STORAGE_SERVICE else SupportedContexts
    return kind(supported)


def _roles_of(context: PresentationContext) -> Roles | None:
    if context.scu_role is None or context.scp_role is None:
        return None
    return Roles(context.scu_role, context.scp_role)


def _note_contexts(assoc: AssociationState, rq: AssociateRQ, outcome: AcceptorOutcome) -> None:
    accepted = {context.context_id: context for context in outcome.accepted}
    for proposed, result in zip(rq.presentation_contexts, outcome.results, strict=True):
        context = PresentationContext()
        context._context_id = proposed.context_id
        context._abstract_syntax = proposed.abstract_syntax
        context.result = result.result
        found = accepted.get(proposed.context_id)
        if found is None:
            context._transfer_syntax = list(proposed.transfer_syntaxes)
            assoc._rejected.append(context)
            continue
        context._transfer_syntax = [found.transfer_syntax]
        context._as_scu, context._as_scp = found.as_scu, found.as_scp
        assoc._contexts[proposed.context_id] = context


def _sop_class_extended(assoc: AssociationState) -> tuple[SOPClassExtended, ...]:
    proposed = assoc.requestor.sop_class_extended
    if not proposed:
        return ()
    try:
        answer = assoc._handlers.ask(Event(assoc, evt.EVT_SOP_EXTENDED, {"app_info": proposed}))
        return tuple(SOPClassExtended(str(uid), bytes(info)) for uid, info in answer.items())
    except Exception:
        LOGGER.exception("Exception in the handler bound to 'evt.EVT_SOP_EXTENDED'")
        return ()


def _sop_class_common_extended(assoc: AssociationState) -> None:
    """Let the handler say which of the requestor's items hold; they decide over the service class."""
    from router.api.sop_class import uid_to_service_class

    proposed = assoc.requestor.sop_class_common_extended
    if not proposed:
        return
    try:
        answer = assoc._handlers.ask(Event(assoc, evt.EVT_SOP_COMMON, {"items": proposed}))
        taken: dict[str, SOPClassCommonExtendedNegotiation] = {
            str(uid): item for uid, item in answer.items() if str(uid) in proposed
        }
    except Exception:
        LOGGER.exception("Exception in the handler bound to 'evt.EVT_SOP_COMMON'")
        return
    assoc.acceptor.accepted_common_extended = taken
    for uid, item in taken.items():
        assoc._service_classes[uid] = uid_to_service_class(str(item.service_class_uid))


def _asynchronous_operations(assoc: AssociationState) -> AsynchronousOperationsWindow | None:
    """Return the window to answer: what the handler allows of what was proposed; none without a handler."""
    if not assoc._handlers.has(evt.EVT_ASYNC_OPS):
        return None
    proposed = information_of(assoc.requestor.user_information).asynchronous_operations
    if proposed is None:
        return None
    attrs = {"nr_invoked": proposed.invoked, "nr_performed": proposed.performed}
    attrs |= {"invoked": proposed.invoked, "performed": proposed.performed}
    try:
        invoked, performed = assoc._handlers.ask(Event(assoc, evt.EVT_ASYNC_OPS, attrs))
        return AsynchronousOperationsWindow(
            _at_most(int(invoked), proposed.invoked), _at_most(int(performed), proposed.performed)
        )
    except Exception:
        LOGGER.exception("Exception in the handler bound to 'evt.EVT_ASYNC_OPS'")
        return AsynchronousOperationsWindow(1, 1)


def _at_most(allowed: int, proposed: int) -> int:
    """Return the lesser window, where 0 is any number."""
    if allowed < 0:
        raise ValueError("a negative number of operations")
    return max(allowed, proposed) if 0 in (allowed, proposed) else min(allowed, proposed)


__all__ = ["UserIdentityNegotiation", "decide"]
