"""Every proposed context gets one answer, both sides agree on roles, hostile answers are violations."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import PeerViolation
from router.protocol.negotiation import (
    DEFAULT_ROLES,
    AcceptedContext,
    AcceptorPolicy,
    AnyStorage,
    RejectedContext,
    Roles,
    SupportedContext,
    SupportedContexts,
    accept_context,
    agree_asynchronous_operations,
    answer_asynchronous_operations,
    answer_role_selection,
    check_request,
    negotiate_as_acceptor,
    negotiate_as_requestor,
    negotiate_roles,
)
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ, ContextResult, ProposedContext
from router.wire.user_information import AsynchronousOperationsWindow, RoleSelection, UserInformation

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
WORKLIST = "1.2.840.10008.5.1.4.31"
PRIVATE = "1.3.6.1.4.1.99999.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

SUPPORTED = SupportedContexts(
    [
        SupportedContext(CT, (EXPLICIT, IMPLICIT)),
        SupportedContext(VERIFICATION, (IMPLICIT,), Roles(scu=True, scp=True)),
        SupportedContext(WORKLIST, (IMPLICIT,), Roles(scu=False, scp=True)),
    ]
)


def request(
    *contexts: ProposedContext, roles: tuple[RoleSelection, ...] = (), maximum_length: int | None = 16384
) -> AssociateRQ:
    return AssociateRQ("CALLED", "CALLING", contexts, UserInformation(maximum_length, role_selections=roles))


def answer(
    *results: ContextResult, roles: tuple[RoleSelection, ...] = (), maximum_length: int | None = 16384
) -> AssociateAC:
    return AssociateAC("CALLED", "CALLING", results, UserInformation(maximum_length, role_selections=roles))


def role(uid: str, proposal: tuple[bool | None, bool | None]) -> RoleSelection | None:
    """Return a role selection, or None if a role is left open."""
    scu, scp = proposal
    return None if scu is None or scp is None else RoleSelection(uid, scu, scp)


# Contexts


@pytest.mark.parametrize(
    ("abstract_syntax", "offered", "result", "chosen"),
    [
        (CT, (IMPLICIT, EXPLICIT), 0, EXPLICIT),
        (CT, (EXPLICIT, IMPLICIT), 0, EXPLICIT),
        (CT, (JPEG_2000, IMPLICIT), 0, IMPLICIT),
        (CT, (JPEG_2000,), 4, ""),
        (CT, (), 4, ""),
        (PRIVATE, (IMPLICIT,), 3, ""),
        (PRIVATE, (), 3, ""),
        ("", (IMPLICIT,), 3, ""),
    ],
)
def test_a_list_of_supported_contexts_takes_its_own_first_transfer_syntax(
    abstract_syntax: str, offered: tuple[str, ...], result: int, chosen: str
) -> None:
    proposed = ProposedContext(5, abstract_syntax, offered)
    assert accept_context(proposed, SUPPORTED) == ContextResult(5, result, chosen)


@pytest.mark.parametrize(
    ("abstract_syntax", "offered", "result", "chosen"),
    [
        (VERIFICATION, (IMPLICIT,), 0, IMPLICIT),
        (CT, (JPEG_2000, EXPLICIT), 0, JPEG_2000),
        (CT, (BIG_ENDIAN, EXPLICIT), 0, BIG_ENDIAN),
        (PRIVATE, ("1.3.6.1.4.1.99999.2", IMPLICIT), 0, "1.3.6.1.4.1.99999.2"),
        (WORKLIST, (IMPLICIT,), 3, ""),
        ("1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,), 3, ""),
        ("1.2.840.10008.1.20.1", (IMPLICIT,), 3, ""),
        ("", (IMPLICIT,), 3, ""),
        ("1.2." + "3" * 61, (IMPLICIT,), 3, ""),
        ("../../etc", (IMPLICIT,), 3, ""),
        ("1..2", (IMPLICIT,), 3, ""),
        (CT, (), 4, ""),
        (CT, ("", "not a uid", "1.2." + "3" * 61), 4, ""),
        (CT, ("not a uid", EXPLICIT), 0, EXPLICIT),
    ],
)
def test_any_storage_takes_what_may_be_stored_as_it_comes(
    abstract_syntax: str, offered: tuple[str, ...], result: int, chosen: str
) -> None:
    proposed = ProposedContext(255, abstract_syntax, offered)
    assert accept_context(proposed, AnyStorage()) == ContextResult(255, result, chosen)


@pytest.mark.parametrize(
    ("allowed", "preferred", "offered", "chosen"),
    [
        (None, (), (IMPLICIT, EXPLICIT), IMPLICIT),
        ({EXPLICIT}, (), (IMPLICIT, EXPLICIT), EXPLICIT),
        ({EXPLICIT}, (), (IMPLICIT,), None),
        (None, (JPEG_2000, EXPLICIT), (IMPLICIT, EXPLICIT), EXPLICIT),
        (None, (JPEG_2000, EXPLICIT), (IMPLICIT, EXPLICIT, JPEG_2000), JPEG_2000),
        (None, (JPEG_2000,), (IMPLICIT, EXPLICIT), IMPLICIT),
        ({IMPLICIT}, (EXPLICIT,), (EXPLICIT, IMPLICIT), IMPLICIT),
        (set(), (), (IMPLICIT,), None),
    ],
)
def test_any_storage_heeds_what_is_allowed_before_what_is_preferred(
    allowed: set[str] | None, preferred: tuple[str, ...], offered: tuple[str, ...], chosen: str | None
) -> None:
    assert AnyStorage(allowed, preferred).choose_transfer_syntax(CT, offered) == chosen


def test_the_acceptor_answers_every_context_in_order_and_uses_the_accepted() -> None:
    outcome = negotiate_as_acceptor(
        request(
            ProposedContext(9, CT, (IMPLICIT, EXPLICIT)),
            ProposedContext(3, PRIVATE, (IMPLICIT,)),
            ProposedContext(1, CT, (JPEG_2000,)),
            ProposedContext(255, VERIFICATION, (IMPLICIT,)),
        ),
        SUPPORTED,
    )
    assert outcome.results == (
        ContextResult(9, 0, EXPLICIT),
        ContextResult(3, 3, ""),
        ContextResult(1, 4, ""),
        ContextResult(255, 0, IMPLICIT),
    )
    assert outcome.accepted == (
        AcceptedContext(9, CT, EXPLICIT, as_scu=False, as_scp=True),
        AcceptedContext(255, VERIFICATION, IMPLICIT, as_scu=False, as_scp=True),
    )
    assert outcome.role_selections == ()


def test_no_context_at_all_gets_no_answer_at_all() -> None:
    assert negotiate_as_acceptor(request(), AnyStorage()) == ((), (), ())


SYNTAXES = st.sampled_from([CT, VERIFICATION, WORKLIST, PRIVATE, "", "x", "1.2." + "3" * 61])
TRANSFER_SYNTAXES = st.lists(st.sampled_from([IMPLICIT, EXPLICIT, JPEG_2000, "", "y"]), max_size=4).map(tuple)
ROLE_SELECTIONS = st.lists(st.builds(RoleSelection, SYNTAXES, st.booleans(), st.booleans()), max_size=6).map(
    tuple
)


@st.composite
def requests(draw: st.DrawFn) -> AssociateRQ:
    ids = draw(st.lists(st.integers(0, 127).map(lambda n: 2 * n + 1), unique=True, max_size=12))
    contexts = [ProposedContext(one, draw(SYNTAXES), draw(TRANSFER_SYNTAXES)) for one in ids]
    return request(*contexts, roles=draw(ROLE_SELECTIONS))


@given(
    requests(),
    st.sampled_from([SUPPORTED, AnyStorage(), AnyStorage(roles=Roles(True, True)), AnyStorage(roles=None)]),
)
def test_whatever_is_proposed_both_sides_come_to_the_same_contexts_and_roles(
    rq: AssociateRQ, policy: AcceptorPolicy
) -> None:
    outcome = negotiate_as_acceptor(rq, policy)
    proposed = {context.context_id: context for context in rq.presentation_contexts}
    assert [result.context_id for result in outcome.results] == list(proposed)
    for result in outcome.results:
        assert result.result in {0, 1, 3, 4}
        assert (result.transfer_syntax in proposed[result.context_id].transfer_syntaxes) or result.result
    ac = answer(*outcome.results, roles=outcome.role_selections)
    requestor = negotiate_as_requestor(rq, ac)
    assert [
        (one.context_id, one.abstract_syntax, one.transfer_syntax, one.as_scp, one.as_scu)
        for one in requestor.accepted
    ] == [
        (one.context_id, one.abstract_syntax, one.transfer_syntax, one.as_scu, one.as_scp)
        for one in outcome.accepted
    ]
    assert {one.context_id: one.result for one in requestor.rejected} == {
        one.context_id: one.result for one in outcome.results if one.result
    }
    assert all(one.as_scu or one.as_scp for one in outcome.accepted)


# Roles

OPEN = None
NONE, SCU, SCP, BOTH = Roles(False, False), Roles(True, False), Roles(False, True), Roles(True, True)
PROPOSALS = [(OPEN, OPEN), (True, True), (True, False), (False, True), (False, False)]
ANSWERS = list(product((OPEN, True, False), repeat=2))

# What holds where both sides spoke; everywhere else the default roles hold (PS3.7 Annex D.3.3.4).
AGREED: dict[tuple[bool, bool], dict[tuple[bool, bool], Roles]] = {
    (True, True): {(True, True): BOTH, (True, False): SCU, (False, True): SCP, (False, False): NONE},
    (True, False): {(True, True): SCU, (True, False): SCU, (False, True): NONE, (False, False): NONE},
    (False, True): {(True, True): SCP, (True, False): NONE, (False, True): SCP, (False, False): NONE},
    (False, False): {(True, True): NONE, (True, False): NONE, (False, True): NONE, (False, False): NONE},
}


@pytest.mark.parametrize("answered", ANSWERS)
@pytest.mark.parametrize("proposed", PROPOSALS)
def test_a_role_holds_if_it_was_proposed_and_accepted(
    proposed: tuple[bool | None, bool | None], answered: tuple[bool | None, bool | None]
) -> None:
    expected = AGREED.get(proposed, {}).get(answered, SCU)
    assert negotiate_roles(role(CT, proposed), role(CT, answered)) == expected


@pytest.mark.parametrize("allowed", [None, NONE, SCU, SCP, BOTH])
@pytest.mark.parametrize("proposed", PROPOSALS)
def test_the_acceptor_never_answers_what_was_not_proposed(
    proposed: tuple[bool | None, bool | None], allowed: Roles | None
) -> None:
    proposal = role(CT, proposed)
    answered = answer_role_selection(proposal, allowed)
    if proposal is None or allowed is None:
        assert answered is None
    else:
        assert answered is not None
        assert answered.sop_class_uid == CT
        assert answered.scu_role <= proposal.scu_role
        assert answered.scp_role <= proposal.scp_role


def test_an_accepted_scp_proposal_inverts_the_roles_of_every_context_of_the_class() -> None:
    rq = request(
        ProposedContext(1, WORKLIST, (IMPLICIT,)),
        ProposedContext(3, WORKLIST, (IMPLICIT,)),
        roles=(RoleSelection(WORKLIST, False, True),),
    )
    outcome = negotiate_as_acceptor(rq, SUPPORTED)
    assert [(one.as_scu, one.as_scp) for one in outcome.accepted] == [(True, False)] * 2
    assert outcome.role_selections == (RoleSelection(WORKLIST, False, True),)


def test_a_context_left_without_a_role_is_rejected_by_the_user_and_its_role_unanswered() -> None:
    rq = request(ProposedContext(1, CT, (IMPLICIT,)), roles=(RoleSelection(CT, False, True),))
    outcome = negotiate_as_acceptor(rq, AnyStorage())
    assert outcome.results == (ContextResult(1, 1, ""),)
    assert outcome.accepted == ()
    assert outcome.role_selections == ()


def test_a_policy_without_a_say_on_roles_leaves_the_default_and_answers_nothing() -> None:
    rq = request(ProposedContext(1, CT, (IMPLICIT,)), roles=(RoleSelection(CT, False, True),))
    outcome = negotiate_as_acceptor(rq, SUPPORTED)
    assert outcome.accepted == (AcceptedContext(1, CT, IMPLICIT, as_scu=False, as_scp=True),)
    assert outcome.role_selections == ()


def test_of_two_role_selections_of_one_class_the_first_counts() -> None:
    rq = request(
        ProposedContext(1, VERIFICATION, (IMPLICIT,)),
        roles=(RoleSelection(VERIFICATION, True, False), RoleSelection(VERIFICATION, False, True)),
    )
    outcome = negotiate_as_acceptor(rq, SUPPORTED)
    assert outcome.role_selections == (RoleSelection(VERIFICATION, True, False),)


def test_a_role_selection_for_a_class_without_an_accepted_context_is_not_answered() -> None:
    rq = request(ProposedContext(1, CT, (IMPLICIT,)), roles=(RoleSelection(VERIFICATION, True, True),))
    assert negotiate_as_acceptor(rq, AnyStorage(roles=BOTH)).role_selections == ()


# The requestor's side

PROPOSED = request(
    ProposedContext(1, CT, (EXPLICIT, IMPLICIT)),
    ProposedContext(3, VERIFICATION, (IMPLICIT,)),
    ProposedContext(5, PRIVATE, (IMPLICIT,)),
    roles=(RoleSelection(CT, True, True),),
)


def test_the_requestor_sorts_answers_and_counts_a_missing_one_as_refused() -> None:
    outcome = negotiate_as_requestor(
        PROPOSED, answer(ContextResult(3, 3, "whatever"), ContextResult(1, 0, IMPLICIT))
    )
    assert outcome.accepted == (AcceptedContext(1, CT, IMPLICIT, as_scu=True, as_scp=False),)
    assert outcome.rejected == (RejectedContext(3, VERIFICATION, 3), RejectedContext(5, PRIVATE, 2))


@pytest.mark.parametrize("answered", [BOTH, SCU, SCP])
def test_the_requestor_takes_the_roles_it_was_granted(answered: Roles) -> None:
    ac = answer(ContextResult(1, 0, IMPLICIT), roles=(RoleSelection(CT, *answered),))
    (context,) = negotiate_as_requestor(PROPOSED, ac).accepted
    assert (context.as_scu, context.as_scp) == answered


def test_a_context_whose_roles_were_all_denied_is_of_no_use_to_the_requestor() -> None:
    ac = answer(ContextResult(1, 0, IMPLICIT), roles=(RoleSelection(CT, False, False),))
    outcome = negotiate_as_requestor(PROPOSED, ac)
    assert outcome.accepted == ()
    assert outcome.rejected[0] == RejectedContext(1, CT, 1)


def test_roles_answered_without_a_proposal_are_ignored() -> None:
    ac = answer(ContextResult(3, 0, IMPLICIT), roles=(RoleSelection(VERIFICATION, False, True),))
    (context,) = negotiate_as_requestor(PROPOSED, ac).accepted
    assert Roles(context.as_scu, context.as_scp) == DEFAULT_ROLES


@pytest.mark.parametrize(
    ("ac", "text"),
    [
        (answer(ContextResult(7, 0, IMPLICIT)), "presentation-context-id 7: was not proposed"),
        (answer(ContextResult(7, 3, "")), "presentation-context-id 7: was not proposed"),
        (answer(ContextResult(1, 0, JPEG_2000)), "transfer syntax was not proposed"),
        (answer(ContextResult(1, 0, "")), "transfer syntax was not proposed"),
        (answer(ContextResult(3, 0, EXPLICIT)), "presentation-context-id 3: the transfer syntax"),
        (answer(ContextResult(1, 5, IMPLICIT)), "result is 5, allowed 0 to 4"),
        (answer(ContextResult(1, 255, "")), "result is 255, allowed 0 to 4"),
        (answer(ContextResult(1, 3, ""), ContextResult(1, 0, IMPLICIT)), "answered twice"),
        (answer(maximum_length=1), "maximum-length-received is 1, allowed 0 or at least 12"),
        (answer(maximum_length=11), "maximum-length-received is 11"),
    ],
)
def test_an_acceptor_that_answers_what_was_not_asked_is_in_violation(ac: AssociateAC, text: str) -> None:
    with pytest.raises(PeerViolation, match=text) as caught:
        negotiate_as_requestor(PROPOSED, ac)
    assert (caught.value.source, caught.value.reason) == (2, 6)


@pytest.mark.parametrize("maximum_length", [None, 0, 12, 0xFFFFFFFF])
def test_any_other_maximum_length_is_no_reason_to_complain(maximum_length: int | None) -> None:
    ac = answer(ContextResult(1, 0, IMPLICIT), maximum_length=maximum_length)
    assert len(negotiate_as_requestor(PROPOSED, ac).accepted) == 1
    assert check_request(request(maximum_length=maximum_length)) is None


# Asynchronous operations: 0 is unlimited


@pytest.mark.parametrize(
    ("proposed", "own", "held"),
    [(1, 16, 1), (16, 16, 16), (100, 16, 16), (0, 16, 16), (8, 0, 8), (0, 0, 0), (1, 0, 1), (65535, 1, 1)],
)
def test_a_window_is_the_lesser_of_both_and_unlimited_only_if_both_are(
    proposed: int, own: int, held: int
) -> None:
    window = AsynchronousOperationsWindow
    assert answer_asynchronous_operations(window(proposed, 5), own, 3) == window(held, 3)
    assert answer_asynchronous_operations(window(5, proposed), 3, own) == window(3, held)
    assert agree_asynchronous_operations(window(proposed, 5), window(own, 3)) == window(held, 3)
    assert agree_asynchronous_operations(window(5, proposed), window(3, own)) == window(3, held)


def test_a_window_that_was_not_proposed_is_not_answered() -> None:
    assert answer_asynchronous_operations(None, 16, 16) is None


@pytest.mark.parametrize(("proposed", "answered"), [(None, None), (None, 9), (9, None)])
def test_without_both_sides_speaking_operations_are_synchronous(
    proposed: int | None, answered: int | None
) -> None:
    window = AsynchronousOperationsWindow
    held = agree_asynchronous_operations(
        None if proposed is None else window(proposed, proposed),
        None if answered is None else window(answered, answered),
    )
    assert held == window(1, 1)


# Requests refused as a whole


@pytest.mark.parametrize(
    ("rq", "called", "calling", "rejection"),
    [
        (AssociateRQ("ROUTER", "CT1", ()), (), None, None),
        (AssociateRQ("ROUTER", "CT1", ()), ("ROUTER",), ("CT1",), None),
        (AssociateRQ("ROUTER", "CT1", (), protocol_version=0xFFFF), (), None, None),
        (AssociateRQ("ROUTER", "CT1", (), protocol_version=0), (), None, AssociateRJ(1, 2, 2)),
        (AssociateRQ("ROUTER", "CT1", (), protocol_version=2), (), None, AssociateRJ(1, 2, 2)),
        (AssociateRQ("ROUTER", "CT1", (), application_context_name=""), (), None, AssociateRJ(1, 1, 2)),
        (AssociateRQ("ROUTER", "CT1", (), application_context_name=CT), (), None, AssociateRJ(1, 1, 2)),
        (AssociateRQ("", "CT1", ()), (), None, AssociateRJ(1, 1, 7)),
        (AssociateRQ("", "CT1", ()), ("", "ROUTER"), None, AssociateRJ(1, 1, 7)),
        (AssociateRQ("OTHER", "CT1", ()), ("ROUTER",), None, AssociateRJ(1, 1, 7)),
        (AssociateRQ("router", "CT1", ()), ("ROUTER",), None, AssociateRJ(1, 1, 7)),
        (AssociateRQ("ROUTER", "CT2", ()), ("ROUTER",), ("CT1",), AssociateRJ(1, 1, 3)),
        (AssociateRQ("ROUTER", "CT1", ()), ("ROUTER",), (), AssociateRJ(1, 1, 3)),
        (AssociateRQ("OTHER", "CT2", ()), ("ROUTER",), ("CT1",), AssociateRJ(1, 1, 7)),
        (request(maximum_length=1), (), None, AssociateRJ(1, 1, 1)),
        (request(maximum_length=11), (), None, AssociateRJ(1, 1, 1)),
    ],
)
def test_a_request_is_refused_as_a_whole_for_the_reason_the_standard_names(
    rq: AssociateRQ, called: tuple[str, ...], calling: tuple[str, ...] | None, rejection: AssociateRJ | None
) -> None:
    assert check_request(rq, called, calling) == rejection
