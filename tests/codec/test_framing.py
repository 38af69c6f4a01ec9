"""The reader of inbound PDUs: events in order, payload in the attached buffer, the answer to errors."""

from __future__ import annotations

import struct

import pytest

from tests.codec.octets import COMMAND, LAST, message, pdata, pdu, pdv

RQ = pdu(1, bytes(range(68)))
ABORT = pdu(7, b"\0\0\2\1")


@pytest.fixture
def f(codec):
    return codec.framing


@pytest.fixture
def reader(f):
    made = f.PduReader(16384)
    made.set_contexts([1, 3])
    return made


def feed(reader, data):
    return reader.feed(data, 0, len(data))


def announce(reader, f, context_id=1):
    """Bring the reader to where a dataset is due."""
    assert feed(reader, pdata(pdv(context_id, COMMAND | LAST, b"CC"))) == f.COMMAND
    reader.expect_dataset(True)


def test_a_control_pdu_is_returned_whole(f):
    reader = f.PduReader(0)
    data = b"xx" + RQ + ABORT
    assert reader.feed(data, 2, len(data)) == f.PDU
    assert (reader.pdu_type, reader.pdu, reader.consumed) == (1, RQ, 2 + len(RQ))
    assert reader.feed(data, reader.consumed, len(data)) == f.PDU
    assert (reader.pdu_type, reader.pdu, reader.consumed) == (7, ABORT, len(data))
    assert reader.feed(data, len(data), len(data)) == f.NEED_DATA


def test_a_control_pdu_may_arrive_octet_by_octet(f):
    reader = f.PduReader(0)
    events = [feed(reader, RQ[i : i + 1]) for i in range(len(RQ))]
    assert events == [f.NEED_DATA] * (len(RQ) - 1) + [f.PDU]
    assert reader.pdu == RQ


@pytest.mark.parametrize("make", [bytearray, lambda octets: memoryview(b"." + octets)[1:]])
def test_any_buffer_may_be_fed_and_is_free_afterwards(f, make):
    reader = f.PduReader(0)
    data = make(RQ)
    assert feed(reader, data) == f.PDU
    assert reader.pdu == RQ
    if isinstance(data, bytearray):
        data.clear()  # BufferError if it were still exported


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 5), (3, 2), (5, 5)])
def test_a_range_outside_the_data_is_refused(f, start, end):
    data = bytearray(4)
    with pytest.raises(ValueError, match="leaves the data") as caught:
        f.PduReader(0).feed(data, start, end)
    assert caught.value.args[1] == start
    data.clear()


def test_a_command_set_ends_the_call_and_says_its_context(reader, f):
    data = message(b"\1\2\3\4", None, context_id=3) + ABORT
    assert feed(reader, data) == f.COMMAND
    assert (reader.command, reader.context_id, reader.consumed) == (b"\1\2\3\4", 3, len(data) - len(ABORT))
    assert reader.feed(data, reader.consumed, len(data)) == f.PDU


def test_command_fragments_are_joined_over_pdvs_and_pdus(reader, f):
    data = pdata(pdv(1, COMMAND, b"ab"), pdv(1, COMMAND, b"cd")) + pdata(pdv(1, COMMAND | LAST, b"ef"))
    assert feed(reader, data) == f.COMMAND
    assert reader.command == b"abcdef"
    assert (reader.pdata_pdus, reader.fragments) == (2, 3)


def test_dataset_bytes_go_into_the_attached_buffer(reader, f):
    data = message(b"CC", b"0123456789", fragment=4)
    assert feed(reader, data) == f.COMMAND
    reader.expect_dataset(True)
    sink = bytearray(b"." * 16)
    reader.attach(sink)
    assert reader.feed(data, reader.consumed, len(data)) == f.DATASET_END
    assert sink == b"0123456789......"
    assert (reader.filled, reader.dataset_bytes, reader.consumed) == (10, 10, len(data))
    assert not reader.mid_message


