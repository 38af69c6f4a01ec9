"""A-ASSOCIATE-RQ and A-ASSOCIATE-AC as values, and their octets (PS3.8 sections 9.3.2 and 9.3.3).

What decoding leaves to negotiation: protocol version, application context name, AE titles, which syntaxes are
supported. A missing application context name decodes as "", missing user information as UserInformation().
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import TypeVar

from router.standard.uids import DICOM_APPLICATION_CONTEXT
from router.wire.items import (
    AE_TITLE_BYTES,
    Item,
    decode_ae_title,
    decode_text,
    encode_ae_title,
    encode_item,
    encode_uid,
    encode_uint16,
    misuse,
    take_items,
    violate,
)
from router.wire.user_information import (
    NO_USER_INFORMATION,
    UserInformation,
    decode_user_information,
    encode_user_information,
)

ASSOCIATE_RQ = 0x01
ASSOCIATE_AC = 0x02

APPLICATION_CONTEXT = 0x10
PRESENTATION_CONTEXT_RQ = 0x20
PRESENTATION_CONTEXT_AC = 0x21
ABSTRACT_SYNTAX = 0x30
TRANSFER_SYNTAX = 0x40
USER_INFORMATION = 0x50

PDU_HEAD_BYTES = 6
FIXED_BYTES = 68
"""Octets 7-74 of an associate PDU, which are always there; the items follow."""
ASSOCIATE_PDU_MAX_BYTES = 262144
"""Largest PDU-length of an associate PDU accepted."""
PRESENTATION_CONTEXTS_MAX = 128
"""There are no more odd presentation-context-ids between 1 and 255."""
TRANSFER_SYNTAXES_MAX = 64
"""Most transfer syntaxes accepted in one presentation context; the Standard has 63, retired ones included."""

_REJECTED_CONTEXT_TRANSFER_SYNTAX = b"1.2.840.10008.1.2"
_PDU_HEAD = Struct(">BxI")
_FIXED = Struct(f">H2x{AE_TITLE_BYTES}s{AE_TITLE_BYTES}s32x")
_CONTEXT_HEAD_BYTES = 4


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context of an A-ASSOCIATE-RQ; context_id is odd, 1 to 255 (PS3.8 Table 9-13)."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The answer to one proposed context; result 0 is acceptance, any other is not (PS3.8 Table 9-18).

    transfer_syntax: the one chosen; without significance when not accepted, and then "" if it was absent.
    """

    context_id: int
    result: int
    transfer_syntax: str = ""


