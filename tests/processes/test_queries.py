from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from router.errors import DeadlineExceeded, SpoolError
from router.processes.queries import (
    QUERIES_IN_FLIGHT_MAX,
    QUERY_BYTES_MAX,
    QueryClient,
    QueryFailed,
    QueryServer,
)


class Pair:
    """A query pair as the supervisor holds it: either end can be given to one process after the other."""

    def __init__(self) -> None:
        self.ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def client(self) -> QueryClient:
        return QueryClient(os.dup(self.ends[0].fileno()), "worker-0")

    def server(self, **handlers: Callable[..., Any]) -> QueryServer:
        return QueryServer(os.dup(self.ends[1].fileno()), handlers)

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_handler_answers_plainly_or_later(pair: Pair) -> None:
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        return number + 1

    async def scenario() -> None:
        client = pair.client()
        pair.server(later=later, now=lambda number: [number])
        assert await asyncio.gather(client.ask("later", number=1), client.ask("now", number=2)) == [2, [2]]

    asyncio.run(scenario())


def test_errors_are_told_in_words(pair: Pair) -> None:
    def full() -> None:
        raise SpoolError("disk full")

    def broken() -> None:
        raise KeyError("secret")

    async def scenario() -> None:
        client = pair.client()
        pair.server(full=full, broken=broken)
        with pytest.raises(QueryFailed, match="worker-0: disk full"):
            await client.ask("full")
        with pytest.raises(QueryFailed, match=r"internal error: KeyError$"):
            await client.ask("broken")
        with pytest.raises(QueryFailed, match="unknown verb 'dance'"):
            await client.ask("dance")

    asyncio.run(scenario())


def test_nobody_answering_is_a_deadline(pair: Pair) -> None:
    async def scenario() -> None:
        with pytest.raises(DeadlineExceeded, match="query_s of worker-0"):
            await pair.client().ask("ls", query_s=0.01)

    asyncio.run(scenario())


def test_a_question_whose_asker_gave_up_is_not_acted_on(pair: Pair) -> None:
    dropped: list[int] = []

    def drop(entry: int) -> None:
        dropped.append(entry)

    async def scenario() -> None:
        client = pair.client()
        with pytest.raises(DeadlineExceeded):
            await client.ask("drop", query_s=0.01, entry=1)
        pair.server(drop=drop)
        await client.ask("drop", entry=2)

    asyncio.run(scenario())
    assert dropped == [2]


def test_a_restarted_worker_answers_what_its_predecessor_left(pair: Pair) -> None:
    async def scenario() -> None:
        client = pair.client()
        pair.server(ls=lambda: 1).close()
        question = asyncio.ensure_future(client.ask("ls"))
        await asyncio.sleep(0)
        pair.server(ls=lambda: 2)
        assert await question == 2

    asyncio.run(scenario())


def test_an_answer_to_a_dead_asker_is_not_taken_for_anothers(pair: Pair) -> None:
    async def scenario() -> None:
        first = pair.client()
        question = asyncio.ensure_future(first.ask("ls", who="first"))
        await asyncio.sleep(0)
        first.close()
        question.cancel()
        second = pair.client()
        pair.server(ls=lambda who: who)
        assert await second.ask("ls", who="second") == "second"

    asyncio.run(scenario())


def test_questions_under_way_are_bounded(pair: Pair) -> None:
    async def scenario() -> None:
        client = pair.client()
        asked = [asyncio.ensure_future(client.ask("ls")) for _ in range(QUERIES_IN_FLIGHT_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(QueryFailed, match="under way already"):
            await client.ask("ls")
        pair.server(ls=lambda: 1)
        assert await asyncio.gather(*asked) == [1] * QUERIES_IN_FLIGHT_MAX

    asyncio.run(scenario())


def test_an_answer_too_long_keeps_whole_entries(pair: Pair) -> None:
    rows = [{"id": f"0-{number // 3}", "text": "x" * 1000} for number in range(300)]

    async def scenario() -> None:
        client = pair.client()
        pair.server(rows=lambda: rows, blob=lambda: "x" * QUERY_BYTES_MAX)
        got = await client.ask("rows")
        assert 0 < len(got) < 300
        assert got == rows[: len(got)]
        assert len(got) % 3 == 0
        with pytest.raises(QueryFailed, match="answer has"):
            await client.ask("blob")

    asyncio.run(scenario())


def test_garbage_is_ignored_and_an_end_without_peer_stops_listening(pair: Pair) -> None:
    async def scenario() -> None:
        fd = os.dup(pair.ends[0].fileno())
        client = QueryClient(fd, "worker-0")
        pair.ends[1].send(b"\xc1")
        pair.ends[1].send(msgpack.packb([1]))
        pair.ends[1].send(msgpack.packb({"id": 1, "result": 0}))
        server = pair.server(ls=lambda: 3)
        assert await client.ask("ls") == 3
        server.close()
        pair.close()
        with pytest.raises((QueryFailed, DeadlineExceeded)):
            await client.ask("ls", query_s=0.05)
        for _ in range(3):  # turns of the loop, so that it sees the end
            await asyncio.sleep(0)
        assert not asyncio.get_running_loop().remove_reader(fd)  # or it would be woken for ever

    asyncio.run(scenario())
