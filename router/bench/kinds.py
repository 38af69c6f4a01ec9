"""What is sent: synthetic kinds and real files, as the command line names them."""

from __future__ import annotations

import argparse
import sys
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
    files, left_out = templates_of(options.files)
    if left_out:
        told = "; ".join(left_out[:LEFT_OUT_TOLD_MAX])
        print(f"{len(left_out)} files are left out: {told}", file=sys.stderr, flush=True)
    if options.files and not files:
        raise ValueError("none of the files can be sent")
    return found + files or [template("small")]


def words(options: argparse.Namespace) -> list[str]:
    """Return the options again, as they stand on a command line."""
    said = ["--kind", *options.kind] if options.kind else []
    return said + (["--files", *map(str, options.files)] if options.files else [])
