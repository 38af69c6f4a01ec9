"""Whether archives can parse a dataset without harm: how deep it nests, and whether its lengths hold.

Some archives recurse for every sequence and crash on a few hundred of them. The scan steps over values; it
does not inflate a deflated dataset, which therefore passes.
"""

from __future__ import annotations

from collections.abc import Iterable

from router.routing.attributes import Buffer, is_implicit_after_all
from router.standard.transfer_syntaxes import encoding_of
from router.wire import codec

FIRST_BYTES = 8
"""What is needed of a dataset to open its scan."""


def open_scan(head: Buffer, dataset_bytes: int, transfer_syntax: str) -> codec.StructureScan | None:
    """Return the scan of a dataset, nothing fed yet; None for a deflated one.

    head: its first FIRST_BYTES or more, or all of it.
    """
    encoding = encoding_of(transfer_syntax)
    if encoding.deflated:
        return None
    implicit_vr = encoding.implicit_vr or (not encoding.big_endian and is_implicit_after_all(head))
    return codec.StructureScan(dataset_bytes, implicit_vr, encoding.big_endian)


def scan_buffers(scan: codec.StructureScan, buffers: Iterable[Buffer]) -> None:
    """Feed the buffers of a whole dataset, in order, until the scan has seen enough."""
    offset = 0
    for buffer in buffers:
        if not scan.feed(buffer, offset):
            return
        offset += len(buffer)


def fault_of(scan: codec.StructureScan, dataset_bytes: int) -> str:
    """Return what is wrong with a scanned dataset, "" if nothing is.

    An odd number of bytes is: it cannot be sent in fragments of even length (PS3.8 section E.1).
    """
    if not scan.fault and dataset_bytes % 2:
        return f"odd number of bytes, {dataset_bytes}"
    return scan.fault and f"{scan.fault}; offset {scan.fault_offset}"
