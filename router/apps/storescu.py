"""`dicom-router storescu`: send files."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from router.apps import arguments

if TYPE_CHECKING:
    from router.apps.batches import Batch
    from router.apps.dicom_files import FoundFile
    from router.apps.sending import Progress

APP = "storescu"

PROGRESS_FILES_MIN = 10
"""So many files are worth a progress bar."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Send DICOM files with C-STORE. A file goes as it is, without being decoded, where the peer accepts "
        "its transfer syntax; uncompressed little endian ones are otherwise encoded anew."
    )
    parser.epilog = arguments.EXIT_STATUS + " A path that cannot be read, or named file that is not DICOM, "
    parser.epilog += "is a failure; other files in a directory that are not DICOM are left out."
    arguments.add_general(parser, APP)
    arguments.add_peer(parser)
    parser.add_argument("path", nargs="+", help="DICOM files, or directories of them, to send")
    group = parser.add_argument_group("Input Options")
    group.add_argument("-r", "--recurse", action="store_true", help="search directories below those given")
    network = arguments.add_scu_network(parser, "STORESCU")
    network.add_argument(
        "--jobs",
        metavar="N",
        type=arguments.positive,
        default=1,
        help="send over N associations at once (default: 1)",
    )
    arguments.add_requested_syntaxes(parser)
    group = parser.add_argument_group("Miscellaneous Options")
    group.add_argument(
        "-cx",
        "--required-contexts",
        action="store_true",
        help="propose what the files need and nothing else, over several associations where one has not room "
        "for that (default: 120 common storage SOP classes, and up to 8 kinds of compressed or other files)",
    )


def run(args: argparse.Namespace) -> int:
    """Send; return the exit status."""
    from router.apps.dicom_files import get_files
    from router.apps.log import level_of, set_up_log
    from router.apps.peer import make_ae
    from router.apps.sending import Progress, Sending

    log = set_up_log(args, APP)
    files, inaccessible = get_files(args.path, args.recurse)
    for path in inaccessible:
        log.error(f"Cannot access path: {path}")
    is_shown = (
        sys.stderr.isatty() and len(files) >= PROGRESS_FILES_MIN and level_of(args) > logging.INFO
    ) and not args.quiet
    ae = make_ae(args, args.calling_aet)
    progress = Progress(lambda: None)
    batches = _batches_of(args, files, log, progress)
    if not batches:
        log.warning("No suitable DICOM files found")
    with _bar(len(files), progress) if is_shown else _no_bar():
        for batch in batches:
            Sending(ae, args, log, progress).send(batch)
    log.info(f"{progress.stored} stored, {progress.failed} failed, {progress.left_out} left out")
    return 1 if inaccessible or progress.failed else 0


def _batches_of(
    args: argparse.Namespace, files: list[FoundFile], log: logging.Logger, progress: Progress
) -> list[Batch]:
    """Return what to send over which association; files that cannot be sent are counted already."""
    from router.apps.batches import required_batches, storage_batch

    if not files:
        return []
    if not args.required_contexts:
        is_free = not (args.request_little or args.request_big or args.request_implicit)
        return [storage_batch(files, arguments.requested_syntaxes(args), with_own=is_free)]
    batches, bad = required_batches(files)
    for one in bad:
        level = logging.ERROR if one.file.is_named else logging.WARNING
        log.log(level, f"Bad DICOM file: {one.file.path}: {one.why}")
        progress.count("failed" if one.file.is_named else "left_out")
    return batches


@contextmanager
def _bar(total: int, progress: Progress) -> Iterator[None]:
    """Show a progress bar on stderr for the length of the block."""
    from rich import progress as rich_progress  # its import is slow, and for terminals only
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("sending", total=total, completed=progress.total)
        progress.told = lambda: bar.update(task, completed=progress.total)
        yield


@contextmanager
def _no_bar() -> Iterator[None]:
    yield


if __name__ == "__main__":
    sys.exit(arguments.run_alone(APP))
