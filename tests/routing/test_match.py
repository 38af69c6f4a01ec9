"""What each condition matches."""

from __future__ import annotations

from typing import Any

import pytest

from router.config.subjects import parse_subject
from router.routing.facts import Facts
from router.routing.match import compile_condition, tags_of
from tests.support.routing import condition, facts


def matches(when: dict[str, Any], given_facts: Facts) -> bool:
    return compile_condition(condition(**when))(given_facts)


@pytest.mark.parametrize(
    ("when", "attributes", "expected"),
    [
        ({"Modality": "CT"}, {"Modality": "CT"}, True),
        ({"Modality": "CT"}, {"Modality": "ct"}, False),
        ({"Modality": "CT"}, {"Modality": "CTA"}, False),
        ({"Modality": ["CT", "MR"]}, {"Modality": "MR"}, True),
        ({"Modality": ["CT", "M*"]}, {"Modality": "MG"}, True),
        ({"0008,0060": "CT"}, {"Modality": "CT"}, True),
        ({"PatientName": "DOE^JOHN"}, {"PatientName": "DOE^JOHN"}, True),
        ({"PatientName": "DOE*"}, {"PatientName": "DOE^JOHN"}, True),
        # one of several values is enough
        ({"ImageType": "PRIMARY"}, {"ImageType": ("ORIGINAL", "PRIMARY")}, True),
        ({"ImageType": {"not": "PRIMARY"}}, {"ImageType": ("ORIGINAL", "PRIMARY")}, False),
        ({"PixelSpacing": {"ge": 1, "lt": 5}}, {"PixelSpacing": ("0.5", "10")}, False),
        ({"PixelSpacing": {"ge": 1, "lt": 5}}, {"PixelSpacing": ("0.5", "2")}, True),
        # numbers by value
        ({"SliceThickness": 5}, {"SliceThickness": "5.00"}, True),
        ({"SliceThickness": "5.0"}, {"SliceThickness": "+5"}, True),
        ({"SliceThickness": {"gt": 5}}, {"SliceThickness": "5"}, False),
        ({"SliceThickness": {"ge": 5}}, {"SliceThickness": "5"}, True),
        ({"SliceThickness": {"le": 5}}, {"SliceThickness": "5"}, True),
        ({"SliceThickness": {"lt": 5}}, {"SliceThickness": "5"}, False),
        ({"SliceThickness": {"lt": 5}}, {"SliceThickness": "thin"}, False),
        ({"SliceThickness": {"lt": "10"}}, {"SliceThickness": "9"}, True),
        ({"StudyID": 7}, {"StudyID": "007"}, True),
        ({"StudyID": "7"}, {"StudyID": "007"}, False),
        # dates and times as text of digits, or as numbers
        ({"StudyDate": {"ge": "20240101"}}, {"StudyDate": "20240501"}, True),
        ({"StudyDate": {"ge": "2024-01-01"}}, {"StudyDate": "2023.12.31"}, False),
        ({"StudyDate": {"ge": 20240101}}, {"StudyDate": "20240501"}, True),
        ({"StudyDate": "2024.05.01"}, {"StudyDate": "20240501"}, True),
        ({"StudyTime": {"lt": "12:00"}}, {"StudyTime": "115959.9"}, True),
        ({"StudyDate": {"lt": "20240101"}}, {"StudyDate": ""}, False),
        # expressions are found anywhere
        ({"StudyDescription": {"regex": "KNEE|HIP"}}, {"StudyDescription": "LEFT HIP"}, True),
        ({"StudyDescription": {"regex": "^HIP"}}, {"StudyDescription": "LEFT HIP"}, False),
        ({"StudyDescription": {"regex": "ü"}}, {"StudyDescription": "Hüfte"}, True),
        # missing, and empty
        ({"Modality": "CT"}, {}, False),
        ({"Modality": "*"}, {}, False),
        ({"Modality": ""}, {}, False),
        ({"Modality": ""}, {"Modality": ""}, True),
        ({"Modality": "*"}, {"Modality": ""}, True),
        ({"Modality": {"not": "CT"}}, {}, True),
        ({"not": {"Modality": "CT"}}, {}, True),
        ({"Modality": {"exists": True}}, {}, False),
        ({"Modality": {"exists": False}}, {}, True),
        ({"Modality": {"exists": True}}, {"Modality": ""}, False),
        ({"Modality": {"exists": False}}, {"Modality": ""}, True),
        ({"Modality": {"exists": True, "not": "CT"}}, {"Modality": "MR"}, True),
        ({"Modality": {"exists": True, "not": "CT"}}, {}, False),
        ({"Modality": {"not": ["CT", "MR"]}}, {"Modality": "MR"}, False),
        # combining
        ({}, {}, True),
        ({"Modality": "CT", "StudyID": "1"}, {"Modality": "CT", "StudyID": "2"}, False),
        ({"any": [{"Modality": "CT"}, {"StudyID": "2"}]}, {"StudyID": "2"}, True),
        ({"any": [{"Modality": "CT"}, {"StudyID": "2"}]}, {"StudyID": "3"}, False),
        ({"all": [{"Modality": "CT"}, {"Rows": 2}]}, {"Modality": "CT", "Rows": "2"}, True),
        ({"all": [{"Modality": "CT"}, {"Modality": "C*"}, {"StudyID": 3}]}, {"Modality": "CT"}, False),
        ({"not": {"any": [{"Modality": "CT"}, {"Modality": "MR"}]}}, {"Modality": "US"}, True),
    ],
)  # fmt: skip
def test_attributes(when: dict[str, Any], attributes: dict[str, Any], expected: bool) -> None:
    assert matches(when, facts(**attributes)) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"calling_ae_title": "CT1"}, True),
        ({"calling_ae_title": "CT?"}, True),
        ({"calling_ae_title": {"not": "CT*"}}, False),
        ({"calling_ae_title": {"regex": "^CT[0-9]$"}}, True),
        ({"called_ae_title": ["A", "ROUTER"]}, True),
        ({"peer_address": "10.1.2.3"}, True),
        ({"peer_address": ["192.168.0.0/16", "10.0.0.0/8"]}, True),
        ({"peer_address": "10.1.3.0/24"}, False),
        ({"peer_address": {"not": "10.0.0.0/8"}}, False),
        ({"peer_address": "::/0"}, False),
        ({"sop_class": "CT Image Storage"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.*"}, True),
        ({"sop_class": "MR Image Storage"}, False),
        ({"transfer_syntax": "1.2.840.10008.1.2.1"}, True),
        ({"transfer_syntax": {"not": "ExplicitVRLittleEndian"}}, False),
    ],
)
def test_facts_of_the_association(when: dict[str, Any], expected: bool) -> None:
    assert matches(when, facts()) is expected


@pytest.mark.parametrize(
    ("peer", "expected"), [("::ffff:10.1.2.3", True), ("not an address", False), ("", False)]
)
def test_peer_addresses_as_sockets_give_them(peer: str, expected: bool) -> None:
    assert matches({"peer_address": "10.0.0.0/8"}, facts(peer=peer)) is expected


def test_ipv6_networks() -> None:
    assert matches({"peer_address": "2001:db8::/32"}, facts(peer="2001:db8::1"))
    assert not matches({"peer_address": "2001:db8::/32"}, facts(peer="2001:db9::1"))


def test_a_private_element_is_found_by_its_creator_in_any_block() -> None:
    when = {"0009,xx01,ACME": "yes"}
    found = Facts(attributes={0x00090010: ("OTHER",), 0x00090011: ("ACME",), 0x00091101: ("yes",)})
    other = Facts(attributes={0x00090010: ("OTHER",), 0x00091001: ("yes",)})
    assert matches(when, found)
    assert not matches(when, other)
    assert matches({"0009,xx01,ACME": {"exists": True, "regex": "y"}}, found)
    tags = tags_of(parse_subject("0009,xx01,ACME"))
    assert {0x00090010, 0x00090011, 0x00091001, 0x00091101} <= set(tags)
