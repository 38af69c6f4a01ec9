"""Which files a command line names: those given, and those in directories given."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class FoundFile(NamedTuple):
    """A file to read. is_named: given by its own name, rather than found in a directory."""

    path: Path
    is_named: bool


def get_files(paths: Iterable[str | Path], recurse: bool = False) -> tuple[list[FoundFile], list[Path]]:
    """Return the files, each once and sorted, and the paths that cannot be accessed.

    A directory stands for the files in it; recurse: and in those below. Links to directories are not
    followed.
    """
    found: dict[Path, bool] = {}
    bad: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            try:
                members = list(_members(path, recurse))
            except OSError:
                bad.append(path)
                continue
            for member in members:
                found.setdefault(member, False)
        elif path.is_file() and os.access(path, os.R_OK):
            found[path] = True
        else:
            bad.append(path)
    return [FoundFile(path, found[path]) for path in sorted(found)], bad


def _members(directory: Path, recurse: bool) -> Iterator[Path]:
    if not recurse:
        yield from (path for path in directory.iterdir() if path.is_file())
        return

    def refuse(error: OSError) -> None:
        if error.filename == str(directory):
            raise error

    for parent, _, names in os.walk(directory, onerror=refuse):
        for name in names:
            if (path := Path(parent, name)).is_file():
                yield path
