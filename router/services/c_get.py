"""C-GET: have instances sent on this association, or send them (PS3.7 sections 9.1.3, 9.3.3; PS3.4 C.4.3).

On the SCU's side the C-STORE sub-operations are requests of the peer's like any other: c_store.respond serves
them while request() waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.errors import DeadlineExceeded, PeerViolation
from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.services import c_store
from router.services.c_store import Instance
from router.services.message_ids import MessageIds
from router.services.query import Query, check_query, exchange
from router.services.reply import Reply, refuse
from router.services.steps import Deferred, Procedure
from router.services.sub_operations import Retrieval, retrieve
from router.standard.dimse_fields import C_GET_RQ, MESSAGE_ID, STATUS


@dataclass(frozen=True, slots=True)
class GetSubOperation:
    """Store this instance in this presentation context, of which the peer is SCP."""

    context_id: int
    instance: Instance

    @property
    def sop_instance(self) -> str:
        """The SOP Instance UID."""
        return self.instance.sop_instance


def request(
    association: Association, context_id: int, message_id: int, query: Query, dimse_s: float | None
) -> Procedure[MessageReceived]:
    """Send C-GET-RQ; emit each response, the last one included (see query.exchange)."""
    return (yield from exchange(association, context_id, message_id, C_GET_RQ, query, dimse_s))


def respond(
    association: Association,
    message: MessageReceived,
    on_get: Callable[[MessageReceived], Retrieval | Reply | Deferred],
    dimse_s: float | None,
    take_message_id: Callable[[], int] | None = None,
) -> Procedure[None]:
    """Answer one C-GET-RQ: store what on_get gives (GetSubOperations) at the peer, in this association.

    dimse_s: how long the response to one C-STORE may take; the association is aborted then.
    take_message_id: gives a Message ID that none of our own operations has; by default they count up from
    that of the request.
    """
    refusal = check_query(association, message)
    if refusal is not None:
        refuse(association, message, refusal.status, refusal.comment)
        return
    take = take_message_id or MessageIds(after=message.command[MESSAGE_ID]).take

    def perform(item: GetSubOperation) -> Procedure[int]:
        store = c_store.request(association, item.context_id, take(), item.instance, dimse_s)
        try:
            response = yield from store
        except DeadlineExceeded as error:
            raise PeerViolation(f"C-STORE of a C-GET was not answered: {error}", reason=0) from error
        status: int = response.command[STATUS]
        return status

    yield from retrieve(association, message, on_get, perform)
