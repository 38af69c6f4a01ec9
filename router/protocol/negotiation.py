"""Association negotiation: which presentation contexts, roles and windows both sides will use.

Pure functions over the wire's values; no I/O, no clock. PS3.8 section 7.1.1 and Annex D.1; PS3.7 Annex D.3.
Invariant: every proposed context gets exactly one answer, in the order it was proposed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from router.errors import PeerViolation
from router.standard.reasons import (
    ABORT_REASON_INVALID_PARAMETER,
    CONTEXT_ABSTRACT_SYNTAX_NOT_SUPPORTED,
    CONTEXT_ACCEPTED,
    CONTEXT_NO_REASON,
    CONTEXT_TRANSFER_SYNTAXES_NOT_SUPPORTED,
    CONTEXT_USER_REJECTED,
    REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
    REJECT_CALLED_AE_TITLE_NOT_RECOGNISED,
    REJECT_CALLING_AE_TITLE_NOT_RECOGNISED,
    REJECT_NO_REASON_GIVEN,
    REJECT_PROTOCOL_VERSION_NOT_SUPPORTED,
    REJECT_SOURCE_SERVICE_PROVIDER_ACSE,
    REJECT_SOURCE_SERVICE_USER,
    REJECTED_PERMANENT,
)
from router.standard.sop_classes import is_storage, service_of
from router.standard.uids import DICOM_APPLICATION_CONTEXT, VERIFICATION, is_valid_uid
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ, ContextResult, ProposedContext
from router.wire.user_information import AsynchronousOperationsWindow, RoleSelection

MAXIMUM_LENGTH_MIN = 12
"""Smallest maximum length a peer may name: a PDV has 6 octets of head, and as many more as make it useful."""

PROTOCOL_VERSION_1 = 0x0001
"""The one bit a receiver tests in protocol-version (PS3.8 Table 9-11)."""


class Roles(NamedTuple):
    """The roles of the association *requestor* for one SOP class (PS3.7 Annex D.3.3.4)."""

    scu: bool
    scp: bool


DEFAULT_ROLES = Roles(scu=True, scp=False)
"""What holds without role selection: the requestor is SCU, the acceptor SCP."""


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """One presentation context in use. as_scu, as_scp: what *this* side may be on it."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scu: bool
    as_scp: bool


@dataclass(frozen=True, slots=True)
class RejectedContext:
    """One presentation context the acceptor refused; result as in PS3.8 Table 9-18."""

    context_id: int
    abstract_syntax: str
    result: int


class AcceptorOutcome(NamedTuple):
    """What an acceptor answers (results, role_selections: into the A-ASSOCIATE-AC) and may use (accepted)."""

    results: tuple[ContextResult, ...]
    accepted: tuple[AcceptedContext, ...]
    role_selections: tuple[RoleSelection, ...]


class RequestorOutcome(NamedTuple):
    """What a requestor got; each in the order it was proposed."""

    accepted: tuple[AcceptedContext, ...]
    rejected: tuple[RejectedContext, ...]


class AcceptorPolicy(Protocol):
    """What an acceptor is willing to do. Asked only about syntaxes that have the form of a UID."""

    def supports(self, abstract_syntax: str) -> bool:
        """Say whether this abstract syntax is served at all."""

    def choose_transfer_syntax(self, abstract_syntax: str, offered: Sequence[str]) -> str | None:
        """Return one of those offered (in the requestor's order), or None if none will do."""

    def roles_allowed(self, abstract_syntax: str) -> Roles | None:
        """Return the roles the requestor may take if it proposes them; None: do not answer its proposals."""


