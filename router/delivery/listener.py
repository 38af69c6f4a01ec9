"""What a destination tells its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from router.delivery.retry import Failure
from router.delivery.sender import Item

if TYPE_CHECKING:
    from router.delivery.destination import Destination


class Listener(Protocol):
    """Who is told what becomes of items: the worker."""

    def delivered(self, destination: Destination, item: Item, status: int, seconds: float) -> None:
        """The destination has the instance."""

    def failed(self, destination: Destination, item: Item, failure: Failure, retry_s: float) -> None:
        """An attempt failed; the item stays here and is tried again in retry_s."""

    def dead(self, destination: Destination, item: Item, failure: Failure) -> None:
        """The item is given up and has left this destination; it is kept in the spool."""

    def returned(self, destination: Destination, item: Item, failure: Failure) -> None:
        """An immediate item failed and has left this destination."""

    def unreachable(self, destination: Destination, failure: Failure) -> None:
        """No association could be had; no single item is to blame."""

    def association(self, destination: Destination, outcome: str) -> None:
        """An association was accepted or rejected; an accepted one was released, aborted or lost."""

    def hungry(self, destination: Destination) -> None:
        """There may be room for more from the ledger."""
