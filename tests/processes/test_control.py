from __future__ import annotations

import asyncio
import os
import socket

import pytest

from router.processes.control import (
    MESSAGE_BYTES_MAX,
    OUTBOX_MESSAGES_MAX,
    ControlChannel,
    Message,
    read_memfd,
    write_memfd,
)


class End:
    """A channel end that keeps what it gets."""

    def __init__(self, end: socket.socket) -> None:
        self.messages: list[Message] = []
        self.fds: list[int] = []
        self.changed = asyncio.Event()
        self.closed = asyncio.Event()
        self.channel = ControlChannel(end, self._message, self.closed.set)

    def _message(self, message: Message, fds: list[int]) -> None:
        self.messages.append(message)
        self.fds += fds
        self.changed.set()

    async def received(self, count: int) -> list[Message]:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.messages


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_messages_arrive_whole_and_in_order() -> None:
    async def scenario() -> None:
        one, other = (End(end) for end in pair())
        assert one.channel.send("drain", deadline_s=1.5)
        assert one.channel.send("state", ready=True)
        assert await other.received(2) == [
            {"kind": "drain", "deadline_s": 1.5},
            {"kind": "state", "ready": True},
        ]
        one.channel.close()
        other.channel.close()

    asyncio.run(scenario())


def test_a_descriptor_travels_with_its_message_and_is_not_inheritable() -> None:
    async def scenario() -> None:
        one, other = (End(end) for end in pair())
        fd = write_memfd("config", b"x" * 1_000_000)
        assert one.channel.send("reload", [fd], generation=2)
        os.close(fd)
        await other.received(1)
        assert not os.get_inheritable(other.fds[0])
        assert read_memfd(other.fds[0], 1_000_000) == b"x" * 1_000_000
        one.channel.close()
        other.channel.close()

    asyncio.run(scenario())


def test_a_memfd_longer_than_allowed_is_refused_and_closed() -> None:
    fd = write_memfd("config", b"12345")
    with pytest.raises(ValueError, match="5 bytes, allowed 4"):
        read_memfd(fd, 4)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_peer_that_does_not_read_never_blocks_and_its_outbox_is_bounded() -> None:
    async def scenario() -> None:
        end, silent = pair()
        one = End(end)
        sent = 0
        while one.channel.send("state", filler="x" * 10_000):
            sent += 1
        assert sent > OUTBOX_MESSAGES_MAX
        other = End(silent)
        assert len(await other.received(sent)) == sent
        one.channel.close()
        other.channel.close()

    asyncio.run(scenario())


def test_a_message_too_long_is_not_sent() -> None:
    async def scenario() -> None:
        one, other = (End(end) for end in pair())
        assert not one.channel.send("state", filler="x" * MESSAGE_BYTES_MAX)
        assert one.channel.send("state", short=1)
        assert await other.received(1) == [{"kind": "state", "short": 1}]
        one.channel.close()
        other.channel.close()

    asyncio.run(scenario())


def test_the_end_of_a_peer_is_told_once_and_after_its_last_message() -> None:
    async def scenario() -> None:
        one, other = (End(end) for end in pair())
        one.channel.send("drained")
        one.channel.close()
        async with asyncio.timeout(10):
            await other.closed.wait()
        assert other.messages == [{"kind": "drained"}]
        assert not other.channel.send("late")

    asyncio.run(scenario())


def test_garbage_is_ignored_and_its_descriptors_closed() -> None:
    async def scenario() -> None:
        raw, end = pair()
        other = End(end)
        read_fd, write_fd = os.pipe()
        socket.send_fds(raw, [b"\xc1 no msgpack"], [write_fd])
        os.close(write_fd)
        raw.send(b"\x07")
        raw.send(b"\x81\xa4kind\xa4fine")
        assert await other.received(1) == [{"kind": "fine"}]
        assert os.read(read_fd, 1) == b""  # its last writer is gone
        os.close(read_fd)
        raw.close()
        other.channel.close()

    asyncio.run(scenario())
