"""Say why rules match or do not: per condition what was wanted and what was got.

Values are returned as they are: whoever prints them makes them printable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from router.config.conditions import All, AnyOf, AnyValue, Condition, Exists, Not, ValueTest
from router.routing.facts import Decision, Facts
from router.routing.match import compile_condition, compile_values

_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "equal": "=", "network": "in", "pattern": "like"}


@dataclass(frozen=True, slots=True)
class ExplainedCondition:
    """One condition. depth: nesting below the rule. got: the values; None for a word that combines."""

    depth: int
    holds: bool
    key: str
    wanted: str
    got: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ExplainedRule:
    """One rule. reached: False if a rule above stopped the search; matched: what it says all the same."""

    name: str
    reached: bool
    matched: bool
    stop: bool
    to: tuple[str, ...]
    conditions: tuple[ExplainedCondition, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision and how it came about, in the order of the rules."""

    decision: Decision
    rules: tuple[ExplainedRule, ...]


def explain(
    rules: Sequence[tuple[str, All, tuple[str, ...], bool]], facts: Facts, decision: Decision
) -> Explanation:
    """Explain rules, given as (name, condition, to, stop)."""
    explained = []
    reached = True
    for name, condition, to, stop in rules:
        matched = compile_condition(condition)(facts)
        lines = tuple(line for one in condition.conditions for line in _lines(one, facts, 0))
        explained.append(ExplainedRule(name, reached, matched, stop, to, lines))
        reached = reached and not (matched and stop)
    return Explanation(decision, tuple(explained))


def _lines(condition: Condition, facts: Facts, depth: int) -> Iterator[ExplainedCondition]:
    """Yield a condition and, below a word that combines, its parts."""
    holds = compile_condition(condition)(facts)
    match condition:
        case AnyValue(subject, alternatives):
            got = compile_values(subject)(facts)
            yield ExplainedCondition(depth, holds, subject.key, _wanted(alternatives), got)
        case Exists(subject, wanted):
            got = compile_values(subject)(facts)
            yield ExplainedCondition(depth, holds, subject.key, "a value" if wanted else "no value", got)
        case Not(inner):
            yield ExplainedCondition(depth, holds, "not", "", None)
            yield from _parts(inner, facts, depth + 1)
        case All(conditions) | AnyOf(conditions):
            word = "all" if isinstance(condition, All) else "any"
            yield ExplainedCondition(depth, holds, word, "", None)
            for one in conditions:
                yield from _parts(one, facts, depth + 1)


def _parts(condition: Condition, facts: Facts, depth: int) -> Iterator[ExplainedCondition]:
    """Yield a table of one condition as that condition: the extra "all" says nothing."""
    if isinstance(condition, All) and len(condition.conditions) == 1:
        yield from _parts(condition.conditions[0], facts, depth)
    else:
        yield from _lines(condition, facts, depth)


def _wanted(alternatives: tuple[tuple[ValueTest, ...], ...]) -> str:
    texts = [" and ".join(_test_text(test) for test in tests) for tests in alternatives]
    return " or ".join([texts[0], *(text.removeprefix("= ") for text in texts[1:])])


def _test_text(test: ValueTest) -> str:
    operand = f"{test.operand:g}" if isinstance(test.operand, float) else f'"{test.operand}"'
    return f"{_SIGNS.get(test.comparison, test.comparison)} {operand}"
