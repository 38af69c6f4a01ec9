"""Very many associations at once, and a flood of connections from a caller that nobody knows.

As a program it is the flood itself: `python -m tests.system.floods PORT RATE SECONDS`, or `PORT hold COUNT`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from benchmarks.peers.process import HOST, REPOSITORY, PeerFailed, PeerProcess, peer_process
from router.bench import wire
from tests.support.fast_peers import wait_until
from tests.system.bad_network import IMPLICIT_VR, honest_echoes
from tests.system.stand import Outcome, stand

OPEN_AT_ONCE = 50
HELD = "held"
STRANGER = "STRANGER"
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 6))
"""Of the flood: not the honest peer's, whose SYN would now and then meet the remains of a connection of the
flood under the same port, and wait a second; and several, since one has 28,000 ports."""
KNOWN: dict[str, object] = {"KNOWN": {"calling_ae_titles": ["ONE", "TWO", "HONEST"]}}


def many_associations(directory: Path, count: int, active: int, seconds: float) -> Outcome:
    """Hold so many associations open through two acceptors while some of them and others send."""
    router = {"acceptors": 2, "associations_max": count + 4 * active, "idle_s": 3600}
    with stand(directory, router=router) as here:
        with _flood(directory, here.router.port, "hold", str(count)) as flood:
            wait_until(lambda: HELD in flood.log(), 120, lambda: f"not all are open: {flood.log()}")
            with honest_echoes(here) as echoes:
                stop = here.load(associations=active // 2, pause_s=0.02)
                time.sleep(seconds)
            open_now = here.router.metric("dicom_router_inbound_associations_open")
            if open_now < count:
                raise PeerFailed(f"{open_now:g} of {count} associations are open\n{here.router.log()}")
            outcome = here.settle("many associations", stop, count)
        here.router.stop()
        outcome.note = f"{active} active; {len(echoes)} honest C-ECHOs, the slowest {max(echoes):.2f} s"
        return outcome


def unknown_flood(directory: Path, rate: int, seconds: float) -> Outcome:
    """Let a caller nobody knows connect `rate` times a second; known ones are served all the while."""
    with stand(directory, sources=KNOWN) as here:
        port = here.router.port
        with honest_echoes(here) as echoes, _flood(directory, port, str(rate), str(seconds)) as flood:
            stop = here.load(pause_s=0.01)
            wait_until(lambda: flood.process.poll() is not None, seconds + 60, flood.log)
        told = json.loads(flood.log().splitlines()[-1])
        outcome = here.settle("flood of an unknown caller", stop, told["connected"])
        here.router.stop()
        if told["accepted"]:
            raise PeerFailed(f"the unknown caller was accepted: {told}")
        outcome.note = (
            f"{told['rejected']} rejected in {told['seconds']:.0f} s; "
            f"{len(echoes)} honest C-ECHOs, the slowest {max(echoes):.2f} s"
        )
        return outcome


def _flood(directory: Path, port: int, *words: str) -> AbstractContextManager[PeerProcess]:
    command = [sys.executable, "-m", "tests.system.floods", str(port), *words]
    return peer_process("flood", command, directory, environment={"PYTHONPATH": str(REPOSITORY)})


async def hold(port: int, count: int) -> None:
    """Open so many associations and hold them until terminated."""
    gate = asyncio.Semaphore(OPEN_AT_ONCE)

    async def open_one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(_request("ONE"))
            answer = await reader.readexactly(1)
            if answer[0] != wire.ASSOCIATE_AC:
                raise PeerFailed(f"PDU type {answer[0]} in place of an A-ASSOCIATE-AC")
            return reader, writer

    held = await asyncio.gather(*(open_one() for _ in range(count)))
    print(HELD, len(held), flush=True)
    await asyncio.Event().wait()


async def flood(port: int, rate: int, seconds: float) -> None:
    """Connect and ask for an association `rate` times a second; say what came of it."""
    told = {"connected": 0, "accepted": 0, "rejected": 0, "seconds": 0.0}
    request = _request(STRANGER)

    async def knock(address: str) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=(address, 0))
            told["connected"] += 1
            writer.write(request)
            try:
                answer = await asyncio.wait_for(reader.readexactly(1), 10)
                told["accepted"] += answer[0] == wire.ASSOCIATE_AC
                told["rejected"] += answer[0] == wire.ASSOCIATE_RJ
            except TimeoutError:
                pass
            finally:
                writer.close()

    began = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()
    number = 0
    while (now := time.monotonic() - began) < seconds:
        while number < now * rate:
            tasks.add(task := asyncio.create_task(knock(ADDRESSES[number % len(ADDRESSES)])))
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.sleep(0.002)
    told["seconds"] = time.monotonic() - began
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(told), flush=True)


def _request(calling: str) -> bytes:
    return wire.associate_rq("ROUTER", calling, [(1, wire.VERIFICATION, [IMPLICIT_VR])])


def main() -> None:
    """Run as the command line says."""
    port, what, how_much = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    if what == "hold":
        asyncio.run(hold(port, int(how_much)))
    else:
        asyncio.run(flood(port, int(what), float(how_much)))


if __name__ == "__main__":
    main()
