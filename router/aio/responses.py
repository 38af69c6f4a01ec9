"""The responses to a C-FIND, C-GET or C-MOVE as a coroutine iterates over them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from router.api.exchange import id_of
from router.api.preparation import PreparedQuery
from router.api.responses import ResponseReader
from router.services.response import is_last

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.aio.performing import Performing


async def responses(
    assoc: Performing, query: PreparedQuery
) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
    """Send the request, yield (status, identifier) of its responses; C-CANCEL if they are not all taken."""
    connection, core = assoc._connection, assoc._protocol
    assert connection is not None
    assert core is not None
    reader = ResponseReader(query)
    number = connection.conversation.free_message_id(query.message_id)
    procedure = query.request(core, number, assoc.dimse_timeout)
    is_over = False
    try:
        with assoc._failures_noted:
            source = cast("AsyncGenerator[Any, None]", connection.stream(procedure, number))
            async with aclosing(source) as stream:
                async for response in stream:
                    is_over = is_last(core, response)
                    yield reader.read(response)
            return
        is_over = True  # it failed, which was noted
    finally:
        if not is_over and assoc.is_established:
            assoc._send_cancel(id_of(query.context), number)
    yield reader.read(None)
