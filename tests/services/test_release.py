"""Releasing an association: in order, when both ask at once, and when the peer stays silent."""

from __future__ import annotations

from router.errors import AssociationAborted, DeadlineExceeded
from router.protocol.states import State
from router.services import c_echo, release
from router.services.reply import RESPONDERS_OF_REFUSAL
from router.standard.dimse_fields import C_ECHO_RQ
from tests.support.pair import Pair
from tests.support.services import ECHO, SYNTAXES, echo_service


def opened(split: int = 1 << 20) -> Pair:
    pair = Pair(
        requestor_services={**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: echo_service()},
        acceptor_services={**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: echo_service()},
        split=split,
    )
    pair.establish(SYNTAXES)
    return pair


def test_a_release_is_confirmed_and_the_connection_closes(split: int) -> None:
    pair = opened(split)
    answered = pair.start(pair.acceptor, release.respond(pair.acceptor.association))
    pair.run(release.request(pair.requestor.association, 30))
    assert answered.done
    assert answered.error is None
    assert pair.requestor.is_closed
    assert pair.acceptor.is_closed
    assert pair.acceptor.association.state is State.STA1


def test_both_sides_may_ask_at_once(split: int) -> None:
    pair = opened(split)
    asking = [
        side.conversation.start(release.request(side.association, 30))
        for side in (pair.requestor, pair.acceptor)
    ]
    pair.pump()
    assert [(task.done, task.error) for task in asking] == [(True, None), (True, None)]
    assert pair.requestor.association.state is State.STA1
    assert pair.acceptor.association.state is State.STA1


def test_a_release_that_is_not_answered_ends_in_its_deadline() -> None:
    pair = opened()
    task = pair.start(pair.requestor, release.request(pair.requestor.association, 20))
    pair.pass_time(21)
    assert isinstance(task.error, DeadlineExceeded)
    assert task.error.deadline == "acse_s"


def test_an_abort_in_place_of_the_answer_is_told() -> None:
    pair = opened()
    task = pair.start(pair.requestor, release.request(pair.requestor.association, 20))
    pair.acceptor.conversation.abort()
    pair.pump()
    assert isinstance(task.error, AssociationAborted)


def test_a_request_of_the_peer_that_crosses_our_release_is_not_answered_and_does_no_harm() -> None:
    """What is underway when we ask for the release cannot be answered any more (PS3.8 Table 9-10, Sta7)."""
    pair = opened()
    answered = pair.acceptor.conversation.start(release.respond(pair.acceptor.association))
    crossing = pair.acceptor.conversation.start(
        c_echo.request(pair.acceptor.association, ECHO, 1, 30), None, 1
    )
    pair.run(release.request(pair.requestor.association, 30))
    assert answered.done
    assert pair.requestor.association.violation is None
    assert isinstance(crossing.error, AssociationAborted)
    assert not pair.requestor.conversation.tasks
