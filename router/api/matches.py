"""The matches of a C-FIND: what its handler yields, made into replies one by one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from router.api import events as evt
from router.api.event import Event
from router.api.events import NoHandlerError
from router.api.replies import encode_or_none, reply_of
from router.api.service_class import RelevantPatientInformationQueryServiceClass, ServiceClass
from router.protocol.indications import MessageReceived
from router.services.reply import Reply
from router.services.steps import Deferred
from router.standard.dimse_fields import C_FIND_RQ
from router.standard.statuses import CANCEL, PENDING, PENDING_WITH_WARNING, SUCCESS, StatusTable

if TYPE_CHECKING:
    from router.api.association_state import AssociationState

LOGGER = logging.getLogger("router.service_class")

FIND_FAILED = 0xC311
IDENTIFIER_NOT_ENCODABLE = 0xC312
PENDING_STATUSES = (PENDING, PENDING_WITH_WARNING)


class Produced(Iterator[Any]):
    """What a handler yields, item by item, each produced where handlers run: items are Deferreds."""

    def __init__(self, assoc: AssociationState, event: Event) -> None:
        self._assoc = assoc
        self._event = event
        self._items: Iterator[Any] | None = None

    def __next__(self) -> Deferred:
        produced: Deferred = self._assoc._invoke(self._produce)
        return produced

    def close(self) -> None:
        """Close the handler, if it is a generator."""
        close = getattr(self._items, "close", None)
        if close is not None:
            close()

    def _next_item(self) -> Any:
        """Return what the handler yields next. Raises StopIteration at its end, else what it raises."""
        if self._items is None:
            self._items = iter(self._assoc._handlers.ask(self._event))
        return next(self._items)

    def _produce(self) -> Any:
        raise NotImplementedError

    def _failure(self, error: Exception, status: int) -> Reply:
        """Log why the handler failed; return the reply that says so to the peer."""
        if isinstance(error, NoHandlerError):
            LOGGER.error(str(error))
        else:
            LOGGER.error(f"Exception in the handler bound to 'evt.{self._event.event}'", exc_info=error)
        return Reply(status)


class Matches(Produced):
    """Replies with identifiers, then perhaps a final one."""

    def __init__(
        self, assoc: AssociationState, event: Event, table: StatusTable, syntax: str, limit: int
    ) -> None:
        super().__init__(assoc, event)
        self._table = table
        self._syntax = syntax
        self._left = limit

    def _produce(self) -> Reply | None:
        if not self._left:
            return None
        try:
            status, identifier = self._next_item()
        except StopIteration:
            return None
        except Exception as error:
            return self._failure(error, FIND_FAILED)
        reply = reply_of(status, C_FIND_RQ, self._table)
        if reply.status not in PENDING_STATUSES:
            if reply.status not in (SUCCESS, CANCEL):
                LOGGER.info(f"the handler of C-FIND ends it with status 0x{reply.status:04X}")
            return reply
        self._left -= 1
        try:
            encoded = encode_or_none(identifier, self._syntax)
        except Exception as error:
            LOGGER.error(f"an identifier cannot be encoded: {type(error).__name__}")
            return Reply(IDENTIFIER_NOT_ENCODABLE)
        if encoded is None:
            LOGGER.error("a pending status came without an identifier")
            return Reply(IDENTIFIER_NOT_ENCODABLE)
        return Reply(reply.status, reply.comment, reply.elements, (encoded,))


def find_matches(
    assoc: AssociationState, message: MessageReceived, service_class: type[ServiceClass], table: StatusTable
) -> Matches:
    """Return the matches that the handler of EVT_C_FIND gives for a request."""
    event = Event.of_message(assoc, evt.EVT_C_FIND, message)
    # One match at most (PS3.4 section Q.2.1): more are the handler's mistake.
    limit = 1 if issubclass(service_class, RelevantPatientInformationQueryServiceClass) else -1
    return Matches(assoc, event, table, assoc._contexts[message.context_id].transfer_uids[0], limit)
