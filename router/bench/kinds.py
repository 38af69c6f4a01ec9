"""What is sent: synthetic kinds and real files, as the command line names them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from router.bench.files import templates_of
from router.bench.instances import KINDS, Template, template

LEFT_OUT_TOLD_MAX = 5


def add_kinds(parser: argparse.ArgumentParser) -> None:
    """Add the options that name what is sent."""
    parser.add_argument(
        "--kind",
        nargs="+",
        default=[],
        choices=KINDS,
        metavar="KIND",
        help=f"in turn; of {', '.join(KINDS)} (default small)",
    )
    parser.add_argument(
        "--files",
        nargs="+",
        type=Path,
        default=[],
        help="DICOM files or folders, in turn, each time with a new UID",
    )


def chosen(options: argparse.Namespace) -> list[Template]:
    """Return the templates, instance n being of the n-th modulo their number.

    Raises ValueError if there is none.
    """
    found = [template(kind) for kind in options.kind]
    files, left_out = templates_of(tuple(options.files))
    if options.files and not files:
        raise ValueError(f"none of the files can be sent: {'; '.join(left_out[:LEFT_OUT_TOLD_MAX])}")
    return found + files or [template("small")]


def told_left_out(paths: Sequence[Path]) -> str:
    """Say which files cannot be sent and why; nothing if all can."""
    _, left_out = templates_of(tuple(paths))
    more = f"; and {len(left_out) - LEFT_OUT_TOLD_MAX} more" if len(left_out) > LEFT_OUT_TOLD_MAX else ""
    return f"left out: {'; '.join(left_out[:LEFT_OUT_TOLD_MAX])}{more}" if left_out else ""
