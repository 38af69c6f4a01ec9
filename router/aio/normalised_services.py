"""The verbs of an association on normalised instances, awaited: N-EVENT-REPORT, N-GET, N-SET and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.aio.composite_services import CompositeServices
from router.api.exchange import check_message_id, status_of
from router.api.normalised_services import _type_id, _uid
from router.services import n_services
from router.services.n_services import Operation
from router.standard import dimse_fields as fields

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID


class NormalisedServices(CompositeServices):
    """N-services as SCU (the invoker); under Association.

    Arguments, results and errors are those of router.api.normalised_services.NormalisedServices.
    """

    async def send_n_event_report(  # type: ignore[override]
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
        return await self._perform(fields.N_EVENT_REPORT_RQ, operation, dataset, msg_id, meta_uid)

    async def send_n_get(  # type: ignore[override]
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
        return await self._perform(fields.N_GET_RQ, operation, None, msg_id, meta_uid)

    async def send_n_set(  # type: ignore[override]
        self,
        dataset: Dataset,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Set attributes; dataset: the Modification List. Returns (status, Attribute List)."""
        operation = Operation(str(class_uid), _uid(instance_uid))
        return await self._perform(fields.N_SET_RQ, operation, dataset, msg_id, meta_uid)

    async def send_n_action(  # type: ignore[override]
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
        return await self._perform(fields.N_ACTION_RQ, operation, dataset, msg_id, meta_uid)

    async def send_n_create(  # type: ignore[override]
        self,
        dataset: Dataset | None,
        class_uid: str | UID,
        instance_uid: str | UID | None = None,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> tuple[Dataset, Dataset | None]:
        """Create an instance; dataset: the Attribute List; instance_uid: None leaves it to the peer."""
        operation = Operation(str(class_uid), None if instance_uid is None else _uid(instance_uid))
        return await self._perform(fields.N_CREATE_RQ, operation, dataset, msg_id, meta_uid)

    async def send_n_delete(  # type: ignore[override]
        self,
        class_uid: str | UID,
        instance_uid: str | UID,
        msg_id: int = 1,
        meta_uid: str | UID | None = None,
    ) -> Dataset:
        """Delete an instance; return the status alone."""
        operation = Operation(str(class_uid), _uid(instance_uid))
        return (await self._perform(fields.N_DELETE_RQ, operation, None, msg_id, meta_uid))[0]

    async def _perform(
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
        response = await self._run(
            message_id,
            lambda core, number: n_services.request(
                core, context_id, number, command_field, complete, self.dimse_timeout
            ),
        )
        status = status_of(response, command_field)
        return status, None if response is None else self._decode(response, status, context)
