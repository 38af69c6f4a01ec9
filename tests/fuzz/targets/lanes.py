"""Invariant: what a lane takes out of a record or a command set is what the general way decodes from it, and
what it leaves is untouched.

Allowed exceptions: none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

from _codec.entry_lane import EntryLane
from _codec.forward_lane import Forwarder
from _codec.framing import COMMAND, NEED_DATA, PduReader
from _codec.handler_lane import HandlerLane
from _codec.send_lane import SendLane
from _codec.store_lane import StoreLane
from _codec.ticket_port import TicketPort
from router.handoff.slab import Slab
from router.handoff.ticket import (
    MalformedRecord,
    Receipt,
    Release,
    Ticket,
    decode_record,
    encode_record,
    pack_constant_parts,
)
from router.protocol.indications import MessageReceived
from router.protocol.negotiation import AcceptedContext
from router.services.c_store import check_request
from router.standard.dimse_fields import (
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RQ,
    C_STORE_RSP,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    STATUS,
)
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE
from router.wire import codec
from router.wire.codec import decode_command, encode_command
from tests.codec.octets import COMMAND as COMMAND_BIT
from tests.codec.octets import LAST, pdata, pdv
from tests.support.handoff import Pair, make_ticket
from tests.support.raw_peer import store_rq

CONTEXT = 3
ACCEPTED = AcceptedContext(CONTEXT, CT_IMAGE_STORAGE, IMPLICIT_VR_LITTLE_ENDIAN, False, True)
COMMAND_MAX = 65000
RELEASED = 0xC3  # the last octet of a receipt that gives the slots back
RECORD_MAX = 30000
DISCARD = SimpleNamespace(action="discard", destinations=())
DATASET = (
    b"\x08\x00\x16\x00\x04\x00\x00\x001.2\0\x08\x00\x18\x00\x06\x00\x00\x001.2.3\0\x10\x00\x10\x00\0\0\0\0"
)


def check(data: bytes) -> None:
    """Give one input to the parser that its first octet names."""
    PARSERS[data[0] % len(PARSERS) if data else 0](data[1:])


class Store:
    """A store lane before a worker that takes its tickets when asked."""

    def __init__(self) -> None:
        self.pair = Pair(1, 4)
        inlet = self.pair.dispatcher.open_inlet(1 << 20)
        assert inlet is not None
        self.inlet = inlet
        self.responses: list[bytes] = []
        self.lane = StoreLane(inlet, 42, 4, lambda *_: None, self.responses.append, lambda *_: None)
        head, tail = pack_constant_parts(make_ticket(0, ())._replace(sop_class=CT_IMAGE_STORAGE))
        self.lane.set_context(CONTEXT, CT_IMAGE_STORAGE.encode(), head, tail)
        self.reader = reader_with(self.lane)
        self.pair.intakes[0].receive()
        self.requests: list[Any] = []
        self.handler_lane = HandlerLane(4, lambda: True, self.requests.append, lambda *_: None)
        self.handler_lane.set_context(CONTEXT, CT_IMAGE_STORAGE.encode())
        self.handler_reader = reader_with(self.handler_lane)


def reader_with(lane: Any) -> PduReader:
    reader = PduReader(0, command_max_bytes=COMMAND_MAX + 1000)
    reader.set_contexts((CONTEXT,))
    reader.use_lane(lane)
    return reader


def fed(reader: PduReader, octets: bytes) -> int:
    """Feed octets; return the event."""
    return reader.feed(octets, 0, len(octets))


@cache
def store() -> Store:
    return Store()


def check_store_request(octets: bytes) -> None:
    """A command set that the store lane takes is one that the service would serve, and answered alike.

    The library's lane takes the same.
    """
    one, octets = store(), octets[:COMMAND_MAX]
    is_free = one.lane.open_count == 0
    event = fed(one.reader, pdata(pdv(CONTEXT, COMMAND_BIT | LAST, octets)))
    if is_free:
        assert check_handler_request(octets) == (event == NEED_DATA and one.lane.is_taking)
    if event != NEED_DATA:
        assert event == COMMAND
        assert one.reader.command == octets
        one.reader.expect_dataset(False)
        return
    if not one.lane.is_taking:
        return
    command = decode_command(octets)
    assert command[COMMAND_FIELD] == C_STORE_RQ
    assert check_request(ACCEPTED, MessageReceived(CONTEXT, command, None)) is None
    assert fed(one.reader, pdata(pdv(CONTEXT, LAST, b"data"))) == NEED_DATA
    (ticket,) = one.pair.intakes[0].receive()
    assert ticket.sop_instance == command[AFFECTED_SOP_INSTANCE_UID]
    assert b"".join(one.pair.intakes[0].views(ticket)) == b"data"
    one.pair.intakes[0].answer(ticket, 0, release=True)
    one.pair.dispatcher.drain(0)
    response = decode_command(one.responses.pop()[12:])
    expected = {MESSAGE_ID_BEING_RESPONDED_TO: command[0x110], COMMAND_FIELD: C_STORE_RSP, STATUS: 0}
    assert response.items() >= expected.items()
    assert one.pair.slab.slots_used == 0


def check_handler_request(octets: bytes) -> bool:
    """Let the library's lane take the command set too, and return whether it did."""
    one = store()
    event = fed(one.handler_reader, pdata(pdv(CONTEXT, COMMAND_BIT | LAST, octets)))
    if event != NEED_DATA:
        one.handler_reader.expect_dataset(False)
    if not one.handler_lane.is_taking:
        return False
    assert fed(one.handler_reader, pdata(pdv(CONTEXT, LAST, b"data"))) == NEED_DATA
    request = one.requests.pop()
    one.handler_lane.answered(request)
    assert (request.command, request.dataset.getvalue()) == (decode_command(octets), b"data")
    return True


