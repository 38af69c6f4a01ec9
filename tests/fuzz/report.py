"""What is to be read of a fuzzed target that broke: printed last, as a long output is cut in the middle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LINES_MAX = 25
HEX_BYTES_MAX = 300

_NOISE = re.compile(r"#\d+|INFO: |stat::|MS: \d|0x|\\|Base64: ")
"""What libFuzzer prints of its progress and of the input, beside the fault."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How one target's process ended. log: all that it printed."""

    code: int
    executions: int
    log: Path


@dataclass(frozen=True, slots=True)
class Broken:
    """A target that broke, why, and the command that breaks it again. input: None if no input did it."""

    name: str
    seed: int
    code: int
    log: Path
    why: list[str]
    input: Path | None = None
    again: str = ""


def broken_of(name: str, seed: int, ran: Ran) -> Broken | None:
    """Return what is to be told of a process that ended; None if the invariant holds."""
    if ran.code == 0 and ran.executions:
        return None
    why = why_of(ran.log)
    written = re.findall(r"Test unit written to (\S+)", ran.log.read_text(errors="replace"))
    if not written:
        return Broken(name, seed, ran.code, ran.log, why)
    again = f"python -m tests.fuzz.one {name} {written[-1]}"
    return Broken(name, seed, ran.code, ran.log, why, Path(written[-1]), again)


def why_of(log: Path) -> list[str]:
    """Return the last lines of a log that tell of a fault."""
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if line.strip() and not _NOISE.match(line)][-LINES_MAX:]


def tell(broken: Broken) -> None:
    """Print all that is needed to break it again elsewhere."""
    print(f"\nBROKEN: target {broken.name}, seed {broken.seed}, exit code {broken.code}")
    print("\n".join(f"  {line}" for line in broken.why))
    if broken.input is not None and broken.input.exists():
        data = broken.input.read_bytes()
        print(f"  input: {broken.input}, {len(data)} bytes")
        print(f"  hex: {data[:HEX_BYTES_MAX].hex()}{' ...' if len(data) > HEX_BYTES_MAX else ''}")
    if broken.again:
        print(f"  again: {broken.again}")
    print(f"  log: {broken.log}", flush=True)
