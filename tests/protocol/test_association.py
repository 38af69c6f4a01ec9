"""One association without I/O: bytes in, indications out; what is held, handed out and given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from router.errors import AssociationAborted, LimitReached, LocalMisuse, PeerViolation
from router.protocol.association import Association, Limits
from router.protocol.indications import (
    Aborted,
    AssociateAccepted,
    AssociateRequested,
    ConnectionClosed,
    MessageReceived,
    ReleaseRequested,
)
from router.protocol.messages import Buffer, MemorySink
from router.protocol.negotiation import AnyStorage, negotiate_as_acceptor, negotiate_as_requestor
from router.protocol.states import State
from router.protocol.upper_layer import Role
from router.standard.dimse_fields import C_CANCEL_RQ, COMMAND_FIELD, MESSAGE_ID
from router.wire.pdus import Abort, AssociateAC, encode_pdu
from router.wire.user_information import UserInformation
from tests.support.raw_peer import (
    ECHO_CONTEXT,
    RELEASE_RP,
    RELEASE_RQ,
    STORE_CONTEXT,
    abort_pdu,
    associate_rq,
    command,
    dataset_of,
    echo_rq,
    pdata,
    pdv,
    store,
    store_rq,
)


class Sink:
    """A sink whose buffers the test gives; it writes down what is done to it."""

    def __init__(self, *sizes: int | None) -> None:
        self.sizes: list[int | None] = list(sizes)
        self.buffers: list[memoryview] = []
        self.counts: list[int] = []
        self.ended = ""

    def next_buffer(self) -> memoryview | None:
        size = self.sizes.pop(0)
        if size is None:
            return None
        self.buffers.append(memoryview(bytearray(size)))
        return self.buffers[-1]

    def filled(self, count: int) -> None:
        self.counts.append(count)

    def finish(self) -> object:
        self.ended += "finish"
        return b"".join(buffer[:count] for buffer, count in zip(self.buffers, self.counts, strict=True))

    def discard(self) -> None:
        self.ended += "discard"


def acceptor(*sinks: Any, operations_max: int = 1, **limits: int) -> Association:
    """Return an established acceptor's association that uses these sinks, one for each dataset."""
    waiting = list(sinks)
    association = Association(
        Role.ACCEPTOR,
        Limits(operations_max=operations_max, **limits),
        (lambda *_: waiting.pop(0)) if sinks else lambda *_: MemorySink(),
    )
    association.transport_opened()
    octets = encode_pdu(associate_rq())
    assert association.receive(octets, 0, len(octets)) == len(octets)
    assert association.rq is not None
    outcome = negotiate_as_acceptor(association.rq, AnyStorage())
    ac = AssociateAC("ROUTER", "MODALITY", outcome.results, UserInformation(maximum_length=16384))
    association.accept(ac, outcome.accepted)
    association.next_output()
    association.indications.clear()
    return association


def requestor() -> Association:
    """Return an established requestor's association."""
    association = Association(Role.REQUESTOR, Limits())
    rq = associate_rq()
    association.request(rq)
    association.transport_opened()
    outcome = negotiate_as_acceptor(rq, AnyStorage())
    octets = encode_pdu(AssociateAC("ROUTER", "MODALITY", outcome.results, UserInformation(16384)))
    association.receive(octets, 0, len(octets))
    assert association.ac is not None
    association.use_contexts(negotiate_as_requestor(rq, association.ac).accepted)
    output(association)
    association.indications.clear()
    return association


def feed(association: Association, octets: bytes) -> int:
    return association.receive(octets, 0, len(octets))


def output(association: Association, bytes_max: int = 1 << 20) -> bytes:
    parts = []
    while gathered := association.next_output(bytes_max):
        parts += gathered
    return b"".join(parts)


def messages(association: Association) -> list[MessageReceived]:
    return [one for one in association.indications if isinstance(one, MessageReceived)]