@dataclass(frozen=True, slots=True)
class SupportedContext:
    """One abstract syntax an acceptor serves, with its transfer syntaxes in its own order of preference."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    roles: Roles | None = None


class SupportedContexts:
    """Serve a list of abstract syntaxes; our own first transfer syntax that was offered is taken."""

    def __init__(self, supported: Iterable[SupportedContext]) -> None:
        self._supported = {context.abstract_syntax: context for context in supported}

    def supports(self, abstract_syntax: str) -> bool:
        return abstract_syntax in self._supported

    def choose_transfer_syntax(self, abstract_syntax: str, offered: Sequence[str]) -> str | None:
        own = self._supported[abstract_syntax].transfer_syntaxes
        return next((syntax for syntax in own if syntax in offered), None)

    def roles_allowed(self, abstract_syntax: str) -> Roles | None:
        return self._supported[abstract_syntax].roles


class AnyStorage:
    """Serve Verification and whatever may be stored: storage classes, known or retired, private, unknown.

    The requestor's first allowed transfer syntax is taken, so that objects come as they are. Known classes of
    other services are refused: accepting a query and failing it later would mislead the peer.
    preferred: taken before the requestor's own order, first first. allowed: None for any.
    roles: what the requestor may be; the default allows no more than what holds without role selection.
    """

    def __init__(
        self,
        allowed: Collection[str] | None = None,
        preferred: Sequence[str] = (),
        roles: Roles | None = DEFAULT_ROLES,
    ) -> None:
        self._allowed = allowed
        self._preferred = tuple(preferred)
        self._roles = roles

    def supports(self, abstract_syntax: str) -> bool:
        service = service_of(abstract_syntax)
        return service is None or abstract_syntax == VERIFICATION or is_storage(abstract_syntax)

    def choose_transfer_syntax(self, abstract_syntax: str, offered: Sequence[str]) -> str | None:
        allowed = [syntax for syntax in offered if self._allowed is None or syntax in self._allowed]
        preferred = (syntax for syntax in self._preferred if syntax in allowed)
        return next(preferred, allowed[0] if allowed else None)

    def roles_allowed(self, abstract_syntax: str) -> Roles | None:
        return self._roles


def check_request(
    rq: AssociateRQ,
    called_ae_titles: Collection[str] = (),
    calling_ae_titles: Collection[str] | None = None,
) -> AssociateRJ | None:
    """Return the rejection that a request deserves before its contexts are looked at; None if there is none.

    called_ae_titles: those answered to; empty: any but a blank one, which names nobody (PS3.8 Table 9-11).
    calling_ae_titles: those served; None: any.
    """
    if not rq.protocol_version & PROTOCOL_VERSION_1:
        source, reason = REJECT_SOURCE_SERVICE_PROVIDER_ACSE, REJECT_PROTOCOL_VERSION_NOT_SUPPORTED
        return AssociateRJ(REJECTED_PERMANENT, source, reason)
    reason = _user_reason_to_reject(rq, called_ae_titles, calling_ae_titles)
    return AssociateRJ(REJECTED_PERMANENT, REJECT_SOURCE_SERVICE_USER, reason) if reason else None


def _user_reason_to_reject(
    rq: AssociateRQ, called_ae_titles: Collection[str], calling_ae_titles: Collection[str] | None
) -> int:
    called = rq.called_ae_title
    if rq.application_context_name != DICOM_APPLICATION_CONTEXT:
        return REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
    if not called.strip() or (called_ae_titles and called not in called_ae_titles):
        return REJECT_CALLED_AE_TITLE_NOT_RECOGNISED
    if calling_ae_titles is not None and rq.calling_ae_title not in calling_ae_titles:
        return REJECT_CALLING_AE_TITLE_NOT_RECOGNISED
    if not _is_usable_maximum_length(rq.user_information.maximum_length):
        return REJECT_NO_REASON_GIVEN
    return 0


def _is_usable_maximum_length(maximum_length: int | None) -> bool:
    # 0 and a missing item both mean no limit (PS3.8 Annex D.1.1).
    return not maximum_length or maximum_length >= MAXIMUM_LENGTH_MIN


def accept_context(proposed: ProposedContext, policy: AcceptorPolicy) -> ContextResult:
    """Answer one proposed context; roles, which may still lead to user-rejection, are left out.

    The transfer syntax of a rejected context has no significance and stays empty (PS3.8 Table 9-18).
    """
    abstract_syntax = proposed.abstract_syntax
    if not is_valid_uid(abstract_syntax) or not policy.supports(abstract_syntax):
        return ContextResult(proposed.context_id, CONTEXT_ABSTRACT_SYNTAX_NOT_SUPPORTED, "")
    offered = [syntax for syntax in proposed.transfer_syntaxes if is_valid_uid(syntax)]
    chosen = policy.choose_transfer_syntax(abstract_syntax, offered) if offered else None
    if chosen is None:
        return ContextResult(proposed.context_id, CONTEXT_TRANSFER_SYNTAXES_NOT_SUPPORTED, "")
    return ContextResult(proposed.context_id, CONTEXT_ACCEPTED, chosen)


def negotiate_as_acceptor(rq: AssociateRQ, policy: AcceptorPolicy) -> AcceptorOutcome:
    """Answer every proposed context and role selection of a request.

    Accepting none of them is a legitimate answer: the requestor then decides (PS3.8 section 7.1.1.14).
    """
    proposals = _by_sop_class(rq.user_information.role_selections)
    results: list[ContextResult] = []
    accepted: list[AcceptedContext] = []
    answers: dict[str, RoleSelection] = {}
    for proposed in rq.presentation_contexts:
        abstract_syntax = proposed.abstract_syntax
        result = accept_context(proposed, policy)
        if result.result == CONTEXT_ACCEPTED:
            proposal = proposals.get(abstract_syntax)
            answer = answer_role_selection(proposal, policy.roles_allowed(abstract_syntax))
            roles = negotiate_roles(proposal, answer)
            if any(roles):
                accepted.append(
                    AcceptedContext(
                        proposed.context_id,
                        abstract_syntax,
                        result.transfer_syntax,
                        as_scu=roles.scp,
                        as_scp=roles.scu,
                    )
                )
                if answer is not None:
                    answers[abstract_syntax] = answer
            else:
                result = ContextResult(proposed.context_id, CONTEXT_USER_REJECTED, "")
        results.append(result)
    return AcceptorOutcome(tuple(results), tuple(accepted), tuple(answers.values()))


def negotiate_as_requestor(rq: AssociateRQ, ac: AssociateAC) -> RequestorOutcome:
    """Sort what was proposed by what the acceptor made of it.

    A context without an answer counts as refused without a reason (result 2), one whose answered roles leave
    this side none as refused by the user (result 1).
    Raises PeerViolation if the acceptor answers what was not proposed, or twice, or with a result outside
    PS3.8 Table 9-18 or with a transfer syntax it was not offered; or if its maximum length holds no PDV.
    """
    proposed = rq.presentation_contexts
    answers = _checked_answers(proposed, ac)
    proposals = _by_sop_class(rq.user_information.role_selections)
    role_answers = _by_sop_class(ac.user_information.role_selections)
    accepted: list[AcceptedContext] = []
    rejected: list[RejectedContext] = []
    for context in proposed:
        uid = context.abstract_syntax
        answer = answers.get(context.context_id)
        result = CONTEXT_NO_REASON if answer is None else answer.result
        if answer is not None and result == CONTEXT_ACCEPTED:
            roles = negotiate_roles(proposals.get(uid), role_answers.get(uid))
            if any(roles):
                syntax = answer.transfer_syntax
                accepted.append(AcceptedContext(context.context_id, uid, syntax, roles.scu, roles.scp))
                continue
            result = CONTEXT_USER_REJECTED
        rejected.append(RejectedContext(context.context_id, uid, result))
    return RequestorOutcome(tuple(accepted), tuple(rejected))


def _checked_answers(proposed: Sequence[ProposedContext], ac: AssociateAC) -> dict[int, ContextResult]:
    maximum_length = ac.user_information.maximum_length
    if not _is_usable_maximum_length(maximum_length):
        _violate(f"maximum-length-received is {maximum_length}, allowed 0 or at least {MAXIMUM_LENGTH_MIN}")
    offers = {context.context_id: context.transfer_syntaxes for context in proposed}
    answers: dict[int, ContextResult] = {}
    for answer in ac.presentation_contexts:
        what = f"A-ASSOCIATE-AC, presentation-context-id {answer.context_id}"
        if answer.context_id not in offers:
            _violate(f"{what}: was not proposed (PS3.8 section 9.3.3.2)")
        if answer.context_id in answers:
            _violate(f"{what}: is answered twice (PS3.8 section 9.3.3.2)")
        if not CONTEXT_ACCEPTED <= answer.result <= CONTEXT_TRANSFER_SYNTAXES_NOT_SUPPORTED:
            _violate(f"{what}: result is {answer.result}, allowed 0 to 4 (PS3.8 Table 9-18)")
        if answer.result == CONTEXT_ACCEPTED and answer.transfer_syntax not in offers[answer.context_id]:
            _violate(f"{what}: the transfer syntax was not proposed (PS3.8 section 9.3.3.2)")
        answers[answer.context_id] = answer
    return answers


def _violate(text: str) -> None:
    raise PeerViolation(text, reason=ABORT_REASON_INVALID_PARAMETER)


def _by_sop_class(selections: Iterable[RoleSelection]) -> dict[str, RoleSelection]:
    # One item a SOP class is allowed (PS3.7 Annex D.3.3.4); of several the first counts.
    by_sop_class: dict[str, RoleSelection] = {}
    for selection in selections:
        by_sop_class.setdefault(selection.sop_class_uid, selection)
    return by_sop_class


def answer_role_selection(proposal: RoleSelection | None, allowed: Roles | None) -> RoleSelection | None:
    """Return the acceptor's answer to a role selection, or None for none (PS3.7 Annex D.3.3.4).

    Never 1 where 0 was proposed, and nothing where nothing was proposed.
    """
    if proposal is None or allowed is None:
        return None
    return RoleSelection(
        proposal.sop_class_uid, proposal.scu_role and allowed.scu, proposal.scp_role and allowed.scp
    )


def negotiate_roles(proposal: RoleSelection | None, answer: RoleSelection | None) -> Roles:
    """Return the requestor's roles that both sides agreed on (PS3.7 Annex D.3.3.4); both False: none at all.

    Without a proposal an answer is ignored, and without an answer a proposal: the default roles hold.
    Otherwise a role holds if it was proposed and accepted; accepting what was not proposed is ignored.
    """
    if proposal is None or answer is None:
        return DEFAULT_ROLES
    return Roles(proposal.scu_role and answer.scu_role, proposal.scp_role and answer.scp_role)


def answer_asynchronous_operations(
    proposed: AsynchronousOperationsWindow | None, invoked_max: int, performed_max: int
) -> AsynchronousOperationsWindow | None:
    """Return the acceptor's answer to an asynchronous operations window (PS3.7 Annex D.3.3.3).

    invoked_max: operations the requestor may have outstanding with us.
    performed_max: operations we may have outstanding with the requestor.
    0 means unlimited everywhere. Never more than was proposed; None (no item) if nothing was.
    """
    if proposed is None:
        return None
    return AsynchronousOperationsWindow(
        _lesser_window(proposed.invoked, invoked_max), _lesser_window(proposed.performed, performed_max)
    )


def agree_asynchronous_operations(
    proposed: AsynchronousOperationsWindow | None, answered: AsynchronousOperationsWindow | None
) -> AsynchronousOperationsWindow:
    """Return the window that holds, as the requestor sees it; 1 and 1 unless both sides spoke.

    An answer larger than the proposal is cut to the proposal.
    """
    if proposed is None or answered is None:
        return AsynchronousOperationsWindow(1, 1)
    return AsynchronousOperationsWindow(
        _lesser_window(proposed.invoked, answered.invoked),
        _lesser_window(proposed.performed, answered.performed),
    )


def _lesser_window(first: int, second: int) -> int:
    if first == 0 or second == 0:
        return max(first, second)
    return min(first, second)
