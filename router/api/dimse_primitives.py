"""DIMSE service primitives as handlers see them: one attribute for each parameter, by its keyword (PS3.7).

A primitive made from a received message reads its command set only where it is asked, so that a handler that
looks at nothing costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any, ClassVar

from router.api.utils import as_uid, check_uid, set_ae
from router.standard import dimse_fields
from router.standard.dimse_fields import KEYWORDS, VRS

TAGS: dict[str, int] = {keyword: tag for tag, keyword in KEYWORDS.items()}

DATASET_KEYWORDS = frozenset(
    {
        "DataSet",
        "Identifier",
        "EventInformation",
        "EventReply",
        "AttributeList",
        "ModificationList",
        "ActionInformation",
        "ActionReply",
    }
)
"""Parameters that travel as the message's dataset: an encoded dataset in a BytesIO, or None."""

PRIORITIES = (0, 1, 2)
US_MAX = 0xFFFF


def dataset_bytes(dataset: object) -> bytes:
    """Return an encoded dataset as bytes, whatever kind of sink it came through."""
    if dataset is None:
        return b""
    if isinstance(dataset, bytes):
        return dataset
    return bytes(dataset.getvalue())  # type: ignore[attr-defined]


class Element:
    """One parameter that is an element of the command set; None when it is absent."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.tag = TAGS[name]
        self.vr = VRS[self.tag]

    def __get__(self, primitive: DIMSEPrimitive | None, owner: type) -> Any:
        if primitive is None:
            return self
        value = primitive._elements.get(self.tag)
        if value is None:
            return None
        if self.vr == "UI":
            return as_uid(value)
        if self.vr == "AT":
            return _tags(value)
        return value

    def __set__(self, primitive: DIMSEPrimitive, value: Any) -> None:
        value = self._check(value)
        if value is None:
            primitive._elements.pop(self.tag, None)
        else:
            primitive._elements[self.tag] = value

    def _check(self, value: Any) -> Any:
        if value is None:
            return None
        if self.vr == "UI":
            return check_uid(value, self.name)
        if self.vr == "AE":
            return set_ae(value, self.name)
        if self.vr == "US":
            return _check_number(value, self.name)
        if self.vr == "AT":
            return _plain_tags(value)
        return value


class Payload:
    """One parameter that travels as the dataset; every such parameter of a primitive is the same one."""

    def __get__(self, primitive: DIMSEPrimitive | None, owner: type) -> Any:
        if primitive is None:
            return self
        if primitive._stream is None and primitive._dataset is not None:
            primitive._stream = BytesIO(dataset_bytes(primitive._dataset))
        return primitive._stream

    def __set__(self, primitive: DIMSEPrimitive, value: BytesIO | None) -> None:
        if value is not None and not isinstance(value, BytesIO):
            raise TypeError(f"a dataset must be a BytesIO, not '{type(value).__name__}'")
        primitive._stream = value
        primitive._dataset = None


def _check_number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"'{name}' must be int, not '{type(value).__name__}'")
    if name == "Priority" and value not in PRIORITIES:
        raise ValueError("'Priority' must be 0 (medium), 1 (high) or 2 (low)")
    if not 0 <= value <= US_MAX:
        raise ValueError(f"'{name}' must be between 0 and {US_MAX}")
    return value


def _tags(value: Any) -> Any:
    from pydicom.tag import Tag

    values = value if isinstance(value, list | tuple) else [value]
    return [Tag(tag) for tag in values]


def _plain_tags(value: Any) -> tuple[int, ...]:
    from pydicom.tag import Tag

    values = value if isinstance(value, list) else [value]
    return tuple(int(Tag(tag)) for tag in values)


class DIMSEPrimitive:
    """What all primitives share.

    REQUEST_KEYWORDS, RESPONSE_KEYWORDS: the mandatory parameters of request and response.
    STATUS_OPTIONAL_KEYWORDS: what may come with a status.
    """

    COMMAND_FIELD: ClassVar[int] = 0
    REQUEST_KEYWORDS: ClassVar[tuple[str, ...]] = ()
    RESPONSE_KEYWORDS: ClassVar[tuple[str, ...]] = ("MessageIDBeingRespondedTo", "Status")
    STATUS_OPTIONAL_KEYWORDS: ClassVar[tuple[str, ...]] = ()

    MessageID = Element()
    MessageIDBeingRespondedTo = Element()
    AffectedSOPClassUID = Element()
    Status = Element()

    def __init__(self) -> None:
        self._elements: dict[int, Any] = {}
        self._dataset: object = None
        self._stream: BytesIO | None = None
        self._context_id: int | None = None

    @classmethod
    def received(cls, command: Mapping[int, Any], dataset: object, context_id: int) -> DIMSEPrimitive:
        """Return the primitive of a received message."""
        primitive = cls()
        primitive._elements = dict(command)
        primitive._dataset = dataset
        primitive._context_id = context_id
        return primitive

    @property
    def msg_type(self) -> str:
        """The service: "C-STORE" and so on."""
        return type(self).__name__.replace("_", "-")

    @property
    def is_valid_request(self) -> bool:
        """Whether every mandatory parameter of a request is there."""
        return all(getattr(self, keyword) is not None for keyword in self.REQUEST_KEYWORDS)

    @property
    def is_valid_response(self) -> bool:
        """Whether every mandatory parameter of a response is there."""
        return all(getattr(self, keyword) is not None for keyword in self.RESPONSE_KEYWORDS)

    @classmethod
    def keywords(cls) -> frozenset[str]:
        """Return the keywords of the parameters that are elements of the command set."""
        return frozenset(name for name in dir(cls) if name in TAGS)


class C_ECHO(DIMSEPrimitive):
    """C-ECHO (PS3.7 section 9.1.5)."""

    COMMAND_FIELD = dimse_fields.C_ECHO_RQ
    REQUEST_KEYWORDS = ("MessageID", "AffectedSOPClassUID")
    STATUS_OPTIONAL_KEYWORDS = ("ErrorComment",)
    ErrorComment = Element()


class C_STORE(DIMSEPrimitive):
    """C-STORE (PS3.7 section 9.1.1)."""

    COMMAND_FIELD = dimse_fields.C_STORE_RQ
    REQUEST_KEYWORDS = ("MessageID", "AffectedSOPClassUID", "AffectedSOPInstanceUID", "Priority", "DataSet")
    STATUS_OPTIONAL_KEYWORDS = ("OffendingElement", "ErrorComment")
    AffectedSOPInstanceUID = Element()
    Priority = Element()
    MoveOriginatorApplicationEntityTitle = Element()
    MoveOriginatorMessageID = Element()
    OffendingElement = Element()
    ErrorComment = Element()
    DataSet = Payload()

    @property
    def _dataset_path(self) -> Any:
        return getattr(self._dataset, "path", None)


class C_FIND(DIMSEPrimitive):
    """C-FIND (PS3.7 section 9.1.2)."""

    COMMAND_FIELD = dimse_fields.C_FIND_RQ
    REQUEST_KEYWORDS = ("MessageID", "AffectedSOPClassUID", "Priority", "Identifier")
    STATUS_OPTIONAL_KEYWORDS = ("OffendingElement", "ErrorComment")
    Priority = Element()
    OffendingElement = Element()
    ErrorComment = Element()
    Identifier = Payload()


class _Retrieve(DIMSEPrimitive):
    """What C-GET and C-MOVE share: the counts of their sub-operations."""

    STATUS_OPTIONAL_KEYWORDS = (
        "ErrorComment",
        "OffendingElement",
        "NumberOfRemainingSuboperations",
        "NumberOfCompletedSuboperations",
        "NumberOfFailedSuboperations",
        "NumberOfWarningSuboperations",
    )
    Priority = Element()
    NumberOfRemainingSuboperations = Element()
    NumberOfCompletedSuboperations = Element()
    NumberOfFailedSuboperations = Element()
    NumberOfWarningSuboperations = Element()
    OffendingElement = Element()
    ErrorComment = Element()
    Identifier = Payload()


class C_GET(_Retrieve):
    """C-GET (PS3.7 section 9.1.3)."""

    COMMAND_FIELD = dimse_fields.C_GET_RQ
    REQUEST_KEYWORDS = ("MessageID", "AffectedSOPClassUID", "Priority", "Identifier")


class C_MOVE(_Retrieve):
    """C-MOVE (PS3.7 section 9.1.4)."""

    COMMAND_FIELD = dimse_fields.C_MOVE_RQ
    REQUEST_KEYWORDS = ("MessageID", "AffectedSOPClassUID", "Priority", "Identifier", "MoveDestination")
    MoveDestination = Element()


class C_CANCEL:
    """C-CANCEL (PS3.7 section 9.3.2.3)."""

    def __init__(self) -> None:
        self._message_id: int | None = None

    @property
    def MessageIDBeingRespondedTo(self) -> int | None:
        """The Message ID of the operation to cancel."""
        return self._message_id

    @MessageIDBeingRespondedTo.setter
    def MessageIDBeingRespondedTo(self, value: int | None) -> None:
        self._message_id = None if value is None else _check_number(value, "MessageIDBeingRespondedTo")


class _Normalised(DIMSEPrimitive):
    """What the N-services share."""

    STATUS_OPTIONAL_KEYWORDS: ClassVar[tuple[str, ...]] = ("ErrorComment", "ErrorID")
    AffectedSOPInstanceUID = Element()
    ErrorComment = Element()
    ErrorID = Element()


class N_EVENT_REPORT(_Normalised):
    """N-EVENT-REPORT (PS3.7 section 10.1.1)."""

    COMMAND_FIELD = dimse_fields.N_EVENT_REPORT_RQ
    REQUEST_KEYWORDS = ("MessageID", "AffectedSOPClassUID", "EventTypeID", "AffectedSOPInstanceUID")
    STATUS_OPTIONAL_KEYWORDS = (
        "AffectedSOPClassUID",
        "AffectedSOPInstanceUID",
        "EventTypeID",
        "ErrorComment",
        "ErrorID",
    )
    EventTypeID = Element()
    EventInformation = Payload()
    EventReply = Payload()


class N_GET(_Normalised):
    """N-GET (PS3.7 section 10.1.2)."""

    COMMAND_FIELD = dimse_fields.N_GET_RQ
    REQUEST_KEYWORDS = ("MessageID", "RequestedSOPClassUID", "RequestedSOPInstanceUID")
    STATUS_OPTIONAL_KEYWORDS = ("AttributeIdentifierList", "ErrorComment", "ErrorID")
    RequestedSOPClassUID = Element()
    RequestedSOPInstanceUID = Element()
    AttributeIdentifierList = Element()
    AttributeList = Payload()


class N_SET(_Normalised):
    """N-SET (PS3.7 section 10.1.3)."""

    COMMAND_FIELD = dimse_fields.N_SET_RQ
    REQUEST_KEYWORDS = ("MessageID", "RequestedSOPClassUID", "RequestedSOPInstanceUID", "ModificationList")
    STATUS_OPTIONAL_KEYWORDS = ("ErrorComment", "ErrorID", "AttributeIdentifierList")
    RequestedSOPClassUID = Element()
    RequestedSOPInstanceUID = Element()
    AttributeIdentifierList = Element()
    ModificationList = Payload()
    AttributeList = Payload()


class N_ACTION(_Normalised):
    """N-ACTION (PS3.7 section 10.1.4)."""

    COMMAND_FIELD = dimse_fields.N_ACTION_RQ
    REQUEST_KEYWORDS = ("MessageID", "RequestedSOPClassUID", "RequestedSOPInstanceUID", "ActionTypeID")
    STATUS_OPTIONAL_KEYWORDS = ("ErrorComment", "ErrorID", "AttributeIdentifierList")
    RequestedSOPClassUID = Element()
    RequestedSOPInstanceUID = Element()
    ActionTypeID = Element()
    AttributeIdentifierList = Element()
    ActionInformation = Payload()
    ActionReply = Payload()


class N_CREATE(_Normalised):
    """N-CREATE (PS3.7 section 10.1.5)."""

    COMMAND_FIELD = dimse_fields.N_CREATE_RQ
    REQUEST_KEYWORDS = ("MessageID", "AffectedSOPClassUID")
    AttributeList = Payload()


class N_DELETE(_Normalised):
    """N-DELETE (PS3.7 section 10.1.6)."""

    COMMAND_FIELD = dimse_fields.N_DELETE_RQ
    REQUEST_KEYWORDS = ("MessageID", "RequestedSOPClassUID", "RequestedSOPInstanceUID")
    RequestedSOPClassUID = Element()
    RequestedSOPInstanceUID = Element()


PRIMITIVES: dict[int, type[DIMSEPrimitive]] = {
    primitive.COMMAND_FIELD: primitive
    for primitive in (
        C_ECHO,
        C_STORE,
        C_FIND,
        C_GET,
        C_MOVE,
        N_EVENT_REPORT,
        N_GET,
        N_SET,
        N_ACTION,
        N_CREATE,
        N_DELETE,
    )
}
"""Command Field of the request -> primitive."""
