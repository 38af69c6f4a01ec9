"""Invariant: a configuration is read or refused with the mistakes named; one that is read survives the way to
another process, and its rules can be compiled and decide about any instance, in time linear in its values.

Allowed exceptions: ConfigErrors from reading.
"""

from __future__ import annotations

from router.config.load import parse_config
from router.config.schema import Config
from router.errors import ConfigErrors
from router.routing.facts import Facts
from router.routing.rules import compile_rules

CONFIG_BYTES_MAX = 4096
BASE = '[destinations.P]\nae_title = "P"\nhost = "h"\nport = 104\n[[rules]]\nname = "r"\nto = ["P"]\nwhen = '
INSTANCES = (
    {},
    {0x00080060: ("CT",), 0x00100010: ("A^B",), 0x00280010: ("512",), 0x00180050: ("2.50", "x", "")},
    {0x00080060: ("",), 0x00100020: tuple("\\n\\x00{}%é\u202e" * 30), 0x00280010: ("1e999", "nan", "-0")},
)


def check(data: bytes) -> None:
    """Read a configuration: whole, or the conditions of its one rule."""
    text = data[1:CONFIG_BYTES_MAX].decode("utf-8", "replace")
    if data[:1] == b"w":
        text = BASE + text
    try:
        config = parse_config(text)
    except ConfigErrors as error:
        assert str(error)
        return
    assert Config.restore(config.dump()) == config
    rules = compile_rules(config.rules, config.router.unmatched)
    for attributes in INSTANCES:
        facts = Facts(
            "CT1", "ROUTER", "192.0.2.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2", attributes
        )
        assert rules.decide(facts) == rules.evaluate(facts)


def seeds() -> list[bytes]:
    """Return conditions of every kind, and a whole file."""
    conditions = [
        '{ Modality = "CT", Rows = { ge = 1, lt = 3 } }',
        '{ any = [{ calling_ae_title = "CT*" }, { peer_address = "10.0.0.0/8" }] }',
        '{ not = { PatientID = { regex = "^(a+)+$" } }, "0009,xx01,CREATOR" = ["a", "b?"] }',
        "{ SliceThickness = { exists = true, le = 1.5 } }",
        '{ sop_class = "CT Image Storage", transfer_syntax = ["1.2.840.10008.1.2"] }',
    ]
    whole = (
        '[router]\nae_title = "R"\nunmatched = "reject"\n[sources.X]\naddresses = ["10.0.0.0/8"]\n'
        + BASE
        + "{}"
    )
    return [b"w" + one.encode() for one in conditions] + [b"c" + whole.encode()]
