"""Patterns match as the shell's do, in linear time."""

from __future__ import annotations

from fnmatch import translate
from re import compile as compile_expression

from hypothesis import given
from hypothesis import strategies as st

from router.routing.pattern import compile_pattern


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_patterns_match_as_shell_patterns_do(pattern: str, text: str) -> None:
    expected = compile_expression(translate(pattern)).match(text) is not None
    assert compile_pattern(pattern)(text) is expected


def test_everything_but_stars_and_question_marks_is_literal() -> None:
    assert compile_pattern("[a].*")("[a].x")
    assert not compile_pattern("[a].*")("ab")
    assert compile_pattern("a?c")("a\nc")


def test_a_pattern_of_many_stars_never_goes_back() -> None:
    assert not compile_pattern("*a" * 500 + "*b")("a" * 1024)
    assert not compile_pattern("*a?" * 300 + "*b")("a" * 1024)
