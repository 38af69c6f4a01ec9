"""Run the codec under ASan and UBSan: `python -m tests.fuzz.run --sanitized [--seconds S]`.

The codec is built in a copy of the tree, so that nobody's build is disturbed. What runs there: the codec's
own tests and the differential tests (not in runs shorter than TESTS_FROM_S), and every target that uses the
codec, on mutations of its corpus; in the brief run so many of them, from the same seed each time. An error of
the sanitizers ends the process that makes it; the input it looked at stays in build/fuzz/crashes.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic

from tests.fuzz.mutations import mutations
from tests.fuzz.report import Broken, tell, why_of
from tests.fuzz.run import BRIEF_EXECUTIONS, WORK, starting_inputs

ROOT = Path(__file__).parent.parent.parent
CFLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"
PARTS = ("_codec", "router", "tests", "benchmarks", "setup.py", "pyproject.toml", "README.md")
TARGETS = ("framing", "pdata", "command_set", "attributes", "structure", "conversation", "lanes")
BATCH = 50
BRIEF_SHARE = 5
"""In the brief run, one execution for so many without the sanitizers."""
TESTS_FROM_S = 30.0
HANGS_S = 600
INPUT_PREFIX = "sanitized-"


def run(seconds: float | None, seed: int) -> int:
    """Build, test and fuzz in a copy; tell what fails first, return its code. seconds None: the brief run."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sanitized-") as folder:
        copy = Path(folder)
        for part in PARTS:
            _copy(ROOT / part, copy / part)
        python, environment = sys.executable, _environment(copy)
        build = [python, "setup.py", "-q", "build_ext", "--inplace"]
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/codec", "tests/differential"]
        fuzz = [python, "-m", "tests.fuzz.sanitized", str(seconds or 0), str(seed), str(WORK)]
        steps = [("build", build, {**os.environ, "ROUTER_CFLAGS": CFLAGS}), ("fuzz", fuzz, environment)]
        if seconds is not None and seconds >= TESTS_FROM_S:
            steps.insert(1, ("tests", tests, environment))
        print(f"seed {seed}", flush=True)
        for name, command, variables in steps:
            code = _step(name, command, copy, variables, seed)
            if code:
                return code
    return 0


def _step(name: str, command: list[str], copy: Path, environment: dict[str, str], seed: int) -> int:
    """Run one command in the copy; show what it says, and last what broke."""
    log = WORK / f"{INPUT_PREFIX}{name}.log"
    for left in (WORK / "crashes").glob(f"{INPUT_PREFIX}*"):
        left.unlink()
    with log.open("w") as output:
        code = subprocess.run(
            command, cwd=copy, env=environment, check=False, stdout=output, stderr=subprocess.STDOUT
        ).returncode
    if code == 0:
        print("" if name == "build" else log.read_text(errors="replace"), end="", flush=True)
        return 0
    inputs = list((WORK / "crashes").glob(f"{INPUT_PREFIX}*"))
    again = f"python -m tests.fuzz.run --sanitized --seed {seed}"
    tell(Broken(f"{name} (sanitized)", seed, code, log, why_of(log), inputs[0] if inputs else None, again))
    return code or 1


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy(source, target)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"))


def _environment(copy: Path) -> dict[str, str]:
    libraries = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython keeps much until it ends
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(copy),
        "ROUTER_CODEC": "compiled",
    }


def fuzz(seconds: float, seed: int, work: Path) -> None:
    """Feed every target mutations of what is known, for its share of the time; 0 seconds: the brief run."""
    import _codec.framing

    assert str(Path(__file__).parent.parent.parent) in str(_codec.framing.__file__), "not the sanitized codec"
    for name in TARGETS:
        check = importlib.import_module(f"tests.fuzz.targets.{name}").check
        inputs = starting_inputs(name)
        if seconds:
            inputs += [path.read_bytes() for path in sorted((work / name).glob("*"))]
        count, end, changed = 0, monotonic() + seconds / len(TARGETS), mutations(inputs, seed)
        with _noting(work / "crashes" / f"{INPUT_PREFIX}{name}") as note:
            for data in inputs:
                note(data)
                check(data)
            while monotonic() < end if seconds else count < BRIEF_EXECUTIONS[name] // BRIEF_SHARE:
                faulthandler.dump_traceback_later(HANGS_S, exit=True)
                for data in islice(changed, BATCH):
                    note(data)
                    check(data)
                count += BATCH
        print(f"{name:<16}{count + len(inputs):>12,} executions under ASan and UBSan", flush=True)


@contextmanager
def _noting(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Give a function that writes down an input before it is looked at: it may be this process's last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:

        def note(data: bytes) -> None:
            os.pwrite(file.fileno(), data, 0)
            os.ftruncate(file.fileno(), len(data))

        yield note
    path.unlink()


if __name__ == "__main__":
    fuzz(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
