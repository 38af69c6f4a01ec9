"""The one switch between the compiled codec and its pure-Python twin.

Compiled where it is built; environment ROUTER_CODEC=compiled or =reference forces one. CODEC_NAME says which
it is: the router's processes refuse "reference" unless told otherwise, and show it in the log, in /live and
in a metric.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import TYPE_CHECKING

CODEC_VARIABLE = "ROUTER_CODEC"
_MODULES = (
    "command",
    "commit_lane",
    "dataset",
    "entry_lane",
    "forward_lane",
    "framing",
    "gathering",
    "handler_lane",
    "ledger_rows",
    "ledger_told",
    "outlet",
    "pdata",
    "reception",
    "ring",
    "scatter_window",
    "segment_window",
    "send_lane",
    "sqlite_link",
    "store_lane",
    "structure",
    "tally",
    "ticket_port",
)


def _choose(forced: str) -> str:
    if forced not in ("", "compiled", "reference"):
        raise ValueError(f"{CODEC_VARIABLE}={forced}, allowed compiled or reference")
    if forced:
        return forced
    try:
        for module in _MODULES:
            importlib.import_module(f"_codec.{module}")
    except ImportError:
        return "reference"
    return "compiled"


CODEC_NAME: str = _choose(os.environ.get(CODEC_VARIABLE, ""))

# mypy checks callers against the compiled modules' stubs; a test holds the twin's signatures equal to them.
if TYPE_CHECKING or CODEC_NAME == "compiled":
    from _codec.command import decode_command, encode_command
    from _codec.commit_lane import CommitLane
    from _codec.dataset import NESTING_MAX, VALUE_MAX_BYTES, scan_attributes
    from _codec.doorbell import ReceiptBell, TicketBell
    from _codec.entry_lane import EntryLane, EntrySend, StoredEntry
    from _codec.forward_lane import Forward, Forwarder
    from _codec.framing import (
        ASSOCIATE_LENGTH_MIN_BYTES,
        COMMAND,
        DATASET_END,
        DIRECT_WINDOW_MIN_BYTES,
        EMPTY_FRAGMENTS_MAX,
        INVALID_PARAMETER,
        LANE_LEFT,
        LANE_LEFT_WHOLE,
        NEED_DATA,
        PDU,
        SINK_FULL,
        UNEXPECTED_PARAMETER,
        UNRECOGNISED,
        VIOLATION,
        PduReader,
    )
    from _codec.gathering import Gathering
    from _codec.handler_lane import HandlerLane, LaneRequest
    from _codec.ledger_rows import RowWriter
    from _codec.ledger_told import PendingRun, tell_delivered, tell_run
    from _codec.outlet import Outlet
    from _codec.pdata import FRAGMENT_MAX_BYTES, command_pdus, dataset_pdus
    from _codec.reception import Reception
    from _codec.ring import (
        RING_CAPACITY_MIN_BYTES,
        RING_HEADER_BYTES,
        Ring,
        clear_bell,
        ring_bell,
    )
    from _codec.scatter_window import ScatterWindow
    from _codec.segment_window import SegmentWindow
    from _codec.send_lane import CallbackUser, SendLane, SendOperation
    from _codec.sqlite_link import linked
    from _codec.store_lane import StoreInlet, StoreLane
    from _codec.structure import STRUCTURE_ELEMENTS_MAX, StructureScan
    from _codec.tally import Histogram, Tally
    from _codec.ticket_port import TicketPort
    from _codec.traffic import Traffic
else:
    from router.wire.reference.command import decode_command, encode_command
    from router.wire.reference.dataset import NESTING_MAX, VALUE_MAX_BYTES, scan_attributes
    from router.wire.reference.framing import (
        ASSOCIATE_LENGTH_MIN_BYTES,
        COMMAND,
        DATASET_END,
        DIRECT_WINDOW_MIN_BYTES,
        EMPTY_FRAGMENTS_MAX,
        INVALID_PARAMETER,
        LANE_LEFT,
        LANE_LEFT_WHOLE,
        NEED_DATA,
        PDU,
        SINK_FULL,
        UNEXPECTED_PARAMETER,
        UNRECOGNISED,
        VIOLATION,
        PduReader,
    )
    from router.wire.reference.ledger_told import PendingRun
    from router.wire.reference.pdata import FRAGMENT_MAX_BYTES, command_pdus, dataset_pdus
    from router.wire.reference.ring import (
        RING_CAPACITY_MIN_BYTES,
        RING_HEADER_BYTES,
        Ring,
        clear_bell,
        ring_bell,
    )
    from router.wire.reference.segment_window import SegmentWindow
    from router.wire.reference.structure import STRUCTURE_ELEMENTS_MAX, StructureScan
    from router.wire.reference.tally import Histogram, Tally
    from router.wire.reference.traffic import Traffic

    # The lanes' twin is the general way through protocol/, services/ and processes/: without them everything
    # goes there.
    StoreInlet = StoreLane = SendLane = SendOperation = CallbackUser = None
    Gathering = contextlib.nullcontext
    CommitLane = None
    HandlerLane = LaneRequest = Reception = ScatterWindow = None
    RowWriter = linked = None  # the twin is spool/ledger_insert.py
    tell_delivered = tell_run = None
    EntryLane = EntrySend = StoredEntry = Forward = Forwarder = Outlet = TicketPort = None
    ReceiptBell = TicketBell = None

__all__ = [
    "ASSOCIATE_LENGTH_MIN_BYTES",
    "CODEC_NAME",
    "CODEC_VARIABLE",
    "COMMAND",
    "DATASET_END",
    "DIRECT_WINDOW_MIN_BYTES",
    "EMPTY_FRAGMENTS_MAX",
    "FRAGMENT_MAX_BYTES",
    "INVALID_PARAMETER",
    "LANE_LEFT",
    "LANE_LEFT_WHOLE",
    "NEED_DATA",
    "NESTING_MAX",
    "PDU",
    "RING_CAPACITY_MIN_BYTES",
    "RING_HEADER_BYTES",
    "SINK_FULL",
    "STRUCTURE_ELEMENTS_MAX",
    "UNEXPECTED_PARAMETER",
    "UNRECOGNISED",
    "VALUE_MAX_BYTES",
    "VIOLATION",
    "CallbackUser",
    "CommitLane",
    "EntryLane",
    "EntrySend",
    "Forward",
    "Forwarder",
    "Gathering",
    "HandlerLane",
    "Histogram",
    "LaneRequest",
    "Outlet",
    "PduReader",
    "PendingRun",
    "ReceiptBell",
    "Reception",
    "Ring",
    "RowWriter",
    "ScatterWindow",
    "SegmentWindow",
    "SendLane",
    "SendOperation",
    "StoreInlet",
    "StoreLane",
    "StoredEntry",
    "StructureScan",
    "Tally",
    "TicketBell",
    "TicketPort",
    "Traffic",
    "clear_bell",
    "command_pdus",
    "dataset_pdus",
    "decode_command",
    "encode_command",
    "linked",
    "ring_bell",
    "scan_attributes",
    "tell_delivered",
    "tell_run",
]
