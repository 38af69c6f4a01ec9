"""How many threads of this process do something."""

from __future__ import annotations

import threading

from router.drivers.reactor import reactor

KEPT = ("asyncio_", "uvloop_", "dicom-")
"""Names of threads that stay, or stay a while, for what comes next; the library's count what they do."""


def busy_threads() -> int:
    """Return how many there are without those that are parked."""
    others = sum(not thread.name.startswith(KEPT) for thread in threading.enumerate())
    return others + reactor().threads.working