def test_the_life_of_an_acceptors_association() -> None:
    association = Association(Role.ACCEPTOR, Limits())
    assert (association.state, association.artim_running) == (State.STA1, False)
    association.transport_opened()
    assert (association.state, association.artim_running, association.artim_starts) == (State.STA2, True, 1)
    feed(association, encode_pdu(associate_rq()))
    assert [type(one) for one in association.indications][-1] is AssociateRequested
    assert (association.state, association.artim_running) == (State.STA3, False)
    established = acceptor()
    assert established.is_established
    feed(established, RELEASE_RQ)
    assert established.indications.popleft() == ReleaseRequested()
    established.confirm_release()
    assert output(established) == RELEASE_RP
    assert (established.state, established.artim_running) == (State.STA13, True)
    established.transport_closed()
    assert established.close_connection
    assert established.indications.pop() == ConnectionClosed("released")


def test_a_requestor_learns_the_peers_answer() -> None:
    association = Association(Role.REQUESTOR, Limits())
    association.request(associate_rq())
    assert not association.has_output
    association.transport_opened()
    assert output(association) == encode_pdu(associate_rq())
    octets = encode_pdu(AssociateAC("ROUTER", "MODALITY", (), UserInformation(maximum_length=4096)))
    feed(association, octets)
    assert isinstance(association.indications[-1], AssociateAccepted)
    association.use_contexts(())
    assert association.peer_maximum_length == 4096


@pytest.mark.parametrize("split", [1, 2, 3, 7, 1000])
def test_messages_are_joined_however_they_are_cut(split: int) -> None:
    association = acceptor(operations_max=4)
    octets = store(1, payload=b"ab" * 300, fragment=101) + command(ECHO_CONTEXT, echo_rq(2))
    for start in range(0, len(octets), split):
        piece = octets[start : start + split]
        assert feed(association, piece) == len(piece)
    first, second = messages(association)
    assert (first.context_id, first.dataset) == (STORE_CONTEXT, dataset_of(payload=b"ab" * 300))
    assert (second.context_id, second.dataset, second.command[MESSAGE_ID]) == (ECHO_CONTEXT, None, 2)
    assert association.requests_open == 2


def test_a_request_over_the_window_is_held_and_nothing_behind_it_is_read() -> None:
    association = acceptor()
    echoes = b"".join(command(ECHO_CONTEXT, echo_rq(n)) for n in (1, 2, 3))
    consumed = feed(association, echoes)
    assert consumed == 2 * len(echoes) // 3
    assert association.blocked
    assert len(messages(association)) == 1
    assert association.requests_open == 1
    assert not association.resume()
    assert association.receive(echoes, consumed, len(echoes)) == consumed, "nothing may pass the held one"
    association.request_answered()
    assert association.resume()
    assert len(messages(association)) == 2
    assert association.requests_open == 1
    assert association.receive(echoes, consumed, len(echoes)) == len(echoes)
    assert association.blocked


def test_responses_and_cancels_are_never_held() -> None:
    association = acceptor()
    feed(association, command(ECHO_CONTEXT, echo_rq(1)))
    cancel = {COMMAND_FIELD: C_CANCEL_RQ, 0x00000120: 1, 0x00000800: 0x0101}
    response = {COMMAND_FIELD: 0x8030, 0x00000120: 9, 0x00000800: 0x0101, 0x00000900: 0}
    octets = command(ECHO_CONTEXT, cancel) + command(ECHO_CONTEXT, response)
    assert feed(association, octets) == len(octets)
    assert len(messages(association)) == 3
    assert association.requests_open == 1
    assert not association.blocked


def test_a_sink_is_given_its_buffers_filled_and_finished() -> None:
    sink = Sink(10, 10, 10)
    association = acceptor(sink)
    feed(association, command(STORE_CONTEXT, store_rq()) + pdata(pdv(STORE_CONTEXT, 2, bytes(range(25)))))
    assert sink.counts == [10, 10, 5]
    assert sink.ended == "finish"
    assert messages(association)[0].dataset == bytes(range(25))


def test_a_buffer_that_is_just_full_at_the_end_asks_for_no_other() -> None:
    sink = Sink(10)
    association = acceptor(sink)
    feed(association, command(STORE_CONTEXT, store_rq()) + pdata(pdv(STORE_CONTEXT, 2, bytes(10))))
    assert (sink.counts, sink.ended) == ([10], "finish")


def test_an_empty_dataset_needs_no_buffer() -> None:
    sink = Sink(None)
    association = acceptor(sink)
    octets = command(STORE_CONTEXT, store_rq()) + pdata(pdv(STORE_CONTEXT, 2, b""))
    assert feed(association, octets) == len(octets)
    assert (sink.counts, sink.ended) == ([], "finish")
    assert not association.blocked


