"""Taking over what absent workers left: large objects go from folder to folder under names of their own."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from router.processes.adoption import _store
from router.spool.disk import Disk
from router.spool.layout import incoming_directory, worker_directory
from router.spool.spool import SpoolSettings, open_spool
from router.spool.writer_settings import SEGMENT_BYTES_MIN, WriterSettings
from tests.spool.spool_fixtures import DEADLINE_S, dataset_of, record_of

LARGE = SEGMENT_BYTES_MIN // 2
SETTINGS = SpoolSettings(WriterSettings(segment_bytes=SEGMENT_BYTES_MIN))


class TidiesLate(Disk):
    """Removes what a commit has done with only while the next object is being linked; then both go on."""

    def __init__(self) -> None:
        super().__init__()
        self.is_linked = threading.Event()
        self.is_removed = threading.Event()
        self.links = 0

    def link(self, source: Path, target: Path) -> None:
        self.links += 1
        if self.links == 2:
            self.is_linked.set()
            assert self.is_removed.wait(DEADLINE_S)
        super().link(source, target)

    def unlink(self, path: Path) -> None:
        is_source = path.parent.name == "incoming"
        if is_source:
            assert self.is_linked.wait(DEADLINE_S)
        super().unlink(path)
        if is_source:
            self.is_removed.set()


def test_a_large_object_is_not_lost_to_the_tidying_after_the_one_before(tmp_path: Path) -> None:
    """As where two absent workers had objects of the same number, or an entry is held for some and not for
    others."""
    incoming_directory(tmp_path).mkdir()
    theirs = open_spool(worker_directory(tmp_path, 1), lambda: None, SETTINGS)
    ours = open_spool(worker_directory(tmp_path, 0), lambda: None, SETTINGS, disk := TidiesLate())
    record = record_of(1)
    _, location = theirs.writer.append(record, [dataset_of(1, LARGE)])
    assert location.file is not None
    assert theirs.writer.flush(DEADLINE_S)
    storing = SimpleNamespace(
        adopt=lambda entry: asyncio.to_thread(ours.writer.wait_durable, entry.seq, DEADLINE_S)
    )
    config = SimpleNamespace(spool=SimpleNamespace(path=str(tmp_path)))
    worker: Any = SimpleNamespace(spool=ours, config=config, handling=SimpleNamespace(storing=storing))

    async def adopt_twice() -> list[bytes]:
        entries = [await _store(worker, theirs, record, location) for _ in range(2)]
        return [b"".join(ours.payloads.open_payload(entry.location)) for entry in entries]

    try:
        assert asyncio.run(adopt_twice()) == [dataset_of(1, LARGE)] * 2
    finally:
        disk.is_linked.set()
        ours.close()
        theirs.close()
    assert not list(incoming_directory(tmp_path).iterdir())
