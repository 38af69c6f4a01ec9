"""C-MOVE answered on the event loop: associate with the destination and store there, awaiting each step."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from router.aio.handlers import Feed
from router.api import events as evt
from router.api import retrievals
from router.api.event import Event
from router.api.retrievals import MOVE_COUNT_INVALID, MOVE_COUNT_TOO_LARGE, MOVE_DESTINATION_INVALID
from router.protocol.indications import MessageReceived
from router.services.reply import Reply
from router.services.sub_operations import Retrieval
from router.standard.dimse_fields import MOVE_DESTINATION
from router.standard.statuses import MOVE_DESTINATION_UNKNOWN, StatusTable

if TYPE_CHECKING:
    from router.aio.association import Association

LOGGER = logging.getLogger("router.service_class")

DESTINATION_AND_COUNT = 2
"""Items that the handler of EVT_C_MOVE gives before its sub-operations."""


async def start(assoc: Association, message: MessageReceived, table: StatusTable) -> Retrieval | Reply:
    """Ask the handler of EVT_C_MOVE for destination and number, and associate with the destination."""
    event = Event.of_message(assoc, evt.EVT_C_MOVE, message)
    items = retrievals.MoveSubOperations(assoc, event, message, table)
    if assoc._handlers.is_asynchronous(evt.EVT_C_MOVE):
        feed = Feed(assoc._handlers.call(event))
        await feed.fetch(DESTINATION_AND_COUNT)
        items._items = feed
    try:
        destination = items.take_destination()
        count = items.take_count(MOVE_COUNT_INVALID, MOVE_COUNT_TOO_LARGE)
        if count:
            items.destination = await _associate(assoc, message, *destination)
    except retrievals.CannotBegin as failed:
        items.close()
        return failed.reply
    return Retrieval(count, items, items.finish)


async def _associate(
    assoc: Association, message: MessageReceived, address: str, port: int, kwargs: dict[str, Any]
) -> Association:
    kwargs.setdefault("ae_title", str(message.command[MOVE_DESTINATION]))
    try:
        destination = await assoc.ae.associate(address, port, **kwargs)
    except Exception as error:
        # Whatever is wrong with what the handler yielded, or with the AE's contexts.
        LOGGER.error(f"cannot associate with the move destination: {error}")
        raise retrievals.CannotBegin(Reply(MOVE_DESTINATION_INVALID)) from error
    if not destination.is_established:
        LOGGER.error("the move destination does not accept an association")
        raise retrievals.CannotBegin(Reply(MOVE_DESTINATION_UNKNOWN))
    return destination


async def store(item: retrievals.MoveSubOperation) -> int | None:
    """Perform one sub-operation; return the status of its response, None if there was none."""
    destination = cast("Association", item.destination)
    title, message_id = item.originator
    try:
        status = await destination.send_c_store(
            item.dataset, item.message_id, originator_aet=title, originator_id=message_id
        )
    except (ValueError, AttributeError, RuntimeError) as error:
        LOGGER.warning(f"a C-STORE sub-operation cannot be performed: {error}")
        return None
    return int(status.Status) if "Status" in status else None
