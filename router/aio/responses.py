"""The responses to a C-FIND, C-GET or C-MOVE as a coroutine iterates over them."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from router.api.exchange import status_of
from router.api.presentation import PresentationContext
from router.api.responses import Responses
from router.errors import AssociationAborted, DeadlineExceeded, LocalMisuse, PeerViolation
from router.services.query import Query
from router.services.response import is_last

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.aio.composite_services import CompositeServices

LOGGER = logging.getLogger("router.association")


class ResponseReader(Responses):
    """Make (status, identifier) of each response of one operation, as router/api does."""

    def __init__(self, assoc: CompositeServices, context: PresentationContext, command_field: int) -> None:
        self._assoc: CompositeServices = assoc
        self._context = context
        self._command_field = command_field
        self._count = 0

    async def responses(
        self, message_id: int, request: Callable[..., Any], query: Query
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        """Send the request and yield its responses; C-CANCEL if they are not all taken."""
        assoc, connection, core = self._assoc, self._assoc._connection, self._assoc._protocol
        context_id = self._context.context_id
        assert core is not None
        assert context_id is not None
        number = connection.conversation.free_message_id(message_id)
        procedure = request(core, context_id, number, query, assoc.dimse_timeout)
        is_over = False
        try:
            source = cast("AsyncGenerator[Any, None]", connection.stream(procedure, number))
            async with aclosing(source) as stream:
                async for response in stream:
                    is_over = is_last(core, response)
                    yield status_of(response, self._command_field), self._identifier(response)
            return
        except DeadlineExceeded:
            is_over = True
            assoc._dimse_timed_out()
        except PeerViolation as violation:
            is_over = True
            LOGGER.error(f"Invalid response received: {violation}")
        except (AssociationAborted, LocalMisuse) as error:
            is_over = True
            LOGGER.error(f"Connection closed or aborted before the last response was received: {error}")
        finally:
            if not is_over and assoc.is_established:
                assoc._send_cancel(context_id, number)
        yield status_of(None, self._command_field), None
