"""Making system calls of a running process fail, or take long: strace attached to it for a while."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.process import PeerFailed, program

ATTACH_S = 20.0
MARKS = ("(INJECTED)", "(DELAYED)")


@dataclass(frozen=True, slots=True)
class Injection:
    """What strace was told, and where it wrote what it did."""

    log: Path

    @property
    def count(self) -> int:
        """Return how many calls were tampered with so far."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return sum(map(text.count, MARKS))


@contextmanager
def tampering(directory: Path, pid: int, syscalls: str, how: str) -> Iterator[Injection]:
    """Tamper with the calls of a process and all its threads for the length of a `with` block.

    syscalls: names joined by commas. how: as strace's inject has it, such as `error=EIO:when=3` (counted by
    thread) or `delay_enter=200000` (microseconds).
    """
    number = len(list(directory.glob("strace-*.log")))
    log, words = directory / f"strace-{number}.log", directory / f"strace-{number}.words"
    command = [
        program("strace"), "-f", "-p", str(pid), "-o", str(log),
        "-e", f"trace={syscalls}", "-e", f"inject={syscalls}:{how}",
    ]  # fmt: skip
    with words.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_attached(process, words)
        yield Injection(log)
    finally:
        process.terminate()
        process.wait()


def _wait_attached(process: subprocess.Popen[bytes], words: Path) -> None:
    end = time.monotonic() + ATTACH_S
    while "attached" not in words.read_text():
        if process.poll() is not None or time.monotonic() > end:
            raise PeerFailed(f"strace did not attach: {words.read_text().strip()}")
        time.sleep(0.01)
