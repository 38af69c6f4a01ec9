"""A-ASSOCIATE-RQ and -AC: octets written by hand, limits, tolerance, and pynetdicom as the other end."""

from __future__ import annotations

from dataclasses import replace
from struct import pack

import pynetdicom.pdu as theirs
import pytest
from pynetdicom import pdu_primitives

from router.errors import LocalMisuse, PeerViolation
from router.wire.pdus import (
    ASSOCIATE_PDU_MAX_BYTES,
    TRANSFER_SYNTAXES_MAX,
    AssociateAC,
    AssociateRQ,
    ContextResult,
    ProposedContext,
    decode_pdu,
    encode_pdu,
)
from router.wire.user_information import UserIdentityAC, UserIdentityRQ, UserInformation

FIXED = "0001 0000" + b"CALLED          CALLING         ".hex() + "00" * 32
NAME = "10 00 0015" + b"1.2.840.10008.3.1.1.1".hex()
USER_INFORMATION = "50 00 0008 51 00 0004 00004000"

RQ_ITEMS = f"""{NAME}
20 00 0019  01 000000  30 00 0003 312E32  40 00 0003 312E33  40 00 0003 312E34
20 00 0012  FF 000000  30 00 0003 312E32  40 00 0003 312E33
{USER_INFORMATION}"""
RQ = AssociateRQ(
    "CALLED",
    "CALLING",
    (ProposedContext(1, "1.2", ("1.3", "1.4")), ProposedContext(255, "1.2", ("1.3",))),
    UserInformation(16384),
)

AC_ITEMS = f"""{NAME}
21 00 000B  01 00 00 00  40 00 0003 312E33
21 00 0015  FF 00 03 00  40 00 000D 312E322E3834302E3130303038
{USER_INFORMATION}"""
AC = AssociateAC(
    "CALLED",
    "CALLING",
    (ContextResult(1, 0, "1.3"), ContextResult(255, 3, "1.2.840.10008")),
    UserInformation(16384),
)


def build(pdu_type: int, items: str, fixed: str = FIXED) -> bytes:
    body = bytes.fromhex(fixed) + bytes.fromhex(items)
    return pack(">BxI", pdu_type, len(body)) + body


def item(item_type: int, value: bytes) -> str:
    return (pack(">BxH", item_type, len(value)) + value).hex()


def decode_rq(items: str, fixed: str = FIXED) -> AssociateRQ:
    decoded = decode_pdu(build(1, items, fixed))
    assert isinstance(decoded, AssociateRQ)
    return decoded


def decode_ac(items: str) -> AssociateAC:
    decoded = decode_pdu(build(2, items))
    assert isinstance(decoded, AssociateAC)
    return decoded


def test_request_octets_and_value_stand_for_each_other() -> None:
    assert decode_rq(RQ_ITEMS) == RQ
    assert encode_pdu(RQ) == build(1, RQ_ITEMS)


def test_accept_octets_and_value_stand_for_each_other() -> None:
    assert decode_ac(AC_ITEMS) == AC
    assert encode_pdu(AC) == build(2, AC_ITEMS)


def test_items_may_come_in_any_order() -> None:
    context = item(0x20, bytes.fromhex("01000000 40 00 0003 312E33 30 00 0003 312E32"))
    assert decode_rq(USER_INFORMATION + context + NAME) == replace(
        RQ, presentation_contexts=(ProposedContext(1, "1.2", ("1.3",)),)
    )


def test_missing_items_decode_as_empty() -> None:
    assert decode_rq("") == AssociateRQ("CALLED", "CALLING", (), UserInformation(), "")
    assert decode_ac("") == AssociateAC("CALLED", "CALLING", (), UserInformation(), "")


def test_unknown_items_are_ignored_at_both_levels() -> None:
    context = item(0x20, bytes.fromhex("01000000 30 00 0003 312E32 99 00 0002 FFFF 40 00 0003 312E33"))
    decoded = decode_rq(NAME + "99 00 0001 00" + context + "21 00 0000")
    assert decoded.presentation_contexts == (ProposedContext(1, "1.2", ("1.3",)),)


def test_the_protocol_version_is_kept_whole() -> None:
    assert decode_rq("", "FFFF" + FIXED[4:]).protocol_version == 0xFFFF
    assert decode_rq("", "0002" + FIXED[4:]).protocol_version == 2


