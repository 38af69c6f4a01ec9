"""Compile `*?` patterns: * any characters, ? one; case counts, all else is literal.

Linear time: the text between stars is sought from left to right and never looked for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

ValuePredicate = Callable[[str], bool]


def compile_pattern(pattern: str) -> ValuePredicate:
    """Compile a `*?` pattern: the text between stars is sought from left to right, never going back."""
    head, *rest = pattern.split("*")
    if not rest:
        return _segment_equals(head)
    if not head and not rest[-1] and len(rest) == 2 and "?" not in pattern:
        return lambda value: rest[0] in value
    *middle, tail = rest
    head_length, tail_length = len(head), len(tail)
    if "?" not in pattern and not any(middle):
        return lambda value: (
            len(value) >= head_length + tail_length and value.startswith(head) and value.endswith(tail)
        )
    finders = [_segment_finder(segment) for segment in middle if segment]
    starts, ends = _segment_equals(head), _segment_equals(tail)

    def matches(value: str) -> bool:
        end = len(value) - tail_length
        if end < head_length or not starts(value[:head_length]) or not ends(value[end:]):
            return False
        position = head_length
        for find in finders:
            position = find(value, position, end)
            if position < 0:
                return False
        return True

    return matches


def _segment_equals(segment: str) -> ValuePredicate:
    if "?" not in segment:
        return lambda text: text == segment
    fullmatch = _segment_expression(segment).fullmatch
    return lambda text: fullmatch(text) is not None


def _segment_finder(segment: str) -> Callable[[str, int, int], int]:
    """Return find(value, start, end) -> index behind the first occurrence, or -1."""
    length = len(segment)
    if "?" not in segment:

        def find(value: str, start: int, end: int) -> int:
            found = value.find(segment, start, end)
            return found + length if found >= 0 else -1

        return find
    search = _segment_expression(segment).search

    def find_expression(value: str, start: int, end: int) -> int:
        found = search(value, start, end)
        return found.end() if found else -1

    return find_expression


def _segment_expression(segment: str) -> re.Pattern[str]:
    """Compile a text with ? only: of fixed length, so there is nothing to go back to."""
    return re.compile("".join("." if one == "?" else re.escape(one) for one in segment), re.DOTALL)
