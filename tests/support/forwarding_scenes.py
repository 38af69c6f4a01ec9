"""Scenes played before a worker with its lanes and without them: what comes of it must be the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from router.drivers.connection import Connection
from tests.support.forwarding_world import World, world
from tests.support.scripted_scp import Message, Peer, ScriptedAcceptor, run, scripted_acceptor

Scene = Callable[[World, dict[str, ScriptedAcceptor]], Awaitable[None]]


def outcome(
    tmp_path: Path, use_lane: bool, scene: Scene, scripts: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """Play a scene; return what came of it."""
    found: dict[str, Any] = {}

    async def play() -> None:
        async with AsyncExitStack() as stack:
            peers = {
                name: await stack.enter_async_context(scripted_acceptor(script))
                for name, script in scripts.items()
            }
            ports = {name: peer.port for name, peer in peers.items()}
            folder = tmp_path / ("lane" if use_lane else "general")
            one = await stack.enter_async_context(world(folder, ports, use_lane, **changes))
            await scene(one, peers)
            await one.at_rest()
            found["statuses"] = one.statuses
            found["comments"] = [told[0].comment for told in one.receipts]
            found["in lane"] = one.in_lane
            for name, peer in peers.items():
                found[name] = peer.uids()
                found[f"octets {name}"] = sorted(message.dataset for message in peer.messages)
                found[f"counted {name}"] = one.counted(name)

    run(play())
    return found


def both(tmp_path: Path, scene: Scene, scripts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Play a scene both ways; what comes of it must be the same. Return it, as of the lane."""
    general = outcome(tmp_path, False, scene, scripts, **changes)
    lane = outcome(tmp_path, True, scene, scripts, **changes)
    assert general.pop("in lane") == 0
    in_lane = lane.pop("in lane")
    assert lane == general
    return {**lane, "in lane": in_lane}


def answering(status_of: Callable[[Message], int | None], window: int = 1) -> Any:
    """A destination that answers with what status_of says."""

    async def script(peer: Peer) -> None:
        await peer.accept(window)
        await peer.serve(status_of)

    return script


async def one_by_one(one: World, uids: list[str], **changes: Any) -> None:
    """Send instances, each when the one before is answered."""
    for uid in uids:
        one.submit(uid, **changes)
        await one.answered()


def busy_connections(monkeypatch: pytest.MonkeyPatch) -> set[Connection]:
    """Return a set of connections that have octets unsent as long as they are in it."""
    busy: set[Connection] = set()
    original = Connection.has_unsent
    monkeypatch.setattr("router.drivers.connection.Reception", None)  # which asks by itself
    monkeypatch.setattr(Connection, "has_unsent", lambda self: self in busy or original(self))
    return busy


async def falling(peer: Peer) -> None:
    """A destination that falls in the middle of the fourth instance, once, and serves from then on."""
    await peer.accept()
    if peer.number:
        await peer.serve()
    for _ in range(0 if peer.number else 3):
        message = await peer.read_message()
        assert message is not None
        peer.respond(message)
    await peer.read_message()  # and falls
