"""Fuzz the parsers: `python -m tests.fuzz.run [TARGET ...] [--seconds S | --minutes M]`.

Each target runs in a process of its own, for its share of the time. Starting inputs are the target's seeds,
the corpus in tests/fuzz/corpus (base64, an input a line) and what earlier runs found, which stays in
build/fuzz; `--keep` puts the best of it into the corpus. An input that breaks an invariant is left in
build/fuzz/crashes; add it to the corpus with its cure. `--sanitized` runs on a codec built with ASan and
UBSan instead (see sanitized.py).
"""

from __future__ import annotations

import argparse
import base64
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
WORK = FOLDER.parent.parent / "build" / "fuzz"
TARGETS = tuple(sorted(path.stem for path in (FOLDER / "targets").glob("*.py")))
INPUT_BYTES_MAX = 4096
INPUT_SECONDS_MAX = 25
MEMORY_MB_MAX = 2048
SECONDS = 60.0
KEPT_MAX = 60
KEPT_BYTES_MAX = 300


def main(arguments: list[str] | None = None) -> int:
    """Run the targets one after the other; print a table; return 1 if an invariant broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all")
    parser.add_argument("--minutes", type=float, help="in all")
    parser.add_argument("--sanitized", action="store_true", help="on a codec built with ASan and UBSan")
    parser.add_argument("--keep", action="store_true", help="put what earlier runs found into the corpus")
    options = parser.parse_args(arguments)
    seconds = options.minutes * 60 if options.minutes else options.seconds
    if options.sanitized:
        from tests.fuzz import sanitized

        return sanitized.run(seconds)
    targets = options.targets or list(TARGETS)
    if options.keep:
        for name in targets:
            keep(name)
        return 0
    broken = 0
    print(f"{'target':<16}{'executions':>12}{'a second':>10}  result")
    for name in targets:
        count, result = fuzz(name, max(1, round(seconds / len(targets))))
        rate = count * len(targets) / seconds
        print(f"{name:<16}{count:>12,}{rate:>10,.0f}  {result}", flush=True)
        broken += result != "holds"
    return 1 if broken else 0


def starting_inputs(name: str) -> list[bytes]:
    """Return the seeds of a target and its corpus in the repository."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    corpus = FOLDER / "corpus" / f"{name}.txt"
    kept = corpus.read_text().split() if corpus.exists() else []
    return [*target.seeds(), *map(base64.b64decode, kept)]


def keep(name: str) -> None:
    """Write the shortest inputs that together reach what earlier runs reached into the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz.one", name, "-merge=1", folder, str(WORK / name)]
        subprocess.run(command, capture_output=True, check=True)
        inputs = sorted(
            (path.read_bytes() for path in Path(folder).glob("*")), key=lambda data: (len(data), data)
        )
    lines = [base64.b64encode(data).decode() for data in inputs if 0 < len(data) <= KEPT_BYTES_MAX]
    (FOLDER / "corpus" / f"{name}.txt").write_text("\n".join(lines[-KEPT_MAX:]) + "\n")


def fuzz(name: str, seconds: int) -> tuple[int, str]:
    """Fuzz one target for so long; return the executions and whether its invariant holds."""
    found, crashes = WORK / name, WORK / "crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(starting_inputs(name)):
        (found / f"start-{number}").write_bytes(data)
    command = [sys.executable, "-m", "tests.fuzz.one", name, f"-max_total_time={seconds}"]
    command += [
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
    ]
    command += [f"-artifact_prefix={crashes}/{name}-", "-print_final_stats=1", str(found)]
    ran = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    log = WORK / f"{name}.log"
    log.write_text(ran.stdout + ran.stderr)
    executions = re.findall(r"number_of_executed_units:\s*(\d+)", ran.stderr) or re.findall(
        r"^#(\d+)", ran.stderr, re.M
    )
    count = int(executions[-1]) if executions else 0
    return count, "holds" if ran.returncode == 0 and count else f"BROKEN, see {log}"


if __name__ == "__main__":
    sys.exit(main())
