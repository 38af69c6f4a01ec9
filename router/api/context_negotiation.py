"""The negotiation of presentation contexts, for programs that call it; the rules are the protocol's.

Lists of PresentationContext become the values that router/protocol/negotiation.py works on, and come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from router.api.acceptance import Unrestricted
from router.api.negotiation_items import SCP_SCU_RoleSelectionNegotiation, role_item
from router.api.presentation import PresentationContext
from router.protocol import negotiation
from router.protocol.negotiation import AcceptorPolicy, Roles, SupportedContext, SupportedContexts
from router.wire.pdus import AssociateAC, AssociateRQ, ContextResult, ProposedContext
from router.wire.user_information import RoleSelection, UserInformation

RolePair = tuple[bool | None, bool | None]
RoleMap = Mapping[str, RolePair]
"""SOP class -> (SCU role, SCP role) that one side named; a None among them: it named none."""


def _selection(uid: str, roles: RolePair) -> RoleSelection | None:
    scu, scp = roles
    return None if scu is None or scp is None else RoleSelection(uid, scu, scp)


def _outcome(proposed: RolePair, answered: RolePair) -> tuple[bool, bool, bool, bool]:
    scu, scp = negotiation.negotiate_roles(_selection("", proposed), _selection("", answered))
    return scu, scp, scp, scu


SCP_SCU_ROLES: dict[RolePair, dict[RolePair, tuple[bool, bool, bool, bool]]] = {
    proposed: {
        (scu, scp): _outcome(proposed, (scu, scp)) for scu, scp in product((None, True, False), repeat=2)
    }
    for proposed in ((None, None), (True, True), (True, False), (False, True), (False, False))
}
"""Proposed -> answered -> (requestor as SCU, as SCP, acceptor as SCU, as SCP); (SCU role, SCP role) each."""


def negotiate_as_acceptor(
    rq_contexts: Sequence[PresentationContext],
    ac_contexts: Sequence[PresentationContext],
    roles: RoleMap | None = None,
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    """Answer proposed contexts: return each with its result, and the answers to the proposed roles.

    ac_contexts: those supported, with scu_role and scp_role as the requestor may have them. roles: what the
    requestor proposed. The acceptor's own first transfer syntax that was proposed is taken.
    """
    return _answer(rq_contexts, roles, SupportedContexts(map(supported_context, ac_contexts)))


def negotiate_unrestricted(
    rq_contexts: Sequence[PresentationContext],
    ac_contexts: Sequence[PresentationContext],
    roles: RoleMap | None = None,
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    """As negotiate_as_acceptor, and accept what may be stored, private and unknown classes included."""
    return _answer(rq_contexts, roles, Unrestricted(map(supported_context, ac_contexts)))


def negotiate_as_requestor(
    rq_contexts: Sequence[PresentationContext],
    ac_contexts: Sequence[PresentationContext],
    roles: RoleMap | None = None,
) -> list[PresentationContext]:
    """Return each proposed context with what the acceptor made of it; one it left out has result 2.

    rq_contexts: with the roles that were proposed. roles: what the acceptor answered.
    Raises ValueError without proposed contexts, PeerViolation for answers that no acceptor may give.
    """
    if not rq_contexts:
        raise ValueError("there are no proposed contexts")
    proposed_roles = {context.abstract_uid: (context.scu_role, context.scp_role) for context in rq_contexts}
    answers = tuple(
        ContextResult(_id(context), context.result or 0, next(iter(context.transfer_uids), ""))
        for context in ac_contexts
    )
    ac = AssociateAC("", "", answers, UserInformation(role_selections=_selections(roles)))
    outcome = negotiation.negotiate_as_requestor(_request(rq_contexts, proposed_roles), ac)
    accepted = {context.context_id: context for context in outcome.accepted}
    rejected = {context.context_id: context.result for context in outcome.rejected}
    results: list[PresentationContext] = []
    for context in rq_contexts:
        number = _id(context)
        use = accepted.get(number)
        syntaxes = context.transfer_uids if use is None else (use.transfer_syntax,)
        result = _result(context, rejected.get(number, 0), syntaxes[:1])
        result._as_scu, result._as_scp = use is not None and use.as_scu, use is not None and use.as_scp
        results.append(result)
    return results


def supported_context(context: PresentationContext) -> SupportedContext:
    """Return a supported context for the protocol; roles count only if both are said."""
    scu, scp = context.scu_role, context.scp_role
    roles = None if scu is None or scp is None else Roles(scu, scp)
    return SupportedContext(context.abstract_uid, context.transfer_uids, roles)


def _answer(
    rq_contexts: Sequence[PresentationContext], roles: RoleMap | None, policy: AcceptorPolicy
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    outcome = negotiation.negotiate_as_acceptor(_request(rq_contexts, roles), policy)
    accepted = {context.context_id: context for context in outcome.accepted}
    results: list[PresentationContext] = []
    for context, answer in zip(rq_contexts, outcome.results, strict=True):
        syntaxes = (answer.transfer_syntax,) if answer.transfer_syntax else context.transfer_uids[:1]
        result = _result(context, answer.result, syntaxes)
        use = accepted.get(answer.context_id)
        result._as_scu, result._as_scp = use is not None and use.as_scu, use is not None and use.as_scp
        results.append(result)
    return results, sorted(map(role_item, outcome.role_selections), key=lambda item: item.sop_class_text)


def _result(context: PresentationContext, result: int, syntaxes: tuple[str, ...]) -> PresentationContext:
    """Return a context as it comes out; the syntax of a rejected one says nothing."""
    answered = PresentationContext()
    answered._context_id = context.context_id
    answered._abstract_syntax = context.abstract_uid
    answered._transfer_syntax = list(syntaxes)
    answered.result = result
    return answered


def _request(contexts: Sequence[PresentationContext], roles: RoleMap | None) -> AssociateRQ:
    proposed = tuple(
        ProposedContext(_id(context), context.abstract_uid, context.transfer_uids) for context in contexts
    )
    return AssociateRQ("", "", proposed, UserInformation(role_selections=_selections(roles)))


def _selections(roles: RoleMap | None) -> tuple[RoleSelection, ...]:
    selections = (_selection(str(uid), pair) for uid, pair in (roles or {}).items())
    return tuple(selection for selection in selections if selection is not None)


def _id(context: PresentationContext) -> int:
    if context.context_id is None:
        raise ValueError("a presentation context that is negotiated needs an ID")
    return context.context_id
