"""Invariant: however octets arrive, both readers report the same events and fill the same buffers.

Streams are valid messages, wrong ones, other PDUs and noise, fed whole, octet by octet and in random
pieces. No exception is allowed.
"""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

import _codec.framing
import router.wire.reference.framing
from tests.codec.octets import COMMAND, LAST, message, pdata, pdu, pdv
from tests.differential.twins import QUICK, damaged, octet_by_octet, pieces

READERS = (_codec.framing, router.wire.reference.framing)

CONTEXTS = st.sampled_from([1, 1, 1, 3, 5])
# By length and first octet: drawn so, payloads of every length are as likely as empty ones.
PAYLOADS = st.builds(
    lambda size, first: bytes((first + i) & 255 for i in range(size)), st.integers(0, 60), st.integers(0, 255)
)
PDVS = st.builds(pdv, CONTEXTS, st.integers(0, 7), PAYLOADS)


def split_command(payload, at):
    """A command set without a dataset, in two fragments of one PDU and one of another."""
    command = b"\0" + payload[:40]
    return pdata(pdv(1, COMMAND, command[:at]), pdv(1, COMMAND, b"")) + pdata(
        pdv(1, COMMAND | LAST, command[at:])
    )


GOOD_PARTS = st.one_of(
    st.builds(lambda payload, size: message(b"\1C", payload, 1, size), PAYLOADS, st.integers(1, 60)),
    st.builds(split_command, PAYLOADS, st.integers(0, 40)),
    st.builds(lambda payload: message(b"\0" + payload[:50], None, 3), PAYLOADS),
    st.sampled_from([pdu(1, bytes(range(68))), pdu(2, bytes(80)), pdu(5, bytes(4)), pdata()]),
)
BAD_PARTS = st.one_of(
    st.builds(lambda pdvs: pdata(*pdvs), st.lists(PDVS, max_size=4)),
    st.builds(lambda count: pdata(pdv(1, COMMAND, b"")) * count, st.integers(0, 70)),
    st.builds(
        lambda kind, size: pdu(kind, bytes(size)), st.integers(0, 9), st.sampled_from([0, 4, 67, 68, 90])
    ),
    st.builds(
        lambda kind, size: struct.pack(">BxI", kind, size), st.integers(1, 7), st.integers(0, 0xFFFFFFFF)
    ),
    st.builds(lambda size: pdata(struct.pack(">IBB", size, 1, LAST)), st.integers(0, 0xFFFFFFFF)),
    st.binary(max_size=8),
)
STREAMS = damaged(
    st.builds(
        lambda good, bad: b"".join(good + bad),
        st.lists(GOOD_PARTS, min_size=1, max_size=5),
        st.lists(BAD_PARTS, max_size=2),
    )
)


def trace(framing, contexts, sink_bytes, stream_pieces):
    """Run a reader as a driver would; return all that it said, and the buffers it filled."""
    reader = framing.PduReader(200, 80, 60)
    reader.set_contexts(contexts)
    events = []
    sinks = []
    base = 0
    for piece in stream_pieces:
        start = 0
        while start < len(piece):
            event = reader.feed(piece, start, len(piece))
            start = reader.consumed
            if event == framing.NEED_DATA:
                continue
            if event in (framing.VIOLATION, framing.UNRECOGNISED):
                dead = (event, reader.violation_reason, reader.violation_text, reader.violation_offset)
                return events, [bytes(sink) for sink in sinks], dead, counts(reader), reader.pdu_type
            events.append((event, base + start, *facts(framing, reader, event)))
            if event == framing.COMMAND:
                reader.expect_dataset(bool(reader.command) and bool(reader.command[0] & 1))
            elif event == framing.SINK_FULL:
                sinks.append(bytearray(sink_bytes))
                reader.attach(sinks[-1])
        base += len(piece)
    return events, [bytes(sink) for sink in sinks], None, counts(reader), reader.mid_message


def facts(framing, reader, event):
    if event == framing.PDU:
        return reader.pdu_type, reader.pdu
    if event == framing.COMMAND:
        return reader.context_id, reader.command
    return reader.filled, reader.dataset_bytes


