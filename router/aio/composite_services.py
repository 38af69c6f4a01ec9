"""The verbs of an association on composite instances, awaited: C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE.

What they send is prepared by router/api/preparation.py; see there for details.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.aio.performing import Performing
from router.aio.responses import responses
from router.aio.store_many import store_many
from router.standard import dimse_fields

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID


class CompositeServices(Performing):
    """C-services as SCU; under Association.

    Common to all: RuntimeError if the association is not established, ValueError without a fitting context.
    Whatever becomes of the exchange, nothing else is raised: the status is an empty Dataset if there was no
    valid response. After a DIMSE timeout the association is aborted. A Message ID that is in use is replaced
    by the next free one.
    """

    async def send_c_echo(self, msg_id: int = 1) -> Dataset:
        """Send C-ECHO; return the status."""
        return await self._perform(self._prepare_c_echo(msg_id))

    async def send_c_store(
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
        return await self._perform(
            self._prepare_c_store(dataset, msg_id, priority, originator_aet, originator_id)
        )

    def send_c_store_many(
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

    def send_c_find(
        self, dataset: Dataset, query_model: str | UID, msg_id: int = 1, priority: int = 2
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        """Query; iterate over (status, identifier). The request goes out when the first one is awaited.

        The identifier is there with pending statuses only. If there is no valid response the last pair is
        (empty Dataset, None). Leaving the loop early sends C-CANCEL and drops what still comes.
        """
        query = self._prepare_query(dimse_fields.C_FIND_RQ, dataset, query_model, msg_id, priority)
        return responses(self, query)

    def send_c_get(
        self, dataset: Dataset, query_model: str | UID, msg_id: int = 1, priority: int = 2
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        """Retrieve over this association; iterate over (status, identifier), see send_c_find().

        The instances go to the handler of EVT_C_STORE. Their contexts need the SCP role:
        build_role(uid, scp_role=True) in associate(ext_neg=...).
        """
        query = self._prepare_query(dimse_fields.C_GET_RQ, dataset, query_model, msg_id, priority)
        return responses(self, query)

    def send_c_move(
        self,
        dataset: Dataset,
        move_aet: str,
        query_model: str | UID,
        msg_id: int = 1,
        priority: int = 2,
    ) -> AsyncGenerator[tuple[Dataset, Dataset | None], None]:
        """Have instances sent to move_aet; iterate over (status, identifier), see send_c_find()."""
        field = dimse_fields.C_MOVE_RQ
        return responses(self, self._prepare_query(field, dataset, query_model, msg_id, priority, move_aet))

    async def send_c_cancel(
        self, msg_id: int, context_id: int | None = None, query_model: str | UID | None = None
    ) -> None:
        """Ask the peer to end the operation with this Message ID.

        Its context is named by its ID or by the query model; ValueError if neither is given.
        """
        self._cancel(msg_id, context_id, query_model)
