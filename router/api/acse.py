"""What programs reach for as `assoc.acse` and `assoc.dul`: reject, abort, ask whether an abort came."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from router.standard.reasons import REJECT_REASONS, REJECT_RESULTS
from router.wire.pdus import AssociateRJ

if TYPE_CHECKING:
    from router.api.association_state import AssociationState


class ACSE:
    """The association control of one association."""

    def __init__(self, assoc: AssociationState) -> None:
        self.assoc = assoc

    @property
    def acse_timeout(self) -> float | None:
        """The association's ACSE timeout."""
        return self.assoc.acse_timeout

    def send_reject(self, result: int, source: int, diagnostic: int) -> None:
        """Reject the association that is being requested; from a handler of EVT_REQUESTED.

        Raises ValueError for numbers outside PS3.8 Table 9-21.
        """
        if result not in REJECT_RESULTS or diagnostic not in REJECT_REASONS.get(source, ()):
            raise ValueError("'result', 'source' or 'diagnostic' is not in PS3.8 Table 9-21")
        self.assoc._rejection = AssociateRJ(result, source, diagnostic)

    def send_abort(self, source: int) -> None:
        """Send A-ABORT as service-user (0) or service-provider (2)."""
        if source not in (0, 2):
            raise ValueError("'source' must be 0x00 or 0x02")
        self.assoc._abort(source, 0)

    def send_ap_abort(self, reason: int) -> None:
        """Send A-ABORT as service-provider with a reason of PS3.8 Table 9-26."""
        if reason not in (0, 1, 2, 4, 5, 6):
            raise ValueError("'reason' is not in PS3.8 Table 9-26")
        self.assoc._abort(2, reason)

    def is_aborted(self, abort_type: str = "both") -> bool:
        """Whether it was aborted: by a user ("a-abort"), by the provider ("a-p-abort"), or "both"."""
        if not self.assoc.is_aborted:
            return False
        source = self.assoc._abort_source
        return abort_type == "both" or (abort_type == "a-p-abort") == (source == 2)

    def is_release_requested(self) -> bool:
        """Whether the peer waits for the answer to its release: never, it is answered at once."""
        return False

    @property
    def requestor(self) -> object:
        """The association's requestor."""
        return self.assoc.requestor

    @property
    def acceptor(self) -> object:
        """The association's acceptor."""
        return self.assoc.acceptor

    @property
    def socket(self) -> object:
        """The association's socket."""
        return self.assoc.dul.socket


class AssociationSocket:
    """The transport connection of one association, as `assoc.dul.socket`. socket: None once it is closed."""

    def __init__(self, assoc: AssociationState) -> None:
        self._assoc = assoc

    @property
    def socket(self) -> socket.socket | None:
        """The connected socket; the library reads it, so look but do not touch."""
        connection = self._assoc._connection
        return None if connection is None or connection.is_closed else connection.sock

    def close(self) -> None:
        """Close the connection at once."""
        self._assoc.kill()


class DUL:
    """What is left of a service provider with a thread of its own: its socket."""

    def __init__(self, assoc: AssociationState) -> None:
        self.assoc = assoc
        self.socket = AssociationSocket(assoc)

    def is_alive(self) -> bool:
        """Whether the connection stands."""
        return self.assoc.is_alive()
