"""Fuzz the parsers: `python -m tests.fuzz.run [TARGET ...] [--seconds S | --minutes M] [--seed N]`.

Without a time it is the brief run of CI: a fixed seed and a fixed number of executions for each target, from
the target's seeds and the corpus in tests/fuzz/corpus (base64, an input a line) alone. It finds the same
wherever and however slowly it runs. With a time, each target gets its share of it, with a new seed, and
begins with what earlier runs found as well, which stays in build/fuzz; `--keep` puts the best of that into
the corpus.

Each target runs in a process of its own. An input that breaks an invariant is left in build/fuzz/crashes and
reported at the very end; add it to the corpus with its cure. `--sanitized` runs on a codec built with ASan
and UBSan instead (see sanitized.py).
"""

from __future__ import annotations

import argparse
import base64
import importlib
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.report import Broken, Ran, broken_of, tell

FOLDER = Path(__file__).parent
WORK = FOLDER.parent.parent / "build" / "fuzz"
TARGETS = tuple(sorted(path.stem for path in (FOLDER / "targets").glob("*.py")))
INPUT_BYTES_MAX = 4096
INPUT_SECONDS_MAX = 60
BRIEF_INPUT_SECONDS_MAX = 600
"""Of the clock, so generous where the machine may be busy: only what hangs is to be found."""
MEMORY_MB_MAX = 2048
KEPT_MAX = 60
KEPT_BYTES_MAX = 300
SEED = 1
SEED_MAX = (1 << 31) - 1
BRIEF_EXECUTIONS = {
    "associate": 120_000,
    "attributes": 25_000,
    "command_set": 160_000,
    "configuration": 8_000,
    "conversation": 12_000,
    "framing": 5_000,
    "lanes": 80_000,
    "pdata": 25_000,
    "spool_segment": 12_000,
    "structure": 7_000,
}
"""Some four seconds for each on a machine that has nothing else to do."""


def main(arguments: list[str] | None = None) -> int:
    """Run the targets one after the other; print a table, then what broke; return 1 if an invariant did."""
    options = _options(arguments)
    seconds = options.minutes * 60 if options.minutes else options.seconds
    seed = options.seed or (SEED if seconds is None else random.randint(1, SEED_MAX))
    if options.sanitized:
        from tests.fuzz import sanitized

        return sanitized.run(seconds, seed)
    targets = options.targets or list(TARGETS)
    if options.keep:
        for name in targets:
            keep(name)
        return 0
    broken: list[Broken] = []
    print(f"seed {seed}\n{'target':<16}{'executions':>12}  result", flush=True)
    for name in targets:
        ran = _brief(name, seed) if seconds is None else fuzz(name, seed, max(1, seconds / len(targets)))
        failure = broken_of(name, seed, ran)
        print(f"{name:<16}{ran.executions:>12,}  {'BROKEN' if failure else 'holds'}", flush=True)
        broken += [failure] if failure else []
    for failure in broken:
        tell(failure)
    return 1 if broken else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all")
    parser.add_argument("--seconds", type=float, help="in all; default: as many executions as CI has")
    parser.add_argument("--minutes", type=float, help="in all")
    parser.add_argument("--seed", type=int, help="to repeat a run; without a time always 1")
    parser.add_argument("--sanitized", action="store_true", help="on a codec built with ASan and UBSan")
    parser.add_argument("--keep", action="store_true", help="put what earlier runs found into the corpus")
    return parser.parse_args(arguments)


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


def fuzz(name: str, seed: int, seconds: float) -> Ran:
    """Fuzz one target for so long, beginning with all that is known; keep what is found."""
    found = WORK / name
    _write_starting_inputs(name, found)
    limits = [f"-max_total_time={round(seconds)}", f"-timeout={INPUT_SECONDS_MAX}"]
    return _run(name, seed, [*limits, str(found)])


def _brief(name: str, seed: int, executions: int | None = None) -> Ran:
    """Fuzz one target as often as CI does, the same each time."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        # Listed, since the order of a folder is the file system's.
        inputs = Path(folder) / "inputs"
        inputs.write_text(",".join(map(str, _write_starting_inputs(name, Path(folder)))))
        limits = [f"-runs={executions or BRIEF_EXECUTIONS[name]}", f"-timeout={BRIEF_INPUT_SECONDS_MAX}"]
        return _run(name, seed, [*limits, f"-seed_inputs=@{inputs}"])


def _write_starting_inputs(name: str, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, data in enumerate(starting_inputs(name)):
        paths.append(folder / f"start-{number}")
        paths[-1].write_bytes(data)
    return paths


def _run(name: str, seed: int, limits: list[str]) -> Ran:
    crashes, log = WORK / "crashes", WORK / f"{name}.log"
    crashes.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.one", name, f"-seed={seed}", f"-max_len={INPUT_BYTES_MAX}"]
    command += [f"-rss_limit_mb={MEMORY_MB_MAX}", f"-artifact_prefix={crashes}/{name}-"]
    command += ["-print_final_stats=1", *limits]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # sets are walked in the same order each time
    ran = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=environment
    )
    log.write_text(ran.stdout + ran.stderr)
    counts = re.findall(r"number_of_executed_units:\s*(\d+)", ran.stderr) or re.findall(
        r"^#(\d+)", ran.stderr, re.M
    )
    return Ran(ran.returncode, int(counts[-1]) if counts else 0, log)


if __name__ == "__main__":
    sys.exit(main())
