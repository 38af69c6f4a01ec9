"""DIMSE messages as observers see them: C_STORE_RQ and its like, with command set and dataset."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from router.api.dimse_primitives import dataset_bytes
from router.standard.dimse_fields import COMMAND_FIELD, MESSAGE_NAMES, VRS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


class DIMSEMessage:
    """One message, sent or received. context_id: that of its presentation context."""

    def __init__(self, command: Mapping[int, Any], dataset: object, context_id: int) -> None:
        self.context_id = context_id
        self.ID = context_id
        self._command = command
        self._dataset = dataset
        self._stream: BytesIO | None = None

    @property
    def command_set(self) -> Dataset:
        """The command set, without its group length."""
        return command_dataset(self._command)

    @property
    def data_set(self) -> BytesIO:
        """The encoded dataset; empty when there is none, or when it was streamed and nobody kept it."""
        if self._stream is None:
            kept = isinstance(self._dataset, bytes) or hasattr(self._dataset, "getvalue")
            self._stream = BytesIO(dataset_bytes(self._dataset) if kept else b"")
        return self._stream


def command_dataset(command: Mapping[int, Any]) -> Dataset:
    """Return command elements as a pydicom Dataset."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    for tag in sorted(command):
        value = command[tag]
        if tag in VRS:
            dataset.add_new(tag, VRS[tag], list(value) if isinstance(value, tuple) else value)
    return dataset


def _class_name(name: str) -> str:
    return name.replace("-", "_")


MESSAGES: dict[int, type[DIMSEMessage]] = {
    field: type(_class_name(name), (DIMSEMessage,), {"__doc__": f"{name} (PS3.7 section 9.3 or 10.3)."})
    for field, name in MESSAGE_NAMES.items()
}
"""Command Field -> class of the message."""

globals().update({_class_name(name): MESSAGES[field] for field, name in MESSAGE_NAMES.items()})


def message_of(command: Mapping[int, Any], dataset: object, context_id: int) -> DIMSEMessage:
    """Return the message object of what was sent or received."""
    return MESSAGES.get(command.get(COMMAND_FIELD, 0), DIMSEMessage)(command, dataset, context_id)
