"""Hostile input of rules (row 53): every instance gets a decision, whatever its tags hold."""

from __future__ import annotations

import pytest

from router.config.load import parse_config
from router.routing.attributes import read_attributes
from router.routing.facts import Facts
from router.routing.rules import RuleSet, compile_rules
from tests.codec.octets import long_element, short_element

EXPLICIT = "1.2.840.10008.1.2.1"

CONFIG = """
[destinations.A]
ae_title = "A"
host = "h"
port = 104
[destinations.B]
ae_title = "B"
host = "h"
port = 104
[[rules]]
name = "expression"
when = { PatientComments = { regex = '^(([a-z])+.)+[A-Z]([a-z])+$' } }
to = ["A"]
[[rules]]
name = "number"
when = { SliceThickness = { ge = 1, lt = 3 } }
to = ["A"]
[[rules]]
name = "private"
when = { "0009,xx01,ACME" = "yes" }
to = ["A"]
[[rules]]
name = "not"
when = { not = { Modality = "CT" } }
to = ["B"]
"""


def rules() -> RuleSet:
    return compile_rules(parse_config(CONFIG).rules, "hold")


def creator(block: int, name: bytes, value: bytes) -> bytes:
    """A private block and its first element."""
    return short_element(0x00090000 | block, "LO", name) + short_element(0x00090001 | block << 8, "LO", value)


CT = short_element(0x00080060, "CS", b"CT")
COMMENTS = 0x00104000

INSTANCES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "53-expression-that-backtracks": (CT + long_element(COMMENTS, "UT", b"a" * 60_000 + b"! "), ()),
    "53-no-modality": (b"", ("B",)),
    "53-empty-modality": (short_element(0x00080060, "CS", b""), ("B",)),
    "53-modality-twice": (CT + short_element(0x00080060, "CS", b"MR"), ()),
    "53-ten-thousand-values": (CT + short_element(0x00180050, "DS", b"9\\" * 10_000), ()),
    "53-value-behind-the-bound": (CT + short_element(0x00180050, "DS", b"9\\" * 10_000 + b"2 "), ()),
    "53-number-that-is-none": (CT + short_element(0x00180050, "DS", b"nan\\inf\\1e999\\--1\\0x2 "), ()),
    "53-number-among-others": (CT + short_element(0x00180050, "DS", b"x\\\\2.5 "), ("A",)),
    "53-creator-in-two-blocks-of-which-the-first-counts": (
        CT[:0] + short_element(0x00080060, "CS", b"CT")
        + short_element(0x00090010, "LO", b"ACME") + short_element(0x00090011, "LO", b"ACME")
        + short_element(0x00091001, "LO", b"no") + short_element(0x00091101, "LO", b"yes "),
        (),
    ),
    "53-creator-of-another": (CT + creator(0x10, b"OTHER ", b"yes "), ()),
    "53-creator-missing": (CT + short_element(0x00091001, "LO", b"yes "), ()),
    "53-character-set-that-is-none": (
        short_element(0x00080005, "CS", b"\\ISO 2022 IR 6\\nonsense ")
        + CT
        + long_element(COMMENTS, "UT", b"\x1b$\xff\xff"),
        (),
    ),
}  # fmt: skip


def decide(dataset: bytes) -> tuple[str, ...]:
    ruleset = rules()
    attributes = read_attributes([dataset], EXPLICIT, ruleset.wanted)
    facts = Facts("CT1", "ROUTER", "192.0.2.1", "1.2.840.10008.5.1.4.1.1.2", EXPLICIT, attributes)
    decision = ruleset.decide(facts)
    assert decision == ruleset.evaluate(facts)
    return decision.destinations


@pytest.mark.parametrize("row", INSTANCES)
def test_every_instance_gets_its_decision(row: str) -> None:
    dataset, destinations = INSTANCES[row]
    assert decide(dataset) == destinations


def test_row_53_an_expression_takes_time_in_proportion_to_its_input() -> None:
    """A thousand values that an expression with backtracking would need centuries for."""
    value = b"a" * 1000 + b"!"
    dataset = CT + long_element(COMMENTS, "UC", b"\\".join([value] * 15))
    for _ in range(100):
        assert decide(dataset) == ()
