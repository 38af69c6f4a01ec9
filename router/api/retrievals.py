"""The sub-operations of C-GET and C-MOVE: what the handler yields, made into C-STOREs one by one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from router.api import events as evt
from router.api.event import Event
from router.api.instances import prepare
from router.api.matches import Produced
from router.api.replies import encode_or_none, reply_of
from router.protocol.indications import MessageReceived
from router.services.c_get import GetSubOperation
from router.services.message_ids import MessageIds
from router.services.reply import Reply
from router.services.sub_operations import SUBOPERATIONS_MAX, FailedSubOperation, Retrieval
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    C_GET_RQ,
    C_MOVE_RQ,
    MESSAGE_ID,
    MOVE_DESTINATION,
)
from router.standard.statuses import MOVE_DESTINATION_UNKNOWN, PENDING, PENDING_WITH_WARNING, StatusTable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.api.association import Association
    from router.api.association_state import AssociationState

LOGGER = logging.getLogger("router.service_class")

GET_FAILED, GET_COUNT_INVALID, GET_COUNT_TOO_LARGE = 0xC411, 0xC413, 0xC416
MOVE_FAILED, MOVE_COUNT_INVALID, MOVE_COUNT_TOO_LARGE = 0xC511, 0xC513, 0xC516
MOVE_DESTINATION_MISSING, MOVE_DESTINATION_INVALID = 0xC514, 0xC515

WITHOUT_BULK_DATA = "1.2.840.10008.5.1.4.1.2.5.3"
"""Composite Instance Retrieve Without Bulk Data - GET (PS3.4 Annex Z)."""

_BULK_DATA_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010, 0x56000020, 0x00420011)
"""Pixel data of three kinds, spectroscopy data, encapsulated document (PS3.4 section Z.1.3)."""

PENDING_STATUSES = (PENDING, PENDING_WITH_WARNING)


class CannotBegin(Exception):
    """The operation cannot begin; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


class SubOperations(Produced):
    """What the handler yields after the number of sub-operations."""

    def __init__(
        self, assoc: AssociationState, event: Event, message: MessageReceived, field: int, table: StatusTable
    ) -> None:
        super().__init__(assoc, event)
        self.message = message
        self._field = field
        self._table = table
        self._failed = GET_FAILED if field == C_GET_RQ else MOVE_FAILED

    def take_count(self, invalid: int, too_large: int) -> int:
        """Return the number of sub-operations, which the handler yields first. Raises CannotBegin."""
        try:
            count = int(self._next_item())
            if count < 0:
                raise ValueError("a negative number of sub-operations")
        except (TypeError, ValueError, StopIteration) as error:
            LOGGER.error(f"the handler yielded no valid number of sub-operations: {error}")
            raise CannotBegin(Reply(invalid)) from error
        except Exception as error:
            raise CannotBegin(self._failure(error, self._failed)) from error
        if count > SUBOPERATIONS_MAX:
            LOGGER.error(f"{count} sub-operations, allowed {SUBOPERATIONS_MAX}")
            raise CannotBegin(Reply(too_large))
        return count

    def _produce(self) -> Any:
        try:
            status, dataset = self._next_item()
        except StopIteration:
            return None
        except Exception as error:
            return self._failure(error, self._failed)
        reply = reply_of(status, self._field, self._table)
        if reply.status in PENDING_STATUSES:
            return self._sub_operation(dataset)
        return self._final(reply, dataset)

    def _sub_operation(self, dataset: Any) -> Any:
        from pydicom.dataset import Dataset

        if not isinstance(dataset, Dataset):
            LOGGER.error("the handler yielded a pending status without a Dataset")
            return FailedSubOperation()
        return self._store_of(dataset)

    def _store_of(self, dataset: Dataset) -> Any:
        raise NotImplementedError

    def _final(self, reply: Reply, dataset: Any) -> Reply:
        """Return the reply to end with; its identifier is the handler's, if it gives one."""
        syntax = self._assoc._contexts[self.message.context_id].transfer_uids[0]
        try:
            encoded = encode_or_none(dataset, syntax)
        except Exception as error:
            LOGGER.error(f"the final identifier cannot be encoded: {type(error).__name__}")
            encoded = None
        return Reply(reply.status, reply.comment, reply.elements, None if encoded is None else (encoded,))


class GetSubOperations(SubOperations):
    """C-STOREs over the association of the C-GET itself."""

    def _store_of(self, dataset: Dataset) -> Any:
        if self.message.command[AFFECTED_SOP_CLASS_UID] == WITHOUT_BULK_DATA:
            _strip_bulk_data(dataset)
        try:
            prepared = prepare(dataset, 2, None, self._assoc._find_context)
        except (ValueError, AttributeError) as error:
            LOGGER.warning(f"a C-STORE sub-operation cannot be performed: {error}")
            return FailedSubOperation(str(dataset.get("SOPInstanceUID", "")))
        return GetSubOperation(prepared.context_id, prepared.instance)


def start_get(assoc: AssociationState, message: MessageReceived, table: StatusTable) -> Retrieval | Reply:
    """Ask the handler of EVT_C_GET for the number of sub-operations; it runs where handlers run."""
    event = Event.of_message(assoc, evt.EVT_C_GET, message)
    items = GetSubOperations(assoc, event, message, C_GET_RQ, table)
    try:
        count = items.take_count(GET_COUNT_INVALID, GET_COUNT_TOO_LARGE)
    except CannotBegin as failed:
        return failed.reply
    return Retrieval(count, items, items.close)


