"""What applications share, at the path that programs import.

The code is in elements.py, dicom_files.py, log.py and stored_files.py; here it takes the arguments, and
gives the types, that programs written for this path expect.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.apps import dicom_files, elements
from router.apps.elements import ElementPath
from router.apps.log import set_up_log
from router.apps.stored_files import SOP_CLASS_PREFIXES, handle_store

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEFAULT_LEVEL = "error"


def setup_logging(args: argparse.Namespace, app_name: str) -> logging.Logger:
    """Show the log as options say (quiet, verbose, debug, log_level); return the application's own logger."""
    options: dict[str, Any] = {"quiet": False, "verbose": False, "debug": False, "log_level": None}
    options |= {"default_level": DEFAULT_LEVEL, **vars(args)}
    return set_up_log(argparse.Namespace(**options), app_name)


def create_dataset(args: argparse.Namespace, logger: logging.Logger | None = None) -> Dataset:
    """Return the query that `args.file` and `args.keyword` (texts or ElementPaths) describe.

    logger: told why it fails. Raises ValueError, OSError and what pydicom raises for a file.
    """
    paths = [ElementPath(key) if isinstance(key, str) else key for key in args.keyword or ()]
    try:
        return elements.create_dataset(argparse.Namespace(file=getattr(args, "file", None), keyword=paths))
    except Exception as error:
        if logger is not None:
            logger.error(f"Cannot read input file {args.file}" if args.file else str(error))
        raise


def get_files(fpaths: Iterable[str | Path], recurse: bool = False) -> tuple[list[str], list[str]]:
    """Return the files that paths name, sorted and each once, and the paths that cannot be accessed."""
    found, bad = dicom_files.get_files(fpaths, recurse)
    return [str(file.path) for file in found], [str(path) for path in bad]


__all__ = [
    "SOP_CLASS_PREFIXES",
    "ElementPath",
    "create_dataset",
    "get_files",
    "handle_store",
    "setup_logging",
]
