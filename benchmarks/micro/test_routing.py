"""Question: what does one instance cost in routing, that is in reading its attributes and deciding?

Unit: time per instance. Method: pytest-benchmark in one process, on a CT with some twenty elements before its
pixel data and ten rules of three conditions each, of which two match; decided anew and remembered. What would
make it lie: a busy neighbour on the same core (compare minima); and rules that read a value which is new each
time, for which `decided anew` counts and not `remembered`.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest

from router.config.schema import Rule
from router.routing.attributes import read_attributes
from router.routing.decide import RuleSet
from router.routing.facts import Facts
from router.routing.rules import compile_rules

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
PIXEL_BYTES = 512 * 512 * 2


def element(tag: int, vr: str, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def dataset() -> bytes:
    """Return a CT image with some twenty elements before its pixel data."""
    head = [
        element(0x00080005, "CS", b"ISO_IR 100"),
        element(0x00080008, "CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
        element(0x00080016, "UI", CT_IMAGE_STORAGE.encode() + b"\x00"),
        element(0x00080018, "UI", b"1.2.3.4.5.6.7.8"),
        element(0x00080020, "DA", b"20240501"),
        element(0x00080060, "CS", b"CT"),
        element(0x00081030, "LO", b"CHEST ROUTINE"),
        *(element(0x00091000 + i, "LO", b"private value") for i in range(8)),
        element(0x00180050, "DS", b"1.25"),
        element(0x0020000D, "UI", b"1.2.3.4.5"),
        element(0x0020000E, "UI", b"1.2.3.4.5.6"),
        element(0x00280010, "US", struct.pack("<H", 512)),
    ]
    pixels = struct.pack("<HH2sHI", *(0x7FE0, 0x0010), b"OW", 0, PIXEL_BYTES) + bytes(PIXEL_BYTES)
    return b"".join(head) + pixels


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    when = {"Modality": ["MR", "PT"], "StudyDescription": "*BRAIN*", "SliceThickness": {"ge": 1, "lt": 3}}
    matching = {"Modality": ["CT", "PT"], "StudyDescription": "*CHEST*", "SliceThickness": {"ge": 1, "lt": 3}}
    conditions: list[dict[str, Any]] = [when] * 8 + [matching] * 2
    return compile_rules(
        [Rule(name=f"r{i}", when=one, to=("PACS",)) for i, one in enumerate(conditions)], "hold"
    )


@pytest.fixture(scope="module")
def facts(rules: RuleSet) -> Facts:
    attributes = read_attributes([dataset()], EXPLICIT_VR_LITTLE_ENDIAN, rules.wanted)
    return Facts("CT1", "ROUTER", "10.1.2.3", CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN, attributes)


def test_read_attributes(benchmark: Any, rules: RuleSet) -> None:
    buffers = [dataset()]
    found = benchmark(read_attributes, buffers, EXPLICIT_VR_LITTLE_ENDIAN, rules.wanted)
    assert found[0x00080060] == ("CT",)


def test_decided_anew(benchmark: Any, rules: RuleSet, facts: Facts) -> None:
    assert benchmark(rules.evaluate, facts).rules == ("r8", "r9")


def test_decision_remembered(benchmark: Any, rules: RuleSet, facts: Facts) -> None:
    assert benchmark(rules.decide, facts).rules == ("r8", "r9")
