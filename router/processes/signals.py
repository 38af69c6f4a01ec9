"""Operating system signals of the supervisor and of its children, and dying with one's parent.

Supervisor: SIGTERM and SIGINT stop it (drain, then exit 0; the second one ends it at once), SIGHUP reloads.
Child: SIGTERM drains it; SIGINT and SIGHUP are the supervisor's business and ignored.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # prctl(2)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def handle_supervisor_signals(
    on_stop: Callable[[signal.Signals], None], on_reload: Callable[[], None]
) -> None:
    """Install the supervisor's handlers on the running event loop."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_stop, number)
    loop.add_signal_handler(signal.SIGHUP, on_reload)


def release_supervisor_signals() -> None:
    """Give the stop signals their default action again, and ignore SIGHUP, before the loop goes."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.remove_signal_handler(number)
    loop.remove_signal_handler(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def ignore_parents_signals() -> None:
    """Ignore, in a child, what a terminal or an operator means for the supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def handle_child_signals(on_drain: Callable[[], None]) -> None:
    """Install a child's SIGTERM handler on the running event loop."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, on_drain)


def die_with_parent(parent_pid: int) -> bool:
    """Ask the kernel to kill this process when its parent ends.

    Return False if the parent has already gone.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return os.getppid() == parent_pid