def check_receipt(record: bytes) -> None:
    """A receipt that the store lane settles is the plain success of a loan of its own."""
    one, record = store(), record[:RECORD_MAX]
    if not one.pair.dispatcher.loans_outstanding:
        octets = encode_command(store_rq(7))
        fed(one.reader, pdata(pdv(CONTEXT, COMMAND_BIT | LAST, octets), pdv(CONTEXT, LAST, b"data")))
        one.pair.intakes[0].receive()
        one.pair.dispatcher.drain(0)  # what else the worker has said since its start
    (ticket_id,) = one.pair.dispatcher._unanswered
    marked = record.replace(b"TICKETID", ticket_id.to_bytes(8, "big"))
    assert one.pair.intakes[0]._end.send(marked)
    left = one.inlet.take(0)
    if left is not None:
        assert left == marked
    else:
        assert decode_head(marked) == (1, ticket_id, 0)
        if marked[-1] == RELEASED:
            assert not one.pair.dispatcher.loans_outstanding
            assert one.pair.slab.slots_used == 0
        else:
            assert one.pair.dispatcher.loans_outstanding == 1
            assert one.pair.intakes[0]._end.send(encode_record(Release(ticket_id, ())))
            assert one.inlet.take(0) is None
            assert not one.pair.dispatcher.loans_outstanding
    one.inlet.flush()
    # What the lane left is settled, so that the next input finds no loan.
    for ticket in list(one.pair.intakes[0]._held):
        one.pair.intakes[0]._unanswered.discard(ticket)
        one.pair.intakes[0]._held.pop(ticket)
        if left is not None:
            assert one.pair.intakes[0]._end.send(encode_record(Receipt(ticket, 0, "", (), True)))
    one.pair.dispatcher.drain(0)
    one.responses.clear()
    assert one.pair.slab.slots_used == 0


def decode_head(record: bytes) -> tuple[int, int, int]:
    """Return kind, ticket id and status of a receipt's record."""
    return record[1], int.from_bytes(record[3:11], "big"), record[11]


@cache
def sender() -> SimpleNamespace:
    near, far = socket.socketpair()
    answered: list[int] = []
    lane = SendLane(
        near.fileno(),
        {},
        4,
        0,
        None,
        lambda: False,
        codec.Traffic(),
        lambda *_: None,
        lambda *fault: answered.append(-1),
    )
    return SimpleNamespace(near=near, far=far, lane=lane, reader=reader_with(lane), answered=answered)


