"""The rejections that a requestor is sent, seen by an observer of its PDUs.

pynetdicom as requestor now and then takes a quick rejection for a connection that was never made (it looks
at its socket only after it has been woken), though it has read the PDU: `is_rejected` is then False.
"""

from __future__ import annotations

from queue import Queue
from typing import Any

REJECTION_S = 30.0


class Rejections:
    """The A-ASSOCIATE-RJ PDUs that an observer of EVT_PDU_RECV is shown."""

    def __init__(self) -> None:
        self._seen: Queue[tuple[int, int, int]] = Queue()

    def note(self, event: Any) -> None:
        """Observe EVT_PDU_RECV."""
        if type(event.pdu).__name__ == "A_ASSOCIATE_RJ":
            self._seen.put((event.pdu.result, event.pdu.source, event.pdu.reason_diagnostic))

    def next(self) -> tuple[int, int, int]:
        """Wait for the next one; return result, source and reason."""
        return self._seen.get(timeout=REJECTION_S)
