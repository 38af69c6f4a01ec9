"""What findscu, getscu and movescu have in common: the query of the command line, and how it ended."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from router.apps.stored_files import SUCCESS

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.api.negotiation_items import SOPClassExtendedNegotiation

WARNING_RESPONSE_LIMIT = 0xB001
WARNING_SUBOPERATIONS = 0xB000


def add_models(parser: argparse.ArgumentParser, models: Iterable[tuple[str, str, str]]) -> None:
    """Add the exclusive options of the query models: (short flag, long flag, name); the first is the
    default."""
    group = parser.add_argument_group("Query Information Model Options").add_mutually_exclusive_group()
    default = ""
    for short, flag, name in models:
        value = flag.removeprefix("--")
        default = default or value
        note = " (default)" if value == default else ""
        group.add_argument(
            short, flag, dest="model", action="store_const", const=value, help=f"use the {name} model{note}"
        )
    parser.set_defaults(model=default)


def add_query(parser: argparse.ArgumentParser) -> None:
    """Add what is asked for: elements on the command line, and in a file."""
    group = parser.add_argument_group("Query Options")
    group.add_argument(
        "-k",
        "--keyword",
        metavar="ELEMENT",
        action="append",
        type=_keyword,
        help="add an element to the query, or replace it: (gggg,eeee)=value, Keyword=value or "
        "Sequence[0].Keyword=value; a backslash separates values; may be given several times",
    )
    group.add_argument("-f", "--file", metavar="FILE", help="begin with the elements of this DICOM file")
    parser.set_defaults(usage_error=parser.error)


def add_flags(parser: argparse.ArgumentParser, flags: Iterable[tuple[str, str]]) -> None:
    """Add the options of extended negotiation: (flag, what it asks for)."""
    group = parser.add_argument_group("Extended Negotiation Options")
    for flag, what in flags:
        group.add_argument(flag, action="store_true", help=f"ask for {what}")


def require_query(args: argparse.Namespace) -> None:
    """End with wrong use unless there is something to ask for."""
    if not args.keyword and not args.file:
        args.usage_error("a query needs -k/--keyword or -f/--file")


def read_query(args: argparse.Namespace, log: logging.Logger) -> Dataset | None:
    """Return the query of the options; None if its file cannot be read, the log then says so."""
    from router.apps.elements import create_dataset

    try:
        return create_dataset(args)
    except Exception as error:
        # pydicom raises whatever its element readers do.
        log.error(f"Cannot read input file {args.file}")
        log.debug(f"{type(error).__name__}: {error}")
        return None


def extended_negotiation(sop_class: str, information: Iterable[bool | int]) -> SOPClassExtendedNegotiation:
    """Return the item that tells a SOP class's SCP what we can do: an octet for each."""
    from router.api.pdu_primitives import SOPClassExtendedNegotiation

    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = sop_class
    item.service_class_application_information = bytes(map(int, information))
    return item


def exit_status(status: Any, log: logging.Logger) -> int:
    """Return the exit status for the last status of an operation, and say what failed."""
    if not status:
        log.error("The operation failed: no valid response")
        return 1
    code = status.Status
    failed = status.get("NumberOfFailedSuboperations") or 0
    if code in (SUCCESS, WARNING_RESPONSE_LIMIT) or (code == WARNING_SUBOPERATIONS and not failed):
        return 0
    text = f"The operation failed: status 0x{code:04X}"
    if failed:
        text += f", {failed} sub-operation{'' if failed == 1 else 's'} failed"
    if status.get("ErrorComment"):
        text += ": " + status.ErrorComment
    log.error(text)
    return 1


def take_all(responses: Iterable[tuple[Any, Any]], log: logging.Logger) -> int:
    """Take every response of a retrieval; return the exit status."""
    last: Any = None
    for status, _ in responses:
        last = status
    return exit_status(last, log)


def _keyword(text: str) -> Any:
    from router.apps.elements import keyword_argument  # loads pydicom

    return keyword_argument(text)
