"""Crash points: named moments at which a process can be told to die or to stand still.

For tests of durability only. The environment variable ROUTER_CRASH_POINT is `NAME ACTION [AT [FLAG]]`: at the
AT-th time (from 1) that a process reaches NAME it carries out ACTION, `kill` (SIGKILL to itself) or
`pause:SECONDS` (the thread sleeps there, as in a system call that does not return). FLAG is a file made at
that moment; while it exists no process does it again, so that the successor of the dead one goes on.
Without the variable the decorators return the function they got: nothing is called, nothing is asked.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, cast

from router.errors import RouterError

VARIABLE = "ROUTER_CRASH_POINT"

POINTS = {
    "fragment.last": "acceptor: the last fragment is in the slab, no worker knows of the instance",
    "ticket.taken": "worker: the ticket is leased, nothing is decided or written",
    "append.middle": "worker: the first half of what is being written is in the page cache",
    "sync.before": "worker: everything is in the page cache, nothing of it is synced",
    "sync.after": "worker: synced, but no answer has left and the ledger knows nothing",
    "send.middle": "worker: half of a buffer of a dataset is given to the connection of a destination",
    "mark.before": "worker: the destination has answered, the ledger does not know it",
    "segment.rotate": "worker: the next segment is made and headed, but not yet written to",
    "checkpoint.middle": "worker: the ledger has moved its checkpoint, in a transaction not yet committed",
    "reclaim.middle": "worker: settled segments are renamed, their folder is not yet synced",
    "config.swap": "worker: the new rules are in force, the destinations are still the old ones",
}

Buffer: TypeAlias = bytes | bytearray | memoryview
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(slots=True)
class Order:
    """What one process is told by the variable. pause_s: None to die."""

    name: str
    pause_s: float | None
    at: int = 1
    flag: str = ""
    reached: int = 0

    def reach(self) -> None:
        """Count one arrival at the point, and do what is ordered when it is the one."""
        self.reached += 1
        if self.reached != self.at or not self._take_flag():
            return
        if self.pause_s is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            time.sleep(self.pause_s)

    def _take_flag(self) -> bool:
        if not self.flag:
            return True
        try:
            os.close(os.open(self.flag, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True


def read_order(text: str) -> Order | None:
    """Return what a value of the variable orders; None for an empty one. Raises RouterError."""
    if not text:
        return None
    name, action, at, flag = (*text.split(None, 3), "", "", "")[:4]
    kind, _, seconds = action.partition(":")
    try:
        pause_s = None if action == "kill" else float(seconds)
        order = Order(name, pause_s, int(at or 1), flag.strip())
        if kind not in {"kill", "pause"}:
            raise ValueError(kind)
    except ValueError:
        raise RouterError(f"{VARIABLE}={text!r}: expected NAME kill|pause:SECONDS [AT [FLAG]]") from None
    if name not in POINTS:
        raise RouterError(f"{VARIABLE}: {name!r} is no crash point; there are {', '.join(POINTS)}")
    return order


_order = read_order(os.environ.get(VARIABLE, ""))
if _order is not None:
    print(f"{VARIABLE} is set: this process may die at {_order.name}", file=sys.stderr, flush=True)


def reached(name: str) -> None:
    """Take note, in the middle of a function that is called rarely, that a point is reached."""
    assert name in POINTS, name
    if _order is not None and _order.name == name:
        _order.reach()


def armed(name: str) -> Callable[[], None] | None:
    """Return what compiled code is to call at a point, None for nothing."""
    assert name in POINTS, name
    return _order.reach if _order is not None and _order.name == name else None


def before(
    name: str, first: Callable[..., object] | None = None, order: Order | None = None
) -> Callable[[_F], _F]:
    """Decorate a function whose call is the point. first: does half of the function's work beforehand."""

    def wrap(function: _F, armed: Order) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if first is not None:
                first(*args, **kwargs)
            armed.reach()
            return function(*args, **kwargs)

        return wrapped

    return _decorator(name, wrap, order)


def after(name: str, order: Order | None = None) -> Callable[[_F], _F]:
    """Decorate a function whose successful return is the point."""

    def wrap(function: _F, armed: Order) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            armed.reach()
            return result

        return wrapped

    return _decorator(name, wrap, order)


def within(name: str, order: Order | None = None) -> Callable[[_F], _F]:
    """Decorate a function that returns a dataset's buffers: the point is after half of each."""

    def wrap(function: _F, armed: Order) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Iterator[Buffer]:
            return _reach_within(iter(function(*args, **kwargs)), armed)

        return wrapped

    return _decorator(name, wrap, order)


def _decorator(
    name: str, wrap: Callable[[_F, Order], Callable[..., Any]], order: Order | None
) -> Callable[[_F], _F]:
    """Return the decorator of a point: the identity unless something is ordered there."""
    armed = order or _order
    assert name in POINTS, name

    def decorate(function: _F) -> _F:
        if armed is None or armed.name != name:
            return function
        return cast("_F", functools.wraps(function)(wrap(function, armed)))

    return decorate


def _reach_within(buffers: Iterator[Buffer], armed: Order) -> Iterator[Buffer]:
    for buffer in buffers:
        view = memoryview(buffer)
        half = len(view) // 4 * 2  # fragments have an even length (PS3.8 section E.1)
        yield view[:half]
        armed.reach()
        yield view[half:]
