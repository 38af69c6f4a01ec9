"""The verbs of an association on normalised instances: N-EVENT-REPORT, N-GET, N-SET, N-ACTION, ..."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from router.api.dimse_primitives import dataset_bytes
from router.api.exchange import Exchanges, check_message_id, status_of
from router.api.presentation import PresentationContext
from router.api.utils import check_uid
from router.protocol.indications import MessageReceived
from router.services import n_services
from router.services.n_services import Operation
from router.standard import dimse_fields as fields
from router.standard.statuses import PROCESSING_FAILURE, StatusClass, status_class

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

LOGGER = logging.getLogger("router.association")

TYPE_ID_MAX = 0xFFFF


class NormalisedServices(Exchanges):
    """N-services as SCU (the invoker); mixed into Association.

    Common to all: class_uid and instance_uid name the SOP instance; meta_uid: the meta SOP class whose
    context is to be used, if that is another one. What comes back is (status, dataset): an empty Dataset
    and None if there was no valid response; the dataset is None unless the status is Success or Warning,
    and empty if the peer sent none; Status is 0110H if it cannot be decoded.
    Raises RuntimeError if the association is not established, ValueError without an accepted context or if a
    dataset cannot be encoded.
    """

    dimse_timeout: float | None

    def send_n_event_report(
        self,
        dataset: Dataset | None,
        event_type: int,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Report an event; dataset: the Event Information. Returns (status, Event Reply)."""
        operation = Operation(str(class_uid), _uid(instance_uid), _type_id(event_type, "event_type"))
        return self._operate(fields.N_EVENT_REPORT_RQ, operation, dataset, msg_id, meta_uid)

    def send_n_get(
        self,
        identifier_list: list[Any],
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Get attributes; identifier_list: their tags, empty: all. Returns (status, Attribute List)."""
        elements: dict[int, Any] = {}
        if identifier_list:
            from pydicom.tag import Tag

            elements[fields.ATTRIBUTE_IDENTIFIER_LIST] = tuple(int(Tag(tag)) for tag in identifier_list)
        operation = Operation(str(class_uid), _uid(instance_uid), elements=elements)
        return self._operate(fields.N_GET_RQ, operation, None, msg_id, meta_uid)

    def send_n_set(
        self,
        dataset: Dataset,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Set attributes; dataset: the Modification List. Returns (status, Attribute List)."""
        operation = Operation(str(class_uid), _uid(instance_uid))
        return self._operate(fields.N_SET_RQ, operation, dataset, msg_id, meta_uid)

    def send_n_action(
        self,
        dataset: Dataset | None,
        action_type: int,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Have an action performed; dataset: the Action Information. Returns (status, Action Reply)."""
        operation = Operation(str(class_uid), _uid(instance_uid), _type_id(action_type, "action_type"))
        return self._operate(fields.N_ACTION_RQ, operation, dataset, msg_id, meta_uid)

    def send_n_create(
        self,
        dataset: Dataset | None,
        class_uid: str | UID,
        instance_uid: str | UID | None = None,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Create an instance; dataset: the Attribute List; instance_uid: None leaves it to the peer."""
        operation = Operation(str(class_uid), None if instance_uid is None else _uid(instance_uid))
        return self._operate(fields.N_CREATE_RQ, operation, dataset, msg_id, meta_uid)

    def send_n_delete(
        self,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> Dataset:
        """Delete an instance; return the status alone."""
        operation = Operation(str(class_uid), _uid(instance_uid))
        return self._operate(fields.N_DELETE_RQ, operation, None, msg_id, meta_uid)[0]

    # Inside

    def _operate(
        self,
        command_field: int,
        operation: Operation,
        dataset: Dataset | None,
        message_id: int,
        meta_uid: str | None,
    ) -> tuple[Dataset, Dataset | None]:
        self._require_established(fields.MESSAGE_NAMES[command_field].removesuffix("-RQ"))
        check_message_id(message_id)
        role = "scp" if command_field == fields.N_EVENT_REPORT_RQ else "scu"
        context = self._context_of(str(meta_uid or operation.sop_class), role)
        encoded = self._encode(command_field, dataset, context)
        complete = Operation(
            operation.sop_class,
            operation.sop_instance,
            operation.number,
            operation.elements,
            None if encoded is None else (encoded,),
        )
        assert context.context_id is not None
        context_id = context.context_id
        response = self._exchange(
            message_id,
            lambda core, number: n_services.request(
                core, context_id, number, command_field, complete, self.dimse_timeout
            ),
        )
        status = status_of(response, command_field)
        if response is None:
            return status, None
        return status, self._decode(response, status, context)

    def _context_of(self, abstract_syntax: str, role: str) -> PresentationContext:
        """Return the context for a request. N-EVENT-REPORT is the SCP's, but few peers insist on that."""
        try:
            return self._find_context(abstract_syntax, role=role)
        except ValueError:
            if role == "scu":
                raise
        return self._find_context(abstract_syntax)

    def _encode(
        self, command_field: int, dataset: Dataset | None, context: PresentationContext
    ) -> bytes | None:
        from router.api.dsutils import encode_as

        service = n_services.SERVICES[command_field]
        if dataset is None or (not len(dataset) and not service.dataset_given):
            return None
        encoded = encode_as(dataset, context.transfer_uids[0])
        if encoded is None:
            raise ValueError("Failed to encode the supplied dataset")
        return encoded

    def _decode(
        self, response: MessageReceived, status: Dataset, context: PresentationContext
    ) -> Dataset | None:
        from pydicom.dataset import Dataset

        from router.api.dsutils import decode_as

        kind = status_class(response.command[fields.STATUS])
        if kind not in (StatusClass.SUCCESS, StatusClass.WARNING):
            return None
        encoded = dataset_bytes(response.dataset)
        if not encoded:
            return Dataset()
        try:
            return decode_as(encoded, context.transfer_uids[0])
        except Exception as error:
            # pydicom raises whatever its element readers do; the peer's dataset is at fault.
            LOGGER.error(f"The dataset of a response could not be decoded: {type(error).__name__}")
            status.Status = PROCESSING_FAILURE
            return None


def _uid(value: str | UID) -> str:
    return check_uid(value, "instance_uid", False, False) or ""


def _type_id(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"'{name}' must be int")
    if not 0 <= value <= TYPE_ID_MAX:
        raise ValueError(f"'{name}' must be between 0 and {TYPE_ID_MAX}")
    return value
