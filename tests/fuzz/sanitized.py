"""Run the codec under ASan and UBSan: `python -m tests.fuzz.run --sanitized [--seconds S]`.

The codec is built in a copy of the tree, so that nobody's build is disturbed. What runs there: the codec's
own tests and the differential tests (not in runs shorter than TESTS_FROM_S), and every target that uses the
codec, on mutations of its corpus. An error of the sanitizers ends the process that makes it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from time import monotonic

from tests.fuzz.mutations import mutations
from tests.fuzz.run import WORK, starting_inputs

ROOT = Path(__file__).parent.parent.parent
CFLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"
PARTS = ("_codec", "router", "tests", "benchmarks", "setup.py", "pyproject.toml", "README.md")
TARGETS = ("framing", "pdata", "command_set", "attributes", "structure", "conversation", "lanes")
BATCH = 50
TESTS_FROM_S = 30.0


def run(seconds: float) -> int:
    """Build, test and fuzz in a copy; return the first code that is not 0."""
    with tempfile.TemporaryDirectory(prefix="sanitized-") as folder:
        copy = Path(folder)
        for part in PARTS:
            _copy(ROOT / part, copy / part)
        build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(build, cwd=copy, env={**os.environ, "ROUTER_CFLAGS": CFLAGS}, check=True)
        environment = _environment(copy)
        tests = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/codec",
            "tests/differential",
        ]
        fuzz = [sys.executable, "-m", "tests.fuzz.sanitized", str(seconds), str(WORK)]
        for command in (tests, fuzz) if seconds >= TESTS_FROM_S else (fuzz,):
            code = subprocess.run(command, cwd=copy, env=environment, check=False).returncode
            if code:
                return code
    return 0


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


def fuzz(seconds: float, work: Path) -> None:
    """Feed every target mutations of what is known, for its share of the time."""
    import importlib

    import _codec.framing

    assert str(Path(__file__).parent.parent.parent) in str(_codec.framing.__file__), "not the sanitized codec"
    for name in TARGETS:
        check = importlib.import_module(f"tests.fuzz.targets.{name}").check
        inputs = [*starting_inputs(name), *(path.read_bytes() for path in sorted((work / name).glob("*")))]
        for data in inputs:
            check(data)
        count, end, changed = len(inputs), monotonic() + seconds / len(TARGETS), mutations(inputs, 1)
        while monotonic() < end:
            for data in islice(changed, BATCH):
                check(data)
            count += BATCH
        print(f"{name:<16}{count:>12,} executions under ASan and UBSan", flush=True)


if __name__ == "__main__":
    fuzz(float(sys.argv[1]), Path(sys.argv[2]))
