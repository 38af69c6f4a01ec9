"""Establishing an association: acceptance, rejection, silence, answers nobody proposed."""

from __future__ import annotations

import pytest

from router.errors import AssociationAborted, AssociationRejected, DeadlineExceeded, PeerViolation
from router.protocol.negotiation import AcceptedContext
from router.protocol.states import State
from router.services import establish
from router.services.conversation import Task
from router.services.establish import Acceptance
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import VERIFICATION
from router.wire.pdus import AssociateAC, AssociateRJ, AssociateRQ, ContextResult, ProposedContext
from router.wire.user_information import UserInformation
from tests.support.pair import Pair

RQ = AssociateRQ(
    "SCP",
    "SCU",
    (ProposedContext(1, VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,)),),
    UserInformation(maximum_length=16382),
)


def acceptance(context_id: int = 1, operations_max: int = 1) -> Acceptance:
    results = (ContextResult(context_id, 0, IMPLICIT_VR_LITTLE_ENDIAN),)
    ac = AssociateAC("SCP", "SCU", results, UserInformation(maximum_length=4096))
    context = AcceptedContext(1, VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN, as_scu=False, as_scp=True)
    return Acceptance(ac, (context,), operations_max)


def ask(pair: Pair, acse_s: float | None = 30) -> Task:
    task = pair.requestor.conversation.start(establish.request(pair.requestor.association, RQ, acse_s))
    pair.requestor.association.transport_opened()
    pair.acceptor.association.transport_opened()
    pair.pump()
    return task


def answer(pair: Pair, decide: establish.Decide) -> Task:
    return pair.acceptor.conversation.start(establish.respond(pair.acceptor.association, decide))


def test_an_acceptance_opens_its_contexts_on_both_sides(split: int) -> None:
    pair = Pair(split=split)
    accepted = answer(pair, lambda rq: acceptance(operations_max=5))
    task = ask(pair)
    assert accepted.result is True
    assert task.result.called_ae_title == "SCP"
    requestor, acceptor = pair.requestor.association, pair.acceptor.association
    assert (requestor.state, acceptor.state) == (State.STA6, State.STA6)
    assert (requestor.contexts[1].as_scu, acceptor.contexts[1].as_scp) == (True, True)
    assert (requestor.peer_maximum_length, acceptor.peer_maximum_length) == (4096, 16382)
    assert acceptor.operations_max == 5


def test_a_rejection_says_by_whom_and_why(split: int) -> None:
    pair = Pair(split=split)
    accepted = answer(pair, lambda rq: AssociateRJ(1, 1, 7))
    task = ask(pair)
    assert accepted.result is False
    assert isinstance(task.error, AssociationRejected)
    assert (task.error.result, task.error.source, task.error.reason) == (1, 1, 7)
    assert pair.requestor.is_closed


def test_an_answer_that_does_not_come_ends_in_its_deadline() -> None:
    pair = Pair()
    task = ask(pair, acse_s=20)
    pair.pass_time(21)
    assert isinstance(task.error, DeadlineExceeded)
    assert task.error.deadline == "acse_s"


def test_an_answer_to_what_was_not_proposed_aborts() -> None:
    pair = Pair()
    answer(pair, lambda rq: acceptance(context_id=3))
    task = ask(pair)
    assert isinstance(task.error, PeerViolation)
    assert "was not proposed" in str(task.error)
    assert not pair.acceptor.association.is_established


def test_an_abort_in_place_of_an_answer_is_told() -> None:
    pair = Pair()
    task = ask(pair)
    pair.acceptor.conversation.abort(0, 0)
    pair.pump()
    assert isinstance(task.error, AssociationAborted)


def test_a_connection_that_closes_without_a_request_ends_the_acceptor() -> None:
    pair = Pair()
    task = answer(pair, lambda rq: acceptance())
    pair.acceptor.association.transport_opened()
    pair.acceptor.association.transport_closed()
    pair.acceptor.conversation.pump()
    assert isinstance(task.error, AssociationAborted)


def test_a_decision_that_raises_is_the_error_of_the_procedure() -> None:
    def decide(rq: AssociateRQ) -> Acceptance:
        raise RuntimeError("broken")

    pair = Pair()
    task = answer(pair, decide)
    ask(pair)
    with pytest.raises(RuntimeError, match="broken"):
        raise task.error or AssertionError
