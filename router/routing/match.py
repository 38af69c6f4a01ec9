"""Compile a condition tree to one closure over `Facts`.

The meaning of each condition is in `router.config.conditions`. Matching takes linear time in the length of
a value, and values are bounded by `attributes.py`: patterns by `pattern.py`, expressions by RE2.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from router.config.conditions import (
    All,
    AnyOf,
    AnyValue,
    Condition,
    Exists,
    Not,
    ValueTest,
    compile_regex,
    digits_of,
    number_of,
)
from router.config.subjects import Subject
from router.config.values import parse_address, parse_network
from router.routing.facts import Facts, Values
from router.routing.pattern import ValuePredicate, compile_pattern

ADDRESSES_CACHED_MAX = 1024
PRIVATE_BLOCKS = range(0x10, 0x20)  # blocks in which a private creator is sought; PS3.5 7.8.1 allows 10-FF

Predicate = Callable[[Facts], bool]

_ORDER: dict[str, Callable[[float, float], bool]] = {
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
    "equal": operator.eq,
}


def compile_condition(condition: Condition) -> Predicate:
    """Return a function that says whether the condition holds for the given facts."""
    match condition:
        case All(conditions):
            return _all_of([compile_condition(one) for one in conditions])
        case AnyOf(conditions):
            return _any_of([compile_condition(one) for one in conditions])
        case Not(inner):
            holds = compile_condition(inner)
            return lambda facts: not holds(facts)
        case Exists(subject, wanted):
            values_of = compile_values(subject)
            return lambda facts: any(values_of(facts)) is wanted
        case AnyValue(subject, alternatives):
            return _any_value(subject, alternatives)


def compile_values(subject: Subject) -> Callable[[Facts], Values]:
    """Return a function that gives the subject's values; () if it is missing."""
    if subject.fact:
        fact = operator.attrgetter(subject.fact)
        return lambda facts: (fact(facts),)
    if subject.creator:
        return _values_of_creator(subject)
    tag = subject.tag
    return lambda facts: facts.attributes.get(tag, ())


def tags_of(subject: Subject) -> tuple[int, ...]:
    """Return the tags to read for a subject: the creators' too where a private creator is named."""
    if subject.fact:
        return ()
    if not subject.creator:
        return (subject.tag,)
    group, element = subject.tag & 0xFFFF0000, subject.tag & 0xFF
    return tuple(tag for block in PRIVATE_BLOCKS for tag in (group | block, group | block << 8 | element))


def _all_of(predicates: list[Predicate]) -> Predicate:
    if not predicates:
        return lambda facts: True
    if len(predicates) == 1:
        return predicates[0]
    if len(predicates) == 2:
        first, second = predicates
        return lambda facts: first(facts) and second(facts)

    def holds(facts: Facts) -> bool:
        for predicate in predicates:  # noqa: SIM110 - as in _tested_values
            if not predicate(facts):
                return False
        return True

    return holds


def _any_of(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]

    def holds(facts: Facts) -> bool:
        for predicate in predicates:  # noqa: SIM110 - as in _tested_values
            if predicate(facts):
                return True
        return False

    return holds


def _any_value(subject: Subject, alternatives: tuple[tuple[ValueTest, ...], ...]) -> Predicate:
    """Compile "one value passes all tests of one alternative"; plain text needs only one set operation."""
    texts = _plain_texts(subject, alternatives)
    if texts is not None:
        if subject.fact:
            fact = operator.attrgetter(subject.fact)
            return lambda facts: fact(facts) in texts
        if not subject.creator:
            tag, share_none = subject.tag, texts.isdisjoint
            return lambda facts: not share_none(facts.attributes.get(tag, ()))
    return _tested_values(subject, _either([_value_predicate(subject, tests) for tests in alternatives]))


def _tested_values(subject: Subject, passes: ValuePredicate) -> Predicate:
    """Compile "one value passes"; loops, because a generator costs more than most tests."""
    if subject.fact:
        fact = operator.attrgetter(subject.fact)
        return lambda facts: passes(fact(facts))
    if subject.creator:
        values_of = _values_of_creator(subject)
        return lambda facts: any(map(passes, values_of(facts)))
    tag = subject.tag

    def matches(facts: Facts) -> bool:
        for value in facts.attributes.get(tag, ()):  # noqa: SIM110
            if passes(value):
                return True
        return False

    return matches


def _either(predicates: list[ValuePredicate]) -> ValuePredicate:
    if len(predicates) == 1:
        return predicates[0]

    def passes(value: str) -> bool:
        for predicate in predicates:  # noqa: SIM110 - as above
            if predicate(value):
                return True
        return False

    return passes


def _plain_texts(subject: Subject, alternatives: tuple[tuple[ValueTest, ...], ...]) -> frozenset[str] | None:
    """Return the texts if all alternatives are equality with text and values need no rewriting."""
    if subject.is_moment:
        return None
    tests = [test for alternative in alternatives for test in alternative]
    if all(test.comparison == "equal" and isinstance(test.operand, str) for test in tests):
        return frozenset(cast("str", test.operand) for test in tests)
    return None


def _value_predicate(subject: Subject, tests: tuple[ValueTest, ...]) -> ValuePredicate:
    passes = _both([_test_predicate(test) for test in tests])
    if subject.is_moment:
        return lambda value: passes(digits_of(value))
    return passes


def _both(predicates: list[ValuePredicate]) -> ValuePredicate:
    if len(predicates) == 1:
        return predicates[0]

    def passes(value: str) -> bool:
        for predicate in predicates:  # noqa: SIM110 - as above
            if not predicate(value):
                return False
        return True

    return passes


def _test_predicate(test: ValueTest) -> ValuePredicate:
    operand = test.operand
    if isinstance(operand, float):
        return _number_predicate(_ORDER[test.comparison], operand)
    match test.comparison:
        case "pattern":
            return compile_pattern(operand)
        case "regex":
            search = compile_regex(operand).search
            return lambda value: search(value) is not None
        case "network":
            return _network_predicate(operand)
        case _:
            compare = cast("Callable[[str, str], bool]", _ORDER[test.comparison])
            if test.comparison == "equal":
                return lambda value: value == operand
            return lambda value: value != "" and compare(value, operand)


def _number_predicate(compare: Callable[[float, float], bool], operand: float) -> ValuePredicate:
    def passes(value: str) -> bool:
        number = number_of(value)
        return number is not None and compare(number, operand)

    return passes


def _network_predicate(network_text: str) -> ValuePredicate:
    network = parse_network(network_text)
    version, first, mask = network.version, int(network.network_address), int(network.netmask)

    def passes(value: str) -> bool:
        address_version, address = _address(value)
        return address_version == version and address & mask == first

    return passes


@lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def _address(text: str) -> tuple[int, int]:
    """Return (version, number); version 0 if the text is no address."""
    address = parse_address(text)
    return (address.version, int(address)) if address is not None else (0, 0)


def _values_of_creator(subject: Subject) -> Callable[[Facts], Values]:
    creator = subject.creator
    blocks = [
        (creator_tag, tag)
        for creator_tag, tag in zip(tags_of(subject)[::2], tags_of(subject)[1::2], strict=True)
    ]

    def values_of(facts: Facts) -> Values:
        attributes = facts.attributes
        for creator_tag, tag in blocks:
            if creator in attributes.get(creator_tag, ()):
                return attributes.get(tag, ())
        return ()

    return values_of
