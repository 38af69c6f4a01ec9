"""User information: the negotiation sub-items of A-ASSOCIATE-RQ and -AC (PS3.7 Annex D.3.3, PS3.8 Annex D.1).

Decoding ignores unknown sub-items; every length is checked against its parent.
User identity fields never show in a repr, a log line or an error text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from router.wire.items import (
    UINT16,
    UINT32,
    Item,
    decode_text,
    encode_item,
    encode_prefixed,
    encode_uid,
    encode_uint16,
    misuse,
    require_length,
    take_items,
    take_prefixed,
    violate,
)

MAXIMUM_LENGTH = 0x51
IMPLEMENTATION_CLASS_UID = 0x52
ASYNCHRONOUS_OPERATIONS_WINDOW = 0x53
ROLE_SELECTION = 0x54
IMPLEMENTATION_VERSION_NAME = 0x55
SOP_CLASS_EXTENDED = 0x56
SOP_CLASS_COMMON_EXTENDED = 0x57
USER_IDENTITY_RQ = 0x58
USER_IDENTITY_AC = 0x59

IMPLEMENTATION_VERSION_NAME_MAX = 16
PER_SOP_CLASS_ITEMS_MAX = 1024
"""Most sub-items of one kind (54H, 56H or 57H) accepted; honest peers send one per context, 128 at most."""


@dataclass(frozen=True, slots=True)
class AsynchronousOperationsWindow:
    """Sub-item 53H: outstanding operations; 0 means unlimited (PS3.7 Annex D.3.3.3)."""

    invoked: int
    performed: int


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """Sub-item 54H: roles of the association *requestor* for one SOP class (PS3.7 Annex D.3.3.4)."""

    sop_class_uid: str
    scu_role: bool
    scp_role: bool


@dataclass(frozen=True, slots=True)
class SOPClassExtended:
    """Sub-item 56H: opaque application information of one SOP class (PS3.7 Annex D.3.3.5)."""

    sop_class_uid: str
    information: bytes


@dataclass(frozen=True, slots=True)
class SOPClassCommonExtended:
    """Sub-item 57H: which service class a SOP class belongs to (PS3.7 Annex D.3.3.6); requestor only."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UserIdentityRQ:
    """Sub-item 58H (PS3.7 Annex D.3.3.7).

    identity_type: 1 name, 2 name and passcode, 3 Kerberos ticket, 4 SAML assertion, 5 JSON web token.
    """

    identity_type: int
    positive_response_requested: bool
    primary_field: bytes = field(repr=False)
    secondary_field: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class UserIdentityAC:
    """Sub-item 59H: the acceptor's answer to a user identity (PS3.7 Annex D.3.3.7)."""

    server_response: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class UserInformation:
    """What one side tells the other about itself; None or () where a sub-item is absent.

    maximum_length: bytes of the largest P-DATA-TF variable field its sender will receive; 0 is no limit.
    """

    maximum_length: int | None = None
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    asynchronous_operations: AsynchronousOperationsWindow | None = None
    role_selections: tuple[RoleSelection, ...] = ()
    sop_class_extended: tuple[SOPClassExtended, ...] = ()
    sop_class_common_extended: tuple[SOPClassCommonExtended, ...] = ()
    user_identity: UserIdentityRQ | None = None
    user_identity_response: UserIdentityAC | None = None


NO_USER_INFORMATION = UserInformation()


def decode_user_information(data: bytes, start: int, end: int) -> UserInformation:
    """Decode the value of one user-information item (50H) that stands at data[start:end].

    Raises PeerViolation for a length that lies, a sub-item that may stand only once and stands twice, or more
    than PER_SOP_CLASS_ITEMS_MAX of the others.
    """
    found: dict[int, list[object]] = {}
    for item in take_items(data, start, end, "user-information item (50H)"):
        decode = _DECODERS.get(item.item_type)
        if decode is None:
            continue  # unknown sub-items are not an error (PS3.8 Annex D.2)
        values = found.setdefault(item.item_type, [])
        maximum = PER_SOP_CLASS_ITEMS_MAX if item.item_type in _REPEATABLE else 1
        if len(values) == maximum:
            violate(f"sub-item {item.item_type:02X}H stands more than {maximum} times", item.offset)
        values.append(decode(data, item))
    arguments = {
        name: tuple(found[item_type]) if item_type in _REPEATABLE else found[item_type][0]
        for item_type, name in _ARGUMENTS.items()
        if item_type in found
    }
    return UserInformation(**arguments)  # type: ignore[arg-type]


