"""Keys of conditions: keywords, tags, private tags, facts."""

from __future__ import annotations

import pytest

from router.config.subjects import UNKNOWN_VR, KeyMistake, Subject, parse_subject


@pytest.mark.parametrize("key", ["Modality", "0008,0060", "(0008,0060)", "(0008, 0060)"])
def test_keyword_and_tag_are_one_subject(key: str) -> None:
    assert parse_subject(key) == Subject(key, tag=0x00080060, vr="CS")


def test_a_private_tag_has_no_known_vr() -> None:
    assert parse_subject("0009,1001") == Subject("0009,1001", tag=0x00091001, vr=UNKNOWN_VR)


@pytest.mark.parametrize("key", ["0009,xx01,ACME 1.1", "(0009,XX01, ACME 1.1 )"])
def test_a_private_creator_finds_its_block(key: str) -> None:
    assert parse_subject(key) == Subject(key, tag=0x00090001, creator="ACME 1.1")


@pytest.mark.parametrize(
    "key", ["", "0008", "0008,006", "0008,xx01,ACME", "0002,0010", "FFFE,E000", "PixelData"]
)
def test_what_names_nothing_readable_is_a_mistake(key: str) -> None:
    with pytest.raises(KeyMistake):
        parse_subject(key)


def test_a_near_keyword_is_suggested() -> None:
    with pytest.raises(KeyMistake) as caught:
        parse_subject("StudyDescripton")
    assert caught.value.hint == "did you mean StudyDescription?"


def test_numbers_and_moments_are_known_by_vr() -> None:
    assert parse_subject("InstanceNumber").is_number
    assert parse_subject("StudyTime").is_moment
    assert not parse_subject("PatientName").is_number
