"""Spools that the tests of recovery damage."""

from __future__ import annotations

import os
from pathlib import Path

from router.spool.layout import WorkerDirectory
from router.spool.scan import BadStretch, SegmentScan, Sound

from .spool_fixtures import (
    DEADLINE_S,
    append,
    crash,
    directory_at,
    writer_at,
)

ALL = [f"1.2.3.{number}" for number in range(6)]


def written(tmp_path: Path, *, marked: int = 0, unmarked: int = 0) -> WorkerDirectory:
    """Return a directory with so many records before a marker and so many after it, as a crash leaves it."""
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    for number in range(marked):
        append(writer, number)
    if marked:
        assert writer.flush(DEADLINE_S)
        writer.take_durable()
    for number in range(marked, marked + unmarked):
        append(writer, number)
    if unmarked:
        assert writer.flush(DEADLINE_S)
    crash(writer)
    return directory


def records(directory: WorkerDirectory) -> list[Sound | BadStretch]:
    return list(SegmentScan(directory.segment_path(1), 1))


def forget_ledger(directory: WorkerDirectory) -> None:
    for name in os.listdir(directory.root):
        if name.startswith("ledger"):
            (directory.root / name).unlink()


def flip(path: Path, offset: int, bit: int = 0) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        octet = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([octet ^ (1 << bit)]))


def rotated(tmp_path: Path) -> WorkerDirectory:
    """Return a directory with several closed segments of twelve records each, all before a marker."""
    directory = directory_at(tmp_path)
    writer = writer_at(directory)
    for number in range(60):
        append(writer, number, 20_000)
        writer.sync_soon()
        writer.take_durable()
    writer.close()
    return directory