@pytest.mark.parametrize("sizes", [(None, None, 100), (10, None, 100)], ids=["from the start", "later"])
def test_a_sink_without_a_buffer_stops_the_reading_until_it_has_one(sizes: tuple[int | None, ...]) -> None:
    sink = Sink(*sizes)
    association = acceptor(sink)
    octets = command(STORE_CONTEXT, store_rq()) + pdata(pdv(STORE_CONTEXT, 2, bytes(range(25))))
    consumed = feed(association, octets)
    assert association.blocked
    assert association.direct_window() is None
    assert consumed == len(octets) - (25 if sizes[0] is None else 15)
    assert association.resume()
    assert association.receive(octets, consumed, len(octets)) == len(octets)
    assert messages(association)[0].dataset == bytes(range(25))


def test_large_fragments_are_received_straight_into_the_sinks_buffer() -> None:
    sink = Sink(100_000, 100_000)
    association = acceptor(sink)
    payload = bytes(range(256)) * 600
    fragment = pdv(STORE_CONTEXT, 2, payload)
    octets = command(STORE_CONTEXT, store_rq()) + pdata(fragment)[:12]
    assert feed(association, octets) == len(octets)
    assert association.mid_message
    sent = 0
    while sent < len(payload):
        window = association.direct_window()
        if window is None:
            sent += feed(association, payload[sent : sent + 1])
            continue
        count = min(len(window), len(payload) - sent, 30_000)
        window[:count] = payload[sent : sent + count]
        sent += count
        association.advance(count)
    assert messages(association)[0].dataset == payload
    assert not association.mid_message


@pytest.mark.parametrize(
    "how", ["abort", "peer aborts", "closed", "violation", "garbage", "release in the message"]
)
@pytest.mark.parametrize("sizes", [(1000,), (None, None)], ids=["filling", "waiting"])
def test_a_sink_is_discarded_once_however_its_message_ends(how: str, sizes: tuple[int | None, ...]) -> None:
    sink = Sink(*sizes)
    association = acceptor(sink)
    octets = command(STORE_CONTEXT, store_rq()) + pdata(
        pdv(STORE_CONTEXT, 0, b"" if how[0] == "p" else b"ab")
    )
    feed(association, octets)
    if how == "abort":
        association.abort()
    elif how == "peer aborts":
        feed(association, abort_pdu(0, 0))
    elif how == "closed":
        association.transport_closed()
    elif how == "violation":
        association.violate(PeerViolation("too much", reason=6))
    elif association.blocked:
        association.abort()
    else:
        feed(association, RELEASE_RQ if how[0] == "r" else b"\xff")
    assert sink.ended == "discard"
    assert not association.blocked
    association.transport_closed()
    assert sink.ended == "discard"
    assert not messages(association)


def test_a_sink_at_its_limit_ends_the_association() -> None:
    class Full(Sink):
        def next_buffer(self) -> memoryview | None:
            raise LimitReached("dataset_bytes", 1, 0)

    association = acceptor(Full())
    feed(association, command(STORE_CONTEXT, store_rq()))
    assert output(association) == abort_pdu(2, 0)


def test_nothing_is_heard_after_an_abort() -> None:
    association = acceptor()
    association.abort()
    octets = store() + RELEASE_RQ + b"\xff" * 50
    assert feed(association, octets) == len(octets)
    assert output(association) == abort_pdu(0, 0)
    assert not messages(association)


def test_the_first_abort_is_the_one_that_is_sent() -> None:
    """Who gives up an association that was just found in violation must not silence the answer to that."""
    association = acceptor()
    feed(association, b"\x0f\0\0\0\0\x04\0\0\0\0")
    association.abort()
    association.abort(2, 1)
    assert output(association) == abort_pdu(2, 1)[:8] + b"\x02\x01"
    assert association.violation is not None


def test_a_violation_drops_what_is_unsent_and_sends_the_abort() -> None:
    association = acceptor()
    association.send_message(ECHO_CONTEXT, echo_rq())
    association.violate(PeerViolation("no", reason=6))
    assert output(association) == abort_pdu(2, 6)
    assert isinstance(association.indications[-1], Aborted)


