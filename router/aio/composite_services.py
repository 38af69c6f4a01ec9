"""The verbs of an association on composite instances, awaited: C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE.

Finding the context, preparing the dataset and reading the status are router/api's; see there for details.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.aio.responses import ResponseReader
from router.aio.store_many import store_many
from router.api import association as blocking
from router.api.composite_services import _REQUESTS, _check_priority, _encode_identifier
from router.api.exchange import Start, check_message_id, status_of
from router.api.utils import set_ae
from router.errors import AssociationAborted, DeadlineExceeded, LocalMisuse, PeerViolation
from router.protocol.indications import MessageReceived
from router.services import c_echo, c_store
from router.services.query import Query
from router.standard import dimse_fields
from router.standard.uids import VERIFICATION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

    from router.aio.connection import LoopConnection

LOGGER = logging.getLogger("router.association")


class CompositeServices(blocking.Association):
    """C-services as SCU; under Association.

    Common to all: RuntimeError if the association is not established, ValueError without a fitting context.
    Whatever becomes of the exchange, nothing else is raised: the status is an empty Dataset if there was no
    valid response. After a DIMSE timeout the association is aborted. A Message ID that is in use is replaced
    by the next free one.
    """

    _connection: LoopConnection  # type: ignore[assignment]

    async def send_c_echo(self, msg_id: int = 1) -> Dataset:  # type: ignore[override]
        """Send C-ECHO; return the status."""
        self._require_established("C-ECHO")
        context = self._find_context(VERIFICATION)
        assert context.context_id is not None
        context_id = context.context_id
        response = await self._run(
            msg_id, lambda core, number: c_echo.request(core, context_id, number, self.dimse_timeout)
        )
        return status_of(response, dimse_fields.C_ECHO_RQ)

    async def send_c_store(  # type: ignore[override]
        self,
        dataset: Dataset | str | Path,
        msg_id: int = 1,
        priority: int = 2,
        originator_aet: str | None = None,
        originator_id: int | None = None,
    ) -> Dataset:
        """Send an instance; return the status.

        dataset: decoded, or the path of a DICOM file, which goes as it is when its own transfer syntax was
        accepted. Raises also AttributeError for a dataset without SOP Class, SOP Instance or Transfer Syntax
        UID, ValueError if it cannot be encoded, OSError for a file that cannot be read.
        """
        self._require_established("C-STORE")
        check_message_id(msg_id)
        prepared = self._prepare_store(dataset, priority, originator_aet, originator_id)
        try:
            response = await self._run(
                msg_id,
                lambda core, number: c_store.request(
                    core, prepared.context_id, number, prepared.instance, self.dimse_timeout
                ),
            )
        finally:
            prepared.close()
        return status_of(response, dimse_fields.C_STORE_RQ)

    def send_c_store_many(  # type: ignore[override]
        self,
        instances: Iterable[Dataset | str | Path] | AsyncIterable[Dataset | str | Path],
        priority: int = 2,
    ) -> AsyncGenerator[tuple[Any, Dataset], None]:
        """Send instances with as many in flight as the peer granted; yield (instance, status) as they end.

        An instance that cannot be sent is yielded with a failure status and a comment, and does not stop the
        others. After an abort all that is left is yielded with an empty status.
        """
        self._require_established("C-STORE")
        return store_many(self, instances, priority)

    def send_c_find(  # type: ignore[override]
        self, dataset: Dataset, query_model: str | UID, msg_id: int = 1, priority: int = 2
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        """Query; iterate over (status, identifier). The request goes out when the first one is awaited.

        The identifier is there with pending statuses only. If there is no valid response the last pair is
        (empty Dataset, None). Leaving the loop early sends C-CANCEL and drops what still comes.
        """
        return self._ask(dataset, query_model, msg_id, priority, dimse_fields.C_FIND_RQ)

    def send_c_get(  # type: ignore[override]
        self, dataset: Dataset, query_model: str | UID, msg_id: int = 1, priority: int = 2
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        """Retrieve over this association; iterate over (status, identifier), see send_c_find().

        The instances go to the handler of EVT_C_STORE. Their contexts need the SCP role:
        build_role(uid, scp_role=True) in associate(ext_neg=...).
        """
        return self._ask(dataset, query_model, msg_id, priority, dimse_fields.C_GET_RQ)

    def send_c_move(  # type: ignore[override]
        self,
        dataset: Dataset,
        move_aet: str,
        query_model: str | UID,
        msg_id: int = 1,
        priority: int = 2,
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        """Have instances sent to move_aet; iterate over (status, identifier), see send_c_find()."""
        destination = set_ae(move_aet, "move_aet", False, False)
        return self._ask(dataset, query_model, msg_id, priority, dimse_fields.C_MOVE_RQ, destination)

    # Inside

    def _ask(
        self,
        dataset: Dataset,
        query_model: str | UID,
        message_id: int,
        priority: int,
        command_field: int,
        destination: str | None = None,
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        self._require_established(dimse_fields.MESSAGE_NAMES[command_field].removesuffix("-RQ"))
        check_message_id(message_id)
        _check_priority(priority)
        context = self._find_context(str(query_model))
        identifier = _encode_identifier(dataset, context.transfer_uids[0])
        query = Query(str(query_model), (identifier,), priority, destination)
        reader = ResponseReader(self, context, command_field)
        return reader.responses(message_id, _REQUESTS[command_field], query)

    async def _run(self, message_id: int, start: Start) -> MessageReceived | None:
        """Run one exchange; None if there is no response, whatever became of it."""
        check_message_id(message_id)
        connection, protocol = self._connection, self._protocol
        assert protocol is not None
        try:
            number = connection.conversation.free_message_id(message_id)
            response: MessageReceived = await connection.run(start(protocol, number), number)
        except asyncio.CancelledError:
            raise
        except DeadlineExceeded:
            self._dimse_timed_out()
        except PeerViolation as violation:
            LOGGER.error(f"Invalid response received: {violation}")
        except (AssociationAborted, LocalMisuse) as error:
            LOGGER.error(f"Connection closed or aborted before a response was received: {error}")
        else:
            return response
        return None
