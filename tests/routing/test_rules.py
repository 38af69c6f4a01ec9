"""A rule set knows which elements to read."""

from __future__ import annotations

import pytest

from router.config.schema import Rule
from router.errors import ConfigError
from router.routing.rules import compile_rules
from router.routing.wanted import ALWAYS_WANTED


def test_identifying_elements_are_always_wanted() -> None:
    assert compile_rules([], "hold").wanted.tags == tuple(sorted(ALWAYS_WANTED))


def test_all_that_rules_name_is_wanted_in_order_however_deep() -> None:
    when = {
        "any": [{"Rows": 5}, {"not": {"Modality": {"not": {"regex": "x"}}}}],
        "PatientID": {"exists": True},
        "calling_ae_title": "A",
    }
    wanted = compile_rules([Rule(name="a", when=when, to=("A",))], "hold").wanted
    named = {0x00280010: "US", 0x00080060: "CS", 0x00100020: "LO"}
    assert wanted.vrs == named | ALWAYS_WANTED
    assert wanted.tags == tuple(sorted(wanted.vrs))


def test_a_condition_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"r\.when\.Modalty: .*did you mean Modality"):
        compile_rules([Rule(name="r", when={"Modalty": "CT"}, to=("A",))], "hold")