@dataclass(slots=True)
class MoveSubOperation:
    """One C-STORE at the move destination."""

    destination: AssociationState
    dataset: Dataset
    message_id: int
    originator: tuple[str, int]

    @property
    def sop_instance(self) -> str:
        """The SOP Instance UID."""
        return str(self.dataset.get("SOPInstanceUID", ""))

    def store(self) -> int | None:
        """Perform it; return the status, None if there was none."""
        title, message_id = self.originator
        try:
            status = cast("Association", self.destination).send_c_store(
                self.dataset, self.message_id, originator_aet=title, originator_id=message_id
            )
        except (ValueError, AttributeError, RuntimeError) as error:
            LOGGER.warning(f"a C-STORE sub-operation cannot be performed: {error}")
            return None
        return int(status.Status) if "Status" in status else None


class MoveSubOperations(SubOperations):
    """C-STOREs over an association with the destination that the handler names first."""

    destination: AssociationState | None = None

    def __init__(
        self, assoc: AssociationState, event: Event, message: MessageReceived, table: StatusTable
    ) -> None:
        super().__init__(assoc, event, message, C_MOVE_RQ, table)
        self._ids = MessageIds(after=message.command[MESSAGE_ID])

    def take_destination(self) -> tuple[str, int, dict[str, Any]]:
        """Return address, port and further arguments of associate(). Raises CannotBegin."""
        try:
            item = self._next_item()
        except StopIteration as error:
            LOGGER.error("the handler yielded no move destination")
            raise CannotBegin(Reply(MOVE_DESTINATION_MISSING)) from error
        except Exception as error:
            raise CannotBegin(self._failure(error, MOVE_FAILED)) from error
        try:
            address, port, *more = item
            kwargs = dict(more[0]) if more else {}
        except (TypeError, ValueError, IndexError) as error:
            LOGGER.error("the handler yielded no valid move destination")
            raise CannotBegin(Reply(MOVE_DESTINATION_INVALID)) from error
        if address is None or port is None:
            LOGGER.error("the move destination is unknown")
            raise CannotBegin(Reply(MOVE_DESTINATION_UNKNOWN))
        return address, port, kwargs

    def open_destination(self, address: str, port: int, kwargs: dict[str, Any]) -> None:
        """Associate with the destination. Raises CannotBegin."""
        kwargs.setdefault("ae_title", str(self.message.command[MOVE_DESTINATION]))
        try:
            destination = self._assoc.ae.associate(address, port, **kwargs)
        except Exception as error:
            # Whatever is wrong with what the handler yielded, or with the AE's contexts.
            LOGGER.error(f"cannot associate with the move destination: {error}")
            raise CannotBegin(Reply(MOVE_DESTINATION_INVALID)) from error
        if not destination.is_established:
            LOGGER.error("the move destination does not accept an association")
            raise CannotBegin(Reply(MOVE_DESTINATION_UNKNOWN))
        self.destination = destination

    def _store_of(self, dataset: Dataset) -> Any:
        assert self.destination is not None
        originator = (self._assoc.ae.ae_title, self.message.command[MESSAGE_ID])
        return MoveSubOperation(self.destination, dataset, self._ids.take(), originator)

    def finish(self) -> Any:
        """Close the handler and release the association with the destination, where handlers run."""
        self.close()
        if self.destination is not None:
            return self._assoc._invoke(cast("Association", self.destination).release)
        return None


def start_move(assoc: AssociationState, message: MessageReceived, table: StatusTable) -> Retrieval | Reply:
    """Ask the handler of EVT_C_MOVE for destination and number; it runs where handlers run."""
    event = Event.of_message(assoc, evt.EVT_C_MOVE, message)
    items = MoveSubOperations(assoc, event, message, table)
    try:
        destination = items.take_destination()
        count = items.take_count(MOVE_COUNT_INVALID, MOVE_COUNT_TOO_LARGE)
        if count:
            items.open_destination(*destination)
    except CannotBegin as failed:
        return failed.reply
    return Retrieval(count, items, items.finish)


def _strip_bulk_data(dataset: Dataset) -> None:
    """Remove what "without bulk data" leaves out: pixels, overlays, curves, waveforms, documents."""
    stripped = [tag for tag in _BULK_DATA_TAGS if tag in dataset]
    stripped += [int(element.tag) for element in dataset.group_dataset(0x5400) if element.tag == 0x54001010]
    for group in range(0x6000, 0x6020, 2):
        if (group, 0x3000) in dataset:
            stripped.append(group << 16 | 0x3000)
    for group in range(0x5000, 0x5020, 2):
        if (group, 0x3000) in dataset:
            stripped.append(group << 16 | 0x3000)
    for item in dataset.get("WaveformSequence", []):
        if "WaveformData" in item:
            del item.WaveformData
            LOGGER.warning("bulk data removed from an instance: Waveform Data")
    for tag in stripped:
        del dataset[tag]
    if stripped:
        LOGGER.warning(f"bulk data removed from an instance: {len(stripped)} elements")
