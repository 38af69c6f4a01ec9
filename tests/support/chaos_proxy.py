"""A TCP relay that misbehaves on purpose: late, slow, cut, bent, half closed, dribbling or silent.

What happens to a connection depends on the seed and on the connection's number alone, so a run that failed is
played again by its seed. Times are only waited for, never looked at; what was done is recorded in `done`.
As a program: `python -m tests.support.chaos_proxy PORT TARGET_PORT --seed N [--kind KIND ...]`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

HOST = "127.0.0.1"
CHUNK_BYTES = 1 << 16
DRIBBLE_MAX = 200
"""Octets that leave one by one; then the rest goes as it comes."""

KINDS = ("pass", "delay", "throttle", "cut", "reset", "corrupt", "half_close", "dribble", "stall")
UP, DOWN = "up", "down"  # towards the target, and back

Pair: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one direction of one connection once `at_bytes` octets have passed.

    delay: every chunk waits seconds. throttle: at most `rate` octets/s. cut, reset: both directions end,
    by FIN or by RST. corrupt: one bit of the next octet is turned. half_close: this direction ends, the other
    goes on. dribble: octet by octet. stall: nothing passes any more, nothing is closed.
    """

    kind: str
    direction: str = UP
    at_bytes: int = 0
    seconds: float = 0.0
    rate: int = 0


@dataclass(slots=True)
class Plan:
    """Which fault the n-th connection (from 1) meets.

    at_bytes_max: the place is drawn below it, evenly over its magnitudes, so that heads are met as often as
    bodies. fixed: this one for every connection, instead of drawing.
    """

    seed: int
    kinds: Sequence[str] = KINDS
    directions: Sequence[str] = (UP, DOWN)
    at_bytes_max: int = 1 << 20
    delay_s: float = 0.02
    rate: int = 1 << 18
    fixed: Fault | None = None

    def fault(self, number: int) -> Fault:
        """Return the fault of a connection; the same for the same seed and number."""
        if self.fixed is not None:
            return self.fixed
        draw = random.Random(f"{self.seed}-{number}")
        return Fault(
            draw.choice(list(self.kinds)),
            draw.choice(list(self.directions)),
            int(self.at_bytes_max ** draw.random()) - 1,
            self.delay_s * draw.random(),
            int(self.rate * (0.1 + draw.random())),
        )


@dataclass(slots=True)
class ChaosProxy:
    """A running relay. target: may be changed; it is for connections to come."""

    plan: Plan
    target: int
    port: int = 0
    done: list[tuple[int, Fault]] = field(default_factory=list)
    _connections: int = 0
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    def describe(self) -> str:
        """Say what was done and how to do it again."""
        faults = "; ".join(
            f"{n}: {f.kind} {f.direction} at {f.at_bytes}" for n, f in self.done if f.kind != "pass"
        )
        return f"seed {self.plan.seed}, {self._connections} connections; {faults}"

    def calm(self) -> None:
        """From now on new connections meet no fault."""
        self.plan = replace(self.plan, fixed=Fault("pass"))

    def drop_all(self) -> None:
        """End every open connection, the stalled ones too."""
        assert self._loop is not None

        def cancel() -> None:
            for task in list(self._open):
                task.cancel()

        self._loop.call_soon_threadsafe(cancel)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection."""
        self._connections += 1
        number, fault = self._connections, self.plan.fault(self._connections)
        self.done.append((number, fault))
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        writers = [writer]
        try:
            there = await asyncio.open_connection(HOST, self.target)
            writers.append(there[1])
            await self._relay((reader, writer), there, fault)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            for one in writers:
                one.close()

    async def _relay(self, here: Pair, there: Pair, fault: Fault) -> None:
        ways = [
            asyncio.ensure_future(pump(here[0], there[1], fault if fault.direction == UP else None)),
            asyncio.ensure_future(pump(there[0], here[1], fault if fault.direction == DOWN else None)),
        ]
        try:
            for way in asyncio.as_completed(ways):
                if await way in {"cut", "reset"}:
                    break
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if fault.kind == "reset":
            for _, writer in (here, there):
                reset(writer)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None) -> str:
    """Carry one direction to its end; return what ended it: "end", or the kind of the fault."""
    fault = fault or Fault("pass")
    passed = dribbled = 0
    bent = False
    while chunk := await reader.read(CHUNK_BYTES):
        if passed + len(chunk) <= fault.at_bytes or fault.kind == "pass":
            await _write(writer, chunk)
            passed += len(chunk)
            continue
        sound = max(0, fault.at_bytes - passed)
        head, rest = chunk[:sound], chunk[sound:]
        passed += len(chunk)
        await _write(writer, head)
        match fault.kind:
            case "delay":
                await asyncio.sleep(fault.seconds)
            case "throttle":
                await asyncio.sleep(len(rest) / fault.rate)
            case "cut" | "reset":
                return fault.kind
            case "half_close":
                if writer.can_write_eof():
                    writer.write_eof()
                return fault.kind
            case "stall":
                await asyncio.Event().wait()
            case "corrupt" if not bent:
                bent = True
                rest = bytes([rest[0] ^ 1 << fault.at_bytes % 8]) + rest[1:]
            case "dribble":
                while rest and dribbled < DRIBBLE_MAX:
                    await _write(writer, rest[:1])
                    await asyncio.sleep(0)
                    rest, dribbled = rest[1:], dribbled + 1
        await _write(writer, rest)
    if writer.can_write_eof():
        writer.write_eof()
    return "end"


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if data:
        writer.write(data)
        await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the peer sees a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def chaos_proxy(target: int, plan: Plan, port: int = 0) -> Iterator[ChaosProxy]:
    """Run a relay to a loopback port on a thread of its own for the length of a `with` block."""
    proxy = ChaosProxy(plan, target)
    started = threading.Event()
    stop: list[asyncio.Event] = []

    async def run() -> None:
        proxy._loop = asyncio.get_running_loop()
        stop.append(asyncio.Event())
        server = await asyncio.start_server(proxy.serve, HOST, port)
        for sock in server.sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        proxy.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop[0].wait()
        server.close()
        for task in list(proxy._open):
            task.cancel()
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="chaos-proxy", daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the chaos proxy did not start")
    try:
        yield proxy
    finally:
        assert proxy._loop is not None
        proxy._loop.call_soon_threadsafe(stop[0].set)
        thread.join(10)


def main() -> None:
    """Relay until interrupted; say what was done at the end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("port", type=int)
    parser.add_argument("target", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=KINDS)
    options = parser.parse_args()
    with chaos_proxy(options.target, Plan(options.seed, options.kind or KINDS), options.port) as proxy:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(proxy.describe(), file=sys.stderr)


if __name__ == "__main__":
    main()