def check_response(octets: bytes) -> None:
    """A response that the send lane takes says what the general way reads in it."""
    one, octets = sender(), octets[:COMMAND_MAX]
    if one.lane.oldest_began() is None:
        while one.lane.next_message_id() != 0x00FF:
            pass
        assert one.lane.send_item(
            CONTEXT, "1.2", "1.2.3", [b"x"], lambda status, _: one.answered.append(status), print
        )
        one.far.recv(4096)
    event = fed(one.reader, pdata(pdv(CONTEXT, COMMAND_BIT | LAST, octets)))
    if event == COMMAND:
        assert one.reader.command == octets
        one.reader.expect_dataset(False)
        return
    one.lane.settle()
    (status,) = one.answered
    one.answered.clear()
    command = {tag: value for tag, value in codec.decode_command(octets).items() if tag <= STATUS}
    assert command[COMMAND_FIELD] == C_STORE_RSP
    assert command[MESSAGE_ID_BEING_RESPONDED_TO] == 0x0100
    assert command[COMMAND_DATA_SET_TYPE] == NO_DATASET
    assert status == (command[STATUS] if isinstance(command.get(STATUS), int) else -1)


class Forwards:
    """A forward lane that learns to discard whatever it is asked about."""

    def __init__(self) -> None:
        self.pair = Pair(1, 4)
        self.slab = Slab.attach(os.dup(self.pair.slab_fd))
        self.intake = self.pair.intakes[0]
        self.intake.receive()
        receipts, tickets, bell = self.intake._end.rings()
        books = (self.intake._held, self.intake._unanswered, self.intake._outbox)
        self.port = TicketPort(self.intake, tickets, receipts, bell, self.slab, *books)
        nothing: Callable[..., Any] = lambda *_: None  # noqa: E731
        no_spool, no_loans = SimpleNamespace(large_from_bytes=0), SimpleNamespace()
        entries = EntryLane(no_spool, no_loans, nothing, nothing, nothing, nothing)  # type: ignore[arg-type]
        self.lane = Forwarder(lambda _: (True, False), nothing, entries)
        self.lane.use_rules((0x00080016, 0x00080018, 0x00100010))
        self.lane.is_open = True
        for index in range(4):
            self.pair.slab.view(index)[: len(DATASET)] = DATASET


@cache
def forwards() -> Forwards:
    return Forwards()


def check_ticket(record: bytes) -> None:
    """A ticket that the forward lane answers is one, and its receipt names its slots."""
    one, record = forwards(), record[:RECORD_MAX]
    end = one.pair.dispatcher._links[0].end
    end.receive_many()
    assert end.send(record)
    for _ in range(2):
        left = one.lane.take(one.port)
        if left is None:
            break
        assert left == record
        one.lane.learn(DISCARD, None)
        assert end.send(record)
    else:
        one.lane.take(one.port)
        return
    (receipt,) = map(decode_record, end.receive_many())
    assert isinstance(receipt, Receipt)
    assert receipt.status == 0
    assert receipt.is_released
    assert not one.intake._held
    try:
        ticket = decode_record(record)
    except MalformedRecord:
        return  # the lane does not look at the last fields
    assert isinstance(ticket, Ticket)
    assert (receipt.ticket_id, receipt.slots) == (ticket.ticket_id, ticket.slots)


PARSERS = (check_store_request, check_receipt, check_response, check_ticket)


def seeds() -> list[bytes]:
    """Return one good input for each parser, and some that are nearly good."""
    request = encode_command(store_rq())
    response = {
        COMMAND_FIELD: C_STORE_RSP, MESSAGE_ID_BEING_RESPONDED_TO: 0x0100,
        COMMAND_DATA_SET_TYPE: NO_DATASET, STATUS: 0xB000,
    }  # fmt: skip
    receipt = b"\x96\x01\xcfTICKETID\x00\xa0\x91\x00\xc3"
    ticket = make_ticket(1 << 40, (0,), "1.2.3")._replace(dataset_bytes=len(DATASET))
    # As the store lane writes it: the array's head in three octets.
    record = b"\xdc\x00\x10" + encode_record(ticket).removeprefix(b"\xdc\x00\x10")
    return [
        b"\0" + request,
        b"\1" + receipt,
        b"\1" + receipt[:-1] + b"\xc2",
        b"\2" + encode_command(response),
        b"\2" + encode_command({**response, STATUS: (1, 2)}),
        b"\3" + record,
        b"\3" + record[:-1],
    ]
