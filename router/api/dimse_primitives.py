"""DIMSE service primitives as handlers see them: one attribute for each parameter, by its keyword (PS3.7).

A primitive made from a received message reads its command set only where it is asked, so that a handler that
looks at nothing costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar

from router.api.utils import as_uid, check_uid, set_ae
from router.standard import dimse_fields
from router.standard.dimse_fields import KEYWORDS, VRS

TAGS: dict[str, int] = {keyword: tag for tag, keyword in KEYWORDS.items()}

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


_PARAMETERS: dict[str, str] = {
    "C_ECHO": "MessageID! AffectedSOPClassUID! ErrorComment?",
    "C_STORE": """
        MessageID! AffectedSOPClassUID! AffectedSOPInstanceUID! Priority! MoveOriginatorApplicationEntityTitle
        MoveOriginatorMessageID OffendingElement? ErrorComment? DataSet=!
    """,
    "C_FIND": """
        MessageID! AffectedSOPClassUID! Priority! OffendingElement? ErrorComment? Identifier=!
    """,
    "C_GET": """
        MessageID! AffectedSOPClassUID! Priority! NumberOfRemainingSuboperations?
        NumberOfCompletedSuboperations? NumberOfFailedSuboperations? NumberOfWarningSuboperations?
        OffendingElement? ErrorComment? Identifier=!
    """,
    "C_MOVE": """
        MessageID! AffectedSOPClassUID! Priority! MoveDestination! NumberOfRemainingSuboperations?
        NumberOfCompletedSuboperations? NumberOfFailedSuboperations? NumberOfWarningSuboperations?
        OffendingElement? ErrorComment? Identifier=!
    """,
    "N_EVENT_REPORT": """
        MessageID! AffectedSOPClassUID!? AffectedSOPInstanceUID!? EventTypeID!? ErrorComment? ErrorID?
        EventInformation= EventReply=
    """,
    "N_GET": """
        MessageID! RequestedSOPClassUID! RequestedSOPInstanceUID! AttributeIdentifierList?
        AffectedSOPInstanceUID ErrorComment? ErrorID? AttributeList=
    """,
    "N_SET": """
        MessageID! RequestedSOPClassUID! RequestedSOPInstanceUID! AttributeIdentifierList?
        AffectedSOPInstanceUID ErrorComment? ErrorID? ModificationList=! AttributeList=
    """,
    "N_ACTION": """
        MessageID! RequestedSOPClassUID! RequestedSOPInstanceUID! ActionTypeID! AttributeIdentifierList?
        AffectedSOPInstanceUID ErrorComment? ErrorID? ActionInformation= ActionReply=
    """,
    "N_CREATE": """
        MessageID! AffectedSOPClassUID! AffectedSOPInstanceUID ErrorComment? ErrorID? AttributeList=
    """,
    "N_DELETE": """
        MessageID! RequestedSOPClassUID! RequestedSOPInstanceUID! AffectedSOPInstanceUID ErrorComment?
        ErrorID?
    """,
}
"""Primitive -> its parameters; `!`: a request must have it, `?`: it may come with a status, `=`: it is the
message's dataset. All have Message ID Being Responded To, Affected SOP Class UID and Status besides."""


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

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init_subclass__(cls) -> None:
        """Give the class the parameters that the table says."""
        marks = {word.rstrip("!?="): word for word in _PARAMETERS[cls.__name__].split()}
        cls.REQUEST_KEYWORDS = tuple(keyword for keyword, word in marks.items() if "!" in word)
        cls.STATUS_OPTIONAL_KEYWORDS = tuple(keyword for keyword, word in marks.items() if "?" in word)
        cls.COMMAND_FIELD = getattr(dimse_fields, f"{cls.__name__}_RQ")
        for keyword, word in marks.items():
            parameter = Payload() if "=" in word else Element()
            if isinstance(parameter, Element):
                parameter.__set_name__(cls, keyword)
            setattr(cls, keyword, parameter)

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


class C_STORE(DIMSEPrimitive):
    """C-STORE (PS3.7 section 9.1.1)."""

    @property
    def _dataset_path(self) -> Any:
        return getattr(self._dataset, "path", None)


class C_FIND(DIMSEPrimitive):
    """C-FIND (PS3.7 section 9.1.2)."""


class C_GET(DIMSEPrimitive):
    """C-GET (PS3.7 section 9.1.3)."""


class C_MOVE(DIMSEPrimitive):
    """C-MOVE (PS3.7 section 9.1.4)."""


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


class N_EVENT_REPORT(DIMSEPrimitive):
    """N-EVENT-REPORT (PS3.7 section 10.1.1)."""


class N_GET(DIMSEPrimitive):
    """N-GET (PS3.7 section 10.1.2)."""


class N_SET(DIMSEPrimitive):
    """N-SET (PS3.7 section 10.1.3)."""


class N_ACTION(DIMSEPrimitive):
    """N-ACTION (PS3.7 section 10.1.4)."""


class N_CREATE(DIMSEPrimitive):
    """N-CREATE (PS3.7 section 10.1.5)."""


class N_DELETE(DIMSEPrimitive):
    """N-DELETE (PS3.7 section 10.1.6)."""


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