def test_a_full_buffer_stops_before_the_byte_that_has_no_room(reader, f):
    announce(reader, f)
    data = pdata(pdv(1, LAST, b"0123456789"))
    assert feed(reader, data) == f.SINK_FULL  # none attached
    assert (reader.filled, reader.consumed) == (0, 12)
    first, second = bytearray(6), bytearray(4)
    reader.attach(first)
    assert reader.feed(data, reader.consumed, len(data)) == f.SINK_FULL
    assert (first, reader.filled, reader.dataset_bytes) == (b"012345", 6, 6)
    reader.attach(second)
    assert reader.filled == 0
    assert reader.feed(data, reader.consumed, len(data)) == f.DATASET_END
    assert (second, reader.filled, reader.dataset_bytes) == (b"6789", 4, 10)


def test_a_buffer_filled_exactly_is_not_full_until_more_payload_comes(reader, f):
    announce(reader, f)
    reader.attach(bytearray(4))
    assert feed(reader, pdata(pdv(1, 0, b"0123"))) == f.NEED_DATA
    assert feed(reader, pdata(pdv(1, 0, b"4"))) == f.SINK_FULL


def test_an_empty_dataset_ends_without_a_buffer(reader, f):
    announce(reader, f)
    assert feed(reader, pdata(pdv(1, LAST, b""))) == f.DATASET_END
    assert reader.dataset_bytes == 0


def test_an_empty_last_fragment_ends_the_dataset(reader, f):
    announce(reader, f)
    reader.attach(bytearray(8))
    assert feed(reader, pdata(pdv(1, 0, b"0123")) + pdata(pdv(1, LAST, b""))) == f.DATASET_END
    assert reader.dataset_bytes == 4


def test_the_attached_buffer_is_held_until_the_next_attach(reader):
    sink = bytearray(8)
    reader.attach(sink)
    with pytest.raises(BufferError):
        sink.clear()
    reader.attach(None)
    sink.clear()


def test_the_attached_buffer_is_given_back_with_the_reader(f):
    sink = bytearray(8)
    reader = f.PduReader(0)
    reader.attach(sink)
    del reader
    sink.clear()


def test_a_buffer_that_cannot_be_written_is_refused_and_the_old_one_stays(reader, f):
    announce(reader, f)
    sink = bytearray(4)
    reader.attach(sink)
    with pytest.raises(BufferError):
        reader.attach(b"read only")
    with pytest.raises(TypeError):
        reader.attach(17)
    assert feed(reader, pdata(pdv(1, LAST, b"0123"))) == f.DATASET_END
    assert sink == b"0123"


def test_reserved_bits_of_the_message_control_header_are_not_checked(reader, f):
    assert feed(reader, pdata(pdv(1, 0xFC | COMMAND | LAST, b"CC"))) == f.COMMAND


def test_fragments_of_odd_length_are_taken(reader, f):
    announce(reader, f)
    sink = bytearray(3)
    reader.attach(sink)
    assert feed(reader, pdata(pdv(1, 0, b"a")) + pdata(pdv(1, LAST, b"bc"))) == f.DATASET_END
    assert sink == b"abc"


def test_messages_follow_each_other_within_one_pdu(reader, f):
    data = pdata(pdv(1, COMMAND | LAST, b"C1"), pdv(1, LAST, b"D1"), pdv(3, COMMAND | LAST, b"C2"))
    assert feed(reader, data) == f.COMMAND
    reader.expect_dataset(True)
    reader.attach(bytearray(2))
    assert reader.feed(data, reader.consumed, len(data)) == f.DATASET_END
    assert reader.feed(data, reader.consumed, len(data)) == f.COMMAND
    assert (reader.command, reader.context_id, reader.dataset_bytes) == (b"C2", 3, 0)


def test_mid_message_holds_from_the_first_fragment_to_the_last(reader, f):
    assert not reader.mid_message
    feed(reader, pdata(pdv(1, COMMAND, b"C")))
    assert reader.mid_message
    feed(reader, pdata(pdv(1, COMMAND | LAST, b"C")))
    reader.expect_dataset(True)
    assert reader.mid_message
    feed(reader, pdata(pdv(1, LAST, b"")))
    assert not reader.mid_message