def test_reserved_octets_are_not_tested() -> None:
    fixed = FIXED[:5] + "FFFF" + FIXED[9:-64] + "FF" * 32
    context = item(0x20, bytes.fromhex("01FFFFFF 30 FF 0003 312E32 40 FF 0003 312E33"))
    decoded = decode_rq(context, fixed)
    assert decoded.called_ae_title == "CALLED"
    assert decoded.presentation_contexts == (ProposedContext(1, "1.2", ("1.3",)),)


def test_titles_keep_odd_characters_for_others_to_judge() -> None:
    titles = b'../\r\n\x1b[0m\xe9{}"  ' + b" " * 16
    decoded = decode_rq("", "00010000" + titles.ljust(32).hex() + "00" * 32)
    assert decoded.called_ae_title == '../\r\n\x1b[0mé{}"'
    assert decoded.calling_ae_title == ""


def test_an_acceptor_can_repeat_whatever_titles_it_received() -> None:
    answer = AssociateAC("\r\n\x1bé", "", ())
    assert decode_pdu(encode_pdu(answer)) == answer


def test_padded_uids_are_tolerated() -> None:
    context = item(0x20, bytes.fromhex("01000000 30 00 0004 312E3200 40 00 0004 312E3320"))
    assert decode_rq(context).presentation_contexts == (ProposedContext(1, "1.2", ("1.3",)),)


@pytest.mark.parametrize("length", [0, 10, 67])
@pytest.mark.parametrize("pdu_type", [1, 2])
def test_a_pdu_too_short_for_its_fixed_fields_is_a_violation(pdu_type: int, length: int) -> None:
    with pytest.raises(PeerViolation, match=f"PDU-length {length}, needs 68"):
        decode_pdu(pack(">BxI", pdu_type, length) + bytes(length))


@pytest.mark.parametrize("pdu_type", [1, 2])
def test_a_pdu_larger_than_the_limit_is_a_violation(pdu_type: int) -> None:
    filler = item(0x99, bytes(60000)) * 4
    room = ASSOCIATE_PDU_MAX_BYTES - 68 - len(filler) // 2 - 4
    decode_pdu(build(pdu_type, filler + item(0x99, bytes(room))))
    with pytest.raises(PeerViolation, match="allowed 262144"):
        decode_pdu(build(pdu_type, filler + item(0x99, bytes(room + 1))))


@pytest.mark.parametrize("context_id", [0, 2, 254])
def test_an_even_context_id_is_a_violation(context_id: int) -> None:
    for pdu_type, item_type in ((1, 0x20), (2, 0x21)):
        with pytest.raises(PeerViolation, match=f"presentation-context-id {context_id} is even.*offset 78"):
            decode_pdu(build(pdu_type, item(item_type, bytes([context_id, 0, 0, 0]))))


def test_a_repeated_context_id_is_a_violation() -> None:
    with pytest.raises(PeerViolation, match="stands twice; offset 86"):
        decode_rq(item(0x20, bytes([3, 0, 0, 0])) * 2)
    with pytest.raises(PeerViolation, match="stands twice"):
        decode_ac(item(0x21, bytes([3, 0, 1, 0])) * 2)


def test_there_are_128_contexts_at_most() -> None:
    contexts = "".join(item(0x20, bytes([number, 0, 0, 0])) for number in range(1, 256, 2))
    assert len(decode_rq(contexts).presentation_contexts) == 128
    for one_more in range(256):
        with pytest.raises(PeerViolation):
            decode_rq(contexts + item(0x20, bytes([one_more, 0, 0, 0])))


def test_transfer_syntaxes_of_one_context_are_counted() -> None:
    head, syntax = bytes([1, 0, 0, 0]), bytes.fromhex("40 00 0003 312E33")
    decoded = decode_rq(item(0x20, head + syntax * TRANSFER_SYNTAXES_MAX))
    assert decoded.presentation_contexts == (ProposedContext(1, "", ("1.3",) * TRANSFER_SYNTAXES_MAX),)
    with pytest.raises(PeerViolation, match="over 64 transfer syntaxes"):
        decode_rq(item(0x20, head + syntax * 2000))


