"""What the verbs on normalised instances send, and what responses say, for both faces of an association."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from router.api.dimse_primitives import dataset_bytes
from router.api.exchange import Exchange, Exchanges, check_message_id, id_of, status_of
from router.api.presentation import PresentationContext
from router.api.utils import check_uid
from router.protocol.indications import MessageReceived
from router.services import n_services
from router.services.n_services import Operation
from router.standard import dimse_fields as fields
from router.standard.statuses import PROCESSING_FAILURE, StatusClass, status_class

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LOGGER = logging.getLogger("router.association")

TYPE_ID_MAX = 0xFFFF

StatusAndDataset = tuple["Dataset", "Dataset | None"]


class NormalisedPreparation(Exchanges):
    """Prepare N-services as SCU (the invoker); mixed into AssociationState.

    class_uid, instance_uid: the SOP instance; meta_uid: the meta SOP class whose context is to be used.
    """

    dimse_timeout: float | None

    def _prepare_n_event_report(
        self,
        dataset: Dataset | None,
        event_type: int,
        class_uid: str,
        instance_uid: str,
        message_id: int,
        meta_uid: str | None,
    ) -> Exchange[StatusAndDataset]:
        operation = Operation(str(class_uid), _uid(instance_uid), _type_id(event_type, "event_type"))
        return self._prepare(fields.N_EVENT_REPORT_RQ, operation, dataset, message_id, meta_uid)

    def _prepare_n_get(
        self,
        identifier_list: list[Any],
        class_uid: str,
        instance_uid: str,
        message_id: int,
        meta_uid: str | None,
    ) -> Exchange[StatusAndDataset]:
        elements: dict[int, Any] = {}
        if identifier_list:
            from pydicom.tag import Tag

            elements[fields.ATTRIBUTE_IDENTIFIER_LIST] = tuple(int(Tag(tag)) for tag in identifier_list)
        operation = Operation(str(class_uid), _uid(instance_uid), elements=elements)
        return self._prepare(fields.N_GET_RQ, operation, None, message_id, meta_uid)

    def _prepare_n_set(
        self, dataset: Dataset, class_uid: str, instance_uid: str, message_id: int, meta_uid: str | None
    ) -> Exchange[StatusAndDataset]:
        operation = Operation(str(class_uid), _uid(instance_uid))
        return self._prepare(fields.N_SET_RQ, operation, dataset, message_id, meta_uid)

    def _prepare_n_action(
        self,
        dataset: Dataset | None,
        action_type: int,
        class_uid: str,
        instance_uid: str,
        message_id: int,
        meta_uid: str | None,
    ) -> Exchange[StatusAndDataset]:
        operation = Operation(str(class_uid), _uid(instance_uid), _type_id(action_type, "action_type"))
        return self._prepare(fields.N_ACTION_RQ, operation, dataset, message_id, meta_uid)

    def _prepare_n_create(
        self,
        dataset: Dataset | None,
        class_uid: str,
        instance_uid: str | None,
        message_id: int,
        meta_uid: str | None,
    ) -> Exchange[StatusAndDataset]:
        operation = Operation(str(class_uid), None if instance_uid is None else _uid(instance_uid))
        return self._prepare(fields.N_CREATE_RQ, operation, dataset, message_id, meta_uid)

    def _prepare_n_delete(
        self, class_uid: str, instance_uid: str, message_id: int, meta_uid: str | None
    ) -> Exchange[StatusAndDataset]:
        operation = Operation(str(class_uid), _uid(instance_uid))
        return self._prepare(fields.N_DELETE_RQ, operation, None, message_id, meta_uid)

    # Inside

    def _prepare(
        self,
        command_field: int,
        operation: Operation,
        dataset: Dataset | None,
        message_id: int,
        meta_uid: str | None,
    ) -> Exchange[StatusAndDataset]:
        self._require_established(fields.MESSAGE_NAMES[command_field].removesuffix("-RQ"))
        check_message_id(message_id)
        role = "scp" if command_field == fields.N_EVENT_REPORT_RQ else "scu"
        context = self._context_of(str(meta_uid or operation.sop_class), role)
        encoded = _encode(command_field, dataset, context)
        complete = Operation(
            operation.sop_class,
            operation.sop_instance,
            operation.number,
            operation.elements,
            None if encoded is None else (encoded,),
        )
        return Exchange(
            message_id,
            lambda core, number: n_services.request(
                core, id_of(context), number, command_field, complete, self.dimse_timeout
            ),
            lambda response: _outcome(response, command_field, context),
        )

    def _context_of(self, abstract_syntax: str, role: str) -> PresentationContext:
        """Return the context for a request. N-EVENT-REPORT is the SCP's, but few peers insist on that."""
        try:
            return self._find_context(abstract_syntax, role=role)
        except ValueError:
            if role == "scu":
                raise
        return self._find_context(abstract_syntax)


def _encode(command_field: int, dataset: Dataset | None, context: PresentationContext) -> bytes | None:
    from router.api.dsutils import encode_as

    service = n_services.SERVICES[command_field]
    if dataset is None or (not len(dataset) and not service.dataset_given):
        return None
    encoded = encode_as(dataset, context.transfer_uids[0])
    if encoded is None:
        raise ValueError("Failed to encode the supplied dataset")
    return encoded


def _outcome(
    response: MessageReceived | None, command_field: int, context: PresentationContext
) -> StatusAndDataset:
    status = status_of(response, command_field)
    return status, None if response is None else _decode(response, status, context)


def _decode(response: MessageReceived, status: Dataset, context: PresentationContext) -> Dataset | None:
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


def _uid(value: str) -> str:
    return check_uid(value, "instance_uid", False, False) or ""


def _type_id(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"'{name}' must be int")
    if not 0 <= value <= TYPE_ID_MAX:
        raise ValueError(f"'{name}' must be between 0 and {TYPE_ID_MAX}")
    return value
