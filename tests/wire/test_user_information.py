"""User information sub-items: octets written by hand, lying lengths, and what must stay secret."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from router.errors import LocalMisuse, PeerViolation
from router.wire.user_information import (
    PER_SOP_CLASS_ITEMS_MAX,
    AsynchronousOperationsWindow,
    RoleSelection,
    SOPClassCommonExtended,
    SOPClassExtended,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
    decode_user_information,
    encode_user_information,
)
from tests.support import pdu_strategies as make

# "1.2" is 31 2E 32; each row: one sub-item, and what it says
SUB_ITEMS = [
    ("51 00 0004 00004000", UserInformation(maximum_length=16384)),
    ("51 00 0004 00000000", UserInformation(maximum_length=0)),
    ("51 00 0004 FFFFFFFF", UserInformation(maximum_length=0xFFFFFFFF)),
    ("52 00 0003 312E32", UserInformation(implementation_class_uid="1.2")),
    ("55 00 0002 5652", UserInformation(implementation_version_name="VR")),
    (
        "53 00 0004 0005 0000",
        UserInformation(asynchronous_operations=AsynchronousOperationsWindow(invoked=5, performed=0)),
    ),
    ("54 00 0007 0003 312E32 01 00", UserInformation(role_selections=(RoleSelection("1.2", True, False),))),
    ("54 00 0007 0003 312E32 00 01", UserInformation(role_selections=(RoleSelection("1.2", False, True),))),
    ("56 00 0007 0003 312E32 0101", UserInformation(sop_class_extended=(SOPClassExtended("1.2", b"\1\1"),))),
    ("56 00 0005 0003 312E32", UserInformation(sop_class_extended=(SOPClassExtended("1.2", b""),))),
    (
        "57 00 0015 0003 312E32 0003 312E33 0009 0003 312E34 0002 3235",
        UserInformation(sop_class_common_extended=(SOPClassCommonExtended("1.2", "1.3", ("1.4", "25")),)),
    ),
    (
        "57 00 000C 0003 312E32 0003 312E33 0000",
        UserInformation(sop_class_common_extended=(SOPClassCommonExtended("1.2", "1.3"),)),
    ),
    (
        "58 00 000B 02 01 0004 75736572 0001 70",
        UserInformation(user_identity=UserIdentityRQ(2, True, b"user", b"p")),
    ),
    ("58 00 0006 01 00 0000 0000", UserInformation(user_identity=UserIdentityRQ(1, False, b""))),
    ("59 00 0004 0002 CAFE", UserInformation(user_identity_response=UserIdentityAC(b"\xca\xfe"))),
    ("59 00 0002 0000", UserInformation(user_identity_response=UserIdentityAC())),
]


def decode(octets: str) -> UserInformation:
    data = bytes.fromhex(octets)
    return decode_user_information(data, 0, len(data))


@pytest.mark.parametrize(("octets", "information"), SUB_ITEMS)
def test_octets_and_value_stand_for_each_other(octets: str, information: UserInformation) -> None:
    assert decode(octets) == information
    assert encode_user_information(information) == bytes.fromhex(octets)


def test_sub_items_are_written_in_one_order_and_read_in_any() -> None:
    information = UserInformation(
        16384,
        "1.2",
        "VR",
        AsynchronousOperationsWindow(1, 1),
        (RoleSelection("1.2", True, True),),
        (SOPClassExtended("1.2", b""),),
        (SOPClassCommonExtended("1.2", "1.3"),),
        UserIdentityRQ(1, False, b""),
        UserIdentityAC(),
    )
    octets = encode_user_information(information)
    sub_items = []
    while octets:
        end = 4 + int.from_bytes(octets[2:4], "big")
        sub_items.append(octets[:end])
        octets = octets[end:]
    assert [sub_item[0] for sub_item in sub_items] == [0x51, 0x52, 0x55, 0x54, 0x53, 0x58, 0x59, 0x56, 0x57]
    backwards = b"".join(reversed(sub_items))
    assert decode_user_information(backwards, 0, len(backwards)) == information


def test_unknown_sub_items_are_ignored() -> None:
    assert decode("50 00 0001 FF 51 00 0004 00000010 99 00 0000 5A 00 0002 0102") == UserInformation(16)


def test_absent_sub_items_are_none() -> None:
    assert decode("") == UserInformation()


def test_padding_of_uids_and_names_is_tolerated() -> None:
    assert decode("52 00 0004 312E3200").implementation_class_uid == "1.2"
    assert decode("55 00 0004 56522020").implementation_version_name == "VR"
    assert decode("54 00 0008 0004 312E3200 01 01").role_selections[0].sop_class_uid == "1.2"


def test_a_role_is_taken_by_1_only() -> None:
    assert decode("54 00 0007 0003 312E32 02 FF").role_selections == (RoleSelection("1.2", False, False),)


def test_later_versions_of_common_extended_may_carry_more() -> None:
    item = decode("57 01 000F 0003 312E32 0003 312E33 0000 AABBCC").sop_class_common_extended
    assert item == (SOPClassCommonExtended("1.2", "1.3"),)


@pytest.mark.parametrize(
    "octets",
    [
        "51",
        "51 00 0004 000040",
        "51 00 0003 004000",
        "51 00 0005 0000400000",
        "51 00 FFFF 00004000",
        "52 00 0004 312E32",
        "53 00 0003 000100",
        "53 00 0006 000100010001",
        "54 00 0000",
        "54 00 0001 00",
        "54 00 0006 0003 312E32 01",
        "54 00 0008 0003 312E32 01 00 00",
        "54 00 0007 0006 312E32 01 00",
        "55 00 0003 5652",
        "56 00 0000",
        "56 00 0005 0004 312E32",
        "57 00 0005 0003 312E32",
        "57 00 000A 0003 312E32 0004 312E33",
        "57 00 000C 0003 312E32 0003 312E33 0001",
        "57 00 0011 0003 312E32 0003 312E33 0005 0004 312E34",
        "57 00 000D 0003 312E32 0003 312E33 0001 00",
        "58 00 0000",
        "58 00 0001 01",
        "58 00 0002 01 00",
        "58 00 0004 01 00 0000",
        "58 00 0006 01 00 0001 0000",
        "58 00 0006 01 00 0000 0001",
        "58 00 0007 01 00 0000 0000 FF",
        "58 00 0006 01 00 FFFF 0000",
        "59 00 0000",
        "59 00 0002 0001",
        "59 00 0003 0000 FF",
    ],
)
def test_a_length_that_lies_is_a_violation(octets: str) -> None:
    with pytest.raises(PeerViolation) as caught:
        decode(octets)
    assert (caught.value.source, caught.value.reason) == (2, 6)
    assert caught.value.offset is not None
    assert caught.value.offset <= len(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "octets", [octets for octets, _ in SUB_ITEMS if octets[:2] not in {"54", "56", "57"}]
)
def test_a_sub_item_that_stands_once_may_not_stand_twice(octets: str) -> None:
    length = len(bytes.fromhex(octets))
    with pytest.raises(PeerViolation, match=f"{octets[:2]}H stands more than 1 times; offset {length}"):
        decode(octets + octets)


@pytest.mark.parametrize("octets", ["54 00 0004 0000 01 01", "56 00 0002 0000", "57 00 0006 0000 0000 0000"])
def test_sub_items_of_one_kind_are_counted(octets: str) -> None:
    once = bytes.fromhex(octets)
    data = once * PER_SOP_CLASS_ITEMS_MAX
    decode_user_information(data, 0, len(data))
    data += once
    with pytest.raises(PeerViolation, match=str(PER_SOP_CLASS_ITEMS_MAX)):
        decode_user_information(data, 0, len(data))


def test_identities_never_show() -> None:
    information = UserInformation(
        user_identity=UserIdentityRQ(2, True, b"SECRET-NAME", b"SECRET-CODE"),
        user_identity_response=UserIdentityAC(b"SECRET-TICKET"),
    )
    assert "SECRET" not in repr(information)
    octets = bytes.fromhex("58 00 000D 02 01 0006") + b"SECRET" + bytes.fromhex("0009 53")
    with pytest.raises(PeerViolation) as caught:
        decode_user_information(octets, 0, len(octets))
    assert "SECRET" not in str(caught.value)
    with pytest.raises(LocalMisuse) as misuse:
        encode_user_information(UserInformation(user_identity=UserIdentityRQ(1, False, b"SECRET" * 12000)))
    assert "SECRET" not in str(misuse.value)


@pytest.mark.parametrize(
    "information",
    [
        UserInformation(maximum_length=-1),
        UserInformation(maximum_length=2**32),
        UserInformation(implementation_class_uid=""),
        UserInformation(implementation_class_uid="1" * 65),
        UserInformation(implementation_version_name=""),
        UserInformation(implementation_version_name="X" * 17),
        UserInformation(implementation_version_name="A\n"),
        UserInformation(implementation_version_name="é"),
        UserInformation(asynchronous_operations=AsynchronousOperationsWindow(65536, 1)),
        UserInformation(asynchronous_operations=AsynchronousOperationsWindow(1, -1)),
        UserInformation(role_selections=(RoleSelection("", True, True),)),
        UserInformation(sop_class_extended=(SOPClassExtended("1.2", bytes(65535)),)),
        UserInformation(sop_class_common_extended=(SOPClassCommonExtended("1.2", ""),)),
        UserInformation(user_identity=UserIdentityRQ(256, False, b"")),
        UserInformation(user_identity=UserIdentityRQ(1, False, bytes(40000), bytes(40000))),
        UserInformation(user_identity_response=UserIdentityAC(bytes(65536))),
    ],
)
def test_what_cannot_be_encoded_is_our_own_mistake(information: UserInformation) -> None:
    with pytest.raises(LocalMisuse):
        encode_user_information(information)


@given(make.user_informations(True) | make.user_informations(False))
@settings(max_examples=80, deadline=None)
def test_user_information_survives_the_round_trip_anywhere_in_a_pdu(information: UserInformation) -> None:
    octets = b"?" * 7 + encode_user_information(information)
    assert decode_user_information(octets + b"????", 7, len(octets)) == information
