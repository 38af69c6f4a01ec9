"""One descriptor kept back, to take and close a connection when all others are in use.

Without it a listening socket stays readable, nobody is told anything, and the accept loop spins.
"""

from __future__ import annotations

import errno
import os
import socket

OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class DescriptorReserve:
    """The descriptor kept back, if it could be had."""

    def __init__(self) -> None:
        self._fd = -1
        self.refill()

    def refill(self) -> None:
        """Take the descriptor, unless it is held or none can be had."""
        if self._fd >= 0:
            return
        try:
            self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def turn_away(self, listening: socket.socket) -> bool:
        """Close the next connection by means of the reserve; False if that did not work."""
        if self._fd < 0:
            return False
        self.close()
        try:
            listening.accept()[0].close()
        except OSError:
            return False
        finally:
            self.refill()
        return True

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
