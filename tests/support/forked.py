"""A function in a forked process, for tests of what two real processes share."""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable

JOIN_S = 60


class Forked:
    """Runs `function` in a child that exits 0 when it returns and 1 when it raises."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                function()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        self._pidfd = os.pidfd_open(self.pid)

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._pidfd

    @property
    def has_ended(self) -> bool:
        return bool(select.select([self._pidfd], [], [], 0)[0])

    def join(self) -> int:
        """Wait for the end and return the exit code (negative: the signal). Kills and fails after JOIN_S."""
        readable, _, _ = select.select([self._pidfd], [], [], JOIN_S)
        if not readable:
            self.kill()
            raise AssertionError(f"the process did not end within {JOIN_S} s")
        return self._reap()

    def kill(self) -> int:
        """End it as the kernel does when memory is short, wherever it stands."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        return self._reap()

    def _reap(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self._pidfd)
        return os.waitstatus_to_exitcode(status)


def wait_for(*fds: int) -> None:
    """Wait until one of the descriptors is readable; fails after JOIN_S, when a wake-up was lost."""
    if not select.select(fds, [], [], JOIN_S)[0]:
        raise AssertionError(f"no doorbell within {JOIN_S} s")