def test_messages_found_before_a_violation_are_still_reported_first() -> None:
    association = acceptor()
    feed(association, command(ECHO_CONTEXT, echo_rq()) + b"\xff")
    assert [type(one) for one in association.indications] == [MessageReceived, Aborted]


def test_no_message_may_be_sent_once_the_association_has_ended() -> None:
    association = acceptor()
    association.abort()
    with pytest.raises(AssociationAborted):
        association.send_message(ECHO_CONTEXT, echo_rq())


def test_verbs_out_of_place_are_our_own_misuse() -> None:
    association = acceptor()
    with pytest.raises(LocalMisuse):
        association.confirm_release()
    association.release()
    with pytest.raises(LocalMisuse):
        association.release()


def chunks(*parts: bytes) -> Iterator[Buffer]:
    yield from parts


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("bytes_max", [1, 100, 1 << 20])
def test_what_is_sent_arrives_whatever_the_chunks(is_streamed: bool, bytes_max: int) -> None:
    sender, receiver = requestor(), acceptor(operations_max=9)
    parts = (b"ab" * 5000, b"", b"cd" * 20_000, b"e")
    for message_id in (1, 2):
        dataset: Any = chunks(*parts) if is_streamed else list(parts)
        sender.send_message(STORE_CONTEXT, store_rq(message_id), dataset)
        sender.send_message(ECHO_CONTEXT, echo_rq(message_id + 10))
    feed(receiver, output(sender, bytes_max))
    assert [one.command[MESSAGE_ID] for one in messages(receiver)] == [1, 11, 2, 12]
    assert [one.dataset for one in messages(receiver)] == [b"".join(parts), None] * 2


def test_a_streamed_dataset_is_read_only_as_far_as_it_is_sent() -> None:
    taken = 0

    def many() -> Iterator[Buffer]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield bytes(10_000)

    association = requestor()
    association.send_message(STORE_CONTEXT, store_rq(), many())
    assert taken == 0
    association.next_output(50_000)
    assert 5 <= taken <= 8


def test_a_streamed_dataset_is_closed_when_the_association_is_given_up() -> None:
    closed = False

    def endless() -> Iterator[Buffer]:
        nonlocal closed
        try:
            while True:
                yield bytes(1000)
        finally:
            closed = True

    association = requestor()
    association.send_message(STORE_CONTEXT, store_rq(), endless())
    association.next_output(2000)
    assert not closed
    association.abort()
    assert closed


def test_without_a_watch_everything_counts_as_out_at_once() -> None:
    association = requestor()
    association.send_message(ECHO_CONTEXT, echo_rq())
    assert association.output.is_out(association.output.queued)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_watched_message_is_out_when_its_last_byte_is(is_streamed: bool) -> None:
    association = requestor()
    association.output.watch()
    before = association.output.queued
    dataset: Any = chunks(bytes(1000), bytes(1000)) if is_streamed else [bytes(2000)]
    association.send_message(STORE_CONTEXT, store_rq(1), dataset)
    first = association.output.queued
    association.send_message(ECHO_CONTEXT, echo_rq(2))
    second = association.output.queued
    assert before < first < second
    out = len(encode_pdu(associate_rq()))
    sizes = []
    while gathered := association.next_output(1):
        out += sum(map(len, gathered))
        sizes.append(out)
    assert association.output.is_out(before)
    assert not association.output.is_out(first)
    association.output.confirm(sizes[-2] - 1)
    assert not association.output.is_out(first)
    association.output.confirm(out - 1)
    assert association.output.is_out(first)
    assert not association.output.is_out(second)
    association.output.confirm(out)
    assert association.output.is_out(second)


def test_artim_expiry_is_heeded_only_while_it_runs() -> None:
    association = acceptor()
    association.artim_expired()
    assert association.is_established
    association.abort()
    association.artim_expired()
    assert association.close_connection
    assert association.state is State.STA1


def test_a_late_abort_or_close_changes_nothing() -> None:
    association = acceptor()
    feed(association, encode_pdu(Abort(0, 0)))
    assert [type(one) for one in association.indications] == [Aborted, ConnectionClosed]
    association.abort()
    association.transport_closed()
    association.violate(PeerViolation("late", reason=6))
    assert [type(one) for one in association.indications] == [Aborted, ConnectionClosed]
    assert not association.has_output
