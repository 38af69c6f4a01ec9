"""C-STORE requests that reach their handler past the general way, by the compiled codec's lane.

A presentation context's first C-STORE goes the general way and opens the lane for those that follow. Whatever
somebody wants to see, log or receive to a file goes on the general way, and so does all that the lane leaves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from router import _config
from router.api import events as evt
from router.api.handlers import LOGGER as MESSAGE_LOGGER
from router.api.received_datasets import adopt_pieces
from router.protocol.association import Association as ProtocolAssociation
from router.protocol.indications import MessageReceived
from router.services.reply import PLAIN_SUCCESS, Reply, refuse, send_reply
from router.standard.statuses import PROCESSING_FAILURE
from router.wire.codec import HandlerLane, LaneRequest

if TYPE_CHECKING:
    from router.api.association_state import AssociationState

LOGGER = logging.getLogger("router.service_class")

Store = Callable[[Any], Reply]
"""Asks the handler about a C-STORE request that has arrived."""


class DirectStores:
    """The lane of one association, and what answers the requests that come by it."""

    def __init__(self, assoc: AssociationState, association: ProtocolAssociation, store: Store) -> None:
        self._assoc = assoc
        self._association = association
        self._store = store
        self._lane = HandlerLane(association.operations_max, self._admits, self._take, adopt_pieces)
        self._served: set[int] = set()
        association.use_lane(self._lane)

    def serve(self, context_id: int) -> None:
        """Let C-STOREs of a presentation context in use come by the lane from now on."""
        if context_id in self._served:
            return
        self._served.add(context_id)
        context = self._association.contexts[context_id]
        if context.as_scp:
            self._lane.set_context(context_id, context.abstract_syntax.encode())

    def _admits(self) -> bool:
        """Whether the next request may come by the lane: nobody wants to know more of it than its handler."""
        assoc = self._assoc
        if assoc._receive_to is not None or _config.STORE_RECV_CHUNKED_DATASET:
            return False
        if assoc._is_logging and MESSAGE_LOGGER.isEnabledFor(logging.INFO):
            return False
        handlers = assoc._handlers
        return not (handlers.has(evt.EVT_DIMSE_RECV) or handlers.has(evt.EVT_DIMSE_SENT))

    def _take(self, request: LaneRequest) -> None:
        self._assoc._invoke(self._store, request).then(partial(self._answer, request))

    def _answer(self, request: LaneRequest, reply: Any) -> None:
        association = self._association
        self._lane.answered(request)
        if not association.is_established:
            return
        if reply is PLAIN_SUCCESS:
            association.send_whole(HandlerLane.success(request))
            return
        message = MessageReceived(request.context_id, request.command, None)
        if not isinstance(reply, Reply):
            refuse(association, message, PROCESSING_FAILURE)  # the handler's thread was interrupted
            return
        try:
            send_reply(association, message, reply)
        except ValueError as error:
            LOGGER.error("the status that a handler returned cannot be sent: %s", error)
