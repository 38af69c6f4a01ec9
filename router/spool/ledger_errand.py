"""What another thread has the ledger's thread do, and the answer that it waits for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from router.errors import SpoolError
from router.spool.faults import SpoolFull, ledger_error

_T = TypeVar("_T")


class Errand(Generic[_T]):
    """A command, run or refused once."""

    __slots__ = ("_command", "_future")

    def __init__(self, command: Callable[[], _T]) -> None:
        self._command = command
        self._future: Future[_T] = Future()

    def run(self) -> SpoolError | None:
        """Run the command, for whoever waits; return what is wrong with the tables, None if nothing is."""
        try:
            self._future.set_result(self._command())
        except sqlite3.Error as error:
            trouble = ledger_error(error)
            self._future.set_exception(trouble)
            return trouble
        except BaseException as error:
            self._future.set_exception(error)
        return None

    def refuse(self, why: SpoolError) -> None:
        """Tell whoever waits that the command will not be run."""
        self._future.set_exception(why)

    def result(self, timeout_s: float) -> _T:
        """Wait for the result. Raises what the command raised, or SpoolFull if it takes too long."""
        try:
            return self._future.result(timeout_s)
        except TimeoutError:
            raise SpoolFull(f"the ledger did not answer within {timeout_s:g} s") from None
