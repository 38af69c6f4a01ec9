"""Read the `when` table of a rule into a tree of conditions; report every mistake in it.

The forms and their meaning are in `conditions.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from router.config.conditions import (
    All,
    AnyOf,
    AnyValue,
    Comparison,
    Condition,
    Exists,
    Not,
    ValueTest,
    compile_regex,
    digits_of,
    moment_text,
    number_of,
)
from router.config.subjects import KeyMistake, Subject, parse_subject
from router.config.values import kind_of, parse_network

WHEN_NESTING_MAX = 16
WHEN_TESTS_MAX = 1000  # of one rule
TEXT_MAX_CHARACTERS = 1024  # of one literal, pattern or expression

ORDER_WORDS: dict[str, Comparison] = {"ge": "ge", "gt": "gt", "le": "le", "lt": "lt"}
TABLE_WORDS = ("regex", *ORDER_WORDS, "not", "exists")
COMBINING_WORDS = ("any", "all", "not")

Report = Callable[[str, str, str], None]  # key below `when`, why, hint


def parse_when(when: Mapping[str, Any], report: Report) -> All:
    """Read a `when` table; call report for each mistake and leave that condition out."""
    parser = _Parser(report)
    return parser.table(when, "", 0)


class _Parser:
    """The state of reading one `when`: where mistakes go, and how many tests there are."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._tests = 0

    def table(self, when: Mapping[str, Any], at: str, depth: int) -> All:
        """Read a table of conditions, all of which must hold."""
        if depth > WHEN_NESTING_MAX:
            self._report(at, f"is nested more than {WHEN_NESTING_MAX} deep", "")
            return All(())
        conditions: list[Condition] = []
        for key, value in when.items():
            where = f"{at}.{key}" if at else key
            if key in COMBINING_WORDS:
                conditions += self._combined(key, value, where, depth)
            else:
                conditions += self._about(key, value, where)
        return All(tuple(conditions))

    def _combined(self, word: str, value: Any, at: str, depth: int) -> list[Condition]:
        if word == "not":
            if not isinstance(value, dict) or not value:
                self._report(
                    at, f"must be a table of conditions, got {kind_of(value)}", 'not = { Modality = "CT" }'
                )
                return []
            return [Not(self.table(value, at, depth + 1))]
        if not isinstance(value, list) or not value or not all(isinstance(table, dict) for table in value):
            hint = f'{word} = [{{ Modality = "CT" }}, {{ BodyPartExamined = "KNEE" }}]'
            self._report(at, f"must be a list of tables, got {kind_of(value)}", hint)
            return []
        tables = tuple(self.table(table, f"{at}[{i}]", depth + 1) for i, table in enumerate(value))
        return [AnyOf(tables) if word == "any" else All(tables)]

    def _about(self, key: str, value: Any, at: str) -> list[Condition]:
        try:
            subject = parse_subject(key)
        except KeyMistake as mistake:
            self._report(at, str(mistake), mistake.hint)
            return []
        return self._compared(subject, value, at)

    def _compared(self, subject: Subject, value: Any, at: str) -> list[Condition]:
        self._tests += 1
        if self._tests > WHEN_TESTS_MAX:
            self._report(at, f"is one of more than {WHEN_TESTS_MAX} conditions of one rule", "")
            return []
        if isinstance(value, dict):
            return self._worded(subject, value, at)
        values = value if isinstance(value, list) else [value]
        if not values:
            self._report(at, "is an empty list, which nothing can match", "")
            return []
        many = isinstance(value, list)
        tests = [self._literal(subject, one, f"{at}[{i}]" if many else at) for i, one in enumerate(values)]
        return [AnyValue(subject, tuple((test,) for test in tests if test))]

    def _worded(self, subject: Subject, words: Mapping[str, Any], at: str) -> list[Condition]:
        """Read { ge = 1, lt = 5, not = ..., exists = ... }."""
        conditions: list[Condition] = []
        tests: list[ValueTest] = []
        if not words:
            self._report(at, "is an empty table", "words: " + ", ".join(TABLE_WORDS))
        for word, operand in words.items():
            where = f"{at}.{word}"
            if word == "not":
                inner = self._compared(subject, operand, where)
                conditions += [Not(All(tuple(inner)))]
            elif word == "exists":
                conditions += self._exists(subject, operand, where)
            elif word == "regex":
                tests += self._regex(subject, operand, where)
            elif word in ORDER_WORDS:
                tests += self._ordered(subject, ORDER_WORDS[word], operand, where)
            else:
                self._report(where, "is not a comparison", "words: " + ", ".join(TABLE_WORDS))
        if tests:
            conditions.append(AnyValue(subject, (tuple(tests),)))
        return conditions

    def _literal(self, subject: Subject, value: Any, at: str) -> ValueTest | None:
        operand = self._operand(subject, value, at)
        if operand is None:
            return None
        if subject.fact == "peer_address":
            return self._network(operand, at)
        if isinstance(operand, float):
            return ValueTest("equal", operand)
        if "*" in operand or "?" in operand:
            return self._pattern(subject, operand, at)
        if subject.is_number:
            return self._number_in_text(subject, operand, at)
        if subject.fact in ("sop_class", "transfer_syntax"):
            return self._uid(subject, operand, at)
        return ValueTest("equal", digits_of(operand) if subject.is_moment else operand)

    def _pattern(self, subject: Subject, operand: str, at: str) -> ValueTest | None:
        if subject.fact in ("sop_class", "transfer_syntax") and any(one.isalpha() for one in operand):
            self._report(
                at, f"{operand!r} can match no UID", "a pattern is compared with the UID, not with a name"
            )
            return None
        return ValueTest("pattern", operand)

    def _operand(self, subject: Subject, value: Any, at: str) -> str | float | None:
        """Return a scalar of the file as text or number; dates and times as DICOM writes them."""
        if isinstance(value, str):
            if len(value) <= TEXT_MAX_CHARACTERS:
                return value.strip(" ")
            self._report(at, f"is longer than {TEXT_MAX_CHARACTERS} characters", "")
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not subject.fact and math.isfinite(value):
                return float(value)
            self._report(at, f"must be text, got {kind_of(value)}", "put it in quotes")
            return None
        if moment := moment_text(value):
            return moment
        hint = "ask for presence with { exists = true }" if isinstance(value, bool) else ""
        self._report(at, f"must be text, a number, a list or a table, got {kind_of(value)}", hint)
        return None

    def _network(self, operand: str | float, at: str) -> ValueTest | None:
        try:
            return ValueTest("network", str(parse_network(str(operand))))
        except ValueError as error:
            self._report(at, str(error), 'addresses look like "10.1.2.3" or "10.1.0.0/16"')
            return None

    def _number_in_text(self, subject: Subject, operand: str, at: str) -> ValueTest | None:
        if operand == "":
            return ValueTest("equal", "")
        number = number_of(operand)
        if number is None:
            self._report(at, f"{subject.key} holds numbers (VR {subject.vr}), got {operand!r}", "")
            return None
        return ValueTest("equal", number)

    def _uid(self, subject: Subject, operand: str, at: str) -> ValueTest | None:
        from router.config.uid_names import resolve_uid  # large tables

        try:
            return ValueTest("equal", resolve_uid(subject.fact, operand))
        except KeyMistake as mistake:
            self._report(at, str(mistake), mistake.hint)
            return None

    def _exists(self, subject: Subject, operand: Any, at: str) -> list[Condition]:
        if not isinstance(operand, bool):
            self._report(at, f"must be true or false, got {kind_of(operand)}", "")
            return []
        if subject.fact:
            self._report(at, f"{subject.key} always has a value", "exists is for attributes")
            return []
        return [Exists(subject, operand)]

    def _regex(self, subject: Subject, operand: Any, at: str) -> list[ValueTest]:
        if not isinstance(operand, str) or subject.fact == "peer_address":
            why = "peer_address is compared with networks" if isinstance(operand, str) else "must be text"
            self._report(at, why, "")
            return []
        if len(operand) > TEXT_MAX_CHARACTERS:
            self._report(at, f"is longer than {TEXT_MAX_CHARACTERS} characters", "")
            return []
        try:
            compile_regex(operand)
        except ValueError as error:
            hint = "RE2 syntax; in TOML use single quotes to keep backslashes: '\\d+'"
            self._report(at, f"is not a regular expression: {error}", hint)
            return []
        return [ValueTest("regex", operand)]

    def _ordered(self, subject: Subject, word: Comparison, value: Any, at: str) -> list[ValueTest]:
        if subject.fact:
            self._report(at, f"{subject.key} has no order", "ge, gt, le and lt are for attributes")
            return []
        operand = self._operand(subject, value, at)
        if isinstance(operand, str) and subject.is_number:
            found = self._number_in_text(subject, operand, at)
            operand = found.operand if found else None
        if isinstance(operand, str) and subject.is_moment:
            operand = digits_of(operand)
        if operand is None:
            return []
        if operand == "":
            self._report(at, "nothing is compared with empty text", "")
            return []
        return [ValueTest(word, operand)]
