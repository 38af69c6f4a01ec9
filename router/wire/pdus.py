"""The seven PDUs of the DICOM upper layer as values, and their octets (PS3.8 section 9.3).

`encode_pdu` and `decode_pdu` are the two doors; A-ASSOCIATE-RQ and -AC live in associate.py. On the data path
P-DATA-TF never comes here: the codec cuts and builds it without copying; this one is for tools and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import TypeAlias

from router.standard.reasons import (
    ABORT_REASON_UNRECOGNISED_PDU,
    REJECT_REASONS,
    REJECT_RESULTS,
)
from router.wire.associate import (
    ASSOCIATE_AC,
    ASSOCIATE_PDU_MAX_BYTES,
    ASSOCIATE_RQ,
    PDU_HEAD_BYTES,
    PRESENTATION_CONTEXTS_MAX,
    TRANSFER_SYNTAXES_MAX,
    AssociateAC,
    AssociateRQ,
    ContextResult,
    ProposedContext,
    decode_associate_ac,
    decode_associate_rq,
    encode_associate_ac,
    encode_associate_rq,
)
from router.wire.items import misuse, violate

__all__ = [
    "ABORT",
    "ASSOCIATE_AC",
    "ASSOCIATE_PDU_MAX_BYTES",
    "ASSOCIATE_RJ",
    "ASSOCIATE_RQ",
    "PDU_HEAD_BYTES",
    "PRESENTATION_CONTEXTS_MAX",
    "P_DATA_TF",
    "RELEASE_RP",
    "RELEASE_RQ",
    "TRANSFER_SYNTAXES_MAX",
    "Abort",
    "AssociateAC",
    "AssociateRJ",
    "AssociateRQ",
    "ContextResult",
    "PDataTF",
    "Pdu",
    "Pdv",
    "ProposedContext",
    "ReleaseRP",
    "ReleaseRQ",
    "decode_pdu",
    "encode_pdu",
]

ASSOCIATE_RJ = 0x03
P_DATA_TF = 0x04
RELEASE_RQ = 0x05
RELEASE_RP = 0x06
ABORT = 0x07

SHORT_PDU_BYTES = 4
"""PDU-length of A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT, always."""

_PDU_HEAD = Struct(">BxI")
_SHORT = Struct(">BxI4B")
_PDV_HEAD = Struct(">IBB")
_PDV_LENGTH_BYTES = 4
_PDV_LENGTH_MIN = 2


@dataclass(frozen=True, slots=True)
class AssociateRJ:
    """A-ASSOCIATE-RJ; numbers as in router.standard.reasons (PS3.8 Table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class ReleaseRQ:
    """A-RELEASE-RQ (PS3.8 Table 9-24)."""


@dataclass(frozen=True, slots=True)
class ReleaseRP:
    """A-RELEASE-RP (PS3.8 Table 9-25)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT; numbers as in router.standard.reasons (PS3.8 Table 9-26)."""

    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class Pdv:
    """One presentation-data-value (PS3.8 Table 9-23).

    message_control_header: bit 0 set for a command fragment, bit 1 for the last fragment (PS3.8 Annex E.2).
    """

    context_id: int
    message_control_header: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PDataTF:
    """P-DATA-TF (PS3.8 Table 9-22)."""

    pdvs: tuple[Pdv, ...]


Pdu: TypeAlias = AssociateRQ | AssociateAC | AssociateRJ | PDataTF | ReleaseRQ | ReleaseRP | Abort


def decode_pdu(data: bytes) -> Pdu:
    """Decode one whole PDU, its 6-byte head included.

    Raises PeerViolation(reason, offset), and nothing else, for whatever a peer may have sent.
    """
    if len(data) < PDU_HEAD_BYTES:
        violate(f"a PDU of {len(data)} bytes, its head needs {PDU_HEAD_BYTES}", 0)
    # 1 PDU-type, 2 reserved, 3-6 PDU-length: bytes that follow (PS3.8 section 9.3.1)
    pdu_type, length = _PDU_HEAD.unpack_from(data)
    decode = _DECODERS.get(pdu_type)
    if decode is None:
        violate(f"PDU-type {pdu_type:02X}H is not one of 01H to 07H", 0, ABORT_REASON_UNRECOGNISED_PDU)
    if length != len(data) - PDU_HEAD_BYTES:
        violate(f"PDU-length is {length}, {len(data) - PDU_HEAD_BYTES} bytes follow", 2)
    return decode(data)


def encode_pdu(pdu: Pdu) -> bytes:
    """Return the octets of one whole PDU; raise LocalMisuse for values that cannot or must not be sent."""
    match pdu:
        case AssociateRQ():
            return encode_associate_rq(pdu)
        case AssociateAC():
            return encode_associate_ac(pdu)
        case AssociateRJ():
            return _encode_rj(pdu)
        case PDataTF():
            return _encode_p_data_tf(pdu)
        case ReleaseRQ():
            return _SHORT.pack(RELEASE_RQ, SHORT_PDU_BYTES, 0, 0, 0, 0)
        case ReleaseRP():
            return _SHORT.pack(RELEASE_RP, SHORT_PDU_BYTES, 0, 0, 0, 0)
        case Abort():
            if not (0 <= pdu.source <= 255 and 0 <= pdu.reason <= 255):
                misuse(f"A-ABORT source {pdu.source}, reason {pdu.reason}: allowed 0 to 255")
            return _SHORT.pack(ABORT, SHORT_PDU_BYTES, 0, 0, pdu.source, pdu.reason)


def _decode_rj(data: bytes) -> AssociateRJ:
    _require_short(data, "A-ASSOCIATE-RJ")
    # 7 reserved, 8 result, 9 source, 10 reason/diagnostic (PS3.8 Table 9-21)
    return AssociateRJ(data[7], data[8], data[9])


def _decode_release_rq(data: bytes) -> ReleaseRQ:
    _require_short(data, "A-RELEASE-RQ")
    # 7-10 reserved (PS3.8 Table 9-24)
    return ReleaseRQ()


def _decode_release_rp(data: bytes) -> ReleaseRP:
    _require_short(data, "A-RELEASE-RP")
    # 7-10 reserved (PS3.8 Table 9-25)
    return ReleaseRP()


def _decode_abort(data: bytes) -> Abort:
    _require_short(data, "A-ABORT")
    # 7-8 reserved, 9 source, 10 reason/diagnostic (PS3.8 Table 9-26)
    return Abort(data[8], data[9])


def _require_short(data: bytes, pdu_name: str) -> None:
    length = len(data) - PDU_HEAD_BYTES
    if length != SHORT_PDU_BYTES:
        violate(f"{pdu_name} has PDU-length {length}, allowed {SHORT_PDU_BYTES}", 2)


def _decode_p_data_tf(data: bytes) -> PDataTF:
    pdvs: list[Pdv] = []
    position = PDU_HEAD_BYTES
    while position < len(data):
        # 1-4 item-length: what follows it, head bytes included; 5 presentation-context-id;
        # 6 message-control-header (PS3.8 Table 9-23, Annex E.2)
        left = len(data) - position - _PDV_LENGTH_BYTES
        if left < _PDV_LENGTH_MIN:
            violate(f"P-DATA-TF ends with {left + _PDV_LENGTH_BYTES} bytes, a PDV head needs 6", position)
        length, context_id, header = _PDV_HEAD.unpack_from(data, position)
        if not _PDV_LENGTH_MIN <= length <= left:
            violate(f"PDV length is {length}, allowed {_PDV_LENGTH_MIN} to {left}", position)
        end = position + _PDV_LENGTH_BYTES + length
        pdvs.append(Pdv(context_id, header, data[position + _PDV_HEAD.size : end]))
        position = end
    return PDataTF(tuple(pdvs))


_DECODERS: dict[int, Callable[[bytes], Pdu]] = {
    ASSOCIATE_RQ: decode_associate_rq,
    ASSOCIATE_AC: decode_associate_ac,
    ASSOCIATE_RJ: _decode_rj,
    P_DATA_TF: _decode_p_data_tf,
    RELEASE_RQ: _decode_release_rq,
    RELEASE_RP: _decode_release_rp,
    ABORT: _decode_abort,
}


def _encode_rj(pdu: AssociateRJ) -> bytes:
    if pdu.result not in REJECT_RESULTS or pdu.reason not in REJECT_REASONS.get(pdu.source, ()):
        misuse(
            f"A-ASSOCIATE-RJ result {pdu.result}, source {pdu.source}, reason {pdu.reason} "
            f"is not in PS3.8 Table 9-21"
        )
    return _SHORT.pack(ASSOCIATE_RJ, SHORT_PDU_BYTES, 0, pdu.result, pdu.source, pdu.reason)


def _encode_p_data_tf(pdu: PDataTF) -> bytes:
    parts: list[bytes] = []
    for pdv in pdu.pdvs:
        if pdv.context_id % 2 == 0 or not 1 <= pdv.context_id <= 255:
            misuse(f"presentation-context-id is {pdv.context_id}, allowed odd numbers 1 to 255")
        if not 0 <= pdv.message_control_header <= 255:
            misuse(f"message-control-header is {pdv.message_control_header}, allowed 0 to 255")
        parts += (_PDV_HEAD.pack(len(pdv.data) + 2, pdv.context_id, pdv.message_control_header), pdv.data)
    length = sum(map(len, parts))
    if length > 0xFFFFFFFF:
        misuse(f"P-DATA-TF of {length} bytes, allowed {0xFFFFFFFF}")
    return b"".join((_PDU_HEAD.pack(P_DATA_TF, length), *parts))