def test_a_context_without_syntaxes_is_left_to_negotiation() -> None:
    assert decode_rq(item(0x20, bytes([1, 0, 0, 0]))).presentation_contexts == (ProposedContext(1, "", ()),)


@pytest.mark.parametrize(
    "items",
    [
        NAME * 2,
        USER_INFORMATION * 2,
        item(0x20, bytes.fromhex("01000000 30 00 0003 312E32 30 00 0003 312E32")),
        "10 00 0016" + NAME[10:],
        "10 00 FFFF" + NAME[10:],
        "20 00 0000",
        "20 00 0003 010000",
        "20 00 000B 01000000 30 00 0004 312E32",
        "20 00 000B 01000000 40 00 0004 312E33",
        "20 00 0007 01000000 30 00 00",
        "50 00 0008 51 00 0005 00004000",
        "50 00 0009 51 00 0004 00004000",
        "50 00 0008 51 00 0004 00004000 50",
    ],
)
def test_malformed_request_items_are_violations(items: str) -> None:
    with pytest.raises(PeerViolation) as caught:
        decode_rq(items)
    assert caught.value.reason == 6
    assert caught.value.offset is not None
    assert caught.value.offset >= 74


@pytest.mark.parametrize(
    "value",
    [
        "",
        "01 00 00",
        "01 00 00 00",
        "01 00 00 00 40 00 0000",
        "01 00 00 00 40 00 0004 312E33",
        "01 00 03 00 40 00 0004 312E33",
        "01 00 00 00 40 00 0003 312E33 40 00 0003 312E33",
    ],
)
def test_malformed_answers_are_violations(value: str) -> None:
    with pytest.raises(PeerViolation):
        decode_ac(item(0x21, bytes.fromhex(value)))


def test_a_refused_context_needs_no_transfer_syntax_and_may_repeat_all() -> None:
    refused = item(0x21, bytes.fromhex("01 00 04 00"))
    empty = item(0x21, bytes.fromhex("03 00 01 00 40 00 0000"))
    many = item(0x21, bytes.fromhex("05 00 03 00 40 00 0003 312E33 40 00 0003 312E34"))
    assert decode_ac(refused + empty + many).presentation_contexts == (
        ContextResult(1, 4, ""),
        ContextResult(3, 1, ""),
        ContextResult(5, 3, "1.3"),
    )


def test_a_refused_context_is_sent_with_some_transfer_syntax() -> None:
    decoded = decode_pdu(encode_pdu(AssociateAC("A", "B", (ContextResult(1, 3),))))
    assert isinstance(decoded, AssociateAC)
    assert decoded.presentation_contexts == (ContextResult(1, 3, "1.2.840.10008.1.2"),)


CONTEXT = ProposedContext(1, "1.2", ("1.3",))


@pytest.mark.parametrize(
    "pdu",
    [
        replace(RQ, called_ae_title="X" * 17),
        replace(RQ, calling_ae_title=""),
        replace(RQ, calling_ae_title="   "),
        replace(RQ, called_ae_title="A\\B"),
        replace(RQ, called_ae_title="A\tB"),
        replace(RQ, called_ae_title="\u00c9"),
        replace(RQ, application_context_name=""),
        replace(RQ, protocol_version=65536),
        replace(RQ, presentation_contexts=(replace(CONTEXT, context_id=2),)),
        replace(RQ, presentation_contexts=(replace(CONTEXT, context_id=257),)),
        replace(RQ, presentation_contexts=(replace(CONTEXT, context_id=-1),)),
        replace(RQ, presentation_contexts=(CONTEXT, CONTEXT)),
        replace(RQ, presentation_contexts=(CONTEXT,) * 129),
        replace(RQ, presentation_contexts=(replace(CONTEXT, transfer_syntaxes=()),)),
        replace(RQ, presentation_contexts=(replace(CONTEXT, transfer_syntaxes=("1.3",) * 65),)),
        replace(RQ, presentation_contexts=(replace(CONTEXT, abstract_syntax=""),)),
        replace(RQ, user_information=UserInformation(user_identity_response=UserIdentityAC())),
        replace(AC, called_ae_title="X" * 17),
        replace(AC, called_ae_title="\u20ac"),
        replace(AC, presentation_contexts=(ContextResult(1, 0, ""),)),
        replace(AC, presentation_contexts=(ContextResult(1, 5, "1.3"),)),
        replace(AC, presentation_contexts=(ContextResult(2, 0, "1.3"),)),
        replace(AC, user_information=UserInformation(user_identity=UserIdentityRQ(1, False, b"u"))),
    ],
)
def test_what_the_standard_forbids_is_not_sent(pdu: AssociateRQ | AssociateAC) -> None:
    with pytest.raises(LocalMisuse):
        encode_pdu(pdu)