def test_mid_pdu_holds_from_the_first_octet_of_a_pdu_to_the_last(reader, f):
    command = pdata(pdv(1, COMMAND | LAST, b"CC"))
    for octets in (command, pdata(pdv(1, 0, b"abc"), pdv(1, LAST, b"d")), pdu(5, bytes(4)), pdata()):
        assert not reader.mid_pdu
        reader.attach(bytearray(10))
        for position in range(len(octets)):
            reader.feed(octets, position, position + 1)
            assert reader.mid_pdu == (position + 1 < len(octets))
        if octets is command:
            reader.expect_dataset(True)
    reader.feed(b"\x09", 0, 1)
    assert not reader.mid_pdu


def test_expect_dataset_is_refused_without_a_command_set(reader, f):
    with pytest.raises(ValueError, match="without a command set"):
        reader.expect_dataset(True)
    announce(reader, f)
    with pytest.raises(ValueError, match="without a command set"):
        reader.expect_dataset(False)


def test_a_control_pdu_between_command_fragments_leaves_them_alone(reader, f):
    data = pdata(pdv(1, COMMAND, b"ab")) + pdu(5, bytes(4)) + pdata(pdv(1, COMMAND | LAST, b"cd"))
    assert feed(reader, data) == f.PDU
    assert reader.mid_message
    assert reader.feed(data, reader.consumed, len(data)) == f.COMMAND
    assert reader.command == b"abcd"


class TestDirectWindow:
    def test_it_is_the_room_that_the_current_pdv_fills(self, reader, f):
        announce(reader, f)
        sink = bytearray(10000)
        reader.attach(sink)
        assert reader.direct_window() is None  # heads not parsed
        data = pdata(pdv(1, LAST, bytes(8000)))
        assert feed(reader, data[:112]) == f.NEED_DATA
        window = reader.direct_window()
        assert len(window) == 7900
        window[:] = b"x" * 7900
        window.release()
        assert reader.advance(5000) == f.NEED_DATA
        assert reader.direct_window() is None  # 2900 left: not worth it
        assert reader.advance(2900) == f.DATASET_END
        assert sink[:8000] == bytes(100) + b"x" * 7900
        assert (reader.filled, reader.dataset_bytes) == (8000, 8000)

    def test_it_ends_with_the_buffer(self, reader, f):
        announce(reader, f)
        reader.attach(bytearray(5000))
        feed(reader, pdata(pdv(1, LAST, bytes(8000)))[:12])
        assert len(reader.direct_window()) == 5000
        assert reader.advance(5000) == f.NEED_DATA
        assert reader.direct_window() is None
        assert feed(reader, b"x") == f.SINK_FULL

    def test_it_is_writable_bytes_whatever_the_buffers_format(self, reader, f):
        announce(reader, f)
        reader.attach(memoryview(bytearray(8192)).cast("I"))
        feed(reader, pdata(pdv(1, LAST, bytes(8000)))[:12])
        window = reader.direct_window()
        assert (window.format, window.readonly, len(window)) == ("B", False, 8000)

    @pytest.mark.parametrize("count", [-1, 5001])
    def test_to_advance_beyond_it_is_refused(self, reader, f, count):
        announce(reader, f)
        reader.attach(bytearray(5000))
        feed(reader, pdata(pdv(1, LAST, bytes(8000)))[:12])
        with pytest.raises(ValueError, match="beyond the direct window"):
            reader.advance(count)

    def test_there_is_none_without_a_dataset(self, reader):
        assert reader.direct_window() is None
        with pytest.raises(ValueError, match="beyond the direct window"):
            reader.advance(0)


class TestContexts:
    def test_without_any_a_p_data_tf_is_an_event_and_is_skipped(self, f):
        reader = f.PduReader(100)
        data = pdu(4, bytes(5000)) + ABORT
        assert feed(reader, data[:7]) == f.PDU
        assert (reader.pdu_type, reader.pdu, reader.consumed, reader.pdata_pdus) == (4, b"", 6, 0)
        assert reader.feed(data, 6, 4000) == f.NEED_DATA
        assert reader.feed(data, 4000, len(data)) == f.PDU
        assert reader.pdu == ABORT

    @pytest.mark.parametrize("arrived", range(6, 40))
    def test_to_take_them_away_forgets_the_message_and_skips_its_pdu(self, reader, f, arrived):
        announce(reader, f)
        sink = bytearray(32)
        reader.attach(sink)
        data = pdata(pdv(1, 0, b"0123456789"), pdv(1, LAST, b"0123456789")) + ABORT
        assert reader.feed(data, 0, min(arrived, 37)) == f.NEED_DATA
        filled = reader.filled
        reader.set_contexts([])
        assert not reader.mid_message
        assert reader.feed(data, reader.consumed, len(data)) == f.PDU
        assert (reader.pdu, reader.filled) == (ABORT, filled)

    @pytest.mark.parametrize("context_id", [-1, 256])
    def test_an_id_that_is_no_octet_is_refused(self, reader, f, context_id):
        with pytest.raises(ValueError, match=r"outside 0\.\.255"):
            reader.set_contexts([1, context_id])
        assert feed(reader, message(b"CC", None, context_id=3)) == f.COMMAND  # as before


