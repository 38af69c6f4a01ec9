"""Compile the rules of a configuration to a `RuleSet`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from router.config.conditions import All, AnyOf, AnyValue, Condition, Exists, Not
from router.config.schema import Rule
from router.config.subjects import Subject
from router.config.when import parse_when
from router.errors import ConfigError
from router.routing.decide import CompiledRule, RuleSet
from router.routing.facts import Action
from router.routing.match import compile_condition, tags_of
from router.routing.wanted import Wanted


def compile_rules(rules: Sequence[Rule], unmatched: Action = "hold") -> RuleSet:
    """Compile rules in their order; unmatched: what follows when none matches.

    Raises ConfigError for a `when` that cannot be read; a loaded Config has none.
    """
    compiled = []
    subjects: list[Subject] = []
    for rule in rules:
        condition = read_condition(rule)
        subjects += subjects_of(condition)
        compiled.append(CompiledRule(rule.name, compile_condition(condition), condition, rule.to, rule.stop))
    facts = tuple(sorted({subject.fact for subject in subjects if subject.fact}))
    vrs = {tag: subject.vr for subject in subjects for tag in tags_of(subject)}
    return RuleSet(tuple(compiled), unmatched, Wanted.of(vrs), facts, tuple(sorted(vrs)))


def read_condition(rule: Rule) -> All:
    """Return the condition tree of a rule. Raises ConfigError."""

    def report(key: str, why: str, hint: str) -> NoReturn:
        raise ConfigError("rules", f"{rule.name}.when.{key}", why, hint)

    return parse_when(rule.when, report)


def subjects_of(condition: Condition) -> Iterator[Subject]:
    """Yield what a condition looks at, as often as it does."""
    match condition:
        case All(conditions) | AnyOf(conditions):
            for one in conditions:
                yield from subjects_of(one)
        case Not(inner):
            yield from subjects_of(inner)
        case AnyValue(subject) | Exists(subject):
            yield subject
