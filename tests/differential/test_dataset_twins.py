"""Invariant: both scans find the same, resume at the same octet and refuse with the same words and offset.

Datasets of all encodings, whole, damaged, and cut at every octet. Going on at `resume` with
more data finds what the scan of the whole finds.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import _codec.dataset
import router.wire.reference.dataset
from tests.codec.octets import UNDEFINED, implicit_element, long_element, sequence, short_element
from tests.differential.twins import QUICK, damaged, outcome

TWINS = (_codec.dataset, router.wire.reference.dataset)

TAGS = st.sampled_from([0x00080005, 0x00080016, 0x00080018, 0x00080060, 0x00081140, 0x00100010, 0x7FE00010])
WANTED = st.sets(st.one_of(TAGS, st.integers(0, 0xFFFFFFFF)), max_size=5).map(
    lambda tags: tuple(sorted(tags))
)
ENCODINGS = st.sampled_from([(False, False), (True, False), (False, True), (True, True)])
BYTES = st.binary(max_size=12)


@st.composite
def elements(draw, implicit, big, depth=0):
    """One element of any form; sequences hold elements again."""
    tag = draw(TAGS)
    form = draw(st.sampled_from(["plain", "plain", "long", "sequence", "defined", "fragments", "unknown"]))
    if form == "plain" or depth > 2:
        value = draw(BYTES)
        return implicit_element(tag, value, big) if implicit else short_element(tag, "LO", value, big)
    if form == "long":
        value = draw(st.sampled_from([b"x", b"y" * 16383, b"z" * 16384, b"w" * 16390]))
        return implicit_element(tag, value, big) if implicit else long_element(tag, "UT", value, big)
    length = None if form == "defined" else UNDEFINED
    inside = (True, False) if form == "unknown" and not implicit else (implicit, big)
    if form == "fragments":
        value = sequence(draw(st.lists(BYTES, max_size=3)), big, undefined_items=False)
    else:
        items = draw(st.lists(st.lists(elements(*inside, depth + 1), max_size=2).map(b"".join), max_size=2))
        value = sequence(items, inside[1], draw(st.booleans()))
    if implicit:
        return implicit_element(tag, value, big, length)
    vr = {"fragments": "OB", "unknown": "UN"}.get(form, "SQ")
    return long_element(tag, vr, value, big, length)


def tag_of(element, big):
    order = "big" if big else "little"
    return int.from_bytes(element[:2], order) << 16 | int.from_bytes(element[2:4], order)


@st.composite
def cases(draw, in_order=False):
    """Return (octets, implicit_vr, big_endian, wanted)."""
    implicit, big = draw(ENCODINGS)
    parts = draw(st.lists(elements(implicit, big), max_size=6))
    if in_order:
        parts = [part for _, part in sorted({tag_of(part, big): part for part in parts}.items())]
    return b"".join(parts), implicit, big, draw(WANTED)


def scan_all(data, start, implicit, big, wanted):
    compiled, reference = (
        outcome(module.scan_attributes, data, start, implicit, big, wanted) for module in TWINS
    )
    assert compiled == reference
    return compiled


@QUICK
@given(st.data(), cases())
def test_scans_are_alike_whole_damaged_and_cut_anywhere(data, case):
    octets, implicit, big, wanted = case
    octets = data.draw(damaged(st.just(octets)))
    for end in range(len(octets) + 1) if len(octets) < 200 else (len(octets), len(octets) // 2):
        scan_all(octets[:end], 0, implicit, big, wanted)


@QUICK
@given(st.binary(max_size=60), ENCODINGS, WANTED, st.integers(-1, 70))
def test_scans_of_noise_are_alike(noise, encoding, wanted, start):
    scan_all(noise, start, *encoding, wanted)


@QUICK
@given(cases(in_order=True), st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_a_scan_that_resumes_finds_what_one_scan_finds(case, steps):
    octets, implicit, big, wanted = case
    whole = scan_all(octets, 0, implicit, big, wanted)
    for step_sizes in ([1], steps) if len(octets) < 300 else (steps,):
        found, resume, end, turn = {}, 0, 0, 0
        while end < len(octets):
            end = min(end + step_sizes[turn % len(step_sizes)], len(octets))
            turn += 1
            more, resume, done = scan_all(octets[:end], resume, implicit, big, wanted)[1]
            found.update(more)
            if done and resume < end:
                break
        assert whole[0] == "result"
        assert found == whole[1][0]