def violation(reader, f, data):
    assert feed(reader, data) == f.VIOLATION
    assert reader.consumed == len(data)
    assert feed(reader, ABORT) == f.VIOLATION
    assert reader.advance(0) == f.VIOLATION
    return reader.violation_reason, reader.violation_offset, reader.violation_text


@pytest.mark.parametrize("first", [b"G", b"\x16", b"\x00", b"\x08", b"\x0f", b"\xff"])
def test_an_unknown_pdu_type_is_told_by_its_first_octet(f, first):
    reader = f.PduReader(0)
    assert feed(reader, first) == f.UNRECOGNISED
    assert reader.pdu_type == first[0]
    assert feed(reader, ABORT) == f.UNRECOGNISED
    assert reader.consumed == len(ABORT)


@pytest.mark.parametrize(
    ("pdu_type", "length", "allowed"),
    [
        *[(1, length, "at most 262144") for length in (262145, 0x7FFFFFFF, 0xFFFFFFFF)],
        *[(kind, length, "at least 68") for kind in (1, 2) for length in (0, 10, 67)],
        *[(kind, length, "exactly 4") for kind in (3, 5, 6, 7) for length in (0, 3, 5, 0xFFFFFFFF)],
    ],
)
def test_a_control_pdu_of_impossible_length_is_refused_by_its_head(f, pdu_type, length, allowed):
    reason, offset, text = violation(f.PduReader(0), f, struct.pack(">BxI", pdu_type, length))
    assert (reason, offset) == (6, 2)
    assert f"PDU-length {length} of " in text
    assert f"allowed {allowed}" in text


def test_the_limit_of_control_pdus_can_be_set_at_any_time(f):
    reader = f.PduReader(0, 68)
    assert feed(reader, RQ) == f.PDU
    reader.control_pdu_max_bytes = 67
    assert violation(reader, f, RQ)[:2] == (6, 2)


def test_a_p_data_tf_longer_than_announced_is_refused_by_its_head(f):
    reader = f.PduReader(100)
    reader.set_contexts([1])
    data = pdata(pdv(1, COMMAND | LAST, bytes(94)))
    assert feed(reader, data) == f.COMMAND
    reason, offset, text = violation(reader, f, struct.pack(">BxI", 4, 101))
    assert (reason, offset) == (6, 2)
    assert "PDU-length 101 of P-DATA-TF, allowed at most 100" in text


def test_no_limit_of_p_data_tf_takes_any_length(f):
    reader = f.PduReader(100)
    reader.set_contexts([1])
    reader.pdu_max_bytes = 0
    announce(reader, f)
    data = struct.pack(">BxIIBB", 4, 0xFFFFFFFF, 0xFFFFFFFB, 1, LAST)
    assert feed(reader, data) == f.NEED_DATA
    assert feed(reader, b"x") == f.SINK_FULL


@pytest.mark.parametrize("length", [0, 1, 0x80000000, 0xFFFFFFFF, 13])
def test_a_pdv_length_that_leaves_its_pdu_is_refused(reader, f, length):
    data = pdata(struct.pack(">IBB", length, 1, COMMAND) + bytes(10))
    reason, offset, text = violation(reader, f, data)
    assert (reason, offset) == (6, 6)
    assert f"PDV length {length}, allowed 2 to 12" in text


