"""The verbs of an association on composite instances: C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE, C-CANCEL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.api.performing import Performing
from router.api.responses import Responses
from router.api.store_many import StoreMany
from router.standard import dimse_fields

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID


class CompositeServices(Performing):
    """C-services as SCU; mixed into Association."""

    def send_c_echo(self, msg_id: int = 1) -> Dataset:
        """Send C-ECHO; return the status, an empty Dataset if there was no valid response.

        Raises RuntimeError if the association is not established, ValueError without an accepted context for
        Verification.
        """
        return self._perform(self._prepare_c_echo(msg_id))

    def send_c_store(
        self,
        dataset: Dataset | str | Path,
        msg_id: int = 1,
        priority: int = 2,
        originator_aet: str | None = None,
        originator_id: int | None = None,
    ) -> Dataset:
        """Send an instance; return the status, an empty Dataset if there was no valid response.

        dataset: decoded, or the path of a DICOM file. A file goes as it is, without being decoded, when its
        own transfer syntax was accepted; else it is encoded anew, which only native little endian ones can
        be. originator_aet, originator_id: of the C-MOVE that this is a sub-operation of.
        Raises RuntimeError if the association is not established, AttributeError for a dataset without SOP
        Class, SOP Instance or Transfer Syntax UID, ValueError without a fitting context or if the dataset
        cannot be encoded, OSError for a file that cannot be read.
        """
        return self._perform(self._prepare_c_store(dataset, msg_id, priority, originator_aet, originator_id))

    def send_c_store_many(
        self, instances: Iterable[Dataset | str | Path], priority: int = 2
    ) -> Iterator[tuple[Any, Dataset]]:
        """Send instances with as many in flight as the peer granted; yield (instance, status) as they end.

        Without a negotiated asynchronous operations window they go one by one. An instance that cannot be
        sent (no fitting context, unreadable) is yielded with the failure status 0110H or 0122H and a comment
        and does not stop the others. After an abort all that is left is yielded with an empty status.
        Raises RuntimeError if the association is not established.
        """
        self._require_established("C-STORE")
        return StoreMany(self, instances, priority)

    def send_c_find(
        self, dataset: Dataset, query_model: str | UID, msg_id: int = 1, priority: int = 2
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        """Query; return an iterator of (status, identifier). The request is out when this returns.

        The identifier is there with pending statuses only. If there is no valid response the last pair is
        (empty Dataset, None). Leaving the loop early sends C-CANCEL and drops what still comes.
        Raises RuntimeError if the association is not established, ValueError without a fitting context or if
        the identifier cannot be encoded.
        """
        query = self._prepare_query(dimse_fields.C_FIND_RQ, dataset, query_model, msg_id, priority)
        return Responses(self, query)

    def send_c_get(
        self, dataset: Dataset, query_model: str | UID, msg_id: int = 1, priority: int = 2
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        """Retrieve over this association; return an iterator of (status, identifier), see send_c_find().

        The instances go to the handler of EVT_C_STORE, in this thread while it iterates. Their contexts need
        the SCP role: build_role(uid, scp_role=True) in associate(ext_neg=...).
        """
        query = self._prepare_query(dimse_fields.C_GET_RQ, dataset, query_model, msg_id, priority)
        return Responses(self, query)

    def send_c_move(
        self,
        dataset: Dataset,
        move_aet: str,
        query_model: str | UID,
        msg_id: int = 1,
        priority: int = 2,
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        """Have instances sent to move_aet; return an iterator of (status, identifier), see send_c_find()."""
        field = dimse_fields.C_MOVE_RQ
        return Responses(self, self._prepare_query(field, dataset, query_model, msg_id, priority, move_aet))

    def send_c_cancel(
        self, msg_id: int, context_id: int | None = None, query_model: str | UID | None = None
    ) -> None:
        """Ask the peer to end the operation with this Message ID.

        Its context is named by its ID or by the query model. Raises RuntimeError if the association is not
        established, ValueError if neither is given.
        """
        self._cancel(msg_id, context_id, query_model)
