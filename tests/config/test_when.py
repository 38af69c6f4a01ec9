"""The `when` table becomes a tree of conditions; each mistake is reported with its own key."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from router.config.conditions import All, AnyOf, AnyValue, Exists, Not, ValueTest
from router.config.subjects import parse_subject
from router.config.when import TEXT_MAX_CHARACTERS, WHEN_NESTING_MAX, WHEN_TESTS_MAX, parse_when


def read(when: dict[str, Any]) -> All:
    def report(key: str, why: str, hint: str) -> None:
        raise AssertionError(f"{key}: {why} ({hint})")

    return parse_when(when, report)


def reported(when: dict[str, Any]) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    parse_when(when, lambda key, why, hint: found.append((key, why, hint)))
    return found


def one(key: str, *tests: ValueTest) -> AnyValue:
    return AnyValue(parse_subject(key), tuple((test,) for test in tests))


@pytest.mark.parametrize(
    ("key", "value", "test"),
    [
        ("Modality", "CT", ValueTest("equal", "CT")),
        ("Modality", " CT ", ValueTest("equal", "CT")),
        ("Modality", "C?", ValueTest("pattern", "C?")),
        ("Modality", "", ValueTest("equal", "")),
        ("Rows", 512, ValueTest("equal", 512.0)),
        ("Rows", "512", ValueTest("equal", 512.0)),
        ("StudyID", 5, ValueTest("equal", 5.0)),
        ("StudyDate", "2024-05-01", ValueTest("equal", "20240501")),
        ("StudyDate", datetime.date(2024, 5, 1), ValueTest("equal", "20240501")),
        ("StudyTime", datetime.time(10, 15), ValueTest("equal", "101500")),
        ("calling_ae_title", "CT*", ValueTest("pattern", "CT*")),
        ("peer_address", "10.1.2.3", ValueTest("network", "10.1.2.3/32")),
        ("peer_address", "10.1.0.0/16", ValueTest("network", "10.1.0.0/16")),
        ("sop_class", "CT Image Storage", ValueTest("equal", "1.2.840.10008.5.1.4.1.1.2")),
        ("sop_class", "1.2.*", ValueTest("pattern", "1.2.*")),
        ("transfer_syntax", "ExplicitVRBigEndian", ValueTest("equal", "1.2.840.10008.1.2.2")),
    ],
)
def test_a_literal_is_read(key: str, value: Any, test: ValueTest) -> None:
    assert read({key: value}) == All((one(key, test),))


def test_a_list_is_any_of_its_values() -> None:
    condition = one("Modality", ValueTest("equal", "CT"), ValueTest("pattern", "M*"))
    assert read({"Modality": ["CT", "M*"]}) == All((condition,))


def test_the_words_of_a_table_hold_together_for_one_value() -> None:
    tests = (ValueTest("ge", 1.0), ValueTest("lt", 5.0))
    subject = parse_subject("SliceThickness")
    assert read({"SliceThickness": {"ge": 1, "lt": 5}}) == All((AnyValue(subject, (tests,)),))


def test_not_and_exists_are_conditions_of_their_own() -> None:
    subject = parse_subject("Modality")
    assert read({"Modality": {"exists": True, "not": "CT"}}) == All(
        (Exists(subject, True), Not(All((one("Modality", ValueTest("equal", "CT")),))))
    )


def test_tables_combine() -> None:
    ct = All((one("Modality", ValueTest("equal", "CT")),))
    when = {"any": [{"Modality": "CT"}], "all": [{"Modality": "CT"}], "not": {"Modality": "CT"}}
    assert read(when) == All((AnyOf((ct,)), All((ct,)), Not(ct)))


@pytest.mark.parametrize(
    ("when", "key", "why", "hint"),
    [
        ({"Modalty": "CT"}, "Modalty", "neither an attribute", "did you mean Modality?"),
        ({"modality": "CT"}, "modality", "neither an attribute", "did you mean Modality?"),
        ({"Modality": {"eq": "CT"}}, "Modality.eq", "is not a comparison", "regex"),
        ({"Modality": {}}, "Modality", "is an empty table", ""),
        ({"Modality": []}, "Modality", "is an empty list", ""),
        ({"Modality": True}, "Modality", "got true", "exists = true"),
        ({"Modality": ["CT", ["MR"]]}, "Modality[1]", "got a list", ""),
        ({"Modality": {"exists": "yes"}}, "Modality.exists", "true or false, got 'yes'", ""),
        ({"Modality": {"regex": "(a"}}, "Modality.regex", "missing )", "RE2"),
        ({"Modality": {"regex": "(?=a)"}}, "Modality.regex", "not a regular expression", "RE2"),
        ({"Modality": {"regex": 5}}, "Modality.regex", "must be text", ""),
        ({"Modality": {"ge": ""}}, "Modality.ge", "empty text", ""),
        ({"Rows": "many"}, "Rows", "holds numbers (VR US), got 'many'", ""),
        ({"Rows": {"ge": "x"}}, "Rows.ge", "holds numbers", ""),
        ({"Rows": {"ge": float("inf")}}, "Rows.ge", "got inf", ""),
        ({"PixelData": "x"}, "PixelData", "has VR OB", ""),
        ({"0002,0010": "x"}, "0002,0010", "not an element of a dataset", ""),
        ({"calling_ae_title": 5}, "calling_ae_title", "must be text", "quotes"),
        ({"calling_ae_title": {"exists": True}}, "calling_ae_title.exists", "always has a value", ""),
        ({"calling_ae_title": {"ge": "A"}}, "calling_ae_title.ge", "has no order", ""),
        ({"peer_address": "10.0.0.1/8"}, "peer_address", "10.0.0.0/8", "10.1.2.3"),
        ({"peer_address": {"regex": "10"}}, "peer_address.regex", "compared with networks", ""),
        ({"peer_address": "host"}, "peer_address", "not an IP address", ""),
        ({"sop_class": "CT Imge Storage"}, "sop_class", "neither a UID nor", "did you mean"),
        ({"sop_class": "CT*"}, "sop_class", "can match no UID", "UID"),
        ({"transfer_syntax": "JPEG9"}, "transfer_syntax", "neither a UID nor", ""),
        ({"any": {"Modality": "CT"}}, "any", "must be a list of tables, got a table", "any = ["),
        ({"any": []}, "any", "got an empty list", ""),
        ({"not": ["CT"]}, "not", "must be a table", ""),
        ({"not": {}}, "not", "must be a table", ""),
        ({"any": [{"Modality": "CT"}, {"Foo": 1}]}, "any[1].Foo", "neither", ""),
        ({"Modality": "x" * (TEXT_MAX_CHARACTERS + 1)}, "Modality", "longer than", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_where_it_stands(when: dict[str, Any], key: str, why: str, hint: str) -> None:
    ((got_key, got_why, got_hint),) = reported(when)
    assert got_key == key
    assert why in got_why
    assert hint in got_hint


def test_an_expression_that_would_take_too_much_memory_is_refused() -> None:
    assert reported({"Modality": {"regex": "((a{0,100}){0,100}){0,100}"}})


def test_nesting_is_bounded() -> None:
    when: dict[str, Any] = {"Modality": "CT"}
    for _ in range(WHEN_NESTING_MAX):
        when = {"not": when}
    assert not reported(when)
    assert "nested" in reported({"not": when})[0][1]


def test_the_number_of_conditions_is_bounded() -> None:
    found = reported({"any": [{"Modality": "CT"}] * (WHEN_TESTS_MAX + 1)})
    assert [key for key, _, _ in found] == [f"any[{WHEN_TESTS_MAX}].Modality"]