@pytest.mark.parametrize("left", [1, 2, 3, 4, 5])
def test_octets_left_after_the_last_pdv_are_refused(reader, f, left):
    data = pdata(pdv(1, COMMAND, b"abcd") + bytes(left))
    reason, offset, text = violation(reader, f, data)
    assert (reason, offset) == (6, 16)
    assert text.startswith(f"{left} bytes left")


@pytest.mark.parametrize("context_id", [0, 2, 5, 254, 255])
def test_a_context_that_was_not_accepted_is_refused(reader, f, context_id):
    data = pdata(pdv(1, COMMAND, b"ab"), pdv(context_id, COMMAND | LAST, b"cd"))
    reason, offset, text = violation(reader, f, data)
    assert (reason, offset) == (6, 6 + 8 + 4)
    assert f"presentation-context-id {context_id} is not accepted" in text


def test_a_dataset_fragment_before_a_command_is_unexpected(reader, f):
    assert violation(reader, f, pdata(pdv(1, LAST, b"data")))[:2] == (5, 11)


def test_a_dataset_fragment_after_an_unfinished_command_is_unexpected(reader, f):
    assert violation(reader, f, pdata(pdv(1, COMMAND, b"ab"), pdv(1, LAST, b"da")))[:2] == (5, 19)


def test_a_dataset_nobody_expects_is_unexpected(reader, f):
    assert feed(reader, message(b"CC", None)) == f.COMMAND
    reader.expect_dataset(False)
    assert violation(reader, f, pdata(pdv(1, LAST, b"data")))[:2] == (5, 11)


def test_a_command_in_place_of_a_dataset_is_unexpected(reader, f):
    announce(reader, f)
    reason, offset, text = violation(reader, f, pdata(pdv(1, COMMAND | LAST, b"CC")))
    assert (reason, offset) == (5, 11)
    assert "command fragment where a dataset is due" in text


def test_a_command_within_a_dataset_is_unexpected(reader, f):
    announce(reader, f)
    reader.attach(bytearray(8))
    assert violation(reader, f, pdata(pdv(1, 0, b"da"), pdv(1, COMMAND | LAST, b"CC")))[:2] == (5, 19)


@pytest.mark.parametrize("control", [0, COMMAND])
def test_another_context_within_a_message_is_unexpected(reader, f, control):
    if control:
        feed(reader, pdata(pdv(1, COMMAND, b"CC")))
    else:
        announce(reader, f)
    reason, offset, text = violation(reader, f, pdata(pdv(3, control, b"xx")))
    assert (reason, offset) == (5, 10)
    assert "presentation-context-id 3 within a message on 1" in text


@pytest.mark.parametrize("empty", [pdata(), pdata(pdv(1, COMMAND, b""))])
def test_a_few_empty_fragments_in_a_row_are_tolerated(reader, f, empty):
    assert feed(reader, empty * 64) == f.NEED_DATA
    assert feed(reader, pdata(pdv(1, COMMAND, b"ab"))) == f.NEED_DATA
    assert feed(reader, empty * 64) == f.NEED_DATA
    reason, _, text = violation(reader, f, empty)
    assert reason == 6
    assert "65 fragments without payload in a row, allowed 64" in text


def test_empty_fragments_of_one_pdu_count_too(reader, f):
    reason, offset, _ = violation(reader, f, pdata(*[pdv(1, COMMAND, b"")] * 65))
    assert (reason, offset) == (6, 6 + 64 * 6)


def test_a_command_set_that_never_ends_is_cut_off(f):
    reader = f.PduReader(16384, command_max_bytes=100)
    reader.set_contexts([1])
    piece = pdata(pdv(1, COMMAND, bytes(50)))
    assert feed(reader, piece * 2) == f.NEED_DATA
    reason, offset, text = violation(reader, f, pdata(pdv(1, COMMAND, b"x")))
    assert (reason, offset) == (6, 6)
    assert text == "command set of 101 bytes or more, allowed 100"


def test_a_command_set_too_long_is_refused_before_its_bytes(f):
    reader = f.PduReader(0, command_max_bytes=100)
    reader.set_contexts([1])
    assert violation(reader, f, struct.pack(">BxIIBB", 4, 0x40000006, 0x40000002, 1, COMMAND))[:2] == (6, 6)
