"""Starting pynetdicom's SCP and SCU, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.process import REPOSITORY, free_port, peer_process
from tests.support.corpus import Instance
from tests.support.fast_peers import FastSink, flags, write_list
from tests.support.ledger import Sent, read_sent

SEND_DEADLINE_S = 100.0


@contextmanager
def pynetdicom_scp(directory: Path, name: str = "pynetdicom", **options: object) -> Iterator[FastSink]:
    """Run the SCP; options are those of `pynetdicom_scp`'s command line, with underscores."""
    port, records = free_port(), directory / f"{name}.records.jsonl"
    command = [sys.executable, "-m", "tests.support.pynetdicom_scp", str(port), str(records), *flags(options)]
    with peer_process(name, command, directory, environment={"PYTHONPATH": str(REPOSITORY)}) as peer:
        peer.wait_listening(port)
        yield FastSink(port, records, peer)


def pynetdicom_send(directory: Path, port: int, files: Iterable[Instance]) -> list[Sent]:
    """Send files with the SCU; return what it was told."""
    work, records = directory / "scu.files.jsonl", directory / "scu.records.jsonl"
    write_list(work, files)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.pynetdicom_scu", str(port), str(work), str(records)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=SEND_DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return read_sent(records)
