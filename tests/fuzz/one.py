"""Fuzz one target in this process with atheris: `python -m tests.fuzz.one TARGET [libFuzzer's arguments]`.

Python code is instrumented as it is loaded, so the twins guide the search through the compiled codec. Used by
tests.fuzz.run; an input that breaks the invariant ends the process and is left as a file.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys

import atheris

ADDR_NO_RANDOMIZE = 0x0040000  # of personality(2)
PERSONALITY_NOW = 0xFFFFFFFF


def main() -> None:
    """Fuzz until libFuzzer's arguments say that it is enough."""
    settle_addresses()
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["router", "tests"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    itself = f"{sys.executable} -m tests.fuzz.one {name}"  # which a merge starts again
    atheris.Setup([itself, *sys.argv[1:]], target.check)
    atheris.Fuzz()


def settle_addresses() -> None:
    """Start again at addresses that are the same each time: libFuzzer's choices depend on them.

    Where the system forbids it (as some containers do), the same seed need not find the same.
    """
    libc = ctypes.CDLL(None)
    now = libc.personality(PERSONALITY_NOW)
    if now == -1 or now & ADDR_NO_RANDOMIZE or libc.personality(now | ADDR_NO_RANDOMIZE) == -1:
        return
    if libc.personality(PERSONALITY_NOW) & ADDR_NO_RANDOMIZE:
        os.execv(sys.executable, [sys.executable, "-m", "tests.fuzz.one", *sys.argv[1:]])


if __name__ == "__main__":
    main()
