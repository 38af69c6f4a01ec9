"""The explanation says what the decision rests on, condition by condition."""

from __future__ import annotations

from router.config.schema import Rule
from router.routing.explain import ExplainedCondition, ExplainedRule
from router.routing.rules import compile_rules
from tests.support.routing import facts


def explained(*rules: Rule, **attributes: str) -> tuple[ExplainedRule, ...]:
    return compile_rules(rules, "hold").explain(facts(**attributes)).rules


def test_each_condition_says_wanted_and_got() -> None:
    when = {"Modality": ["CT", "M*"], "Rows": {"ge": 100, "lt": 600}, "PatientID": {"exists": True}}
    (rule,) = explained(Rule(name="a", when=when, to=("A",)), Modality="CT", Rows="50")
    assert (rule.reached, rule.matched) == (True, False)
    assert rule.conditions == (
        ExplainedCondition(0, True, "Modality", '= "CT" or like "M*"', ("CT",)),
        ExplainedCondition(0, False, "Rows", ">= 100 and < 600", ("50",)),
        ExplainedCondition(0, False, "PatientID", "a value", ()),
    )


def test_combining_words_hold_their_parts() -> None:
    when = {
        "any": [{"Modality": "CT", "Rows": 5}, {"Modality": "MR"}],
        "not": {"PatientID": {"exists": False}},
    }
    (rule,) = explained(Rule(name="a", when=when, to=("A",)), Modality="MR", PatientID="1")
    assert [(one.depth, one.holds, one.key) for one in rule.conditions] == [
        (0, True, "any"),
        (1, False, "all"),
        (2, False, "Modality"),
        (2, False, "Rows"),
        (1, True, "Modality"),
        (0, True, "not"),
        (1, False, "PatientID"),
    ]
    assert rule.matched


def test_rules_behind_a_stop_are_not_reached() -> None:
    stop = Rule(name="a", when={"Modality": "CT"}, to=("A",), stop=True)
    rules = explained(stop, Rule(name="b", to=("B",)), Modality="CT")
    assert [(rule.name, rule.reached) for rule in rules] == [("a", True), ("b", False)]
    rules = explained(stop, Rule(name="b", to=("B",)), Modality="MR")
    assert [(rule.name, rule.reached) for rule in rules] == [("a", True), ("b", True)]


def test_the_decision_is_that_of_the_rules() -> None:
    rules = compile_rules([Rule(name="a", when={"Modality": "CT"}, to=("A",))], "reject")
    for given in (facts(Modality="CT"), facts()):
        assert rules.explain(given).decision == rules.decide(given)
