"""Responses: what they take over from their request, and refusals."""

from __future__ import annotations

import pytest

from router.errors import PeerViolation
from router.protocol.indications import MessageReceived
from router.services.reply import Reply, lacks, refuse, send_reply
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_ECHO_RQ,
    COMMAND_FIELD,
    ERROR_COMMENT,
    MESSAGE_ID,
    MESSAGE_ID_BEING_RESPONDED_TO,
    N_GET_RQ,
    REQUESTED_SOP_CLASS_UID,
    REQUESTED_SOP_INSTANCE_UID,
    STATUS,
)
from tests.support.pair import Pair
from tests.support.services import ECHO, SYNTAXES


class Lent:
    """A dataset that has to be given back."""

    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        self.released += 1


def opened() -> Pair:
    pair = Pair()
    pair.establish(SYNTAXES)
    pair.requestor.record = True
    return pair


def test_requested_becomes_affected() -> None:
    pair = opened()
    request = MessageReceived(
        ECHO,
        {
            COMMAND_FIELD: N_GET_RQ,
            MESSAGE_ID: 7,
            REQUESTED_SOP_CLASS_UID: "1.2",
            REQUESTED_SOP_INSTANCE_UID: "1.2.3",
        },
        None,
    )
    send_reply(pair.acceptor.association, request, Reply(0x0107, dataset=(b"abcd",)))
    pair.pump()
    (answer,) = pair.requestor.recorded
    assert answer.command[COMMAND_FIELD] == N_GET_RQ | 0x8000
    assert answer.command[MESSAGE_ID_BEING_RESPONDED_TO] == 7
    assert answer.command[AFFECTED_SOP_CLASS_UID] == "1.2"
    assert answer.command[AFFECTED_SOP_INSTANCE_UID] == "1.2.3"
    assert (answer.command[STATUS], answer.dataset) == (0x0107, b"abcd")


def test_a_long_comment_is_cut() -> None:
    pair = opened()
    request = MessageReceived(ECHO, {COMMAND_FIELD: C_ECHO_RQ, MESSAGE_ID: 7}, None)
    send_reply(pair.acceptor.association, request, Reply(0xC000, "x" * 65))
    pair.pump()
    assert pair.requestor.recorded[0].command[ERROR_COMMENT] == "x" * 64


def test_a_refusal_gives_the_dataset_back_once() -> None:
    pair = opened()
    dataset = Lent()
    refuse(
        pair.acceptor.association,
        MessageReceived(ECHO, {COMMAND_FIELD: C_ECHO_RQ, MESSAGE_ID: 7}, dataset),
        0x0122,
    )
    pair.pump()
    assert dataset.released == 1
    assert pair.requestor.recorded[0].command[STATUS] == 0x0122


@pytest.mark.parametrize("message_id", [None, (1, 2), b"x"])
def test_what_has_no_message_id_cannot_be_refused_and_aborts(message_id: object) -> None:
    pair = opened()
    command = {COMMAND_FIELD: C_ECHO_RQ}
    if message_id is not None:
        command[MESSAGE_ID] = message_id  # type: ignore[assignment]
    refuse(pair.acceptor.association, MessageReceived(ECHO, command, None), 0x0122)
    assert isinstance(pair.acceptor.association.violation, PeerViolation)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ({MESSAGE_ID: 1, AFFECTED_SOP_CLASS_UID: "1.2"}, False),
        ({MESSAGE_ID: 0, AFFECTED_SOP_CLASS_UID: "1.2"}, False),
        ({AFFECTED_SOP_CLASS_UID: "1.2"}, True),
        ({MESSAGE_ID: (1, 2), AFFECTED_SOP_CLASS_UID: "1.2"}, True),
        ({MESSAGE_ID: 1, AFFECTED_SOP_CLASS_UID: ""}, True),
        ({MESSAGE_ID: 1, AFFECTED_SOP_CLASS_UID: b"1.2"}, True),
        ({MESSAGE_ID: 1}, True),
    ],
)
def test_an_element_is_lacking_when_missing_empty_or_of_another_type(
    command: dict[int, object], expected: bool
) -> None:
    message = MessageReceived(ECHO, command, None)
    assert lacks(message, (MESSAGE_ID,), (AFFECTED_SOP_CLASS_UID,)) is expected
