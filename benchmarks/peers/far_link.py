"""A link of some length: a TCP relay that delivers every octet half the round-trip time after it came.

`tc netem` is missing from many kernels. Run as `python -m benchmarks.peers.far_link PORT TO_PORT
ROUND_TRIP_MS`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router.bench.controls import ENVIRONMENT
from router.bench.ports import free_port
from router.bench.process import HOST, PeerProcess, peer_process

PIECE_BYTES = 1 << 18
UNDER_WAY_MAX_BYTES = 64 << 20


class Direction:
    """One way of one connection: what is under way, and when it arrives."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.pieces: deque[tuple[float, bytes]] = deque()
        self.under_way = 0
        self.changed = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Receive, and note when each piece is due; stop while too much is under way."""
        loop = asyncio.get_running_loop()
        while True:
            data = await reader.read(PIECE_BYTES)
            self.pieces.append((loop.time() + self.delay_s, data))
            self.under_way += len(data)
            self.changed.set()
            if not data:
                return
            while self.under_way > UNDER_WAY_MAX_BYTES:
                await asyncio.sleep(self.delay_s)

    async def give(self, writer: asyncio.StreamWriter) -> None:
        """Send each piece when it is due."""
        loop = asyncio.get_running_loop()
        while True:
            while not self.pieces:
                self.changed.clear()
                await self.changed.wait()
            due, data = self.pieces.popleft()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                writer.close()
                return
            self.under_way -= len(data)
            writer.write(data)
            await writer.drain()


async def serve(port: int, to_port: int, delay_s: float) -> None:
    """Relay for ever."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_s)
        far_reader, far_writer = await asyncio.open_connection(HOST, to_port)
        for one in (writer, far_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        out, back = Direction(delay_s), Direction(delay_s)
        await asyncio.gather(
            out.take(reader),
            out.give(far_writer),
            back.take(far_reader),
            back.give(writer),
            return_exceptions=True,
        )

    async with await asyncio.start_server(relay, HOST, port) as server:
        await server.serve_forever()


@contextmanager
def far_link(to_port: int, round_trip_ms: float, directory: Path) -> Iterator[PeerProcess]:
    """Run a link to a port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers.far_link", str(port), str(to_port), str(round_trip_ms)]
    with peer_process("far-link", command, directory, environment=ENVIRONMENT) as peer:
        peer.wait_listening(port)
        peer.port = port
        yield peer


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 2000))
