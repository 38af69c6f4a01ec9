"""Peer-controlled text in logs and errors: one line, no escapes, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.standard.printable import PRINTABLE_MAX, printable


@pytest.mark.parametrize("text", ["", "STORE SCP", "../{}';<>", "Müller", "太郎"])
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("A\r\nlevel=error", "A\\r\\nlevel=error"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ('say "hi"', 'say \\"hi\\"'),
        ("a\\n", "a\\\\n"),
        ("a\0b", "a\\x00b"),
        ("\u202eabc", "\\u202eabc"),
        ("\u2028", "\\u2028"),
        ("\xa0", "\\xa0"),
        ("\ud800", "\\ud800"),
    ],
)
def test_whatever_could_mislead_a_reader_is_escaped(text: str, safe: str) -> None:
    assert printable(text) == safe


def test_length_is_bounded_before_escaping() -> None:
    assert printable("x" * PRINTABLE_MAX) == "x" * PRINTABLE_MAX
    assert printable("x" * (PRINTABLE_MAX + 1)) == "x" * PRINTABLE_MAX + "..."
    assert printable("\n\n\n", 2) == "\\n\\n..."


@given(st.text(st.characters(), max_size=80))
def test_the_result_is_one_printable_line(text: str) -> None:
    safe = printable(text)
    assert safe.isprintable()
    assert len(safe) <= PRINTABLE_MAX * len("\\U0010ffff") + 3
