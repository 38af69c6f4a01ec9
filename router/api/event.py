"""What a handler is called with: one event of one association, and what came with it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from router.api.dimse_primitives import PRIMITIVES, dataset_bytes
from router.api.presentation import PresentationContextTuple
from router.api.utils import as_uid
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_FIELD,
    MESSAGE_ID,
)

if TYPE_CHECKING:
    from io import BytesIO
    from pathlib import Path

    from pydicom.dataset import Dataset, FileMetaDataset

    from router.api.association import Association
    from router.api.association_state import AssociationState
    from router.api.events import EventType
    from router.protocol.indications import MessageReceived

_BELONGS_TO: dict[str, tuple[str, ...]] = {
    "dataset": ("C-STORE",),
    "dataset_path": ("C-STORE",),
    "encoded_dataset": ("C-STORE",),
    "file_meta": ("C-STORE",),
    "identifier": ("C-FIND", "C-GET", "C-MOVE"),
    "is_cancelled": ("C-FIND", "C-GET", "C-MOVE"),
    "move_destination": ("C-MOVE",),
    "action_information": ("N-ACTION",),
    "action_type": ("N-ACTION",),
    "attribute_identifiers": ("N-GET",),
    "attribute_list": ("N-CREATE",),
    "event_information": ("N-EVENT-REPORT",),
    "event_type": ("N-EVENT-REPORT",),
    "modification_list": ("N-SET",),
    "message_id": ("C- or N-service",),
    "request": ("C- or N-service",),
    "context": ("C- or N-service",),
}
"""Property -> the services whose requests have it."""


class Event:
    """One event. assoc: the association it belongs to; event: which event it is; timestamp: when (naive).

    Further attributes come with the event; asking for one that this event has not raises AttributeError.
    """

    request: Any
    context: PresentationContextTuple

    def __init__(
        self, assoc: AssociationState, event: EventType, attrs: dict[str, Any] | None = None
    ) -> None:
        self.assoc = cast("Association", assoc)
        self.event: Any = event
        self.timestamp = datetime.now()
        self._message: MessageReceived | None = None
        self._decoded: Dataset | None = None
        if attrs:
            for name, value in attrs.items():
                setattr(self, name, value)

    @classmethod
    def of_message(cls, assoc: AssociationState, event: EventType, message: MessageReceived) -> Event:
        """Return the event of a received request; what it holds is looked at when it is asked for."""
        told = cls(assoc, event)
        told._message = message
        return told

    def __getattr__(self, name: str) -> Any:
        message = self.__dict__.get("_message")
        if message is not None and name == "request":
            kind = PRIMITIVES[message.command[COMMAND_FIELD]]
            self.request = kind.received(message.command, message.dataset, message.context_id)
            return self.request
        if message is not None and name == "context":
            accepted = self.assoc._contexts[message.context_id]
            self.context = PresentationContextTuple(
                message.context_id, as_uid(accepted.abstract_uid), as_uid(accepted.transfer_uids[0])
            )
            return self.context
        services = _BELONGS_TO.get(name)
        if services is None:
            raise AttributeError(f"'{self.__dict__.get('event')}' has no attribute '{name}'")
        raise AttributeError(
            f"'{name}' belongs to a {' or '.join(services)} request, not to '{self.__dict__.get('event')}'"
        )

    # Every request

    @property
    def message_id(self) -> int:
        """The Message ID of the request."""
        if self._message is not None:
            return int(self._message.command[MESSAGE_ID])
        return int(self.request.MessageID)

    # C-STORE

    @property
    def dataset(self) -> Dataset:
        """The dataset of a C-STORE, decoded when it is first asked for. Raises what pydicom raises."""
        self._require("dataset")
        path = self.request._dataset_path
        if path is not None and self._decoded is None:
            from pydicom import dcmread

            decoded = dcmread(path)
            del decoded.file_meta
            self._decoded = decoded
        return self._decode()

    @property
    def dataset_path(self) -> Path:
        """The file that a C-STORE's dataset was written to as it came.

        With AE.receive_to it is the program's; with _config.STORE_RECV_CHUNKED_DATASET it is removed when
        the handler returns.
        """
        self._require("dataset_path")
        path: Path | None = self.request._dataset_path
        if path is None:
            raise AttributeError(
                "there is no file: neither AE.receive_to nor _config.STORE_RECV_CHUNKED_DATASET asks for one"
            )
        return path

    @property
    def file_meta(self) -> FileMetaDataset:
        """File Meta Information for the dataset of a C-STORE; the dataset itself has none."""
        from router.api.dsutils import create_file_meta

        self._require("file_meta")
        elements = self.request._elements
        return create_file_meta(
            sop_class_uid=elements[AFFECTED_SOP_CLASS_UID],
            sop_instance_uid=elements[AFFECTED_SOP_INSTANCE_UID],
            transfer_syntax=self.context.transfer_syntax,
        )

    def encoded_dataset(self, include_meta: bool = True) -> bytes:
        """Return the dataset of a C-STORE as it came; include_meta: as the content of a DICOM file."""
        self._require("encoded_dataset")
        if not include_meta:
            return self._encoded()
        from router.api.file_meta import file_head

        elements = self.request._elements
        head = file_head(
            elements[AFFECTED_SOP_CLASS_UID],
            elements[AFFECTED_SOP_INSTANCE_UID],
            self.context.transfer_syntax,
        )
        behind = getattr(self.request._dataset, "behind", None)
        if behind is None or self.request._stream is not None:
            return head + self._encoded()
        found: bytes = behind(head)
        return found

    def _encoded(self) -> bytes:
        stream: BytesIO | None = self.request.DataSet
        return stream.getvalue() if stream is not None else b""

    # C-FIND, C-GET, C-MOVE

    @property
    def identifier(self) -> Dataset:
        """The identifier of a query. Raises what pydicom raises."""
        self._require("identifier")
        return self._decode()

    @property
    def is_cancelled(self) -> bool:
        """Whether the peer has sent C-CANCEL for this request; True once."""
        self._require("is_cancelled")
        return self.assoc._take_cancel(self.message_id)

    @property
    def move_destination(self) -> str:
        """The AE title a C-MOVE shall send to."""
        self._require("move_destination")
        return str(self.request.MoveDestination)

    # N-services

    @property
    def action_type(self) -> int:
        """The Action Type ID of an N-ACTION."""
        self._require("action_type")
        return int(self.request.ActionTypeID)

    @property
    def action_information(self) -> Dataset:
        """The Action Information of an N-ACTION; empty if there is none."""
        self._require("action_information")
        return self._decode()

    @property
    def attribute_identifiers(self) -> list[Any]:
        """The tags an N-GET asks for; empty: all."""
        self._require("attribute_identifiers")
        return self.request.AttributeIdentifierList or []

    @property
    def attribute_list(self) -> Dataset:
        """The Attribute List of an N-CREATE; empty if there is none."""
        self._require("attribute_list")
        return self._decode()

    @property
    def event_type(self) -> int:
        """The Event Type ID of an N-EVENT-REPORT."""
        self._require("event_type")
        return int(self.request.EventTypeID)

    @property
    def event_information(self) -> Dataset:
        """The Event Information of an N-EVENT-REPORT; empty if there is none."""
        self._require("event_information")
        return self._decode()

    @property
    def modification_list(self) -> Dataset:
        """The Modification List of an N-SET."""
        self._require("modification_list")
        return self._decode()

    # Inside

    def _require(self, name: str) -> None:
        if self.request.msg_type not in _BELONGS_TO[name]:
            raise AttributeError(name)  # __getattr__ says more

    def _decode(self) -> Dataset:
        if self._decoded is None:
            from router.api.dsutils import decode_as

            self._decoded = decode_as(dataset_bytes(self.request._dataset), self.context.transfer_syntax)
        return self._decoded