def encode_user_information(information: UserInformation) -> bytes:
    """Return the value of one user-information item; raise LocalMisuse for what cannot be encoded.

    Order: maximum length, implementation, roles, asynchronous operations, user identity, extended.
    """
    parts = [_encode_implementation(information)]
    parts += [_encode_role(role) for role in information.role_selections]
    if information.asynchronous_operations is not None:
        parts.append(_encode_asynchronous_operations(information.asynchronous_operations))
    if information.user_identity is not None:
        parts.append(_encode_user_identity(information.user_identity))
    if information.user_identity_response is not None:
        response = information.user_identity_response.server_response
        # 5-6 server-response-length, 7- server-response (PS3.7 Table D.3-15)
        parts.append(encode_item(USER_IDENTITY_AC, encode_prefixed(response, "server-response")))
    parts += [_encode_extended(extended) for extended in information.sop_class_extended]
    parts += [_encode_common_extended(common) for common in information.sop_class_common_extended]
    return b"".join(parts)


def _decode_maximum_length(data: bytes, item: Item) -> int:
    # 5-8 maximum-length-received: bytes of a P-DATA-TF variable field, 0 = no limit (PS3.8 Table D.1-1)
    require_length(item, 4, "maximum-length sub-item (51H)")
    value: int = UINT32.unpack_from(data, item.start)[0]
    return value


def _decode_text(data: bytes, item: Item) -> str:
    # 5- implementation-class-uid (PS3.7 Table D.3-1) or implementation-version-name (Table D.3-3)
    return decode_text(data[item.start : item.end])


def _decode_asynchronous_operations(data: bytes, item: Item) -> AsynchronousOperationsWindow:
    # 5-6 maximum-number-operations-invoked, 7-8 maximum-number-operations-performed (PS3.7 Table D.3-7)
    require_length(item, 4, "asynchronous-operations-window sub-item (53H)")
    return AsynchronousOperationsWindow(
        UINT16.unpack_from(data, item.start)[0], UINT16.unpack_from(data, item.start + 2)[0]
    )


def _decode_role(data: bytes, item: Item) -> RoleSelection:
    # 5-6 uid-length, 7- sop-class-uid, then 1 byte scu-role and 1 byte scp-role (PS3.7 Table D.3-9)
    uid, after = take_prefixed(data, item.start, item.end, "sop-class-uid")
    if item.end - after != 2:
        violate(f"role-selection sub-item (54H) has {item.end - after} role bytes, allowed 2", item.offset)
    return RoleSelection(decode_text(uid), data[after] == 1, data[after + 1] == 1)


def _decode_extended(data: bytes, item: Item) -> SOPClassExtended:
    # 5-6 sop-class-uid-length, 7- sop-class-uid,
    # the rest: service-class-application-information (PS3.7 Table D.3-11)
    uid, after = take_prefixed(data, item.start, item.end, "sop-class-uid")
    return SOPClassExtended(decode_text(uid), data[after : item.end])


def _decode_common_extended(data: bytes, item: Item) -> SOPClassCommonExtended:
    # 2 sub-item-version (0), 5-6 sop-class-uid-length, 7- sop-class-uid, 2 bytes service-class-uid-length,
    # service-class-uid, 2 bytes related-general-sop-class-identification-length, then that many bytes of
    # (2 bytes length, uid); what follows is reserved and may grow in later versions (PS3.7 Table D.3-12)
    sop_class, after = take_prefixed(data, item.start, item.end, "sop-class-uid")
    service_class, after = take_prefixed(data, after, item.end, "service-class-uid")
    related, after = take_prefixed(data, after, item.end, "related-general-sop-class-identification")
    related_uids = []
    position = after - len(related)
    while position < after:
        uid, position = take_prefixed(data, position, after, "related-general-sop-class-uid")
        related_uids.append(decode_text(uid))
    return SOPClassCommonExtended(decode_text(sop_class), decode_text(service_class), tuple(related_uids))


def _decode_user_identity(data: bytes, item: Item) -> UserIdentityRQ:
    # 5 user-identity-type, 6 positive-response-requested, 7-8 primary-field-length, 9- primary-field,
    # 2 bytes secondary-field-length, secondary-field: not empty with type 2 only (PS3.7 Table D.3-14)
    if item.end - item.start < 2:
        violate(f"user-identity sub-item (58H) has {item.end - item.start} bytes, needs 6", item.offset)
    primary, after = take_prefixed(data, item.start + 2, item.end, "primary-field")
    secondary, after = take_prefixed(data, after, item.end, "secondary-field")
    if after != item.end:
        violate(f"user-identity sub-item (58H) has {item.end - after} bytes after its fields", item.offset)
    return UserIdentityRQ(data[item.start], data[item.start + 1] == 1, primary, secondary)


def _decode_user_identity_response(data: bytes, item: Item) -> UserIdentityAC:
    # 5-6 server-response-length, 7- server-response (PS3.7 Table D.3-15)
    response, after = take_prefixed(data, item.start, item.end, "server-response")
    if after != item.end:
        violate(f"user-identity sub-item (59H) has {item.end - after} bytes after its response", item.offset)
    return UserIdentityAC(response)


