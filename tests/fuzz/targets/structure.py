"""Invariant: both scans of a structure ask for the same octets and find the same fault at the same place,
however the octets arrive; never more than 64 sequences are followed, and what is asked for only grows.

Allowed exceptions: none.
"""

from __future__ import annotations

import _codec.structure
import router.wire.reference.structure
from tests.codec.octets import UNDEFINED, implicit_element, long_element, sequence, short_element
from tests.differential.test_structure_twins import trace, trace_wanted
from tests.differential.twins import octet_by_octet
from tests.fuzz.octets import Octets

TWINS = (_codec.structure, router.wire.reference.structure)
OCTET_BY_OCTET_MAX = 600


def check(data: bytes) -> None:
    """Scan one dataset."""
    octets = Octets(data)
    implicit, big, missing = bool(octets.number(2)), bool(octets.number(2)), octets.number(20)
    dataset = octets.rest()
    splits = [[dataset], Octets(dataset[::-1]).pieces(dataset)]
    if len(dataset) <= OCTET_BY_OCTET_MAX:
        splits.append(octet_by_octet(dataset))
    whole = trace(TWINS[0], [dataset], implicit, big, missing)[1]
    for split in splits:
        results = [trace(module, split, implicit, big, missing) for module in TWINS]
        assert results[0] == results[1]
        assert results[0][1] == whole
    wanted = [trace_wanted(module, dataset, implicit, big, 24) for module in TWINS]
    assert wanted[0] == wanted[1]
    asked, (_, fault_offset, _, depth_max) = wanted[0]
    assert asked == sorted(set(asked))
    assert depth_max <= 64
    assert fault_offset <= len(dataset)


def seeds() -> list[bytes]:
    """Return nested datasets, a fragmented one, and values that look like sequences."""
    nested = b""
    for _ in range(66):
        nested = implicit_element(0x00081140, implicit_element(0xFFFEE000, nested))
    fragments = long_element(
        0x7FE00010, "OB", sequence([b"", b"xyz!"], undefined_items=False), length=UNDEFINED
    )
    explicit = long_element(
        0x00081140, "SQ", sequence([short_element(0x00080060, "CS", b"CT")]), length=UNDEFINED
    )
    unknown = long_element(0x00091010, "UN", sequence([implicit_element(0x00100010, b"ab")]))
    return [
        b"\1\0\0" + nested,
        b"\0\0\0" + explicit + fragments,
        b"\0\0\0" + unknown + explicit,
        b"\0\1\3" + fragments,
    ]
