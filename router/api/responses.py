"""The responses to a C-FIND, C-GET or C-MOVE as a program iterates over them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from router import _config
from router.api.dimse_primitives import dataset_bytes
from router.api.exchange import id_of, status_of
from router.api.handlers import service_name
from router.api.preparation import PreparedQuery
from router.drivers.procedure_iterator import ProcedureIterator
from router.protocol.indications import MessageReceived
from router.standard.dimse_fields import C_FIND_RQ, STATUS
from router.standard.statuses import PENDING, PENDING_WITH_WARNING, SUCCESS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.api.composite_services import CompositeServices

LOGGER = logging.getLogger("router.association")

PENDING_STATUSES = (PENDING, PENDING_WITH_WARNING)


class ResponseReader:
    """Make (status, identifier) of each response of one operation, and log it."""

    def __init__(self, query: PreparedQuery) -> None:
        self._context = query.context
        self._command_field = query.command_field
        self._count = 0

    def read(self, response: MessageReceived | None) -> tuple[Dataset, Dataset | None]:
        """Return status and identifier; (empty Dataset, None) if there is no response."""
        status = status_of(response, self._command_field)
        return status, None if response is None else self._identifier(response)

    def _identifier(self, response: MessageReceived) -> Dataset | None:
        status = response.command[STATUS]
        self._log_status(status)
        is_pending = status in PENDING_STATUSES
        is_wanted = is_pending if self._command_field == C_FIND_RQ else not is_pending and status != SUCCESS
        encoded = dataset_bytes(response.dataset) if is_wanted else b""
        if not encoded:
            return None
        from router.api.dsutils import decode_as, pretty_dataset

        try:
            identifier = decode_as(encoded, self._context.transfer_uids[0])
            if _config.LOG_RESPONSE_IDENTIFIERS and LOGGER.isEnabledFor(logging.INFO):
                for line in ("", "# Identifier", *pretty_dataset(identifier), ""):
                    LOGGER.info(line)
        except Exception as error:
            # pydicom raises whatever its element readers do; the peer's dataset is at fault.
            LOGGER.error(f"The identifier of a response could not be decoded: {type(error).__name__}")
            return None
        return identifier

    def _log_status(self, status: int) -> None:
        if not LOGGER.isEnabledFor(logging.INFO):
            return
        from router.api.status import code_to_category

        name, category = service_name(self._command_field), code_to_category(status)
        if status in PENDING_STATUSES:
            self._count += 1
            LOGGER.info(f"{name} SCP Response: {self._count} - 0x{status:04X} ({category})")
        else:
            LOGGER.info(f"{name} SCP Result: 0x{status:04X} ({category})")


class Responses(Iterator[tuple[Any, Any]]):
    """Yield (status, identifier) of each response; close() ends the operation early, as leaving it does."""

    def __init__(self, assoc: CompositeServices, query: PreparedQuery) -> None:
        connection, core = assoc._connection, assoc._protocol
        assert connection is not None
        assert core is not None
        self._assoc = assoc
        self._reader = ResponseReader(query)
        self._is_over = False
        with connection.turn:
            number = connection.conversation.free_message_id(query.message_id)
            procedure = query.request(core, number, assoc.dimse_timeout)
            self._iterator = ProcedureIterator(connection, procedure, number)
        context_id = id_of(query.context)
        self._iterator.on_abandoned = lambda: assoc._send_cancel(context_id, number)

    def __next__(self) -> tuple[Dataset, Dataset | None]:
        if self._is_over:
            raise StopIteration
        response: MessageReceived | None = None
        with self._assoc._failures_noted:
            try:
                response = next(self._iterator)
            except StopIteration:
                self._is_over = True
                raise
        self._is_over = response is None
        return self._reader.read(response)

    def close(self) -> None:
        """End the operation: C-CANCEL is sent, and what still comes is dropped."""
        self._is_over = True
        self._iterator.close()
