"""C-CANCEL: what goes out, and whom it concerns."""

from __future__ import annotations

import pytest

from router.errors import AssociationAborted
from router.services import c_cancel
from router.standard.dimse_fields import (
    C_CANCEL_RQ,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
)
from tests.support.pair import Pair
from tests.support.services import FIND, SYNTAXES


def test_it_names_the_request_and_has_no_message_id_of_its_own(split: int) -> None:
    pair = Pair(split=split)
    pair.establish(SYNTAXES)
    pair.acceptor.record = True
    c_cancel.cancel(pair.requestor.association, FIND, 7)
    pair.pump()
    (message,) = pair.acceptor.recorded
    assert message.context_id == FIND
    assert message.command == {
        COMMAND_FIELD: C_CANCEL_RQ,
        MESSAGE_ID_BEING_RESPONDED_TO: 7,
        COMMAND_DATA_SET_TYPE: NO_DATASET,
    }


@pytest.mark.parametrize("message_id", [None, (1, 2), 9])
def test_one_that_names_nothing_is_let_pass(message_id: object) -> None:
    pair = Pair()
    pair.establish(SYNTAXES)
    command = {COMMAND_FIELD: C_CANCEL_RQ, COMMAND_DATA_SET_TYPE: NO_DATASET}
    if message_id is not None:
        command[MESSAGE_ID_BEING_RESPONDED_TO] = message_id  # type: ignore[assignment]
    pair.requestor.send(FIND, command)
    pair.pump()
    assert pair.acceptor.association.cancelled == set()
    assert pair.acceptor.association.is_established


def test_it_cannot_be_sent_when_the_association_is_over() -> None:
    pair = Pair()
    pair.establish(SYNTAXES)
    pair.requestor.conversation.abort()
    with pytest.raises(AssociationAborted):
        c_cancel.cancel(pair.requestor.association, FIND, 7)
