"""Does the library keep going where others stall, and what does it hold while nothing happens?

Question: (1) 20,000 C-STOREs over one association with an SCP that answers at once: the longest any of them
waits; (2) 2,000 associations that are open in one SCP: its memory, its threads, and how often it wakes up.
Unit: ms; MB of resident memory, threads, wake-ups (voluntary context switches of all threads) in 2 s.
Method: (1) AE.associate() with the load sink, send_c_store() of a 2 kB file, each timed; (2) an SCP in
a process of its own, as `AE.start_server` makes it, and raw sockets that associate and then say nothing.
What would make it lie: a machine so busy that processes wait for a core (1), a limit of open files (2).
Run as `python -m benchmarks.library_limits [--stores N] [--associations N]`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.library_peers.find_peers import open_idle
from benchmarks.library_peers.subject import write_instance
from benchmarks.peers.process import HOST, peer_process
from router.bench.controls import ENVIRONMENT, SinkControl
from router.bench.instances import EXPLICIT_VR_LITTLE_ENDIAN, SECONDARY_CAPTURE_STORAGE
from router.bench.wire import VERIFICATION

STORES, ASSOCIATIONS = 20_000, 2_000
QUIET_S = 2.0
SETTLE_S = 1.0
FILES_SPARE = 200


def longest_wait(count: int, directory: Path) -> tuple[int, float, float]:
    """Send an instance so often over one association; return successes, all seconds, the longest wait (s)."""
    from router import AE

    path = write_instance(directory, "small")
    ae = AE("BENCHMARK")
    ae.add_requested_context(SECONDARY_CAPTURE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN)
    with SinkControl.start(["--kind", "small"], directory) as sink, ae.associate(HOST, sink.port) as assoc:
        stored, longest_s, began = 0, 0.0, time.perf_counter()
        before = began
        for _ in range(count):
            stored += assoc.send_c_store(path).get("Status") == 0x0000
            now = time.perf_counter()
            longest_s, before = max(longest_s, now - before), now
    return stored, now - began, longest_s


def serve() -> None:
    """Be the SCP with many associations, until standard input ends."""
    from router import AE

    allow_files(ASSOCIATIONS)
    ae = AE("BENCHMARK")
    ae.maximum_associations = 2 * ASSOCIATIONS
    ae.network_timeout = None
    ae.add_supported_context(VERIFICATION)
    server = ae.start_server((HOST, 0), block=False)
    assert server is not None
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"associations": len(server.active_associations)}), flush=True)


@contextmanager
def scp(directory: Path) -> Iterator[Any]:
    """Run serve() in a process; yields its PeerProcess, whose port is set."""
    command = [sys.executable, "-m", "benchmarks.library_limits", "--serve"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with peer_process("scp", command, directory, environment=ENVIRONMENT, **pipes) as peer:
        assert peer.process.stdout is not None
        peer.port = json.loads(peer.process.stdout.readline())["port"]
        yield peer


def hold_open(count: int, directory: Path) -> dict[str, float]:
    """Keep so many associations open with an SCP; return what it holds and does meanwhile."""
    allow_files(count)
    with scp(directory) as peer:
        process = psutil.Process(peer.process.pid)
        empty = process.memory_info().rss
        opened = open_idle(peer.port, count)
        time.sleep(SETTLE_S)
        before = wake_ups(process)
        time.sleep(QUIET_S)
        found = {
            "associations": float(ask_associations(peer)),
            "resident_mb": process.memory_info().rss / 1e6,
            "empty_mb": empty / 1e6,
            "threads": float(process.num_threads()),
            "wake_ups": float(wake_ups(process) - before - 1),  # one of them is our asking
        }
        for sock in opened:
            sock.close()
    return found


def ask_associations(peer: Any) -> int:
    """Return how many associations the SCP has."""
    peer.process.stdin.write(b"?\n")
    peer.process.stdin.flush()
    count: int = json.loads(peer.process.stdout.readline())["associations"]
    return count


def wake_ups(process: psutil.Process) -> int:
    """Return how often the threads of a process have given the core away by themselves so far."""
    total = 0
    for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
        lines = status.read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def allow_files(count: int) -> None:
    """Raise the limit of open files for so many sockets. Raises RuntimeError if it cannot be so high."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + FILES_SPARE
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RuntimeError(f"{needed:,} open files are needed, {hard:,} are allowed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main() -> None:
    """Measure as the command line says and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", type=int, default=STORES)
    parser.add_argument("--associations", type=int, default=ASSOCIATIONS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    with tempfile.TemporaryDirectory(prefix="limits-") as directory:
        stored, seconds, longest_s = longest_wait(options.stores, Path(directory))
        print(f"{stored:,} of {options.stores:,} C-STOREs answered with success in {seconds:.1f} s, ", end="")
        print(f"the longest wait {longest_s * 1e3:.1f} ms")
        held = hold_open(options.associations, Path(directory))
        print(
            f"{held['associations']:,.0f} associations open: {held['resident_mb']:.0f} MB resident "
            f"({held['empty_mb']:.0f} MB before), {held['threads']:.0f} threads, "
            f"{held['wake_ups']:.0f} wake-ups in {QUIET_S:g} s"
        )


if __name__ == "__main__":
    main()
