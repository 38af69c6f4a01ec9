"""C-ECHO, both halves: statuses, refusals, deadlines, responses that are not the one asked for."""

from __future__ import annotations

import pytest

from router.errors import DeadlineExceeded, PeerViolation
from router.services import c_echo
from router.services.reply import RESPONDERS_OF_REFUSAL, Reply
from router.services.steps import Deferred
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    C_ECHO_RQ,
    C_ECHO_RSP,
    C_STORE_RSP,
    ERROR_COMMENT,
    MESSAGE_ID_BEING_RESPONDED_TO,
    STATUS,
)
from router.standard.uids import VERIFICATION
from tests.support.pair import Pair
from tests.support.services import (
    ECHO,
    FIND,
    SYNTAXES,
    command,
    echo_service,
    response,
    status_of,
)


def opened(split: int = 1 << 20) -> Pair:
    """Return a pair whose acceptor answers C-ECHO."""
    pair = Pair(acceptor_services={**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: echo_service()}, split=split)
    pair.establish(SYNTAXES)
    return pair


def silent() -> Pair:
    """Return a pair whose acceptor never answers by itself."""
    pair = Pair(
        acceptor_services={**RESPONDERS_OF_REFUSAL, C_ECHO_RQ: echo_service(lambda message: Deferred())}
    )
    pair.establish(SYNTAXES)
    return pair


def test_an_echo_is_answered_with_its_message_id(split: int) -> None:
    pair = opened(split)
    answer = pair.run(c_echo.request(pair.requestor.association, ECHO, 7, 30), 7)
    assert answer.command[STATUS] == 0
    assert answer.command[MESSAGE_ID_BEING_RESPONDED_TO] == 7
    assert answer.command[AFFECTED_SOP_CLASS_UID] == VERIFICATION
    assert answer.dataset is None


def test_the_handler_chooses_status_and_comment() -> None:
    pair = Pair(
        acceptor_services={
            **RESPONDERS_OF_REFUSAL,
            C_ECHO_RQ: echo_service(lambda message: Reply(0x0110, "x" * 70)),
        }
    )
    pair.establish(SYNTAXES)
    answer = pair.run(c_echo.request(pair.requestor.association, ECHO, 7, 30), 7)
    assert answer.command[STATUS] == 0x0110
    assert answer.command[ERROR_COMMENT] == "x" * 64


def test_a_request_without_sop_class_is_mistyped() -> None:
    pair = opened()
    elements = command(C_ECHO_RQ, 2)
    del elements[AFFECTED_SOP_CLASS_UID]
    assert status_of(pair.answer_to(ECHO, elements)) == 0x0212


def test_a_request_without_message_id_cannot_be_answered_and_aborts() -> None:
    pair = opened()
    pair.requestor.send(ECHO, command(C_ECHO_RQ, None))
    pair.pump()
    assert isinstance(pair.acceptor.association.violation, PeerViolation)
    assert not pair.requestor.association.is_established


def test_a_response_that_takes_too_long_ends_in_its_deadline() -> None:
    pair = silent()
    task = pair.start(pair.requestor, c_echo.request(pair.requestor.association, ECHO, 1, 30), 1)
    pair.pass_time(29.9)
    assert not task.done
    pair.pass_time(0.2)
    assert isinstance(task.error, DeadlineExceeded)


def test_without_a_deadline_it_waits_for_ever() -> None:
    pair = silent()
    task = pair.start(pair.requestor, c_echo.request(pair.requestor.association, ECHO, 1, None), 1)
    pair.pass_time(1e9)
    assert not task.done


@pytest.mark.parametrize(
    ("context_id", "elements"),
    [
        (ECHO, response(C_STORE_RSP, 1)),
        (FIND, response(C_ECHO_RSP, 1)),
        (ECHO, response(C_ECHO_RSP, 1, None)),
        (ECHO, {**response(C_ECHO_RSP, 1), STATUS: (0, 0)}),
    ],
    ids=["another kind", "another context", "no status", "two statuses"],
)
def test_a_response_that_was_not_asked_for_aborts(context_id: int, elements: dict[int, object]) -> None:
    pair = silent()
    task = pair.start(pair.requestor, c_echo.request(pair.requestor.association, ECHO, 1, 30), 1)
    pair.acceptor.send(context_id, elements)
    pair.pump()
    assert isinstance(task.error, PeerViolation)
    assert pair.requestor.association.violation is task.error
    assert not pair.acceptor.association.is_established
