"""Refuse what crashes archives, before it is stored: the worker's use of the structural scan.

Policy `nesting` refuses datasets that nest deeper than 64 sequences, or have more elements than anybody's;
whatever else is wrong with a dataset passes as it is, since nothing here changes a byte. Policy `strict` also
refuses lengths that leave what they lie in, and what cannot be parsed.
"""

from __future__ import annotations

import os
from typing import Literal

from router.errors import SpoolError
from router.handoff.ticket import Ticket
from router.processes.instances import InstanceBytes
from router.routing.structure import FIRST_BYTES, fault_of, open_scan, scan_buffers
from router.wire import codec

Policy = Literal["off", "nesting", "strict"]

READ_BYTES_MIN = 512
READ_BYTES_MAX = 65536
"""A spilled dataset is read in pieces that grow while everything is needed and shrink over values."""


def refusal_of(policy: Policy, ticket: Ticket, instance: InstanceBytes) -> tuple[str, str]:
    """Return the kind of fault for which a dataset is refused, nesting or malformed, and its text, or two
    empty ones.

    Raises SpoolError if a spilled dataset cannot be read.
    """
    if policy == "off" or not ticket.dataset_bytes:
        return "", ""
    if ticket.file:
        scan = _scan_file(ticket)
    else:
        views = instance.views()
        scan = open_scan(views[0], ticket.dataset_bytes, ticket.transfer_syntax)
        if scan is not None:
            scan_buffers(scan, views)
    if scan is None:
        return "", ""
    if scan.is_excessive:
        return "nesting", fault_of(scan, ticket.dataset_bytes)
    if policy == "strict" and (fault := fault_of(scan, ticket.dataset_bytes)):
        return "malformed", fault
    return "", ""


def _scan_file(ticket: Ticket) -> codec.StructureScan | None:
    try:
        fd = os.open(ticket.file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SpoolError(f"cannot read a spilled dataset: {error.strerror}") from error
    try:
        head = os.pread(fd, FIRST_BYTES, 0)
        scan = open_scan(head, ticket.dataset_bytes, ticket.transfer_syntax)
        if scan is not None:
            _read_through(fd, scan)
    except OSError as error:
        raise SpoolError(f"cannot read a spilled dataset: {error.strerror}") from error
    finally:
        os.close(fd)
    return scan


def _read_through(fd: int, scan: codec.StructureScan) -> None:
    size, read_to = READ_BYTES_MIN, 0
    while not scan.done:
        offset = scan.next_offset
        is_contiguous = offset == read_to
        size = min(size * 2, READ_BYTES_MAX) if is_contiguous else READ_BYTES_MIN
        piece = os.pread(fd, size, offset)
        if not piece:
            raise SpoolError(f"a spilled dataset ends at byte {offset}")
        scan.feed(piece, offset)
        read_to = offset + len(piece)
