"""C-FIND: query the peer, or answer its query match by match (PS3.7 sections 9.1.2, 9.3.2; PS3.4 C.4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from router.protocol.association import Association
from router.protocol.indications import MessageReceived
from router.services.query import UNABLE_TO_PROCESS, Query, check_query, exchange, is_cancelled
from router.services.reply import Reply, refuse, send_reply
from router.services.response import PENDING_STATUSES, REPOSITORY_QUERY, RESPONSE_LIMIT_REACHED
from router.services.steps import Call, Deferred, Procedure
from router.standard.dimse_fields import AFFECTED_SOP_CLASS_UID, C_FIND_RQ
from router.standard.statuses import CANCEL, SUCCESS

Matches = Iterator[Reply | Deferred | None]
"""What answers a query: pending replies with identifiers, then perhaps the final one.

An item may be a Deferred of a reply; None, given or deferred, is the end as running out is: success.
"""


def request(
    association: Association, context_id: int, message_id: int, query: Query, dimse_s: float | None
) -> Procedure[MessageReceived]:
    """Send C-FIND-RQ; emit each response, the last one included (see query.exchange)."""
    return (yield from exchange(association, context_id, message_id, C_FIND_RQ, query, dimse_s))


def respond(
    association: Association, message: MessageReceived, on_find: Callable[[MessageReceived], Matches]
) -> Procedure[None]:
    """Answer one C-FIND-RQ with what on_find gives.

    After a C-CANCEL the matches are asked for one more reply. A final one is sent as it is; otherwise, unless
    they took the Message ID out of `association.cancelled` and so want to go on, the answer is FE00H. The
    matches are closed in the end if they can be.
    """
    refusal = check_query(association, message)
    if refusal is not None:
        refuse(association, message, refusal.status, refusal.comment)
        return
    matches: Matches = iter(())
    try:
        matches = yield Call(on_find, message)
        last = yield from _answer_each(association, message, matches)
    except Exception:
        _close(matches)
        if association.is_established:
            send_reply(association, message, Reply(UNABLE_TO_PROCESS))
        raise
    yield Call(_close, matches)
    send_reply(association, message, replace(last, dataset=None))


def _answer_each(association: Association, message: MessageReceived, matches: Matches) -> Procedure[Reply]:
    """Send the pending responses; return the reply to end with."""
    while True:
        cancelled_before = is_cancelled(association, message)
        reply: Reply | None = yield Call(next, matches, None)
        if reply is None:
            return Reply(SUCCESS)
        if not _continues(message, reply.status):
            return reply
        if cancelled_before and is_cancelled(association, message):
            return Reply(CANCEL)
        send_reply(association, message, reply)


def _continues(message: MessageReceived, status: int) -> bool:
    """Whether the operation goes on after this status; the limit of a Repository Query is not its end."""
    if status in PENDING_STATUSES:
        return True
    return status == RESPONSE_LIMIT_REACHED and message.command[AFFECTED_SOP_CLASS_UID] == REPOSITORY_QUERY


def _close(matches: Matches) -> None:
    """Close a generator; other iterators need nothing."""
    close = getattr(matches, "close", None)
    if close is not None:
        close()
