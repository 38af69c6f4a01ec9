"""Rules and facts for tests, written as a configuration file writes them."""

from __future__ import annotations

from typing import Any

from router.config.conditions import All
from router.config.schema import Rule
from router.config.subjects import parse_subject
from router.routing.facts import Facts
from router.routing.rules import read_condition


def condition(**when: Any) -> All:
    """Return the condition tree of a `when` table."""
    return read_condition(Rule(name="r", when=when, to=("A",)))


def facts(calling: str = "CT1", peer: str = "10.1.2.3", **attributes: str | tuple[str, ...]) -> Facts:
    """Return facts with attributes by keyword; a text is one value."""
    values = {
        parse_subject(keyword).tag: (value,) if isinstance(value, str) else value
        for keyword, value in attributes.items()
    }
    return Facts(calling, "ROUTER", peer, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", values)
