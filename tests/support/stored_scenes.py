"""Instances that are stored first, and what the ledger then says of them."""

from __future__ import annotations

from typing import Any

from router.spool.states import DeliveryState
from tests.support.forwarding_world import World
from tests.support.scripted_scp import until

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
