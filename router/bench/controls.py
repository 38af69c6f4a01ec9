"""Sink and sender as child processes: started, spoken to by their words, their reports read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.bench.process import PeerFailed, PeerProcess, peer_process
from router.bench.work import Work

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2])}
"""So that the programs run from this copy of the package, whatever the working directory is."""

Told = Callable[[dict[str, Any]], None]
"""Is given each progress line of a sender: elapsed_s, answered, failed, associations."""


@dataclass(slots=True)
class SinkControl:
    """A running sink."""

    port: int
    peer: PeerProcess

    def ask(self, word: str) -> dict[str, Any]:
        """Say a word; return the sink's report."""
        stdin = self.peer.process.stdin
        assert stdin is not None
        stdin.write(word.encode() + b"\n")
        stdin.flush()
        return _line(self.peer)

    @classmethod
    @contextmanager
    def start(
        cls, words: Sequence[str], directory: Path, port: int = 0, name: str = "sink"
    ) -> Iterator[SinkControl]:
        """Run a sink; words: its options."""
        command = [sys.executable, "-m", "router.bench.sink", str(port), *words]
        with peer_process(
            name,
            command,
            directory,
            environment=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as peer:
            yield cls(_line(peer)["port"], peer)


def run_sender(
    address: tuple[str, int],
    work: Work,
    directory: Path,
    *,
    run: int = 0,
    told: Told | None = None,
    tick_s: float = 0.5,
) -> dict[str, Any]:
    """Run the sender to its end; return its report. Raises PeerFailed if it could not send at all."""
    command = [sys.executable, "-m", "router.bench.sender", str(address[1]), "--host", address[0]]
    command += ["--run", str(run), "--tick", str(tick_s if told else 0.0), *work.words()]
    with peer_process("sender", command, directory, environment=ENVIRONMENT, stdout=subprocess.PIPE) as peer:
        while True:
            found = _line(peer)
            if "answered" in found and "statuses" in found:
                return found
            if told is not None:
                told(found)


def _line(peer: PeerProcess) -> dict[str, Any]:
    stdout = peer.process.stdout
    assert stdout is not None
    line = stdout.readline()
    if not line:
        raise PeerFailed(f"the {peer.name} has ended: {peer.log().strip()}")
    found: dict[str, Any] = json.loads(line)
    return found