def test_error_texts_show_nothing_the_peer_wrote() -> None:
    titles = (b"SECRET" * 3)[:16] * 2
    with pytest.raises(PeerViolation) as caught:
        decode_rq(item(0x30, b"SECRET") + "20 00 00FF", "00010000" + titles.hex() + "00" * 32)
    assert "SECRET" not in str(caught.value)


def test_pynetdicom_reads_our_request() -> None:
    pdu = theirs.A_ASSOCIATE_RQ()
    pdu.decode(encode_pdu(RQ))
    primitive = pdu.to_primitive()
    assert (primitive.called_ae_title, primitive.calling_ae_title) == ("CALLED", "CALLING")
    assert [
        (context.context_id, context.abstract_syntax, tuple(context.transfer_syntax))
        for context in primitive.presentation_context_definition_list
    ] == [(1, "1.2", ("1.3", "1.4")), (255, "1.2", ("1.3",))]
    assert primitive.maximum_length_received == 16384


def test_pynetdicom_reads_our_answer() -> None:
    answer = replace(AC, presentation_contexts=(ContextResult(1, 0, "1.3"), ContextResult(255, 3)))
    pdu = theirs.A_ASSOCIATE_AC()
    pdu.decode(encode_pdu(answer))
    primitive = pdu.to_primitive()
    results = primitive.presentation_context_definition_results_list
    assert [(context.context_id, context.result) for context in results] == [(1, 0), (255, 3)]
    assert results[0].transfer_syntax == ["1.3"]


def _their_request() -> pdu_primitives.A_ASSOCIATE:
    from pynetdicom import build_context, build_role

    primitive = pdu_primitives.A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = "CALLING"
    primitive.called_ae_title = "CALLED"
    context = build_context("1.2.840.10008.5.1.4.1.1.2", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
    context.context_id = 5
    primitive.presentation_context_definition_list = [context]
    maximum_length = pdu_primitives.MaximumLengthNotification()
    maximum_length.maximum_length_received = 16382
    implementation = pdu_primitives.ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3"  # type: ignore[assignment]
    version = pdu_primitives.ImplementationVersionNameNotification()
    version.implementation_version_name = "PEER"
    window = pdu_primitives.AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = 5
    window.maximum_number_operations_performed = 6
    extended = pdu_primitives.SOPClassExtendedNegotiation()
    extended.sop_class_uid = "1.2.4"  # type: ignore[assignment]
    extended.service_class_application_information = b"\x01\x00"
    common = pdu_primitives.SOPClassCommonExtendedNegotiation()
    common.sop_class_uid = "1.2.5"  # type: ignore[assignment]
    common.service_class_uid = "1.2.6"  # type: ignore[assignment]
    common.related_general_sop_class_identification = ["1.2.7", "1.2.8"]
    identity = pdu_primitives.UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field = b"user"
    identity.secondary_field = b"code"
    identity.positive_response_requested = True
    primitive.user_information = [
        maximum_length,
        implementation,
        version,
        build_role("1.2.840.10008.5.1.4.1.1.2", scu_role=True, scp_role=True),
        window,
        identity,
        extended,
        common,
    ]
    return primitive


def test_pynetdicom_and_we_write_the_same_octets_for_the_same_request() -> None:
    pdu = theirs.A_ASSOCIATE_RQ()
    pdu.from_primitive(_their_request())
    octets = pdu.encode()
    decoded = decode_pdu(octets)
    assert isinstance(decoded, AssociateRQ)
    assert decoded.presentation_contexts == (
        ProposedContext(5, "1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")),
    )
    assert decoded.user_information.user_identity == UserIdentityRQ(2, True, b"user", b"code")
    assert decoded.user_information.sop_class_common_extended[0].related_general_sop_classes == (
        "1.2.7",
        "1.2.8",
    )
    assert encode_pdu(decoded) == octets
