"""Invariant: attributes are read within bounds from any octets in any buffers, and both scans agree.

At most VALUES_MAX values of VALUE_MAX_CHARACTERS characters, and never none of an element that is there.
Allowed exceptions: ValueError(reason, offset), alike from both scans.
"""

from __future__ import annotations

import zlib

import _codec.dataset
import router.wire.reference.dataset
from router.routing.attributes import VALUE_MAX_CHARACTERS, VALUES_MAX, Wanted, read_attributes
from tests.codec.octets import UNDEFINED, implicit_element, long_element, sequence, short_element
from tests.differential.twins import outcome
from tests.fuzz.octets import Octets

SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.70",
)
WANTED = Wanted.of(
    {
        0x00080060: "CS",
        0x00100010: "PN",
        0x00180050: "DS",
        0x00280010: "US",
        0x00091001: "UN",
        0x00209165: "AT",
    }
)


def check(data: bytes) -> None:
    """Read one dataset's attributes."""
    octets = Octets(data)
    syntax = SYNTAXES[octets.number(len(SYNTAXES))]
    start = octets.number(16) if octets.number(2) else 0
    dataset = octets.rest()
    for encoding in ((False, False), (True, False), (False, True)):
        scans = [
            outcome(module.scan_attributes, dataset, start, *encoding, WANTED.tags)
            for module in (_codec.dataset, router.wire.reference.dataset)
        ]
        assert scans[0] == scans[1]
    for buffers in ([dataset], Octets(dataset[::-1]).pieces(dataset)):
        try:
            attributes = read_attributes(buffers, syntax, WANTED)
        except ValueError as error:
            reason, offset = error.args
            assert reason.isprintable()
            assert offset >= 0
            continue
        for values in attributes.values():
            assert 1 <= len(values) <= VALUES_MAX
            assert all(len(value) <= VALUE_MAX_CHARACTERS for value in values)


def seeds() -> list[bytes]:
    """Return a small dataset in each encoding."""
    explicit = (
        short_element(0x00080005, "CS", b"ISO_IR 192")
        + short_element(0x00080060, "CS", b"CT\\MR ")
        + long_element(
            0x00081140, "SQ", sequence([short_element(0x00280010, "US", b"\0\2")]), length=UNDEFINED
        )
        + short_element(0x00100010, "PN", b"A^B\x1b$B ")
        + short_element(0x00280010, "US", b"\0\2")
    )
    implicit = implicit_element(0x00080060, b"CT") + implicit_element(
        0x00081140, sequence([implicit_element(0x00100010, b"ab")]), length=UNDEFINED
    )
    return [
        b"\1\0" + explicit,
        b"\0\0" + implicit,
        b"\3\0" + zlib.compress(explicit, wbits=-15),
        b"\4\0" + implicit,
        b"\2\0" + short_element(0x00080060, "CS", b"CT", big=True),
    ]
