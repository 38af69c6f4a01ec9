"""What a procedure may yield: wait for an indication, call a function, hand out a value.

A procedure is a generator that writes down one exchange of PS3.7 in the order in which it happens. It knows
no socket, thread, loop or clock: a driver runs it (router/drivers) by way of router/services/conversation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class NextIndication:
    """Wait for the next indication meant for this procedure.

    timeout_s: None waits for ever; on expiry DeadlineExceeded is thrown into the procedure.
    message_id: the response wanted is that to our request with this Message ID; None: what concerns the
    association as a whole (acceptance, release). A procedure may ask for one Message ID after the other, as
    the one that answers a C-GET does.
    The end of the association is thrown into the procedure as AssociationAborted or AssociationRejected.
    """

    __slots__ = ("deadline_name", "message_id", "timeout_s")

    def __init__(
        self, timeout_s: float | None, message_id: int | None = None, deadline_name: str = "dimse_s"
    ) -> None:
        self.timeout_s = timeout_s
        self.message_id = message_id
        self.deadline_name = deadline_name


class Call:
    """Call a function of the user's and go on with its result; an exception is thrown into the procedure.

    The function may return a Deferred: then the procedure goes on when that is settled.
    """

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function = function
        self.args = args


class Emit:
    """Hand a value to whoever consumes the procedure; it goes on when the next value is asked for.

    is_last: no further response is due to the procedure, so that nothing is left to drop if its consumer
    never asks again, and its Message ID is free.
    """

    __slots__ = ("is_last", "value")

    def __init__(self, value: Any, is_last: bool = False) -> None:
        self.value = value
        self.is_last = is_last


Step = NextIndication | Call | Emit
Procedure = Generator[Step, Any, T]


class Deferred:
    """A value that will be there later: settled once, with at most one continuation."""

    __slots__ = ("_continuation", "_settled", "_value")

    def __init__(self) -> None:
        self._continuation: Callable[[Any], None] | None = None
        self._settled = False
        self._value: Any = None

    @property
    def is_settled(self) -> bool:
        """Whether the value is there."""
        return self._settled

    @property
    def value(self) -> Any:
        """The value, once settled and as long as nobody waited for it."""
        return self._value

    def settle(self, value: Any) -> None:
        """Give the value; runs the continuation if one waits. An exception as value is thrown. Later calls
        do nothing."""
        if self._settled:
            return
        self._settled = True
        if self._continuation is None:
            self._value = value
        else:
            self._continuation(value)

    def then(self, continuation: Callable[[Any], None]) -> None:
        """Run the continuation with the value, at once if it is there already."""
        if self._settled:
            continuation(self._value)
        else:
            self._continuation = continuation
