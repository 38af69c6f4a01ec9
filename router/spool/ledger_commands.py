"""What people do to the ledger: try again, release, drop; some thousand rows a transaction.

A version of an instance that a destination has a newer version of is never sent to it again, whoever asks:
it would overwrite the newer one. It stays what it is, to be looked at or dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from router.spool.ledger_queries import Queries
from router.spool.ledger_tables import COMMAND_ROWS, Row, Tables
from router.spool.states import DeliveryState, Selector


class LedgerThread(Protocol):
    """What commands need of the ledger: its thread, and the order of what it has been told."""

    def ask_number(self, command: Callable[[], tuple[int, int | None]]) -> tuple[int, int | None]:
        """Run a command on the ledger's thread after all that has been told."""

    def flush(self) -> None:
        """Write what has been told so far."""

    def make_durable(self) -> None:
        """Write and sync it."""


class Commands:
    """The commands of one ledger. queries: whose answers no delivery has to wait for."""

    def __init__(
        self, thread: LedgerThread, tables: Tables, queries: Queries, now_ns: Callable[[], int]
    ) -> None:
        self._thread = thread
        self._tables = tables
        self._queries = queries
        self._now_ns = now_ns

    def retry(self, selector: Selector) -> int:
        """Make dead and waiting deliveries due at once, attempts counted from zero; return how many."""
        states = (DeliveryState.DEAD, DeliveryState.RETRYING)
        return self._change(selector, states, DeliveryState.PENDING)

    def drop(self, selector: Selector) -> int:
        """Discard open deliveries; their data goes when nobody else is owed it. Return how many."""
        states = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.HELD, DeliveryState.DEAD)
        return self._change(selector, states, DeliveryState.DISCARDED)

    def release(self, selector: Selector, destinations: Sequence[str] = ()) -> int:
        """Let held instances go to `destinations`, or to those they were held with; return how many entries.

        Without destinations, instances that no rule chose any for stay held.
        """
        if destinations:
            return self._each(
                selector,
                (DeliveryState.HELD,),
                lambda rows: self._tables.redirect(rows, destinations, self._now_ns()),
            )
        return self._change(selector, (DeliveryState.HELD,), DeliveryState.PENDING)

    def _change(self, selector: Selector, states: Sequence[DeliveryState], state: DeliveryState) -> int:
        def change(rows: list[Row]) -> int:
            tables = self._tables
            if state is DeliveryState.PENDING:
                rows = [
                    row for row in rows if tables.names[row.destination] and not tables.is_superseded(row)
                ]
            return tables.change(rows, state, self._now_ns())

        return self._each(selector, states, change)

    def _each(
        self, selector: Selector, states: Sequence[DeliveryState], change: Callable[[list[Row]], int]
    ) -> int:
        """Run a change over everything selected; then make it durable."""
        self._thread.flush()  # or destinations told a moment ago would have no number yet
        wanted = [state for state in states if selector.state in (None, state)]
        destinations = [selector.destination] if selector.destination is not None else list(self._tables.ids)
        changed = 0
        for state in wanted:
            for destination in destinations:
                changed += self._each_of(replace(selector, destination=destination, state=state), change)
        self._thread.make_durable()
        return changed

    def _each_of(self, selector: Selector, change: Callable[[list[Row]], int]) -> int:
        changed = 0
        last: int | None = selector.after
        while last is not None:
            some = partial(self._change_some, replace(selector, after=last), change)
            count, last = self._thread.ask_number(some)
            changed += count
        return changed

    def _change_some(self, selector: Selector, change: Callable[[list[Row]], int]) -> tuple[int, int | None]:
        rows = self._queries.rows(selector, COMMAND_ROWS)
        changed = change(rows) if rows else 0
        return changed, rows[-1].seq if len(rows) == COMMAND_ROWS else None
