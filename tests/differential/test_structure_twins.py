"""Invariant: both scans of a structure ask for the same octets and find the same fault at the same place.

Datasets of all encodings, whole, damaged, cut short; fed whole, octet by octet, in random pieces, and with
values left out.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import _codec.structure
import router.wire.reference.structure
from tests.differential.test_dataset_twins import ENCODINGS, cases
from tests.differential.twins import QUICK, damaged, octet_by_octet, outcome, pieces

TWINS = (_codec.structure, router.wire.reference.structure)


def trace(module, parts, implicit, big, missing=0):
    """Feed all parts; return what was asked for after each, and the outcome. missing: octets never fed."""
    scan = module.StructureScan(sum(map(len, parts)) + missing, implicit, big)
    asked, offset = [], 0
    for part in parts:
        asked.append((scan.feed(part, offset), scan.next_offset))
        offset += len(part)
    return asked, (scan.fault, scan.fault_offset, scan.is_excessive, scan.depth_max, scan.done)


def trace_wanted(module, octets, implicit, big, step):
    """Feed only what is asked for, so many octets at a time."""
    scan = module.StructureScan(len(octets), implicit, big)
    asked = []
    while not scan.done:
        asked.append(scan.next_offset)
        scan.feed(octets[scan.next_offset : scan.next_offset + step], scan.next_offset)
    return asked, (scan.fault, scan.fault_offset, scan.is_excessive, scan.depth_max)


@QUICK
@given(st.data(), cases(), st.lists(st.integers(0, 800), max_size=8), st.integers(0, 9))
def test_both_say_the_same_however_the_octets_arrive(data, case, cuts, missing):
    octets, implicit, big, _ = case
    octets = data.draw(damaged(st.just(octets)))
    whole = trace(TWINS[0], [octets], implicit, big, missing)[1]
    splits = [[octets], pieces(octets, cuts)]
    if len(octets) < 400:
        splits.append(octet_by_octet(octets))
    for split in splits:
        results = [trace(module, split, implicit, big, missing) for module in TWINS]
        assert results[0] == results[1]
        assert results[0][1] == whole
    for step in (1, 7, 64, 1000) if len(octets) < 400 else (64, 1000):
        wanted = [trace_wanted(module, octets, implicit, big, step) for module in TWINS]
        assert wanted[0] == wanted[1]


@QUICK
@given(st.binary(max_size=60), ENCODINGS, st.integers(0, 9))
def test_both_say_the_same_of_noise(noise, encoding, missing):
    for split in ([noise], octet_by_octet(noise)):
        results = [trace(module, split, *encoding, missing) for module in TWINS]
        assert results[0] == results[1]


@QUICK
@given(st.integers(0, 70), st.integers(0, 70), ENCODINGS)
def test_misuse_is_refused_alike(size, offset, encoding):
    calls = [
        outcome(lambda module=module: module.StructureScan(40, *encoding).feed(bytes(size), offset))
        for module in TWINS
    ]
    assert calls[0] == calls[1]
