"""Invariant: both codecs decode and encode alike, errors and offsets included; fields come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import _codec.command
import router.wire.reference.command
from router.standard.dimse_fields import VRS
from tests.codec.octets import implicit_element
from tests.differential.twins import QUICK, damaged, outcome

TWINS = (_codec.command, router.wire.reference.command)

TAGS = st.one_of(st.sampled_from(sorted(VRS)), st.integers(0, 0x10010))
TEXT = st.text(st.characters(max_codepoint=255), max_size=20)
VALUES = st.one_of(
    st.integers(-2, 0x10001),
    st.lists(st.integers(0, 0xFFFFFFFF), max_size=3),
    st.text(max_size=8),
    TEXT,
    st.binary(max_size=9),
    st.none(),
)
ELEMENTS = st.builds(implicit_element, TAGS, st.binary(max_size=9))
COMMANDS = st.one_of(
    st.lists(ELEMENTS, max_size=5).map(b"".join),
    st.lists(ELEMENTS, max_size=8).map(
        lambda elements: b"".join(sorted(elements, key=lambda e: e[2:4][::-1]))
    ),
    st.binary(max_size=30),
)


@QUICK
@given(damaged(COMMANDS))
def test_command_sets_are_decoded_alike(octets):
    compiled, reference = (outcome(module.decode_command, octets) for module in TWINS)
    assert compiled == reference


@QUICK
@given(st.dictionaries(TAGS, VALUES, max_size=5))
def test_fields_are_encoded_alike(fields):
    compiled, reference = (outcome(module.encode_command, fields) for module in TWINS)
    assert compiled == reference


def value_of(tag):
    numbers = {
        "US": st.integers(0, 0xFFFF),
        "AT": st.lists(st.integers(0, 0xFFFFFFFF), max_size=3).map(tuple),
    }
    return numbers.get(VRS[tag], TEXT.map(lambda text: text.rstrip("\0 ")))


FIELDS = st.fixed_dictionaries({}, optional={tag: value_of(tag) for tag in VRS if VRS[tag] != "UL"})


@QUICK
@given(FIELDS)
def test_what_is_encoded_is_decoded_again(fields):
    for module in TWINS:
        assert module.decode_command(module.encode_command(fields)) == fields
