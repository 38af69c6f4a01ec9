"""Instances owed to a destination, and a listener that writes down what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from router.config.peers import Destination as DestinationSettings
from router.delivery.destination import Destination
from router.delivery.retry import Failure
from router.delivery.sender import Item
from router.drivers.event_loop import EventLoopDriver
from router.errors import SpoolError
from router.protocol.messages import Buffer
from router.standard.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from router.standard.uids import CT_IMAGE_STORAGE
from tests.support.scripted_scp import Script, ScriptedAcceptor, scripted_acceptor, until


class Bytes:
    """A payload in memory that counts its users. chunks: given as an iterator, as the spool does."""

    def __init__(self, *parts: Buffer, is_streamed: bool = False, trouble: SpoolError | None = None) -> None:
        self.parts = parts
        self.readers = 0
        self.opened = 0
        self._is_streamed = is_streamed
        self._trouble = trouble

    def buffers(self) -> Iterable[Buffer]:
        """Return the parts."""
        self.opened += 1
        if self._trouble is not None and not self._is_streamed:
            raise self._trouble
        self.readers += 1
        return self._stream() if self._is_streamed else list(self.parts)

    def recover(self) -> None:
        """Be readable from now on."""
        self._trouble = None

    def close(self) -> None:
        """Count one user less."""
        self.readers -= 1

    def _stream(self) -> Iterable[Buffer]:
        yield from self.parts
        if self._trouble is not None:
            raise self._trouble


class Outcomes:
    """A Listener that remembers everything."""

    def __init__(self) -> None:
        self.delivered_items: list[tuple[Item, int]] = []
        self.failures: list[tuple[Item, Failure]] = []
        self.dead_items: list[tuple[Item, Failure]] = []
        self.returned_items: list[tuple[Item, Failure]] = []
        self.backlog: list[Item] = []
        self.hungry_calls = 0
        self.associations: list[str] = []
        self.unreached: list[Failure] = []

    def delivered(self, destination: Destination, item: Item, status: int, seconds: float) -> None:
        self.delivered_items.append((item, status))

    def failed(self, destination: Destination, item: Item, failure: Failure, retry_s: float) -> None:
        self.failures.append((item, failure))

    def dead(self, destination: Destination, item: Item, failure: Failure) -> None:
        self.dead_items.append((item, failure))

    def returned(self, destination: Destination, item: Item, failure: Failure) -> None:
        self.returned_items.append((item, failure))

    def unreachable(self, destination: Destination, failure: Failure) -> None:
        self.unreached.append(failure)

    def association(self, destination: Destination, outcome: str) -> None:
        self.associations.append(outcome)

    def hungry(self, destination: Destination) -> None:
        self.hungry_calls += 1
        some, self.backlog = self.backlog[:512], self.backlog[512:]
        destination.refill(some, is_last=not self.backlog)

    def uids(self) -> list[str]:
        """Return the instances delivered, in order."""
        return [item.sop_instance for item, _ in self.delivered_items]


def item(seq: int, uid: str = "", payload: Bytes | None = None, **fields: Any) -> Item:
    """Return an instance of age seq; fields: sop_class, transfer_syntax, is_immediate."""
    payload = payload or Bytes(b"\x08\x00\x16\x00\x04\x00\x00\x001.2\x00")
    one = Item(
        seq,
        fields.get("sop_class", CT_IMAGE_STORAGE),
        uid or f"1.2.{seq}",
        fields.get("transfer_syntax", IMPLICIT_VR_LITTLE_ENDIAN),
        sum(map(len, payload.parts)),
        payload,
    )
    one.entry_id = seq
    one.is_immediate = fields.get("is_immediate", False)
    return one


def settings(port: int, **changes: Any) -> DestinationSettings:
    """Return settings that retry quickly."""
    values: dict[str, Any] = {
        "ae_title": "PACS", "host": "127.0.0.1", "port": port,
        "retry_first_s": 0.02, "retry_max_s": 0.1, "associations_max": 1, "operations_max": 1,
    }  # fmt: skip
    return DestinationSettings(**{**values, **changes})


@asynccontextmanager
async def destination(port: int, outcomes: Outcomes, **changes: Any) -> AsyncIterator[Destination]:
    """Run one destination; at the end nothing of it may be left: no association, no reader, no task."""
    driver = EventLoopDriver(asyncio.get_running_loop())
    driver.start()
    one = Destination("PACS", settings(port, **changes), driver, outcomes)
    try:
        yield one
    finally:
        await one.close(1.0)
        await until(lambda: not driver.connections)
        driver.stop()
    assert one.in_flight == 0
    assert one.associations_open == 0


@asynccontextmanager
async def facing(
    script: Script | None = None, **changes: Any
) -> AsyncIterator[tuple[ScriptedAcceptor, Destination, Outcomes]]:
    """Run one destination and the peer that it sends to; changes: of its settings."""
    outcomes = Outcomes()
    async with (
        scripted_acceptor(script) as acceptor,
        destination(acceptor.port, outcomes, **changes) as one,
    ):
        yield acceptor, one, outcomes


def offer_all(one: Destination, items: Iterable[Item]) -> None:
    """Offer items and pump once, as the worker does."""
    for each in items:
        assert one.offer(each)
    one.pump()
