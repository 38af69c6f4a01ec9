"""The few PDUs a load generator needs, encoded and decoded in a plain way, apart from the router's code.

Only well-formed peers are expected here: whatever is malformed raises ValueError or struct.error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA_TF, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
RELEASE_RQ_PDU = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
RELEASE_RP_PDU = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"
ABORT_PDU = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLEMENTATION_CLASS_UID = "2.25.204781153"
IMPLEMENTATION_VERSION_NAME = "LOAD_TOOL"

C_STORE_RQ, C_STORE_RSP, C_ECHO_RQ, C_ECHO_RSP = 0x0001, 0x8001, 0x0030, 0x8030
DATASET_FOLLOWS, NO_DATASET = 0x0000, 0x0101

# Command elements (PS3.7 Annex E), group 0000.
AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
PRIORITY = 0x0700
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
AFFECTED_SOP_INSTANCE_UID = 0x1000

COMMAND_FRAGMENT, LAST_FRAGMENT = 0x01, 0x02  # message control header bits (PS3.8 Annex E.2)
FRAGMENT_MAX_BYTES = 1 << 20  # our own choice where the peer sets no limit


@dataclass(slots=True)
class Associate:
    """What an A-ASSOCIATE-RQ or -AC says that a load tool wants to know.

    proposed: context id -> (abstract syntax, transfer syntaxes), from an RQ.
    results: context id -> (result, transfer syntax), from an AC.
    maximum_length: largest P-DATA-TF variable field the peer takes; 0 = no limit.
    window: (invoked, performed) of the asynchronous operations window; None if absent.
    """

    called_ae_title: str
    calling_ae_title: str
    proposed: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    results: dict[int, tuple[int, str]] = field(default_factory=dict)
    maximum_length: int = 0
    window: tuple[int, int] | None = None


def item(item_type: int, content: bytes) -> bytes:
    """Encode one item or sub-item: type, reserved octet, two-octet length, content."""
    return struct.pack(">BxH", item_type, len(content)) + content


def associate_rq(
    called_ae_title: str,
    calling_ae_title: str,
    contexts: Sequence[tuple[int, str, Sequence[str]]],
    maximum_length: int = 0,
    window: int = 1,
) -> bytes:
    """Encode an A-ASSOCIATE-RQ; contexts are (id, abstract syntax, transfer syntaxes).

    window: operations to invoke at once; 1 sends no asynchronous operations item.
    """
    content = item(0x10, APPLICATION_CONTEXT.encode())
    for context_id, abstract_syntax, transfer_syntaxes in contexts:
        syntaxes = item(0x30, abstract_syntax.encode())
        syntaxes += b"".join(item(0x40, uid.encode()) for uid in transfer_syntaxes)
        content += item(0x20, struct.pack(">B3x", context_id) + syntaxes)
    windows = (window, window) if window != 1 else None
    content += _user_information(maximum_length, windows)
    return _associate_pdu(ASSOCIATE_RQ, called_ae_title, calling_ae_title, content)


def associate_ac(
    request: Associate,
    maximum_length: int = 0,
    window_max: int = 1,
    refused: frozenset[str] | set[str] = frozenset(),
) -> bytes:
    """Encode an A-ASSOCIATE-AC that takes every context in its first transfer syntax.

    refused: abstract syntaxes to answer with result 3 (abstract syntax not supported).
    """
    content = item(0x10, APPLICATION_CONTEXT.encode())
    for context_id, (abstract_syntax, transfer_syntaxes) in request.proposed.items():
        result = 3 if abstract_syntax in refused else 0
        syntax = item(0x40, transfer_syntaxes[0].encode())
        content += item(0x21, struct.pack(">BxBx", context_id, result) + syntax)
    window = None
    if request.window is not None and window_max != 1:
        window = (min(request.window[0] or window_max, window_max), 1)
    content += _user_information(maximum_length, window)
    return _associate_pdu(ASSOCIATE_AC, request.called_ae_title, request.calling_ae_title, content)


def associate_rj(result: int, source: int, reason: int) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    return struct.pack(">BxIxBBB", ASSOCIATE_RJ, 4, result, source, reason)


def parse_associate(pdu: bytes) -> Associate:
    """Decode a whole A-ASSOCIATE-RQ or -AC, its head included."""
    found = Associate(pdu[10:26].decode("latin-1").strip(), pdu[26:42].decode("latin-1").strip())
    for item_type, content in _items(pdu, 74):
        if item_type == 0x20:
            uids = [(kind, _uid(value)) for kind, value in _items(content, 4)]
            abstract_syntax = next(uid for kind, uid in uids if kind == 0x30)
            found.proposed[content[0]] = (abstract_syntax, [uid for kind, uid in uids if kind == 0x40])
        elif item_type == 0x21:
            transfer_syntax = next((_uid(value) for kind, value in _items(content, 4) if kind == 0x40), "")
            found.results[content[0]] = (content[2], transfer_syntax)
        elif item_type == 0x50:
            for kind, value in _items(content, 0):
                if kind == 0x51:
                    (found.maximum_length,) = struct.unpack(">I", value)
                elif kind == 0x53:
                    found.window = struct.unpack(">HH", value)
    return found


def encode_command(fields: Mapping[int, int | str]) -> bytes:
    """Encode a command set (Implicit VR Little Endian): US from int, UI from str; adds the group length."""
    elements = b""
    for element in sorted(fields):
        value = fields[element]
        data = (
            struct.pack("<H", value) if isinstance(value, int) else value.encode() + b"\0" * (len(value) % 2)
        )
        elements += struct.pack("<HHI", 0, element, len(data)) + data
    return struct.pack("<HHII", 0, 0, 4, len(elements)) + elements


def decode_command(data: bytes) -> dict[int, bytes]:
    """Decode a command set to element number -> raw value, the group length left out."""
    return {element: data[start:end] for element, start, end in command_elements(data) if element}


def command_elements(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (element number, value start, value end) of a command set."""
    position = 0
    while position < len(data):
        group, element, length = struct.unpack_from("<HHI", data, position)
        if group != 0 or position + 8 + length > len(data):
            raise ValueError(f"not a command set: element {group:04x},{element:04x} at {position}")
        yield element, position + 8, position + 8 + length
        position += 8 + length


