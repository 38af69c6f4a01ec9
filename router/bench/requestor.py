"""One sending association: what is under way, what is still to be written, and how an answer is read.

Answers that look like one seen before are taken by the compiled lane; each new look is read here once.
"""

from __future__ import annotations

import socket
from array import array
from collections import Counter
from dataclasses import dataclass, field

from router.bench import wire
from router.bench.hot import Lane
from router.bench.image import StreamImage
from router.bench.instances import NUMBER_BYTES, Template, instance_uid

PDATA_HEAD_BYTES = 12
PDU_HEAD_BYTES = 6
SUCCESS = 0x0000


class AssociationFailed(Exception):
    """The peer refused, aborted, closed, or answered something that a load tool does not understand."""


@dataclass(slots=True)
class Outcomes:
    """What all associations were answered. failures: by status other than success; run: part of each UID."""

    run: int
    counts: array[int]
    failures: Counter[int] = field(default_factory=Counter)


class Requestor:
    """An established association.

    rest: octets received that are less than a PDU; out: still to be written.
    """

    __slots__ = ("images", "lane", "out", "outcomes", "rest", "sock", "wants_out")

    def __init__(
        self, sock: socket.socket, images: list[StreamImage], window: int, outcomes: Outcomes
    ) -> None:
        self.sock = sock
        self.images = images
        self.lane = Lane(window, outcomes.counts)
        self.outcomes = outcomes
        self.out: list[memoryview] = []
        self.rest = b""
        self.wants_out = False

    @property
    def under_way(self) -> int:
        """How many operations have no answer yet."""
        return self.lane.window - self.lane.free

    def take(self, data: bytearray, end: int, now_ns: int) -> None:
        """Take every whole answer in the first `end` octets; keep the remainder."""
        position = self.lane.take(data, 0, end, now_ns)
        while end - position >= PDU_HEAD_BYTES:
            after = position + PDU_HEAD_BYTES + int.from_bytes(data[position + 2 : position + 6], "big")
            if after > end:
                break
            self._read(bytes(data[position:after]), now_ns)
            position = self.lane.take(data, after, end, now_ns)
        self.rest = bytes(data[position:end])

    def _read(self, pdu: bytes, now_ns: int) -> None:
        """Take one answer of an unknown shape: a P-DATA-TF that carries a whole C-STORE-RSP."""
        if pdu[0] != wire.P_DATA_TF:
            raise AssociationFailed(f"PDU type {pdu[0]} in place of an answer: {pdu[6:10].hex()}")
        command = pdu[PDATA_HEAD_BYTES:]
        places = {number: (start, end) for number, start, end in wire.command_elements(command)}
        values = {number: command[start:end] for number, (start, end) in places.items()}
        field_value = wire.uint(values[wire.COMMAND_FIELD])
        if field_value != wire.C_STORE_RSP:
            raise AssociationFailed(f"command field {field_value:04X}H in place of a C-STORE-RSP")
        status = wire.uint(values[wire.STATUS])
        number = self.lane.end(wire.uint(values[wire.MESSAGE_ID_BEING_RESPONDED_TO]), now_ns)
        uid = values.get(wire.AFFECTED_SOP_INSTANCE_UID)
        if uid is not None and wire.uid_text(uid) != instance_uid(self.outcomes.run, number):
            raise AssociationFailed(f"the answer about instance {number} names another")
        if status != SUCCESS:
            self.outcomes.failures[status] += 1
            return
        number_at = places[wire.AFFECTED_SOP_INSTANCE_UID][1] - NUMBER_BYTES if uid is not None else -1
        id_at = places[wire.MESSAGE_ID_BEING_RESPONDED_TO][0]
        at = PDATA_HEAD_BYTES
        self.lane.learn(pdu, at + id_at, at + number_at if uid is not None else -1)


def associate(
    address: tuple[str, int],
    titles: tuple[str, str],
    templates: list[Template],
    limits: tuple[int, int, float],
) -> tuple[socket.socket, wire.Associate, dict[tuple[str, str], int]]:
    """Open one association for the kinds; return socket, answer, and context id by (SOP class, syntax).

    titles: called, calling; limits: our maximum length, window to ask for, seconds to wait.
    """
    maximum_length, window, timeout_s = limits
    wanted = dict.fromkeys((one.sop_class, one.transfer_syntax) for one in templates)
    contexts = {pair: 2 * index + 1 for index, pair in enumerate(wanted)}
    proposed = [(number, pair[0], [pair[1]]) for pair, number in contexts.items()]
    sock = socket.create_connection(address, timeout=timeout_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(wire.associate_rq(*titles, proposed, maximum_length, window))
        answer = wire.parse_associate(read_pdu(sock, wire.ASSOCIATE_AC))
        for pair, number in contexts.items():
            if answer.results.get(number, (4, ""))[0] != 0:
                raise AssociationFailed(f"presentation context refused: {pair[0]} in {pair[1]}")
    except BaseException:
        sock.close()
        raise
    return sock, answer, contexts


def read_pdu(sock: socket.socket, expected: int) -> bytes:
    """Read one whole PDU of the expected type from a blocking socket."""
    data = _read(sock, PDU_HEAD_BYTES)
    data += _read(sock, int.from_bytes(data[2:6], "big"))
    if data[0] != expected:
        raise AssociationFailed(f"PDU type {data[0]} in place of {expected}: {data[6:10].hex()}")
    return data


def _read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise AssociationFailed("closed by the peer")
        data += part
    return data
