"""C-MOVE: have instances sent to a third party, or send them (PS3.7 sections 9.1.4, 9.3.4; PS3.4 C.4.2).

The association with the move destination is another one, with a driver of its own: who serves C-MOVE opens
it, runs c_store.request on it, and closes it. Here is the exchange with the SCU alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.services.query import Query, check_query, exchange
from router.services.reply import Reply, lacks, refuse
from router.services.steps import Call, Deferred, Procedure
from router.services.sub_operations import Retrieval, SubOperation, retrieve
from router.standard.dimse_fields import C_MOVE_RQ, MOVE_DESTINATION
from router.standard.statuses import MISTYPED_ARGUMENT

Store = Callable[[Any], int | Deferred | None]
"""Store one SubOperation at the move destination: the status it answered (or a Deferred of it), None if it
could not be asked. Does not raise for what is the destination's fault."""


def request(
    association: Association, context_id: int, message_id: int, query: Query, dimse_s: float | None
) -> Procedure[MessageReceived]:
    """Send C-MOVE-RQ; emit each response, the last one included (see query.exchange).

    query: with its move_destination.
    """
    return (yield from exchange(association, context_id, message_id, C_MOVE_RQ, query, dimse_s))


def respond(
    association: Association,
    message: MessageReceived,
    on_move: Callable[[MessageReceived], Retrieval | Reply | Deferred],
    store: Store,
) -> Procedure[None]:
    """Answer one C-MOVE-RQ: store what on_move gives at the move destination.

    on_move: finds the destination and opens the association with it, or answers Reply(A801H), destination
    unknown; the Retrieval's close() releases that association.
    """
    refusal = check_query(association, message)
    if refusal is not None:
        refuse(association, message, refusal.status, refusal.comment)
        return
    if lacks(message, (), (MOVE_DESTINATION,)):
        refuse(association, message, MISTYPED_ARGUMENT, "no Move Destination")
        return

    def perform(item: SubOperation) -> Procedure[int | None]:
        status: int | None = yield Call(store, item)
        return status

    yield from retrieve(association, message, on_move, perform)
