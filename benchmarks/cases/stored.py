"""Question: what does the promise of stable storage cost, on a real disk?

Method: 2 kB objects over 16 associations, `stored` beside `delivered` in paired rounds. For CTs: the
router's rate beside a plain writer that appends the same datasets to a new file and calls fdatasync as
often as the router did, in turn. What would make it lie: a spool directory on a RAM disk (--directory), a
disk with a volatile cache, and other writers; the plain writer shares the machine with nobody, the router
with sender and sink. A disk whose owner limits it after a burst (seen: 1.2 GB, then 300 MB/s) limits whoever
comes second more: each has a rest before it, and a --duration of a second keeps both within the burst.
"""

from __future__ import annotations

import os
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from benchmarks.cases.case import Options, Row, compare, median_and_noise, rates_text, ratio, work_of
from benchmarks.peers.relays import RELAYS
from router.bench.controls import SinkControl
from router.bench.instances import template
from router.bench.measure import measure
from router.bench.process import HOST
from router.bench.router_relay import RouterSetup, router_relay

NAME = "stored"
GROUP_COUNT = "dicom_router_group_size_count"
REST_S = 6.0  # for a disk that was limited to be itself again
GROUP_SUM = "dicom_router_group_size_sum"


def run(options: Options) -> list[Row]:
    """Measure both."""
    names = ("router-delivered", "router-stored")
    results = compare(
        {name: RELAYS[name] for name in names}, work_of("small", options, associations=16), options
    )
    value, noise = ratio(results, "router-stored", "router-delivered")
    small = Row(
        "2 kB, 16 associations, stored on disk, of delivered",
        value,
        "",
        (">=", 0.5),
        noise,
        rates_text(results),
    )
    return [small, _ct(options)]


def _ct(options: Options) -> Row:
    """Measure CTs stored by the router beside the plain writer."""
    shares, told, work = [], "", work_of("ct", options)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.directory)))
        sink = stack.enter_context(SinkControl.start(work.kind_words(), directory))
        router = stack.enter_context(router_relay(RouterSetup("stored"), [sink.port], directory))
        for round_number in range(options.rounds + 1):
            time.sleep(REST_S)
            before = group_sizes(router.admin_port)
            one = measure(router, [sink], work, round_number + 1, directory)
            syncs, instances = (b - a for a, b in zip(before, group_sizes(router.admin_port), strict=True))
            batch = max(1.0, instances / max(1.0, syncs))
            time.sleep(REST_S)
            plain = write_plainly(directory / "plain", batch, options.duration)
            told = f"router {one.rate:,.0f}/s, plain writer {plain:,.0f}/s in batches of {batch:.1f}"
            options.say(f"  round {round_number} CT stored: {told}")
            if round_number:
                shares.append(one.rate / plain)
    value, noise = median_and_noise(shares)
    return Row(
        "CT, stored on disk, of a plain writer with as many fdatasync", value, "", (">=", 0.85), noise, told
    )


def group_sizes(admin_port: int) -> tuple[float, float]:
    """Return how many syncs there were, and how many instances they made durable."""
    with urllib.request.urlopen(f"http://{HOST}:{admin_port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return tuple(
        sum(float(line.split()[-1]) for line in lines if line.startswith(name))
        for name in (GROUP_COUNT, GROUP_SUM)
    )  # type: ignore[return-value]


def write_plainly(path: Path, batch: float, duration_s: float) -> float:
    """Append CTs to a new file, each batch followed by fdatasync; return instances/s."""
    dataset = template("ct").dataset
    written, synced = 0, 0.0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        began = time.monotonic()
        while time.monotonic() - began < duration_s:
            os.write(descriptor, dataset)
            written += 1
            if written - synced >= batch:
                os.fdatasync(descriptor)
                synced += batch
        os.fdatasync(descriptor)
        return written / (time.monotonic() - began)
    finally:
        os.close(descriptor)
        path.unlink()
