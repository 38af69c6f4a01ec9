"""Decide where one instance goes; remember decisions by the values that the rules read."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from router.config.conditions import All
from router.routing.explain import Explanation, explain
from router.routing.facts import Action, Decision, Facts
from router.routing.match import Predicate
from router.routing.wanted import Wanted

DECISIONS_CACHED_MAX = 1024
CACHED_KEY_MAX_CHARACTERS = 1024  # longer values decide without being remembered: memory stays bounded

__all__ = ["CompiledRule", "Decision", "Explanation", "Facts", "RuleSet"]


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule, ready to run; condition is what matches was compiled from."""

    name: str
    matches: Predicate
    condition: All
    to: tuple[str, ...]
    stop: bool


class RuleSet:
    """Ordered rules. All that match add their destinations; `stop` ends the search after a match.

    wanted: the attributes to read for `Facts.attributes`. tags: of those that rules look at. Not for use from
    several threads at a time.
    """

    def __init__(
        self,
        rules: tuple[CompiledRule, ...],
        unmatched: Action,
        wanted: Wanted,
        fact_names: tuple[str, ...],
        tags: tuple[int, ...],
    ) -> None:
        self.rules = rules
        self.wanted = wanted
        self.tags = tags
        self._unmatched = Decision((), unmatched, ())
        self._key = _key_function(fact_names, tags)
        self._cached: dict[Hashable, Decision] = {}

    def decide(self, facts: Facts) -> Decision:
        """Return the decision for one instance."""
        key = self._key(facts)
        decision = self._cached.get(key)
        if decision is None:
            decision = self.evaluate(facts)
            self._remember(key, decision)
        return decision

    def evaluate(self, facts: Facts) -> Decision:
        """Return the decision without looking it up."""
        destinations: dict[str, None] = {}  # a dict keeps the order of first mention
        matched = []
        for rule in self.rules:
            if rule.matches(facts):
                matched.append(rule.name)
                destinations.update(dict.fromkeys(rule.to))
                if rule.stop:
                    break
        if not matched:
            return self._unmatched
        return Decision(tuple(destinations), "forward", tuple(matched))

    def explain(self, facts: Facts) -> Explanation:
        """Say for each rule and each of its conditions what was wanted and what was got."""
        rules = [(rule.name, rule.condition, rule.to, rule.stop) for rule in self.rules]
        return explain(rules, facts, self.evaluate(facts))

    def _remember(self, key: tuple[Any, ...], decision: Decision) -> None:
        if _characters(key) > CACHED_KEY_MAX_CHARACTERS:
            return
        if len(self._cached) >= DECISIONS_CACHED_MAX:
            self._cached.clear()  # cheaper than an order of use; a study's values come again at once
        self._cached[key] = decision


def _key_function(fact_names: tuple[str, ...], tags: tuple[int, ...]) -> Callable[[Facts], tuple[Any, ...]]:
    """Return a function that gathers the values on which a decision rests."""
    if not fact_names:
        return lambda facts: tuple(map(facts.attributes.get, tags))
    get_facts = operator.attrgetter(*fact_names)
    if not tags:
        return lambda facts: (get_facts(facts),)
    return lambda facts: (get_facts(facts), *map(facts.attributes.get, tags))


def _characters(key: Any) -> int:
    """Count the characters in nested tuples of text."""
    if isinstance(key, tuple):
        return sum(map(_characters, key))
    return len(key) if isinstance(key, str) else 0
