"""One ticket on its way through a worker, from its decision to its answer, and the items it becomes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from router.delivery.retry import Failure
from router.delivery.sender import FlowName, Item
from router.handoff.intake import Intake
from router.handoff.ticket import Ticket
from router.processes.instances import InstanceBytes, remove_file
from router.routing.facts import Decision
from router.spool.record import Entry


@dataclass(slots=True)
class Handled:
    """One ticket on its way through the worker. is_of_lane: the entry lane had it first."""

    intake: Intake
    ticket: Ticket
    instance: InstanceBytes
    decision: Decision
    study_uid: str = ""
    series_uid: str = ""
    began: float = 0.0
    seq: int = 0
    entry: Entry | None = None
    awaited: set[str] = field(default_factory=set)
    delivered: dict[str, int] = field(default_factory=dict)
    refused: dict[str, Failure] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    deadline: float = 0.0
    is_of_lane: bool = False


@dataclass(slots=True)
class Adopted:
    """An entry on its way into the ledger that no ticket waits for (see adoption.py)."""

    seq: int
    entry: Entry
    settled: asyncio.Future[None]


def answer(handled: Handled, status: int, comment: str = "") -> None:
    """Answer for good a ticket that the spool does not have; its bytes go when nobody reads them."""
    release = handled.instance.give_up()
    handled.intake.answer(handled.ticket, status, comment, release=release)
    if not release:
        handled.instance.cool()
    forget_file(handled.ticket)


def forget_file(ticket: Ticket) -> None:
    """Delete what was spilled of a ticket that is answered and not stored."""
    if ticket.file:
        remove_file(ticket.file)


def flow_of(handled: Handled) -> FlowName:
    """Return what keeps its order and takes turns with others (delivery/fair.py)."""
    return handled.ticket.calling_ae_title, handled.study_uid


def new_item(handled: Handled, seq: int) -> Item:
    """Return a ticket as an item for one destination."""
    ticket = handled.ticket
    item = Item(
        seq,
        ticket.sop_class,
        ticket.sop_instance,
        ticket.transfer_syntax,
        ticket.dataset_bytes,
        handled.instance,
    )
    item.received_ns = ticket.received_ns
    item.flow = flow_of(handled)
    return item
