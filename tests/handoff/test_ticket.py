"""Every record comes back as it was written; nothing else comes back at all."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.handoff.ticket import (
    RECORD_BYTES_MAX,
    Hello,
    Holding,
    MalformedRecord,
    Receipt,
    Record,
    Recount,
    Release,
    Ticket,
    WorkerStage,
    WorkerState,
    decode_record,
    encode_record,
)

CT = Ticket(
    ticket_id=(1 << 40) + 1,
    slots=(17, 3, 4),
    file="",
    dataset_bytes=526_000,
    sop_class="1.2.840.10008.5.1.4.1.1.2",
    sop_instance="1.2.826.0.1.3680043.8.498.12345678901234567890123456789012345",
    transfer_syntax="1.2.840.10008.1.2.1",
    calling_ae_title="MODALITY",
    called_ae_title="ROUTER",
    peer_address="192.0.2.17",
    source="ct-scanner",
    ack="stored",
    received_ns=1_700_000_000_000_000_000,
    association_id=42,
)

numbers = st.integers(0, 2**63)
slots = st.lists(st.integers(0, 2**20), max_size=70).map(tuple)
words = st.text(max_size=64)
records = st.one_of(
    st.builds(
        Ticket,
        numbers,
        slots,
        words,
        numbers,
        words,
        words,
        words,
        words,
        words,
        words,
        words,
        words,
        numbers,
        numbers,
        numbers,
    ),
    st.builds(Receipt, numbers, st.integers(0, 0xFFFF), words, slots, st.booleans()),
    st.builds(Release, numbers, slots),
    st.builds(Hello, numbers, numbers),
    st.builds(Recount, numbers),
    st.builds(Holding, numbers, slots, st.booleans()),
    st.builds(WorkerState, st.sampled_from([int(stage) for stage in WorkerStage]), words),
)


@given(records)
def test_a_record_survives_the_ring(record: Record) -> None:
    decoded = decode_record(encode_record(record))
    assert decoded == record
    assert type(decoded) is type(record)


def test_a_ticket_is_small() -> None:
    assert len(encode_record(CT)) < 256


@given(st.binary(max_size=200))
def test_random_bytes_decode_or_are_malformed(data: bytes) -> None:
    try:
        decode_record(data)
    except MalformedRecord:
        return


@given(records, st.data())
def test_a_cut_or_changed_record_decodes_or_is_malformed(record: Record, data: st.DataObject) -> None:
    encoded = bytearray(encode_record(record))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_record(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))
    except MalformedRecord:
        return


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([], "begin with its kind"),
        ({}, "begin with its kind"),
        (["1", 2], "begin with its kind"),
        ([True, 2], "begin with its kind"),
        ([8, 2], "kind 8"),
        ([7, 2], "wrong fields"),
        ([-1, 2], "kind -1"),
        ([3, 1], "Hello record with wrong fields"),
        ([3, 1, 2, 3], "Hello record with wrong fields"),
        ([3, 1, "2"], "Hello record with wrong fields"),
        ([2, 1, [1, "2"]], "slots are not numbers"),
        ([2, 1, [True]], "slots are not numbers"),
    ],
)
def test_a_record_of_another_shape_is_malformed(fields: object, text: str) -> None:
    with pytest.raises(MalformedRecord, match=text):
        decode_record(msgpack.packb(fields))


def test_the_error_does_not_repeat_the_content() -> None:
    with pytest.raises(MalformedRecord) as caught:
        decode_record(msgpack.packb([0, "DOE^JOHN"]))
    assert "DOE" not in str(caught.value)


def test_a_record_no_ring_would_take_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed"):
        encode_record(CT._replace(file="x" * RECORD_BYTES_MAX))
