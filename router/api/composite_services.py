"""The verbs of an association on composite instances: C-ECHO, C-STORE, C-FIND, C-GET, C-MOVE, C-CANCEL."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router import _config
from router.api.dimse_primitives import dataset_bytes
from router.api.exchange import Exchanges, check_message_id, status_of
from router.api.instances import Prepared, prepare
from router.api.responses import Responses
from router.api.store_many import StoreMany
from router.api.utils import set_ae
from router.errors import AssociationAborted
from router.services import c_cancel, c_echo, c_find, c_get, c_move, c_store
from router.services.query import Query
from router.standard import dimse_fields
from router.standard.uids import VERIFICATION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

    from router.api.presentation import PresentationContext

LOGGER = logging.getLogger("router.association")

DatasetOrPath = "Dataset | str | Path"
PRIORITIES = (0, 1, 2)


class CompositeServices(Exchanges):
    """C-services as SCU; mixed into Association."""

    dimse_timeout: float | None

    def send_c_echo(self, msg_id: int = 1) -> Dataset:
        """Send C-ECHO; return the status, an empty Dataset if there was no valid response.

        Raises RuntimeError if the association is not established, ValueError without an accepted context for
        Verification.
        """
        self._require_established("C-ECHO")
        context = self._find_context(VERIFICATION)
        response = self._exchange(
            msg_id, lambda core, number: c_echo.request(core, _id(context), number, self.dimse_timeout)
        )
        return status_of(response, dimse_fields.C_ECHO_RQ)

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
        self._require_established("C-STORE")
        check_message_id(msg_id)
        prepared = self._prepare_store(dataset, priority, originator_aet, originator_id)
        try:
            response = self._exchange(
                msg_id,
                lambda core, number: c_store.request(
                    core, prepared.context_id, number, prepared.instance, self.dimse_timeout
                ),
            )
        finally:
            prepared.close()
        return status_of(response, dimse_fields.C_STORE_RQ)

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
        return self._query(dataset, query_model, msg_id, priority, dimse_fields.C_FIND_RQ)

    def send_c_get(
        self, dataset: Dataset, query_model: str | UID, msg_id: int = 1, priority: int = 2
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        """Retrieve over this association; return an iterator of (status, identifier), see send_c_find().

        The instances go to the handler of EVT_C_STORE, in this thread while it iterates. Their contexts need
        the SCP role: build_role(uid, scp_role=True) in associate(ext_neg=...).
        """
        return self._query(dataset, query_model, msg_id, priority, dimse_fields.C_GET_RQ)

    def send_c_move(
        self,
        dataset: Dataset,
        move_aet: str,
        query_model: str | UID,
        msg_id: int = 1,
        priority: int = 2,
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        """Have instances sent to move_aet; return an iterator of (status, identifier), see send_c_find()."""
        destination = set_ae(move_aet, "move_aet", False, False)
        return self._query(dataset, query_model, msg_id, priority, dimse_fields.C_MOVE_RQ, destination)

    def send_c_cancel(
        self, msg_id: int, context_id: int | None = None, query_model: str | UID | None = None
    ) -> None:
        """Ask the peer to end the operation with this Message ID.

        Its context is named by its ID or by the query model. Raises RuntimeError if the association is not
        established, ValueError if neither is given.
        """
        self._require_established("C-CANCEL")
        if context_id is None and query_model is None:
            raise ValueError("'send_c_cancel' needs the 'query_model' of the operation or its 'context_id'")
        check_message_id(msg_id)
        if context_id is None:
            context_id = _id(self._find_context(str(query_model)))
        self._send_cancel(context_id, msg_id)

    # Inside

    def _send_cancel(self, context_id: int, message_id: int) -> None:
        connection, core = self._connection, self._protocol
        assert connection is not None
        assert core is not None

        def send() -> None:
            try:
                c_cancel.cancel(core, context_id, message_id)
            except AssociationAborted as error:
                LOGGER.error(f"C-CANCEL could not be sent: {error}")

        connection.submit(send)

    def _prepare_store(
        self,
        dataset: Dataset | str | Path,
        priority: int,
        originator_aet: str | None = None,
        originator_id: int | None = None,
    ) -> Prepared:
        originator = None
        if originator_aet is not None and originator_id is not None:
            originator = (set_ae(originator_aet, "originator_aet", False, False) or "", originator_id)
        _check_priority(priority)
        allow_conversion = not (_config.STORE_SEND_CHUNKED_DATASET and isinstance(dataset, str | Path))

        def choose(sop_class: str, transfer_syntax: str) -> PresentationContext:
            return self._find_context(sop_class, transfer_syntax, allow_conversion=allow_conversion)

        return prepare(dataset, priority, originator, choose)

    def _query(
        self,
        dataset: Dataset,
        query_model: str | UID,
        message_id: int,
        priority: int,
        command_field: int,
        destination: str | None = None,
    ) -> Iterator[tuple[Dataset, Dataset | None]]:
        self._require_established(dimse_fields.MESSAGE_NAMES[command_field].removesuffix("-RQ"))
        check_message_id(message_id)
        _check_priority(priority)
        context = self._find_context(str(query_model))
        identifier = _encode_identifier(dataset, context.transfer_uids[0])
        query = Query(str(query_model), (identifier,), priority, destination)
        request = _REQUESTS[command_field]
        return Responses(self, context, command_field, message_id, request, query)


_REQUESTS: dict[int, Callable[..., Any]] = {
    dimse_fields.C_FIND_RQ: c_find.request,
    dimse_fields.C_GET_RQ: c_get.request,
    dimse_fields.C_MOVE_RQ: c_move.request,
}


def _encode_identifier(dataset: Dataset, transfer_syntax: str) -> bytes:
    from router.api.dsutils import encode_as, pretty_dataset

    encoded = encode_as(dataset, transfer_syntax)
    if encoded is None:
        raise ValueError("Failed to encode the supplied dataset")
    if _config.LOG_REQUEST_IDENTIFIERS and LOGGER.isEnabledFor(logging.DEBUG):
        LOGGER.debug("Request Identifier:")
        for line in pretty_dataset(dataset):
            LOGGER.debug(line)
    return encoded


def _check_priority(priority: int) -> None:
    if priority not in PRIORITIES:
        raise ValueError("'priority' must be 0 (medium), 1 (high) or 2 (low)")


def _id(context: PresentationContext) -> int:
    assert context.context_id is not None
    return context.context_id


__all__ = ["CompositeServices", "dataset_bytes"]
