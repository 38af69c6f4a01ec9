"""Instances that are stored first, and what the ledger then says of them."""

from __future__ import annotations

import asyncio
from typing import Any

from router.spool.states import DeliveryState
from router.wire.pdus import ReleaseRP, encode_pdu
from tests.support.forwarding_world import World
from tests.support.scripted_scp import RELEASE_RQ, Peer, until

UIDS = [f"1.2.{number}" for number in range(1, 9)]
ONE_BY_ONE = "associations_max = 1"
"""For scenes whose order counts: over several associations deliveries may overtake each other."""


def rows(one: World) -> list[tuple[Any, ...]]:
    """Return what the ledger remembers of every delivery, and whether the spool has the bytes."""
    ledger, payloads = one.worker.spool.ledger, one.worker.spool.payloads
    found = []
    for owed in ledger.study("1.9", limit=1000):
        record, location = owed.entry.record, owed.entry.location
        octets = b"".join(payloads.open_payload(location))
        found.append(
            (record._replace(received_ns=0), octets, location.crc, owed.mark.destination, owed.mark.state,
             owed.mark.status)
        )  # fmt: skip
    return sorted(found)


def states(one: World) -> set[DeliveryState]:
    return {owed.mark.state for owed in one.worker.spool.ledger.study("1.9", limit=1000)}


async def store(one: World, uids: list[str], **changes: Any) -> None:
    """Send instances, each when the one before is answered."""
    for uid in uids:
        one.submit(uid, ack="stored", **changes)
        await one.answered()


async def all_settled(one: World) -> None:
    await until(lambda: states(one) <= {DeliveryState.DELIVERED, DeliveryState.DEAD})


async def store_in_bundles(one: World, uids: list[str], size: int = 16) -> None:
    """Send instances, so many at a time."""
    for start in range(0, len(uids), size):
        for uid in uids[start : start + size]:
            one.submit(uid, ack="stored")
        await one.answered()


class Gate:
    """A destination that answers only while it is open; falls: one of its answers is an end instead."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.falls = False

    async def script(self, peer: Peer) -> None:
        await peer.accept()
        while (message := await peer.read_message()) is not None:
            await self.open.wait()
            if self.falls:
                self.falls = False
                return
            peer.respond(message)
        if peer.last_pdu[0] == RELEASE_RQ:
            peer.send(encode_pdu(ReleaseRP()))
