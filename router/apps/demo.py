"""`dicom-router demo`: a router, two archives, a study, a crash; and where everything ended up, in a minute.

Everything runs on free loopback ports in a temporary folder, which is removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from router.apps.local_peers import LocalArchive, send_files
from router.apps.part10 import NotPart10, Part10File, open_part10
from router.drivers.event_loop import EventLoopDriver
from router.errors import RouterError
from router.routing.attributes import read_attributes
from router.routing.wanted import Wanted
from router.standard.sop_classes import is_storage, service_of

READY_S = 30.0
ARRIVE_S = 60.0
STOP_S = 20.0
LOG_TAIL_CHARACTERS = 2000
SOP_CLASS_UID, SOP_INSTANCE_UID, MODALITY = 0x00080016, 0x00080018, 0x00080060

CONFIG = """\
[router]
ae_title = "DEMO"
drain_s = 5.0
[listener]
host = "127.0.0.1"
port = 0
[admin]
host = "127.0.0.1"
port = 0
[spool]
path = {spool}
[log]
level = "warning"
[destinations.ARCHIVE]
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive}
retry_first_s = 0.2
retry_max_s = 1.0
[destinations.RADIOLOGY]
ae_title = "RADIOLOGY"
host = "127.0.0.1"
port = {radiology}
retry_first_s = 0.2
retry_max_s = 1.0
[[rules]]
name = "everything to the archive"
to = ["ARCHIVE"]
[[rules]]
name = "CT and MR to radiology as well"
when = {{ Modality = ["CT", "MR"] }}
to = ["RADIOLOGY"]
"""


class DemoFailed(RouterError):
    """The demonstration could not go on; the text says where."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One of pydicom's test files that can be sent."""

    file: Part10File
    digest: bytes
    modality: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("--keep-running", action="store_true", help="keep the router up until Ctrl-C")
    parser.add_argument("--no-crash", action="store_true", help="leave out the kill -9 in the middle")


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; 0 if everything arrived unchanged."""
    console = Console(highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="dicom-router-demo-") as folder:
            return uvloop.run(_demonstrate(console, Path(folder), args))
    except DemoFailed as error:
        console.print(f"[red]demo failed:[/red] {error}")
        return 1


async def _demonstrate(console: Console, folder: Path, args: argparse.Namespace) -> int:
    samples = load_samples()
    driver = EventLoopDriver(asyncio.get_running_loop())
    driver.start()
    archives = [LocalArchive(driver, "ARCHIVE"), LocalArchive(driver, "RADIOLOGY")]
    for archive in archives:
        await archive.start()
    config = folder / "router.toml"
    config.write_text(
        CONFIG.format(
            spool=json.dumps(str(folder / "spool")), archive=archives[0].port, radiology=archives[1].port
        )
    )
    demo = _Demo(console, driver, config, folder, archives, samples)
    try:
        return await demo.play(crash=not args.no_crash, keep_running=args.keep_running)
    finally:
        demo.end()
        for archive in archives:
            await archive.stop()
        driver.stop()


class _Demo:
    """The play, act by act."""

    def __init__(
        self,
        console: Console,
        driver: EventLoopDriver,
        config: Path,
        folder: Path,
        archives: list[LocalArchive],
        samples: list[Sample],
    ) -> None:
        self._console = console
        self._driver = driver
        self._config = config
        self._folder = folder
        self._archives = archives
        self._samples = samples
        self._process: subprocess.Popen[bytes] | None = None
        self._owed = [
            {sample.file.sop_instance: sample.digest for sample in samples},
            {s.file.sop_instance: s.digest for s in samples if s.modality in ("CT", "MR")},
        ]

    async def play(self, *, crash: bool, keep_running: bool) -> int:
        """Send everything, with a crash in the middle; return the exit code."""
        say = self._console.print
        started = monotonic()
        run = await self._start_router()
        up_s = monotonic() - started
        say(f"router up in {up_s:.2f} s: DICOM on {run['listener']}, admin on {run['admin']}")
        middle = len(self._samples) // 2
        sending_s = await self._send(run, self._samples[:middle])
        if crash:
            await self._archives[1].stop()
            say("archive RADIOLOGY goes down; the router goes on acknowledging")
        sending_s += await self._send(run, self._samples[middle:])
        if crash:
            self._kill_all()
            say("[bold]kill -9[/bold] of every router process, while RADIOLOGY is still owed images")
            run = await self._start_router()
            await self._archives[1].start()
            say("router started again; RADIOLOGY is back")
        arrived_s = await self._until_arrived()
        self._report(run, sending_s, arrived_s)
        if keep_running:
            say("running until Ctrl-C")
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await self._stop_router()
        return 0 if self._is_complete() else 1

    def end(self) -> None:
        """Leave no process behind."""
        if self._process is not None and self._process.poll() is None:
            self._kill_all()

    async def _start_router(self) -> dict[str, Any]:
        run_file = self._folder / "spool" / "run.json"
        run_file.unlink(missing_ok=True)
        log_path = self._folder / "router.log"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "router", "serve", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = monotonic() + READY_S
        while not run_file.exists():
            if self._process.poll() is not None or monotonic() > deadline:
                tail = log_path.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
                raise DemoFailed(f"the router did not start:\n{tail}")
            await asyncio.sleep(0.02)
        run: dict[str, Any] = json.loads(run_file.read_text())
        return run

    async def _send(self, run: dict[str, Any], samples: list[Sample]) -> float:
        port = int(str(run["listener"]).rpartition(":")[2])
        columns = (
            TextColumn("sending"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("instances"),
            TimeElapsedColumn(),
        )
        started = monotonic()
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("send", total=len(samples))
            async for file, status in self._outcomes(port, samples):
                if status != 0:
                    raise DemoFailed(f"the router answered {status:04X}H to {file.sop_instance}")
                progress.advance(task)
        return monotonic() - started

    def _outcomes(self, port: int, samples: list[Sample]) -> AsyncIterator[tuple[Part10File, int]]:
        return send_files(self._driver, port, "DEMO", [sample.file for sample in samples])

    def _kill_all(self) -> None:
        """Kill the supervisor; the kernel kills its children with it (PR_SET_PDEATHSIG)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def _until_arrived(self) -> float:
        started = monotonic()
        while not self._is_complete() and monotonic() - started < ARRIVE_S:
            await asyncio.sleep(0.02)
        return monotonic() - started

    def _is_complete(self) -> bool:
        return all(
            archive.holds(owed) == len(owed) for archive, owed in zip(self._archives, self._owed, strict=True)
        )

    def _report(self, run: dict[str, Any], sending_s: float, arrived_s: float) -> None:
        table = Table(title="what arrived where")
        for column in ("destination", "owed", "arrived unchanged", "sent twice", "bytes"):
            table.add_column(column, justify="left" if column == "destination" else "right")
        sizes = {sample.file.sop_instance: len(sample.file.dataset) for sample in self._samples}
        for archive, owed in zip(self._archives, self._owed, strict=True):
            table.add_row(
                archive.ae_title,
                str(len(owed)),
                str(archive.holds(owed)),
                str(len(archive.arrivals) - len({arrival.sop_instance for arrival in archive.arrivals})),
                f"{sum(sizes[uid] for uid in owed):,}",
            )
        self._console.print(table)
        count, size = len(self._samples), sum(sizes.values())
        syntaxes = len({sample.file.transfer_syntax for sample in self._samples})
        self._console.print(
            f"{count} instances ({size / 1e6:.1f} MB, {syntaxes} transfer syntaxes) acknowledged in "
            f"{sending_s:.2f} s: {count / sending_s:.0f} instances/s on one association, each on disk before "
            f"its answer; the last arrived {arrived_s:.2f} s after the end"
        )
        self._console.print(f"metrics: http://{run['admin']}/metrics (--keep-running leaves the router up)")

    async def _stop_router(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            await asyncio.wait_for(asyncio.to_thread(self._process.wait), STOP_S)
        except TimeoutError:
            self._kill_all()


def load_samples() -> list[Sample]:
    """Return pydicom's own test files that carry a storage SOP class, each SOP Instance UID once."""
    from pydicom.data import get_testdata_files  # slow to import: only this command pays

    samples: dict[str, Sample] = {}
    for path in sorted(get_testdata_files()):
        with contextlib.suppress(NotPart10, OSError, ValueError):
            sample = _sample(path)
            service = service_of(sample.file.sop_class)
            if sample.file.sop_instance and (service is None or is_storage(sample.file.sop_class)):
                samples.setdefault(sample.file.sop_instance, sample)
    return list(samples.values())


def _sample(path: str) -> Sample:
    """Read a file as a storage SCU does: the dataset's own UIDs count, not those of the file head."""
    file = open_part10(path)
    wanted = Wanted.of({SOP_CLASS_UID: "UI", SOP_INSTANCE_UID: "UI", MODALITY: "CS"})
    found = read_attributes([file.dataset], file.transfer_syntax, wanted)
    own = replace(
        file,
        sop_class=found.get(SOP_CLASS_UID, ("",))[0] or file.sop_class,
        sop_instance=found.get(SOP_INSTANCE_UID, ("",))[0] or file.sop_instance,
    )
    return Sample(own, hashlib.sha256(file.dataset).digest(), found.get(MODALITY, ("",))[0])
