"""How long a connection of the event loop may keep us waiting, and what it has been waited for so far.

Looked at by the driver's ticker only; no message costs anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.drivers.pace import PROGRESS_MIN_BYTES, Pace
from router.protocol.association import Association


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a connection may keep us waiting, in seconds; None: for ever.

    artim_s: PS3.8 section 9.1.5, in total: from connection to request, and from the last PDU to the close.
    idle_s: no byte and no request in progress. progress_s: no byte in the middle of a message, or too few.
    write_s: the peer takes no byte of what we send, or too few (see pace.py).
    """

    artim_s: float = 30.0
    idle_s: float | None = 600.0
    progress_s: float | None = 60.0
    write_s: float | None = 60.0


class Patience:
    """The waits of one connection. All times are time.monotonic's.

    busy_at: when a request was last seen in progress.
    """

    def __init__(self, deadlines: Deadlines, association: Association) -> None:
        self.deadlines = deadlines
        self.busy_at = 0.0
        self._association = association
        self._in_pace = Pace()
        self._out_bytes = 0
        self._out_at = 0.0
        self._artim_starts = 0
        self._artim_deadline: float | None = None

    def begin(self, now: float) -> None:
        """Take note that the connection stands."""
        self._out_at = now

    def watch_artim(self, now: float) -> None:
        """Take note of a start of the ARTIM timer."""
        self._artim_starts = self._association.artim_starts
        self._artim_deadline = now + self.deadlines.artim_s

    @property
    def has_artim_started(self) -> bool:
        """Whether the ARTIM timer was started anew."""
        return self._association.artim_starts != self._artim_starts

    def is_artim_over(self, now: float) -> bool:
        """Say, once, that the ARTIM timer ran out."""
        if self._artim_deadline is None or now < self._artim_deadline:
            return False
        self._artim_deadline = None
        return True

    def is_output_stuck(self, now: float, sent: int, unsent: int) -> bool:
        """Whether the peer takes too little of what was sent; unsent: what of it still waits."""
        out = sent - unsent
        if not unsent or out - self._out_bytes >= PROGRESS_MIN_BYTES:
            self._out_bytes = out
            self._out_at = now
            return False
        return self.deadlines.write_s is not None and now - self._out_at >= self.deadlines.write_s

    def broken_by(
        self, now: float, last_byte_at: float, bytes_received: int, is_reading_paused: bool
    ) -> tuple[int, str] | None:
        """Return the source of the A-ABORT that the peer's silence is worth, and why; None: none yet."""
        association = self._association
        if not association.is_established or is_reading_paused or not association.is_receiving:
            self._in_pace.rest()
        if not association.is_established or is_reading_paused:
            return None
        progress_s, idle_s = self.deadlines.progress_s, self.deadlines.idle_s
        if association.is_receiving:
            if progress_s is not None and now - last_byte_at >= progress_s:
                return 2, f"no byte for {progress_s:g} s in the middle of a message"
            if progress_s is not None and self._in_pace.is_too_slow(now, bytes_received, progress_s):
                return 2, f"hardly a byte for {progress_s:g} s in the middle of a message"
        elif idle_s is not None and now - max(last_byte_at, self.busy_at) >= idle_s:
            return 0, f"idle for {idle_s:g} s"
        return None
