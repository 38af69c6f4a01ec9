"""Association requests put together octet by octet, so that any length and any value can be wrong."""

from __future__ import annotations

from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE, DICOM_APPLICATION_CONTEXT, VERIFICATION


def pdu(pdu_type: int, body: bytes, length: int | None = None) -> bytes:
    """One PDU; length: what it claims, if not the truth."""
    return bytes([pdu_type, 0]) + (len(body) if length is None else length).to_bytes(4, "big") + body


def item(item_type: int, content: bytes, length: int | None = None) -> bytes:
    """One item or sub-item (PS3.8 section 9.3); length: what it claims, if not the truth."""
    return bytes([item_type, 0]) + (len(content) if length is None else length).to_bytes(2, "big") + content


def context(
    context_id: int, abstract_syntax: bytes | None, *transfer_syntaxes: bytes, length: int | None = None
) -> bytes:
    """One presentation context item of a request (PS3.8 Table 9-13)."""
    content = bytes([context_id, 0, 0, 0])
    if abstract_syntax is not None:
        content += item(0x30, abstract_syntax)
    content += b"".join(item(0x40, syntax) for syntax in transfer_syntaxes)
    return item(0x20, content, length)


IMPLICIT = IMPLICIT_VR_LITTLE_ENDIAN.encode()
APPLICATION = item(0x10, DICOM_APPLICATION_CONTEXT.encode())
ECHO = context(1, VERIFICATION.encode(), IMPLICIT)
CT = context(3, CT_IMAGE_STORAGE.encode(), IMPLICIT)
MAXIMUM_LENGTH = item(0x51, (16384).to_bytes(4, "big"))
IMPLEMENTATION = item(0x52, b"1.2.3.4")


def user(*sub_items: bytes, length: int | None = None) -> bytes:
    """One user information item with maximum length and implementation class UID, and what else is given."""
    return item(0x50, MAXIMUM_LENGTH + IMPLEMENTATION + b"".join(sub_items), length)


def title(text: bytes) -> bytes:
    """One AE title field."""
    return text.ljust(16)[:16]


def request(
    *items: bytes,
    version: int = 1,
    called: bytes = b"ROUTER",
    calling: bytes = b"MODALITY",
    length: int | None = None,
) -> bytes:
    """One A-ASSOCIATE-RQ (PS3.8 Table 9-11) of these items; none: a good one."""
    content = b"".join(items or (APPLICATION, ECHO, CT, user()))
    fixed = version.to_bytes(2, "big") + bytes(2) + title(called) + title(calling) + bytes(32)
    return pdu(1, fixed + content, length)


def identity(identity_type: int, primary: bytes, secondary: bytes = b"", length: int | None = None) -> bytes:
    """One user identity sub-item (PS3.7 Table D.3-14); length: what the primary field claims."""
    claimed = len(primary) if length is None else length
    content = bytes([identity_type, 0]) + claimed.to_bytes(2, "big") + primary
    return item(0x58, content + len(secondary).to_bytes(2, "big") + secondary)
