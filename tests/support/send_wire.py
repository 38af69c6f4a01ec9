"""A lane of C-STORE-RQs over a socket pair, its users, and the octets that the general way would send."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from _codec.framing import NEED_DATA, PduReader
from _codec.send_lane import SendLane
from _codec.traffic import Traffic
from router.errors import AssociationAborted
from router.services import c_store
from router.standard.dimse_fields import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    C_STORE_RSP,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    MESSAGE_ID_BEING_RESPONDED_TO,
    NO_DATASET,
    STATUS,
)
from router.standard.uids import CT_IMAGE_STORAGE
from tests.support.pair import Pair
from tests.support.raw_peer import command

CONTEXT = 3
KEY = (CT_IMAGE_STORAGE, "1.2.840.10008.1.2")
ERROR = AssociationAborted(0, 0, "over")


class Owner:
    """What the lane asks of its association."""

    def __init__(self) -> None:
        self.retired_count = 0

    def retired(self) -> None:
        self.retired_count += 1


class Wire:
    """A lane over a socket pair. `told` is what its users heard; `rest` what waits in the connection."""

    def __init__(self, maximum_length: int = 16384, window: int = 8, send_buffer: int = 0) -> None:
        self.near, self.far = socket.socketpair()
        for end in (self.near, self.far):
            end.setblocking(False)
        if send_buffer:
            self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.told: list[tuple[str, Any]] = []
        self.faults: list[tuple[int, str]] = []
        self.others: set[int] = set()
        self.rest: list[Any] = []
        self.traffic = Traffic()
        self.counted_with_rest = 0
        self.is_closing = False
        self.owner = Owner()
        self.reader = PduReader(0)
        self.reader.set_contexts([1, CONTEXT])
        self.lane = SendLane(
            self.near.fileno(),
            {KEY: CONTEXT},
            window,
            maximum_length,
            self.owner,
            self.has_unsent,
            self.traffic,
            self.send_rest,
            lambda reason, text: self.faults.append((reason, text)),
            self.others,
        )
        self.reader.use_lane(self.lane)

    def has_unsent(self) -> bool:
        return self.is_closing or bool(self.rest)

    @property
    def counted(self) -> int:
        return self.traffic.sent + self.counted_with_rest

    def send_rest(self, count: int, rest: list[Any]) -> None:
        self.counted_with_rest += count
        self.rest += rest

    def send(self, uid: str = "1.2.3", *buffers: Any, is_awaited: bool = False) -> bool:
        """Send an instance; what becomes of it is told under its UID."""
        return self.lane.send_item(
            CONTEXT,
            CT_IMAGE_STORAGE,
            uid,
            list(buffers or (b"data",)),
            lambda status, seconds: self.told.append((uid, status)),
            lambda error, seconds: self.told.append((uid, error)),
            is_awaited,
        )

    def receive(self, octets: bytes, split: int = 1 << 20) -> list[int]:
        """Take octets of the peer's; return the events but NEED_DATA."""
        events = []
        for start in range(0, len(octets), split):
            piece = octets[start : start + split]
            at = 0
            while at < len(piece):
                event = self.reader.feed(piece, at, len(piece))
                at = self.reader.consumed
                if event != NEED_DATA:
                    events.append(event)
        self.lane.settle()
        return events

    def arrived(self) -> bytes:
        """Take what has come out at the peer's end."""
        octets = b""
        with suppress(BlockingIOError):
            while more := self.far.recv(1 << 20):
                octets += more
        return octets

    def flush(self) -> bytes:
        """Carry what waits in the connection, as the transport does; return all that comes out."""
        octets = self.arrived()
        for buffer in self.rest:
            octets += bytes(buffer)
        self.rest.clear()
        return octets

    def close(self) -> None:
        self.near.close()
        self.far.close()


def response(message_id: int, status: int = 0, context_id: int = CONTEXT, **more: Any) -> bytes:
    """The C-STORE-RSP to a message."""
    fields = {
        AFFECTED_SOP_CLASS_UID: CT_IMAGE_STORAGE,
        COMMAND_FIELD: C_STORE_RSP,
        MESSAGE_ID_BEING_RESPONDED_TO: message_id,
        COMMAND_DATA_SET_TYPE: NO_DATASET,
        STATUS: status,
        AFFECTED_SOP_INSTANCE_UID: "1.2.3",
    }
    return command(context_id, {**fields, **more.get("elements", {})})


def by_the_general_way(maximum_length: int, message_id: int, uid: str, buffers: list[bytes]) -> bytes:
    """The octets that services/c_store.request sends."""
    pair = Pair()
    pair.establish(["1.2.840.10008.1.1", CT_IMAGE_STORAGE])
    association = pair.requestor.association
    association.peer_maximum_length = maximum_length
    instance = c_store.Instance(CT_IMAGE_STORAGE, uid, buffers)
    next(c_store.request(association, CONTEXT, message_id, instance, 30))
    octets = b""
    while parts := association.next_output():
        octets += b"".join(map(bytes, parts))
    return octets
