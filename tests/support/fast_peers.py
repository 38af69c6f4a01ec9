"""Starting and stopping the fast sender and sink, and waiting for what they record."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.process import REPOSITORY, PeerFailed, PeerProcess, free_port, peer_process
from tests.support.corpus import Instance
from tests.support.ledger import Received, Sent, read_received, read_sent

POLL_S = 0.05
WAIT_S = 60.0


@dataclass(slots=True)
class FastSink:
    """A running sink: where it listens and what it has recorded."""

    port: int
    records: Path
    peer: PeerProcess

    def received(self) -> list[Received]:
        """Return everything recorded so far, in order."""
        return read_received(self.records)

    def taken(self) -> list[Received]:
        """Return what was answered with success."""
        return [record for record in self.received() if record.status == 0]

    def wait_for(self, count: int, deadline_s: float = WAIT_S) -> list[Received]:
        """Wait until so many distinct instances were taken."""
        wait_until(
            lambda: len({record.uid for record in self.taken()}) >= count, deadline_s, self.describe(count)
        )
        return self.taken()

    def wait_for_uids(self, uids: set[str], deadline_s: float = WAIT_S) -> None:
        """Wait until each of these instances was taken at least once."""
        missing = set(uids)

        def all_here() -> bool:
            missing.difference_update([record.uid for record in self.taken()])
            return not missing

        wait_until(
            all_here, deadline_s, lambda: f"{len(missing)} of {len(uids)} have not reached {self.peer.name}"
        )

    def endings(self) -> dict[int, str]:
        """Return association number -> `released`, `aborted` or `closed`, of all that have ended."""
        words = (line.split() for line in self.peer.log_path.read_text().splitlines())
        return {int(line[1]): line[2] for line in words if line[0] == "association"}

    def describe(self, count: int) -> Callable[[], str]:
        """Make the text for a wait that was in vain."""
        return lambda: f"{len({r.uid for r in self.taken()})} of {count} instances reached {self.peer.name}"


UNLIMITED = 1 << 40


@dataclass(slots=True)
class FastSender:
    """A running sender and what it has been told. allowance: where it looks how many it may send."""

    records: Path
    peer: PeerProcess
    allowance: Path | None = None

    def allow(self, count: int | None) -> None:
        """Let it send so many instances in all; None: all it has, and end."""
        assert self.allowance is not None
        write_whole(self.allowance, str(UNLIMITED if count is None else count))

    def sent(self) -> list[Sent]:
        """Return every finished attempt so far."""
        return read_sent(self.records)

    def acknowledged(self) -> int:
        """Count the attempts that were answered with success."""
        return sum(attempt.acknowledged for attempt in self.sent())

    def wait_acknowledged(self, count: int, deadline_s: float = WAIT_S) -> None:
        """Wait until so many instances are acknowledged."""
        wait_until(
            lambda: self.acknowledged() >= count,
            deadline_s,
            lambda: f"{self.acknowledged()} of {count} acknowledged",
        )

    def finish(self, deadline_s: float = WAIT_S) -> list[Sent]:
        """Wait until the sender has ended; return all attempts."""
        wait_until(
            lambda: self.peer.process.poll() is not None,
            deadline_s,
            lambda: f"the sender is still busy: {len(self.sent())} attempts\n{self.peer.log()}",
        )
        return self.sent()


@contextmanager
def fast_sink(
    directory: Path, name: str = "sink", port: int | None = None, **options: object
) -> Iterator[FastSink]:
    """Run a sink; options are those of `fast_sink`'s command line, with underscores.

    A sink started again under the same name and port goes on with its record file.
    """
    port = port or free_port()
    records = directory / f"{name}.records.jsonl"
    command = [sys.executable, "-m", "tests.support.fast_sink", str(port), str(records), *flags(options)]
    with peer_process(name, command, directory, environment={"PYTHONPATH": str(REPOSITORY)}) as peer:
        peer.wait_listening(port)
        yield FastSink(port, records, peer)


@contextmanager
def fast_sender(
    directory: Path,
    port: int,
    name: str = "sender",
    files: Iterable[Instance] | None = None,
    allowed: int | None = None,
    **options: object,
) -> Iterator[FastSender]:
    """Run a sender in the background; options are those of `fast_sender`'s command line, with underscores.

    allowed: how many it may send before FastSender.allow() is called; None: all it has.
    """
    directory.mkdir(parents=True, exist_ok=True)
    records = directory / f"{name}.records.jsonl"
    command = [sys.executable, "-m", "tests.support.fast_sender", str(port), str(records), *flags(options)]
    if files is not None:
        command += ["--files", str(write_list(directory / f"{name}.files.jsonl", files))]
    allowance = None
    if allowed is not None:
        allowance = directory / f"{name}.allowance"
        write_whole(allowance, str(allowed))
        command += ["--allowance", str(allowance)]
    with peer_process(name, command, directory, environment={"PYTHONPATH": str(REPOSITORY)}) as peer:
        yield FastSender(records, peer, allowance)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it meanwhile gets the old text or the new one."""
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(text)
    partial.replace(path)


def send_all(
    directory: Path,
    port: int,
    name: str = "sender",
    files: Iterable[Instance] | None = None,
    deadline_s: float = WAIT_S,
    **options: object,
) -> list[Sent]:
    """Send and wait for the end; return all attempts."""
    with fast_sender(directory, port, name, files, **options) as sender:
        return sender.finish(deadline_s)


def wait_until(condition: Callable[[], bool], deadline_s: float, what: Callable[[], str]) -> None:
    """Poll a condition; raise PeerFailed with the text of `what` when the deadline has passed."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise PeerFailed(f"after {deadline_s} s: {what()}")
        time.sleep(POLL_S)


def flags(options: dict[str, object]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if name == "reject" and isinstance(value, tuple):
            flags += [flag, *map(str, value)]
        elif isinstance(value, (list, tuple)):
            for part in value:
                flags += [flag, str(part)]
        elif value is not None:
            flags += [flag, str(value)]
    return flags


def write_list(path: Path, files: Iterable[Instance]) -> Path:
    lines = (
        json.dumps(
            {
                "path": str(instance.path),
                "dataset_offset": instance.dataset_offset,
                "sop_class": instance.sop_class,
                "sop_instance": instance.sop_instance,
                "transfer_syntax": instance.transfer_syntax,
            }
        )
        for instance in files
    )
    path.write_text("\n".join(lines))
    return path