def uint(value: bytes) -> int:
    """Read a US value."""
    return int.from_bytes(value, "little")


def uid_text(value: bytes) -> str:
    """Read a UI value, its padding taken off."""
    return value.rstrip(b"\0 ").decode("latin-1")


def c_store_rq(sop_class: str, sop_instance: str, message_id: int) -> bytes:
    """Encode the command set of a C-STORE-RQ."""
    return encode_command(
        {
            AFFECTED_SOP_CLASS_UID: sop_class,
            COMMAND_FIELD: C_STORE_RQ,
            MESSAGE_ID: message_id,
            PRIORITY: 0,
            COMMAND_DATA_SET_TYPE: DATASET_FOLLOWS,
            AFFECTED_SOP_INSTANCE_UID: sop_instance,
        }
    )


def response(request: Mapping[int, bytes], status: int) -> bytes:
    """Encode the command set that answers a C-STORE-RQ or C-ECHO-RQ without a dataset."""
    fields: dict[int, int | str] = {
        AFFECTED_SOP_CLASS_UID: uid_text(request[AFFECTED_SOP_CLASS_UID]),
        COMMAND_FIELD: uint(request[COMMAND_FIELD]) | 0x8000,
        MESSAGE_ID_BEING_RESPONDED_TO: uint(request[MESSAGE_ID]),
        COMMAND_DATA_SET_TYPE: NO_DATASET,
        STATUS: status,
    }
    if AFFECTED_SOP_INSTANCE_UID in request:
        fields[AFFECTED_SOP_INSTANCE_UID] = uid_text(request[AFFECTED_SOP_INSTANCE_UID])
    return encode_command(fields)


def command_pdu(context_id: int, command: bytes) -> bytes:
    """Wrap a command set into one P-DATA-TF of one last fragment."""
    return pdata_head(context_id, COMMAND_FRAGMENT | LAST_FRAGMENT, len(command)) + command


def pdata_head(context_id: int, control_header: int, payload_bytes: int) -> bytes:
    """Encode the 12 octets before the payload of a P-DATA-TF of one PDV."""
    return struct.pack(">BxIIBB", P_DATA_TF, payload_bytes + 6, payload_bytes + 2, context_id, control_header)


def fragment_bytes(maximum_length: int) -> int:
    """Return the payload of one P-DATA-TF for a peer that announced this maximum length."""
    allowed = maximum_length - 6 if maximum_length else FRAGMENT_MAX_BYTES
    return max(2, min(allowed, FRAGMENT_MAX_BYTES) & ~1)


def dataset_fragments(total_bytes: int, maximum_length: int) -> Iterator[tuple[int, int, bool]]:
    """Yield (start, end, is last) of the fragments that carry a dataset of this size."""
    step = fragment_bytes(maximum_length)
    for start in range(0, max(total_bytes, 1), step):
        end = min(start + step, total_bytes)
        yield start, end, end == total_bytes


def _associate_pdu(pdu_type: int, called: str, calling: str, content: bytes) -> bytes:
    fixed = struct.pack(">H2x16s16s32x", 1, called.encode().ljust(16), calling.encode().ljust(16))
    return struct.pack(">BxI", pdu_type, len(fixed) + len(content)) + fixed + content


def _user_information(maximum_length: int, window: tuple[int, int] | None) -> bytes:
    content = item(0x51, struct.pack(">I", maximum_length)) + item(0x52, IMPLEMENTATION_CLASS_UID.encode())
    if window is not None:
        content += item(0x53, struct.pack(">HH", *window))
    return item(0x50, content + item(0x55, IMPLEMENTATION_VERSION_NAME.encode()))


def _items(data: bytes, start: int) -> Iterable[tuple[int, bytes]]:
    while start < len(data):
        item_type, length = struct.unpack_from(">BxH", data, start)
        yield item_type, data[start + 4 : start + 4 + length]
        start += 4 + length


def _uid(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("latin-1")
