"""What becomes of an instance that was received: a DICOM file, named by its SOP class and instance."""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from router.apps.part10 import open_part10
from router.protocol.messages import Buffer
from router.routing.attributes import read_attributes
from router.routing.wanted import SOP_CLASS_UID, SOP_INSTANCE_UID, Wanted
from router.standard.printable import printable
from router.standard.transfer_syntaxes import encoding_of

if TYPE_CHECKING:
    from router.api.events import Event
    from router.api.received_files import Incoming

STORAGE = "1.2.840.10008.5.1.4.1.1."
SOP_CLASS_PREFIXES = {
    f"{STORAGE}1": "CR",
    f"{STORAGE}2": "CT",
    f"{STORAGE}2.1": "CTE",
    f"{STORAGE}4": "MR",
    f"{STORAGE}4.1": "MRE",
    f"{STORAGE}6.1": "US",
    f"{STORAGE}6.2": "USE",
    f"{STORAGE}7": "SC",
    f"{STORAGE}12.1": "XA",
    f"{STORAGE}12.1.1": "XAE",
    f"{STORAGE}20": "NM",
    f"{STORAGE}128": "PT",
    f"{STORAGE}130": "PTE",
    f"{STORAGE}481.1": "RI",
    f"{STORAGE}481.2": "RD",
    f"{STORAGE}481.3": "RS",
    f"{STORAGE}481.5": "RP",
}
"""Storage SOP class -> how the names of its files begin."""

OTHER_PREFIX = "UN"

SUCCESS = 0x0000
CANNOT_DECODE = 0x0210
MISSING_UID = 0xC210
CANNOT_WRITE = 0xA700
CANNOT_STORE = 0xA701

CANNOT_WRITE_SAID = "Could not write file to specified directory"

_WANTED = Wanted.of({})
_FILE_META_GROUP = 0x0002
_numbers = itertools.count(1)


def file_name(sop_class: str, sop_instance: str) -> str:
    """Return the name of an instance's file: prefix and UID, without characters that UIDs do not have."""
    prefix = SOP_CLASS_PREFIXES.get(sop_class, OTHER_PREFIX)
    return f"{prefix}.{re.sub('[^0-9.]', '_', sop_instance)}"


def receive_into(args: argparse.Namespace, log: logging.Logger) -> Callable[[Incoming], Path] | None:
    """Return where datasets go as they arrive, for AE.receive_to: the folder they stay in, if they are kept.

    args: as for handle_store(), which gives each file its name.
    """
    return None if args.ignore else arriving_in(Path(args.output_directory or ""), log)


def arriving_in(directory: Path, log: logging.Logger) -> Callable[[Incoming], Path]:
    """Return a function for AE.receive_to that has files begin in a directory, hidden, under fresh names."""

    def place(incoming: Incoming) -> Path:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            log.error(f"{CANNOT_WRITE_SAID}: {directory}: {error.strerror or error}")
            raise
        return directory / f".{uuid4().hex}.arrived"

    return place


def handle_store(event: Event, args: argparse.Namespace, log: logging.Logger) -> int:
    """Write the instance of an EVT_C_STORE to a file; return the status to answer.

    args: with `ignore` (do not store at all) and `output_directory` (None: the current one).
    """
    if args.ignore:
        return SUCCESS
    try:
        return _store(event, args, log)
    finally:
        forget_arrived(event)


def _store(event: Event, args: argparse.Namespace, log: logging.Logger) -> int:
    try:
        sop_class, sop_instance = identify(dataset_of(event), event.context.transfer_syntax)
    except ValueError as error:
        log.error(f"Unable to decode the dataset: {printable(str(error.args[0]))}")
        return CANNOT_DECODE
    if not sop_class or not sop_instance:
        log.error("Unable to store: the dataset has no SOP Class UID or no SOP Instance UID")
        return MISSING_UID
    path = Path(args.output_directory or "") / file_name(sop_class, sop_instance)
    log.info(f"Storing DICOM file: {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            log.warning("DICOM file already exists, overwriting")
        write_instance(event, path)
    except OSError as error:
        log.error(f"{CANNOT_WRITE_SAID}: {path.parent}: {error.strerror or error}")
        return CANNOT_WRITE
    except Exception as error:
        # pydicom raises whatever its element writers do; the text may hold values.
        log.error(f"Could not store the dataset: {type(error).__name__}")
        return CANNOT_STORE
    return SUCCESS


def arrived(event: Event) -> Path | None:
    """Return the file that the instance went to as it arrived, if it did."""
    path: Path | None = getattr(event, "dataset_path", None)
    return path


def forget_arrived(event: Event) -> None:
    """Remove the file that the instance went to, unless it was moved since."""
    path = arrived(event)
    if path is not None:
        path.unlink(missing_ok=True)


def dataset_of(event: Event) -> Buffer:
    """Return the encoded dataset, without reading it whole if it is in a file."""
    path = arrived(event)
    return event.encoded_dataset(include_meta=False) if path is None else open_part10(path).dataset


def identify(encoded: Buffer, transfer_syntax: str) -> tuple[str, str]:
    """Return SOP Class and SOP Instance UID of a dataset, empty if missing. Raises ValueError."""
    found = read_attributes([encoded], transfer_syntax, _WANTED)
    return found.get(SOP_CLASS_UID, ("",))[0], found.get(SOP_INSTANCE_UID, ("",))[0]


def write_instance(event: Event, path: Path) -> None:
    """Write a received instance as a DICOM file, exactly as it is encoded.

    The file appears under its name when it is complete. Raises OSError, and what pydicom raises for a dataset
    that holds elements of group 0002, which must go.
    """
    has_meta, whole = has_file_meta_elements(event), arrived(event)
    if whole is not None and not has_meta:
        whole.replace(path)
        return
    # Several associations may receive the same instance at once.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}")
    try:
        with partial.open("wb") as file:
            if has_meta:
                dataset = event.dataset[0x00030000:]
                dataset.file_meta = event.file_meta
                dataset.save_as(file, enforce_file_format=True)
            else:
                file.write(event.encoded_dataset())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def has_file_meta_elements(event: Event) -> bool:
    """Whether the dataset begins with File Meta Information, which must not be sent (PS3.10 section 7.1)."""
    encoding = encoding_of(event.context.transfer_syntax)
    if encoding.deflated:
        return False
    order = "big" if encoding.big_endian else "little"
    head = bytes(dataset_of(event)[:2])
    return int.from_bytes(head, order) == _FILE_META_GROUP  # type: ignore[arg-type]
