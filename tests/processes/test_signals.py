from __future__ import annotations

import asyncio
import os
import signal

from router.processes.signals import (
    handle_child_signals,
    handle_supervisor_signals,
    release_supervisor_signals,
)


def test_each_signal_of_the_supervisor_has_its_meaning() -> None:
    async def scenario() -> list[str]:
        seen: asyncio.Queue[str] = asyncio.Queue()
        handle_supervisor_signals(
            lambda number: seen.put_nowait(number.name), lambda: seen.put_nowait("reload")
        )
        got = []
        async with asyncio.timeout(10):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                os.kill(os.getpid(), number)
                got.append(await seen.get())
        release_supervisor_signals()
        return got

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        assert asyncio.run(scenario()) == ["SIGTERM", "SIGINT", "reload"]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_sigterm_asks_a_child_to_drain() -> None:
    async def scenario() -> None:
        asked = asyncio.Event()
        handle_child_signals(asked.set)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await asked.wait()

    asyncio.run(scenario())
