"""Certificates: what the files hold, whether they are good, and what a peer has shown of itself.

Only what TLS needs beside the ssl module: the dates of a certificate before it is used, and its names and
fingerprint after a handshake.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from router.config.sources import Credentials

PEM_BYTES_MAX = 4 << 20

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_ENCRYPTED = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")

# DER tags (X.690)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a certificate is good (RFC 5280 section 4.1.2.5)."""

    not_before: datetime
    not_after: datetime


def read_certificates(path: str) -> list[bytes]:
    """Return the certificates of a PEM file as DER, in their order. Raises OSError, ValueError."""
    text = _read(path).decode("ascii", "replace")
    return [ssl.PEM_cert_to_DER_cert(block) for block in _CERTIFICATE.findall(text)]


def is_encrypted_key(path: str) -> bool:
    """Whether a PEM file holds a key that needs a password. Raises OSError, ValueError."""
    data = _read(path)
    return any(mark in data for mark in _ENCRYPTED)


def validity_of(certificate: bytes) -> Validity:
    """Read the dates of a DER certificate. Raises ValueError if it is none."""
    _, whole, _ = _element(certificate, _SEQUENCE)
    _, to_be_signed, _ = _element(whole, _SEQUENCE)
    tag, _, rest = _element(to_be_signed)
    if tag == _VERSION:
        _, _, rest = _element(rest)  # now past the serial number
    for _ in range(2):  # signature algorithm, issuer
        _, _, rest = _element(rest, _SEQUENCE)
    _, validity, _ = _element(rest, _SEQUENCE)
    tag, not_before, validity = _element(validity)
    first = _moment(tag, not_before)
    tag, not_after, _ = _element(validity)
    return Validity(first, _moment(tag, not_after))


def fingerprint_of(certificate: bytes) -> str:
    """Return the SHA-256 of a DER certificate in small hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


def credentials_of(tls: ssl.SSLObject | ssl.SSLSocket) -> Credentials:
    """Return what the peer has shown in a finished handshake."""
    certificate = tls.getpeercert(binary_form=True)
    if not certificate:
        return Credentials()
    return Credentials(_names(tls.getpeercert() or {}), fingerprint_of(certificate))


def _names(certificate: Any) -> frozenset[str]:
    """Return the common names and subject alternative names of a verified certificate."""
    found = [value for kind, value in certificate.get("subjectAltName", ()) if isinstance(value, str)]
    for part in certificate.get("subject", ()):
        found += [value for kind, value in part if kind == "commonName"]
    return frozenset(name.lower() for name in found)


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        data = file.read(PEM_BYTES_MAX + 1)
    if len(data) > PEM_BYTES_MAX:
        raise ValueError(f"is longer than {PEM_BYTES_MAX} bytes")
    return data


def _element(data: bytes, wanted: int | None = None) -> tuple[int, bytes, bytes]:
    """Take one DER element; return tag, content and what follows it. Raises ValueError."""
    if len(data) < 2:
        raise ValueError("is cut short")
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        count = length & 0x7F
        start += count
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data) or (wanted is not None and tag != wanted):
        raise ValueError("is not a certificate")
    return tag, data[start : start + length], data[start + length :]


def _moment(tag: int, text: bytes) -> datetime:
    """Read a UTCTime (years 1950 to 2049) or a GeneralizedTime."""
    digits = text.decode("ascii", "replace")
    if tag == _UTC_TIME:
        digits = ("20" if digits[:2] < "50" else "19") + digits
    elif tag != _GENERALIZED_TIME:
        raise ValueError("is not a certificate")
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