_DECODERS: dict[int, Callable[[bytes, Item], object]] = {
    MAXIMUM_LENGTH: _decode_maximum_length,
    IMPLEMENTATION_CLASS_UID: _decode_text,
    ASYNCHRONOUS_OPERATIONS_WINDOW: _decode_asynchronous_operations,
    ROLE_SELECTION: _decode_role,
    IMPLEMENTATION_VERSION_NAME: _decode_text,
    SOP_CLASS_EXTENDED: _decode_extended,
    SOP_CLASS_COMMON_EXTENDED: _decode_common_extended,
    USER_IDENTITY_RQ: _decode_user_identity,
    USER_IDENTITY_AC: _decode_user_identity_response,
}
_ARGUMENTS = {
    MAXIMUM_LENGTH: "maximum_length",
    IMPLEMENTATION_CLASS_UID: "implementation_class_uid",
    ASYNCHRONOUS_OPERATIONS_WINDOW: "asynchronous_operations",
    ROLE_SELECTION: "role_selections",
    IMPLEMENTATION_VERSION_NAME: "implementation_version_name",
    SOP_CLASS_EXTENDED: "sop_class_extended",
    SOP_CLASS_COMMON_EXTENDED: "sop_class_common_extended",
    USER_IDENTITY_RQ: "user_identity",
    USER_IDENTITY_AC: "user_identity_response",
}
_REPEATABLE = frozenset({ROLE_SELECTION, SOP_CLASS_EXTENDED, SOP_CLASS_COMMON_EXTENDED})


def _encode_implementation(information: UserInformation) -> bytes:
    encoded = b""
    if (maximum_length := information.maximum_length) is not None:
        if not 0 <= maximum_length <= 0xFFFFFFFF:
            misuse(f"maximum-length is {maximum_length}, allowed 0 to {0xFFFFFFFF}")
        encoded += encode_item(MAXIMUM_LENGTH, UINT32.pack(maximum_length))
    if (uid := information.implementation_class_uid) is not None:
        encoded += encode_item(IMPLEMENTATION_CLASS_UID, encode_uid(uid, "implementation-class-uid"))
    if (name := information.implementation_version_name) is not None:
        if not 1 <= len(name) <= IMPLEMENTATION_VERSION_NAME_MAX or not (
            name.isascii() and name.isprintable()
        ):
            misuse(f"implementation-version-name needs 1-{IMPLEMENTATION_VERSION_NAME_MAX} ASCII characters")
        encoded += encode_item(IMPLEMENTATION_VERSION_NAME, name.encode("ascii"))
    return encoded


def _encode_role(role: RoleSelection) -> bytes:
    uid = encode_prefixed(
        encode_uid(role.sop_class_uid, "sop-class-uid of a role selection"), "sop-class-uid"
    )
    return encode_item(ROLE_SELECTION, uid + bytes((role.scu_role, role.scp_role)))


def _encode_asynchronous_operations(window: AsynchronousOperationsWindow) -> bytes:
    invoked = encode_uint16(window.invoked, "maximum-number-operations-invoked")
    performed = encode_uint16(window.performed, "maximum-number-operations-performed")
    return encode_item(ASYNCHRONOUS_OPERATIONS_WINDOW, invoked + performed)


def _encode_user_identity(identity: UserIdentityRQ) -> bytes:
    if not 0 <= identity.identity_type <= 0xFF:
        misuse(f"user-identity-type is {identity.identity_type}, allowed 0 to 255")
    return encode_item(
        USER_IDENTITY_RQ,
        bytes((identity.identity_type, identity.positive_response_requested))
        + encode_prefixed(identity.primary_field, "primary-field")
        + encode_prefixed(identity.secondary_field, "secondary-field"),
    )


def _encode_extended(extended: SOPClassExtended) -> bytes:
    uid = encode_prefixed(encode_uid(extended.sop_class_uid, "sop-class-uid to extend"), "sop-class-uid")
    return encode_item(SOP_CLASS_EXTENDED, uid + extended.information)


def _encode_common_extended(common: SOPClassCommonExtended) -> bytes:
    related = b"".join(
        encode_prefixed(encode_uid(uid, "related-general-sop-class-uid"), "related-general-sop-class-uid")
        for uid in common.related_general_sop_classes
    )
    return encode_item(
        SOP_CLASS_COMMON_EXTENDED,
        encode_prefixed(encode_uid(common.sop_class_uid, "sop-class-uid"), "sop-class-uid")
        + encode_prefixed(encode_uid(common.service_class_uid, "service-class-uid"), "service-class-uid")
        + encode_prefixed(related, "related-general-sop-class-identification"),
    )
