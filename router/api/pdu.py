"""PDUs as observers see them: what router/wire decodes, under the names that programs know."""

from __future__ import annotations

from typing import Any, ClassVar

from router.errors import PeerViolation
from router.standard.reasons import describe_abort
from router.wire import pdus
from router.wire.pdus import decode_pdu, encode_pdu

PDU_HEAD_BYTES = 6


class PDU:
    """One PDU. Its attributes are those of the dataclass in router/wire/pdus.py."""

    pdu_type: ClassVar[int] = 0

    def __init__(self, pdu: Any, octets: bytes) -> None:
        self._pdu = pdu
        self._octets = octets

    @property
    def pdu_length(self) -> int:
        """The bytes after the PDU's head."""
        return len(self._octets) - PDU_HEAD_BYTES

    def encode(self) -> bytes:
        """Return the octets."""
        return self._octets or encode_pdu(self._pdu)

    def __len__(self) -> int:
        return len(self._octets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_pdu"], name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} bytes>"


class A_ASSOCIATE_RQ(PDU):
    """A-ASSOCIATE-RQ (PS3.8 Table 9-11)."""

    pdu_type = 0x01


class A_ASSOCIATE_AC(PDU):
    """A-ASSOCIATE-AC (PS3.8 Table 9-17)."""

    pdu_type = 0x02


class A_ASSOCIATE_RJ(PDU):
    """A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    pdu_type = 0x03

    @property
    def reason_diagnostic(self) -> int:
        """Why, numbered anew for each source."""
        reason: int = self._pdu.reason
        return reason


class P_DATA_TF(PDU):
    """P-DATA-TF (PS3.8 Table 9-22)."""

    pdu_type = 0x04


class A_RELEASE_RQ(PDU):
    """A-RELEASE-RQ (PS3.8 Table 9-24)."""

    pdu_type = 0x05


class A_RELEASE_RP(PDU):
    """A-RELEASE-RP (PS3.8 Table 9-25)."""

    pdu_type = 0x06


class A_ABORT_RQ(PDU):
    """A-ABORT (PS3.8 Table 9-26)."""

    pdu_type = 0x07

    @property
    def reason_diagnostic(self) -> int:
        """Why, if the source is the service-provider."""
        reason: int = self._pdu.reason
        return reason

    @property
    def reason_str(self) -> str:
        """Source and reason in words."""
        return describe_abort(self._pdu.source, self._pdu.reason)


_KINDS: dict[type[Any], type[PDU]] = {
    pdus.AssociateRQ: A_ASSOCIATE_RQ,
    pdus.AssociateAC: A_ASSOCIATE_AC,
    pdus.AssociateRJ: A_ASSOCIATE_RJ,
    pdus.PDataTF: P_DATA_TF,
    pdus.ReleaseRQ: A_RELEASE_RQ,
    pdus.ReleaseRP: A_RELEASE_RP,
    pdus.Abort: A_ABORT_RQ,
}


def pdu_of(octets: bytes) -> PDU | None:
    """Return the PDU object of these octets, or None if they are no PDU."""
    try:
        pdu = decode_pdu(octets)
    except PeerViolation:
        return None
    return _KINDS[type(pdu)](pdu, octets)
