"""What the verbs on composite instances send: arguments checked, contexts found, datasets encoded.

Below both faces of an association: composite_services.py blocks for the response, router/aio awaits it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router import _config
from router.api.exchange import Exchange, Exchanges, check_message_id, id_of, status_of
from router.api.instances import Prepared, prepare
from router.api.presentation import PresentationContext
from router.api.utils import set_ae
from router.services import c_echo, c_find, c_get, c_move, c_store
from router.services.query import Query
from router.standard import dimse_fields
from router.standard.uids import VERIFICATION

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LOGGER = logging.getLogger("router.association")

PRIORITIES = (0, 1, 2)

REQUESTS: dict[int, Callable[..., Any]] = {
    dimse_fields.C_FIND_RQ: c_find.request,
    dimse_fields.C_GET_RQ: c_get.request,
    dimse_fields.C_MOVE_RQ: c_move.request,
}


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """One C-FIND, C-GET or C-MOVE that is ready to be sent."""

    context: PresentationContext
    command_field: int
    message_id: int
    query: Query

    def request(self, core: Any, message_id: int, dimse_s: float | None) -> Any:
        """Make the procedure of the operation."""
        return REQUESTS[self.command_field](core, id_of(self.context), message_id, self.query, dimse_s)


class Preparation(Exchanges):
    """Prepare C-services as SCU; mixed into AssociationState."""

    dimse_timeout: float | None

    def _prepare_c_echo(self, message_id: int) -> Exchange[Dataset]:
        self._require_established("C-ECHO")
        check_message_id(message_id)
        context_id = id_of(self._find_context(VERIFICATION))
        return Exchange(
            message_id,
            lambda core, number: c_echo.request(core, context_id, number, self.dimse_timeout),
            lambda response: status_of(response, dimse_fields.C_ECHO_RQ),
        )

    def _prepare_c_store(
        self,
        dataset: Dataset | str | Path,
        message_id: int,
        priority: int,
        originator_aet: str | None,
        originator_id: int | None,
    ) -> Exchange[Dataset]:
        self._require_established("C-STORE")
        check_message_id(message_id)
        prepared = self._prepare_instance(dataset, priority, originator_aet, originator_id)
        return Exchange(
            message_id,
            lambda core, number: c_store.request(
                core, prepared.context_id, number, prepared.instance, self.dimse_timeout
            ),
            lambda response: status_of(response, dimse_fields.C_STORE_RQ),
            prepared.close,
        )

    def _prepare_instance(
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

    def _prepare_query(
        self,
        command_field: int,
        dataset: Dataset,
        query_model: str,
        message_id: int,
        priority: int,
        move_aet: str | None = None,
    ) -> PreparedQuery:
        destination = None
        if command_field == dimse_fields.C_MOVE_RQ:
            destination = set_ae(move_aet, "move_aet", False, False)
        self._require_established(dimse_fields.MESSAGE_NAMES[command_field].removesuffix("-RQ"))
        check_message_id(message_id)
        _check_priority(priority)
        context = self._find_context(str(query_model))
        identifier = _encode_identifier(dataset, context.transfer_uids[0])
        query = Query(str(query_model), (identifier,), priority, destination)
        return PreparedQuery(context, command_field, message_id, query)


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
