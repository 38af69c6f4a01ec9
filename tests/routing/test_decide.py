"""Rules add destinations in order, once each; what no rule matches follows `unmatched`."""

from __future__ import annotations

import pytest

from router.config.schema import Rule
from router.routing.decide import CACHED_KEY_MAX_CHARACTERS, DECISIONS_CACHED_MAX, RuleSet
from router.routing.facts import Action, Decision
from router.routing.rules import compile_rules
from tests.support.routing import facts


def rule_set(*rules: Rule, unmatched: Action = "hold") -> RuleSet:
    return compile_rules(rules, unmatched)


CT = Rule(name="ct", when={"Modality": "CT"}, to=("A", "B"))
KNEE = Rule(name="knee", when={"StudyDescription": "*KNEE*"}, to=("C", "A"))
ALL = Rule(name="all", to=("D",))


def test_all_rules_that_match_add_their_destinations_once_in_order_of_mention() -> None:
    decision = rule_set(CT, KNEE, ALL).decide(facts(Modality="CT", StudyDescription="KNEE"))
    assert decision == Decision(("A", "B", "C", "D"), "forward", ("ct", "knee", "all"))


def test_stop_ends_the_search_after_a_match_only() -> None:
    stop = Rule(name="ct", when={"Modality": "CT"}, to=("A",), stop=True)
    rules = rule_set(stop, ALL)
    assert rules.decide(facts(Modality="CT")).destinations == ("A",)
    assert rules.decide(facts(Modality="MR")).destinations == ("D",)


@pytest.mark.parametrize("unmatched", ["hold", "reject", "discard"])
def test_what_no_rule_matches_follows_unmatched(unmatched: Action) -> None:
    assert rule_set(CT, unmatched=unmatched).decide(facts(Modality="MR")) == Decision((), unmatched, ())
    assert rule_set(unmatched=unmatched).decide(facts()) == Decision((), unmatched, ())


def test_a_remembered_decision_is_the_same_and_rests_on_what_rules_read() -> None:
    rules = rule_set(CT, Rule(name="x", when={"calling_ae_title": "X"}, to=("X",)))
    first = rules.decide(facts(Modality="CT"))
    assert rules.decide(facts(Modality="CT", PatientID="other")) is first
    assert rules.decide(facts(calling="X", Modality="CT")).destinations == ("A", "B", "X")
    assert rules.decide(facts(Modality="MR")).action == "hold"
    assert rules.decide(facts()).action == "hold"


def test_missing_and_empty_are_remembered_apart() -> None:
    rules = rule_set(Rule(name="empty", when={"Modality": ""}, to=("A",)))
    assert rules.decide(facts()).action == "hold"
    assert rules.decide(facts(Modality="")).action == "forward"
    assert rules.decide(facts()).action == "hold"


def test_memory_of_decisions_is_bounded() -> None:
    rules = rule_set(Rule(name="id", when={"PatientID": "*1"}, to=("A",)))
    for number in range(DECISIONS_CACHED_MAX * 2 + 1):
        assert (rules.decide(facts(PatientID=str(number))).action == "forward") is (number % 10 == 1)
    assert 0 < len(rules._cached) <= DECISIONS_CACHED_MAX
    rules._cached.clear()
    rules.decide(facts(PatientID="1" * (CACHED_KEY_MAX_CHARACTERS + 1)))
    assert not rules._cached


def test_rules_without_attributes_need_none() -> None:
    rules = rule_set(
        Rule(name="x", when={"calling_ae_title": "CT1", "peer_address": "10.0.0.0/8"}, to=("A",))
    )
    assert rules.decide(facts()).action == "forward"
    assert rules.decide(facts(peer="11.0.0.1")).action == "hold"