@dataclass(frozen=True, slots=True)
class AssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 Table 9-11). AE titles without leading and trailing spaces."""

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[ProposedContext, ...]
    user_information: UserInformation = NO_USER_INFORMATION
    application_context_name: str = DICOM_APPLICATION_CONTEXT
    protocol_version: int = 1


@dataclass(frozen=True, slots=True)
class AssociateAC:
    """A-ASSOCIATE-AC (PS3.8 Table 9-17). The AE titles repeat those of the request; never test them."""

    called_ae_title: str
    calling_ae_title: str
    presentation_contexts: tuple[ContextResult, ...]
    user_information: UserInformation = NO_USER_INFORMATION
    application_context_name: str = DICOM_APPLICATION_CONTEXT
    protocol_version: int = 1


def decode_associate_rq(data: bytes) -> AssociateRQ:
    """Decode one whole A-ASSOCIATE-RQ, its 6-byte head included and already checked against len(data).

    Raises PeerViolation(reason, offset) for lengths that leave their parent, even or repeated
    presentation-context-ids, and more contexts or transfer syntaxes than the limits above.
    """
    version, called, calling = _decode_fixed(data, "A-ASSOCIATE-RQ")
    name, contexts, information = _decode_variable(data, PRESENTATION_CONTEXT_RQ, _decode_proposed_context)
    return AssociateRQ(called, calling, contexts, information, name, version)


def decode_associate_ac(data: bytes) -> AssociateAC:
    """Decode one whole A-ASSOCIATE-AC; shape and errors as decode_associate_rq."""
    version, called, calling = _decode_fixed(data, "A-ASSOCIATE-AC")
    name, contexts, information = _decode_variable(data, PRESENTATION_CONTEXT_AC, _decode_context_result)
    return AssociateAC(called, calling, contexts, information, name, version)


def encode_associate_rq(pdu: AssociateRQ) -> bytes:
    """Return the whole PDU; raise LocalMisuse for values that the Standard does not allow us to send."""
    _require_ae_title(pdu.called_ae_title, "called-AE-title")
    _require_ae_title(pdu.calling_ae_title, "calling-AE-title")
    if pdu.user_information.user_identity_response is not None:
        misuse("a user identity response (59H) belongs into A-ASSOCIATE-AC (PS3.7 Annex D.3.3.7)")
    contexts = pdu.presentation_contexts
    _require_context_ids([context.context_id for context in contexts])
    return _encode(ASSOCIATE_RQ, pdu, [_encode_proposed_context(context) for context in contexts])


def encode_associate_ac(pdu: AssociateAC) -> bytes:
    """Return the whole PDU; raise LocalMisuse for values that the Standard does not allow us to send."""
    information = pdu.user_information
    if information.user_identity is not None or information.sop_class_common_extended:
        misuse("user identity (58H) and common extended negotiation (57H) belong into A-ASSOCIATE-RQ")
    contexts = pdu.presentation_contexts
    _require_context_ids([context.context_id for context in contexts])
    return _encode(ASSOCIATE_AC, pdu, [_encode_context_result(context) for context in contexts])


def _decode_fixed(data: bytes, pdu_name: str) -> tuple[int, str, str]:
    """Return protocol version, called and calling AE title."""
    length = len(data) - PDU_HEAD_BYTES
    if length < FIXED_BYTES:
        violate(f"{pdu_name} has PDU-length {length}, needs {FIXED_BYTES} (PS3.8 Table 9-11)", 2)
    if length > ASSOCIATE_PDU_MAX_BYTES:
        violate(f"{pdu_name} has PDU-length {length}, allowed {ASSOCIATE_PDU_MAX_BYTES}", 2)
    # 7-8 protocol-version: test bit 0 only (PS3.8 Table 9-11)
    # 9-10 reserved
    # 11-26 called-AE-title, 27-42 calling-AE-title: spaces at both ends are not significant
    # 43-74 reserved
    version, called, calling = _FIXED.unpack_from(data, PDU_HEAD_BYTES)
    return version, decode_ae_title(called), decode_ae_title(calling)


_Context = TypeVar("_Context", ProposedContext, ContextResult)


def _decode_variable(
    data: bytes, context_type: int, decode_context: Callable[[bytes, Item], _Context]
) -> tuple[str, tuple[_Context, ...], UserInformation]:
    """Return application context name, contexts and user information from octet 75 on."""
    name: str | None = None
    information: UserInformation | None = None
    contexts: dict[int, _Context] = {}
    for item in take_items(data, PDU_HEAD_BYTES + FIXED_BYTES, len(data), "the PDU"):
        if item.item_type == APPLICATION_CONTEXT:
            # 5- application-context-name (PS3.8 Table 9-12)
            name = _once(name, decode_text(data[item.start : item.end]), item)
        elif item.item_type == context_type:
            context = decode_context(data, item)
            if context.context_id in contexts:
                violate(f"presentation-context-id {context.context_id} stands twice", item.start)
            contexts[context.context_id] = context
        elif item.item_type == USER_INFORMATION:
            # 5- user-data: sub-items (PS3.8 Table 9-16)
            information = _once(information, decode_user_information(data, item.start, item.end), item)
        # any other item type is not an error (PS3.8 Annex D.2)
    return name or "", tuple(contexts.values()), information or NO_USER_INFORMATION


_Value = TypeVar("_Value")


def _once(before: _Value | None, value: _Value, item: Item) -> _Value:
    if before is not None:
        violate(f"item {item.item_type:02X}H stands more than once", item.offset)
    return value


def _decode_proposed_context(data: bytes, item: Item) -> ProposedContext:
    # 5 presentation-context-id, 6-8 reserved, 9- one abstract and the transfer syntaxes (PS3.8 Table 9-13)
    context_id = _decode_context_id(data, item)
    abstract_syntax: str | None = None
    transfer_syntaxes: list[str] = []
    for part in _context_parts(data, item):
        text = decode_text(data[part.start : part.end])
        if part.item_type == ABSTRACT_SYNTAX:
            # 5- abstract-syntax-name (PS3.8 Table 9-14)
            abstract_syntax = _once(abstract_syntax, text, part)
        elif part.item_type == TRANSFER_SYNTAX:
            # 5- transfer-syntax-name (PS3.8 Table 9-15)
            if len(transfer_syntaxes) == TRANSFER_SYNTAXES_MAX:
                violate(
                    f"presentation context {context_id} has over {TRANSFER_SYNTAXES_MAX} transfer syntaxes",
                    part.offset,
                )
            transfer_syntaxes.append(text)
    return ProposedContext(context_id, abstract_syntax or "", tuple(transfer_syntaxes))


def _decode_context_result(data: bytes, item: Item) -> ContextResult:
    # 5 presentation-context-id, 6 reserved, 7 result/reason, 8 reserved,
    # 9- one transfer syntax (PS3.8 Table 9-18)
    context_id = _decode_context_id(data, item)
    result = data[item.start + 2]
    transfer_syntax: str | None = None
    for part in _context_parts(data, item):
        if part.item_type == TRANSFER_SYNTAX and (transfer_syntax is None or result == 0):
            text = decode_text(data[part.start : part.end])
            transfer_syntax = _once(transfer_syntax, text, part)
    if result == 0 and not transfer_syntax:
        violate(f"presentation context {context_id} is accepted without a transfer syntax", item.offset)
    return ContextResult(context_id, result, transfer_syntax or "")


def _decode_context_id(data: bytes, item: Item) -> int:
    if item.end - item.start < _CONTEXT_HEAD_BYTES:
        violate(f"presentation-context item has {item.end - item.start} bytes, needs 4", item.offset)
    context_id = data[item.start]
    if context_id % 2 == 0:
        violate(f"presentation-context-id {context_id} is even (PS3.8 Table 9-13)", item.start)
    return context_id


def _context_parts(data: bytes, item: Item) -> Iterator[Item]:
    parent = f"presentation-context item ({item.item_type:02X}H)"
    return take_items(data, item.start + _CONTEXT_HEAD_BYTES, item.end, parent)


def _require_ae_title(title: str, what: str) -> None:
    """ISO 646 without backslash and control characters, and not blank: the VR AE (PS3.5 Table 6.2-1)."""
    if not title.strip(" ") or not title.isascii() or not title.isprintable() or "\\" in title:
        misuse(f"{what} is blank, or has a character that an AE title may not have (PS3.5 Table 6.2-1)")


def _require_context_ids(context_ids: list[int]) -> None:
    if len(context_ids) > PRESENTATION_CONTEXTS_MAX:
        misuse(f"{len(context_ids)} presentation contexts, allowed {PRESENTATION_CONTEXTS_MAX}")
    for context_id in context_ids:
        if context_id % 2 == 0 or not 1 <= context_id <= 255:
            misuse(
                f"presentation-context-id is {context_id}, allowed odd numbers 1 to 255 (PS3.8 Table 9-13)"
            )
    if len(set(context_ids)) != len(context_ids):
        misuse("a presentation-context-id is used twice")


def _encode(pdu_type: int, pdu: AssociateRQ | AssociateAC, contexts: list[bytes]) -> bytes:
    encode_uint16(pdu.protocol_version, "protocol-version")
    fixed = _FIXED.pack(
        pdu.protocol_version,
        encode_ae_title(pdu.called_ae_title, "called-AE-title"),
        encode_ae_title(pdu.calling_ae_title, "calling-AE-title"),
    )
    name = encode_uid(pdu.application_context_name, "application-context-name")
    information = encode_item(USER_INFORMATION, encode_user_information(pdu.user_information))
    body = b"".join((fixed, encode_item(APPLICATION_CONTEXT, name), *contexts, information))
    return _PDU_HEAD.pack(pdu_type, len(body)) + body


def _encode_proposed_context(context: ProposedContext) -> bytes:
    count = len(context.transfer_syntaxes)
    if not 1 <= count <= TRANSFER_SYNTAXES_MAX:
        misuse(
            f"presentation context {context.context_id} has {count} transfer syntaxes, "
            f"allowed 1 to {TRANSFER_SYNTAXES_MAX}"
        )
    abstract_syntax = encode_item(
        ABSTRACT_SYNTAX, encode_uid(context.abstract_syntax, "abstract-syntax-name")
    )
    transfer_syntaxes = [
        encode_item(TRANSFER_SYNTAX, encode_uid(uid, "transfer-syntax-name"))
        for uid in context.transfer_syntaxes
    ]
    head = bytes((context.context_id, 0, 0, 0))
    return encode_item(PRESENTATION_CONTEXT_RQ, b"".join((head, abstract_syntax, *transfer_syntaxes)))


def _encode_context_result(context: ContextResult) -> bytes:
    if not 0 <= context.result <= 4:
        misuse(f"result of presentation context {context.context_id} is {context.result}, allowed 0 to 4")
    if context.result == 0 or context.transfer_syntax:
        transfer_syntax = encode_uid(context.transfer_syntax, "transfer-syntax-name")
    else:
        # the sub-item must be there and its value does not matter, but an empty UID is not a UID
        transfer_syntax = _REJECTED_CONTEXT_TRANSFER_SYNTAX
    head = bytes((context.context_id, 0, context.result, 0))
    return encode_item(PRESENTATION_CONTEXT_AC, head + encode_item(TRANSFER_SYNTAX, transfer_syntax))
