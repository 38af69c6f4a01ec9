"""Questions from admin to a worker and their answers, over a SOCK_SEQPACKET pair that outlives both.

A request is {id, verb, arguments, until}, an answer {id, result} or {id, error}; `until` is CLOCK_MONOTONIC,
which all processes share, so a worker that comes up later does not act on a question whose asker has given
up. The ids of each asking process start elsewhere, so an answer to a dead asker is not taken for another's.
Rows: a list result too long for one message loses whole entries from its end; the asker pages on with
`after`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgpack

from router.errors import DeadlineExceeded, RouterError

QUERY_BYTES_MAX = 128 * 1024
QUERY_S = 5.0
QUERIES_IN_FLIGHT_MAX = 32
QUERIES_WAITING_MAX = 64
ERROR_CHARACTERS_MAX = 500

Handler = Callable[..., Any]

log = logging.getLogger(__name__)


class QueryFailed(RouterError):
    """The process asked could not answer, and says why."""


class QueryServer:
    """The answering end. Handlers get the arguments by keyword and return plain values, or an awaitable.

    Questions are answered one after the other. A handler's RouterError or ValueError becomes the answer's
    error.
    """

    def __init__(self, fd: int, handlers: Mapping[str, Handler]) -> None:
        self._socket = _adopt(fd)
        self._handlers = dict(handlers)
        self._waiting: deque[dict[str, Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Stop answering."""
        self._loop.remove_reader(self._socket.fileno())
        if self._task is not None:
            self._task.cancel()
        self._socket.close()

    def _readable(self) -> None:
        try:
            while (request := _receive(self._socket)) is not None:
                self._accept(request)
        except EOFError:
            self._loop.remove_reader(self._socket.fileno())

    def _accept(self, request: dict[str, Any]) -> None:
        if len(self._waiting) >= QUERIES_WAITING_MAX:
            self._answer(request, {"error": "too many questions are waiting"})
            return
        self._waiting.append(request)
        if self._task is None:
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                request = self._waiting.popleft()
                remaining = request.get("until", 0) - time.monotonic()
                if remaining > 0:
                    self._answer(request, await self._handle(request, remaining))
        finally:
            self._task = None

    async def _handle(self, request: dict[str, Any], remaining_s: float) -> dict[str, Any]:
        handler = self._handlers.get(request.get("verb", ""))
        if handler is None:
            return {"error": f"unknown verb {str(request.get('verb'))[:64]!r}"}
        try:
            async with asyncio.timeout(remaining_s):
                result = handler(**request.get("arguments", {}))
                if inspect.isawaitable(result):
                    result = await result
        except TimeoutError:
            return {"error": "no answer in time"}
        except (RouterError, ValueError) as error:
            return {"error": str(error)[:ERROR_CHARACTERS_MAX]}
        except Exception as error:
            log.exception("verb=%s failed", request.get("verb"))
            return {"error": f"internal error: {type(error).__name__}"}
        return {"result": result}

    def _answer(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        data = _pack_answer(request.get("id", 0), answer)
        try:
            self._socket.send(data)
        except OSError as error:
            # The asker does not read: its deadline tells it.
            log.warning("answer to verb=%s dropped: %s", request.get("verb"), error)


class QueryClient:
    """The asking end, towards one worker."""

    def __init__(self, fd: int, name: str) -> None:
        """name: whom this end asks, for error texts."""
        self._socket = _adopt(fd)
        self._name = name
        self._next_id = int.from_bytes(os.urandom(4), "big") << 24
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    async def ask(self, verb: str, *, query_s: float = QUERY_S, **arguments: Any) -> Any:
        """Ask and return the result. Raises QueryFailed, or DeadlineExceeded after query_s."""
        if len(self._asked) >= QUERIES_IN_FLIGHT_MAX:
            raise QueryFailed(f"{self._name}: {QUERIES_IN_FLIGHT_MAX} questions are under way already")
        self._next_id += 1
        number = self._next_id
        request = {"id": number, "verb": verb, "arguments": arguments, "until": time.monotonic() + query_s}
        data = msgpack.packb(request)
        if len(data) > QUERY_BYTES_MAX:
            raise QueryFailed(f"{self._name}: question has {len(data)} bytes, allowed {QUERY_BYTES_MAX}")
        answer = self._asked[number] = self._loop.create_future()
        try:
            self._socket.send(data)
            async with asyncio.timeout(query_s):
                return await answer
        except TimeoutError:
            raise DeadlineExceeded(f"query_s of {self._name}", query_s) from None
        except OSError as error:
            raise QueryFailed(f"{self._name} takes no questions now ({error.strerror})") from None
        finally:
            del self._asked[number]

    def close(self) -> None:
        """Stop asking."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        try:
            while (answer := _receive(self._socket)) is not None:
                self._take(answer)
        except EOFError:
            self._loop.remove_reader(self._socket.fileno())

    def _take(self, answer: dict[str, Any]) -> None:
        future = self._asked.get(answer.get("id", 0))
        if future is None or future.done():
            return
        if "error" in answer:
            future.set_exception(QueryFailed(f"{self._name}: {answer['error']}"))
        else:
            future.set_result(answer.get("result"))


def _pack_answer(number: int, answer: dict[str, Any]) -> bytes:
    """Encode an answer, cutting rows from its end until it fits a message."""
    data: bytes = msgpack.packb({"id": number, **answer})
    rows = answer.get("result")
    while len(data) > QUERY_BYTES_MAX and isinstance(rows, list) and (fewer := _fewer_rows(rows)):
        rows = fewer
        data = msgpack.packb({"id": number, "result": rows})
    if len(data) > QUERY_BYTES_MAX:
        return bytes(
            msgpack.packb({"id": number, "error": f"answer has {len(data)} bytes, allowed {QUERY_BYTES_MAX}"})
        )
    return data


def _fewer_rows(rows: list[Any]) -> list[Any]:
    """Return the first half of the rows, never a part of an entry (the rows of one id stand together)."""
    end = len(rows) // 2

    def identity(position: int) -> Any:
        row = rows[position]
        return row.get("id", position) if isinstance(row, dict) else position

    while 0 < end < len(rows) and identity(end - 1) == identity(end):
        end -= 1
    return rows[:end]


def _adopt(fd: int) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)
    end.setblocking(False)
    return end


def _receive(end: socket.socket) -> dict[str, Any] | None:
    """Return the next message, None if there is none now. A message that is no table is dropped.

    Raises EOFError once nobody holds the other end.
    """
    while True:
        try:
            data = end.recv(QUERY_BYTES_MAX)
        except OSError:
            return None
        if not data:
            raise EOFError
        try:
            message = msgpack.unpackb(data)
        except ValueError:
            continue
        if isinstance(message, dict):
            return message
