"""Which response is the one asked for, and which is the last."""

from __future__ import annotations

from typing import Any

import pytest

from router.errors import PeerViolation
from router.protocol.indications import MessageReceived
from router.services.response import check_numbers, check_response, is_last, unasked
from router.standard.dimse_fields import C_ECHO_RSP, C_FIND_RSP, C_GET_RSP, C_STORE_RSP, STATUS
from tests.support.pair import Pair
from tests.support.services import ECHO, FIND, REPOSITORY, SYNTAXES, response


def received(field: int, status: Any, context_id: int = ECHO) -> MessageReceived:
    elements = response(field, 1, None)
    if status is not None:
        elements[STATUS] = status
    return MessageReceived(context_id, elements, None)


def test_the_right_response_is_returned() -> None:
    message = received(C_ECHO_RSP, 0)
    assert check_response(message, C_ECHO_RSP, ECHO) is message


@pytest.mark.parametrize(
    ("message", "text", "reason"),
    [
        (received(C_STORE_RSP, 0), "C-STORE-RSP came in place of C-ECHO-RSP", 2),
        (received(0x9999, 0), "message 9999H came in place of C-ECHO-RSP", 2),
        (received(C_ECHO_RSP, 0, FIND), "presentation context 5, its request went out in 1", 2),
        (received(C_ECHO_RSP, None), "C-ECHO-RSP without one Status", 6),
        (received(C_ECHO_RSP, (0, 0)), "C-ECHO-RSP without one Status", 6),
    ],
)
def test_another_one_is_a_violation(message: MessageReceived, text: str, reason: int) -> None:
    with pytest.raises(PeerViolation, match=text) as caught:
        check_response(message, C_ECHO_RSP, ECHO)
    assert caught.value.reason == reason


def test_a_number_may_be_missing_and_must_be_one() -> None:
    message = received(C_GET_RSP, 0xFF00)
    check_numbers(message, (0x00001020,))
    message = MessageReceived(ECHO, {**message.command, 0x00001020: (1, 2)}, None)
    with pytest.raises(PeerViolation, match=r"C-GET-RSP: element \(0000,1020\) is not one US"):
        check_numbers(message, (0x00001020,))


@pytest.mark.parametrize(
    ("field", "status", "context_id", "expected"),
    [
        (C_FIND_RSP, 0xFF00, FIND, False),
        (C_FIND_RSP, 0xFF01, FIND, False),
        (C_FIND_RSP, 0x0000, FIND, True),
        (C_FIND_RSP, 0xFE00, FIND, True),
        (C_FIND_RSP, 0xB001, FIND, True),
        (C_FIND_RSP, 0xB001, REPOSITORY, False),
        (C_GET_RSP, 0xB001, REPOSITORY, True),
        (C_FIND_RSP, 0x0000, REPOSITORY, True),
        (C_FIND_RSP, None, FIND, True),
    ],
)
def test_pending_ones_are_not_the_last(field: int, status: Any, context_id: int, expected: bool) -> None:
    pair = Pair()
    pair.establish(SYNTAXES)
    assert is_last(pair.requestor.association, received(field, status, context_id)) is expected


def test_a_response_nobody_asked_for_is_named() -> None:
    assert "C-ECHO-RSP to message 1" in str(unasked(received(C_ECHO_RSP, 0)))
