"""Fuzz one target in this process with atheris: `python -m tests.fuzz.one TARGET [libFuzzer's arguments]`.

Python code is instrumented as it is loaded, so the twins guide the search through the compiled codec. Used by
tests.fuzz.run; an input that breaks the invariant ends the process and is left as a file.
"""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    """Fuzz until libFuzzer's arguments say that it is enough."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["router", "tests"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    itself = f"{sys.executable} -m tests.fuzz.one {name}"  # which a merge starts again
    atheris.Setup([itself, *sys.argv[1:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
