"""Command elements and message numbers, compared with pydicom's and pynetdicom's."""

from __future__ import annotations

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pynetdicom import dimse_messages as theirs

from router.standard import dimse_fields
from router.standard.dimse_fields import KEYWORDS, MESSAGE_NAMES, RESPONSE_BIT, VRS

SHORTENED = {"MOVE_ORIGINATOR_AE_TITLE": "MoveOriginatorApplicationEntityTitle"}


@pytest.mark.parametrize("tag", VRS)
def test_vrs_and_keywords_are_those_of_the_dictionary(tag: int) -> None:
    assert VRS[tag] == dictionary_VR(tag)
    assert KEYWORDS[tag] == keyword_for_tag(tag)
    constants = [name for name, value in vars(dimse_fields).items() if value == tag and name.isupper()]
    folded = {SHORTENED.get(name, name).replace("_", "").lower() for name in constants}
    assert KEYWORDS[tag].lower() in folded


def test_both_tables_have_the_same_24_elements() -> None:
    assert list(VRS) == list(KEYWORDS) == sorted(VRS)
    assert len(VRS) == 24


@pytest.mark.parametrize("number", MESSAGE_NAMES)
def test_every_message_has_a_constant(number: int) -> None:
    assert getattr(dimse_fields, MESSAGE_NAMES[number].replace("-", "_")) == number


def test_message_numbers_are_those_that_pynetdicom_uses() -> None:
    assert {number: name for number, (name, _) in theirs._MESSAGE_TYPES.items()} == MESSAGE_NAMES


def test_eleven_services_have_a_response_and_cancel_has_none() -> None:
    requests = [number for number in MESSAGE_NAMES if not number & RESPONSE_BIT]
    assert len(requests) == 12
    unanswered = [number for number in requests if number | RESPONSE_BIT not in MESSAGE_NAMES]
    assert unanswered == [dimse_fields.C_CANCEL_RQ]
    for number in requests:
        if number not in unanswered:
            assert MESSAGE_NAMES[number | RESPONSE_BIT] == MESSAGE_NAMES[number].replace("-RQ", "-RSP")