def counts(reader):
    return reader.filled, reader.dataset_bytes, reader.pdata_pdus, reader.fragments


@QUICK
@given(
    STREAMS,
    st.sampled_from([(1, 3), (1, 3), (1,), ()]),
    st.integers(1, 20),
    st.lists(st.integers(0, 800), max_size=12),
)
def test_both_readers_say_the_same_however_the_octets_arrive(stream, contexts, sink_bytes, cuts):
    expected = trace(READERS[0], contexts, sink_bytes, [stream])
    for framing in READERS:
        for stream_pieces in ([stream], octet_by_octet(stream), pieces(stream, cuts)):
            assert trace(framing, contexts, sink_bytes, stream_pieces) == expected


HOSTILE_ROWS = {
    "5": [struct.pack(">BxI", 1, length) for length in (0x7FFFFFFF, 0xFFFFFFFF)],
    "6": [pdu(1, bytes(length)) for length in (0, 10, 67)],
    "22": [b"\x0f\0\0\0\0\4abcd"],
    "23": [pdata(struct.pack(">IBB", n, 1, COMMAND) + b"xxxx") for n in (0, 1, 7, 0x80000000, 0xFFFFFFFF)],
    "24": [pdata(pdv(1, COMMAND, b"")) * 10000, pdata() * 10000],
    "25": [pdata(pdv(1, COMMAND | LAST, bytes(195)))],
    "26": [message(b"C", None, context_id) for context_id in (0, 2, 5, 254)],
    "27": [
        pdata(pdv(1, LAST, b"data")),
        pdata(pdv(1, COMMAND, b"c"), pdv(1, LAST, b"data")),
        message(b"\1", None) + pdata(pdv(3, LAST, b"data")),
        message(b"\1", None) + pdata(pdv(1, 0, b"data")) + message(b"\1", None),
    ],
    "39": [pdata(pdv(1, 0xFC | COMMAND | LAST, b"\0"))],
    "41": [pdata(pdv(1, COMMAND, bytes(50))) * 4],
}
REASONS = {"5": 6, "6": 6, "22": 0, "23": 6, "24": 6, "25": 6, "26": 6, "27": 5, "39": None, "41": 6}


def test_the_hostile_rows_get_the_same_answer_however_they_arrive():
    for row, streams in HOSTILE_ROWS.items():
        for stream in streams:
            expected = trace(READERS[0], (1, 3), 8, [stream])
            dead = expected[2]
            assert (dead and dead[1]) == REASONS[row], row
            for framing in READERS:
                for stream_pieces in ([stream], octet_by_octet(stream[:4000])):
                    assert trace(framing, (1, 3), 8, stream_pieces) == expected, row


def received(framing, stream, reads, sink_bytes):
    """Run a reader with its direct window, each read bounded; return the dataset and the count of windows."""
    reader = framing.PduReader(0)
    reader.set_contexts([1])
    sinks, at, windows = [], 0, 0
    while at < len(stream):
        limit = reads[(at + windows) % len(reads)]
        window = reader.direct_window()
        if window is not None:
            count = min(len(window), limit, len(stream) - at)
            window[:count] = stream[at : at + count]
            event = reader.advance(count)
            windows += 1
            at += count
        else:
            event = reader.feed(stream, at, min(at + limit, len(stream)))
            at = reader.consumed
        if event == framing.COMMAND:
            reader.expect_dataset(True)
        elif event == framing.SINK_FULL:
            sinks.append(bytearray(sink_bytes))
            reader.attach(sinks[-1])
    assert event == framing.DATASET_END
    return b"".join(sinks)[: reader.dataset_bytes], windows


@QUICK
@given(
    st.integers(5000, 40000),
    st.integers(1000, 20000),
    st.lists(st.integers(1, 30000), min_size=1, max_size=5),
    st.integers(4000, 20000),
)
def test_both_readers_receive_alike_through_the_direct_window(size, fragment, reads, sink_bytes):
    dataset = bytes(i * 7 & 255 for i in range(size))
    stream = message(b"\1", dataset, fragment=fragment)
    compiled, reference = (received(framing, stream, reads, sink_bytes) for framing in READERS)
    assert compiled == reference
    assert compiled[0] == dataset
